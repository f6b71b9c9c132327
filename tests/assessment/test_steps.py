"""The steps between a table and its rows, one by one and by hand: decisions, counts, sums,
calibration, rows, draws, batches, questions.
"""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, confusion_matrix

from fairrecon_jax.assessment import AssessOptions, batch, performance
from fairrecon_jax.assessment.arrays import Grouping, JudgedUnits, Study, studies
from fairrecon_jax.assessment.batch import Judged, batches
from fairrecon_jax.assessment.classification import count, decide, distinct, scatter, tables
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.continuous import average
from fairrecon_jax.assessment.performance import (
    at_chance,
    calibration,
    complement,
    plain,
    verdict_of_change,
)
from fairrecon_jax.assessment.rows import BLANK, Interval, Triple, version_rows
from fairrecon_jax.assessment.separation import Separation
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.assessment.verdicts import (
    NO_VERDICT,
    SENSITIVITY,
    UNPAIRED,
    GapTest,
    group_rows,
    of_row,
    without_test,
)
from tests.support import hand

NAN = float("nan")
EVERYONE = Grouping("", ("",), np.zeros(8, np.int32), "")
SEX = Grouping("sex", ("Female", "Male"), np.array([0, 0, 0, 0, 1, 1, 1, -1], np.int32), "Female")
LABEL = np.array([0, 1, 1, 1, 0, 1, NAN, 1])
BEFORE = np.array([[0.1, 0.9, 0.5, 0.4, 0.6, 0.7, 0.8, 0.9]])
AFTER = np.array(
    [[0.5, 0.9, 0.4, NAN, 0.2, 0.7, 0.1, 0.3], [0.1, 0.9, 0.5, 0.4, 0.6, 0.7, 0.8, 0.9]]
)
PATIENT = np.array([0, 0, 0, 1, 2, 2, 3, 4], np.int32)


def made(after=AFTER, before=BEFORE, paired=True, **changes) -> JudgedUnits:
    fields = {
        "label": LABEL,
        "patient": PATIENT,
        "groupings": (EVERYONE, SEX),
        "unit": "image",
        "note": "",
    } | changes
    return JudgedUnits(
        original=np.broadcast_to(before, after.shape), reconstructed=after, paired=paired, **fields
    )


def decided(units=None, value=0.5):
    units = units or made()
    tau = np.full(len(units.reconstructed), value)
    return units, decide(units, Thresholds(tau, tau, "fixed"))


def test_decisions_need_a_whole_pair_and_the_threshold_itself_is_positive():
    _, found = decided()
    np.testing.assert_array_equal(found.known, [[1, 1, 1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1, 0, 1]])
    np.testing.assert_array_equal(
        found.original, [[0, 1, 1, NAN, 1, 1, NAN, 1], [0, 1, 1, 0, 1, 1, NAN, 1]]
    )
    np.testing.assert_array_equal(
        found.reconstructed, [[1, 1, 0, NAN, 0, 1, NAN, 0], [0, 1, 1, 0, 1, 1, NAN, 1]]
    )
    assert not found.shared


def test_decisions_are_shared_only_where_originals_and_gaps_are_the_same():
    whole = np.nan_to_num(AFTER, nan=0.4)
    assert decided(made(whole))[1].shared
    for other, same in (
        (0.45, True),
        (0.55, False),
    ):  # 0.5 is a score on originals: only the second threshold turns a decision
        assert (
            decide(made(whole), Thresholds(np.array([0.5, other]), np.full(2, 0.5), "")).shared
            is same
        )


def test_decisions_without_originals_or_threshold_are_unknown():
    _, alone = decided(made(paired=False, before=np.full((1, 8), NAN)))
    assert np.isnan(alone.original).all()
    np.testing.assert_array_equal(alone.reconstructed[0], [1, 1, 0, NAN, 0, 1, NAN, 0])
    _, none = decided(value=NAN)
    assert np.isnan(none.reconstructed).all()
    assert none.known[1].sum() == 7


def test_counts_by_hand():
    counts, patients = count(*decided(), SEX)
    np.testing.assert_array_equal(counts.n, [[3, 2], [4, 2]])
    np.testing.assert_array_equal(counts.n_patients, [[1, 1], [2, 1]])
    np.testing.assert_array_equal(counts.n_pos, [[2, 1], [3, 1]])
    np.testing.assert_array_equal(counts.n_neg, [[1, 1], [1, 1]])
    np.testing.assert_array_equal(counts.n_changed, [[2, 1], [0, 0]])
    np.testing.assert_array_equal(patients, [[[1, 1], [1, 1]], [[1, 2], [1, 1]]])


