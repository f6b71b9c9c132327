"""Chosen rates through `assess` and `compare`: every number by hand, every verdict, every reason;
and what may not matter to them.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import assess, batch, compare, read_results, write_results
from fairrecon_jax.assessment.verdicts import NO_VERDICT, UNPAIRED
from fairrecon_jax.inference.did import REASONS
from fairrecon_jax.inference.published import CAUTION
from fairrecon_jax.inference.verdict import VERDICTS
from fairrecon_jax.types import Task
from tests.support import hand
from tests.support.find import one, rows

NAMES = tuple(hand.SCENARIOS)
SPEC = hand.spec(NAMES)
CHANGE = {"attribute": "sex", "version": "change", "convention": "worst_case_estimable"}
ALL = ("worst_case", "mean", "worst_case_estimable")


@pytest.fixture(scope="module")
def found():
    return assess(hand.table(NAMES), SPEC, hand.options(conventions=ALL))


@pytest.fixture(scope="module")
def compared():
    """The same decisions, "before" read in unmitigated and "after" in mitigated reconstructions."""
    after = hand.table(NAMES)
    before = after.assign(**{f"{n}__reconstructed": after[f"{n}__original"] for n in NAMES})
    return compare(pd.concat([before, after.assign(mitigation="remedy")]), SPEC, hand.options())


WIDENED = {
    ("sensitivity", ""): (0.9, 0.7),
    ("sensitivity", "Female"): (0.9, 0.5),
    ("sensitivity", "Male"): (0.9, 0.9),
    ("specificity", ""): (0.9, 0.9),
    ("auroc", ""): (0.9, 0.8),
    ("auroc", "Female"): (0.9, 0.7),
    ("brier", ""): (0.9 * 0.04 + 0.1 * 0.64, 0.8 * 0.04 + 0.2 * 0.64),
    ("brier", "Female"): (0.1, 0.7 * 0.04 + 0.3 * 0.64),
    ("calibration_error", "Female"): ((6 + 6) / 120, (1.2 + 13.2) / 120),
    ("calibration_error", "Male"): (0.1, 0.1),
}


@pytest.mark.parametrize("place", WIDENED, ids="-".join)
def test_performance_by_hand(found, place):
    metric, group = place
    where = {
        "task": "widened",
        "metric": metric,
        "group": group,
        "attribute": "sex" if group else "",
    }
    before, after = WIDENED[place]
    for version, value in (
        ("original", before),
        ("reconstructed", after),
        ("change", after - before),
    ):
        np.testing.assert_allclose(
            one(found[0], **where, version=version)["value"], value, atol=1e-6
        )
    change = one(found[0], **where, version="change")
    np.testing.assert_allclose(change["percent"], 100 * (after - before) / before, atol=1e-4)
    size = 120 if group else 240
    assert [change[c] for c in ("n", "n_patients", "n_pos", "n_neg")] == [
        size,
        size,
        size / 2,
        size / 2,
    ]
    assert change["n_changed"] == (0 if group == "Male" else 24)


GAPS = {
    ("widened", "eodd", "worst_case"): (0, 0.4),
    ("widened", "eodd", "mean"): (0, 0.2),
    ("widened", "eodd", "worst_case_estimable"): (0, 0.4),
    ("widened", "eop", "worst_case"): (0, 0.4),
    ("widened", "gap_auroc", "worst_case"): (0, 0.2),
    ("narrowed", "eodd", "worst_case"): (0.4, 0),
    ("reversed", "eodd", "worst_case"): (0.35, 0.35),
    ("shifted", "eop", "worst_case"): (0.1, 0.1),
    ("same", "eodd", "worst_case"): (0.2, 0.2),
    ("same", "eodd", "mean"): (0.15, 0.15),
    ("chance", "eop", "mean"): (0, 0.4),
    ("few", "eop", "worst_case"): (0.1, 0.5),
}


@pytest.mark.parametrize("place", GAPS, ids="-".join)
def test_gaps_by_hand(found, place):
    task, metric, convention = place
    for version, value in zip(
        ("original", "reconstructed", "change"), (*GAPS[place], GAPS[place][1] - GAPS[place][0])
    ):
        row = one(found[1], task=task, metric=metric, convention=convention, version=version)
        np.testing.assert_allclose(row["value"], value, atol=1e-6)
        assert row["reference_group"] == "Female"


def test_a_group_row_by_hand(found):
    """D = (-0.4, 0); v_g is 60 (sum e^2 + 3 m) / 63 / 60^2 with sum e^2 = 14.4 and 0, m = 0.12."""
    variance = 60 * (np.array([14.4, 0]) + 3 * 0.12) / 63 / 3600
    share = (1 / variance) / (1 / variance).sum()
    deviation, error = np.array([-0.4, 0]) + 0.4 * share[0], np.sqrt(variance * (1 - share))
    for g, group in enumerate(("Female", "Male")):
        row = one(found[1], task="widened", metric="gap_sensitivity", group=group)
        np.testing.assert_allclose(
            [row["value"], row["std_error"]], [deviation[g], error[g]], rtol=1e-4
        )
        np.testing.assert_allclose(
            row["ci_high"] - row["value"], row["value"] - row["ci_low"], rtol=1e-4
        )
        assert (row["label_stratum"], row["reference_group"]) == ("positive", "all groups")
        assert [row["n"], row["n_pos"], row["n_changed"]] == [60, 60, (24, 0)[g]]
        assert np.isnan(row["n_neg"])
        assert row["verdict"] == "shifted"
        assert (
            one(found[1], task="widened", metric="gap_specificity", group=group)["verdict"]
            == "within chance"
        )


def test_specificity_rows_turn_the_false_positive_rate(found):
    """More false alarms among women are a loss of specificity: signs and limits swap."""
    moved = {"widened": ((6, 30), (54, 54), (6, 6), (54, 54))}
    table = hand.table(NAMES, {**hand.SCENARIOS, **moved})
    fairness = assess(table, SPEC, hand.options(conventions=ALL))[1]
    wanted = one(found[1], task="widened", metric="gap_sensitivity", group="Female")
    row = one(fairness, task="widened", metric="gap_specificity", group="Female")
    columns = ["value", "original", "reconstructed", "std_error"]
    np.testing.assert_allclose(row[columns].astype(float), wanted[columns].astype(float), atol=1e-6)
    limits = [
        "ci_low",
        "ci_high",
    ]  # other patients, other signs: the critical value differs a little
    np.testing.assert_allclose(row[limits].astype(float), wanted[limits].astype(float), atol=5e-3)
    gap = one(fairness, **CHANGE, task="widened", metric="eodd")
    assert (gap["verdict"], gap["label_stratum"]) == ("widened", "negative")
    assert "false-positive rate of Female changed by +0.400" in gap["reason"]
    assert one(fairness, **CHANGE, task="widened", metric="eop")["verdict"] == "within chance"


EXPECTED = {
    "widened": (
        "widened",
        "sensitivity of Female changed by -0.400",
        "largest gap 0.000 before, 0.400 after",
    ),
    "narrowed": (
        "narrowed",
        "sensitivity of Female changed by +0.400",
        "largest gap 0.400 before, 0.000 after",
    ),
    "reversed": ("reversed", "largest gap 0.350 before, 0.350 after", "its sides swapped (-0.350)"),
    "shifted": (
        "shifted",
        "largest gap 0.100 before, 0.100 after",
        "not a clear change of the largest gap",
    ),
    "alike": ("within chance", "p = ", "would be found 4 times in 5"),
    "same": ("within chance", "p = 1", ""),
    "chance": ("at chance", "AUROC on originals [", "holds 0.5: the diagnosis itself is at chance"),
    "few": (
        "not estimable",
        "no two groups have enough patients to be compared",
        "Male: sensitivity: too few patients",
    ),
}
HELPED = {
    "widened": "harmed",
    "narrowed": "helped",
    "reversed": "harmed",
    "within chance": "no detectable effect",
}


@pytest.mark.parametrize("metric", ["eodd", "eop"])
@pytest.mark.parametrize("task", NAMES)
def test_every_verdict_with_its_reason(found, task, metric):
    verdict, *parts = EXPECTED[task]
    for convention in ("worst_case", "worst_case_estimable"):
        row = one(found[1], **{**CHANGE, "convention": convention}, task=task, metric=metric)
        assert row["verdict"] == verdict
        assert all(part in row["reason"] for part in parts)
    assert (
        one(found[1], **{**CHANGE, "convention": "mean"}, task=task, metric=metric)["verdict"] == ""
    )
    assert set(VERDICTS) == {entry[0] for entry in EXPECTED.values()}


def test_the_words_for_cells_that_cannot_be_judged(found):
    reason = one(found[1], **CHANGE, task="few", metric="eodd")["reason"]
    groups = {
        "Female": ("no images (0", "no second group with enough patients to compare with (60")
    }
    groups["Male"] = (
        "no second group with enough patients to compare with (60",
        "too few patients (5",
    )
    for g, (negatives, positives) in groups.items():
        assert f"{g}: false-positive rate: {negatives} patients)" in reason
        assert f"{g}: sensitivity: {positives} patients)" in reason
    own = rows(found[1], task="few", metric=["gap_sensitivity", "gap_specificity"])
    assert set(own["verdict"]) == {"not estimable"}
    assert set(own["reason"]) == set(REASONS[1:])
    assert own["value"].isna().all()


def test_a_loss_common_on_the_probit_scale_is_told(found):
    """0.98 -> 0.85 and 0.80 -> 0.35 are nearly one step of the probit; 0.9 -> 0.9 and 0.9 -> 0.5
    are not.
    """
    common = {"widened": ((3, 3), (59, 51), (3, 3), (48, 21))}
    table = hand.table(NAMES, {**hand.SCENARIOS, **common})
    fairness = assess(table, SPEC, hand.options(conventions=ALL))[1]
    text = "one loss common to all groups on the probit scale would explain the difference"
    row = one(fairness, **CHANGE, task="widened", metric="eop")
    assert row["verdict"] == "widened"
    assert text in row["reason"]
    assert text not in one(found[1], **CHANGE, task="widened", metric="eop")["reason"]


def test_changes_of_everyone(found):
    everyone = {"attribute": "", "version": "change"}
    for task, verdict in (
        ("widened", "lower"),
        ("narrowed", "higher"),
        ("same", "within chance"),
        ("chance", "at chance"),
    ):
        assert one(found[0], **everyone, task=task, metric="sensitivity")["verdict"] == verdict
        assert one(found[0], **everyone, task=task, metric="auroc")["verdict"] == verdict
    assert one(found[0], **everyone, task="widened", metric="brier")["verdict"] == "higher"
    assert one(found[0], **everyone, task="widened", metric="calibration_error")["verdict"] == ""
    reason = one(found[0], **everyone, task="chance", metric="auroc")["reason"]
    assert reason.startswith("the AUROC on original images is 0.500 (")
    assert reason.endswith("which includes 0.5")


def test_identical_reconstructions_change_nothing(found):
    for long in found:
        change = rows(long, task="same", version="change")
        np.testing.assert_array_equal(change["value"], 0)
        np.testing.assert_array_equal(
            change.loc[change["convention"] != "mean", "p_value"].dropna(), 1
        )
        assert set(change["n_changed"]) == {0}
        assert set(change["verdict"]) <= {"within chance", ""}
        pair = [rows(long, task="same", version=v) for v in ("original", "reconstructed")]
        columns = ["value", "std_error", "ci_low", "ci_high"]
        np.testing.assert_allclose(*(part[columns].to_numpy(float) for part in pair), rtol=1e-12)


def test_holm_counts_only_what_was_tested(found):
    """Six of eight tasks are tested: at chance and not estimable have no p and cost the others
    nothing.
    """
    family = rows(found[1], **CHANGE, metric="eodd")
    p = np.sort(family["p_value"].dropna())
    assert len(p) == 6
    np.testing.assert_allclose(family["p_adjusted"].min(), 6 * p[0])
    assert set(family.loc[family["p_value"].isna(), "task"]) == {"chance", "few"}


@pytest.mark.parametrize("metric", ["eodd", "eop"])
@pytest.mark.parametrize("task", NAMES)
def test_a_comparison_words_the_same_verdicts(found, compared, task, metric):
    row = one(compared, attribute="sex", version="change", task=task, metric=metric)
    wanted = one(found[1], **CHANGE, task=task, metric=metric)
    assert row["verdict"] == HELPED.get(wanted["verdict"], wanted["verdict"])
    numbers = [
        "value",
        "original",
        "reconstructed",
        "p_value",
        "std_error",
        "ci_low",
        "ci_high",
        "mde",
        "n",
        "n_changed",
    ]
    np.testing.assert_allclose(row[numbers].astype(float), wanted[numbers].astype(float), atol=1e-9)
    assert (row["mitigation"], row["family"]) == (
        "remedy",
        f"{metric}, level 10000, mitigation remedy",
    )
    assert (row["group"], row["label_stratum"]) == (wanted["group"], wanted["label_stratum"])


def test_a_comparison_states_values_and_no_threshold(compared):
    for version, value in (("unmitigated", 0), ("mitigated", 0.4), ("change", 0.4)):
        np.testing.assert_allclose(
            one(compared, task="widened", metric="eodd", version=version)["value"], value, atol=1e-9
        )
    assert "threshold" not in set(compared["metric"])
    assert set(compared["convention"]) == {"worst_case_estimable", ""}
    assert set(compared.loc[compared["task"] != "", "threshold_rule"]) == {"fixed"}


def judge(table, spec=SPEC, **changes):
    return assess(table, spec, hand.options(conventions=ALL, **changes))


def same(one_long, other, drop=(), **close):
    pd.testing.assert_frame_equal(
        *(hand.numeric(long, drop) for long in (one_long, other)), **close
    )


def test_names_of_groups_do_not_matter(found):
    table = hand.table(NAMES)
    renamed = table.assign(sex=table["sex"].map({"Female": "zebra", "Male": "ant"}))
    for before, after in zip(found, judge(renamed, hand.spec(NAMES, ("zebra", "ant")))):
        same(before, after)
        assert (after["group"].replace({"zebra": "Female", "ant": "Male"}) == before["group"]).all()
        assert (after["verdict"] == before["verdict"]).all()


def test_the_order_of_groups_moves_the_reference_alone(found):
    turned = judge(hand.table(NAMES), hand.spec(NAMES, ("Male", "Female")))
    key = ["task", "metric", "convention", "version", "attribute", "group", "label_stratum"]
    for pair in zip(found, turned):
        before, after = (t[t["convention"] != "mean"].sort_values(key, kind="stable") for t in pair)
        same(before, after, ("permutation_null",), rtol=1e-5, atol=1e-6)
        assert (before["verdict"].to_numpy() == after["verdict"].to_numpy()).all()
    assert set(rows(turned[1], metric="eodd")["reference_group"]) == {"Male"}


def test_rows_of_other_splits_and_blank_cells_change_nothing(found):
    table = hand.table(NAMES)
    train = table.assign(
        split="train", example_id=table["example_id"] + "t", patient_id=table["patient_id"] + "t"
    )
    for before, after in zip(
        found, judge(pd.concat([table.assign(mitigation=None, seed=np.nan), train]))
    ):
        pd.testing.assert_frame_equal(before, after)


def test_what_happens_to_patients_of_no_group_leaves_the_gaps_alone():
    table = hand.table(NAMES)
    unknown = np.arange(len(table)) % 6 == 0
    table.loc[unknown, "sex"] = None
    other = table.copy()
    for name in NAMES:
        other.loc[unknown, f"{name}__reconstructed"] = 0.2
    (before, gaps), (after, again) = judge(table), judge(other)
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
        same(a[columns], b[columns], rtol=1e-6)
    lost = [
        one(t, task="same", metric="sensitivity", attribute="", version="change")["value"]
        for t in (before, after)
    ]
    assert lost[1] < lost[0] == 0


def test_company_and_empty_groups_change_nothing(found, monkeypatch):
    """Each task by itself, with a group that nobody belongs to; limits may move where 20 replicates
    tie with the value.
    """
    monkeypatch.setattr(batch, "BUDGET", 1)
    names = ("widened", "few")
    spec = hand.spec(names, ("Female", "Male", "Other"))
    performance, fairness = assess(
        hand.table(names),
        spec,
        hand.options(conventions=("worst_case_estimable",), auroc_gaps=False),
    )
    for long, wanted in (
        (performance, found[0]),
        (fairness, rows(found[1], convention=["worst_case_estimable", ""])),
    ):
        wanted = wanted[wanted["task"].isin(["", *names]) & (wanted["metric"] != "gap_auroc")]
        same(
            long[long["group"] != "Other"],
            wanted,
            ("p_adjusted", "permutation_null", "ci_low", "ci_high"),
            rtol=1e-4,
            atol=1e-6,
        )
        same(
            long.loc[long["group"] != "Other", ["ci_low", "ci_high"]],
            wanted[["ci_low", "ci_high"]],
            atol=0.02,
        )
        assert (
            long[long["group"] != "Other"]["verdict"].to_numpy() == wanted["verdict"].to_numpy()
        ).all()
    row = one(fairness, **CHANGE, task="widened", metric="eodd")
    assert "not estimable: Other: false-positive rate: no images (0 patients)" in row["reason"]
    own = rows(fairness, group="Other", metric=["gap_sensitivity", "gap_specificity"])
    assert set(own["reason"]) == {"no images"}
    assert rows(performance, group="Other")["value"].isna().all()
    assert set(rows(performance, group="Other")["n"]) == {0}


def test_without_originals_nothing_is_judged_and_no_original_is_invented(found):
    table = hand.table(NAMES)
    performance, fairness = judge(
        table.drop(columns=[c for c in table if c.endswith("__original")])
    )
    for long, whole in ((performance, found[0]), (fairness, found[1])):
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
        same(after[["value"]], wanted[["value"]], atol=1e-9)
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
    performance, fairness = judge(
        hand.table(NAMES), threshold_rule="published", threshold_value=None
    )
    change = rows(fairness, **CHANGE, metric=["eodd", "eop"])
    assert set(change["reason"]) == {NO_VERDICT}
    assert set(change["verdict"]) == {""}
    caution = rows(fairness, **{**CHANGE, "convention": "mean"}, metric="eodd")
    assert set(caution["reason"]) == {CAUTION}
    rule = "published: balanced on the evaluated patients, per version"
    assert set(rows(performance, task="widened")["threshold_rule"]) == {rule}
    thresholds = rows(performance, metric="threshold")
    assert set(thresholds["value"]) <= {0.2, 0.8}
    assert (thresholds["reason"] == "").all()


def test_one_group_only_has_no_gap(found):
    table = hand.table(NAMES)
    performance, fairness = judge(
        table.assign(sex=table["sex"].where(table["sex"] == "Female", None))
    )
    for metric in ("eodd", "eop", "gap_auroc"):
        row = one(fairness, **CHANGE, task="widened", metric=metric)
        assert np.isnan(row["value"])
        assert (row["verdict"], np.isnan(row["p_value"])) == ("not estimable", True)
        assert "no second group with enough patients" in row["reason"]
    everyone, women = (
        rows(t, attribute=a, group=g)
        for t, a, g in ((performance, "", ""), (performance, "sex", "Female"))
    )
    for part, attribute, group in ((everyone, "", ""), (women, "sex", "Female")):
        part = part[part["task"] != ""]
        wanted = rows(
            found[0],
            attribute=attribute,
            group=group,
            task=list(NAMES),
            metric=sorted(set(part["metric"])),
        )
        same(part, wanted)
    assert rows(performance, group="Male")["value"].isna().all()


def test_nobody_with_a_known_group_has_no_row():
    performance, fairness = judge(hand.table(NAMES).assign(sex=None))
    assert fairness.empty
    assert set(performance.loc[performance["n"] > 0, "attribute"]) == {""}


@pytest.mark.parametrize("label", [0, 1])
def test_constant_labels_leave_what_needs_both_undefined(label):
    table = hand.table(NAMES)
    for name in NAMES:
        table[f"{name}__label"] = table[f"{name}__label"].where(table[f"{name}__label"] == label)
    performance, fairness = judge(table)
    everyone = {"attribute": "", "version": "change", "task": "widened"}
    assert np.isnan(one(performance, **everyone, metric="auroc")["value"])
    rate, other = ("sensitivity", "specificity") if label else ("specificity", "sensitivity")
    assert one(performance, **everyone, metric=rate)["original"] == pytest.approx(0.9)
    assert np.isnan(one(performance, **everyone, metric=other)["original"])
    row = one(fairness, **CHANGE, task="widened", metric="eodd")
    assert row["value"] == pytest.approx(0.4 * label, abs=1e-6)
    assert row["verdict"] == ("widened" if label else "within chance")
    assert one(fairness, **CHANGE, task="widened", metric="eop")["verdict"] == (
        "widened" if label else "not estimable"
    )
    assert one(fairness, **CHANGE, task="widened", metric="gap_auroc")["verdict"] == "not estimable"


def test_a_comparison_of_a_copy_detects_nothing():
    table = hand.table(NAMES)
    copy = compare(pd.concat([table, table.assign(mitigation="copy")]), SPEC, hand.options())
    change = rows(copy, version="change", task=["widened", "narrowed", "same"])
    assert set(change["value"]) == {0}
    assert set(rows(change, metric=["eodd", "eop", "gap_auroc"])["verdict"]) == {
        "no detectable effect"
    }
    assert set(rows(change, metric=["sensitivity", "auroc"], attribute="")["verdict"]) == {
        "within chance"
    }
    assert set(rows(change, metric="gap_sensitivity")["verdict"]) == {"within chance"}


def test_a_comparison_reversed_turns_every_change(compared):
    """Mitigated and unmitigated exchanged: changes turn their sign, p of the gap stays."""
    after = hand.table(NAMES)
    before = after.assign(**{f"{n}__reconstructed": after[f"{n}__original"] for n in NAMES})
    back = compare(pd.concat([after, before.assign(mitigation="remedy")]), SPEC, hand.options())
    for task, verdicts in (
        ("widened", ["harmed", "helped"]),
        ("narrowed", ["helped", "harmed"]),
        ("shifted", ["shifted"] * 2),
    ):
        for metric in ("eodd", "eop"):
            a, b = (
                one(long, attribute="sex", version="change", metric=metric, task=task)
                for long in (compared, back)
            )
            np.testing.assert_allclose(
                [a["change"], a["p_value"]], [-b["change"], b["p_value"]], atol=1e-6
            )
            assert [a["verdict"], b["verdict"]] == verdicts
    changes = [
        rows(long, metric="gap_sensitivity")["value"].to_numpy() for long in (compared, back)
    ]
    np.testing.assert_allclose(changes[0], -changes[1], atol=1e-6)


def test_a_note_about_patients_stands_beside_the_first_number():
    tasks = tuple(Task(name, "classification", "median") for name in NAMES)
    spec = dataclasses.replace(SPEC, tasks=tasks)
    table = hand.table(NAMES)
    again = table.iloc[[0, 100]].assign(example_id=["again", "anew"])
    again["widened__label"] = 1 - again["widened__label"]
    performance, _ = judge(pd.concat([table, again]), spec)
    row = one(performance, task="widened", metric="auroc", attribute="", version="original")
    assert row["reason"] == "2 patients have images with different labels and were left out"
    assert [row["n"], row["unit"]] == [238, "patient"]
    assert (
        one(performance, task="same", metric="auroc", attribute="", version="original")["reason"]
        == ""
    )


def test_results_on_disk(tmp_path, found):
    write_results(tmp_path, performance=found[0], fairness=found[1])
    for name, wanted in zip(("performance", "fairness"), found):
        read = read_results(tmp_path, name)
        pd.testing.assert_frame_equal(
            hand.numeric(read[list(wanted.select_dtypes("number"))]),
            hand.numeric(wanted),
            check_dtype=False,
        )
        assert (read["verdict"].fillna("") == wanted["verdict"]).all()
    with pytest.raises(
        FileNotFoundError, match=r"no results at .*comparison.csv: run `fairrecon assess` first"
    ):
        read_results(tmp_path, "comparison")
