"""Chosen rates through `assess`: every number by hand, every verdict and reason."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm

from fairrecon_jax.assessment import read_results, write_results
from fairrecon_jax.inference import VERDICTS
from tests.support import hand
from tests.support.find import one, rows

SEX = ("Female", "Male")
NOTHING = "no decision changed"
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
    ("swapped", "eop", "worst_case"): (0.1, 0.1),
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
    """24 of 60 women lost, no man: D_women - D_men = -0.4. For the limits each stratum gets one
    gained and one lost patient: S = (-24, 0), N = (62, 62), sum e^2 = (26 - 24^2 / 62, 2), and v_g
    mixes a share kappa / (62 + kappa) of their pooled variance in, kappa 3 or the kurtosis 3.25 of
    24 residuals of -0.8 and 96 of 0.2, whichever gives more.
    """
    energy = np.array([26 - 24**2 / 62, 2.0])
    pooled = energy.sum() / 124
    variance = np.max(
        [(62 * energy + kappa * pooled * 62) / (62 + kappa) / 62**2 for kappa in (3, 3.25)], 0
    )
    error, centre = np.sqrt(variance.sum()), -24 / 62
    rows_of = {g: one(assessed[1], task="widened", metric="gap_sensitivity", group=g) for g in SEX}
    for g, sign in (("Female", 1), ("Male", -1)):
        row = rows_of[g]
        np.testing.assert_allclose(
            [row["value"], row["std_error"]], [sign * -0.4, error], rtol=1e-12
        )
        low, high = row["ci_low"], row["ci_high"]
        np.testing.assert_allclose((low + high) / 2, sign * centre, rtol=1e-12)
        # two labels, and of two groups one contrast each: never below the normal quantile of two
        assert (high - low) / 2 / error >= norm.ppf((1 + np.sqrt(0.95)) / 2) - 1e-9
        assert (row["label_stratum"], row["reference_group"]) == ("positive", "the other groups")
        assert [row["n"], row["n_pos"], row["n_changed"]] == [60, 60, 24 if g == "Female" else 0]
        assert np.isnan(row["n_neg"])
        # no permutation takes apart 24 losses in 60 and none in 60
        assert [row["p_value"], row["p_adjusted"]] == [1 / 200, 1 / 200]
        quiet = one(assessed[1], task="widened", metric="gap_specificity", group=g)
        assert (quiet["verdict"], quiet["p_value"], quiet["value"]) == ("no difference shown", 1, 0)
        assert quiet["ci_low"] == -quiet["ci_high"] < 0
    assert [rows_of[g]["verdict"] for g in SEX] == ["harmed", "favoured"]


def test_group_rows_of_three_groups_name_the_one_that_stands_out():
    """A third group of men: each group's change is told beside the precision-weighted change of the
    other two, which here is 0 for women and lies between -0.4 and 0 for men.
    """
    table = hand.table(("widened",))
    other = hand.table(("same",)).rename(columns=lambda c: c.replace("same", "widened"))
    other = other[other["sex"] == "Male"]
    other = other.assign(sex="Other", **{c: other[c] + "o" for c in ("example_id", "patient_id")})
    spec = hand.spec(("widened",), ("Female", "Male", "Other"))
    found = hand.judge(pd.concat([table, other]), spec)[1]
    sensitivity = rows(found, metric="gap_sensitivity").set_index("group")
    assert sensitivity.loc["Female", "value"] == pytest.approx(-0.4)
    assert 0 < sensitivity.loc["Male", "value"] == sensitivity.loc["Other", "value"] < 0.4
    assert sensitivity["verdict"].to_dict()["Female"] == "harmed"
    gap = one(found, **hand.CHANGE, metric="eodd")
    assert (gap["verdict"], gap["group"]) == ("harmed", "Female")
    assert "Female lost 40 points more than the other groups" in gap["reason"]


def test_specificity_rows_lose_by_false_alarms(assessed):
    """More false alarms among women are a loss of specificity: the same row, the other label."""
    moved = {"widened": ((6, 30), (54, 54), (6, 6), (54, 54))}
    table = hand.table(hand.NAMES, {**hand.SCENARIOS, **moved})
    fairness = hand.judge(table)[1]
    wanted = one(assessed[1], task="widened", metric="gap_sensitivity", group="Female")
    row = one(fairness, task="widened", metric="gap_specificity", group="Female")
    columns = ["value", "original", "reconstructed", "std_error"]
    np.testing.assert_allclose(row[columns].astype(float), wanted[columns].astype(float), atol=1e-6)
    # other patients, other draws: the critical value differs a little
    limits = ["ci_low", "ci_high"]
    np.testing.assert_allclose(row[limits].astype(float), wanted[limits].astype(float), atol=0.02)
    gap = one(fairness, **hand.CHANGE, task="widened", metric="eodd")
    assert (gap["verdict"], gap["group"], gap["label_stratum"]) == ("harmed", "Female", "negative")
    assert "specificity: Female 90 to 50 of 100, Male 90 to 90" in gap["reason"]
    eop = one(fairness, **hand.CHANGE, task="widened", metric="eop")
    assert (eop["verdict"], eop["reason"]) == ("no difference shown", NOTHING)


def test_the_detectable_change_solves_its_equation():
    """d^2 = (z_level + z_0.8)^2 (se^2 + d (1 - d) / 60) at Holm's level 0.05 / 6, two groups."""
    fairness = hand.judge(hand.table(hand.NAMES), adjustment="holm")[1]
    error = one(fairness, task="widened", metric="gap_sensitivity", group="Female")["std_error"]
    d = one(fairness, **hand.CHANGE, task="widened", metric="eop")["mde"]
    reach = norm.isf(0.05 / 12) + norm.ppf(0.8)
    np.testing.assert_allclose(d**2, reach**2 * (error**2 + d * (1 - d) / 60), rtol=1e-4)
    strata = rows(fairness, task="widened", metric=["gap_sensitivity", "gap_specificity"])
    both = one(fairness, **hand.CHANGE, task="widened", metric="eodd")["mde"]
    assert both == strata["mde"].max()
    assert strata.set_index("metric")["mde"].groupby(level=0).min()["gap_sensitivity"] > d


