"""Curves along a continuous attribute in the report."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import assess, trends
from fairrecon_jax.report.build import build_report
from fairrecon_jax.report.figures.trends import curves
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.select import Findings
from tests.support import hand

TASKS = ("alike", "same")


@pytest.fixture(scope="module")
def study():
    table = hand.table(TASKS)
    table["age_years"] = np.random.default_rng(0).uniform(20, 90, len(table))
    options = hand.options(permutations=199, continuous=("age_years",))
    return (
        table,
        *assess(table, hand.spec(TASKS), options),
        trends(table, hand.spec(TASKS), options),
    )


def findings(study) -> Findings:
    _, performance, fairness, along = study
    return dataclasses.replace(Findings.of(hand.spec(TASKS), performance, fairness), trends=along)


def test_a_figure_per_task_says_what_the_test_says(study):
    drawn = curves(findings(study))
    assert [d.key for d in drawn] == ["trend_age_years_alike", "trend_age_years_same"]
    first = drawn[0]
    verdict = study[3].loc[study[3]["task"] == "alike", "verdict"].iloc[0]
    assert f"U-Net: {verdict}, adjusted p" in first.caption
    assert "along age years" in first.title
    assert [axes.get_title(loc="left") for axes in first.figure.axes] == [
        "sensitivity",
        "specificity",
    ]
    line = first.figure.axes[0].lines[1]
    np.testing.assert_allclose(
        line.get_ydata(), first.table.loc[first.table["metric"] == "sensitivity", "change"]
    )


def test_a_column_of_any_name_gives_one_file(study):
    named = study[3].assign(column="dose mGy/cm")
    drawn = curves(dataclasses.replace(findings(study), trends=named))
    assert [d.key for d in drawn] == ["trend_dose_mgy_cm_alike", "trend_dose_mgy_cm_same"]
    assert "along dose mGy/cm" in drawn[0].title


def test_nothing_is_drawn_without_curves(study):
    assert curves(dataclasses.replace(findings(study), trends=None)) == []
    few = study[3].assign(change=np.nan)
    assert curves(dataclasses.replace(findings(study), trends=few)) == []


def test_the_page_has_a_section_where_there_are_curves(study, tmp_path):
    _, performance, fairness, along = study
    given = (hand.spec(TASKS), performance, fairness, pd.DataFrame())
    quick = {"options": ReportOptions(dpi=50, pdf=False)}
    page = build_report(tmp_path / "with", *given, trends=along, **quick).read_text()
    assert "Along age and other numbers" in page
    without = build_report(tmp_path / "without", *given, **quick).read_text()
    assert "Along age and other numbers" not in without