def test_counts_of_shared_cells_are_those_of_one_by_one():
    units, found = decided(made(np.nan_to_num(AFTER, nan=0.4)))
    assert found.shared
    for grouping in (EVERYONE, SEX):
        (counts, patients), (wanted, apart) = (
            count(units, d, grouping) for d in (found, found._replace(shared=False))
        )
        np.testing.assert_array_equal(counts, wanted)
        np.testing.assert_array_equal(patients, apart)


def test_a_patient_in_two_groups_counts_in_each():
    np.testing.assert_array_equal(
        distinct(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), 3), [1, 2, 0]
    )


def test_sums_by_hand_and_as_scikit_learn_counts_them():
    units, found = decided()
    images, before, after, error_before, error_after = tables(
        units, found, SEX, PATIENT.astype(np.int64), 5
    )
    assert images.shape == before.shape == after.shape == (5, 2, 2, 2)
    np.testing.assert_array_equal(images[0, 0], [[1, 2], [0, 0]])
    np.testing.assert_array_equal(before[0, 0], [[0, 2], [0, 0]])
    np.testing.assert_array_equal(after[0, 0], [[1, 1], [0, 0]])
    np.testing.assert_allclose(error_before[0, 0], [0.1**2 + 0.1**2 + 0.5**2, 0], rtol=1e-6)
    assert images[4].sum() == 0  # the patient whose group is unknown
    for k in range(2):
        for g in range(2):
            rows = found.known[k] & (SEX.code == g)
            matrix = confusion_matrix(LABEL[rows], found.reconstructed[k, rows], labels=[0, 1])
            np.testing.assert_array_equal(after[:, k, g].sum(0), matrix[:, 1])
            np.testing.assert_array_equal(images[:, k, g].sum(0), matrix.sum(1))
            wanted = brier_score_loss(LABEL[rows], AFTER[k, rows]) * rows.sum()
            np.testing.assert_allclose(error_after[:, k, g].sum(), wanted, rtol=1e-6)


def test_scatter_adds_where_the_mask_says():
    out = scatter(
        np.array([0, 5, 5]),
        np.array([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]),
        np.array([[1, 1, 1], [0, 1, 0]], bool),
        (2, 3),
    )
    np.testing.assert_array_equal(out, [[[1, 0, 0], [0, 0, 0]], [[0, 0, 6], [0, 0, 16]]])


def test_calibration_by_hand():
    units, found = decided(made(AFTER[1:]))
    errors = calibration(units, found, SEX, 2)
    women = (
        abs(0.1 + 0.4 - 1) + abs(0.9 + 0.5 - 2)
    ) / 4  # lower bin: scores 0.1, 0.4; upper: 0.9, 0.5
    men = abs(0.6 + 0.7 - 1) / 2
    np.testing.assert_allclose(errors[:, 0], [[women, men]] * 2, rtol=1e-12)
    empty = SEX._replace(code=np.full(8, -1, np.int32))
    assert np.isnan(calibration(units, found, empty, 2)).all()
    alone = made(AFTER[1:], paired=False, before=np.full((1, 8), NAN))
    errors = calibration(alone, decided(alone)[1], SEX, 2)
    assert np.isnan(errors[0]).all()
    np.testing.assert_allclose(errors[1, 0], [women, men], rtol=1e-12)


def test_a_score_of_one_is_in_the_last_bin():
    units, found = decided(made(np.full((1, 8), 1.0), np.full((1, 8), 1.0)))
    np.testing.assert_allclose(calibration(units, found, EVERYONE, 10)[0, 0], [2 / 7])


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
    found = Separation(value, error)
    assert found.p_value(0, 0) == 1
    numbers = found.paired(0, 0, 0.05)
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


def study() -> Study:
    return studies(hand.table(("same",)), hand.spec(("same",)))[0]


