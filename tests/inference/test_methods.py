"""Methods over trainings: hand values, size where trainings differ, power, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from fairrecon_jax.inference.changes import value_changes
from fairrecon_jax.inference.methods import method_test


def trainings(cohorts, size, count, *, seed_effect, loss=0.0, shared=1.0, own=1.0, rng=None):
    """Per training the changes of `cohorts` cohorts of two groups: a patient's error that all
    trainings share, one of its own, and one effect on the first group per training.
    """
    rng = rng or np.random.default_rng(0)
    group = np.repeat([0, 1], size)
    common = shared * rng.normal(size=(cohorts, 2 * size))
    found = []
    for _ in range(count):
        effect = seed_effect * rng.normal(size=(cohorts, 1)) - loss
        change = common + own * rng.normal(size=common.shape) + effect * (group == 0)
        found.append(
            value_changes(np.zeros_like(change), change, group, np.arange(2 * size), groups=2)
        )
    return found


def test_without_shared_patients_it_is_the_t_test_of_trainings():
    """Two groups, errors of their own: the extra change per training is all there is."""
    found = trainings(1, 400, 5, seed_effect=0.3, shared=0.0, own=0.01)
    each = [t.reconstructed[0, 0, 0] - t.reconstructed[0, 0, 1] for t in found]
    test = method_test(found)
    np.testing.assert_allclose(test.extra[0, 0, 0], np.mean(each), rtol=1e-9)
    np.testing.assert_allclose(test.between[0, 0, 0], np.std(each, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(test.p_value[0], ttest_1samp(each, 0).pvalue, rtol=0.02)


def test_copies_of_one_network_are_that_network():
    one = trainings(1, 200, 1, seed_effect=0.0, loss=0.2)[0]
    test = method_test([one, one, one])
    group = one.tables.group
    values = [one.tables.change[group == g, 0, 0] for g in (0, 1)]
    error = np.sqrt(sum(v.var() / len(v) for v in values) * 400 / 399)
    np.testing.assert_allclose(test.std_error[0, 0, 0], error, rtol=1e-9)
    assert test.between[0, 0, 0] == pytest.approx(0, abs=1e-12)
    assert test.freedom[0, 0, 0] == 399


def test_two_groups_mirror_each_other():
    test = method_test(trainings(3, 50, 4, seed_effect=0.1))
    np.testing.assert_allclose(test.extra[..., 0], -test.extra[..., 1], atol=1e-12)
    np.testing.assert_allclose(test.group_p[..., 0], test.group_p[..., 1], rtol=1e-9)
    np.testing.assert_allclose(test.low[..., 0], -test.high[..., 1], rtol=1e-9)


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("tau", [0.0, 0.1, 0.2])
def test_size_where_trainings_differ(count, tau):
    """One network alone would claim tau as a harm of the method."""
    found = trainings(1500, 100, count, seed_effect=tau, rng=np.random.default_rng(3))
    rejected = np.mean(method_test(found).p_value <= 0.05)
    assert rejected <= 0.065 + 2 * np.sqrt(0.05 * 0.95 / 1500)


def test_finds_a_loss_of_the_method():
    found = trainings(300, 150, 5, seed_effect=0.1, loss=0.4, rng=np.random.default_rng(4))
    test = method_test(found)
    assert np.mean(test.p_value <= 0.05) > 0.8
    assert np.all(test.extra.mean(0)[0, 0] < 0)


def test_coverage_of_the_extra_change():
    found = trainings(1500, 100, 5, seed_effect=0.2, loss=0.3, rng=np.random.default_rng(5))
    test = method_test(found)
    covered = np.mean((test.low[:, 0, 0] <= -0.3) & (test.high[:, 0, 0] >= -0.3))
    assert 0.93 <= covered <= 0.975


def test_not_judged_in_one_training_is_not_judged():
    found = trainings(1, 30, 3, seed_effect=0.1)
    reason = found[1].counted[0].copy()
    reason[0, 0, 0] = 2
    found[1] = found[1]._replace(counted=(reason, *found[1].counted[1:]))
    test = method_test(found)
    assert np.isnan(test.p_value[0])
    assert np.isnan(test.extra).all()


def test_what_is_refused():
    found = trainings(1, 30, 2, seed_effect=0.1)
    with pytest.raises(ValueError, match="at least 2 trainings, got 1"):
        method_test(found[:1])
    other = trainings(1, 31, 1, seed_effect=0.1)
    with pytest.raises(ValueError, match="not evaluated on the same patients"):
        method_test([found[0], other[0]])
