"""MS-SSIM against PIQA and scikit-image, its limits and its invariances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity
from skimage.transform import downscale_local_mean

from fairrecon_jax.metrics.image import ssim
from fairrecon_jax.metrics.multiscale import WEIGHTS, ms_ssim, scale_weights
from fairrecon_jax.metrics.windows import halve
from tests.support.metric_images import PIQA, noisy, textured


def batch(*images):
    return jnp.stack([jnp.asarray(image) for image in images])[..., None]


@functools.cache
def compiled(**options):
    return jax.jit(functools.partial(ms_ssim, **options))


def single(original, image, **options):
    return float(compiled(**options)(batch(original), batch(image))[0])


@pytest.mark.parametrize("shape", PIQA)
def test_agrees_with_piqa(shape):
    """PIQA's window is float32 whatever the images are, which costs it 3e-6."""
    original, image = (part.astype(np.float32) for part in textured(*shape))
    assert single(original, image) == pytest.approx(PIQA[shape][0], abs=5e-6)


def test_agrees_with_pytorch_msssim():
    """Its five scales need 161 pixels; its convolutions are float32."""
    torch = pytest.importorskip("torch")
    oracle = pytest.importorskip("pytorch_msssim")
    r = np.random.default_rng(1)
    original = np.clip(np.cumsum(r.normal(0, 0.05, (3, 192, 176)), 2) + 0.5, 0, 1)
    image = np.clip(original + r.normal(0, 0.05, original.shape), 0, 1)
    x, y = (torch.tensor(part[:, None], dtype=torch.float32) for part in (original, image))
    expected = oracle.ms_ssim(x, y, data_range=1.0, size_average=False).numpy()
    values = ms_ssim(batch(*original), batch(*image))
    np.testing.assert_allclose(values, expected, atol=1e-5)


def by_scikit_image(original, image, weights):
    """A huge K1 leaves the contrast factor of its SSIM alone; sides must halve evenly."""
    product = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            original, image = (downscale_local_mean(part, (2, 2)) for part in (original, image))
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        k1 = 0.01 if scale == len(weights) - 1 else 1e8
        value = structural_similarity(original, image, data_range=1, K1=k1, **options)
        product *= max(value, 0) ** weight
    return product


@pytest.mark.parametrize(
    ("height", "width", "double", "tolerance"),
    [(192, 176, True, 1e-10), (44, 64, True, 1e-10), (20, 36, True, 1e-10), (96, 128, False, 2e-6)],
)
def test_agrees_with_scikit_image_scale_by_scale(height, width, double, tolerance):
    r = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(r.normal(0, 1, (3, height, width)), 1), 2)
    original = (smooth - smooth.min()) / np.ptp(smooth)
    image = np.clip(original + r.normal(0, 0.1, original.shape), 0, 1)
    weights = scale_weights(min(height, width))
    expected = [by_scikit_image(x, y, weights) for x, y in zip(original, image)]
    with jax.enable_x64(double):
        got = jax.jit(ms_ssim)(batch(*original), batch(*image))
    np.testing.assert_allclose(got, expected, atol=tolerance)


@pytest.mark.parametrize(
    ("side", "scales"), [(512, 5), (161, 5), (160, 4), (81, 4), (80, 3), (21, 2), (20, 1), (11, 1)]
)
def test_as_many_scales_as_hold_a_window(side, scales):
    weights = scale_weights(side)
    assert len(weights) == scales
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(weights / weights[0], np.array(WEIGHTS[:scales]) / WEIGHTS[0])
    coarsest = jnp.zeros((side, side, 1))
    for _ in range(scales - 1):
        coarsest = halve(coarsest)
    assert len(coarsest) >= 11
    assert scales == 5 or len(halve(coarsest)) < 11


def test_one_scale_is_the_ssim_of_wang_et_al():
    original, image = (batch(part) for part in textured(19, 24, 0.1))
    expected = ssim(original, image, "gaussian", sample_covariance=False)
    np.testing.assert_allclose(ms_ssim(original, image), expected, atol=1e-6)


@pytest.mark.parametrize("side", [176, 40])
def test_two_constant_images_by_hand(side):
    """Contrast counts as the same; the coarsest scale compares 0.3 with 0.6 by luminance."""
    flat = np.ones((side, side), np.float32)
    luminance = (2 * 0.3 * 0.6 + 1e-4) / (0.3**2 + 0.6**2 + 1e-4)
    expected = luminance ** scale_weights(side)[-1]
    assert single(0.3 * flat, 0.6 * flat) == pytest.approx(expected, abs=1e-6)


def test_identical_images_are_1():
    original, _ = textured(96, 80, 0)
    assert single(original, original) == pytest.approx(1, abs=1e-6)
    assert single(0 * original, 0 * original) == pytest.approx(1, abs=1e-6)


def test_falls_as_noise_grows():
    original, image = noisy((0.0, 0.02, 0.05, 0.1, 0.2, 0.4))
    assert np.all(np.diff(ms_ssim(original, image)) < -0.005)


def test_symmetric_and_blind_to_mirrors_turns_and_units():
    original, image = textured(64, 64, 0.2)
    value = single(original, image)
    assert single(image, original) == pytest.approx(value, abs=1e-6)
    assert single(original[::-1], image[::-1]) == pytest.approx(value, abs=1e-6)
    assert single(original[:, ::-1], image[:, ::-1]) == pytest.approx(value, abs=1e-6)
    assert single(original.T, image.T) == pytest.approx(value, abs=1e-6)
    in_255 = single(255 * original, 255 * image, data_range=255.0)
    assert in_255 == pytest.approx(value, abs=1e-6)
    assert single(255 * original, 255 * image) != pytest.approx(value, abs=1e-3)


def test_a_negative_is_0_with_finite_derivative():
    original, _ = textured(64, 64, 0)
    image = batch(1 - original)
    assert single(original, 1 - original) == 0
    slope = jax.jit(jax.grad(lambda y: ms_ssim(batch(original), y).sum()))(image)
    assert bool(jnp.all(jnp.isfinite(slope)))


def test_derivative_agrees_with_a_difference():
    original, image = (batch(part) for part in textured(48, 48, 0.1))
    direction = batch(np.random.default_rng(1).normal(size=(48, 48)))
    with jax.enable_x64(True):
        x, y, d = (jnp.asarray(np.asarray(part), float) for part in (original, image, direction))
        slope = float(jnp.vdot(jax.jit(jax.grad(lambda z: ms_ssim(x, z).sum()))(y), d))
        ahead, behind = ms_ssim(x, y + 1e-5 * d), ms_ssim(x, y - 1e-5 * d)
    assert slope == pytest.approx(float((ahead - behind)[0]) / 2e-5, rel=1e-6)


def test_one_value_per_leading_index():
    original, image = noisy((0.1, 0.2), 32)
    together = ms_ssim(original, image)
    np.testing.assert_allclose(ms_ssim(original[1], image[1]), together[1], atol=1e-6)
    assert ms_ssim(original[None], image[None]).shape == (1, 2)
    assert together.dtype == jnp.float32
    channels = ms_ssim(np.concatenate([original] * 2, -1), np.concatenate([image] * 2, -1))
    np.testing.assert_allclose(channels, together, atol=1e-6)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(16, 16, 1\) and \(16, 17, 1\)"):
        ms_ssim(jnp.zeros((16, 16, 1)), jnp.zeros((16, 17, 1)))
    with pytest.raises(ValueError, match=r"MS-SSIM needs images of at least 11 x 11 pixels"):
        ms_ssim(jnp.zeros((10, 16, 1)), jnp.zeros((10, 16, 1)))
