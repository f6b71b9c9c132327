"""Tables in the paper's form: right cells in the right places, missing ones with their reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report import cohort, select
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import sheets
from fairrecon_jax.report.tables.table import Missing
from tests.support import report_fake as fake


@pytest.fixture(scope="module")
def study() -> Findings:
    spec = fake.mri_spec()
    cells = fake.cells(spec, ("unet", "irsde"))
    return Findings.of(spec, fake.performance(spec, cells), fake.fairness(spec, cells))


@pytest.fixture(scope="module")
def mitigated() -> Findings:
    spec = fake.mri_spec()
    cells = fake.cells(spec, ("unet",), ("none", "eodd"))
    return Findings.of(spec, fake.performance(spec, cells), fake.fairness(spec, cells))


@pytest.fixture(scope="module")
def nothing() -> Findings:
    empty = pd.DataFrame(columns=[*select.TEXT, *select.NUMBERS])
    return Findings.of(fake.mri_spec(), empty, empty)


def test_performance_has_a_block_per_level(study):
    sheet = sheets.performance(study)
    assert [words for words, _ in sheet.spans] == [
        "",
        *(f"acceleration factor {v}×" for v in (4, 8, 16)),
    ]
    assert sum(width for _, width in sheet.spans) == sheet.frame.shape[1] == 1 + 3 * 3
    assert list(sheet.frame.columns[:4]) == ["", "original", "U-Net", "IR-SDE"]


def test_performance_cells_are_the_table_s_values(study):
    frame = sheets.performance(study).frame
    row = select.one(
        study.pick(
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


def test_lpips_is_missing_with_its_reason(study):
    frame = sheets.performance(study).frame
    cells = frame[frame[""] == "LPIPS"].iloc[0, 1:]
    missing = [c for c in cells if isinstance(c, Missing)]
    assert len(missing) == 6
    assert {c.reason for c in missing} == {"LPIPS weights cannot be imported yet"}


def test_a_level_that_was_not_run_is_missing_not_empty(study):
    rows = study.performance
    less = dataclasses.replace(
        study, performance=rows[~((rows["level"] == 16.0) & (rows["reconstructor"] == "irsde"))]
    )
    cell = sheets.performance(less).frame.iloc[0, 9]
    assert cell == Missing(sheets.NO_ROW)


def test_baseline_means_are_means_over_tasks(study):
    frame = sheets.baseline(study).frame
    gaps = study.pick(
        "fairness",
        metric="eodd",
        attribute="sex",
        version="original",
        reconstructor="unet",
        level=8.0,
    )["value"]
    mine = frame[(frame["gap"] == "EODD") & (frame["attribute"] == "sex")].iloc[0]
    assert mine["mean over tasks"] == f"{gaps.mean():.3f}"
    assert mine["tasks estimated"] == "2 of 2"
    assert frame[frame["gap"] == "SER"].iloc[0]["sd over tasks"] == "–", "one task has no spread"


def test_median_changes_are_medians(study):
    frame = sheets.median_changes(study).frame
    percent = study.gap_changes(reconstructor="unet")["percent"].dropna()
    value = float(frame.iloc[0]["median change %"].replace("−", "-"))
    assert value == pytest.approx(percent.median(), abs=0.051)
    assert float(frame.iloc[0]["median absolute change %"]) == pytest.approx(
        percent.abs().median(), abs=0.051
    )


def test_verdicts_add_up(study):
    frame = sheets.median_changes(study).frame
    parts = ["widened", "narrowed", "reversed or shifted", "within chance", "not judged"]
    assert (frame[parts].astype(int).sum(axis=1) == frame["gaps"].astype(int)).all()


def test_without_a_verdict_method_the_columns_say_so(study):
    untested = dataclasses.replace(study, fairness=study.fairness.assign(verdict=""))
    frame = sheets.median_changes(untested).frame
    assert set(frame["widened"]) == {"no test"}
    assert set(sheets.verdicts(untested).frame["verdict"]) == {"no test ran"}


def test_every_change_is_listed_with_its_verdict(study):
    frame = sheets.verdicts(study).frame
    rows = study.change_rows("fairness", metric=list(select.GAPS))
    assert len(frame) == len(rows)
    assert frame["level"].tolist() == sorted(frame["level"], key=["4×", "8×", "16×"].index)
    assert frame["verdict"].str.startswith("▲").sum() == (rows["verdict"] == "widened").sum()


def test_not_estimable_verdicts_carry_their_reason(study):
    rows = study.fairness.copy()
    mine = (rows["metric"] == "eodd") & (rows["version"] == "change") & (rows["task"] == "grade")
    rows.loc[mine, ["verdict", "reason"]] = ["not estimable", "too few"]
    rows.loc[mine, ["value", "original", "reconstructed", "change"]] = np.nan
    frame = sheets.verdicts(dataclasses.replace(study, fairness=rows)).frame
    mine = frame[(frame["gap"] == "EODD") & (frame["diagnosis"] == "WHO grade IV")]
    assert set(mine["original"]) == {Missing("too few")}
    assert set(mine["verdict"]) == {"not estimable"}
    assert set(mine["where"]) == {""}


def test_gaps_of_image_quality_are_listed(study, mitigated):
    frame = sheets.image_gaps(study).frame
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
    assert set(sheets.image_gaps(mitigated).frame["method"]) == {"U-Net"}


def test_mitigation_tables_compare_with_the_same_method(mitigated, study):
    cost = sheets.mitigation_cost(mitigated).frame
    assert cost[["method", "mitigation"]].to_numpy().tolist() == [["U-Net", "equalised-odds loss"]]
    assert sheets.mitigated_changes(mitigated).frame["mitigation"].tolist() == [
        "no mitigation",
        "equalised-odds loss",
    ]
    assert sheets.mitigation_cost(study) is None


def test_mitigation_cost_in_psnr(mitigated):
    rows = mitigated.performance.copy()
    base = (rows["metric"] == "psnr") & (rows["mitigation"] == "none")
    rows.loc[base, "value"] = 40.0
    rows.loc[(rows["metric"] == "psnr") & ~base, "value"] = 39.0
    cost = sheets.mitigation_cost(dataclasses.replace(mitigated, performance=rows)).frame
    assert cost.iloc[0]["PSNR change %"] == "−2.50"


def test_mitigation_cost_in_scores_of_the_tasks_that_both_have(mitigated):
    rows = mitigated.performance.copy()
    made = (
        (rows["attribute"] == "")
        & (rows["version"] == "reconstructed")
        & rows["metric"].isin(["auroc", "dice"])
    )
    rows.loc[made, "value"] = rows.loc[made, "mitigation"].map({"none": 0.8, "eodd": 0.84})
    rows.loc[made & (rows["task"] == "type") & (rows["mitigation"] == "eodd"), "value"] = np.nan
    rows.loc[made & (rows["task"] == "type") & (rows["mitigation"] == "none"), "value"] = 0.1
    cost = sheets.mitigation_cost(dataclasses.replace(mitigated, performance=rows)).frame
    assert cost.iloc[0]["mean task score change %"] == "+5.00"
    assert cost.iloc[0]["change of the mean task score"] == "+0.0400"
    rows.loc[made & (rows["mitigation"] == "eodd"), "value"] = np.nan
    empty = sheets.mitigation_cost(dataclasses.replace(mitigated, performance=rows)).frame
    assert isinstance(empty.iloc[0]["mean task score change %"], Missing)


@pytest.mark.parametrize(
    "make",
    [
        sheets.performance,
        sheets.baseline,
        sheets.median_changes,
        sheets.mitigated_changes,
        sheets.verdicts,
        sheets.image_gaps,
    ],
)
def test_empty_tables_make_no_sheet(nothing, make):
    assert make(nothing) is None


def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "c", "d"],
            "split": ["train_reconstruction", "train_reconstruction", "test", "test", "val"],
            "sex": ["Female", "Female", "Male", None, "Male"],
            "age": ["under 58"] * 5,
            "grade": [1.0, 0.0, 1.0, np.nan, 0.0],
            "type": [np.nan] * 5,
            "tumour": [10.0, 0.0, 300.0, 0.0, 0.0],
        }
    )


def test_cohort_counts_patients_and_slices_per_split():
    sheet = cohort.counts(fake.mri_spec(), people())
    assert [words for words, _ in sheet.spans] == [
        "",
        "train (reconstruction)",
        "validation",
        "test",
    ]
    everyone = sheet.frame.iloc[0].tolist()
    assert everyone == ["all", "everyone", 1, "2 (100.0 %)", 1, "1 (100.0 %)", 2, "2 (100.0 %)"]
    unknown = sheet.frame[sheet.frame["group"] == "unknown"].iloc[0]
    assert unknown.tolist()[-1] == "1 (50.0 %)"
    assert "No patient is in two splits" in sheet.caption


def test_patients_in_two_splits_are_reported():
    table = people()
    table.loc[1, "split"] = "test"
    assert "more than one split" in cohort.counts(fake.mri_spec(), table).caption


def test_prevalence_counts_known_labels_of_the_test_split_only():
    frame = cohort.prevalence(fake.mri_spec(), people()).frame
    grade = frame.iloc[0]
    assert grade["everyone"] == "100.0 % (1 of 1)"
    assert isinstance(grade["unknown"], Missing)
    assert frame.iloc[2]["everyone"] == "50.0 % (1 of 2)"
    assert all(isinstance(c, Missing) for c in frame.iloc[1, 1:])


def test_cohort_sheets_of_an_empty_table():
    assert cohort.sheets(fake.mri_spec(), pd.DataFrame()) == []
    assert cohort.sheets(fake.mri_spec(), people().iloc[:0]) == []


def test_a_cohort_table_without_splits_is_refused():
    with pytest.raises(ValueError, match=r"lacks the columns \['split'\]"):
        cohort.sheets(fake.mri_spec(), people().drop(columns="split"))


def test_attributes_that_the_table_lacks_are_left_out():
    frame = cohort.counts(fake.mri_spec(), people().drop(columns="age")).frame
    assert set(frame["attribute"]) == {"all", "sex"}
