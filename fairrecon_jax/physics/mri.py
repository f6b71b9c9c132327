"""Radially undersampled single-coil MRI: Fourier transform, ray mask, zero-filled image.

A fully sampled image x becomes z = F^-1 (M F x) with the centred orthonormal Fourier transform F
and a binary mask M of rays through the centre of k-space. The acceleration of a mask is what it
achieves: pixels of k-space divided by pixels sampled.
"""

from __future__ import annotations

import functools
import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

Magnitude = Literal["magnitude", "real"]
RAYS_AT_ONCE = 512
"""Rays that are counted together: more take memory, and many tell early that they are enough."""


def centred_fft2(image: jax.Array) -> jax.Array:
    """Orthonormal 2-D Fourier transform with the origin of both domains at pixel (H / 2, W / 2).

    Args:
      image: [..., H, W] real or complex.

    Returns:
      k-space, complex [..., H, W], of the same energy.
    """
    axes = (-2, -1)
    # The inner shift brings pixel (H / 2, W / 2) to the origin, the outer one frequency 0 back.
    return jnp.fft.fftshift(jnp.fft.fft2(jnp.fft.ifftshift(image, axes), norm="ortho"), axes)


def centred_ifft2(kspace: jax.Array) -> jax.Array:
    """Inverse of `centred_fft2`.

    Args:
      kspace: complex [..., H, W].

    Returns:
      Image, complex [..., H, W], of the same energy.
    """
    axes = (-2, -1)
    return jnp.fft.fftshift(jnp.fft.ifft2(jnp.fft.ifftshift(kspace, axes), norm="ortho"), axes)


# Of several levels and sizes: one of 4096 pixels takes 64 MB.
@functools.lru_cache(maxsize=32)
def radial_mask(rays: int, height: int, width: int | None = None) -> np.ndarray:
    """A mask of rays that leave the centre of k-space at equal angles over the full circle.

    Ray j samples the pixels (int(H/2 + r sin t_j), int(W/2 + r cos t_j)), t_j = 2 pi j / rays, r =
    0 ... max(H, W)/2 - 1.

    Args:
      rays: number of rays, at least 1.
      height: rows of k-space.
      width: columns of k-space; `height` if None.

    Returns:
      [H, W] float32 in {0, 1}, read-only.

    Raises:
      ValueError: no ray, or an empty k-space.

    Example:
      >>> mask = radial_mask(2, 8)  # to the right and to the left of the centre
      >>> mask[4].tolist(), float(mask.sum())
      ([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 7.0)
    """
    width = width or height
    if rays < 1 or min(height, width) < 2:
        raise ValueError(
            f"a mask of {rays} rays on {height} x {width} pixels: needs at least 1 ray "
            "and 2 x 2 pixels"
        )
    mask = np.zeros((height, width), np.float32)
    mask[_places(_directions(rays), height, width)] = 1
    # The cache hands the same array to every caller.
    mask.flags.writeable = False
    return mask


def _directions(rays: int) -> np.ndarray:
    """Sines and cosines of the angles of rays, [2, rays, 1]."""
    angle = np.linspace(0, 2 * np.pi, rays, endpoint=False)[:, None]
    return np.stack([np.sin(angle), np.cos(angle)])


