"""Samplers against exact Gaussian propagation: errors, orders of convergence, identities between
methods, the scan itself.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.diffusion import PRESETS, SDE, Sampler, initial_state, sample, step_table
from fairrecon_jax.diffusion.samplers import COLUMNS
from fairrecon_jax.keys import example_keys
from tests.support.gaussian_law import (
    OFFSET,
    SD,
    TO_GREY,
    pathwise,
    posterior_line,
    propagate,
    wasserstein,
)

GREY = SDE()
STEPS = (100, 20, 10, 5)
TABLE = [
    ("euler_sde", 1, wasserstein, ("0.27", "1.32", "2.58", "4.98")),
    ("posterior", 1, wasserstein, ("0.42", "1.82", "3.16", "5.01")),
    ("sde", 2, wasserstein, ("0.045", "1.09", "1.74", "1.98")),
    ("euler_ode", 1, pathwise, ("0.69", "3.22", "5.95", "10.3")),
    ("ode", 1, pathwise, ("0.21", "1.01", "1.95", "3.62")),
    ("ode", 2, pathwise, ("0.009", "0.24", "0.45", "1.49")),
]


@pytest.mark.parametrize(("method", "order", "error", "printed"), TABLE)
def test_errors_on_gaussian_originals(method, order, error, printed):
    """In grey values of 255, to the digits printed here."""
    for steps, expected in zip(STEPS, printed, strict=True):
        actual = TO_GREY * error(GREY, Sampler(method, steps, order))
        assert f"{actual:.{len(expected.split('.')[1])}f}" == expected


def test_unequal_spacing_on_gaussian_originals():
    assert f"{TO_GREY * pathwise(GREY, Sampler('ode', 10, 2, 1.5)):.2f}" == "0.56"
    widths = np.geomspace(0.01, 0.2, 9)

    def relative(sampler, error):
        return math.exp(np.mean([math.log(error(GREY, sampler, sd) / sd) for sd in widths]))

    assert relative(PRESETS["paper"], wasserstein) == pytest.approx(0.029, abs=0.002)
    assert relative(Sampler("ode", 10, 2, 1.5), wasserstein) == pytest.approx(0.035, abs=0.003)
    assert relative(PRESETS["ode2_15"], wasserstein) == pytest.approx(0.025, abs=0.001)


@pytest.mark.parametrize(
    ("method", "order", "error", "expected"),
    [
        ("ode", 1, pathwise, 1),
        ("ode", 2, pathwise, 2),
        ("euler_ode", 1, pathwise, 1),
        ("sde", 1, "in law", 1),
        ("sde", 2, "in law", 2),
        ("euler_sde", 1, "in law", 1),
    ],
)
def test_measured_order_of_convergence(method, order, error, expected):
    """Twice the steps of an equation with fine times; errors against the exact solution from the
    same start.
    """
    fine = SDE("cosine", 4000)
    error = in_law if error == "in law" else error
    errors = [error(fine, Sampler(method, steps, order)) for steps in (250, 500)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(expected, abs=0.1)


def in_law(sde: SDE, sampler: Sampler) -> float:
    """The Wasserstein-2 distance of the sample's law to that of the exact reverse equation from the
    same N(0, lam^2).
    """
    mean, deviation, _ = propagate(sde, step_table(sde, sampler))
    exact_mean, exact_deviation = exact_law(sde)
    return float(np.hypot(mean - exact_mean, deviation - exact_deviation))


def exact_law(sde: SDE) -> tuple[float, float]:
    """Mean and deviation of x_0 when x_T ~ N(0, lam^2) and x_0 given x_T is the true posterior."""
    a, sg = sde.a[-1], sde.sg[-1]
    slope = SD**2 * a / (a**2 * SD**2 + sg**2)
    mean = OFFSET * (1 - slope * a)
    return mean, math.sqrt(SD**2 - slope**2 * (a**2 * SD**2 + sg**2) + slope**2 * sde.lam**2)


@pytest.mark.parametrize("sampler", [Sampler("posterior", 100), Sampler("posterior", 10, 1, 1.7)])
def test_posterior_sampling_is_the_first_order_sde_solver(sampler):
    other = Sampler("sde", sampler.steps, 1, sampler.rho)
    np.testing.assert_allclose(step_table(GREY, sampler), step_table(GREY, other), atol=1e-6)


def test_first_order_ode_solver_is_ddim():
    """x_s = mu + a_s (X_t - mu) + sg_s e_t, with the same noise estimate and clean estimate."""
    sampler, (x, noise) = Sampler("ode", 12), (0.37, -1.2)
    for (_, a, sg, p, q, w, n), s in zip(
        step_table(GREY, sampler), sampler.grid(GREY.T)[1:], strict=True
    ):
        clean = (x - sg * noise) / a
        assert (w, n) == (0, 0)
        assert p * x + q * clean == pytest.approx(GREY.a[s] * clean + GREY.sg[s] * noise, abs=1e-12)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "paper"])
def test_the_last_exponential_step_returns_the_clean_estimate(preset):
    last = dict(zip(COLUMNS, step_table(GREY, PRESETS[preset])[-1], strict=True))
    assert (last["p"], last["q"], last["w"], last["n"]) == (0, 1, 0, 0)


def test_first_and_last_step_are_of_first_order():
    w = step_table(GREY, Sampler("ode", 10, 2))[:, COLUMNS.index("w")]
    assert w[0] == w[-1] == 0
    assert (w[1:-1] != 0).all()


def test_unit_euler_steps_are_the_papers():
    """p, q, n of one step equal x - (theta (mu - x) - sigma^2 score) dt + sigma sqrt(dt) z."""
    for t, a, sg, p, q, _, n in step_table(GREY, PRESETS["paper"]):
        t, x, noise = int(t), 0.2, 0.9
        clean = (x - sg * noise) / a
        drift = GREY.theta[t] * -x + 2 * GREY.lam**2 * GREY.theta[t] * noise / sg
        assert p * x + q * clean == pytest.approx(x - drift * GREY.dt, abs=1e-12)
        assert n == pytest.approx(GREY.lam * math.sqrt(2 * GREY.theta[t] * GREY.dt), rel=1e-12)


def exact_model(x, t):
    """The best noise estimate for Gaussian originals around mu = 0."""
    a, sg = (
        jnp.asarray(table, jnp.float32)[t.astype(int)][:, None, None, None]
        for table in (GREY.a, GREY.sg)
    )
    slope, intercept = posterior_line(a, sg)
    return (x - a * (slope * x + intercept)) / sg


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_scan_draws_from_the_propagated_law(preset):
    """Mean and variance over 65,536 pixels within 4 standard errors."""
    table = step_table(GREY, PRESETS[preset])
    keys = jax.random.split(jax.random.key(3), 16)
    run = jax.jit(
        lambda keys: sample(exact_model, jnp.zeros((16, 64, 64, 1)), keys, table, GREY.lam)
    )
    drawn, count = np.asarray(run(keys), np.float64), 16 * 64 * 64
    mean, deviation, _ = propagate(GREY, table)
    assert drawn.mean() == pytest.approx(mean, abs=4 * deviation / math.sqrt(count))
    assert drawn.var() == pytest.approx(deviation**2, rel=4 * math.sqrt(2 / count))


def test_samples_depend_on_the_example_alone():
    ids = np.random.default_rng(0).integers(0, 2**32, (5, 2), dtype=np.uint32)
    keys, mu = (
        example_keys(jax.random.key(1), ids),
        np.random.default_rng(1).random((5, 8, 8, 1), np.float32),
    )
    table = step_table(GREY, PRESETS["sde2_20"])
    run = jax.jit(lambda mu, keys: sample(exact_model, mu, keys, table, GREY.lam))
    whole = np.asarray(run(mu, keys))
    np.testing.assert_allclose(run(mu[3:], keys[3:]), whole[3:], atol=1e-6)
    np.testing.assert_allclose(run(mu[::-1], keys[::-1]), whole[::-1], atol=1e-6)
    assert not np.allclose(run(mu, keys[::-1]), whole, atol=1e-3)


def test_the_start_is_noise_of_the_stationary_level():
    start = initial_state(
        jnp.full((8, 64, 64, 1), 0.5), jax.random.split(jax.random.key(0), 8), 0.04
    )
    assert float(start.mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(start.std()) == pytest.approx(0.04, rel=0.02)


def test_clipping_bounds_every_clean_estimate():
    """A model that asks for far too much noise: without clipping the sample leaves the range, with
    it the last estimate cannot.
    """
    table, keys = step_table(GREY, PRESETS["ode2_10"]), jax.random.split(jax.random.key(0), 2)
    mu = jnp.full((2, 4, 4, 1), 0.5)
    free, held = (
        sample(lambda x, t: -9 * jnp.ones_like(x), mu, keys, table, GREY.lam, clip)
        for clip in (False, True)
    )
    assert float(free.max()) > 1
    assert 0 <= float(held.min()) <= float(held.max()) <= 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"method": "heun"},
            "unknown sampling method 'heun'; choose one of euler_sde, euler_ode, "
            "posterior, ode, sde",
        ),
        ({"method": "posterior", "order": 2}, "posterior has no order 2"),
        ({"method": "ode", "order": 3}, "ode has no order 3"),
        ({"rho": 0.0}, "rho must be positive"),
        ({"steps": 0}, "at least 1 step"),
    ],
)
def test_impossible_samplers_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Sampler(**fields)


def test_grids_are_whole_and_distinct():
    assert Sampler("ode", 15, 2, 1.5).grid(100).tolist() == [
        round(100 * (1 - i / 15) ** 1.5) for i in range(16)
    ]
    assert Sampler(steps=100).grid(100).tolist() == list(range(100, -1, -1))
    with pytest.raises(ValueError, match="101 steps with rho 1 do not fit on 100 times"):
        step_table(GREY, Sampler(steps=101))
    with pytest.raises(ValueError, match="30 steps with rho 2 do not fit on 100 times"):
        step_table(GREY, Sampler("sde", 30, 2, 2.0))


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (Sampler("ode", 10, 2, 1.5), "ODE, order 2, 10 steps"),
        (Sampler("euler_sde", 100), "Euler SDE, 100 steps"),
    ],
)
def test_a_sampler_in_words(sampler, expected):
    assert sampler.title == expected
