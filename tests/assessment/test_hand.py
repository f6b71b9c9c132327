"""Chosen rates through `assess` and `compare`: every number by hand, every verdict, every reason."""

import hand
import numpy as np
import pandas as pd
import pytest
from find import one, rows

from fairrecon_jax.assessment import assess, compare
from fairrecon_jax.inference.did import REASONS
from fairrecon_jax.inference.verdict import VERDICTS

NAMES = tuple(hand.SCENARIOS)
CHANGE = {"attribute": "sex", "version": "change", "convention": "paper"}
ALL = ("paper", "published", "estimable")


@pytest.fixture(scope="module")
def found():
    return assess(hand.table(NAMES), hand.spec(NAMES), hand.options(conventions=ALL))


@pytest.fixture(scope="module")
def compared():
    """The same decisions, "before" read in unmitigated and "after" in mitigated reconstructions."""
    after = hand.table(NAMES)
    before = after.assign(**{f"{n}__reconstructed": after[f"{n}__original"] for n in NAMES})
    return compare(pd.concat([before, after.assign(mitigation="remedy")]), hand.spec(NAMES), hand.options())


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
    where = {"task": "widened", "metric": metric, "group": group, "attribute": "sex" if group else ""}
    before, after = WIDENED[place]
    for version, value in (("original", before), ("reconstructed", after), ("change", after - before)):
        np.testing.assert_allclose(one(found[0], **where, version=version)["value"], value, atol=1e-6)
    change = one(found[0], **where, version="change")
    np.testing.assert_allclose(change["percent"], 100 * (after - before) / before, atol=1e-4)
    size = 120 if group else 240
    assert [change[c] for c in ("n", "n_patients", "n_pos", "n_neg")] == [size, size, size / 2, size / 2]
    assert change["n_changed"] == (0 if group == "Male" else 24)


GAPS = {
    ("widened", "eodd", "paper"): (0, 0.4),
    ("widened", "eodd", "published"): (0, 0.2),
    ("widened", "eodd", "estimable"): (0, 0.4),
    ("widened", "eop", "paper"): (0, 0.4),
    ("widened", "gap_auroc", "paper"): (0, 0.2),
    ("narrowed", "eodd", "paper"): (0.4, 0),
    ("reversed", "eodd", "paper"): (0.35, 0.35),
    ("shifted", "eop", "paper"): (0.1, 0.1),
    ("same", "eodd", "paper"): (0.2, 0.2),
    ("same", "eodd", "published"): (0.15, 0.15),
    ("chance", "eop", "published"): (0, 0.4),
    ("few", "eop", "paper"): (0.1, 0.5),
}


@pytest.mark.parametrize("place", GAPS, ids="-".join)
def test_gaps_by_hand(found, place):
    task, metric, convention = place
    for version, value in zip(("original", "reconstructed", "change"), (*GAPS[place], GAPS[place][1] - GAPS[place][0])):
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
        np.testing.assert_allclose([row["value"], row["std_error"]], [deviation[g], error[g]], rtol=1e-4)
        np.testing.assert_allclose(row["ci_high"] - row["value"], row["value"] - row["ci_low"], rtol=1e-4)
        assert (row["label_stratum"], row["reference_group"]) == ("positive", "all groups")
        assert [row["n"], row["n_pos"], row["n_changed"]] == [60, 60, (24, 0)[g]]
        assert np.isnan(row["n_neg"])
        assert row["verdict"] == "shifted"
        assert one(found[1], task="widened", metric="gap_specificity", group=group)["verdict"] == "within chance"


def test_specificity_rows_turn_the_false_positive_rate(found):
    """More false alarms among women are a loss of specificity: signs and limits swap."""
    moved = {"widened": ((6, 30), (54, 54), (6, 6), (54, 54))}
    table = hand.table(NAMES, {**hand.SCENARIOS, **moved})
    fairness = assess(table, hand.spec(NAMES), hand.options(conventions=ALL))[1]
    wanted = one(found[1], task="widened", metric="gap_sensitivity", group="Female")
    row = one(fairness, task="widened", metric="gap_specificity", group="Female")
    columns = ["value", "original", "reconstructed", "ci_low", "ci_high", "std_error"]
    np.testing.assert_allclose(row[columns].astype(float), wanted[columns].astype(float), atol=1e-6)
    gap = one(fairness, **CHANGE, task="widened", metric="eodd")
    assert (gap["verdict"], gap["label_stratum"]) == ("widened", "negative")
    assert "false-positive rate of Female changed by +0.400" in gap["reason"]
    assert one(fairness, **CHANGE, task="widened", metric="eop")["verdict"] == "within chance"


