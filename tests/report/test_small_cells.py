"""Numbers that rest on a handful are withheld, others are not touched."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

import fairrecon_jax as fr
from fairrecon_jax.report.build import build_report
from fairrecon_jax.report.cohort import counts, prevalence
from fairrecon_jax.report.long_tables import clean
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.small_cells import RESULTS, withheld


@pytest.fixture(scope="module")
def audit():
    rng = np.random.default_rng(0)
    group = np.repeat(["large", "middle", "small"], [250, 42, 8])
    y = (rng.random(300) < 0.5).astype(float)
    y[250:292] = np.arange(42) < 5
    y[292:] = np.arange(8) < 4
    after = np.clip(0.2 + 0.6 * y + rng.normal(0, 0.2, 300), 0, 1)
    return fr.assess(label=y, original=y * 0.9, reconstructed=after, groups={"site": group})


def cleaned(audit) -> tuple[pd.DataFrame, pd.DataFrame]:
    return clean(audit.performance, "performance"), clean(audit.fairness, "fairness")


def test_rates_of_the_few_go_and_with_them_those_of_the_next_smallest(audit):
    rows, gaps = cleaned(audit)
    kept, _ = withheld(rows, gaps, 10)
    own = rows["metric"] == "sensitivity"
    for group, hidden in (("small", True), ("middle", True), ("large", False)):
        part = own & (rows["group"] == group)
        assert rows.loc[part, "value"].notna().any()
        assert kept.loc[part, RESULTS].isna().all().all() == hidden, group
    assert (kept.loc[own & (rows["group"] == "small"), "reason"] == "withheld: fewer than 10").all()
    everyone = rows["group"] == ""
    columns = ["value", "ci_low"]
    pd.testing.assert_frame_equal(kept.loc[everyone, columns], rows.loc[everyone, columns])


def test_gaps_that_the_few_take_part_in_go(audit):
    _, gaps = cleaned(audit)
    _, kept = withheld(*cleaned(audit), 10)
    conventions = {"worst_case": True, "mean": True, "worst_case_estimable": False}
    for convention, hidden in conventions.items():
        part = (gaps["convention"] == convention) & (gaps["metric"] == "eodd")
        assert gaps.loc[part, "value"].notna().any(), convention
        assert kept.loc[part, RESULTS].isna().all().all() == hidden, convention


def test_an_auroc_rests_on_its_rarer_label(audit):
    rows, gaps = cleaned(audit)
    kept, _ = withheld(rows, gaps, 10)
    part = (rows["metric"] == "auroc") & (rows["group"] == "middle")
    assert rows.loc[part, "n_pos"].max() < 10 < rows.loc[part, "n_patients"].max()
    assert kept.loc[part, "value"].isna().all()


def test_no_count_from_one_to_nine_is_left_in_columns_or_words(audit):
    for kept in withheld(*cleaned(audit), 10):
        for column in ("n", "n_patients", "n_pos", "n_neg", "n_changed"):
            values = kept[column].dropna()
            assert not ((values > 0) & (values < 10)).any(), column
        told = " ".join(kept["reason"])
        assert not re.search(r"\b[1-9] (patients?\)|decisions? changed)", told)
    assert "fewer than 10 patients)" in told


@pytest.mark.parametrize("least", [0, 1])
def test_where_all_may_be_shown_nothing_changes(audit, least):
    given = cleaned(audit)
    assert withheld(*given, least)[0] is given[0]


def test_the_tables_of_the_patients_say_fewer_than(audit):
    table = audit.table.assign(finding=audit.table["finding__label"])
    frame = counts(audit.spec, table, 10).frame
    told = {row[1]: row[2:] for row in frame.itertuples(index=False, name=None)}
    assert told["small"] == ("< 10", "withheld")
    # everyone minus the large would tell
    assert told["middle"] == ("withheld", "withheld")
    assert told["large"][0] == 250
    shares = prevalence(audit.spec, table, 10).frame
    assert "withheld" in shares["small"].iloc[0].reason
    assert "%" in shares["large"].iloc[0]


def test_no_small_number_is_in_the_files_of_a_report(audit, tmp_path):
    columns = ["example_id", "patient_id", "split", "site"]
    given = audit.spec, audit.performance, audit.fairness, audit.table[columns]
    options = ReportOptions(dpi=50, pdf=False)
    page = build_report(tmp_path, *given, options=options)
    assert "&lt; 10" in page.read_text(encoding="utf-8")
    assert "Numbers that rest on fewer than 10" in page.read_text(encoding="utf-8")
    rows = pd.read_csv(page.parent / "tables" / "long_performance.csv")
    assert rows.loc[rows["group"] == "small", "value"].isna().all()
    shown = build_report(tmp_path, *given, options=dataclasses.replace(options, min_cell=0))
    rows = pd.read_csv(shown.parent / "tables" / "long_performance.csv")
    assert rows.loc[rows["group"] == "small", "value"].notna().any()
