"""Figures of all patients together: drawn from the right rows, missing values marked."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from fairrecon_jax.report import select
from fairrecon_jax.report.figures import (
    groups,
    levels,
    quality,
)
from fairrecon_jax.report.figures.drawing import ShareTicks, canvas
from tests.support import report_fake as fake
from tests.support.figure_parts import labels, marks, texts
from tests.support.report_findings import findings_of


def test_a_level_that_was_not_studied_is_empty_and_one_without_a_value_is_marked(mri):
    rows = mri.pick("performance", metric="psnr", attribute="", version="reconstructed").copy()
    first, last = rows["level"].min(), rows["level"].max()
    rows = rows[(rows["reconstructor"] != "irsde") | (rows["level"] != first)]
    for blanked, count in ((False, 0), (True, 1)):
        if blanked:
            rows.loc[(rows["reconstructor"] == "irsde") & (rows["level"] == last), "value"] = (
                math.nan
            )
        with canvas(3) as figure:
            levels.draw_levels(figure.subplots(), mri, rows)
        assert texts(figure).count("n.e.") == count


def test_many_values_that_lack_at_a_level_are_counted_instead_of_written_over_one_another():
    study = findings_of(fake.mri_spec(), ("unet", "irsde"), ("none", "eodd"))
    rows = study.pick("performance", metric="psnr", attribute="", version="reconstructed").copy()
    rows.loc[rows["level"] == study.headline_level, "value"] = math.nan
    assert len(study.methods(rows)) == 4
    with canvas(3) as figure:
        levels.draw_levels(figure.subplots(), study, rows)
    assert texts(figure).count("4 n.e.") == 1
    assert "n.e." not in texts(figure)


def test_overview_draws_the_table_s_psnr(mri):
    drawing = quality.overview(mri)
    drawn = marks(drawing.figure, "o")[:, 1]
    wanted = mri.pick("performance", metric="psnr", version="reconstructed", attribute="")["value"]
    assert set(np.round(wanted, 6)) <= set(np.round(drawn, 6))


def test_overview_names_the_task_that_all_methods_have(mri):
    rows = mri.performance
    lost = (
        (rows["task"] == "grade")
        & (rows["reconstructor"] == "irsde")
        & (rows["version"] == "reconstructed")
    )
    axes = quality.overview(dataclasses.replace(mri, performance=rows[~lost])).figure.axes
    assert [a.get_ylabel() for a in axes[1:]] == ["AUROC of Glioblastoma", "Dice of Tumour"]
    lost = (
        rows["metric"].eq("auroc")
        & rows["version"].eq("reconstructed")
        & rows["task"].eq("type")
        & rows["reconstructor"].eq("unet")
        | lost
    )
    axes = quality.overview(dataclasses.replace(mri, performance=rows[~lost])).figure.axes
    assert [a.get_ylabel() for a in axes[1:]] == ["Dice of Tumour"], (
        "no AUROC is common to all methods, so none is drawn"
    )


def test_without_originals_the_reconstructions_are_drawn_alone(mri):
    rows = mri.performance
    alone = dataclasses.replace(
        mri, performance=rows.assign(value=rows["value"].mask(rows["version"] == "original"))
    )
    for maker in (
        quality.overview,
        quality.task_performance,
        lambda f: groups.group_performance(f, "sex", "dice"),
    ):
        for study, there in ((mri, True), (alone, False)):
            drawing = maker(study)
            assert ("original images" in labels(drawing.figure)) == there
            assert (" dash" in drawing.caption) == there
    figure = quality.overview(alone).figure
    mean = rows[
        (rows["metric"] == "auroc")
        & (rows["attribute"] == "")
        & (rows["version"] == "reconstructed")
    ]
    wanted = mean.groupby(["reconstructor", "level"])["value"].mean()
    drawn = [
        y for line in figure.axes[1].lines if line.get_marker() == "o" for y in line.get_ydata()
    ]
    assert sorted(drawn) == pytest.approx(sorted(wanted))
    assert "nan" not in quality.overview(alone).alt


def test_the_baseline_is_the_dashed_line(mri):
    drawing = quality.task_performance(mri)
    value = select.one(
        mri.pick("performance", task="grade", metric="auroc", attribute=""), version="original"
    )["value"]
    levels = [
        line.get_ydata()[0]
        for line in drawing.figure.axes[0].lines
        if len(set(line.get_ydata())) == 1 and line.get_linestyle() == "--"
    ]
    assert levels == [pytest.approx(value)]


def test_lpips_panel_is_hatched_with_its_reason(mri):
    panel = quality.image_quality(mri).figure.axes[-1]
    assert panel.patches[0].get_hatch()
    assert "cannot be" in panel.texts[0].get_text()


def test_equal_spans_unless_one_panel_needs_far_more():
    with canvas(1.0) as figure:
        panels = list(figure.subplots(1, 3))
        for axes, high in zip(panels, (1.0, 1.2, 1.5), strict=True):
            axes.set_ylim(0, high)
        assert levels.equal_spans(panels)
        assert {round(axes.get_ylim()[1] - axes.get_ylim()[0], 9) for axes in panels} == {1.5}
        panels[0].set_ylim(0, 50)
        assert not levels.equal_spans(panels)


@pytest.mark.parametrize("limits", [(0.93, 1.04), (0.985, 1.005), (-0.1, 1.1), (0.2, 0.7)])
def test_no_score_has_a_tick_beyond_its_ends(limits):
    with canvas(1.5) as figure:
        axes = figure.subplots()
        axes.yaxis.set_major_locator(ShareTicks("auto", steps=[1, 2, 5, 10]))
        axes.set_ylim(*limits)
        ticks = axes.get_yticks()
    assert len(ticks) > 1
    assert ticks.min() > -1e-9
    assert ticks.max() < 1 + 1e-9


def test_scores_near_1_are_drawn_with_no_tick_above_it(mri):
    rows = mri.performance.copy()
    of_score = rows["metric"].isin(["auroc", "dice"]) & (rows["version"] != "change")
    rows.loc[of_score, "value"] = 1 - rows.loc[of_score, "value"] / 100
    near = select.Findings(mri.spec, rows, mri.fairness)
    drawn = 0
    for drawing in (quality.overview(near), quality.task_performance(near)):
        for axes in drawing.figure.axes:
            if axes.get_ylabel().startswith(("AUROC", "Dice")):
                drawn += 1
                assert axes.get_yticks().max() < 1 + 1e-9
    assert drawn > 2


def test_an_image_metric_says_once_why_it_is_missing():
    findings = findings_of(fake.mri_spec())
    rows = findings.performance.copy()
    rows.loc[rows["metric"] == "lpips", "reason"] = "not computed: no column"
    drawn = texts(quality.image_quality(dataclasses.replace(findings, performance=rows)).figure)
    assert [t.replace("\n", " ") for t in drawn if "computed" in t] == ["not computed: no column"]
