"""Gaussian noise: its law, its independence, what cutting off to [0, 1] does to it."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest
from scipy import stats

from fairrecon_jax.physics.gaussian import GaussianNoise
from tests.support.kinds import compiled, digests, psnr

SIZE, COUNT = 64, 32
PIXELS = COUNT * SIZE * SIZE


@functools.cache
def errors(level: float, clip: bool = False, grey: float = 0.5) -> np.ndarray:
    """What is added to a grey image, [COUNT, SIZE, SIZE, 1]."""
    image = np.full((COUNT, SIZE, SIZE, 1), grey, np.float32)
    noise = GaussianNoise(SIZE, clip=clip)
    out = compiled(noise)(noise.operator(level), image, digests(COUNT), jax.random.key(0))
    return np.asarray(out, np.float64) - grey


@pytest.mark.parametrize("level", [0.03, 0.2, 1.5])
def test_law_of_the_noise(level):
    """Bounds of five standard errors; the test of the law itself at 0.1%, for one fixed draw."""
    drawn = errors(level) / level
    assert abs(drawn.mean()) < 5 / np.sqrt(PIXELS)
    assert abs(drawn.std() - 1) < 5 / np.sqrt(2 * PIXELS)
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-3


def test_pixels_examples_and_levels_are_independent():
    drawn = errors(0.2)[..., 0] / 0.2
    between_examples = np.corrcoef(drawn.reshape(COUNT, -1))[np.triu_indices(COUNT, 1)]
    assert np.abs(between_examples).max() < 5 / SIZE
    down, across = drawn[:, 1:] * drawn[:, :-1], drawn[:, :, 1:] * drawn[:, :, :-1]
    assert abs(down.mean()) < 5 / np.sqrt(PIXELS)
    assert abs(across.mean()) < 5 / np.sqrt(PIXELS)
    other_level = errors(0.03)[..., 0] / 0.03
    assert abs((drawn * other_level).mean()) < 5 / np.sqrt(PIXELS)


@pytest.mark.parametrize("level", [0.01, 0.1, 0.5])
def test_psnr_is_that_of_the_level(level):
    assert psnr(np.zeros(()), errors(level)).mean() == pytest.approx(-20 * np.log10(level), abs=0.1)


def test_cut_off_at_0_half_of_the_noise_is_left():
    """The mean of max(n, 0) is level / sqrt(2 pi), its mean square half of level^2."""
    kept = errors(0.2, clip=True, grey=0.0)
    assert kept.min() == 0
    assert kept.mean() == pytest.approx(0.2 / np.sqrt(2 * np.pi), rel=0.01)
    assert np.mean(kept**2) == pytest.approx(0.2**2 / 2, rel=0.02)
    assert errors(0.2, clip=True, grey=1.0).max() == 0


def test_cutting_off_leaves_the_middle_alone_and_is_the_default():
    np.testing.assert_array_equal(errors(0.03, clip=True), errors(0.03))
    assert np.abs(errors(0.2)).max() > 0.5
    assert np.abs(errors(0.2, clip=True)).max() == 0.5
    assert GaussianNoise(SIZE).clip
