"""The test that nothing changed for everyone: exact laws, invariances, size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from fairrecon_jax.inference.everyone import everyone_test
from fairrecon_jax.inference.group_tables import patient_tables


def tables(change, patient=None, label=None):
    change = np.atleast_2d(np.asarray(change, float))
    size = change.shape[1]
    who = np.arange(size) if patient is None else patient
    return patient_tables(change, label, np.zeros(size, int), who, groups=1)


@pytest.mark.parametrize(("lost", "gained"), [(6, 0), (9, 2), (20, 8), (1, 0), (4, 4)])
def test_one_decision_a_patient_is_mcnemars_exact_test(lost, gained):
    change = np.zeros(200)
    change[:lost], change[lost : lost + gained] = -1, 1
    p = everyone_test(tables(change), seed=0, permutations=19999).p_value[0, 0]
    expected = binomtest(lost, lost + gained).pvalue
    np.testing.assert_allclose(p, expected, atol=4 * np.sqrt(expected / 19999) + 1e-4)


def test_values_against_scipys_enumeration():
    rng = np.random.default_rng(0)
    change = rng.normal(0.5, 1, 12)

    def studentised(x, axis):
        return np.abs(x.mean(axis)) / (x.std(axis) / np.sqrt(x.shape[axis]))

    expected = permutation_test(
        (change,),
        studentised,
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
    ).pvalue
    p = everyone_test(tables(change), seed=1, permutations=19999).p_value[0, 0]
    np.testing.assert_allclose(p, expected, atol=4 * np.sqrt(expected / 19999))


def test_neither_rows_nor_other_problems_matter():
    rng = np.random.default_rng(1)
    change = rng.normal(0.2, 1, (2, 60))
    names = np.array([f"p{i}" for i in range(60)])
    both = everyone_test(tables(change, names), seed=0, permutations=499)
    order = rng.permutation(60)
    alone = everyone_test(tables(change[1:, order], names[order]), seed=0, permutations=499)
    np.testing.assert_allclose(both.p_value[1], alone.p_value[0])
    np.testing.assert_allclose(both.change[1], alone.change[0], rtol=1e-12)


def test_every_image_twice_is_the_same_test():
    change = np.random.default_rng(2).choice([-1.0, 0, 1], 80)
    patient = np.arange(80) // 2
    plain = everyone_test(tables(change, patient), seed=0, permutations=199)
    twice = everyone_test(
        tables(np.repeat(change, 2), np.repeat(patient, 2)), seed=0, permutations=199
    )
    np.testing.assert_array_equal(plain.p_value, twice.p_value)
    np.testing.assert_allclose(plain.std_error, twice.std_error)


def test_nothing_changed_is_certain_and_too_few_are_not_judged():
    still = everyone_test(tables(np.zeros(30)), seed=0, permutations=99)
    assert (still.p_value[0, 0], still.change[0, 0], still.std_error[0, 0]) == (1, 0, 0)
    few = everyone_test(tables(np.ones(9)), seed=0, permutations=99)
    assert np.isnan(few.p_value[0, 0])
    one_holds_all = tables(np.ones(40), np.minimum(np.arange(40), 11))
    assert np.isnan(everyone_test(one_holds_all, seed=0, permutations=99).p_value[0, 0])
    empty = everyone_test(tables(np.full(12, np.nan)), seed=0, permutations=99)
    assert np.isnan(empty.change[0, 0])
    assert np.isnan(empty.p_value[0, 0])


@pytest.mark.parametrize("noise", ["normal", "rare", "clustered"])
def test_size(noise):
    rng, hits, cohorts = np.random.default_rng(5), 0, 400
    who = np.repeat(np.arange(60), 3) if noise == "clustered" else np.arange(60)
    draws = {
        "normal": lambda: rng.normal(size=(cohorts, 60)),
        "rare": lambda: rng.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(cohorts, 60)),
        "clustered": lambda: rng.normal(size=(cohorts, 60)).repeat(3, 1),
    }
    p = everyone_test(tables(draws[noise](), who), seed=0, permutations=199).p_value[:, 0]
    hits = np.mean(p <= 0.05)
    assert hits <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / cohorts)


def test_draws_must_reach_the_level():
    with pytest.raises(ValueError, match="use at least 19"):
        everyone_test(tables(np.zeros(30)), seed=0, permutations=10)
