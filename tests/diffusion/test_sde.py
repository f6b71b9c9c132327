"""The mean-reverting equation: published numbers, Gaussian algebra, limits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.diffusion import SDE

TIMES = np.array([1, 7, 50, 99, 100])


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 4, 4, 1), np.float32)


def test_golden_numbers_of_the_published_schedule():
    sde = SDE()
    assert sde.dt == pytest.approx(0.10409380785667745, abs=1e-15)
    np.testing.assert_allclose(
        sde.theta[[1, 50, 100]], [0.00169462, 0.50615641, 0.99976657], atol=5e-9
    )
    np.testing.assert_allclose(sde.sg[[1, 50, 100]], [0.00073652, 0.03657392, 0.0392152], atol=5e-9)
    np.testing.assert_allclose(sde.a[[50, 100]], [0.36082161, 0.005], atol=5e-9)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("T", [1, 10, 100])
def test_tables_begin_at_the_image_and_end_at_eps(schedule, T):
    sde = SDE(schedule, T, 0.1, 0.01)
    assert all(len(table) == T + 1 for table in (sde.theta, sde.Th, sde.a, sde.sg))
    assert (sde.a[0], sde.sg[0], sde.Th[0]) == (1, 0, 0)
    assert sde.a[-1] == pytest.approx(0.01, rel=1e-12)
    assert (np.diff(sde.a) < 0).all()
    assert (np.diff(sde.sg) > 0).all()
    np.testing.assert_allclose(sde.sg**2 + (sde.lam * sde.a) ** 2, sde.lam**2, rtol=1e-12)


def test_linear_schedule_is_a_line_and_constant_is_one():
    assert np.ptp(np.diff(SDE("linear").theta)) < 1e-15
    assert SDE("linear").theta[-1] / SDE("linear").theta[0] == pytest.approx(200)
    np.testing.assert_allclose(np.diff(np.log(SDE("constant").a)), np.log(0.005) / 100, rtol=1e-12)


def test_clean_estimate_inverts_the_forward_process():
    sde, x0, mu = SDE(), images(5, 0), images(5, 1)
    noise = np.random.default_rng(2).standard_normal(x0.shape, np.float32)
    xt = sde.forward(x0, mu, TIMES, noise)
    assert xt.dtype == jnp.float32
    error = np.abs(np.asarray(sde.clean(xt, mu, TIMES, noise)) - x0).max((1, 2, 3))
    assert (error < 1e-6 / sde.a[TIMES] + 1e-6).all()  # float32 of x_t, divided by a_t


def test_forward_has_the_stated_law():
    """Euler's many small steps of the equation itself reach the marginal's mean and deviation."""
    sde, rng, substeps = SDE(T=20), np.random.default_rng(0), 40
    x, mu, x0 = np.full(20_000, 0.8), 0.3, 0.8
    for t in range(1, 13):
        h = sde.theta[t] * sde.dt / substeps
        for _ in range(substeps):
            x = x + h * (mu - x) + sde.lam * np.sqrt(2 * h) * rng.standard_normal(len(x))
    assert x.mean() == pytest.approx(mu + sde.a[12] * (x0 - mu), abs=2e-3)
    assert x.std() == pytest.approx(sde.sg[12], rel=0.03)


def test_optimal_reverse_state_is_the_conditional_mean():
    """E[x_{t-1} | x_t, x_0] by conditioning the joint Gaussian of x_{t-1} and x_t given x_0, in
    float64.
    """
    sde, x0, mu, xt = SDE(), images(5, 0), images(5, 1), images(5, 2)
    actual = np.asarray(sde.optimal_reverse(xt, x0, mu, TIMES))
    for i, t in enumerate(TIMES):
        step = sde.a[t] / sde.a[t - 1]
        mean_before, mean_now = (
            mu[i] + sde.a[t - 1] * (x0[i] - mu[i]),
            mu[i] + sde.a[t] * (x0[i] - mu[i]),
        )
        covariance, variance = step * sde.sg[t - 1] ** 2, sde.sg[t] ** 2
        np.testing.assert_allclose(
            actual[i], mean_before + covariance / variance * (xt[i] - mean_now), atol=2e-6
        )


def test_optimal_reverse_state_is_the_most_likely_one():
    """No nearby state has a higher density given x_t and x_0."""
    sde, t, (x0, mu, xt) = SDE(), 40, (0.9, 0.5, 0.65)

    def log_density(x):
        step = sde.a[t] / sde.a[t - 1]
        variance = sde.lam**2 * (1 - step**2)
        return (
            -((xt - mu - step * (x - mu)) ** 2) / variance
            - (x - mu - sde.a[t - 1] * (x0 - mu)) ** 2 / sde.sg[t - 1] ** 2
        )

    full = [np.full((1, 1, 1, 1), v, np.float32) for v in (xt, x0, mu)]
    best = float(sde.optimal_reverse(*full, np.array([t]))[0, 0, 0, 0])
    assert log_density(best) > max(log_density(best - 1e-4), log_density(best + 1e-4))


def test_reverse_mean_is_one_euler_step_of_the_reverse_equation():
    sde, xt, mu = SDE(), images(5, 0), images(5, 1)
    noise = np.random.default_rng(2).standard_normal(xt.shape, np.float32)
    score = np.asarray(sde.score(noise, TIMES), np.float64)
    theta = sde.theta[TIMES][:, None, None, None]
    drift = theta * (mu - xt.astype(np.float64)) - 2 * sde.lam**2 * theta * score
    np.testing.assert_allclose(
        sde.reverse_mean(xt, mu, TIMES, noise), xt - drift * sde.dt, atol=1e-6
    )


def test_score_is_the_gradient_of_the_log_density():
    sde, t, x0, mu = SDE(), np.array([30]), np.full((1, 1, 1, 1), 0.7), np.full((1, 1, 1, 1), 0.4)
    noise = np.full((1, 1, 1, 1), 0.8, np.float32)
    x = np.asarray(sde.forward(x0, mu, t, noise))

    def log_density(x):
        return jnp.sum(-0.5 * ((x - mu - sde.a[30] * (x0 - mu)) / sde.sg[30]) ** 2)

    np.testing.assert_allclose(
        jax.grad(log_density)(jnp.asarray(x)), sde.score(noise, t), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "square"}, "schedule must be cosine, linear or constant, got 'square'"),
        ({"T": 0}, "T must be at least 1"),
        ({"lam": 0.0}, "lam must be positive"),
        ({"eps": 1.0}, "eps must lie between 0 and 1"),
    ],
)
def test_impossible_equations_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SDE(**fields)
