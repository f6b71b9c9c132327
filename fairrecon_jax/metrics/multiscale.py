"""Multi-scale structural similarity of a reconstructed image to the original."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from fairrecon_jax.metrics.image_metric import register
from fairrecon_jax.metrics.windows import (
    PIXELS,
    check_pair,
    gaussian_window,
    halve,
    structural_similarity_maps,
)
from fairrecon_jax.types import Array

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, finest first, as calibrated by Wang et al. 2003."""


@register("MS-SSIM", "higher", 3, least=11)
def ms_ssim(original: Array, image: Array, data_range: float = 1.0) -> jnp.ndarray:
    """Multi-scale SSIM: SSIM_M^w_M times the product over j < M of CS_j^w_j. 1 means identical.

    Scale j = 1, 2, ..., M is the image after j - 1 halvings (means of 2 x 2 pixels). CS_j is the
    mean of the contrast factor of SSIM over Gaussian windows (sigma 1.5, 11 x 11) inside the image,
    SSIM_M that of the whole SSIM at the coarsest scale. M is 5 where the coarsest scale still holds
    a window, from 161 pixels on; smaller images have fewer scales (128 pixels 4, 64 pixels 3),
    whose weights are divided by their sum: values of different M are not comparable. A negative
    mean counts as 0. Channels are averaged.

    Args:
      original: [..., H, W, C] float in [0, data_range], H and W at least 11.
      image: [..., H, W, C] float, same shape.
      data_range: distance between the smallest and the largest possible intensity; never taken from
        the data.

    Returns:
      [...] float in [0, 1].

    Raises:
      ValueError: the shapes differ or the image is smaller than the window.

    Example:
      >>> ramp, similarity = np.linspace(0, 1, 484).reshape(22, 22, 1), jax.jit(ms_ssim)
      >>> round(float(similarity(ramp, ramp)), 4), bool(similarity(ramp, 1 - ramp) < 1)
      (1.0, True)

    Reference: Wang, Simoncelli and Bovik 2003, doi:10.1109/ACSSC.2003.1292216.
    """
    window = gaussian_window()
    check_pair(original, image, len(window), "MS-SSIM")
    x, y = jnp.asarray(original), jnp.asarray(image)
    weights = scale_weights(min(x.shape[-3:-1]))
    product = jnp.ones((), x.dtype)  # [..., C] from the first scale on
    for scale, weight in enumerate(weights):
        if scale:
            x, y = halve(x), halve(y)
        similarity = structural_similarity_maps(x, y, window, data_range)
        last = scale == len(weights) - 1
        # Luminance at the coarsest scale only, as in the definition.
        values = similarity.luminance * similarity.contrast if last else similarity.contrast
        product = product * _power(values.mean(PIXELS), float(weight))
    # Channels last: each has a product of its own.
    return product.mean(-1)


def scale_weights(side: int) -> np.ndarray:
    """The exponents of the scales that an image has room for.

    Args:
      side: the smaller one of height and width in pixels, at least 11.

    Returns:
      float64 [M] of sum 1, M from 1 to 5.

    Example:
      >>> len(scale_weights(256)), len(scale_weights(64))
      (5, 3)
    """
    least = len(gaussian_window())
    # ceil, because `halve` rounds up; several halvings round like one.
    scales = sum(-(-side // 2**scale) >= least for scale in range(len(WEIGHTS)))
    weights = np.asarray(WEIGHTS)[:scales]
    return weights / weights.sum()


def _power(base: jnp.ndarray, exponent: float) -> jnp.ndarray:
    """The power of max(base, 0), with a derivative of 0, not NaN, where base is not positive."""
    positive = base > 0
    return jnp.where(positive, jnp.where(positive, base, 1.0) ** exponent, 0.0)
