"""What an image loses on its way through an 8-bit JPEG file, as a function of arrays.

A JPEG file loses in two places, the rounding to 256 grey values and that of the cosine coefficients
of blocks of 8 x 8 pixels; the coding of the rounded coefficients loses nothing and is left out.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

BLOCK = 8
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""Steps of the coefficients at quality 50 (ITU-T T.81, table K.1)."""


def steps_of(quality: int) -> np.ndarray:
    """Steps of the coefficients [8, 8] at a quality of 1 to 100, as libjpeg scales them."""
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must lie in 1..100, got {quality}")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((LUMINANCE * percent + 50) // 100, 1, 255)


@functools.cache
def _cosines() -> np.ndarray:
    """The orthonormal cosine transform of 8 values, [8, 8]."""
    k, n = np.arange(BLOCK)[:, None], np.arange(BLOCK)[None]
    table = np.cos((2 * n + 1) * k * np.pi / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    table[0] /= np.sqrt(2)
    return table


def jpeg_round_trip(image: jax.Array, quality: int = 75) -> jax.Array:
    """Images as they come back from a grey 8-bit JPEG file: floor(255 x), cosine transform of 8 x 8
    blocks, coefficients rounded to multiples of their steps, back, rounded and cut off.

    Values are truncated to 8 bits and not rounded, as a cast does. Sides that are no multiples of 8
    are extended by their last row and column and cut back.

    Args:
      image: [..., H, W] float in [0, 1].
      quality: 1 to 100, as libjpeg and Pillow count it (75 is Pillow's own).

    Returns:
      [..., H, W] float32, multiples of 1/255.

    Raises:
      ValueError: a quality outside of 1 to 100.

    Example:
      >>> image = jnp.linspace(0, 1, 64).reshape(1, 8, 8)
      >>> float(jnp.abs(jpeg_round_trip(image) - image).max()) < 0.03
      True

    Source: ITU-T T.81 (1992); checked against Pillow.
    """
    image = jnp.asarray(image, jnp.float32)
    height, width = image.shape[-2:]
    lead = [(0, 0)] * (image.ndim - 2)
    padded = jnp.pad(
        jnp.floor(image * 255) - 128, [*lead, (0, -height % BLOCK), (0, -width % BLOCK)], "edge"
    )
    rows, columns = padded.shape[-2] // BLOCK, padded.shape[-1] // BLOCK
    blocks = padded.reshape(*image.shape[:-2], rows, BLOCK, columns, BLOCK)
    cosines, steps = _cosines(), np.broadcast_to(steps_of(quality)[:, None], blocks.shape)
    # at the highest precision: a coefficient near the middle of a step is rounded either way
    transform = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    coefficients = transform("ui,...icj,vj->...ucv", cosines, blocks, cosines)
    kept = jnp.round(coefficients / steps) * steps
    back = transform("ui,...ucv,vj->...icj", cosines, kept, cosines).reshape(padded.shape)
    return jnp.clip(jnp.round(back + 128), 0, 255)[..., :height, :width] / 255
