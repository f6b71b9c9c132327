"""Radon transform and filtered back-projection by Fourier transforms and matrix products alone: fast derivatives, fast accelerators.

Fourier-slice theorem without gridding. For an angle a in 0..45 degrees every row y of the image is Fourier-transformed along x to the
frequencies kx = j / M. The slice through the spectrum at radial frequency k = kx / cos(a) meets each row's transform exactly at kx, with
the phase 2 pi kx tan(a) y: one matrix product over y per kx. A second product, over kx per angle, takes the slice to the detectors.
Back-projection runs the same two products the other way.

The bilinear interpolation of the gather form is a factor sinc^2 in frequency, and frequencies above 1/2 carry what it lets through. What
its sampling folds over along the ray is left out: the form's error. Even and odd parts in y and r keep all products real.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.physics.geometry import ParallelBeam, filter_projections, map_chunks, order_angles, split_angles

CHUNK = 32
"""Images worked on together; their columns share the tables."""

RADON_HIGHEST = 1.0
BACK_PROJECTION_HIGHEST = 1.5
"""Largest kx in cycles per pixel: more is more exact and slower in proportion."""

_MARGIN = 8
"""Detectors added on either side of the filtered projections, whose hard end would ring into the image."""

_product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


class Phases(NamedTuple):
    """Cosines and sines for J frequencies, A = eighth + 1 angles, Y = N / 2 + 1 rows and R detectors r = 0, 1, ..."""

    row_cosine: jax.Array  # [J, A, Y] of 2 pi kx tan(a) y
    row_sine: jax.Array
    ray_cosine: jax.Array  # [A, J, R] of 2 pi kx r / cos(a)
    ray_sine: jax.Array


@functools.partial(jax.jit, static_argnames=("beam", "highest"))
def radon(image: jax.Array, beam: ParallelBeam, highest: float = RADON_HIGHEST) -> jax.Array:
    """Line integrals of an image.

    p(r, a) = sum over kx of w sinc^2(kx) sinc^2(ky) F(kx, ky) exp(2 pi i k r), ky = -kx tan(a), k = kx / cos(a).

    Args:
      image: [B, N, N] floating point.
      beam: the geometry.
      highest: largest kx in cycles per pixel, at least 0.5 and at most 1.

    Returns:
      Sinogram [B, detectors, angles], within 1e-3 (relative L2) of `radon_gather.radon` for chest X-rays of 64 pixels and more.

    Raises:
      ValueError: the image does not fit the geometry.
    """
    beam.check_image(image)
    count = round(highest * _period(beam))
    phases = _phases(beam, count, beam.centre + 1)
    return map_chunks(lambda chunk: _radon_chunk(chunk, beam, phases, count), image, CHUNK)


@functools.partial(jax.jit, static_argnames=("beam", "highest"))
def filtered_back_projection(sinogram: jax.Array, beam: ParallelBeam, highest: float = BACK_PROJECTION_HIGHEST) -> jax.Array:
    """Hann-filtered back-projection.

    f(x, y) = pi / (2 angles) * sum over a, kx of w sinc^2(k) Q(k, a) exp(2 pi i kx (x - tan(a) y)), Q the filtered projections' spectrum.

    Args:
      sinogram: [B, detectors, angles] floating point.
      beam: the geometry.
      highest: largest kx in cycles per pixel, at least 0.5.

    Returns:
      Image [B, N, N], within 1e-3 (relative L2) of `radon_gather.filtered_back_projection` for chest X-rays of 64 pixels and more.

    Raises:
      ValueError: the sinogram does not fit the geometry.
    """
    beam.check_sinogram(sinogram)
    count = round(highest * _period(beam))
    phases = _phases(beam, count, beam.centre + _MARGIN + 1)
    return map_chunks(lambda chunk: _back_project_chunk(chunk, beam, phases, count), sinogram, CHUNK)


def _period(beam: ParallelBeam) -> int:
    """M, the number of pixels after which rows repeat: twice the image and the margin of rays at 45 degrees."""
    return 2 * beam.size + 4 * _MARGIN


def _frequencies(beam: ParallelBeam, count: int) -> tuple[np.ndarray, np.ndarray]:
    """kx [J] and k = kx / cos(a) [A, J] in cycles per pixel."""
    kx = np.arange(count) / _period(beam)
    return kx, kx[None, :] / np.cos(beam.first_eighth)[:, None]


def _weights(beam: ParallelBeam, count: int, blur: np.ndarray) -> np.ndarray:
    """Blur [A, J] times the weights of the integral over k, 2 dkx / cos(a) and half of it at 0.

    At 0 degrees rays hit pixel centres: nothing is interpolated, and the band ends at the Nyquist frequency.
    """
    kx, _ = _frequencies(beam, count)
    weight = np.where(kx == 0, 1, 2) * blur / (_period(beam) * np.cos(beam.first_eighth)[:, None])
    weight[0] = np.where(kx == 0, 1, 1 + np.sign(0.5 - kx)) / _period(beam)
    return weight


def _phases(beam: ParallelBeam, count: int, detectors: int) -> Phases:
    angle = beam.first_eighth
    rows = _turns(np.tan(angle) / _period(beam), count, beam.size // 2 + 1)
    rays = _turns(1 / (np.cos(angle) * _period(beam)), count, detectors)
    return Phases(rows[0].transpose(1, 0, 2), rows[1].transpose(1, 0, 2), *rays)


def _turns(step: np.ndarray, count: int, places: int) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine [A, J, P] of 2 pi step j p, by the addition theorem from two short tables; the long one is made on the device.

    The barrier keeps the compiler from working the product out while compiling.
    """
    stride = math.ceil(math.sqrt(count))
    place = np.arange(places)[None, None, :]

    def table(indices: np.ndarray) -> tuple[jax.Array, jax.Array]:
        phase = 2 * np.pi * np.modf(step[:, None, None] * indices[None, :, None] * place)[0]
        return jax.lax.optimization_barrier((jnp.asarray(np.cos(phase), jnp.float32), jnp.asarray(np.sin(phase), jnp.float32)))

    near_cosine, near_sine = (part[:, None] for part in table(np.arange(stride)))
    far_cosine, far_sine = (part[:, :, None] for part in table(np.arange(0, count, stride)))
    cosine = far_cosine * near_cosine - far_sine * near_sine
    sine = far_sine * near_cosine + far_cosine * near_sine
    shape = (len(step), -1, places)
    return cosine.reshape(shape)[:, :count], sine.reshape(shape)[:, :count]


