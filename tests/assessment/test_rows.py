"""Numbers as rows, by hand: the three versions, complements, words for a change, rows per group,
and the verdict on a row's own gap.
"""

import numpy as np
import pytest
from fairrecon_jax.assessment.separation import Separation

from fairrecon_jax.assessment import performance
from fairrecon_jax.assessment.performance import (
    at_chance,
    complement,
    plain,
    verdict_of_change,
)
from fairrecon_jax.assessment.rows import BLANK, Interval, Triple, version_rows
from fairrecon_jax.assessment.verdicts import (
    NO_VERDICT,
    SENSITIVITY,
    UNPAIRED,
    GapTest,
    group_rows,
    of_row,
    without_test,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "p", "word"),
    [
        (0.1, 0.01, "higher"),
        (-0.1, 0.01, "lower"),
        (-0.1, 0.05, "lower"),
        (0.1, 0.06, "within chance"),
        (0.0, 0.01, "within chance"),
        (0.1, NAN, "not estimable"),
    ],
)
def test_words_for_a_change(change, p, word):
    assert verdict_of_change(change, p, 0.05) == word


def test_at_chance_says_the_interval():
    assert (
        at_chance(Interval(0.6, 0.1, 0.51, 0.7))
        == at_chance(Interval(0.4, 0.1, 0.3, 0.49))
        == at_chance(Interval(NAN))
        == ""
    )
    assert (
        at_chance(Interval(0.52, 0.1, 0.5, 0.54))
        == "the AUROC on original images is 0.520 (0.500 to 0.540), which includes 0.5"
    )


def test_a_complement_swaps_limits_and_its_own_complement_is_the_rate():
    rate = Triple(
        Interval(0.1, 0.01, 0.08, 0.13),
        Interval(0.3, 0.02, 0.25, 0.36),
        Interval(0.2, 0.03, 0.12, 0.29),
    )
    turned = complement(rate)
    np.testing.assert_allclose(turned.original, [0.9, 0.01, 0.87, 0.92])
    np.testing.assert_allclose(turned.change, [-0.2, 0.03, -0.29, -0.12])
    np.testing.assert_allclose(
        turned.change.value, turned.reconstructed.value - turned.original.value
    )
    np.testing.assert_allclose(complement(turned), rate, atol=1e-12)


def test_three_rows_of_a_number():
    rows = version_rows({"metric": "m", "task": "t"}, plain(0.5, 0.4), "boot", {"reason": "why"})
    assert [r["version"] for r in rows] == ["original", "reconstructed", "change"]
    assert [r["value"] for r in rows] == pytest.approx([0.5, 0.4, -0.1])
    assert [r["method"] for r in rows] == ["", "", ""]  # no interval, no method
    assert [r["reason"] for r in rows] == ["", "", "why"]
    assert rows[2]["percent"] == pytest.approx(-20)
    assert np.isnan([r["original"] for r in rows[:2]]).all()
    assert np.isnan(version_rows({}, plain(0.0, 0.4), "", {})[2]["percent"])
    some = version_rows({}, Triple(Interval(1, 1, 0, 2), Interval(1), Interval(0)), "boot", {})
    assert [r["method"] for r in some] == ["boot", "", ""]


def test_separation_without_movement_is_certain():
    value, error = np.full((2, 1, 1), 0.75), np.array([0.1, 0.1, 0.0]).reshape(3, 1, 1)
    separated = Separation(value, error)
    assert separated.p_value(0, 0) == 1
    numbers = separated.paired(0, 0, 0.05)
    np.testing.assert_allclose(numbers.original, [0.75, 0.1, 0.75 - 0.196, 0.75 + 0.196], atol=1e-4)
    assert numbers.change == Interval(0, 0, 0, 0)
    assert Separation(np.full((2, 1, 1), 0.95), error).paired(0, 0, 0.05).original.high == 1
    assert np.isnan(Separation(value, np.full((3, 1, 1), NAN)).paired(0, 0, 0.05).original.low)
    moved = Separation(np.array([0.75, 0.85]).reshape(2, 1, 1), np.full((3, 1, 1), 0.1 / 1.959964))
    assert moved.p_value(0, 0) == pytest.approx(0.05, abs=1e-6)


def test_normal_p():
    class Change:
        value, std_error = np.array([[0.2, 0.2, 0.2, NAN]]), np.array([[0.1, 0.0, NAN, 0.1]])

    p = [performance._normal_p(Change, 0, g) for g in range(4)]
    assert p[:2] == pytest.approx([0.0455, 1], abs=1e-4)
    assert np.isnan(p[2:]).all()


