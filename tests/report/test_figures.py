"""What holds for every figure: words, numbers, looks, and texts that do not touch."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fairrecon_jax.report.figures import (
    changes,
    forest,
    gaps,
    groups,
    intersections,
    mitigations,
    quality,
    style,
    verdicts,
)
from fairrecon_jax.report.figures.drawing import Marks, canvas, offsets, signed, wrap
from fairrecon_jax.report.select import Findings
from tests.support import report_fake as fake
from tests.support.figure_parts import overlaps
from tests.support.report_findings import findings_of

ALL = (
    quality.overview, forest.overview, quality.image_quality, quality.task_performance,
    changes.task_change, gaps.baseline, gaps.bias_changes, gaps.histogram, forest.gap_forests,
    verdicts.verdict_maps, verdicts.volcano, groups.group_performances, groups.group_changes,
    intersections.intersections, mitigations.tradeoff,
)  # fmt: skip


@pytest.mark.parametrize("maker", ALL, ids=lambda f: f.__name__)
def test_nothing_to_draw_is_no_figure(nothing, maker):
    assert not maker(nothing)


@pytest.mark.parametrize("maker", ALL[:-1], ids=lambda f: f.__name__)
def test_figures_have_words_and_numbers(mri, maker):
    drawings = maker(mri)
    for drawing in drawings if isinstance(drawings, list) else [drawings]:
        assert drawing.title
        assert len(drawing.caption) > 40
        assert len(drawing.alt) > 20
        assert not drawing.table.empty
        assert drawing.key.replace("_", "").isalnum()


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
    collected = Marks()
    look = style.looks(["unet"])["unet"]
    collected.add(look, "o", 0.0, 1.0, 0.5, 1.5)
    collected.add(look, "o", 1.0, 2.0, math.nan, 2.5)
    with canvas(1.0) as figure:
        axes = figure.subplots()
        collected.draw(axes)
    assert np.isfinite(axes.lines[0].get_xdata()).sum() == 2
    assert len(axes.lines[1].get_xdata()) == 2


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (3, 3)])
def test_offsets_are_centred(count, expected):
    positions = offsets(count)
    assert len(positions) == expected
    assert abs(positions.sum()) < 1e-12


def test_small_words():
    assert signed(0.004) == "0.00"
    assert signed(-0.25) == "−0.25"
    assert wrap("", 5) == ""
    assert wrap("Pleural Consolidation", 10) == "Pleural\nConsolidation", (
        "a word is not broken for a few letters"
    )
    assert wrap("x" * 30, 10) == "x" * 16 + "\n" + "x" * 14
    assert forest.p_words(0.0004) == "< 0.001"
    assert forest.p_words(0.0312) == "= 0.031"


def test_fifteen_tasks_do_not_overlap():
    spec = fake.xray_spec(15)
    cells = [(r, 1e4, "none") for r in ("unet", "pix2pix", "irsde")]
    study = Findings.of(
        spec, fake.performance(spec, cells, intersections=False), fake.fairness(spec, cells)
    )
    for drawing in (
        forest.overview(study),
        changes.task_change(study),
        gaps.bias_change(study, "eodd"),
        verdicts.verdict_map(study, "none"),
    ):
        assert overlaps(drawing) == [], drawing.key


@pytest.mark.parametrize(
    "maker",
    [forest.overview, changes.task_change, forest.gap_forests, groups.group_changes],
    ids=lambda f: f.__name__,
)
def test_numbers_along_an_axis_do_not_run_into_each_other(maker):
    study = maker(findings_of(fake.xray_spec(4), ("unet", "pix2pix", "irsde")))
    for drawing in study if isinstance(study, list) else [study]:
        drawing.figure.canvas.draw()
        for axes in drawing.figure.axes:
            boxes = [
                t.get_window_extent()
                for t in axes.get_xticklabels()
                if t.get_text() and t.get_visible()
            ]
            inside = [b for b in boxes if axes.bbox.x0 - 1 <= (b.x0 + b.x1) / 2 <= axes.bbox.x1 + 1]
            assert all(a.x1 < b.x0 for a, b in itertools.pairwise(inside)), drawing.key


def test_names_under_three_attributes_do_not_touch():
    drawing = gaps.bias_change(findings_of(fake.xray_spec(3)), "eodd")
    drawing.figure.canvas.draw()
    for axes in drawing.figure.axes:
        assert {t.get_rotation() for t in axes.get_xticklabels()} == {38.0}
        assert [t.get_text() for t in axes.get_xticklabels()] == [
            "Atelectasis",
            "Cardiomegaly",
            "Consolidation",
        ]
    short = gaps.bias_change(findings_of(fake.mri_spec()), "ser")
    assert {t.get_rotation() for axes in short.figure.axes for t in axes.get_xticklabels()} == {0.0}