def _radon_chunk(image: jax.Array, beam: ParallelBeam, phases: Phases, count: int) -> jax.Array:
    batch, half = image.shape[0], 2 * image.shape[0]
    spectrum = _row_spectrum(image, beam, count).reshape(2, count, -1, 2 * half)
    even, odd = _product(phases.row_cosine, spectrum[0]), _product(phases.row_sine, spectrum[1])
    even_real, even_imag, odd_real, odd_imag = even[..., :half], even[..., half:], odd[..., :half], odd[..., half:]
    kx, _ = _frequencies(beam, count)
    blur = (np.sinc(kx) * np.sinc(kx * np.tan(beam.first_eighth)[:, None])) ** 2
    weight = jnp.asarray(_weights(beam, count, blur), image.dtype)[:, :, None]
    real = jnp.concatenate([even_real - odd_imag, even_real + odd_imag], axis=-1).transpose(1, 0, 2) * weight
    imag = jnp.concatenate([even_imag + odd_real, even_imag - odd_real], axis=-1).transpose(1, 0, 2) * weight
    along = _product(phases.ray_cosine.transpose(0, 2, 1), real)  # [A, centre + 1, (+a, -a) x orientation x B]
    against = _product(phases.ray_sine.transpose(0, 2, 1), imag)
    rays = jnp.concatenate([(along + against)[:, :0:-1], along - against], axis=1)
    rays = rays.reshape(*rays.shape[:2], 2, 2, batch)
    copies = [rays[:, :, 0, 0], rays[:, :, 0, 1], rays[:, ::-1, 1, 1], rays[:, :, 1, 0]]
    return order_angles(jnp.stack(copies, axis=2), beam)


def _row_spectrum(image: jax.Array, beam: ParallelBeam, count: int) -> jax.Array:
    """Fourier transforms of the rows of an image and its transpose, even and odd in y: [2 parity, J, Y, 2 (re, im), 2 orientation, B]."""
    middle = beam.size // 2
    closed = jnp.pad(image, ((0, 0), (0, 1), (0, 1)))  # pixels -N/2..N/2
    both = jnp.stack([closed, closed.transpose(0, 2, 1)])
    below, above = both[:, :, middle:], both[:, :, middle::-1]
    rows = jnp.stack([(below + above).at[:, :, 0].multiply(0.5), below - above])
    gap = jnp.zeros((*rows.shape[:-1], _period(beam) - beam.size - 1), rows.dtype)
    spectrum = jnp.fft.fft(jnp.concatenate([rows[..., middle:], gap, rows[..., :middle]], axis=-1), axis=-1)
    ordered = spectrum[..., :count].transpose(0, 4, 3, 1, 2)
    return jnp.stack([ordered.real, ordered.imag], axis=3)