def test_what_a_replicate_draws():
    units = made(groupings=(EVERYONE,))
    fields = {"patient": np.arange(8, dtype=np.int32) // 2 + 3, "test": np.arange(8) > 1}
    small = dataclasses.replace(study(), **fields)
    by_patient = Context(small, AssessOptions(replicates=4), "xray")
    np.testing.assert_array_equal(by_patient.test_patients, [4, 5, 6])
    assert by_patient.patient_draws.shape == (4, 3)
    judged = units._replace(patient=np.array([4, 4, 6, 5, 5, 6, 6, 4]))
    index, draws = by_patient.resampled(judged)
    np.testing.assert_array_equal(index, [0, 0, 2, 1, 1, 2, 2, 0])
    assert draws is by_patient.patient_draws
    by_image = Context(small, AssessOptions(replicates=4, resample="image"), "mri")
    index, draws = by_image.resampled(units)
    np.testing.assert_array_equal(index, np.arange(8))
    assert draws.shape == (4, 6)
    assert by_image.resampled(judged._replace(unit="patient"))[1] is by_image.patient_draws
    assert by_image.method(units) == "paired bootstrap by image, 4 replicates, BCa"
    assert (
        by_image.method(judged._replace(unit="patient"))
        == "paired bootstrap by patient, 4 replicates, BCa"
    )
    assert (by_patient.empty_rate, by_image.empty_rate) == (1.0, 0.0)


@pytest.mark.parametrize("paired", [True, False])
def test_averages_by_hand(paired):
    context = Context(
        dataclasses.replace(study(), patient=PATIENT, test=np.ones(8, bool)),
        hand.options(min_patients=2),
        "mri",
    )
    before = BEFORE if paired else np.full((1, 8), NAN)
    found = average(
        context, made(before=before, paired=paired, label=np.full(8, NAN)), SEX, ("gap",)
    )
    np.testing.assert_allclose(
        found.means.reconstructed.value, [[0.6, 1 / 3], [0.475, 0.7]], rtol=1e-6
    )
    np.testing.assert_array_equal(found.counts["n"], [[3, 3], [4, 3]])
    np.testing.assert_array_equal(found.counts["n_patients"], [[1, 2], [2, 2]])
    np.testing.assert_array_equal(found.patients, [3, 4])
    np.testing.assert_array_equal(
        found.counts["n_changed"], [[2, 2], [0, 0]] if paired else [[0, 0], [0, 0]]
    )
    np.testing.assert_allclose(
        found.gaps["gap", "worst_case"].reconstructed.value, [0.6 - 1 / 3, 0.225], rtol=1e-5
    )
    assert np.isnan(found.means.original.value).all() == (not paired)
    assert set(average(context, made(), EVERYONE, ("gap",)).gaps) == set()


def judged(name: str, units: JudgedUnits) -> Judged:
    task = hand.spec((name,)).tasks[0]
    tau = np.full(len(units.reconstructed), 0.5)
    thresholds = Thresholds(tau, tau, "fixed")
    return Judged(task, thresholds, units, decide(units, thresholds))


def sizes(units: list[JudgedUnits]) -> list[int]:
    return [len(members) for members in batches(judged(str(i), one) for i, one in enumerate(units))]


def test_tasks_are_tested_together_only_where_they_judge_the_same_units(monkeypatch):
    same, none = made(), np.full((1, 8), NAN)
    others = [
        made(patient=PATIENT[::-1].copy()),
        made(unit="patient"),
        made(paired=False, before=none),
        made(groupings=(EVERYONE, SEX._replace(code=np.zeros(8, np.int32)))),
    ]
    assert sizes([same, made(label=1 - LABEL), same]) == [3]
    for other in others:
        assert sizes([same, other, other, same]) == [1, 2, 1]
    assert sizes([]) == []
    monkeypatch.setattr(
        batch, "BUDGET", 2 * 5 * 2 * 2 * 2
    )  # tasks x patients x cells x groups x labels
    assert sizes([same] * 5) == [2, 2, 1]
    monkeypatch.setattr(batch, "BUDGET", 1)
    assert sizes([same] * 3) == [1, 1, 1]


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
    ci_low, ci_high, cell_p = (
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


def test_a_value_for_a_task_is_its_own_the_common_one_or_an_error():
    assert AssessOptions(threshold_rule="fixed", threshold_value=0.3).value_for("any") == 0.3
    assert (
        AssessOptions(threshold_rule="fixed", threshold_value={"a": 0.2, "b": 0.7}).value_for("b")
        == 0.7
    )
    with pytest.raises(ValueError, match=r"threshold_value is not set, but task 'edema' needs it"):
        AssessOptions().value_for("edema")
    with pytest.raises(ValueError, match=r"threshold_value must lie in \[0, 1\], got {'a': -0.1}"):
        AssessOptions(threshold_rule="sensitivity", threshold_value={"a": -0.1})
    with pytest.raises(ValueError, match="label_weights must be two numbers"):
        AssessOptions(label_weights=(1.0,))
    for name in ("flips", "min_patients", "bins", "null_draws"):
        with pytest.raises(ValueError, match=f"AssessOptions.{name} must be at least 1, got 0"):
            AssessOptions(**{name: 0})
    for alpha in (0.0, -1.0):
        with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
            AssessOptions(alpha=alpha)
    with pytest.raises(ValueError, match=r"conventions must be among .* got \(\)"):
        AssessOptions(conventions=())


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
    found, told = of_row(verdict, {"change": change, "ci_low": limits[0], "ci_high": limits[1]})
    assert found == wanted
    assert bool(told) == (wanted != verdict)
