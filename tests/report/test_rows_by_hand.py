"""Tables and sentences from few rows, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report import strata, summary
from fairrecon_jax.report.figures import gaps, groups
from fairrecon_jax.report.mitigation import sweep_rows
from fairrecon_jax.report.tables import gaps as gap_tables
from fairrecon_jax.report.tables import mitigation as mitigation_tables
from fairrecon_jax.report.tables import performance, record
from fairrecon_jax.report.tables.entries import Missing
from fairrecon_jax.report.tables.table import csv_text
from tests.support.figure_parts import marks
from tests.support.report_findings import findings_of_rows

NAN = float("nan")


def change(task: str, percent: float, verdict: str, **more) -> dict:
    metric = "ser" if task == "tumour" else "eodd"
    moved = {"change": percent / 100, "value": percent / 100, "percent": percent, "unit": "patient"}
    return {
        "task": task,
        "attribute": "sex",
        "metric": metric,
        "version": "change",
        "verdict": verdict,
        **moved,
        **more,
    }


def test_medians_and_verdicts_of_a_method_by_hand():
    rows = [
        change("grade", 10.0, "harmed", gap="widened"),
        change("type", -30.0, "favoured", gap="reversed"),
        change("tumour", 4.0, "no difference shown"),
    ]
    rows += [
        change("grade", NAN, "not estimable", attribute="age"),
        change("type", -6.0, "harmed", gap="same", attribute="age"),
    ]
    frame = gap_tables.median_changes(findings_of_rows(fairness=rows)).frame
    assert frame.iloc[0].tolist() == ["U-Net", "−1.0", "8.0", 5, 2, 1, 1, 1, 1, 0, 1]


def test_no_estimated_change_is_a_missing_median():
    frame = gap_tables.median_changes(
        findings_of_rows(fairness=[change("grade", NAN, "not estimable")])
    ).frame
    assert frame.iloc[0, 1:3].tolist() == [Missing("no change could be estimated")] * 2
    assert frame.iloc[0, 3:].tolist() == [1, 0, 0, 0, 1, 0, 0, 0]


def test_the_mean_score_is_over_tasks_that_both_have():
    index = pd.MultiIndex.from_tuples(
        [("unet", "none", t) for t in "abc"]
        + [("unet", "eodd", t) for t in "bcd"]
        + [("gan", "eodd", "a")]
    )
    scores = pd.Series([0.1, 0.6, 0.8, 0.5, 0.9, 0.0, 0.0], index)
    assert mitigation_tables.shared_mean(scores, "unet", "eodd") == pytest.approx((0.7, 0.7))
    assert np.isnan(mitigation_tables.shared_mean(scores, "gan", "eodd")).all()


def test_a_gap_of_image_quality_without_null_and_test_says_so():
    row = {
        "metric": "gap_ssim",
        "attribute": "sex",
        "version": "reconstructed",
        "unit": "image",
        "value": 0.0123,
        "ci_low": 0.01,
    }
    frame = performance.image_gaps(findings_of_rows(fairness=[row])).frame
    assert frame.iloc[0].tolist()[3:] == [
        "U-Net",
        "0.012",
        Missing("no null was computed"),
        Missing("no test was run"),
    ]


@pytest.mark.parametrize(
    ("stratum", "verdict", "where"),
    [
        ("positive", "harmed", "Female, patients with the finding"),
        ("", "favoured", "Female"),
        # no group was judged by itself: there is none that fell behind
        ("positive", "no difference shown", ""),
    ],
)
def test_the_list_of_verdicts_says_whom_it_is_about(stratum, verdict, where):
    row = change(
        "grade",
        10.0,
        verdict,
        group="Female",
        label_stratum=stratum,
        gap="same",
        p_adjusted=0.0002,
        n=500.0,
        n_changed=12.0,
    )
    study = gap_tables.verdicts(findings_of_rows(fairness=[row])).frame.iloc[0]
    assert (study["group"], study["adjusted p"], study["n"], study["flipped"]) == (
        where,
        "< 0.001",
        500,
        12,
    )
    assert ",500,12," in csv_text(
        gap_tables.verdicts(
            findings_of_rows(fairness=[row, change("type", 1.0, "no difference shown")])
        ).frame
    )
    assert study["verdict"].endswith(verdict)
    assert study["gap became"] == "same"
    assert (study["permutation null"], study["detectable"]) == ("–", "–")
    assert (study["worst-off group"], study["beyond the others (95% interval)"]) == ("–", "–")


def extra(group: str, label: str, size: float, verdict: str, **more) -> dict:
    """The change of one group minus that of the others."""
    name = {"positive": "sensitivity", "negative": "specificity"}[label]
    return change("grade", 100 * size, verdict) | {
        "metric": f"gap_{name}",
        "convention": "",
        "group": group,
        "reference_group": "the other groups",
        "label_stratum": label,
        "std_error": 0.05,
        **more,
    }


def test_the_group_that_stands_out_is_the_named_or_the_furthest_behind():
    claim = change("grade", 10.0, "favoured", group="Male", label_stratum="positive")
    rows = [
        extra("Female", "positive", -0.3, "harmed", std_error=0.2),
        extra("Male", "positive", 0.2, "favoured"),
        extra("Female", "negative", -0.1, "no difference shown"),
        extra("Male", "negative", NAN, "not estimable"),
    ]
    for verdict, wanted in (
        ("favoured", ("Male", "positive", 0.2)),
        # in standard errors: 0.1 / 0.05 is more than 0.3 / 0.2
        ("no difference shown", ("Female", "negative", -0.1)),
        ("not estimable", ("", "", None)),
        ("at chance", ("", "", None)),
    ):
        study = findings_of_rows(fairness=[{**claim, "verdict": verdict}, *rows])
        found = strata.standing_out(study.gap_changes(), strata.group_rows(study, "eodd")).iloc[0]
        assert (found["stratum_group"], found["stratum_label"]) == wanted[:2]
        assert found["extra_change"] == wanted[2] or np.isnan(found["extra_change"])


def test_strata_that_are_not_judged_are_not_drawn():
    rows = [
        change("grade", 10.0, "harmed", group="Female", label_stratum="positive", gap="widened"),
        extra("Female", "positive", -0.3, "harmed"),
        extra("Male", "positive", 0.2, "not estimable"),
        extra("Female", "negative", NAN, "not estimable"),
    ]
    study = findings_of_rows(fairness=rows)
    (drawing,) = groups.group_changes(study)
    assert drawing.table[["group", "label_stratum"]].to_numpy().tolist() == [["Female", "positive"]]
    assert [t.get_text() for t in drawing.figure.axes[0].get_yticklabels()] == ["Female"]
    assert marks(drawing.figure, "o").tolist() == [[pytest.approx(-30.0), 0.0]]


def test_conventions_average_what_was_estimated():
    base = {"attribute": "sex", "metric": "eodd", "version": "change", "unit": "patient"}
    rows = [
        {
            **base,
            "task": "grade",
            "original": 0.1,
            "reconstructed": 0.3,
            "change": 0.2,
            "verdict": "harmed",
        }
    ]
    rows += [{**base, "task": "type", "original": 0.9, "verdict": "not estimable"}]
    rows += [{**base, "task": "grade", "convention": "mean"}]
    frame = record.conventions(findings_of_rows(fairness=rows)).frame
    assert frame.iloc[0].tolist() == [
        "EODD",
        "worst_case_estimable",
        2,
        "0.100",
        "0.300",
        "+0.200",
        "yes",
    ]
    assert frame.iloc[1].tolist() == [
        "EODD",
        "mean",
        1,
        *[Missing("nothing estimated")] * 3,
        "no verdict under this convention",
    ]
    assert record.conventions(findings_of_rows()) is None


def test_thresholds_without_a_rule_say_so():
    rows = [
        {
            "task": "grade",
            "metric": "threshold",
            "version": "original",
            "unit": "patient",
            "value": v,
        }
        for v in (0.41, NAN)
    ]
    assert record.thresholds(findings_of_rows(rows)).frame.to_numpy().tolist() == [
        ["WHO grade IV", "original", "0.4100", "not stated"]
    ]
    assert record.thresholds(findings_of_rows()) is None


def test_the_first_finite_number_is_taken():
    assert gaps.first(pd.Series([NAN, 0.2]), pd.Series([0.9])) == 0.2
    assert gaps.first(pd.Series([NAN]), pd.Series([], dtype=float), pd.Series([0.9])) == 0.9
    assert np.isnan(gaps.first(pd.Series([NAN]), pd.Series([float("inf")])))


def test_baselines_come_from_original_rows_and_else_from_change_rows():
    original = {
        "task": "grade",
        "attribute": "sex",
        "metric": "eodd",
        "version": "original",
        "unit": "patient",
        "value": 0.2,
    }
    moved = change("grade", 5.0, "harmed", original=0.7, permutation_null=0.05)
    assert gaps.baseline_rows(findings_of_rows(fairness=[moved, original]))[
        ["value", "permutation_null"]
    ].to_numpy().tolist() == [[0.2, 0.05]]
    assert gaps.baseline_rows(findings_of_rows(fairness=[moved]))["value"].tolist() == [0.7]
    nothing = gaps.baseline_rows(
        findings_of_rows(fairness=[{**original, "value": NAN, "reason": "few"}])
    )
    assert nothing["reason"].tolist() == ["few"]
    assert nothing["value"].isna().all()


def test_a_null_of_reconstructions_is_not_one_of_originals():
    row = {
        "task": "grade",
        "attribute": "sex",
        "metric": "eodd",
        "unit": "patient",
        "permutation_null": 0.05,
        "reason": "no originals",
    }
    study = findings_of_rows(
        fairness=[{**row, "version": "change"}, {**row, "version": "reconstructed", "value": 0.2}]
    )
    assert gaps.baseline_rows(study)[["value", "permutation_null"]].isna().all(axis=None)
    assert gap_tables.baseline(study).frame["mean permutation null"].tolist() == ["–"]


def test_sweeps_average_gaps_above_no_gap_at_the_headline_level():
    base = {
        "sweep": "eodd",
        "reconstructor": "unet",
        "level": 8.0,
        "weight": 1.0,
        "part": "val",
        "mitigation": "eodd@1",
        "chosen": "eodd@1",
    }
    rows = [
        ("eodd", "grade", 0.2),
        ("ser", "tumour", 1.4),
        ("auroc", "grade", 0.9),
        ("dice", "tumour", 0.5),
        ("psnr", "", 30.0),
    ]
    table = pd.DataFrame(
        [
            {**base, "metric": m, "task": t, "attribute": "", "value": v, "reason": "r"}
            for m, t, v in rows
        ]
    )
    other = table.assign(level=4.0, value=99.0)
    study = sweep_rows(
        dataclasses.replace(findings_of_rows(), sweep=pd.concat([table, other], ignore_index=True))
    )
    assert study[["gap", "score", "psnr"]].to_numpy().tolist() == [
        [pytest.approx(0.3), pytest.approx(0.7), 30.0]
    ]
    assert sweep_rows(findings_of_rows()).empty


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ((1, "study"), "1 study"),
        ((0, "gap"), "0 gaps"),
        ((2, "finding"), "2 findings"),
        ((1000, "gap"), "1,000 gaps"),
    ],
)
def test_counts_with_their_nouns(count, expected):
    assert summary.plural(*count) == expected


def test_overall_verdicts_of_one_loss_speak_in_the_singular():
    rows = pd.DataFrame(
        {
            "version": ["change"] * 3,
            "verdict": ["lower", "differs between seeds", "at chance"],
            "change": [-0.1, 0.2, 0.1],
        }
    )
    assert (
        summary.overall_verdicts(rows)
        == "of 3 single changes, 1 is a loss and 0 a gain beyond chance, and 2 could not be judged"
    )
    assert "may be chance" in summary.overall_verdicts(rows[:0])


@pytest.mark.parametrize(
    ("stratum", "words"),
    [("1", "with"), ("1.0", "with"), ("0", "without"), ("negative", "without")],
)
def test_strata_may_be_numbers_or_words(stratum, words):
    assert groups.stratum_phrase(stratum) == f"patients {words} the finding"
