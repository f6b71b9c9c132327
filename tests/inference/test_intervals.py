"""Intervals against SciPy's on SciPy's own replicates, to rounding; what they may not depend on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fairrecon_jax.inference.intervals import estimate, jackknife_moments, quantile, summarise

METHODS = {"bca": "BCa", "percentile": "percentile"}
STATISTICS = {"mean": np.mean, "variance": np.var, "range": np.ptp}


def skewed(seed=0, size=40):
    return np.random.default_rng(seed).exponential(size=size) ** 1.5


def leave_one_out(statistic, *samples):
    size = len(samples[0])
    return np.array([statistic(*(np.delete(s, i) for s in samples)) for i in range(size)])


def replicates(seed=0, shape=(199, 3)):
    return np.random.default_rng(seed).normal(0.3, 1, shape)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_one_statistic_agrees_with_scipy(method, name, level):
    sample, statistic = skewed(), STATISTICS[name]
    options = dict(
        n_resamples=499,
        method=METHODS[method],
        confidence_level=level,
        rng=np.random.default_rng(1),
    )
    theirs = stats.bootstrap((sample,), statistic, **options)
    left = leave_one_out(statistic, sample)
    bend = jackknife_moments((left, left), np.ones(len(left)))[0]
    ours = estimate(statistic(sample), theirs.bootstrap_distribution, bend, 1 - level, method)
    np.testing.assert_allclose([ours.ci_low, ours.ci_high], theirs.confidence_interval, rtol=1e-10)
    assert float(ours.std_error) == pytest.approx(float(theirs.standard_error), rel=1e-10)
    assert float(ours.value) == statistic(sample)


@pytest.mark.parametrize("method", METHODS)
def test_paired_changes_agree_with_scipy(method):
    first = skewed(2)
    second = 0.6 * first + skewed(3)
    parts = {
        "original": lambda a, b, axis=-1: np.mean(a, axis),
        "reconstructed": lambda a, b, axis=-1: np.var(b, axis) + 0 * np.mean(a, axis),
        "change": lambda a, b, axis=-1: np.var(b, axis) - np.mean(a, axis),
    }
    options = dict(n_resamples=499, method=METHODS[method], paired=True, vectorized=True)
    theirs = {
        n: stats.bootstrap((first, second), f, rng=np.random.default_rng(4), **options)
        for n, f in parts.items()
    }
    drawn = [theirs[n].bootstrap_distribution for n in ("original", "reconstructed")]
    np.testing.assert_allclose(
        theirs["change"].bootstrap_distribution, drawn[1] - drawn[0], atol=1e-12
    )
    accelerations = jackknife_moments(
        tuple(leave_one_out(parts[n], first, second) for n in ("original", "reconstructed")),
        np.ones(len(first)),
    )
    ours = summarise((np.mean(first), np.var(second)), drawn, accelerations, 0.05, method)
    for name in parts:
        actual = getattr(ours, name)
        np.testing.assert_allclose(
            [actual.ci_low, actual.ci_high], theirs[name].confidence_interval, rtol=1e-10
        )
        assert float(actual.std_error) == pytest.approx(
            float(theirs[name].standard_error), rel=1e-10
        )


@pytest.mark.parametrize("level", [0.0, 0.025, 0.5, 0.77, 1.0])
def test_quantiles_agree_with_numpy(level):
    ranked = np.sort(replicates(), axis=0).T
    for size in (1, 2, 120, 199):
        actual = quantile(ranked, np.full(3, level), np.full(3, size))
        np.testing.assert_allclose(actual, np.quantile(ranked[:, :size], level, axis=1), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_move_with_shift_scale_and_sign(method):
    value, drawn, bend = np.array([0.1, 0.3, 0.6]), replicates(1), np.array([0.02, 0.0, -0.05])
    plain = estimate(value, drawn, bend, 0.1, method)
    moved = estimate(3 * value + 2, 3 * drawn + 2, bend, 0.1, method)
    np.testing.assert_allclose(moved.ci_low, 3 * plain.ci_low + 2, rtol=1e-12)
    np.testing.assert_allclose(moved.std_error, 3 * plain.std_error, rtol=1e-12)
    turned = estimate(-value, -drawn, -bend, 0.1, method)
    np.testing.assert_allclose(turned.ci_low, -plain.ci_high, atol=1e-10)
    np.testing.assert_allclose(turned.ci_high, -plain.ci_low, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_replicates_and_undefined_ones_do_not_matter(method):
    value, drawn = np.full(3, 0.3), replicates(2)
    plain = estimate(value, drawn, None, 0.05, method)
    holes = np.full((60, 3), np.nan)
    holes[:20] = np.inf
    mixed = np.concatenate([drawn, holes])[np.random.default_rng(0).permutation(259)]
    for a, b in zip(plain, estimate(value, mixed, None, 0.05, method)):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    for column in range(3):
        alone = estimate(value[column], drawn[:, column], None, 0.05, method)
        assert alone.ci_low == plain.ci_low[column]


@pytest.mark.parametrize("method", METHODS)
def test_a_smaller_alpha_holds_the_larger_ones_interval(method):
    wide, narrow = (
        estimate(np.full(3, 0.3), replicates(3), np.full(3, 0.04), a, method) for a in (0.02, 0.3)
    )
    assert np.all((wide.ci_low < narrow.ci_low) & (narrow.ci_high < wide.ci_high))


def test_an_unbiased_statistic_without_acceleration_has_its_percentile_interval():
    drawn = np.concatenate([replicates(4), -replicates(4)])  # symmetric around 0
    bca, percentile = (
        estimate(np.zeros(3), drawn, np.zeros(3), 0.05, method) for method in METHODS
    )
    np.testing.assert_allclose(bca.ci_low, percentile.ci_low, atol=1e-10)
    np.testing.assert_allclose(bca.ci_high, percentile.ci_high, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_constant_extreme_and_undefined_values(method):
    same = estimate(np.full(3, 0.7), np.full((50, 3), 0.7), None, 0.05, method)
    np.testing.assert_allclose([same.ci_low, same.ci_high], 0.7)
    np.testing.assert_allclose(same.std_error, 0, atol=1e-15)
    beyond = estimate(np.full(3, 99.0), replicates(5), np.full(3, 0.01), 0.05, method)
    assert np.isfinite(beyond.ci_low).all()
    unknown = estimate(np.array([np.nan, np.inf, 0.3]), replicates(5), None, 0.05, method)
    assert np.isnan([unknown.ci_low[:2], unknown.ci_high[:2], unknown.std_error[:2]]).all()
    assert np.isfinite(unknown.ci_low[2])


@pytest.mark.parametrize("method", METHODS)
def test_swapped_versions_mirror_the_change(method):
    point, drawn, accelerations = (
        (0.4, 0.5),
        (replicates(6, (99,)), replicates(7, (99,))),
        (0.01, 0.02, 0.03),
    )
    forward = summarise(point, drawn, accelerations, 0.05, method)
    backward = summarise(point[::-1], drawn[::-1], (0.02, 0.01, -0.03), 0.05, method)
    np.testing.assert_allclose(forward.change.ci_low, -backward.change.ci_high, atol=1e-10)
    assert forward.p_two_sided == backward.p_two_sided
    assert forward.p_one_tailed == backward.p_one_tailed
    assert forward.original.ci_low == backward.reconstructed.ci_low


def test_p_values_at_their_limits():
    drawn = np.array([1.0, 2.0, 3.0, np.nan])
    actual = summarise(
        (np.zeros(1), np.ones(1)), (np.zeros((4, 1)), drawn[:, None]), None, 0.05, "percentile"
    )
    assert actual.replicates.tolist() == [3]
    assert actual.p_one_tailed.tolist() == [0]
    assert actual.p_two_sided.tolist() == [2 / 4]  # never 0
    still = summarise(
        (np.zeros(1), np.zeros(1)), (np.zeros((4, 1)), drawn[:, None]), None, 0.05, "percentile"
    )
    assert still.p_one_tailed.tolist() == [1]
    both = summarise(
        (np.full(1, np.inf), np.full(1, np.inf)),
        (np.zeros((4, 1)), drawn[:, None]),
        None,
        0.05,
        "percentile",
    )
    assert np.isnan([both.p_one_tailed, both.p_two_sided]).all()


def test_points_and_replicates_broadcast():
    actual = summarise(
        (np.float64(0.1), np.arange(3.0)),
        (replicates(8, (30, 1)), replicates(9, (30, 3))),
        None,
        0.1,
        "bca",
    )
    for leaf in jax.tree.leaves(actual):
        assert np.shape(leaf) == (3,)
    np.testing.assert_allclose(actual.change.value, np.arange(3) - 0.1)


def test_jackknife_weights_are_copies_and_unknown_rows_are_absent():
    values = np.random.default_rng(0).gamma(1, size=(2, 12, 4))
    weight = np.random.default_rng(1).integers(0, 4, 12)
    weighted = jackknife_moments(tuple(values), weight)
    copies = np.repeat(np.arange(12), weight)
    np.testing.assert_allclose(
        weighted, jackknife_moments(tuple(values[:, copies]), np.ones(len(copies))), rtol=1e-10
    )
    holes = values.copy()
    holes[:, weight == 0] = np.nan
    np.testing.assert_allclose(jackknife_moments(tuple(holes), weight), weighted, rtol=1e-10)
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            jackknife_moments(tuple(jnp.asarray(v) for v in values), jnp.asarray(weight, float)),
            weighted,
            rtol=1e-10,
        )


def test_acceleration_has_no_unit_and_turns_with_the_sign():
    values = np.random.default_rng(2).gamma(1, size=(2, 30))
    plain = jackknife_moments(tuple(values), np.ones(30))
    np.testing.assert_allclose(
        jackknife_moments(tuple(1e-9 * values + 3e-9), np.ones(30)), plain, rtol=1e-5
    )
    np.testing.assert_allclose(
        jackknife_moments(tuple(-values), np.ones(30)), [-a for a in plain], rtol=1e-10
    )
    np.testing.assert_allclose(
        jackknife_moments(tuple(values[::-1]), np.ones(30)),
        [plain[1], plain[0], -plain[2]],
        rtol=1e-10,
    )
    skewness = stats.skew(-values[0])  # of the leave-one-out values, turned
    assert float(plain[0]) == pytest.approx(skewness / (6 * np.sqrt(30)), rel=1e-10)
