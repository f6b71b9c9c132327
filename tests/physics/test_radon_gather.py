"""The gather form against scikit-image, its golden numbers, and geometry that can be worked out by
hand.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics import radon_gather
from fairrecon_jax.physics.geometry import parallel_beam
from tests.support.physics_images import (
    noise,
    phantom_scan,
    relative_error,
    scan_angles,
    shepp_logan,
)

radon = jax.jit(radon_gather.radon, static_argnums=1)
back_project = jax.jit(radon_gather.filtered_back_projection, static_argnums=1)

SCANS = [(256, 256), (250, 252), (128, 128), (96, 96), (64, 64), (64, 12), (10, 4)]


@pytest.mark.parametrize(("size", "angles"), SCANS)
def test_both_transforms_match_scikit_image(size, angles):
    transform = pytest.importorskip("skimage.transform")
    beam = parallel_beam(size, angles)
    images, scans = [shepp_logan(size)], [phantom_scan(size, angles)]
    if size < 200:  # white noise exercises every corner; at full size one image is enough
        image, theta = noise(size)[0], scan_angles(angles)
        sinogram = transform.radon(image.astype(float), theta, circle=False)
        filled = transform.iradon(sinogram, theta, filter_name="hann", circle=False)
        images, scans = [*images, image], [*scans, (sinogram, filled)]
    truth, filled = (np.stack(one) for one in zip(*scans, strict=True))
    found = radon(np.stack(images).astype(np.float32), beam)
    assert relative_error(found, truth).max() < 1e-6
    assert relative_error(back_project(truth.astype(np.float32), beam), filled).max() < 1e-6


def test_golden_numbers_of_the_phantom():
    image = shepp_logan(64).astype(np.float32)[None]
    beam = parallel_beam(64)
    sinogram = np.asarray(radon(image, beam), np.float64)
    filled = np.asarray(back_project(sinogram.astype(np.float32), beam), np.float64)
    assert sinogram.sum() == pytest.approx(33071.404, rel=1e-6)
    assert sinogram.max() == pytest.approx(16.6542, abs=1e-4)
    assert filled.sum() == pytest.approx(516.603, rel=1e-5)
    assert filled.max() == pytest.approx(0.72627, abs=1e-5)


def test_float64_is_exact():
    transform = pytest.importorskip("skimage.transform")
    image = noise(24).astype(np.float64)
    with jax.enable_x64(True):
        beam = parallel_beam(24, 20)
        sinogram = np.asarray(radon(jnp.asarray(image), beam))
        filled = np.asarray(back_project(jnp.asarray(sinogram), beam))
    truth = transform.radon(image[0], scan_angles(20), circle=False)
    np.testing.assert_allclose(sinogram[0], truth, atol=1e-10)
    np.testing.assert_allclose(
        filled[0],
        transform.iradon(truth, scan_angles(20), filter_name="hann", circle=False),
        atol=1e-10,
    )


def test_axis_aligned_rays_are_plain_sums():
    image = noise(32)
    beam = parallel_beam(32)
    sinogram = np.asarray(radon(image, beam))[0]
    start = beam.centre - 16
    np.testing.assert_allclose(sinogram[start : start + 32, 0], image[0].sum(axis=0), rtol=1e-5)
    turned = sinogram[:, 2 * beam.eighth]  # at 90 degrees r = -y
    np.testing.assert_allclose(
        turned[beam.centre + 16 : beam.centre - 16 : -1], image[0].sum(axis=1), rtol=1e-5
    )


def test_a_point_draws_a_sinusoid():
    beam = parallel_beam(64)
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 32 - 10, 32 + 20] = 1  # x = 20, y = -10
    sinogram = np.asarray(radon(image, beam))[0]
    r = np.arange(beam.detectors) - beam.centre
    centre_of_mass = (r[:, None] * sinogram).sum(axis=0) / sinogram.sum(axis=0)
    angle = np.deg2rad(scan_angles(64))
    np.testing.assert_allclose(centre_of_mass, 20 * np.cos(angle) + 10 * np.sin(angle), atol=0.3)


def test_linear_and_blind_to_the_company_in_the_batch():
    beam = parallel_beam(16)
    images = noise(16, 11)
    together = radon(images, beam)
    np.testing.assert_allclose(radon(images[:1], beam)[0], together[0], rtol=1e-6)
    np.testing.assert_allclose(radon(images[::-1], beam)[::-1], together, rtol=1e-6)
    np.testing.assert_allclose(
        radon(images[:1] + 2 * images[1:2], beam)[0], together[0] + 2 * together[1], rtol=1e-5
    )
    filled = back_project(together, beam)
    np.testing.assert_allclose(back_project(together[10:], beam)[0], filled[10], atol=1e-6)


@pytest.mark.parametrize("form", [radon_gather.radon, radon_gather.filtered_back_projection])
def test_wrong_shapes_are_refused(form):
    with pytest.raises(ValueError, match=r"shape \(1, 30, 32\), expected"):
        form(jnp.zeros((1, 30, 32)), parallel_beam(32))
