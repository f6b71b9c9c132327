"""The matrix-product form against scikit-image and the gather form, which is held to it, and its
derivatives.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics import radon_gather, radon_matmul
from fairrecon_jax.physics.geometry import parallel_beam
from tests.support.physics_images import (
    chest_xrays,
    noise,
    phantom_scan,
    relative_error,
    shepp_logan,
)

exact_radon = jax.jit(radon_gather.radon, static_argnums=1)
exact_back_project = jax.jit(radon_gather.filtered_back_projection, static_argnums=1)


@pytest.mark.parametrize("size", [256, 64])
def test_within_a_thousandth_on_chest_xrays(samples, size):
    beam = parallel_beam(size)
    images = chest_xrays(samples, size, 3)
    sinogram, filled = radon_matmul.radon(images, beam), radon_matmul.filtered_back_projection
    exact = exact_radon(images, beam)
    assert relative_error(sinogram, exact).max() < 1e-3
    assert relative_error(filled(exact, beam), exact_back_project(exact, beam)).max() < 1e-3


@pytest.mark.parametrize("size", [256, 250, 96])
def test_within_a_thousandth_of_scikit_image_on_the_hard_edges_of_the_phantom(size):
    """What is left out is strongest for pixel-sharp edges; the limit is the one that the numbers of
    lines are chosen for.
    """
    beam = parallel_beam(size)
    sinogram, exact = phantom_scan(size, beam.angles)
    found = radon_matmul.radon(shepp_logan(size).astype(np.float32)[None], beam)
    assert relative_error(found, sinogram[None]).max() < 7e-4
    found = radon_matmul.filtered_back_projection(sinogram.astype(np.float32)[None], beam)
    assert relative_error(found, exact[None]).max() < 7e-4


@pytest.mark.parametrize("size", [4, 10, 34])
def test_small_even_sizes(size):
    """White noise on few pixels is the hardest image: percents on the smallest ones."""
    beam = parallel_beam(size)
    images = noise(size, 2)
    sinogram = exact_radon(images, beam)
    assert relative_error(radon_matmul.radon(images, beam), sinogram).max() < 1.5e-2
    filled = exact_back_project(sinogram, beam)
    assert (
        relative_error(radon_matmul.filtered_back_projection(sinogram, beam), filled).max() < 3e-3
    )


def test_float64_after_float32():
    """The tables are float32; the values keep their type, whichever comes first."""
    beam = parallel_beam(32)
    image = noise(32)
    sinogram = radon_matmul.radon(image, beam)
    filled = radon_matmul.filtered_back_projection(sinogram, beam)
    with jax.enable_x64(True):
        sinogram64 = radon_matmul.radon(jnp.asarray(image, jnp.float64), beam)
        filled64 = radon_matmul.filtered_back_projection(sinogram64, beam)
        assert sinogram64.dtype == filled64.dtype == jnp.float64
        assert relative_error(sinogram, sinogram64).max() < 1e-6
        assert relative_error(filled, filled64).max() < 1e-6


@pytest.mark.parametrize("angles", [4, 40])
def test_any_number_of_angles_divisible_by_four(angles):
    beam = parallel_beam(32, angles)
    x, y = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32))
    image = np.exp(-8 * ((x - 0.2) ** 2 + (y + 0.3) ** 2)).astype(np.float32)[None]
    sinogram = exact_radon(image, beam)
    assert relative_error(radon_matmul.radon(image, beam), sinogram).max() < 1e-3
    filled = exact_back_project(sinogram, beam)
    assert (
        relative_error(radon_matmul.filtered_back_projection(sinogram, beam), filled).max() < 1e-3
    )


@pytest.mark.parametrize("name", ["radon", "filtered_back_projection"])
def test_adjoint(name):
    """<A x, y> = <x, A^T y> for random x and y, A^T by reverse-mode differentiation."""
    size = 24
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
def test_more_lines_are_more_exact(name):
    beam = parallel_beam(64)
    value = jnp.asarray(shepp_logan(64), jnp.float32)[None]
    value = value if name == "radon" else exact_radon(value, beam)
    truth = (exact_radon if name == "radon" else exact_back_project)(value, beam)
    errors = [
        relative_error(getattr(radon_matmul, name)(value, beam, count), truth)[0]
        for count in (1, 4, 16)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 3.5e-4


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 0, 1)])
def test_turns_are_cosines_and_sines(order):
    start = np.random.default_rng(0).normal(size=(3, 2, 4, 1))
    frequency = start + np.array([0.0, 0.013, 0.37])[:, None, None, None] * np.arange(5)
    cosine, sine = radon_matmul._phase_tables(frequency.reshape(3, 2, 20)[:, :, :18], 7, 5, order)
    phase = 2 * np.pi * frequency.transpose(order)[..., None] * np.arange(7)
    np.testing.assert_allclose(cosine, np.cos(phase), atol=1e-6)
    np.testing.assert_allclose(sine, np.sin(phase), atol=1e-6)


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


@pytest.mark.parametrize("form", [radon_matmul.radon, radon_matmul.filtered_back_projection])
def test_no_lines_are_refused(form):
    beam = parallel_beam(32)
    shape = (1, 32, 32) if form is radon_matmul.radon else (1, beam.detectors, beam.angles)
    with pytest.raises(ValueError, match="0 lines per angle: at least 1 is needed"):
        form(jnp.zeros(shape), beam, 0)
