"""The step-down adjustment against loops, its limits and its error rate."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference.equal_changes import group_test, tail_share
from fairrecon_jax.inference.group_family import adjust_family, family_test, step_down
from fairrecon_jax.inference.group_tables import PatientTables, patient_digests


def table_of(s, group):
    """Patient tables of changes [U, K], one image a patient."""
    digest = patient_digests(np.arange(len(group)))[1]
    zero = np.zeros(len(group), int)
    s = s[..., None]
    return PatientTables(s, np.ones_like(s), group, digest, digest, zero, int(group.max()) + 1)


def test_step_down_matches_loops():
    share = np.random.default_rng(0).random((200, 5)) ** 2
    order = np.argsort(share[0])
    expected, largest = np.empty(5), 0.0
    for j, k in enumerate(order):
        count = sum(min(row[i] for i in order[j:]) <= share[0, k] for row in share[1:])
        largest = max(largest, (1 + count) / 200)
        expected[k] = largest
    assert step_down(share) == pytest.approx(expected, abs=1e-12)


def test_identical_tests_cost_nothing_and_unrelated_ones_their_number():
    draws = np.random.default_rng(1).random((4000, 1))
    draws[0] = 0.01
    raw = np.mean(draws <= draws[0])
    assert step_down(np.repeat(draws, 6, 1)) == pytest.approx(np.full(6, raw))
    others = np.random.default_rng(2).random((4000, 6))
    others[0] = [0.01, 0.9, 0.8, 0.7, 0.6, 0.5]
    adjusted = step_down(others)
    assert adjusted[0] == pytest.approx(1 - 0.99**6, abs=0.012)
    assert np.all(adjusted[1:] > 0.9)


def test_correlated_tasks_share_their_draws():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 60)
    common = rng.normal(size=(120, 1)) - 0.45 * group[:, None]
    noise = rng.normal(size=(120, 12))
    options = dict(seed=0, permutations=999)
    close = group_test(table_of(common + 0.02 * noise, group), **options)
    adjusted = adjust_family([close])[0][0]
    # Twelve nearly equal tests: the adjustment is far from twelvefold, and never below the raw p.
    assert np.all(adjusted >= close.p_value - 1e-9)
    assert adjusted.min() < 2.5 * close.p_value.min()


def test_family_wise_error_and_the_harmed_task():
    rng = np.random.default_rng(3)
    group = np.repeat([0, 1], [80, 40])
    false = 0
    for cohort in range(60):
        s = rng.normal(size=(120, 8)) + rng.normal(size=(120, 1))
        table = table_of(s, group)
        found = family_test({"sex": table}, seed=cohort, first=199, permutations=199)
        assert found.size == 8
        false += bool((found.p_adjusted["sex"] <= 0.05).any())
    assert false <= 9  # binomial(60, .05) exceeds 9 with probability .0002
    s[:, 2] -= 2.0 * group
    found = family_test({"sex": table_of(s, group)}, seed=0, first=999, permutations=999)
    assert found.p_adjusted["sex"][2] < 0.01
    assert np.argmin(found.p_adjusted["sex"]) == 2


def test_untested_cells_stay_nan_and_near_families_get_all_draws():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 40)
    s = rng.normal(size=(80, 2)) - np.array([0.65, 0.0]) * group[:, None]
    few = table_of(s[:45], group[:45])
    tables = {"sex": table_of(s, group), "age": few}
    found = family_test(tables, seed=0, first=99, permutations=499)
    assert found.permutations == 499
    assert found.size == 2
    assert np.isnan(found.p_adjusted["age"]).all()
    clear = family_test(
        {"sex": table_of(s - 3.0 * group[:, None], group)}, seed=0, first=999, permutations=1999
    )
    assert clear.permutations == 999
    with pytest.raises(ValueError, match="tests is empty"):
        adjust_family([])


def test_tail_share_is_monotone_and_resolves_the_tail():
    every = np.random.default_rng(0).exponential(size=(2000, 2))
    share = tail_share(every)
    for column, p in zip(every.T, share.T):
        order = np.argsort(column)
        assert np.all(np.diff(p[order]) < 0)
        expected = np.exp(-column[order])
        assert np.abs(np.log(p[order][-50:] / expected[-50:])).max() < 1.0
    assert tail_share(np.ones((50, 1))).ravel() == pytest.approx(np.ones(50))