def _places(directions: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels on rays."""
    sine, cosine = directions
    # The published mask: truncation towards 0, no ray reaches the last pixel.
    radius = np.arange(max(height, width) // 2)
    row = np.clip((height / 2 + radius * sine).astype(int), 0, height - 1)
    column = np.clip((width / 2 + radius * cosine).astype(int), 0, width - 1)
    return row, column


def _acceleration(rays: int, height: int, width: int, enough: float = 0.0) -> float:
    """`achieved_acceleration` of a radial mask, without the mask; where that is `enough` or less,
    some number up to `enough`.
    """
    seen = np.zeros((height, width), bool)
    directions = _directions(rays)
    parts, found = math.ceil(rays / RAYS_AT_ONCE), math.inf
    # spread over the circle, so that a part of many rays already tells
    for part in range(parts):
        seen[_places(directions[:, part::parts], height, width)] = True
        found = seen.size / np.count_nonzero(seen)
        if found <= enough:
            break
    return found


def achieved_acceleration(mask: np.ndarray) -> float:
    """The acceleration factor of a mask: its number of pixels over the number sampled.

    Args:
      mask: [H, W] in {0, 1}.

    Returns:
      A number of at least 1.

    Raises:
      ValueError: the mask samples nothing.

    Example:
      >>> achieved_acceleration(np.eye(8))  # 8 of 64 pixels
      8.0
    """
    sampled = float(np.sum(mask))
    if not sampled:
        raise ValueError(f"the mask of shape {mask.shape} samples no pixel")
    return mask.size / sampled


@functools.lru_cache(maxsize=128)
def rays_for_acceleration(acceleration: float, height: int, width: int | None = None) -> int:
    """The number of rays whose mask comes closest to an acceleration factor.

    A bisection finds where the nearly monotone achieved acceleration crosses the wanted one; the
    closest count within 16 rays of the crossing wins, the smaller one on ties.

    Args:
      acceleration: wanted factor, between what a full set of rays (about 4/pi) and a single ray
        achieve.
      height: rows of k-space.
      width: columns of k-space; `height` if None.

    Returns:
      Number of rays.

    Raises:
      ValueError: no count of rays comes within 25% of the wanted factor.

    Example:
      >>> rays = rays_for_acceleration(8.0, 256)
      >>> rays, round(achieved_acceleration(radial_mask(rays, 256)), 2)
      (70, 8.05)
    """
    width = width or height

    achieved = functools.cache(lambda rays: _acceleration(rays, height, width))
    # 8 N rays are 0.4 pixels apart at the rim: more of them sample little that is new.
    few, many = 1, 8 * max(height, width)
    # Overlaps of rays near the centre make the factor only nearly monotone: hence the neighbours.
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (
            (middle, many)
            if _acceleration(middle, height, width, acceleration) > acceleration
            else (few, middle)
        )
    candidates = range(max(1, few - 16), few + 17)
    best = min(candidates, key=lambda rays: (abs(achieved(rays) - acceleration), rays))
    if abs(achieved(best) - acceleration) > 0.25 * acceleration:
        raise ValueError(
            f"acceleration {acceleration} cannot be had on {height} x {width} pixels: the "
            f"closest radial mask, {best} rays, "
            f"achieves {achieved(best):.2f}"
        )
    return best


def zero_filled(image: jax.Array, mask: jax.Array, magnitude: Magnitude = "magnitude") -> jax.Array:
    """The image that undersampled k-space gives when the missing samples are taken as 0.

    z = F^-1 (M F x); the result is |z| ("magnitude", what a scanner shows) or |Re z| ("real", the
    convention of the published code; the mask is not point-symmetric, so z is not real). It is
    clipped to [0, 1]: undersampling overshoots by a few percent at edges.

    Args:
      image: [..., H, W] float, in [0, 1].
      mask: [H, W] float in {0, 1}.
      magnitude: "magnitude" or "real".

    Returns:
      [..., H, W] float in [0, 1].

    Raises:
      ValueError: an unknown convention, or shapes of image and mask that differ.

    Example:
      >>> image = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
      >>> found = zero_filled(image, np.ones((8, 8), np.float32))  # nothing is missing
      >>> bool(np.allclose(found, image, atol=1e-6))
      True
    """
    if magnitude not in get_args(Magnitude):
        raise ValueError(f"magnitude {magnitude!r} must be one of {get_args(Magnitude)}")
    if image.shape[-2:] != mask.shape:
        raise ValueError(
            f"image of shape {image.shape} does not fit the mask of shape {mask.shape}"
        )
    # [H, W] -> [1, ..., H, W]
    shaped = jnp.reshape(mask, (1,) * (image.ndim - 2) + mask.shape)
    filled = centred_ifft2(centred_fft2(image) * shaped)
    return jnp.clip(jnp.abs(filled) if magnitude == "magnitude" else jnp.abs(filled.real), 0, 1)
