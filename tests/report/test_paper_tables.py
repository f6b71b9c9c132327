"""Tables in the paper's form: right entries in the right places, missing ones with their reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fairrecon_jax.report import select
from fairrecon_jax.report.claims import SECONDARY
from fairrecon_jax.report.long_tables import GAPS, OTHERS
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import entries, performance
from fairrecon_jax.report.tables import gaps as gap_tables
from fairrecon_jax.report.tables import mitigation as mitigation_tables
from fairrecon_jax.report.tables.entries import Missing
from tests.support import report_fake as fake
from tests.support.report_findings import findings_of


@pytest.fixture(scope="module")
def with_eodd() -> Findings:
    return findings_of(fake.mri_spec(), ("unet",), ("none", "eodd"))


def test_performance_has_a_block_per_level(mri):
    table = performance.by_level(mri)
    assert [words for words, _ in table.spans] == [
        "",
        *(f"acceleration factor {v}×" for v in (4, 8, 16)),
    ]
    assert sum(width for _, width in table.spans) == table.frame.shape[1] == 1 + 3 * 3
    assert list(table.frame.columns[:4]) == ["", "original", "U-Net", "IR-SDE"]


def test_performance_entries_are_the_table_s_values(mri):
    frame = performance.by_level(mri).frame
    row = select.one(
        mri.pick(
            "performance",
            task="grade",
            metric="auroc",
            attribute="",
            version="reconstructed",
            level=8.0,
        ),
        reconstructor="irsde",
    )
    assert frame.iloc[0, 6].startswith(f"{row['value']:.3f} ({row['ci_low']:.3f}–")


def test_lpips_is_missing_with_its_reason(mri):
    frame = performance.by_level(mri).frame
    entries = frame[frame[""] == "LPIPS"].iloc[0, 1:]
    missing = [c for c in entries if isinstance(c, Missing)]
    assert len(missing) == 6
    assert {c.reason for c in missing} == {"LPIPS weights cannot be imported yet"}


def test_a_level_that_was_not_run_is_missing_not_empty(mri):
    rows = mri.performance
    less = dataclasses.replace(
        mri, performance=rows[~((rows["level"] == 16.0) & (rows["reconstructor"] == "irsde"))]
    )
    entry = performance.by_level(less).frame.iloc[0, 9]
    assert entry == Missing(performance.NOT_COMPUTED)


def test_baseline_means_are_means_over_tasks(mri):
    frame = gap_tables.baseline(mri).frame
    gaps = mri.pick(
        "fairness",
        metric="eodd",
        attribute="sex",
        version="original",
        reconstructor="unet",
        level=8.0,
    )["value"]
    selected = frame[(frame["gap"] == "EODD") & (frame["attribute"] == "sex")].iloc[0]
    assert selected["mean over tasks"] == f"{gaps.mean():.3f}"
    assert selected["tasks estimated"] == "2 of 2"
    assert frame[frame["gap"] == "SER"].iloc[0]["sd over tasks"] == "–", "one task has no spread"


def test_median_changes_are_medians(mri):
    frame = gap_tables.median_changes(mri).frame
    percent = mri.gap_changes(reconstructor="unet")["percent"].dropna()
    value = float(frame.iloc[0]["median change %"].replace("−", "-"))
    assert value == pytest.approx(percent.median(), abs=0.051)
    assert float(frame.iloc[0]["median absolute change %"]) == pytest.approx(
        percent.abs().median(), abs=0.051
    )


def test_verdicts_add_up(mri):
    frame = gap_tables.median_changes(mri).frame
    parts = ["harmed", "favoured", "no difference shown", "not judged"]
    assert (frame[parts].astype(int).sum(axis=1) == frame["gaps"].astype(int)).all()
    became = frame[["widened", "narrowed", "reversed"]].astype(int).sum(axis=1)
    assert (became <= frame[["harmed", "favoured"]].astype(int).sum(axis=1)).all()


def test_without_a_verdict_method_the_columns_say_so(mri):
    untested = dataclasses.replace(mri, fairness=mri.fairness.assign(verdict=""))
    frame = gap_tables.median_changes(untested).frame
    assert set(frame["harmed"]) == set(frame["widened"]) == {"no test"}
    assert set(gap_tables.verdicts(untested).frame["verdict"]) == {"no test ran"}


def test_every_change_is_listed_with_its_verdict(mri):
    frame = gap_tables.verdicts(mri).frame
    rows = mri.change_rows("fairness", metric=[*GAPS, "gap_score"])
    rows = rows[rows["reference_group"] != OTHERS]
    assert len(frame) == len(rows)
    assert frame["level"].tolist() == sorted(frame["level"], key=["4×", "8×", "16×"].index)
    assert frame["verdict"].str.startswith("▼").sum() == (rows["verdict"] == "harmed").sum() > 0
    assert set(frame.loc[frame["tests"] == "primary", "level"]) == {"8×"}
    assert set(frame.loc[frame["tests"] == "primary", "gap"]) == {"EODD", "SER"}


def test_beside_each_gap_stand_the_group_and_the_worst_off(mri):
    frame = gap_tables.verdicts(mri).frame
    chosen = frame[
        (frame["gap"] == "EODD")
        & (frame["diagnosis"] == "WHO grade IV")
        & (frame["level"] == "8×")
        & (frame["attribute"] == "sex")
        & (frame["method"] == "U-Net")
    ].iloc[0]
    wanted = {"task": "grade", "attribute": "sex", "level": 8.0, "reconstructor": "unet"}
    worst = select.one(
        mri.pick("fairness", metric="worst_group_sensitivity", version="change", **wanted)
    )
    before, after = (f"{100 * worst[c]:.0f}" for c in ("original", "reconstructed"))
    assert chosen["worst-off group"].startswith(f"sensitivity {before} to {after}, specificity ")
    rows = mri.change_rows("fairness", metric="gap_sensitivity", **wanted)
    group, _, label = chosen["group"].partition(", ")
    assert label == "patients with the finding"
    extra = select.one(rows, group=group)
    assert chosen["beyond the others (95% interval)"] == entries.with_interval(
        extra["change"], extra["ci_low"], extra["ci_high"], 3, sign=True
    )
    assert "(" not in chosen["change"], "a gap has no interval"


def test_counts_of_verdicts_say_that_secondary_ones_err_more_often(mri):
    for make in (gap_tables.median_changes, gap_tables.verdicts):
        assert SECONDARY in make(mri).caption


def test_not_estimable_verdicts_carry_their_reason(mri):
    rows = mri.fairness.copy()
    matching = (
        (rows["metric"] == "eodd") & (rows["version"] == "change") & (rows["task"] == "grade")
    )
    rows.loc[matching, ["verdict", "reason"]] = ["not estimable", "too few"]
    rows.loc[matching, ["value", "original", "reconstructed", "change"]] = np.nan
    frame = gap_tables.verdicts(dataclasses.replace(mri, fairness=rows)).frame
    matching = frame[(frame["gap"] == "EODD") & (frame["diagnosis"] == "WHO grade IV")]
    assert set(matching["original"]) == {Missing("too few")}
    assert set(matching["verdict"]) == {"not estimable"}
    assert set(matching["group"]) == {""}


def test_gaps_of_image_quality_are_listed(mri, with_eodd):
    frame = performance.image_gaps(mri).frame
    assert len(frame) == 3 * 2 * 2
    assert frame.iloc[0].tolist() == [
        "4×",
        "PSNR (dB)",
        "sex",
        "U-Net",
        "0.200 (0.100–0.300)",
        "0.060",
        "0.20",
    ]
    assert set(performance.image_gaps(with_eodd).frame["method"]) == {"U-Net"}


def test_mitigation_tables_compare_with_the_same_method(with_eodd, mri):
    cost = mitigation_tables.mean_cost(with_eodd).frame
    assert cost[["method", "mitigation"]].to_numpy().tolist() == [["U-Net", "equalised-odds loss"]]
    assert gap_tables.median_changes_by_attribute(with_eodd).frame["mitigation"].tolist() == [
        "no mitigation",
        "equalised-odds loss",
    ]
    assert mitigation_tables.mean_cost(mri) is None


def test_mitigation_cost_in_psnr(with_eodd):
    rows = with_eodd.performance.copy()
    base = (rows["metric"] == "psnr") & (rows["mitigation"] == "none")
    rows.loc[base, "value"] = 40.0
    rows.loc[(rows["metric"] == "psnr") & ~base, "value"] = 39.0
    cost = mitigation_tables.mean_cost(dataclasses.replace(with_eodd, performance=rows)).frame
    assert cost.iloc[0]["PSNR change %"] == "−2.50"


def test_mitigation_cost_in_scores_of_the_tasks_that_both_have(with_eodd):
    rows = with_eodd.performance.copy()
    matching = (
        (rows["attribute"] == "")
        & (rows["version"] == "reconstructed")
        & rows["metric"].isin(["auroc", "dice"])
    )
    rows.loc[matching, "value"] = rows.loc[matching, "mitigation"].map({"none": 0.8, "eodd": 0.84})
    rows.loc[matching & (rows["task"] == "type") & (rows["mitigation"] == "eodd"), "value"] = np.nan
    rows.loc[matching & (rows["task"] == "type") & (rows["mitigation"] == "none"), "value"] = 0.1
    cost = mitigation_tables.mean_cost(dataclasses.replace(with_eodd, performance=rows)).frame
    assert cost.iloc[0]["mean task score change %"] == "+5.00"
    assert cost.iloc[0]["change of the mean task score"] == "+0.0400"
    rows.loc[matching & (rows["mitigation"] == "eodd"), "value"] = np.nan
    empty = mitigation_tables.mean_cost(dataclasses.replace(with_eodd, performance=rows)).frame
    assert isinstance(empty.iloc[0]["mean task score change %"], Missing)


@pytest.mark.parametrize(
    "make",
    [
        performance.by_level,
        gap_tables.baseline,
        gap_tables.median_changes,
        gap_tables.median_changes_by_attribute,
        gap_tables.verdicts,
        performance.image_gaps,
    ],
)
def test_empty_tables_make_no_table(nothing, make):
    assert make(nothing) is None