class Result:
    """As much of a test's result as a gap_test needs."""

    p_value = np.float32(0.02)
    estimable, reason = np.array([[True, False]]), np.array([[0, 2]])
    rate_original, rate_reconstructed = np.array([[0.9, 0.8]]), np.array([[0.7, 0.8]])
    deviation, std_error, variance = (
        np.array([[-0.1, NAN]]),
        np.array([[0.05, NAN]]),
        np.array([[0.004, NAN]]),
    )
    ci_low, ci_high, stratum_p = (
        np.array([[-0.2, NAN]]),
        np.array([[0.05, NAN]]),
        np.array([[0.1, NAN]]),
    )
    n_images, n_patients, n_changed, n_effective = (
        np.array([[a, b]]) for a, b in ((50, 4), (40, 3), (10, 1), (38.0, 3.0))
    )
    critical = np.array(2.0)


def gap_test(**changes) -> GapTest:
    fields = {
        "test": Result,
        "groups": ("a", "b"),
        "quantities": (SENSITIVITY,),
        "family": "f",
        "auroc": None,
        "alpha": 0.05,
    } | changes
    return GapTest(**fields)


def test_a_question_at_chance_has_no_p():
    assert gap_test().p_value == pytest.approx(0.02)
    assert gap_test(auroc=Interval(0.7, 0.1, 0.51, 0.9)).p_value == pytest.approx(0.02)
    assert np.isnan(gap_test(auroc=Interval(0.6, 0.1, 0.5, 0.7)).p_value)
    assert gap_test().method == "p: difference in differences, patient sign flips"
    assert gap_test(label_weights=(0.25,)).method.endswith(", labels weighted 0.25 (sensitivity)")
    z, others = 2.0 + 0.8416212, 0.05**2 / 0.004
    assert gap_test(is_rate=False).detectable == pytest.approx(
        z * np.sqrt(0.004 / others), rel=1e-6
    )
    assert gap_test().detectable > gap_test(is_rate=False).detectable


@pytest.mark.parametrize("flipped", [False, True])
def test_rows_of_groups_by_hand(flipped):
    quantity = SENSITIVITY._replace(flipped=flipped)
    a, b = group_rows(gap_test(quantities=(quantity,)), {"task": "t"})
    sign = -1 if flipped else 1
    assert [a["value"], a["change"]] == pytest.approx([sign * -0.1] * 2)
    assert [a["ci_low"], a["ci_high"]] == pytest.approx([-0.05, 0.2] if flipped else [-0.2, 0.05])
    assert [a["original"], a["reconstructed"]] == pytest.approx(
        [0.1, 0.3] if flipped else [0.9, 0.7]
    )
    assert [a[c] for c in ("n", "n_patients", "n_changed", "n_pos", "p_value")] == pytest.approx(
        [50, 40, 10, 50, 0.1]
    )
    assert (a["method"], a["verdict"]) == (
        "max-T sign flips, simultaneous over groups and labels",
        "",
    )
    assert (b["verdict"], b["method"]) == ("not estimable", "")
    assert b["reason"] == "too few patients"
    assert set(a) == set(BLANK)


def test_change_rows_without_a_test_say_why():
    paired, alone = [dict(BLANK)], [dict(BLANK)]
    without_test(paired, paired=True)
    without_test(alone, paired=False)
    assert (paired[0]["verdict"], paired[0]["reason"]) == ("", NO_VERDICT)
    assert (alone[0]["verdict"], alone[0]["reason"]) == ("not estimable", UNPAIRED)


@pytest.mark.parametrize(
    ("verdict", "change", "limits", "wanted"),
    [
        ("narrowed", -0.1, (-0.2, 0.0), "narrowed"),
        ("narrowed", 0.1, (-0.1, 0.2), "shifted"),
        ("narrowed", 0.1, (0.05, 0.2), "widened"),
        ("widened", -0.1, (-0.2, -0.05), "narrowed"),
        ("widened", 0.0, (np.nan, np.nan), "shifted"),
        ("reversed", 0.1, (0.05, 0.2), "reversed"),
        ("within chance", 0.1, (0.05, 0.2), "within chance"),
    ],
)
def test_a_row_is_not_given_the_direction_of_another_gap(verdict, change, limits, wanted):
    verdict_of_row, told = of_row(
        verdict, {"change": change, "ci_low": limits[0], "ci_high": limits[1]}
    )
    assert verdict_of_row == wanted
    assert bool(told) == (wanted != verdict)