EXPECTED = {
    "widened": ("widened", "sensitivity of Female changed by -0.400", "largest gap 0.000 before, 0.400 after"),
    "narrowed": ("narrowed", "sensitivity of Female changed by +0.400", "largest gap 0.400 before, 0.000 after"),
    "reversed": ("reversed", "largest gap 0.350 before, 0.350 after", "its sides swapped (-0.350)"),
    "shifted": ("shifted", "largest gap 0.100 before, 0.100 after", "not a clear change of the largest gap"),
    "alike": ("within chance", "p = ", "would be found 4 times in 5"),
    "same": ("within chance", "p = 1", ""),
    "chance": ("at chance", "AUROC on originals [", "holds 0.5: the diagnosis itself is at chance"),
    "few": ("not estimable", "no label has two groups with enough patients", "Male: sensitivity: too few patients in this group with this"),
}
HELPED = {"widened": "harmed", "narrowed": "helped", "reversed": "harmed", "within chance": "no detectable effect"}


@pytest.mark.parametrize("metric", ["eodd", "eop"])
@pytest.mark.parametrize("task", NAMES)
def test_every_verdict_with_its_reason(found, task, metric):
    verdict, *parts = EXPECTED[task]
    for convention in ("paper", "estimable"):
        row = one(found[1], **{**CHANGE, "convention": convention}, task=task, metric=metric)
        assert row["verdict"] == verdict
        assert all(part in row["reason"] for part in parts)
    assert one(found[1], **{**CHANGE, "convention": "published"}, task=task, metric=metric)["verdict"] == ""
    assert set(VERDICTS) == {entry[0] for entry in EXPECTED.values()}


def test_the_words_for_cells_that_cannot_be_judged(found):
    reason = one(found[1], **CHANGE, task="few", metric="eodd")["reason"]
    groups = {"Female": ("no images with this label in this group (0", "no second group with enough patients to compare with (60")}
    groups["Male"] = ("no second group with enough patients to compare with (60", "too few patients in this group with this label (5")
    for g, (negatives, positives) in groups.items():
        assert f"{g}: false-positive rate: {negatives} patients)" in reason
        assert f"{g}: sensitivity: {positives} patients)" in reason
    own = rows(found[1], task="few", metric=["gap_sensitivity", "gap_specificity"])
    assert set(own["verdict"]) == {"not estimable"}
    assert set(own["reason"]) == set(REASONS[1:])
    assert own["value"].isna().all()


def test_a_loss_common_on_the_probit_scale_is_told(found):
    """0.98 -> 0.85 and 0.80 -> 0.35 are nearly one step of the probit; 0.9 -> 0.9 and 0.9 -> 0.5 are not."""
    common = {"widened": ((3, 3), (59, 51), (3, 3), (48, 21))}
    table = hand.table(NAMES, {**hand.SCENARIOS, **common})
    fairness = assess(table, hand.spec(NAMES), hand.options(conventions=ALL))[1]
    text = "one loss common to all groups on the probit scale would explain the difference"
    row = one(fairness, **CHANGE, task="widened", metric="eop")
    assert row["verdict"] == "widened"
    assert text in row["reason"]
    assert text not in one(found[1], **CHANGE, task="widened", metric="eop")["reason"]


def test_changes_of_everyone(found):
    everyone = {"attribute": "", "version": "change"}
    for task, verdict in (("widened", "lower"), ("narrowed", "higher"), ("same", "within chance"), ("chance", "at chance")):
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
        np.testing.assert_array_equal(change.loc[change["convention"] != "published", "p_value"].dropna(), 1)
        assert set(change["n_changed"]) == {0}
        assert set(change["verdict"]) <= {"within chance", ""}
        pair = [rows(long, task="same", version=v) for v in ("original", "reconstructed")]
        columns = ["value", "std_error", "ci_low", "ci_high"]
        np.testing.assert_allclose(*(part[columns].to_numpy(float) for part in pair), rtol=1e-12)


def test_holm_counts_only_what_was_tested(found):
    """Six of eight tasks are tested: at chance and not estimable have no p and cost the others nothing."""
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
    numbers = ["value", "original", "reconstructed", "p_value", "std_error", "ci_low", "ci_high", "mde", "n", "n_changed"]
    np.testing.assert_allclose(row[numbers].astype(float), wanted[numbers].astype(float), atol=1e-9)
    assert (row["mitigation"], row["family"]) == ("remedy", f"{metric}, level 10000, mitigation remedy")
    assert (row["group"], row["label_stratum"]) == (wanted["group"], wanted["label_stratum"])


def test_a_comparison_states_values_and_no_threshold(compared):
    for version, value in (("unmitigated", 0), ("mitigated", 0.4), ("change", 0.4)):
        np.testing.assert_allclose(one(compared, task="widened", metric="eodd", version=version)["value"], value, atol=1e-9)
    assert "threshold" not in set(compared["metric"])
    assert set(compared["convention"]) == {"paper", ""}
    assert set(compared.loc[compared["task"] != "", "threshold_rule"]) == {"fixed"}
