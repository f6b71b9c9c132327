"""Draws, weighted sums and the bootstrap of statistics of sums, against theory, SciPy and a
jackknife by hand.
"""

import numpy as np
import pytest
from scipy import stats

from fairrecon_jax.inference import resampling
from fairrecon_jax.inference.intervals import summarise
from fairrecon_jax.inference.resampling import bootstrap_sums, draws, weighted_sums


def test_draws_are_seeded_and_fair():
    weights = draws(50, 200, 0)
    assert weights.shape == (200, 50)
    assert np.all(weights.sum(1) == 50)
    np.testing.assert_array_equal(weights[:10], draws(50, 10, 0))
    assert not np.array_equal(weights, draws(50, 200, 1))
    np.testing.assert_allclose(weights.var(), 1, rtol=0.1)  # Poisson-like


def test_weighted_sums_are_those_of_each_table():
    r = np.random.default_rng(0)
    parts = [r.integers(0, 3, (20, 2, 3)).astype(np.float32), r.random((20, 4)).astype(np.float32)]
    weights = draws(20, 5, 0)
    for got, part in zip(weighted_sums(weights, parts), parts):
        np.testing.assert_allclose(
            got, np.tensordot(weights.astype(float), part.astype(float), 1), rtol=1e-6
        )
    np.testing.assert_allclose(weighted_sums(None, parts)[0], parts[0].sum(0)[None])


def ratios(sums):
    """Means of two columns from (count, first total, second total)."""
    return {"mean": (sums[1] / sums[0], sums[2] / sums[0])}


def test_intervals_of_a_mean_are_those_of_theory():
    r = np.random.default_rng(0)
    values = r.normal(1, 2, (400, 2))
    result = bootstrap_sums([np.ones(400), *values.T], draws(400, 2000, 0), ratios, 0.05)["mean"]
    error = values.std(0) / 20
    np.testing.assert_allclose(
        [result.original.std_error, result.reconstructed.std_error], error, rtol=0.06
    )
    np.testing.assert_allclose(
        result.change.value, values[:, 1].mean() - values[:, 0].mean(), atol=1e-12
    )
    np.testing.assert_allclose(
        [result.original.ci_low, result.original.ci_high],
        values[:, 0].mean() + np.array([-1.96, 1.96]) * error[0],
        atol=0.25 * error[0],
    )


@pytest.mark.parametrize(("method", "name"), [("bca", "BCa"), ("percentile", "percentile")])
def test_intervals_of_a_skewed_mean_are_those_of_scipy(method, name):
    value = np.random.default_rng(1).exponential(size=80) ** 2
    result = bootstrap_sums(
        [np.ones(80), 0 * value, value], draws(80, 20000, 0), ratios, 0.05, method
    )["mean"].change
    wanted = stats.bootstrap(
        (value,), np.mean, n_resamples=20000, method=name, rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(
        [result.ci_low, result.ci_high], wanted, atol=0.04 * (wanted.high - wanted.low)
    )


def test_accelerations_are_those_of_a_jackknife_and_blocks_do_not_matter(monkeypatch):
    r = np.random.default_rng(2)
    parts = [
        r.integers(1, 4, (70, 3)).astype(np.float32),
        *r.exponential(size=(2, 70, 3)).astype(np.float32),
    ]
    whole = bootstrap_sums(parts, draws(70, 99, 0), ratios, 0.05)["mean"]
    left = np.stack([[p.sum(0) - p[i] for p in parts] for i in range(70)]).astype(float)
    d = [
        v.mean(0) - v
        for v in (
            left[:, 1] / left[:, 0],
            left[:, 2] / left[:, 0],
            (left[:, 2] - left[:, 1]) / left[:, 0],
        )
    ]
    wanted = [(x**3).sum(0) / (6 * (x**2).sum(0) ** 1.5) for x in d]
    monkeypatch.setattr(resampling, "ROWS", 32)
    seen = []
    monkeypatch.setattr(
        resampling, "summarise", lambda *given: seen.append(given[2]) or summarise(*given)
    )
    cut = bootstrap_sums(parts, draws(70, 99, 0), ratios, 0.05)["mean"]
    np.testing.assert_allclose(seen[0], wanted, rtol=1e-3)
    np.testing.assert_allclose(cut.change.ci_low, whole.change.ci_low, rtol=1e-6)


def test_pairs_share_their_draws():
    base = np.random.default_rng(0).normal(0, 1, 500)
    result = bootstrap_sums([np.ones(500), base, base + 0.5], draws(500, 500, 0), ratios, 0.05)[
        "mean"
    ]
    assert result.change.std_error < 1e-6 < result.original.std_error
    assert (result.p_two_sided, result.p_one_tailed) == (pytest.approx(2 / 501), 0.0)
    assert float(result.change.value) == pytest.approx(0.5)
