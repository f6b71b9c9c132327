"""Chosen rates through `assess` and `compare`: every number by hand, every verdict and reason."""

import numpy as np
import pandas as pd
import pytest
from fairrecon_jax.inference.did_result import REASONS

from fairrecon_jax.assessment import assess, compare, read_results, write_results
from fairrecon_jax.inference.verdict import VERDICTS
from tests.support import hand
from tests.support.find import one, rows

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
def test_performance_by_hand(assessed, place):
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
            one(assessed[0], **where, version=version)["value"], value, atol=1e-6
        )
    change = one(assessed[0], **where, version="change")
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
def test_gaps_by_hand(assessed, place):
    task, metric, convention = place
    for version, value in zip(
        ("original", "reconstructed", "change"), (*GAPS[place], GAPS[place][1] - GAPS[place][0])
    ):
        row = one(assessed[1], task=task, metric=metric, convention=convention, version=version)
        np.testing.assert_allclose(row["value"], value, atol=1e-6)
        assert row["reference_group"] == "Female"


def test_a_group_row_by_hand(assessed):
    """D = (-0.4, 0); v_g is 60 (sum e^2 + 3 m) / 63 / 60^2 with sum e^2 = 14.4 and 0, m = 0.12."""
    variance = 60 * (np.array([14.4, 0]) + 3 * 0.12) / 63 / 3600
    share = (1 / variance) / (1 / variance).sum()
    deviation, error = np.array([-0.4, 0]) + 0.4 * share[0], np.sqrt(variance * (1 - share))
    for g, group in enumerate(("Female", "Male")):
        row = one(assessed[1], task="widened", metric="gap_sensitivity", group=group)
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
            one(assessed[1], task="widened", metric="gap_specificity", group=group)["verdict"]
            == "within chance"
        )


def test_specificity_rows_turn_the_false_positive_rate(assessed):
    """More false alarms among women are a loss of specificity: signs and limits swap."""
    moved = {"widened": ((6, 30), (54, 54), (6, 6), (54, 54))}
    table = hand.table(hand.NAMES, {**hand.SCENARIOS, **moved})
    fairness = assess(table, hand.SPEC, hand.options(conventions=hand.ALL))[1]
    wanted = one(assessed[1], task="widened", metric="gap_sensitivity", group="Female")
    row = one(fairness, task="widened", metric="gap_specificity", group="Female")
    columns = ["value", "original", "reconstructed", "std_error"]
    np.testing.assert_allclose(row[columns].astype(float), wanted[columns].astype(float), atol=1e-6)
    limits = [
        "ci_low",
        "ci_high",
    ]  # other patients, other signs: the critical value differs a little
    np.testing.assert_allclose(row[limits].astype(float), wanted[limits].astype(float), atol=5e-3)
    gap = one(fairness, **hand.CHANGE, task="widened", metric="eodd")
    assert (gap["verdict"], gap["label_stratum"]) == ("widened", "negative")
    assert "false-positive rate of Female changed by +0.400" in gap["reason"]
    assert one(fairness, **hand.CHANGE, task="widened", metric="eop")["verdict"] == "within chance"


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
@pytest.mark.parametrize("task", hand.NAMES)
def test_every_verdict_with_its_reason(assessed, task, metric):
    verdict, *parts = EXPECTED[task]
    for convention in ("worst_case", "worst_case_estimable"):
        row = one(
            assessed[1], **{**hand.CHANGE, "convention": convention}, task=task, metric=metric
        )
        assert row["verdict"] == verdict
        assert all(part in row["reason"] for part in parts)
    assert (
        one(assessed[1], **{**hand.CHANGE, "convention": "mean"}, task=task, metric=metric)[
            "verdict"
        ]
        == ""
    )
    assert set(VERDICTS) == {entry[0] for entry in EXPECTED.values()}


def test_the_words_for_strata_that_cannot_be_judged(assessed):
    reason = one(assessed[1], **hand.CHANGE, task="few", metric="eodd")["reason"]
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
    per_group = rows(assessed[1], task="few", metric=["gap_sensitivity", "gap_specificity"])
    assert set(per_group["verdict"]) == {"not estimable"}
    assert set(per_group["reason"]) == set(REASONS[1:])
    assert per_group["value"].isna().all()


def test_a_loss_common_on_the_probit_scale_is_told(assessed):
    """0.98 -> 0.85 and 0.80 -> 0.35 are nearly one step of the probit; 0.9 -> 0.9 and 0.9 -> 0.5
    are not.
    """
    common = {"widened": ((3, 3), (59, 51), (3, 3), (48, 21))}
    table = hand.table(hand.NAMES, {**hand.SCENARIOS, **common})
    fairness = assess(table, hand.SPEC, hand.options(conventions=hand.ALL))[1]
    text = "one loss common to all groups on the probit scale would explain the difference"
    row = one(fairness, **hand.CHANGE, task="widened", metric="eop")
    assert row["verdict"] == "widened"
    assert text in row["reason"]
    assert text not in one(assessed[1], **hand.CHANGE, task="widened", metric="eop")["reason"]


