"""The steps between a table and its rows, one by one and by hand: decisions, counts, sums,
calibration, draws, averages, batches.
"""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, confusion_matrix

from fairrecon_jax.assessment import AssessOptions, batch
from fairrecon_jax.assessment.arrays import Study, studies
from fairrecon_jax.assessment.batch import Judged, batches
from fairrecon_jax.assessment.classification import Measured, decide, measure
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.continuous import average
from fairrecon_jax.assessment.performance import calibration
from fairrecon_jax.assessment.rows import Interval
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.assessment.units import JudgedUnits
from fairrecon_jax.inference.group_tables import patient_digests
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


def test_decisions_without_originals_or_threshold_are_unknown():
    _, alone = decided(judged_units(paired=False, before=np.full((1, 8), NAN)))
    assert np.isnan(alone.original).all()
    np.testing.assert_array_equal(alone.reconstructed[0], [1, 1, 0, NAN, 0, 1, NAN, 0])
    _, none = decided(value=NAN)
    assert np.isnan(none.reconstructed).all()
    assert none.known[1].sum() == 7


def measured(grouping, units=None) -> Measured:
    """What is measured of eight images, in two study cells."""
    units, decisions = decided(units)
    label = np.broadcast_to(LABEL, decisions.known.shape)
    before = decisions.original if units.paired else decisions.reconstructed
    scores = units.original if units.paired else units.reconstructed
    return measure(
        units,
        label,
        (before, decisions.reconstructed),
        (
            np.where(decisions.known, scores, np.nan),
            np.where(decisions.known, units.reconstructed, np.nan),
        ),
        grouping,
        patient_digests(units.patient),
        2,
        0.05,
    )


def test_counts_by_hand():
    found = measured(SEX)
    counts = found.counts
    np.testing.assert_array_equal(counts.n, [[3, 2], [4, 2]])
    np.testing.assert_array_equal(counts.n_patients, [[1, 1], [2, 1]])
    np.testing.assert_array_equal(counts.n_pos, [[2, 1], [3, 1]])
    np.testing.assert_array_equal(counts.n_neg, [[1, 1], [1, 1]])
    np.testing.assert_array_equal(counts.n_changed, [[2, 1], [0, 0]])
    np.testing.assert_array_equal(found.patients, [2, 3])
    # patients per label: of two women one has positives only
    reason, patients, _ = found.decisions.counted
    np.testing.assert_array_equal(patients, [[[1, 1], [1, 1]], [[1, 1], [2, 1]]])
    # fewer than two patients; two with 2 and 1 images are 9 / 5 effective ones
    np.testing.assert_array_equal(reason, [[[2, 2], [2, 2]], [[2, 2], [3, 2]]])


def test_a_patient_in_two_groups_counts_in_each_and_once_among_all():
    both = SEX._replace(code=np.array([0, 1, 1, 1, 1, 1, 1, -1], np.int32))
    found = measured(both)
    np.testing.assert_array_equal(found.counts.n_patients, [[1, 2], [1, 3]])
    np.testing.assert_array_equal(found.patients, [2, 3])


def test_rates_and_errors_by_hand_and_as_scikit_learn_counts_them():
    found = measured(SEX)
    tables = found.decisions.tables
    # patients 0, 1, 2 have a known group and images; 3 has no label, 4 no group
    assert tables.change.shape == (4, 2, 2)
    np.testing.assert_array_equal(found.decisions.images[0], [[1, 1], [2, 1]])
    np.testing.assert_array_equal(found.decisions.original[0], [[1, 0], [1, 1]])
    np.testing.assert_array_equal(found.decisions.reconstructed[0], [[0, 1], [0.5, 1]])
    rates = found.rate_values
    np.testing.assert_array_equal(rates.change.value[0], [[-1, 1], [-0.5, 0]])
    decisions = decided()[1]
    for k in range(2):
        for g in range(2):
            rows = decisions.known[k] & (SEX.code == g)
            matrix = confusion_matrix(LABEL[rows], decisions.reconstructed[k, rows], labels=[0, 1])
            correct = np.diag(matrix) / matrix.sum(1)
            np.testing.assert_allclose(rates.reconstructed.value[k, :, g], correct)
            np.testing.assert_array_equal(found.decisions.images[k, :, g], matrix.sum(1))
            for values, scores in (
                (found.brier_values.original, BEFORE[0]),
                (found.brier_values.reconstructed, AFTER[k]),
            ):
                wanted = brier_score_loss(LABEL[rows], scores[rows])
                np.testing.assert_allclose(values.value[k, 0, g], wanted, rtol=1e-12)
    alone = measured(SEX, judged_units(paired=False, before=np.full((1, 8), NAN)))
    for paired in (alone.rate_values, alone.auroc_values, alone.brier_values):
        assert np.isnan([*paired.original, *paired.change]).all()
    np.testing.assert_array_equal(
        alone.rate_values.reconstructed.value[0], rates.reconstructed.value[0]
    )
    assert not alone.counts.n_changed.any()


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


