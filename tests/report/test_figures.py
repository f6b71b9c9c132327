"""Every figure: drawn from the right rows, in the right looks, with missing values marked and never
at zero.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fairrecon_jax.report import select
from fairrecon_jax.report.figures import forest, gaps, groups, mitigations, quality
from fairrecon_jax.report.figures.drawing import Marks, canvas, offsets, signed, wrap
from fairrecon_jax.report.select import Findings
from tests.support import report_fake as fake


def make(spec, reconstructors=("unet", "irsde"), plans=("none",)) -> Findings:
    cells = fake.cells(spec, reconstructors, plans)
    return Findings.of(spec, fake.performance(spec, cells), fake.fairness(spec, cells))


@pytest.fixture(scope="module")
def mri() -> Findings:
    return make(fake.mri_spec())


@pytest.fixture(scope="module")
def mitigated() -> Findings:
    return make(fake.mri_spec(), ("unet",), ("none", "reweighting", "eodd"))


@pytest.fixture(scope="module")
def nothing() -> Findings:
    empty = pd.DataFrame(columns=[*select.TEXT, *select.NUMBERS])
    return Findings.of(fake.mri_spec(), empty, empty)


def texts(figure: Figure) -> list[str]:
    """All texts inside the panels."""
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def marks(figure: Figure, marker: str) -> np.ndarray:
    """Coordinates [N, 2] of all marks of one shape with unit-coloured faces."""
    lines = [line for axes in figure.axes for line in axes.lines if line.get_marker() == marker]
    return np.concatenate([line.get_xydata() for line in lines]) if lines else np.zeros((0, 2))


def unknown(findings: Findings, **wanted: str) -> Findings:
    """The findings with every matching change of a gap made not estimable."""
    rows = findings.fairness.copy()
    keep = rows["version"] == "change"
    for column, value in wanted.items():
        keep &= rows[column] == value
    rows.loc[
        keep,
        [
            "value",
            "original",
            "reconstructed",
            "change",
            "ci_low",
            "ci_high",
            "p_value",
            "p_adjusted",
        ],
    ] = math.nan
    rows.loc[keep, ["verdict", "reason"]] = ["not estimable", "too few"]
    return dataclasses.replace(findings, fairness=rows)


ALL = (
    quality.overview, forest.overview, quality.image_quality, quality.task_performance, quality.task_change, gaps.baseline,
    gaps.bias_changes, gaps.histogram, forest.gap_forests, gaps.verdict_maps, gaps.volcano, groups.group_performances,
    groups.group_changes, groups.intersections, mitigations.tradeoff,
)  # fmt: skip


@pytest.mark.parametrize("maker", ALL, ids=lambda f: f.__name__)
def test_nothing_to_draw_is_no_figure(nothing, maker):
    assert not maker(nothing)


@pytest.mark.parametrize("maker", ALL[:-1], ids=lambda f: f.__name__)
def test_figures_have_words_and_numbers(mri, maker):
    made = maker(mri)
    for drawing in made if isinstance(made, list) else [made]:
        assert drawing.title
        assert len(drawing.caption) > 40
        assert len(drawing.alt) > 20
        assert not drawing.table.empty
        assert drawing.key.replace("_", "").isalnum()


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
            quality.draw_levels(figure.subplots(), mri, rows)
        assert texts(figure).count("n.e.") == count


def test_overview_draws_the_table_s_psnr(mri):
    drawing = quality.overview(mri)
    drawn = marks(drawing.figure, "o")[:, 1]
    wanted = mri.pick("performance", metric="psnr", version="reconstructed", attribute="")["value"]
    assert set(np.round(wanted, 6)) <= set(np.round(drawn, 6))


def labels(figure: Figure) -> list[str]:
    """All entries of the figure's legend."""
    return [t.get_text() for t in figure.legends[0].get_texts()]


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


def test_forest_marks_stand_at_the_changes(mri):
    drawing = forest.overview(mri)
    wanted = mri.gap_changes()["change"].dropna()
    assert sorted(np.round(marks(drawing.figure, "o")[:, 0], 9)) == pytest.approx(
        sorted(np.round(wanted, 9))
    )


def test_not_estimable_changes_are_written_not_drawn(mri):
    found = unknown(mri, task="grade")
    drawing = forest.overview(found)
    rows = found.gap_changes()
    assert texts(drawing.figure).count("n.e.") == int(rows["change"].isna().sum()) > 0
    assert len(marks(drawing.figure, "o")) == int(rows["change"].notna().sum())


