"""Figures of group gaps: forests, verdicts, changes, baselines, trade-offs."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fairrecon_jax.report.figures import (
    forest,
    gaps,
    groups,
    mitigations,
    style,
    verdicts,
)
from fairrecon_jax.report.mitigation import tradeoff_rows
from tests.support.figure_parts import marks, texts
from tests.support.report_findings import not_estimated


def standing(study):
    return forest.standing_rows(study, study.gap_changes())


def test_forest_marks_stand_at_what_a_group_lost_beyond_the_others(mri):
    drawing = forest.overview(mri)
    wanted = 100 * standing(mri)["extra_change"].dropna()
    assert sorted(np.round(marks(drawing.figure, "o")[:, 0], 9)) == pytest.approx(
        sorted(np.round(wanted, 9))
    )


def test_intervals_of_the_forest_are_those_of_the_groups(mri):
    drawing = forest.overview(mri)
    ends = np.concatenate(
        [x for axes in drawing.figure.axes for line in axes.lines if len(x := line.get_xdata()) > 2]
    )
    rows = standing(mri)
    wanted = 100 * rows[["extra_ci_low", "extra_ci_high"]].to_numpy().ravel()
    shown = {round(v, 6) for v in ends if np.isfinite(v)}
    assert {round(v, 6) for v in wanted if np.isfinite(v)} <= shown


def test_not_estimable_changes_are_written_not_drawn(mri):
    study = not_estimated(mri, task="grade")
    drawing = forest.overview(study)
    rows = standing(study)
    assert texts(drawing.figure).count("n.e.") == int(rows["extra_change"].isna().sum()) > 0
    assert len(marks(drawing.figure, "o")) == int(rows["extra_change"].notna().sum())


def test_a_diagnosis_at_chance_has_no_mark(mri):
    rows = mri.fairness.copy()
    rows.loc[(rows["task"] == "type") & (rows["version"] == "change"), "verdict"] = "at chance"
    drawing = forest.overview(dataclasses.replace(mri, fairness=rows))
    study = dataclasses.replace(mri, fairness=rows)
    for figure in (drawing.figure, verdicts.verdict_map(study, "none").figure):
        assert texts(figure).count("at chance") == 4
    assert set(drawing.table.loc[drawing.table["extra_change"].notna(), "task"]) == {
        "grade",
        "tumour",
    }


@pytest.mark.parametrize("attribute", ["sex", "age"])
def test_gap_forests_say_the_verdict_in_words(mri, attribute):
    study = not_estimated(mri, task="type")
    drawing = forest.gap_forest(study, attribute)
    words = texts(drawing.figure)
    rows = drawing.table
    assert sum("not estimable" in w for w in words) == int(rows["change"].isna().sum())
    assert sum("no difference shown" in w for w in words) == int(
        (rows["verdict"] == "no difference shown").sum()
    )
    for row in rows[rows["verdict"].isin(["harmed", "favoured"])].itertuples():
        (text,) = [w for w in words if f" {row.verdict}: {row.group}" in w]
        assert text.startswith(style.verdict_sign(row.verdict))
        assert text.endswith(f", {row.gap}")


def test_gaps_have_no_error_bars(mri):
    rows = mri.fairness.copy()
    gaps_of = rows["metric"].isin(["eodd", "ser"]) & (rows["version"] == "change")
    rows.loc[gaps_of, ["ci_low", "ci_high"]] = [-7.0, 7.0]
    study = dataclasses.replace(mri, fairness=rows)
    drawings = [*gaps.bias_changes(study), *forest.gap_forests(study), forest.overview(study)]
    for drawing in drawings:
        for axes in drawing.figure.axes:
            for line in axes.lines:
                assert 7.0 not in np.abs([*line.get_xdata(), *line.get_ydata()]), drawing.key


def test_gap_forests_draw_the_chance_floor(mri):
    gap = forest.gap_forest(mri, "sex").figure.axes[0]
    nulls = mri.gap_changes(attribute="sex", metric="eodd")["permutation_null"].dropna()
    assert sorted(
        bar.get_width() for bar in gap.patches if abs(bar.get_height()) == 1.0
    ) == pytest.approx(sorted(nulls))


def claimed(mri, verdict: str, gap: str):
    """The study with one verdict for all of grade, and none elsewhere."""
    rows = mri.fairness.copy()
    change = (rows["version"] == "change") & (rows["convention"] == "worst_case_estimable")
    grade = rows["task"] == "grade"
    rows.loc[change & ~grade, ["verdict", "gap"]] = ["no difference shown", ""]
    rows.loc[change & grade, ["verdict", "gap"]] = [verdict, gap]
    rows.loc[change & grade, ["group", "label_stratum"]] = ["", "positive"]
    for attribute, group in (("sex", "Female"), ("age", "under 58")):
        rows.loc[change & grade & (rows["attribute"] == attribute), "group"] = group
    return dataclasses.replace(mri, fairness=rows)


@pytest.mark.parametrize(
    ("verdict", "gap", "words"),
    [("harmed", "widened", "▼ Female + ↔"), ("favoured", "same", "△ Female + =")],
)
def test_strong_marks_are_the_claims_with_sign_group_and_gap(mri, verdict, gap, words):
    drawing = forest.overview(claimed(mri, verdict, gap))
    strong = [
        line
        for axes in drawing.figure.axes
        for line in axes.lines
        if line.get_marker() == "o" and line.get_alpha() == 1.0
    ]
    assert sum(len(line.get_xdata()) for line in strong) == 4
    assert texts(drawing.figure).count(words) == 2


def test_verdict_map_has_one_tile_per_cell(mri):
    study = not_estimated(mri, task="tumour")
    drawing = verdicts.verdict_map(study, "none")
    rows = study.gap_changes()
    assert sum(len(axes.patches) for axes in drawing.figure.axes) == len(rows)
    assert sum(bool(p.get_hatch()) for axes in drawing.figure.axes for p in axes.patches) == int(
        (rows["verdict"] == "not estimable").sum()
    )


@pytest.mark.parametrize(
    ("verdict", "gap", "start", "end", "face"),
    [("harmed", "widened", "▼", "↔", "#222222"), ("favoured", "reversed", "△", "⇄", "#ffffff")],
)
def test_tiles_tell_harmed_and_favoured_apart_without_colour(mri, verdict, gap, start, end, face):
    drawing = verdicts.verdict_map(claimed(mri, verdict, gap), "none")
    words = [w for w in texts(drawing.figure) if w.startswith(start)]
    assert len(words) == 4
    assert all(w.endswith(end) for w in words)
    faces = [to_hex(p.get_facecolor()) for a in drawing.figure.axes for p in a.patches]
    assert faces.count(face) == 4


def test_mitigated_methods_get_their_own_map_and_marker(mitigated):
    assert [d.key for d in verdicts.verdict_maps(mitigated)] == [
        "verdict_map",
        "verdict_map_eodd",
        "verdict_map_reweighting",
    ]
    drawing = gaps.bias_change(mitigated, "eodd")
    rows = mitigated.change_rows("fairness", metric="eodd", level=8.0)
    for marker, mitigation in (("D", "eodd"), ("s", "reweighting"), ("o", "none")):
        assert len(marks(drawing.figure, marker)) == int(
            rows.loc[rows["mitigation"] == mitigation, "change"].notna().sum()
        )


def test_the_first_screen_shows_plain_methods_only(mitigated):
    drawing = forest.overview(mitigated)
    assert len(marks(drawing.figure, "D")) == 0
    assert set(drawing.table["mitigation"]) == {"none"}


def test_without_verdicts_the_caption_says_so(mri):
    untested = dataclasses.replace(mri, fairness=mri.fairness.assign(verdict=""))
    assert "No test was run" in gaps.bias_change(untested, "eodd").caption
    assert "No test was run" not in gaps.bias_change(mri, "eodd").caption
    assert "95%" not in gaps.bias_change(mri, "eodd").caption


def test_a_changed_gap_bears_the_sign_of_what_became_of_it(mri):
    drawing = gaps.bias_change(claimed(mri, "harmed", "narrowed"), "eodd")
    assert texts(drawing.figure).count("→←") == 4


def test_histogram_counts_every_change(mri):
    drawing = gaps.histogram(mri)
    left = drawing.figure.axes[::2]
    counted = sum(bar.get_height() for axes in left for bar in axes.patches)
    assert counted == mri.gap_changes()["change"].notna().sum()


def test_bins_are_symmetric_and_survive_zeros():
    edges = gaps.bins(pd.Series([0.0, 0.0]))
    assert edges[0] == -edges[-1] < 0
    assert len(gaps.bins(pd.Series([], dtype=float))) == 25


def test_labels_of_the_volcano_keep_apart():
    places = verdicts.apart([1.0, 0.99, 0.98, 0.2], 0.1)
    assert all(a - b >= 0.1 - 1e-12 for a, b in itertools.pairwise(places))
    assert places[0] == 1.0
    assert places[-1] == 0.2


def test_baseline_takes_the_gap_on_originals_once_per_task(mri):
    rows = gaps.baseline_rows(mri)
    assert len(rows) == 3 * 2
    wanted = mri.pick("fairness", metric="eodd", task="grade", attribute="sex", version="original")[
        "value"
    ].iloc[0]
    assert rows.iloc[0]["value"] == pytest.approx(wanted)


def test_a_figure_without_a_single_known_change_is_left_out(mri):
    rows = mri.fairness.copy()
    matching = rows["metric"].isin(["eodd", "gap_sensitivity", "gap_specificity", "gap_score"])
    rows.loc[matching, ["value", "change", "original", "permutation_null"]] = math.nan
    study = dataclasses.replace(mri, fairness=rows)
    assert {d.key for d in gaps.bias_changes(mri)} - {d.key for d in gaps.bias_changes(study)} == {
        "bias_change_eodd"
    }
    assert {d.key for d in groups.group_changes(study)} == {
        "group_change_sex_dice",
        "group_change_age_dice",
    }
    baseline = gaps.baseline(study).figure
    assert [list(axes.get_xticks()) == [] for axes in baseline.axes] == [True, True, False, False]
    assert texts(baseline).count("n.e.") == 4


def test_tradeoff_averages_over_tasks_that_all_methods_have(mitigated):
    rows = tradeoff_rows(mitigated)
    assert len(rows) == 3 * 2
    assert rows.groupby("attribute")["tasks"].nunique().eq(1).all()
    gaps = mitigated.gap_changes().dropna(subset=["change"])
    full = gaps.groupby(["task", "attribute"])["change"].transform("size") == 3
    wanted = gaps[full & (gaps["mitigation"] == "eodd") & (gaps["attribute"] == "sex")][
        "change"
    ].mean()
    selected = rows[(rows["mitigation"] == "eodd") & (rows["attribute"] == "sex")][
        "gap_change"
    ].iloc[0]
    assert selected == pytest.approx(wanted)


def test_no_tradeoff_without_mitigation(mri):
    assert mitigations.tradeoff(mri) is None


def test_the_signs_over_the_map_of_verdicts_stand_clear_of_title_and_tiles(mri):
    figure = verdicts.verdict_map(mri, "none").figure
    figure.canvas.draw()
    axes, scale = figure.axes[0], figure.dpi / 72
    top = axes.get_window_extent().y1
    (sign, *_) = [line for line in axes.lines if line.get_marker() != "None"]
    at = sign.get_transform().transform(sign.get_xydata())[0, 1]
    title = axes.title if axes.title.get_text() else axes._left_title
    half = sign.get_markersize() / 2 * scale
    assert at - half > top
    assert title.get_window_extent().y0 - (at + half) > 2 * scale