def test_what_a_context_knows():
    fields = {"patient": np.arange(8, dtype=np.int32) // 2 + 3, "test": np.arange(8) > 1}
    small = dataclasses.replace(study(), **fields)
    context = Context(small, AssessOptions(permutations=1999), "xray", 1e4)
    assert context.permutations == 1999
    assert (context.empty_rate, dataclasses.replace(context, modality="mri").empty_rate) == (1, 0)
    everyone, sex = small.groupings
    crossed = sex._replace(crossed=True)
    places = ((1e4, "none", sex), (1e5, "none", sex), (1e4, "remedy", sex), (1e4, "none", crossed))
    assert [context.is_primary(*at) for at in places] == [True, False, False, False]
    assert not dataclasses.replace(context, mitigation=True).is_primary(*places[0])
    assert context.reference_auroc("same", Interval(0.7)).value == 0.7
    compared = dataclasses.replace(context, reference_aurocs={"same": Interval(0.6)})
    assert compared.reference_auroc("same", Interval(0.7)).value == 0.6
    assert np.isnan(compared.reference_auroc("other", Interval(0.7)).value)
    # patients are digested by name, whichever of them are judged
    names = small.patient_names[[4, 4, 6]]
    units = judged_units(groupings=(everyone,), patient=np.array([4, 4, 6], np.int32))
    codes, digests = context.patients(units)
    np.testing.assert_array_equal(
        digests[codes], patient_digests(names).digests[patient_digests(names).codes]
    )


@pytest.mark.parametrize(
    ("patients", "wanted", "drawn"),
    [(1000, 9999, 9999), (2000, 9999, 5000), (50_000, 9999, 999), (50_000, 199, 199)],
)
def test_large_cohorts_get_fewer_draws(patients, wanted, drawn):
    many = dataclasses.replace(
        study(), patient=np.arange(patients, dtype=np.int32), test=np.ones(patients, bool)
    )
    assert Context(many, AssessOptions(permutations=wanted), "xray", 1e4).permutations == drawn


@pytest.mark.parametrize("paired", [True, False])
def test_averages_by_hand(paired):
    context = Context(
        dataclasses.replace(study(), patient=PATIENT, test=np.ones(8, bool)),
        hand.options(min_patients=2),
        "mri",
        1e4,
    )
    before = BEFORE if paired else np.full((1, 8), NAN)
    units = judged_units(before=before, paired=paired, label=np.full(8, NAN))
    averages = average(context, units, SEX)
    # patients' means: 0.6 | 0.2 and 0.7 of one man, 0.1 of another
    after = [[0.6, (0.45 + 0.1) / 2], [(0.5 + 0.4) / 2, (0.65 + 0.8) / 2]]
    np.testing.assert_allclose(averages.values.reconstructed.value[:, 0], after, rtol=1e-12)
    np.testing.assert_array_equal(averages.counts["n"], [[3, 3], [4, 3]])
    np.testing.assert_array_equal(averages.counts["n_patients"], [[1, 2], [2, 2]])
    np.testing.assert_array_equal(averages.patients, [3, 4])
    changed = averages.counts["n_changed"]
    np.testing.assert_array_equal(changed, [[2, 2], [0, 0]] if paired else [[0, 0], [0, 0]])
    gaps = averages.gap("gap", "worst_case", 0)
    np.testing.assert_allclose(gaps[1], 0.6 - 0.275, rtol=1e-12)
    # one woman is too few to be estimable
    assert np.isnan(averages.gap("gap", "worst_case_estimable", 0)[1])
    assert np.isnan(averages.values.original.value).all() == (not paired)
    if paired:
        before = [0.5, (0.65 + 0.8) / 2]
        np.testing.assert_allclose(averages.values.original.value[0, 0], before, rtol=1e-12)


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