EXPECTED = {
    "widened": (
        "harmed",
        "Female",
        "widened",
        "sensitivity: Female 90 to 50 of 100, Male 90 to 90; Female lost 40 points more than Male",
    ),
    "narrowed": (
        "favoured",
        "Female",
        "narrowed",
        "sensitivity: Female 50 to 90 of 100, Male 90 to 90; Female gained 40 points more than",
    ),
    "reversed": (
        "harmed",
        "Male",
        "reversed",
        "sensitivity: Male 95 to 60 of 100, Female 60 to 95; Male lost 70 points more than Female",
    ),
    "swapped": (
        "harmed",
        "Female",
        "same",
        "sensitivity: Female 90 to 80 of 100, Male 80 to 90; Female lost 20 points more than Male",
    ),
    "alike": ("no difference shown", "", "", "p = 1 (1 over 6 comparisons); 12 decisions changed"),
    "same": ("no difference shown", "", "", NOTHING),
    "chance": ("at chance", "", "", "includes 0.5: the diagnosis itself is at chance"),
    "few": ("not estimable", "", "", "no two groups have enough patients to be compared"),
}


@pytest.mark.parametrize("metric", ["eodd", "eop"])
@pytest.mark.parametrize("task", hand.NAMES)
def test_every_verdict_with_its_reason(assessed, task, metric):
    for convention in ("worst_case", "worst_case_estimable"):
        row = one(
            assessed[1], **{**hand.CHANGE, "convention": convention}, task=task, metric=metric
        )
        assert (row["verdict"], row["group"], row["gap"]) == EXPECTED[task][:3]
        assert EXPECTED[task][3] in row["reason"]
        assert row["label_stratum"] == ("positive" if row["group"] else "")
        assert row[["ci_low", "ci_high", "std_error"]].isna().all()
    row = one(assessed[1], **{**hand.CHANGE, "convention": "mean"}, task=task, metric=metric)
    assert (row["verdict"], row["gap"]) == ("", "")
    assert set(VERDICTS) == {entry[0] for entry in EXPECTED.values()}


def test_the_words_for_strata_that_cannot_be_judged(assessed):
    reason = one(assessed[1], **hand.CHANGE, task="few", metric="eodd")["reason"]
    alone = "no second group to compare with (60"
    for g, negatives, positives in (
        ("Female", "no images (0", alone),
        ("Male", alone, "too few patients (5"),
    ):
        assert f"{g}: specificity: {negatives} patients)" in reason
        assert f"{g}: sensitivity: {positives} patients)" in reason
    per_group = rows(assessed[1], task="few", metric=["gap_sensitivity", "gap_specificity"])
    assert set(per_group["verdict"]) == {"not estimable"}
    assert set(per_group["reason"]) == {
        "no images",
        "too few patients",
        "no second group to compare with",
    }
    columns = ["value", "std_error", "ci_low", "ci_high", "p_value", "p_adjusted", "mde"]
    assert per_group[columns].isna().all(axis=None)


def test_one_patient_with_most_images_is_too_few_effective_patients():
    """Twelve men with a finding, one of whom has 60 images: (71)^2 / (3600 + 11) = 1.4 patients."""
    table = hand.table(("widened",))
    men = (table["sex"] == "Male") & (table["widened__label"] == 1)
    few = pd.concat([table[~men], table[men].head(12)])
    first = table[men].head(1)
    again = [first.assign(example_id=f"again{i}") for i in range(59)]
    fairness = hand.judge(pd.concat([few, *again]), hand.spec(("widened",)))[1]
    row = one(fairness, metric="gap_sensitivity", group="Male")
    assert (row["verdict"], row["reason"]) == (
        "not estimable",
        "too few effective patients: a few patients hold most of the images",
    )
    assert [row["n"], row["n_patients"]] == [71, 12]
    assert one(fairness, **hand.CHANGE, metric="eodd")["verdict"] == "no difference shown"
    assert one(fairness, **hand.CHANGE, metric="eop")["verdict"] == "not estimable"


