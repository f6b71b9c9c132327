"""HaarPSI against PIQA and its definition in NumPy, its limits and its invariances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import convolve2d

from fairrecon_jax.metrics.wavelet import haar, haarpsi
from tests.support.metric_images import PIQA, noisy, textured


def batch(*images):
    return jnp.stack([jnp.asarray(image) for image in images])[..., None]


@functools.cache
def compiled(**options):
    return jax.jit(functools.partial(haarpsi, **options))


def single(original, image, **options):
    return float(compiled(**options)(batch(original), batch(image))[0])


@pytest.mark.parametrize("shape", PIQA)
def test_agrees_with_piqa(shape):
    original, image = (part.astype(np.float32) for part in textured(*shape))
    assert single(original, image) == pytest.approx(PIQA[shape][1], abs=2e-6)


def by_definition(original, image):
    """The definition on intensities in [0, 255], sides must be even."""

    def coefficients(values, scale):
        half = 2 ** (scale - 1)
        filtered = np.full((2 * half, 2 * half), 2.0**-scale)
        filtered[:half] *= -1
        every = [convolve2d(values, kernel) for kernel in (filtered, filtered.T)]
        height, width = values.shape
        return [np.abs(one[half : half + height, half : half + width]) for one in every]

    def halved(values):
        return 255 * values.reshape(len(values) // 2, 2, -1, 2).mean((1, 3))

    x, y = halved(original), halved(image)
    fine = [
        [
            (2 * a * b + 30) / (a * a + b * b + 30)
            for a, b in zip(coefficients(x, j), coefficients(y, j))
        ]
        for j in (1, 2)
    ]
    local = (np.array(fine[0]) + np.array(fine[1])) / 2
    weight = np.maximum(coefficients(x, 3), coefficients(y, 3))
    mean = np.sum(weight / (1 + np.exp(-4.2 * local))) / np.sum(weight)
    return (np.log(mean / (1 - mean)) / 4.2) ** 2


@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-12), (False, 2e-6)])
def test_agrees_with_its_definition(double, tolerance):
    r = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(r.normal(0, 1, (3, 40, 32)), 1), 2)
    original = (smooth - smooth.min()) / np.ptp(smooth)
    image = np.clip(original + r.normal(0, 0.1, original.shape), 0, 1)
    with jax.enable_x64(double):
        got = jax.jit(haarpsi)(batch(*original), batch(*image))
    expected = [by_definition(x, y) for x, y in zip(original, image)]
    np.testing.assert_allclose(got, expected, atol=tolerance)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_coefficients_of_an_edge_by_hand(scale):
    """Half of a filter, k / 2 rows of k entries 1 / k, lies on the step of 0.5."""
    image = np.zeros((32, 32, 1), np.float32)
    image[16:] = 0.5
    length = 2**scale
    down, across = (
        np.asarray(haar(jnp.asarray(image), scale, turned))[..., 0] for turned in (False, True)
    )
    inside = slice(length, 32 - length)
    np.testing.assert_allclose(down[15, inside], 0.5 * length / 2, atol=1e-6)
    ramp = 0.5 * np.maximum(length / 2 - np.abs(np.arange(32) - 15), 0)
    np.testing.assert_allclose(down[length:-length, 16], ramp[length:-length], atol=1e-6)
    np.testing.assert_allclose(across[inside, inside], 0, atol=1e-6)


def test_identical_images_are_1():
    original, _ = textured(64, 48, 0)
    assert single(original, original) == pytest.approx(1, abs=1e-6)


def test_two_empty_images_are_identical_with_finite_derivative():
    empty = jnp.zeros((1, 16, 16, 1))
    assert haarpsi(empty, empty).tolist() == [pytest.approx(1, abs=1e-6)]
    slope = jax.jit(jax.grad(lambda y: haarpsi(empty, y).sum()))(empty)
    assert bool(jnp.all(jnp.isfinite(slope)))
    assert single(np.zeros((16, 16)), textured(16, 16, 0)[0]) < 0.5


def test_falls_as_noise_grows():
    original, image = noisy((0.0, 0.02, 0.05, 0.1, 0.2, 0.4))
    assert np.all(np.diff(haarpsi(original, image)) < -0.005)


def test_symmetric_and_blind_to_transposition_and_units():
    original, image = textured(48, 48, 0.2)
    value = single(original, image)
    assert single(image, original) == pytest.approx(value, abs=1e-6)
    assert single(original.T, image.T) == pytest.approx(value, abs=1e-6)
    in_255 = single(255 * original, 255 * image, data_range=255.0)
    assert in_255 == pytest.approx(value, abs=1e-6)
    assert single(255 * original, 255 * image) != pytest.approx(value, abs=1e-3)


def test_derivative_agrees_with_a_difference():
    original, image = textured(24, 24, 0.1)
    direction = np.random.default_rng(1).normal(size=(24, 24))
    with jax.enable_x64(True):
        x, y, d = (batch(part) for part in (original, image, direction))
        slope = float(jnp.vdot(jax.jit(jax.grad(lambda z: haarpsi(x, z).sum()))(y), d))
        ahead, behind = haarpsi(x, y + 1e-7 * d), haarpsi(x, y - 1e-7 * d)
    assert slope == pytest.approx(float((ahead - behind)[0]) / 2e-7, rel=1e-4)


def test_one_value_per_leading_index():
    original, image = noisy((0.1, 0.2), 32)
    together = haarpsi(original, image)
    np.testing.assert_allclose(haarpsi(original[1], image[1]), together[1], atol=1e-6)
    assert haarpsi(original[None], image[None]).shape == (1, 2)
    assert together.dtype == jnp.float32
    channels = haarpsi(np.concatenate([original] * 2, -1), np.concatenate([image] * 2, -1))
    np.testing.assert_allclose(channels, together, atol=1e-6)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(16, 16, 1\) and \(16, 18, 1\)"):
        haarpsi(jnp.zeros((16, 16, 1)), jnp.zeros((16, 18, 1)))
    with pytest.raises(ValueError, match=r"HaarPSI needs images of at least 16 x 16 pixels"):
        haarpsi(jnp.zeros((14, 16, 1)), jnp.zeros((14, 16, 1)))
