"""Sizes of the scan, the filter, the order of angles and the cutting into chunks."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics import geometry
from fairrecon_jax.physics.geometry import ParallelBeam, parallel_beam
from tests.support.physics_images import noise, scan_angles


@pytest.mark.parametrize(
    ("size", "angles", "detectors"),
    [(256, 256, 363), (64, 64, 91), (96, 96, 136), (128, 128, 182), (250, 252, 354)],
)
def test_default_scan(size, angles, detectors):
    beam = parallel_beam(size)
    assert (beam.angles, beam.detectors, beam.centre) == (angles, detectors, detectors // 2)


@pytest.mark.parametrize("size", range(4, 600, 2))
def test_detectors_cover_the_diagonal(size):
    assert parallel_beam(size).detectors == math.ceil(math.sqrt(2) * size)


@pytest.mark.parametrize("size", [10, 64, 96, 256])
def test_scikit_image_agrees_on_the_shape(size):
    radon = pytest.importorskip("skimage.transform").radon
    assert (
        radon(noise(size)[0], [0.0, 45.0], circle=False).shape[0] == parallel_beam(size).detectors
    )


def test_geometry_is_hashable_and_frozen():
    assert hash(parallel_beam(64)) == hash(ParallelBeam(64, 64))
    with pytest.raises(dataclasses.FrozenInstanceError):
        parallel_beam(64).size = 32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parallel_beam(65), "image size 65 must be an even number"),
        (lambda: parallel_beam(2), "at least 4 pixels"),
        (lambda: parallel_beam(64, 50), "50 angles: .* divisible by 4"),
        (lambda: ParallelBeam(64, 0), "0 angles"),
        (
            lambda: parallel_beam(64).check_image(jnp.zeros((64, 64))),
            r"shape \(64, 64\), expected \[B, 64, 64\]",
        ),
        (
            lambda: parallel_beam(64).check_sinogram(jnp.zeros((1, 90, 64))),
            r"expected \[B, 91, 64\]",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_first_eighth_ends_at_45_degrees():
    beam = parallel_beam(64, 12)
    np.testing.assert_allclose(np.rad2deg(beam.first_eighth), [0, 15, 30, 45])


@pytest.mark.parametrize("detectors", [15, 91, 136, 363])
def test_filter_is_the_even_part_of_scikit_images(detectors):
    skimage = pytest.importorskip("skimage.transform.radon_transform")
    length = geometry.padded_length(detectors)
    theirs = skimage._get_fourier_filter(length, "hann")[:, 0]
    even = (theirs + np.roll(theirs[::-1], 1)) / 2
    np.testing.assert_allclose(geometry.hann_ramp(detectors), even[: length // 2 + 1], atol=1e-12)


@pytest.mark.parametrize(
    ("detectors", "length"), [(15, 64), (32, 64), (33, 128), (363, 1024), (512, 1024)]
)
def test_padded_length_is_a_power_of_two_of_twice_the_detectors(detectors, length):
    assert geometry.padded_length(detectors) == length


@pytest.mark.parametrize("size", [10, 12])
def test_filter_reaches_beyond_the_detectors(size):
    beam = parallel_beam(size, 8)
    sinogram = jnp.asarray(np.random.default_rng(0).random((2, beam.detectors, 8), np.float32))
    plain = geometry.filter_projections(sinogram, beam)
    wide = geometry.filter_projections(sinogram, beam, beam.centre + 3)
    assert wide.shape == (2, 8, 2 * (beam.centre + 3) + 1)
    np.testing.assert_allclose(wide[..., 3 : 3 + beam.detectors], plain, atol=1e-6)
    padded = np.pad(np.asarray(sinogram), ((0, 0), (3, 4), (0, 0)))
    kernel = np.fft.irfft(geometry.hann_ramp(beam.detectors))
    rows = np.arange(2 * (beam.centre + 3) + 1)
    toeplitz = kernel[np.abs(rows[:, None] - np.arange(padded.shape[1])[None, :])]
    np.testing.assert_allclose(wide, np.einsum("rd,bda->bar", toeplitz, padded), atol=1e-5)


@pytest.mark.parametrize("angles", [4, 8, 12, 64])
def test_splitting_angles_keeps_each_once(angles):
    beam = parallel_beam(8, angles)
    by_angle = np.broadcast_to(1 + scan_angles(angles), (1, beam.detectors, angles)).astype(
        np.float32
    )
    quarters = np.asarray(geometry.split_angles(jnp.asarray(by_angle.transpose(0, 2, 1)), beam))
    values = quarters[:, 0, :, 0]
    np.testing.assert_allclose(np.sort(values[values > 0]), 1 + scan_angles(angles), rtol=1e-6)
    base = np.rad2deg(beam.first_eighth)
    for column, angle in enumerate((base, 90 - base, 90 + base, 180 - base)):
        present = values[:, column] > 0
        np.testing.assert_allclose(values[present, column], 1 + angle[present], rtol=1e-6)


@pytest.mark.parametrize("angles", [4, 8, 12])
def test_ordering_angles_inverts_splitting(angles):
    beam = parallel_beam(8, angles)
    base = np.rad2deg(beam.first_eighth)
    rays = np.stack([base, 90 - base, 90 + base, 180 - base], axis=1)
    rays = np.broadcast_to(rays[:, None, :, None], (len(base), 2 * beam.centre + 1, 4, 2))
    sinogram = geometry.order_angles(jnp.asarray(rays, jnp.float32), beam)
    assert sinogram.shape == (2, beam.detectors, angles)
    np.testing.assert_allclose(sinogram[1, 3], scan_angles(angles), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 17, 24])
def test_chunks_do_not_show(count):
    batch = jnp.arange(count * 3, dtype=jnp.float32).reshape(count, 3)
    seen = []

    def double(chunk):
        seen.append(chunk.shape[0])
        return chunk[:, :2] * 2

    np.testing.assert_array_equal(geometry.map_chunks(double, batch), batch[:, :2] * 2)
    assert max(seen) <= geometry.CHUNK
