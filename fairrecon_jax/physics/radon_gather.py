"""Radon transform and filtered back-projection by interpolation, sharing every index between four
symmetric copies of the image.

Both agree with scikit-image's `radon(circle=False)` and `iradon(filter_name="hann")` to float32
rounding. Only angles of the first eighth of the circle are visited; the copies of all images of a
chunk lie side by side in the last axis, so that one index computed serves 4 B contiguous values.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.physics.geometry import (
    ParallelBeam,
    filter_projections,
    map_chunks,
    order_angles,
    split_angles,
)

_MARGIN = 2
"""Zeros around the image, so that clipped coordinates read 0."""

_ANGLES = 13
"""Angles projected together: their sums stay in the CPU's cache while the rays are walked step by
step.
"""

_EXACT = 4096
"""Coarse cosines are multiples of 1 / 4096: 12 bits, which leaves 12 of float32's 24 for the pixel
number.
"""


@functools.partial(jax.jit, static_argnames="beam")
def radon(image: jax.Array, beam: ParallelBeam) -> jax.Array:
    """Line integrals of an image.

    p(r, theta) = sum over l of the bilinear sample f(x = c r + s l, y = -s r + c l), l over the
    detectors' range, f = 0 outside the image.

    Args:
      image: [B, N, N] floating point.
      beam: the geometry.

    Returns:
      Sinogram [B, detectors, angles] in the units of the image times pixels.

    Raises:
      ValueError: the image does not fit the geometry.

    Reference: scikit-image 0.26, `skimage.transform.radon(circle=False)`.
    """
    beam.check_image(image)
    return map_chunks(functools.partial(_radon_chunk, beam=beam), image)


@functools.partial(jax.jit, static_argnames="beam")
def filtered_back_projection(sinogram: jax.Array, beam: ParallelBeam) -> jax.Array:
    """Hann-filtered back-projection.

    f(x, y) = pi / (2 angles) * sum over theta of q(x c - y s, theta), q the filtered sinogram,
    linearly interpolated, 0 off the detector.

    Args:
      sinogram: [B, detectors, angles] floating point.
      beam: the geometry.

    Returns:
      Image [B, N, N].

    Raises:
      ValueError: the sinogram does not fit the geometry.

    Reference: scikit-image 0.26, `skimage.transform.iradon(filter_name="hann", circle=False)`.
    """
    beam.check_sinogram(sinogram)
    return map_chunks(
        functools.partial(_back_project_chunk, beam=beam), filter_projections(sinogram, beam)
    )


def _sine_cosine(beam: ParallelBeam) -> np.ndarray:
    """Cosine and sine of the angles of the first eighth, float64 [eighth + 1, 2]."""
    return np.stack([np.cos(beam.first_eighth), np.sin(beam.first_eighth)], axis=1)


def _steps(beam: ParallelBeam) -> np.ndarray:
    """Places along a ray in runs of equal length: sums of sums lose fewer digits. The last run is
    filled up with places off the image.
    """
    places = np.arange(-beam.centre, beam.detectors - beam.centre)
    length = math.isqrt(beam.detectors)
    # At 8 N one coordinate at least is off the image: max(c, s) >= 0.7.
    return np.pad(places, (0, -len(places) % length), constant_values=8 * beam.size).reshape(
        -1, length
    )


def _radon_chunk(image: jax.Array, beam: ParallelBeam) -> jax.Array:
    batch = image.shape[0]
    reach = beam.size // 2 + _MARGIN
    width = 2 * reach + 1
    # Pixels -N/2..N/2 and the margin: symmetric about the axis, so reversals stay on the grid.
    upright = jnp.pad(image, ((0, 0), (_MARGIN, _MARGIN + 1), (_MARGIN, _MARGIN + 1)))
    turned = upright.transpose(0, 2, 1)
    # The order that `order_angles` expects.
    copies = jnp.stack([upright, turned, turned[:, :, ::-1], upright[:, ::-1]], axis=-1)
    # [B, H, W, 4] -> [H W, 4 B]: one index fetches a contiguous row.
    pixels = copies.transpose(1, 2, 3, 0).reshape(width * width, 4 * batch)
    # Symmetric even where the detectors are not: reflected copies read them in reverse.
    detector = jnp.arange(-beam.centre, beam.centre + 1, dtype=image.dtype)[None]
    steps = jnp.asarray(_steps(beam), image.dtype)

    def project(directions: jax.Array) -> jax.Array:
        c, s = directions[:, :1], directions[:, 1:]

        def add(total: jax.Array, step: jax.Array) -> tuple[jax.Array, None]:
            # Off the image the clipped place lies in the margin of zeros; 1.001 leaves a right
            # neighbour.
            column = jnp.clip(c * detector + s * step + reach, 0, width - 1.001)
            row = jnp.clip(c * step - s * detector + reach, 0, width - 1.001)
            left, top = jnp.floor(column), jnp.floor(row)
            along, down = (column - left)[..., None], (row - top)[..., None]
            # Whole numbers, exact in float32 below 2^24: images up to 4,000 pixels.
            corner = (top * width + left).astype(jnp.int32)

            def at(offset: int) -> jax.Array:
                # The indices are clipped already: no check of bounds per sample.
                return pixels.at[corner + offset].get(mode="promise_in_bounds")

            upper = (1 - along) * at(0) + along * at(1)
            lower = (1 - along) * at(width) + along * at(width + 1)
            return total + ((1 - down) * upper + down * lower), None

        def add_run(total: jax.Array, run: jax.Array) -> tuple[jax.Array, None]:
            return total + jax.lax.scan(add, jnp.zeros_like(total), run)[0], None

        start = jnp.zeros((directions.shape[0], 2 * beam.centre + 1, 4 * batch), image.dtype)
        # Scanned, not vmapped: all steps at once would need [angles, detectors, steps, 4 B].
        return jax.lax.scan(add_run, start, steps)[0]

    directions = jnp.asarray(_sine_cosine(beam), image.dtype)
    rays = map_chunks(project, directions, _ANGLES)
    return order_angles(rays.reshape(beam.eighth + 1, 2 * beam.centre + 1, 4, batch), beam)


def _back_project_chunk(filtered: jax.Array, beam: ParallelBeam) -> jax.Array:
    batch = filtered.shape[0]
    # One row and column too many: the grid -N/2..N/2 maps to itself under every reflection.
    side = beam.size + 1
    projections = split_angles(filtered, beam).reshape(beam.eighth + 1, beam.detectors, 4 * batch)
    # Zeros to read off the detectors.
    padded = jnp.pad(projections, ((0, 0), (1, 1), (0, 0)))
    direction = _sine_cosine(beam)
    # Split in float64, so that only the small rest is rounded to float32.
    coarse = np.round(direction * _EXACT) / _EXACT
    parts = jnp.asarray(np.stack([coarse, direction - coarse], axis=1), filtered.dtype)

    def add(total: jax.Array, item: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        projection, part = item
        index, share = _detector_position(part, beam)
        low = projection.at[index].get(mode="promise_in_bounds")
        high = projection.at[index + 1].get(mode="promise_in_bounds")
        return total + (1 - share[..., None]) * low + share[..., None] * high, None

    start = jnp.zeros((side, side, 4 * batch), filtered.dtype)
    total, _ = jax.lax.scan(add, start, (padded, parts))
    upright, across, quarter, mirrored = jnp.moveaxis(total.reshape(side, side, 4, batch), 2, 0)
    # The four quarters of the angles, each turned back to the image's orientation.
    image = upright + mirrored[:, ::-1] + (across[::-1, ::-1] + quarter[:, ::-1]).transpose(1, 0, 2)
    return image[: beam.size, : beam.size].transpose(2, 0, 1) * (np.pi / (2 * beam.angles))


def _detector_position(part: jax.Array, beam: ParallelBeam) -> tuple[jax.Array, jax.Array]:
    """Where the ray through each pixel of the symmetric grid -N/2..N/2 meets the detectors.

    The cosine and sine come as a coarse part, whose products with pixel numbers float32 holds
    exactly, and a fine rest. So the fraction between two detectors keeps its digits: computed
    plainly it costs 1e-6 of the image.

    Args:
      part: [2 (coarse, fine), 2 (cosine, sine)].
      beam: the geometry.

    Returns:
      Index of the lower neighbour in projections padded by one 0 on each side, int32 [N + 1, N +
        1], 0 off the detectors; and the share of the upper neighbour in [0, 1).
    """
    offset = jnp.arange(-(beam.size // 2), beam.size // 2 + 1, dtype=part.dtype)
    coarse, fine = (c * offset[None, :] - s * offset[:, None] for c, s in part)
    whole = jnp.floor(coarse)
    # The rest may pass the next detector, hence the carry.
    rest = (coarse - whole) + fine
    carry = jnp.floor(rest)
    below, share = whole + carry + beam.centre, rest - carry
    # A ray that hits the last detector exactly needs no upper neighbour.
    inside = (below >= 0) & (below + (share > 0) <= beam.detectors - 1)
    return jnp.where(inside, below + 1, 0).astype(jnp.int32), jnp.where(inside, share, 0)
