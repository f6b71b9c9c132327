"""Scaling of a noise network: sizes by simulation, clean estimates by the linear model, limits."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.diffusion import SDE, Precondition

SCALING = Precondition(SDE(), 0.15, 0.02)
TIMES = (1, 10, 40, 70, 100)


def draw(t: int, count: int = 200_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x_0 - mu, x_t - mu, e) of many pixels."""
    random = np.random.default_rng(t)
    lacking, noise = SCALING.sd * random.standard_normal(count), random.standard_normal(count)
    return lacking, SCALING.sde.a[t] * lacking + SCALING.sde.sg[t] * noise, noise


@pytest.mark.parametrize("t", TIMES)
def test_input_and_wanted_output_have_unit_size(t):
    lacking, state, _ = draw(t)
    wanted = (lacking - SCALING.skip[t] * state) / SCALING.scale[t]
    assert (state / SCALING.size[t]).std() == pytest.approx(1, rel=0.01)
    assert wanted.std() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("t", TIMES)
def test_the_wanted_output_gives_the_true_noise_and_no_other_does(t):
    lacking, state, noise = (v[:1000].reshape(1, 10, 100, 1) for v in draw(t))
    wanted = (lacking - SCALING.skip[t] * state) / SCALING.scale[t]
    actual = SCALING.noise(state, np.zeros_like(state), np.array([t]), wanted)
    np.testing.assert_allclose(actual, noise, atol=2e-3 * max(1, SCALING.sd / SCALING.sde.sg[t]))
    assert (
        np.abs(
            SCALING.noise(state, np.zeros_like(state), np.array([t]), wanted + 0.1) - noise
        ).mean()
        > 1e-4
    )


@pytest.mark.parametrize("t", TIMES)
def test_the_gain_is_the_derivative_of_the_reverse_step(t):
    zero, one, time = (
        np.zeros((1, 1, 1, 1), np.float32),
        np.ones((1, 1, 1, 1), np.float32),
        np.array([t]),
    )
    means = [
        SCALING.sde.reverse_mean(zero, zero, time, SCALING.noise(zero, zero, time, output))
        for output in (zero, one)
    ]
    assert float((means[1] - means[0])[0, 0, 0, 0]) == pytest.approx(SCALING.gain[t], rel=1e-4)


def test_the_skip_is_the_best_linear_estimate_of_the_fine_part():
    random = np.random.default_rng(0)
    for t in TIMES:
        fine = SCALING.fine * random.standard_normal(200_000)
        state = SCALING.sde.a[t] * fine + SCALING.sde.sg[t] * random.standard_normal(fine.size)
        assert SCALING.skip[t] == pytest.approx(
            (fine @ state) / (state @ state), rel=0.02, abs=0.02
        )
    whole = Precondition(SDE(), 0.15, 0.15)
    np.testing.assert_allclose(whole.scale[1:], (whole.sde.sg * 0.15 / whole.size)[1:], rtol=1e-9)


@pytest.mark.parametrize(("sd", "fine"), [(0.1, 0.2), (0.1, 0.0), (-0.1, -0.2)])
def test_what_is_no_deviation_is_refused(sd, fine):
    with pytest.raises(ValueError, match="0 < fine <= sd"):
        Precondition(SDE(), sd, fine)