@pytest.mark.parametrize("attribute", ["sex", "age"])
def test_gap_forests_say_the_verdict_in_words(mri, attribute):
    found = unknown(mri, task="type")
    drawing = forest.gap_forest(found, attribute)
    words = texts(drawing.figure)
    rows = found.gap_changes(attribute=attribute)
    assert sum("not estimable" in w for w in words) == int(rows["change"].isna().sum())
    assert sum("within chance" in w for w in words) == int(
        (rows["verdict"] == "within chance").sum()
    )


def test_gap_forests_draw_the_chance_floor(mri):
    gap = forest.gap_forest(mri, "sex").figure.axes[0]
    nulls = mri.gap_changes(attribute="sex", metric="eodd")["permutation_null"].dropna()
    assert sorted(
        bar.get_width() for bar in gap.patches if abs(bar.get_height()) == 1.0
    ) == pytest.approx(sorted(nulls))


def test_strong_marks_are_the_changed_ones(mri):
    rows = mri.fairness.copy()
    change = (rows["version"] == "change") & (rows["convention"] == "worst_case_estimable")
    rows.loc[change, "verdict"] = np.where(
        rows.loc[change, "task"] == "grade", "widened", "within chance"
    )
    drawing = forest.overview(dataclasses.replace(mri, fairness=rows))
    strong = [
        line
        for axes in drawing.figure.axes
        for line in axes.lines
        if line.get_marker() == "o" and line.get_alpha() == 1.0
    ]
    grade = mri.gap_changes(task="grade")["change"].dropna()
    assert sum(len(line.get_xdata()) for line in strong) == len(grade)
    assert texts(drawing.figure).count("▲") == len(grade)


def test_verdict_map_has_one_tile_per_cell(mri):
    found = unknown(mri, task="tumour")
    drawing = gaps.verdict_map(found, "none")
    rows = found.gap_changes()
    assert sum(len(axes.patches) for axes in drawing.figure.axes) == len(rows)
    assert sum(bool(p.get_hatch()) for axes in drawing.figure.axes for p in axes.patches) == int(
        rows["change"].isna().sum()
    )


