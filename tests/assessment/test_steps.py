"""The steps between a table and its rows, one by one and by hand: decisions, counts, sums,
calibration, draws, averages, batches.
"""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, confusion_matrix

from fairrecon_jax.assessment import AssessOptions, batch
from fairrecon_jax.assessment.arrays import JudgedUnits, Study, studies
from fairrecon_jax.assessment.batch import Judged, batches
from fairrecon_jax.assessment.classification import count, decide, distinct, scatter, tables
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.continuous import average
from fairrecon_jax.assessment.performance import (
    calibration,
)
from fairrecon_jax.assessment.thresholds import Thresholds
from tests.support import hand
from tests.support.eight_images import (
    AFTER,
    BEFORE,
    EVERYONE,
    LABEL,
    PATIENT,
    SEX,
    decided,
    judged_units,
)

NAN = float("nan")


def test_decisions_need_a_whole_pair_and_the_threshold_itself_is_positive():
    _, decisions = decided()
    np.testing.assert_array_equal(
        decisions.known, [[1, 1, 1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1, 0, 1]]
    )
    np.testing.assert_array_equal(
        decisions.original, [[0, 1, 1, NAN, 1, 1, NAN, 1], [0, 1, 1, 0, 1, 1, NAN, 1]]
    )
    np.testing.assert_array_equal(
        decisions.reconstructed, [[1, 1, 0, NAN, 0, 1, NAN, 0], [0, 1, 1, 0, 1, 1, NAN, 1]]
    )
    assert not decisions.shared


def test_decisions_are_shared_only_where_originals_and_gaps_are_the_same():
    whole = np.nan_to_num(AFTER, nan=0.4)
    assert decided(judged_units(whole))[1].shared
    for other, same in (
        (0.45, True),
        (0.55, False),
    ):  # 0.5 is a score on originals: only the second threshold turns a decision
        assert (
            decide(
                judged_units(whole), Thresholds(np.array([0.5, other]), np.full(2, 0.5), "")
            ).shared
            is same
        )


def test_decisions_without_originals_or_threshold_are_unknown():
    _, alone = decided(judged_units(paired=False, before=np.full((1, 8), NAN)))
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
    units, decisions = decided(judged_units(np.nan_to_num(AFTER, nan=0.4)))
    assert decisions.shared
    for grouping in (EVERYONE, SEX):
        (counts, patients), (wanted, apart) = (
            count(units, d, grouping) for d in (decisions, decisions._replace(shared=False))
        )
        np.testing.assert_array_equal(counts, wanted)
        np.testing.assert_array_equal(patients, apart)


def test_a_patient_in_two_groups_counts_in_each():
    np.testing.assert_array_equal(
        distinct(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), 3), [1, 2, 0]
    )


def test_sums_by_hand_and_as_scikit_learn_counts_them():
    units, decisions = decided()
    images, before, after, error_before, error_after = tables(
        units, decisions, SEX, PATIENT.astype(np.int64), 5
    )
    assert images.shape == before.shape == after.shape == (5, 2, 2, 2)
    np.testing.assert_array_equal(images[0, 0], [[1, 2], [0, 0]])
    np.testing.assert_array_equal(before[0, 0], [[0, 2], [0, 0]])
    np.testing.assert_array_equal(after[0, 0], [[1, 1], [0, 0]])
    np.testing.assert_allclose(error_before[0, 0], [0.1**2 + 0.1**2 + 0.5**2, 0], rtol=1e-6)
    assert images[4].sum() == 0  # the patient whose group is unknown
    for k in range(2):
        for g in range(2):
            rows = decisions.known[k] & (SEX.code == g)
            matrix = confusion_matrix(LABEL[rows], decisions.reconstructed[k, rows], labels=[0, 1])
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
    units, decisions = decided(judged_units(AFTER[1:]))
    errors = calibration(units, decisions, SEX, 2)
    women = (
        abs(0.1 + 0.4 - 1) + abs(0.9 + 0.5 - 2)
    ) / 4  # lower bin: scores 0.1, 0.4; upper: 0.9, 0.5
    men = abs(0.6 + 0.7 - 1) / 2
    np.testing.assert_allclose(errors[:, 0], [[women, men]] * 2, rtol=1e-12)
    empty = SEX._replace(code=np.full(8, -1, np.int32))
    assert np.isnan(calibration(units, decisions, empty, 2)).all()
    alone = judged_units(AFTER[1:], paired=False, before=np.full((1, 8), NAN))
    errors = calibration(alone, decided(alone)[1], SEX, 2)
    assert np.isnan(errors[0]).all()
    np.testing.assert_allclose(errors[1, 0], [women, men], rtol=1e-12)


def test_a_score_of_one_is_in_the_last_bin():
    units, decisions = decided(judged_units(np.full((1, 8), 1.0), np.full((1, 8), 1.0)))
    np.testing.assert_allclose(calibration(units, decisions, EVERYONE, 10)[0, 0], [2 / 7])


def study() -> Study:
    return studies(hand.table(("same",)), hand.spec(("same",)))[0]


def test_what_a_replicate_draws():
    units = judged_units(groupings=(EVERYONE,))
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
    averages = average(
        context, judged_units(before=before, paired=paired, label=np.full(8, NAN)), SEX, ("gap",)
    )
    np.testing.assert_allclose(
        averages.means.reconstructed.value, [[0.6, 1 / 3], [0.475, 0.7]], rtol=1e-6
    )
    np.testing.assert_array_equal(averages.counts["n"], [[3, 3], [4, 3]])
    np.testing.assert_array_equal(averages.counts["n_patients"], [[1, 2], [2, 2]])
    np.testing.assert_array_equal(averages.patients, [3, 4])
    np.testing.assert_array_equal(
        averages.counts["n_changed"], [[2, 2], [0, 0]] if paired else [[0, 0], [0, 0]]
    )
    np.testing.assert_allclose(
        averages.gaps["gap", "worst_case"].reconstructed.value, [0.6 - 1 / 3, 0.225], rtol=1e-5
    )
    assert np.isnan(averages.means.original.value).all() == (not paired)
    assert set(average(context, judged_units(), EVERYONE, ("gap",)).gaps) == set()


def judged(name: str, units: JudgedUnits) -> Judged:
    task = hand.spec((name,)).tasks[0]
    tau = np.full(len(units.reconstructed), 0.5)
    thresholds = Thresholds(tau, tau, "fixed")
    return Judged(task, thresholds, units, decide(units, thresholds))


def sizes(units: list[JudgedUnits]) -> list[int]:
    return [len(members) for members in batches(judged(str(i), one) for i, one in enumerate(units))]


def test_tasks_are_tested_together_only_where_they_judge_the_same_units(monkeypatch):
    same, none = judged_units(), np.full((1, 8), NAN)
    others = [
        judged_units(patient=PATIENT[::-1].copy()),
        judged_units(unit="patient"),
        judged_units(paired=False, before=none),
        judged_units(groupings=(EVERYONE, SEX._replace(code=np.zeros(8, np.int32)))),
    ]
    assert sizes([same, judged_units(label=1 - LABEL), same]) == [3]
    for other in others:
        assert sizes([same, other, other, same]) == [1, 2, 1]
    assert sizes([]) == []
    monkeypatch.setattr(
        batch, "BUDGET", 2 * 5 * 2 * 2 * 2
    )  # tasks x patients x cells x groups x labels
    assert sizes([same] * 5) == [2, 2, 1]
    monkeypatch.setattr(batch, "BUDGET", 1)
    assert sizes([same] * 3) == [1, 1, 1]
