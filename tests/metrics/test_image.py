"""Image metrics against scikit-image, and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from fairrecon_jax import metrics
from tests.support.metric_samples import image_pair

SSIM = {
    ("uniform", True): {},
    ("uniform", False): {"use_sample_covariance": False},
    ("gaussian", False): {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    ("gaussian", True): {"gaussian_weights": True, "sigma": 1.5},
}


@pytest.mark.parametrize(("window", "sample"), SSIM)
@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-10), (False, 2e-6)])
def test_ssim_agrees_with_scikit_image(window, sample, double, tolerance):
    original, image = image_pair()
    with jax.enable_x64(double):
        got = metrics.ssim(
            jnp.asarray(original), jnp.asarray(image), window, sample_covariance=sample
        )
    options = SSIM[window, sample]
    expected = [
        structural_similarity(a[..., 0], b[..., 0], data_range=1, **options)
        for a, b in zip(original, image)
    ]
    np.testing.assert_allclose(got, expected, atol=tolerance)


@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-10), (False, 1e-5)])
def test_psnr_and_nrmse_agree_with_scikit_image(double, tolerance):
    original, image = image_pair(1)
    with jax.enable_x64(double):
        a, b = jnp.asarray(original), jnp.asarray(image)
        decibels, error = metrics.psnr(a, b), metrics.nrmse(a, b)
    np.testing.assert_allclose(
        decibels,
        [peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(original, image)],
        rtol=tolerance,
    )
    np.testing.assert_allclose(
        error, [normalized_root_mse(x, y) for x, y in zip(original, image)], rtol=tolerance
    )


def test_identical_images():
    original, _ = image_pair()
    image = jnp.asarray(original)
    assert jnp.all(jnp.isinf(metrics.psnr(image, image)))
    np.testing.assert_allclose(metrics.ssim(image, image), 1, atol=1e-6)
    assert metrics.nrmse(image, image).tolist() == [0, 0, 0]
    assert jnp.isnan(metrics.nrmse(jnp.zeros((8, 8, 1)), jnp.ones((8, 8, 1))))


def test_psnr_does_not_depend_on_the_batch():
    original, image = image_pair()
    a, b = jnp.asarray(original), jnp.asarray(image)
    np.testing.assert_array_equal(metrics.psnr(a, b)[1], metrics.psnr(a[1], b[1]))
    assert metrics.psnr(a[None], b[None]).shape == (1, 3)


def test_gradients_are_finite():
    original, image = image_pair()
    a, b = jnp.asarray(original), jnp.asarray(image)
    for function in (metrics.psnr, metrics.ssim, metrics.nrmse):
        assert jnp.all(jnp.isfinite(jax.jit(jax.grad(lambda y, f=function: f(a, y).sum()))(b)))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(8, 8, 1\) and \(8, 9, 1\)"):
        metrics.psnr(jnp.zeros((8, 8, 1)), jnp.zeros((8, 9, 1)))
    with pytest.raises(ValueError, match="at least 7 x 7"):
        metrics.ssim(jnp.zeros((6, 8, 1)), jnp.zeros((6, 8, 1)))
    with pytest.raises(ValueError, match="'uniform' or 'gaussian'"):
        metrics.ssim(jnp.zeros((8, 8, 1)), jnp.zeros((8, 8, 1)), window="box")