def test_changes_of_everyone(assessed):
    everyone = {"attribute": "", "version": "change"}
    for task, verdict in (
        ("widened", "lower"),
        ("narrowed", "higher"),
        ("same", "within chance"),
        ("chance", "at chance"),
    ):
        assert one(assessed[0], **everyone, task=task, metric="sensitivity")["verdict"] == verdict
        assert one(assessed[0], **everyone, task=task, metric="auroc")["verdict"] == verdict
    assert one(assessed[0], **everyone, task="widened", metric="brier")["verdict"] == "higher"
    assert one(assessed[0], **everyone, task="widened", metric="calibration_error")["verdict"] == ""
    reason = one(assessed[0], **everyone, task="chance", metric="auroc")["reason"]
    assert reason.startswith("the AUROC on original images is 0.500 (")
    assert reason.endswith("which includes 0.5")


def test_identical_reconstructions_change_nothing(assessed):
    for long in assessed:
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


def test_holm_counts_only_what_was_tested(assessed):
    """Six of eight tasks are tested: at chance and not estimable have no p and cost the others
    nothing.
    """
    family = rows(assessed[1], **hand.CHANGE, metric="eodd")
    p = np.sort(family["p_value"].dropna())
    assert len(p) == 6
    np.testing.assert_allclose(family["p_adjusted"].min(), 6 * p[0])
    assert set(family.loc[family["p_value"].isna(), "task"]) == {"chance", "few"}


@pytest.mark.parametrize("metric", ["eodd", "eop"])
@pytest.mark.parametrize("task", hand.NAMES)
def test_a_comparison_words_the_same_verdicts(assessed, compared_by_hand, task, metric):
    row = one(compared_by_hand, attribute="sex", version="change", task=task, metric=metric)
    wanted = one(assessed[1], **hand.CHANGE, task=task, metric=metric)
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


def test_a_comparison_states_values_and_no_threshold(compared_by_hand):
    for version, value in (("unmitigated", 0), ("mitigated", 0.4), ("change", 0.4)):
        np.testing.assert_allclose(
            one(compared_by_hand, task="widened", metric="eodd", version=version)["value"],
            value,
            atol=1e-9,
        )
    assert "threshold" not in set(compared_by_hand["metric"])
    assert set(compared_by_hand["convention"]) == {"worst_case_estimable", ""}
    assert set(compared_by_hand.loc[compared_by_hand["task"] != "", "threshold_rule"]) == {"fixed"}


def test_a_comparison_of_a_copy_detects_nothing():
    table = hand.table(hand.NAMES)
    copy = compare(pd.concat([table, table.assign(mitigation="copy")]), hand.SPEC, hand.options())
    change = rows(copy, version="change", task=["widened", "narrowed", "same"])
    assert set(change["value"]) == {0}
    assert set(rows(change, metric=["eodd", "eop", "gap_auroc"])["verdict"]) == {
        "no detectable effect"
    }
    assert set(rows(change, metric=["sensitivity", "auroc"], attribute="")["verdict"]) == {
        "within chance"
    }
    assert set(rows(change, metric="gap_sensitivity")["verdict"]) == {"within chance"}


def test_a_comparison_reversed_turns_every_change(compared_by_hand):
    """Mitigated and unmitigated exchanged: changes turn their sign, p of the gap stays."""
    after = hand.table(hand.NAMES)
    before = after.assign(**{f"{n}__reconstructed": after[f"{n}__original"] for n in hand.NAMES})
    back = compare(
        pd.concat([after, before.assign(mitigation="remedy")]), hand.SPEC, hand.options()
    )
    for task, verdicts in (
        ("widened", ["harmed", "helped"]),
        ("narrowed", ["helped", "harmed"]),
        ("shifted", ["shifted"] * 2),
    ):
        for metric in ("eodd", "eop"):
            a, b = (
                one(long, attribute="sex", version="change", metric=metric, task=task)
                for long in (compared_by_hand, back)
            )
            np.testing.assert_allclose(
                [a["change"], a["p_value"]], [-b["change"], b["p_value"]], atol=1e-6
            )
            assert [a["verdict"], b["verdict"]] == verdicts
    changes = [
        rows(long, metric="gap_sensitivity")["value"].to_numpy()
        for long in (compared_by_hand, back)
    ]
    np.testing.assert_allclose(changes[0], -changes[1], atol=1e-6)


def test_results_on_disk(tmp_path, assessed):
    write_results(tmp_path, performance=assessed[0], fairness=assessed[1])
    for name, wanted in zip(("performance", "fairness"), assessed):
        read = read_results(tmp_path, name)
        pd.testing.assert_frame_equal(read, wanted, check_dtype=False, check_exact=True)
    with pytest.raises(
        FileNotFoundError, match=r"no results at .*comparison.csv: run `fairrecon assess` first"
    ):
        read_results(tmp_path, "comparison")
