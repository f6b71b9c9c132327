"""Numbers that rest on a handful are withheld, others are not touched."""

from __future__ import annotations

import dataclasses

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
    group = np.repeat(["large", "small"], [292, 8])
    y = (rng.random(300) < 0.5).astype(float)
    after = np.clip(0.2 + 0.6 * y + rng.normal(0, 0.2, 300), 0, 1)
    return fr.assess(label=y, original=y * 0.9, reconstructed=after, groups={"site": group})


def test_rates_of_the_few_go_and_those_of_the_many_stay(audit):
    rows = clean(audit.performance, "performance")
    kept = withheld(rows, 10)
    own = (rows["group"] == "small") & (rows["version"] != "") & (rows["metric"] == "sensitivity")
    assert rows.loc[own, "value"].notna().any()
    assert kept.loc[own, RESULTS].isna().all().all()
    assert (kept.loc[own, "reason"] == "withheld: fewer than 10").all()
    others = rows["group"] != "small"
    pd.testing.assert_frame_equal(
        kept.loc[others, ["value", "ci_low"]], rows.loc[others, ["value", "ci_low"]]
    )


def test_no_count_from_one_to_nine_is_left(audit):
    for name in ("performance", "fairness"):
        kept = withheld(clean(getattr(audit, name), name), 10)
        for column in ("n", "n_patients", "n_pos", "n_neg", "n_changed"):
            values = kept[column].dropna()
            assert not ((values > 0) & (values < 10)).any(), (name, column)


@pytest.mark.parametrize("least", [0, 1])
def test_where_all_may_be_shown_nothing_changes(audit, least):
    rows = clean(audit.performance, "performance")
    assert withheld(rows, least) is rows


def test_the_tables_of_the_patients_say_fewer_than(audit):
    table = audit.table.assign(finding=audit.table["finding__label"])
    frame = counts(audit.spec, table, 10).frame
    small = frame[frame["group"] == "small"].iloc[0].tolist()
    assert small[2:] == ["< 10", "withheld"]
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