def test_mitigated_methods_get_their_own_map_and_marker(mitigated):
    assert [d.key for d in gaps.verdict_maps(mitigated)] == [
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
    places = gaps.apart([1.0, 0.99, 0.98, 0.2], 0.1)
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


def test_group_performance_shows_counts_under_every_group(mri):
    drawing = groups.group_performance(mri, "sex", "auroc")
    words = texts(drawing.figure)
    assert words.count("10 / 50") == 4
    assert "n.e." in words, "ten positives are too few"


def test_group_performance_marks_values(mri):
    drawing = groups.group_performance(mri, "sex", "dice")
    rows = mri.pick(
        "performance", attribute="sex", metric="dice", level=8.0, version="reconstructed"
    )["value"].dropna()
    assert sorted(marks(drawing.figure, "o")[:, 0]) == pytest.approx(sorted(rows))


def test_image_quality_has_a_panel_per_attribute(mri):
    drawing = groups.group_performance(mri, "age", "psnr")
    assert drawing.key == "groups_age_psnr"
    assert drawing.figure.axes[0].get_title(loc="left") == "image quality"
    assert len(marks(drawing.figure, "o")) == 2 * 2


def test_group_changes_follow_groups_and_strata(mri):
    keys = {d.key for d in groups.group_changes(mri)}
    assert keys == {
        f"group_change_{a}_{m}" for a in ("sex", "age") for m in ("sensitivity_positive", "dice")
    }


def test_group_changes_that_are_unknown_are_said_to_be(mri):
    rows = mri.fairness.copy()
    mine = (rows["metric"] == "gap_sensitivity") & (rows["group"] == "Male")
    rows.loc[mine, ["value", "change"]] = math.nan
    found = dataclasses.replace(mri, fairness=rows)
    drawing = next(
        d for d in groups.group_changes(found) if d.key == "group_change_sex_sensitivity_positive"
    )
    assert texts(drawing.figure).count("n.e.") == 2


def test_a_figure_without_a_single_known_change_is_left_out(mri):
    rows = mri.fairness.copy()
    mine = rows["metric"].isin(["eodd", "gap_sensitivity"])
    rows.loc[mine, ["value", "change", "original", "permutation_null"]] = math.nan
    found = dataclasses.replace(mri, fairness=rows)
    assert {d.key for d in gaps.bias_changes(mri)} - {d.key for d in gaps.bias_changes(found)} == {
        "bias_change_eodd"
    }
    assert {d.key for d in groups.group_changes(found)} == {
        "group_change_sex_dice",
        "group_change_age_dice",
    }
    baseline = gaps.baseline(found).figure
    assert [list(axes.get_xticks()) == [] for axes in baseline.axes] == [True, True, False, False]
    assert texts(baseline).count("n.e.") == 4


def test_intersections_show_counts_and_hatch_the_unknown(mri):
    drawings = groups.intersections(mri)
    assert [d.key for d in drawings] == [
        "intersection_sex_x_age_unet",
        "intersection_sex_x_age_irsde",
    ]
    axes = drawings[0].figure.axes[0]
    words = [t.get_text() for t in axes.texts]
    assert len(words) == 3 * 4
    assert all(any(ch.isdigit() for ch in w) for w in words), "every cell carries its count"
    hatched = [p for p in axes.patches if p.get_hatch()]
    assert len(hatched) == sum(w.startswith("n.e.") for w in words) > 0


def test_stratum_words():
    assert (
        groups.stratum_phrase("1")
        == groups.stratum_phrase("positive")
        == "patients with the finding"
    )
    assert groups.stratum_phrase("large tumour") == "large tumour"


def test_tradeoff_averages_over_tasks_that_all_methods_have(mitigated):
    rows = mitigations.tradeoff_rows(mitigated)
    assert len(rows) == 3 * 2
    assert rows.groupby("attribute")["tasks"].nunique().eq(1).all()
    gaps = mitigated.gap_changes().dropna(subset=["change"])
    full = gaps.groupby(["task", "attribute"])["change"].transform("size") == 3
    wanted = gaps[full & (gaps["mitigation"] == "eodd") & (gaps["attribute"] == "sex")][
        "change"
    ].mean()
    mine = rows[(rows["mitigation"] == "eodd") & (rows["attribute"] == "sex")]["gap_change"].iloc[0]
    assert mine == pytest.approx(wanted)


def test_no_tradeoff_without_mitigation(mri):
    assert mitigations.tradeoff(mri) is None


def test_a_reconstructor_has_one_colour_in_all_figures(mri):
    wanted = mri.looks["irsde"].color.lower()
    for drawing in (
        quality.overview(mri),
        forest.overview(mri),
        gaps.bias_change(mri, "eodd"),
        groups.group_performance(mri, "sex", "dice"),
    ):
        colors = {to_hex(line.get_color()) for axes in drawing.figure.axes for line in axes.lines}
        assert wanted in colors


def test_marks_skip_unknown_bounds():
    found = Marks()
    look = make_look()
    found.add(look, "o", 0.0, 1.0, 0.5, 1.5)
    found.add(look, "o", 1.0, 2.0, math.nan, 2.5)
    with canvas(1.0) as figure:
        axes = figure.subplots()
        found.draw(axes)
    assert np.isfinite(axes.lines[0].get_xdata()).sum() == 2
    assert len(axes.lines[1].get_xdata()) == 2


def make_look():
    from fairrecon_jax.report.figures import style

    return style.looks(["unet"])["unet"]


def test_equal_spans_unless_one_panel_needs_far_more():
    with canvas(1.0) as figure:
        panels = list(figure.subplots(1, 3))
        for axes, high in zip(panels, (1.0, 1.2, 1.5), strict=True):
            axes.set_ylim(0, high)
        assert quality.equal_spans(panels)
        assert {round(axes.get_ylim()[1] - axes.get_ylim()[0], 9) for axes in panels} == {1.5}
        panels[0].set_ylim(0, 50)
        assert not quality.equal_spans(panels)


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (3, 3)])
def test_offsets_are_centred(count, expected):
    found = offsets(count)
    assert len(found) == expected
    assert abs(found.sum()) < 1e-12


def test_small_words():
    assert signed(0.004) == "0.00"
    assert signed(-0.25) == "−0.25"
    assert wrap("", 5) == ""
    assert wrap("Pleural Consolidation", 10) == "Pleural\nConsolidation", (
        "a word is not broken for a few letters"
    )
    assert wrap("x" * 30, 10) == "x" * 16 + "\n" + "x" * 14
    assert forest.slug("sex x Größe & <b>") == "sex_x_gr__e____b"
    assert forest.slug("ß") == "unnamed"
    assert forest.p_words(0.0004) == "< 0.001"
    assert forest.p_words(0.0312) == "= 0.031"