def _back_project_chunk(sinogram: jax.Array, beam: ParallelBeam, phases: Phases, count: int) -> jax.Array:
    batch, half = sinogram.shape[0], 2 * sinogram.shape[0]
    filtered = filter_projections(sinogram, beam, beam.centre + _MARGIN)
    ahead, behind = _halves(filtered, beam)
    _, k = _frequencies(beam, count)
    weight = jnp.asarray(_weights(beam, count, np.sinc(k) ** 2) * np.pi / (2 * beam.angles), sinogram.dtype)[:, :, None]
    real = (_product(phases.ray_cosine, ahead + behind) * weight).transpose(1, 0, 2)  # [J, A, (+a, -a) x orientation x B]
    imag = (_product(phases.ray_sine, behind - ahead) * weight).transpose(1, 0, 2)
    plus_real, minus_real, plus_imag, minus_imag = real[..., :half], real[..., half:], imag[..., :half], imag[..., half:]
    even = jnp.concatenate([plus_real + minus_real, plus_imag + minus_imag], axis=-1)
    odd = jnp.concatenate([plus_imag - minus_imag, minus_real - plus_real], axis=-1)
    even = _product(phases.row_cosine.transpose(0, 2, 1), even)  # [J, Y, (re, im) x orientation x B]
    odd = _product(phases.row_sine.transpose(0, 2, 1), odd)
    rows = jnp.concatenate([(even - odd)[:, :0:-1], even + odd], axis=1)
    spectrum = jax.lax.complex(rows[..., :half], rows[..., half:]).transpose(2, 1, 0)
    images = _from_row_spectrum(spectrum, beam).reshape(2, batch, beam.size + 1, beam.size + 1)
    return _without_margin((images[0] + images[1].transpose(0, 2, 1))[:, : beam.size, : beam.size], filtered, beam)


def _without_margin(image: jax.Array, filtered: jax.Array, beam: ParallelBeam) -> jax.Array:
    """Takes back what the margin added to the few pixels in the corners that some angles see beyond the last detector."""
    row, column, angle, place = _beyond_detectors(beam)
    below = np.floor(place).astype(int)
    share = jnp.asarray(place - below, filtered.dtype)[None]
    excess = (1 - share) * filtered[:, angle, below] + share * filtered[:, angle, below + 1]
    return image.at[:, row, column].add(excess * (-np.pi / (2 * beam.angles)))


@functools.lru_cache(maxsize=4)
def _beyond_detectors(beam: ParallelBeam) -> tuple[np.ndarray, ...]:
    """Row, column, angle and place on the margined detectors of rays through border pixels that no detector sees: four of [K]."""
    side = np.arange(beam.size)
    row, column = np.meshgrid(side, side, indexing="ij")
    border = (np.minimum(row, column) == 0) | (np.maximum(row, column) == beam.size - 1)
    row, column = row[border], column[border]
    angle = np.arange(beam.angles)[:, None] * np.pi / beam.angles
    middle = beam.size // 2
    r = (column - middle) * np.cos(angle) - (row - middle) * np.sin(angle)
    which, pixel = np.nonzero((r > beam.detectors - 1 - beam.centre) | (r < -beam.centre))
    return row[pixel], column[pixel], which, r[which, pixel] + beam.centre + _MARGIN


def _halves(filtered: jax.Array, beam: ParallelBeam) -> tuple[jax.Array, jax.Array]:
    """Filtered projections at r = 0, 1, ... and at r = 0, -1, ..., r = 0 shared: two of [A, R, (+a, -a) x orientation x B]."""
    reach = beam.centre + _MARGIN
    quarters = split_angles(filtered, beam)
    first, *others = (quarters[:, :, quarter] for quarter in range(4))
    second, third, fourth = (other[:, ::-1] for other in others)
    copies = jnp.concatenate([first, second, fourth, third], axis=-1).at[:, reach].multiply(0.5)
    return copies[:, reach:], copies[:, reach::-1]


def _from_row_spectrum(spectrum: jax.Array, beam: ParallelBeam) -> jax.Array:
    """Real part of sum over j of Z_j exp(2 pi i j x / M) at the pixels x = -N/2..N/2: [C, Y, J] to [C, Y, N + 1]."""
    period, middle = _period(beam), beam.size // 2
    laps = math.ceil(spectrum.shape[-1] / period)
    padded = jnp.pad(spectrum, ((0, 0), (0, 0), (0, laps * period - spectrum.shape[-1])))
    folded = padded.reshape(*spectrum.shape[:2], laps, period).sum(axis=2)
    rows = jnp.fft.ifft(folded, axis=-1).real * period
    return jnp.concatenate([rows[..., period - middle :], rows[..., : middle + 1]], axis=-1)
