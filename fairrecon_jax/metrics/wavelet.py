"""Haar wavelet-based perceptual similarity of a reconstructed image to the original."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.metrics.image_metric import register
from fairrecon_jax.metrics.windows import PIXELS, check_pair, halve, slide
from fairrecon_jax.types import Array

C = 30.0
"""Damping of small coefficients, for intensities in [0, 255]."""

ALPHA = 4.2
"""Slope of the logistic function."""

LEAST = 16
"""Smallest side in pixels: halved, it holds the coarsest filter of 8 pixels once."""


@register("HaarPSI", "higher", 3, least=16)
def haarpsi(original: Array, image: Array, data_range: float = 1.0) -> jnp.ndarray:
    """Haar perceptual similarity index of grey images. 1 means identical.

    HaarPSI = (l^-1(sum w l(s) / sum w))^2 with l(s) = 1 / (1 + exp(-4.2 s)) and its inverse l^-1.
    The sums are over pixels and both orientations of Haar filters g_1, g_2, g_3 (2, 4, 8 pixels) on
    the halved images x, y (means of 2 x 2 pixels). s is the mean over the two finer filters of
    (2 a b + c) / (a^2 + b^2 + c), a = |g * x|, b = |g * y|, c = 30 (range / 255)^2, and
    w = max(|g_3 * x|, |g_3 * y|). Filters see 0 outside the image. Two images that are 0 everywhere
    are identical. Channels are averaged.

    Args:
      original: [..., H, W, C] float in [0, data_range], H and W at least 16.
      image: [..., H, W, C] float, same shape.
      data_range: distance between the smallest and the largest possible intensity; never taken from
        the data.

    Returns:
      [...] float in [0, 1].

    Raises:
      ValueError: the shapes differ or the image is too small.

    Example:
      >>> ramp, similarity = np.linspace(0, 1, 256).reshape(16, 16, 1), jax.jit(haarpsi)
      >>> round(float(similarity(ramp, ramp)), 4), bool(similarity(ramp, 1 - ramp) < 1)
      (1.0, True)

    Reference: Reisenhofer, Bosse, Kutyniok and Wiegand 2018, doi:10.1016/j.image.2017.11.001.
    """
    check_pair(original, image, LEAST, "HaarPSI")
    # Side by side as channels: each filter runs once for both.
    both = halve(jnp.concatenate([jnp.asarray(original), jnp.asarray(image)], axis=-1))
    damping = C * (data_range / 255) ** 2
    weighted, total = jnp.zeros(()), jnp.zeros(())
    for turned in (False, True):
        first, second, third = (jnp.split(jnp.abs(haar(both, j, turned)), 2, -1) for j in (1, 2, 3))
        local = (_similarity(first, damping) + _similarity(second, damping)) / 2
        weight = jnp.maximum(third[0], third[1])
        # 1 - l(s) instead of l(s), which is close to 1 and would cost the inverse two digits.
        weighted = weighted + jnp.sum(weight * jax.nn.sigmoid(-ALPHA * local), axis=PIXELS)
        total = total + jnp.sum(weight, axis=PIXELS)
    some = total > 0
    # Without any weight s counts as 1, whose index is 1.
    rest = jnp.where(some, weighted, jax.nn.sigmoid(-ALPHA)) / jnp.where(some, total, 1.0)
    return jnp.mean(jnp.square(jax.scipy.special.logit(rest) / ALPHA), axis=-1)


def haar(image: jnp.ndarray, scale: int, turned: bool) -> jnp.ndarray:
    """Coefficients of an undecimated Haar wavelet of k x k pixels, k = 2^scale.

    The mean over k pixels across of the difference between k / 2 pixels and the k / 2 before them,
    pixels i - k / 2 + 1 ... i + k / 2 for pixel i, with 0 outside the image.

    Args:
      image: [..., H, W, C] float.
      scale: 1, 2 or more.
      turned: whether the difference is taken along the width instead of the height.

    Returns:
      [..., H, W, C], of at most k / 2 times the image's range.
    """
    length = 2**scale
    step, mean = np.repeat([-1.0, 1.0], length // 2), np.full(length, 1 / length)
    # An even window has no middle: pixel i is the last of its first half.
    around = (length // 2 - 1, length // 2)
    padded = jnp.pad(image, [(0, 0)] * (image.ndim - 3) + [around, around, (0, 0)])
    return slide(padded, mean, step) if turned else slide(padded, step, mean)  # (rows, columns)


def _similarity(pair: Sequence[jnp.ndarray], damping: float) -> jnp.ndarray:
    """(2 a b + c) / (a^2 + b^2 + c) of a pair a, b, in (0, 1]."""
    one, other = pair
    return (2 * one * other + damping) / (one**2 + other**2 + damping)
