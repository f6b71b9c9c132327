"""The matrix-product form against the gather form, which is held to scikit-image, and its derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_images import chest_xrays, relative_error, shepp_logan

from fairrecon_jax.physics import radon_gather, radon_matmul
from fairrecon_jax.physics.geometry import parallel_beam


def transforms(module, beam):
    return jax.jit(lambda image: module.radon(image, beam)), jax.jit(lambda sinogram: module.filtered_back_projection(sinogram, beam))


@pytest.mark.parametrize("size", [256, 250, 128, 96, 64])
def test_within_a_thousandth_on_chest_xrays(samples, size):
    beam = parallel_beam(size)
    images = chest_xrays(samples, size, 3)
    (radon, back_project), (exact_radon, exact_back_project) = transforms(radon_matmul, beam), transforms(radon_gather, beam)
    sinogram = exact_radon(images)
    assert relative_error(radon(images), sinogram).max() < 1e-3
    assert relative_error(back_project(sinogram), exact_back_project(sinogram)).max() < 1e-3


def test_close_on_the_hard_edges_of_the_phantom():
    """An image of pixel-sharp edges puts more into the folded frequencies that this form leaves out."""
    beam = parallel_beam(128)
    image = shepp_logan(128).astype(np.float32)[None]
    (radon, back_project), (exact_radon, exact_back_project) = transforms(radon_matmul, beam), transforms(radon_gather, beam)
    sinogram = exact_radon(image)
    assert relative_error(radon(image), sinogram).max() < 2.5e-3
    assert relative_error(back_project(sinogram), exact_back_project(sinogram)).max() < 3e-3


@pytest.mark.parametrize("angles", [4, 12, 40])
def test_any_number_of_angles_divisible_by_four(angles):
    beam = parallel_beam(32, angles)
    x, y = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32))
    image = np.exp(-8 * ((x - 0.2) ** 2 + (y + 0.3) ** 2)).astype(np.float32)[None]
    sinogram = radon_gather.radon(image, beam)
    assert relative_error(radon_matmul.radon(image, beam), sinogram).max() < 1e-3
    filled = radon_gather.filtered_back_projection(sinogram, beam)
    assert relative_error(radon_matmul.filtered_back_projection(sinogram, beam), filled).max() < 1e-3


@pytest.mark.parametrize("size", [16, 24])
@pytest.mark.parametrize("name", ["radon", "filtered_back_projection"])
def test_adjoint(size, name):
    """<A x, y> = <x, A^T y> for random x and y, A^T by reverse-mode differentiation."""
    beam = parallel_beam(size)
    function = getattr(radon_matmul, name)
    shape = (2, size, size) if name == "radon" else (2, beam.detectors, beam.angles)
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    image, transpose = jax.vjp(lambda value: function(value, beam), x)
    y = jnp.asarray(np.random.default_rng(1).normal(size=image.shape), jnp.float32)
    forward, backward = float(jnp.vdot(image, y)), float(jnp.vdot(x, transpose(y)[0]))
    scale = float(jnp.linalg.norm(image) * jnp.linalg.norm(y))
    assert abs(forward - backward) < 1e-6 * scale
    assert abs(forward) > 1e-5 * scale


@pytest.mark.parametrize("name", ["radon", "filtered_back_projection"])
def test_more_frequencies_are_more_exact(name):
    beam = parallel_beam(64)
    value = jnp.asarray(shepp_logan(64), jnp.float32)[None]
    value = value if name == "radon" else radon_gather.radon(value, beam)
    truth = getattr(radon_gather, name)(value, beam)
    errors = [relative_error(getattr(radon_matmul, name)(value, beam, highest), truth)[0] for highest in (0.5, 0.75, 1.0)]
    assert errors[0] > errors[1] > errors[2]


def test_turns_are_cosines_and_sines():
    step = np.array([0.0, 0.013, 0.37])
    cosine, sine = radon_matmul._turns(step, 23, 5)
    phase = 2 * np.pi * step[:, None, None] * np.arange(23)[None, :, None] * np.arange(5)[None, None, :]
    np.testing.assert_allclose(cosine, np.cos(phase), atol=5e-7)
    np.testing.assert_allclose(sine, np.sin(phase), atol=5e-7)


@pytest.mark.parametrize("size", [64, 96, 128, 256])
def test_rays_beyond_the_detectors_are_those_of_the_whole_image(size):
    beam = parallel_beam(size)
    row, column, angle, place = radon_matmul._beyond_detectors(beam)
    side = np.arange(size) - size // 2
    theta = np.arange(beam.angles)[:, None, None] * np.pi / beam.angles
    r = side[None, None, :] * np.cos(theta) - side[None, :, None] * np.sin(theta)
    outside = np.argwhere((r > beam.detectors - 1 - beam.centre) | (r < -beam.centre))
    assert {tuple(entry) for entry in outside} == set(zip(angle, row, column))
    np.testing.assert_allclose(place - beam.centre - radon_matmul._MARGIN, r[angle, row, column])


@pytest.mark.parametrize("form", [radon_matmul.radon, radon_matmul.filtered_back_projection])
def test_wrong_shapes_are_refused(form):
    with pytest.raises(ValueError, match=r"shape \(1, 30, 32\), expected"):
        form(jnp.zeros((1, 30, 32)), parallel_beam(32))