def test_rows_of_the_worst_off_group(assessed):
    """Women and men swap at 0.9 and 0.8: men are worst off before, women after, by the same."""
    for metric, stratum in (("sensitivity", "positive"), ("specificity", "negative")):
        where = {"task": "swapped", "metric": f"worst_group_{metric}"}
        before, after, change = (
            one(assessed[1], **where, version=v) for v in ("original", "reconstructed", "change")
        )
        assert {r["label_stratum"] for r in (before, after, change)} == {stratum}
        wanted = [0.8, 0.8, 0] if metric == "sensitivity" else [0.9, 0.9, 0]
        np.testing.assert_allclose([r["value"] for r in (before, after, change)], wanted)
        if metric == "sensitivity":
            assert [before["group"], after["group"]] == ["Male", "Female"]
            assert change["reason"] == "worst off: Male before, Female after"
        assert (change["verdict"], change["convention"]) == ("", "worst_case_estimable")
    harm = {"task": "widened", "metric": "worst_group_sensitivity"}
    after = one(assessed[1], **harm, version="reconstructed")
    assert (after["group"], after["value"]) == ("Female", 0.5)
    assert not len(rows(assessed[1], task="few", metric="worst_group_sensitivity"))


def test_changes_of_everyone(assessed):
    everyone = {"attribute": "", "version": "change"}
    for task, verdict in (
        ("widened", "lower"),
        ("narrowed", "higher"),
        ("same", "no difference shown"),
        ("chance", "at chance"),
    ):
        assert one(assessed[0], **everyone, task=task, metric="sensitivity")["verdict"] == verdict
        assert one(assessed[0], **everyone, task=task, metric="auroc")["verdict"] == verdict
    assert one(assessed[0], **everyone, task="widened", metric="brier")["verdict"] == "higher"
    assert one(assessed[0], **everyone, task="widened", metric="calibration_error")["verdict"] == ""
    reason = one(assessed[0], **everyone, task="chance", metric="auroc")["reason"]
    assert reason.startswith("the AUROC on originals, 0.4")
    assert reason.endswith("the diagnosis itself is at chance")


def test_intervals_of_everyone_are_wilsons(assessed):
    """One image a patient: 108 of 120 positives are found, with the textbook's interval."""
    found = binomtest(108, 120).proportion_ci(method="wilson")
    row = one(assessed[0], attribute="", task="widened", metric="sensitivity", version="original")
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], found, rtol=1e-9)
    assert row["method"] == "Wilson, clustered by patient"


def test_identical_reconstructions_change_nothing(assessed):
    for long in assessed:
        change = rows(long, task="same", version="change")
        np.testing.assert_array_equal(change["value"], 0)
        np.testing.assert_array_equal(
            change.loc[change["convention"] != "mean", "p_value"].dropna(), 1
        )
        assert set(change["n_changed"]) == {0}
        assert set(change["verdict"]) <= {"no difference shown", ""}
        assert set(change["gap"]) == {""}
        pair = [rows(long, task="same", version=v) for v in ("original", "reconstructed")]
        columns = ["value", "std_error", "ci_low", "ci_high"]
        np.testing.assert_allclose(*(part[columns].to_numpy(float) for part in pair), rtol=1e-12)


def test_holm_counts_only_what_was_tested(assessed):
    """Six of eight tasks are tested: at chance and not estimable have no p and cost the others
    nothing. Westfall and Young's adjusted p is no larger than Holm's, for it knows the dependence.
    """
    held = hand.judge(hand.table(hand.NAMES), adjustment="holm")[1]
    family = rows(held, **hand.CHANGE, metric="eodd").set_index("task")
    p = np.sort(family["p_value"].dropna())
    assert len(p) == 6
    np.testing.assert_allclose(family["p_adjusted"].min(), 6 * p[0])
    assert set(family.index[family["p_value"].isna()]) == {"chance", "few"}
    assert set(family["family"]) == {"primary: headline gaps, level 10000"}
    shared = rows(assessed[1], **hand.CHANGE, metric="eodd").set_index("task")
    np.testing.assert_array_equal(shared["p_value"], family["p_value"])
    tested = family.index[family["p_value"].notna()]
    assert (shared.loc[tested, "p_adjusted"] <= family.loc[tested, "p_adjusted"]).all()
    # no draw of any comparison reaches the four clear ones
    assert (
        shared.loc[["widened", "narrowed", "reversed", "swapped"], "p_adjusted"] == 1 / 200
    ).all()
    assert set(rows(held, metric="eop", version="change")["family"]) == {
        "secondary: eop, level 10000, mitigation none",
        "",
    }


def test_results_on_disk(tmp_path, assessed):
    write_results(tmp_path, performance=assessed[0], fairness=assessed[1])
    for name, wanted in zip(("performance", "fairness"), assessed):
        read = read_results(tmp_path, name)
        pd.testing.assert_frame_equal(read, wanted, check_dtype=False, check_exact=True)
    with pytest.raises(
        FileNotFoundError, match=r"no results at .*comparison.csv: run `fairrecon assess` first"
    ):
        read_results(tmp_path, "comparison")