def overlaps(drawing) -> list[tuple[str, str]]:
    """Pairs of tick labels of one axis that touch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas_ = FigureCanvasAgg(drawing.figure)
    canvas_.draw()
    found = []
    for axes in drawing.figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [
                t
                for t in axis.get_ticklabels()
                if t.get_text() and t.get_visible() and axes.get_visible()
            ]
            boxes = [t.get_window_extent() for t in labels]
            upright = [not t.get_rotation() for t in labels]
            for i in range(len(boxes) - 1):
                if upright[i] and boxes[i].overlaps(boxes[i + 1]):
                    found.append((labels[i].get_text(), labels[i + 1].get_text()))
    return found


def test_fifteen_tasks_do_not_overlap():
    spec = fake.xray_spec(15)
    cells = [(r, 1e4, "none") for r in ("unet", "pix2pix", "irsde")]
    found = Findings.of(
        spec, fake.performance(spec, cells, intersections=False), fake.fairness(spec, cells)
    )
    for drawing in (
        forest.overview(found),
        quality.task_change(found),
        gaps.bias_change(found, "eodd"),
        gaps.verdict_map(found, "none"),
    ):
        assert overlaps(drawing) == [], drawing.key


def test_the_signs_over_the_map_of_verdicts_stand_clear_of_title_and_tiles(mri):
    figure = gaps.verdict_map(mri, "none").figure
    figure.canvas.draw()
    axes, scale = figure.axes[0], figure.dpi / 72
    top = axes.get_window_extent().y1
    (sign, *_) = [line for line in axes.lines if line.get_marker() != "None"]
    at = sign.get_transform().transform(sign.get_xydata())[0, 1]
    title = axes.title if axes.title.get_text() else axes._left_title
    half = sign.get_markersize() / 2 * scale
    assert at - half > top
    assert title.get_window_extent().y0 - (at + half) > 2 * scale


@pytest.mark.parametrize(
    "maker",
    [forest.overview, quality.task_change, forest.gap_forests, groups.group_changes],
    ids=lambda f: f.__name__,
)
def test_numbers_along_an_axis_do_not_run_into_each_other(maker):
    made = maker(make(fake.xray_spec(4), ("unet", "pix2pix", "irsde")))
    for drawing in made if isinstance(made, list) else [made]:
        drawing.figure.canvas.draw()
        for axes in drawing.figure.axes:
            boxes = [
                t.get_window_extent()
                for t in axes.get_xticklabels()
                if t.get_text() and t.get_visible()
            ]
            inside = [b for b in boxes if axes.bbox.x0 - 1 <= (b.x0 + b.x1) / 2 <= axes.bbox.x1 + 1]
            assert all(a.x1 < b.x0 for a, b in itertools.pairwise(inside)), drawing.key


def test_many_groups_are_all_named_and_counted():
    groups_of = tuple(f"group {i}" for i in range(14))
    spec = dataclasses.replace(
        fake.mri_spec(), attributes=(dataclasses.replace(fake.SEX, groups=groups_of),)
    )
    for drawing in groups.group_performances(make(spec)):
        labels = [t.get_text().replace("\n", " ") for t in drawing.figure.axes[0].get_yticklabels()]
        assert labels == list(groups_of)
        assert drawing.figure.get_figheight() > 14 * 0.2, "each group has its line"


def test_names_under_three_attributes_do_not_touch():
    drawing = gaps.bias_change(make(fake.xray_spec(3)), "eodd")
    drawing.figure.canvas.draw()
    for axes in drawing.figure.axes:
        assert {t.get_rotation() for t in axes.get_xticklabels()} == {38.0}
        assert [t.get_text() for t in axes.get_xticklabels()] == [
            "Atelectasis",
            "Cardiomegaly",
            "Consolidation",
        ]
    short = gaps.bias_change(make(fake.mri_spec()), "ser")
    assert {t.get_rotation() for axes in short.figure.axes for t in axes.get_xticklabels()} == {0.0}


def test_an_image_metric_says_once_why_it_is_missing():
    findings = make(fake.mri_spec())
    rows = findings.performance.copy()
    rows.loc[rows["metric"] == "lpips", "reason"] = "not computed: no column"
    drawn = texts(quality.image_quality(dataclasses.replace(findings, performance=rows)).figure)
    assert [t.replace("\n", " ") for t in drawn if "computed" in t] == ["not computed: no column"]
