"""Sparse-view X-ray: which angles are seen, limits, scikit-image with the same angles."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics import xray
from fairrecon_jax.physics.sparse_view import SparseViewXray, angle_weights
from tests.support.kinds import compiled, digests, psnr
from tests.support.physics_images import noise, relative_error, scan_angles, shepp_logan

KEY = jax.random.key(0)


def degraded(scan: SparseViewXray, level: float, image: np.ndarray) -> np.ndarray:
    """Images [B, N, N] at a level."""
    operator = scan.operator(level)
    out = compiled(scan)(operator, image[..., None], digests(len(image)), KEY)
    return np.asarray(out)[..., 0]


@pytest.mark.parametrize("angles", [32, 60])
def test_every_number_of_angles_can_be_had_and_sums_to_the_half_circle(angles):
    for count in range(1, angles + 1):
        weights = angle_weights(count, angles)
        seen = np.flatnonzero(weights)
        assert len(seen) == count
        assert weights.sum() == angles
        assert np.abs(seen - np.arange(count) * angles / count).max() <= 0.5
        gaps = np.diff(seen, append=seen[0] + angles)
        assert gaps.max() - gaps.min() <= 1
        if angles % count == 0:
            np.testing.assert_array_equal(weights[seen], angles // count)


def test_weights_by_hand():
    """Angles 0, 3, 5 of 8: gaps 3, 2 and, around the half circle, 3."""
    np.testing.assert_array_equal(angle_weights(3, 8), [3, 0, 0, 2.5, 0, 2.5, 0, 0])
    np.testing.assert_array_equal(angle_weights(1, 8), [8, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(angle_weights(8, 8), np.ones(8))


@pytest.mark.parametrize("method", ["gather", "matmul"])
def test_all_angles_are_the_plain_back_projection(method):
    image = noise(32, 2)
    scan = SparseViewXray(32, method=method)
    beam = scan.beam
    radon, back_project = (
        jax.jit(form, static_argnums=(1, 2)) for form in (xray.radon, xray.filtered_back_projection)
    )
    plain = back_project(radon(image, beam, method), beam, method)
    expected = jnp.clip(plain, 0, 1)
    np.testing.assert_allclose(degraded(scan, 32, image), expected, atol=1e-6)


@pytest.mark.parametrize("count", [64, 32, 16, 8, 4, 2, 1])
def test_divisors_are_scikit_images_scan_from_as_many_angles(count):
    transform = pytest.importorskip("skimage.transform")
    image = shepp_logan(64)
    theta = scan_angles(count)
    sinogram = transform.radon(image, theta, circle=False)
    filled = transform.iradon(sinogram, theta, filter_name="hann", circle=False)
    ours = degraded(SparseViewXray(64), count, image.astype(np.float32)[None])
    np.testing.assert_allclose(ours[0], np.clip(filled, 0, 1), atol=5e-6)


def test_other_numbers_are_scikit_images_angles_with_the_weights():
    transform = pytest.importorskip("skimage.transform")
    image = shepp_logan(32)
    weights = angle_weights(7, 32)
    filled = np.zeros((32, 32))
    for angle in np.flatnonzero(weights):
        theta = scan_angles(32)[angle : angle + 1]
        sinogram = transform.radon(image, theta, circle=False)
        one = transform.iradon(sinogram, theta, filter_name="hann", circle=False)
        filled += weights[angle] / 32 * one
    ours = degraded(SparseViewXray(32), 7, image.astype(np.float32)[None])
    np.testing.assert_allclose(ours[0], np.clip(filled, 0, 1), atol=5e-6)


@pytest.mark.parametrize("size", [64, 128])
def test_quality_falls_with_fewer_angles(size):
    image = shepp_logan(size).astype(np.float32)[None, :, :, None]
    scan = SparseViewXray(size)
    levels = (size // 2, 16, 11, 8, 5)
    out = jax.jit(scan.at_levels)(scan.operators(levels), image, digests(1), KEY)
    assert np.all(np.diff([psnr(image, one)[0] for one in out]) < -0.5)


def test_quality_falls_on_real_chest_x_rays(samples):
    from tests.support.physics_images import chest_xrays

    image = chest_xrays(samples, 128, 4)[..., None]
    scan = SparseViewXray(128)
    operators = scan.operators((64, 45, 32, 16, 8))
    out = jax.jit(scan.at_levels)(operators, image, digests(4), KEY)
    quality = np.stack([psnr(image, one) for one in out])
    assert np.all(np.diff(quality, axis=0) < 0)


def test_intensities_keep_their_units():
    """Half the image gives half the result: nothing is stretched."""
    image = shepp_logan(32).astype(np.float32)[None] / 2
    scan = SparseViewXray(32)
    whole, half = degraded(scan, 12, image), degraded(scan, 12, image / 2)
    np.testing.assert_allclose(half, whole / 2, atol=1e-6)


def test_both_forms_of_the_transforms_agree():
    image = shepp_logan(64).astype(np.float32)[None]
    one, other = (degraded(SparseViewXray(64, method=m), 20, image) for m in ("gather", "matmul"))
    assert relative_error(other, one)[0] < 3e-3


def test_a_finer_grid_of_angles():
    scan = SparseViewXray(32, angles=64)
    assert scan.operator(64)["weights"].shape == (64,)
    image = shepp_logan(32).astype(np.float32)[None]
    coarse = degraded(SparseViewXray(32), 32, image)
    np.testing.assert_allclose(degraded(scan, 32, image), coarse, atol=5e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SparseViewXray(64, angles=30), "30 angles: .* divisible by 4"),
        (lambda: SparseViewXray(64, method="fft"), "method 'fft' must be one of"),
        (lambda: SparseViewXray(64).operator(65), "from 1 to the 64 angles .* had is 64"),
        (lambda: SparseViewXray(64).operator(12.4), "not a whole number .* had is 12"),
        (lambda: SparseViewXray(64).operator(0.3), "the nearest that can be had is 1"),
    ],
)
def test_bad_options_and_levels_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
