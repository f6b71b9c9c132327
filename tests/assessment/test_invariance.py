"""What may not matter to an assessment, and what it does where something is missing: names, order,
company, unknown groups, originals, one label, one group.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import assess, batch
from fairrecon_jax.assessment.gaps import OTHER_GAP
from fairrecon_jax.assessment.verdicts import NO_VERDICT, UNPAIRED
from fairrecon_jax.inference.published import CAUTION
from fairrecon_jax.types import Task
from tests.support import hand
from tests.support.find import one, rows

KEY = ["task", "metric", "convention", "version", "attribute", "group", "label_stratum"]


def test_names_of_groups_do_not_matter(assessed):
    table = hand.table(hand.NAMES)
    renamed = table.assign(sex=table["sex"].map({"Female": "zebra", "Male": "ant"}))
    for before, after in zip(
        assessed, hand.judge(renamed, hand.spec(hand.NAMES, ("zebra", "ant")))
    ):
        hand.assert_same(before, after)
        assert (after["group"].replace({"zebra": "Female", "ant": "Male"}) == before["group"]).all()
        assert (after["verdict"] == before["verdict"]).all()


def test_the_order_of_groups_moves_the_reference_alone(assessed):
    turned = hand.judge(hand.table(hand.NAMES), hand.spec(hand.NAMES, ("Male", "Female")))
    for pair in zip(assessed, turned):
        before, after = (t[t["convention"] != "mean"].sort_values(KEY, kind="stable") for t in pair)
        hand.assert_same(before, after, ("permutation_null",), rtol=1e-5, atol=1e-6)
        assert (before["verdict"].to_numpy() == after["verdict"].to_numpy()).all()
    assert set(rows(turned[1], metric="eodd")["reference_group"]) == {"Male"}


def test_rows_of_other_splits_and_blank_cells_change_nothing(assessed):
    table = hand.table(hand.NAMES)
    train = table.assign(
        split="train", example_id=table["example_id"] + "t", patient_id=table["patient_id"] + "t"
    )
    for before, after in zip(
        assessed, hand.judge(pd.concat([table.assign(mitigation=None, seed=np.nan), train]))
    ):
        pd.testing.assert_frame_equal(before, after)


def test_what_happens_to_patients_of_no_group_leaves_the_gaps_alone():
    table = hand.table(hand.NAMES)
    unknown = np.arange(len(table)) % 6 == 0
    table.loc[unknown, "sex"] = None
    other = table.copy()
    for name in hand.NAMES:
        other.loc[unknown, f"{name}__reconstructed"] = 0.2
    (before, gaps), (after, again) = hand.judge(table), hand.judge(other)
    columns = [
        "value",
        "original",
        "reconstructed",
        "std_error",
        "ci_low",
        "ci_high",
        "p_value",
        "mde",
        "n",
        "n_patients",
        "n_changed",
    ]
    for a, b in ((gaps, again), *((rows(t, attribute="sex") for t in (before, after)),)):
        a, b = (t[t["convention"] != "mean"] for t in (a, b))
        hand.assert_same(a[columns], b[columns], rtol=1e-6)
    lost = [
        one(t, task="same", metric="sensitivity", attribute="", version="change")["value"]
        for t in (before, after)
    ]
    assert lost[1] < lost[0] == 0


def test_company_and_empty_groups_change_nothing(assessed, monkeypatch):
    """Each task by itself, with a group that nobody belongs to: only what tells of the family, the
    adjusted p and the detectable change, is another.
    """
    monkeypatch.setattr(batch, "BUDGET", 1)
    names = ("widened", "few")
    spec = hand.spec(names, ("Female", "Male", "Other"))
    performance, fairness = assess(
        hand.table(names),
        spec,
        hand.options(conventions=hand.ALL, auroc_gaps=False),
    )
    for long, wanted in zip((performance, fairness), assessed, strict=True):
        wanted = wanted[wanted["task"].isin(["", *names]) & (wanted["metric"] != "gap_auroc")]
        a, b = (t.sort_values(KEY) for t in (long[long["group"] != "Other"], wanted))
        assert a[KEY].to_numpy().tolist() == b[KEY].to_numpy().tolist()
        hand.assert_same(a, b, ("p_adjusted", "mde", "permutation_null"), rtol=1e-12)
        assert (a["verdict"].to_numpy() == b["verdict"].to_numpy()).all()
    row = one(fairness, **hand.CHANGE, task="widened", metric="eodd")
    assert "Other: specificity: no images (0 patients)" in row["reason"]
    per_group = rows(fairness, group="Other", metric=["gap_sensitivity", "gap_specificity"])
    assert set(per_group["reason"]) == {"no images"}
    assert rows(performance, group="Other")["value"].isna().all()
    assert set(rows(performance, group="Other")["n"]) == {0}


def test_without_originals_nothing_is_judged_and_no_original_is_invented(assessed):
    table = hand.table(hand.NAMES)
    performance, fairness = hand.judge(
        table.drop(columns=[c for c in table if c.endswith("__original")])
    )
    for long, whole in ((performance, assessed[0]), (fairness, assessed[1])):
        metrics = [
            "auroc",
            "sensitivity",
            "specificity",
            "brier",
            "calibration_error",
            "eodd",
            "eop",
        ]
        after, wanted = (rows(t, version="reconstructed", metric=metrics) for t in (long, whole))
        hand.assert_same(after[["value"]], wanted[["value"]], atol=1e-9)
        change = rows(long, version="change")
        assert set(change.loc[change["convention"] != "mean", "reason"]) == {UNPAIRED}
        assert change["value"].isna().all()
        assert rows(long, version="original", metric=metrics)["value"].isna().all()
    assert set(rows(fairness, version="change", convention="worst_case")["verdict"]) == {
        "not estimable"
    }
    assert set(rows(performance, version="change")["verdict"]) == {""}
    assert not set(fairness["metric"]) & {"gap_sensitivity", "gap_auroc"}


def test_thresholds_per_version_give_no_verdict_and_say_why():
    performance, fairness = hand.judge(
        hand.table(hand.NAMES), threshold_rule="published", threshold_value=None
    )
    change = rows(fairness, **hand.CHANGE, metric=["eodd", "eop"])
    assert set(change["reason"]) == {NO_VERDICT}
    assert set(change["verdict"]) == {""}
    caution = rows(fairness, **{**hand.CHANGE, "convention": "mean"}, metric="eodd")
    assert set(caution["reason"]) == {CAUTION, OTHER_GAP}
    assert caution.loc[caution["reason"] == OTHER_GAP, "p_value"].isna().all()
    rule = "published: balanced on the evaluated patients, per version"
    assert set(rows(performance, task="widened")["threshold_rule"]) == {rule}
    thresholds = rows(performance, metric="threshold")
    assert set(thresholds["value"]) <= {0.2, 0.8}
    assert (thresholds["reason"] == "").all()


def test_one_group_only_has_no_gap(assessed):
    table = hand.table(hand.NAMES)
    performance, fairness = hand.judge(
        table.assign(sex=table["sex"].where(table["sex"] == "Female", None))
    )
    for metric in ("eodd", "eop", "gap_auroc"):
        row = one(fairness, **hand.CHANGE, task="widened", metric=metric)
        assert np.isnan(row["value"])
        assert (row["verdict"], np.isnan(row["p_value"])) == ("not estimable", True)
        assert row["reason"].startswith("no two groups have enough patients to be compared")
    everyone, women = (
        rows(t, attribute=a, group=g)
        for t, a, g in ((performance, "", ""), (performance, "sex", "Female"))
    )
    for part, attribute, group in ((everyone, "", ""), (women, "sex", "Female")):
        part = part[part["task"] != ""]
        wanted = rows(
            assessed[0],
            attribute=attribute,
            group=group,
            task=list(hand.NAMES),
            metric=sorted(set(part["metric"])),
        )
        hand.assert_same(part, wanted)
    assert rows(performance, group="Male")["value"].isna().all()


def test_nobody_with_a_known_group_has_no_row():
    performance, fairness = hand.judge(hand.table(hand.NAMES).assign(sex=None))
    assert fairness.empty
    assert set(performance.loc[performance["n"] > 0, "attribute"]) == {""}


@pytest.mark.parametrize("label", [0, 1])
def test_constant_labels_leave_what_needs_both_undefined(label):
    table = hand.table(hand.NAMES)
    for name in hand.NAMES:
        table[f"{name}__label"] = table[f"{name}__label"].where(table[f"{name}__label"] == label)
    performance, fairness = hand.judge(table)
    everyone = {"attribute": "", "version": "change", "task": "widened"}
    assert np.isnan(one(performance, **everyone, metric="auroc")["value"])
    rate, other = ("sensitivity", "specificity") if label else ("specificity", "sensitivity")
    assert one(performance, **everyone, metric=rate)["original"] == pytest.approx(0.9)
    assert np.isnan(one(performance, **everyone, metric=other)["original"])
    row = one(fairness, **hand.CHANGE, task="widened", metric="eodd")
    assert row["value"] == pytest.approx(0.4 * label, abs=1e-6)
    assert row["verdict"] == ("harmed" if label else "no difference shown")
    assert one(fairness, **hand.CHANGE, task="widened", metric="eop")["verdict"] == (
        "harmed" if label else "not estimable"
    )
    assert (
        one(fairness, **hand.CHANGE, task="widened", metric="gap_auroc")["verdict"]
        == "not estimable"
    )


def test_a_note_about_patients_stands_beside_the_first_number():
    tasks = tuple(Task(name, "classification", "median") for name in hand.NAMES)
    spec = dataclasses.replace(hand.SPEC, tasks=tasks)
    table = hand.table(hand.NAMES)
    again = table.iloc[[0, 100]].assign(example_id=["again", "anew"])
    again["widened__label"] = 1 - again["widened__label"]
    performance, _ = hand.judge(pd.concat([table, again]), spec)
    row = one(performance, task="widened", metric="auroc", attribute="", version="original")
    assert row["reason"] == "2 patients with images of different labels left out"
    assert [row["n"], row["unit"]] == [238, "patient"]
    assert (
        one(performance, task="same", metric="auroc", attribute="", version="original")["reason"]
        == ""
    )
