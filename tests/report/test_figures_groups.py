"""Figures of single groups and of intersections: counts, marks, what is not estimable."""

from __future__ import annotations

import dataclasses

import pytest

from fairrecon_jax.report.figures import (
    groups,
    intersections,
    style,
)
from tests.support import report_fake as fake
from tests.support.figure_parts import marks, texts
from tests.support.report_findings import findings_of


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
    rates = ("sensitivity_positive", "specificity_negative", "dice", "score_positive")
    assert keys == {f"group_change_{a}_{m}" for a in ("sex", "age") for m in rates}


def test_group_changes_are_points_beside_the_others_with_a_sign_for_each_claim(mri):
    for drawing in groups.group_changes(mri):
        scale = 1 if "score" in drawing.key else 100
        drawn = sorted(marks(drawing.figure, "o")[:, 0])
        assert drawn == pytest.approx(sorted(scale * drawing.table["change"]))
        assert set(drawing.table["reference_group"]) == {"the other groups"}
        words = texts(drawing.figure)
        for verdict, sign in style.VERDICT_SIGNS.items():
            assert words.count(sign) == int((drawing.table["verdict"] == verdict).sum())


def test_intersections_show_counts_and_hatch_what_is_unknown(mri):
    drawings = intersections.intersections(mri)
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


def test_many_groups_are_all_named_and_counted():
    groups_of = tuple(f"group {i}" for i in range(14))
    spec = dataclasses.replace(
        fake.mri_spec(), attributes=(dataclasses.replace(fake.SEX, groups=groups_of),)
    )
    for drawing in groups.group_performances(findings_of(spec)):
        labels = [t.get_text().replace("\n", " ") for t in drawing.figure.axes[0].get_yticklabels()]
        assert labels == list(groups_of)
        assert drawing.figure.get_figheight() > 14 * 0.2, "each group has its line"
