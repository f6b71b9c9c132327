"""How close a reconstructed image is to the original: PSNR, SSIM and NRMSE per example.

All functions take images [..., H, W, C] of any leading shape, return one value per leading index,
and can be jitted, vmapped and differentiated.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np

from fairrecon_jax.metrics.image_metric import register
from fairrecon_jax.metrics.windows import (
    check_pair,
    gaussian_window,
    structural_similarity_maps,
)
from fairrecon_jax.types import Array

Window = Literal["uniform", "gaussian"]
# 7 pixels are scikit-image's default.
WINDOWS = {"uniform": np.full(7, 1 / 7), "gaussian": gaussian_window()}
"""The one-dimensional weights of separable windows."""
# With the channels: one value per image.
_PIXELS = (-3, -2, -1)


def mean_squared_error(original: Array, image: Array) -> jnp.ndarray:
    """Mean over pixels of the squared difference: MSE = mean((x - y)^2). 0 means identical.

    Args:
      original: [..., H, W, C] float, the reference.
      image: [..., H, W, C] float, what is compared with it.

    Returns:
      [...] float, in squared intensity units.

    Raises:
      ValueError: the shapes differ.

    Example:
      >>> black, grey = np.zeros((2, 8, 8, 1)), np.full((2, 8, 8, 1), 0.5)
      >>> mean_squared_error(black, grey).tolist()  # one value per image
      [0.25, 0.25]
    """
    check_pair(original, image, 1, "MSE")
    return jnp.mean(jnp.square(jnp.asarray(original) - jnp.asarray(image)), axis=_PIXELS)


@register("PSNR (dB)", "higher", 2)
def psnr(original: Array, image: Array, data_range: float = 1.0) -> jnp.ndarray:
    """Peak signal-to-noise ratio: 10 log10(data_range^2 / MSE). 0 dB means an error as large as the
    range; identical images give +inf.

    Args:
      original: [..., H, W, C] float in [0, data_range].
      image: [..., H, W, C] float, same shape.
      data_range: distance between the smallest and the largest possible intensity; never taken from
        the data.

    Returns:
      [...] float, decibels.

    Raises:
      ValueError: the shapes differ.

    Example:
      >>> black, grey = np.zeros((8, 8, 1)), np.full((8, 8, 1), 0.1)
      >>> round(float(psnr(black, grey)), 2), float(psnr(black, black))
      (20.0, inf)

    Reference: scikit-image `peak_signal_noise_ratio` (parity is tested).
    """
    # Not bounded: an exact image is +inf, which the summaries take care of.
    return 10.0 * jnp.log10(data_range**2 / mean_squared_error(original, image))


@register("SSIM", "higher", 3, least=7)
def ssim(
    original: Array,
    image: Array,
    window: Window = "uniform",
    data_range: float = 1.0,
    sample_covariance: bool = True,
) -> jnp.ndarray:
    """Mean structural similarity: mean of (2 m_x m_y + c1)(2 s_xy + c2) / ((m_x^2 + m_y^2 +
    c1)(s_x^2 + s_y^2 + c2)). 1 means identical.

    m and s are means, variances and covariance inside a sliding window; c1 = (0.01 range)^2, c2 =
    (0.03 range)^2. Only windows that lie inside the image count. Channels are averaged.

    Args:
      original: [..., H, W, C] float in [0, data_range], H and W at least the window's size.
      image: [..., H, W, C] float, same shape.
      window: "uniform" (7 x 7) or "gaussian" (sigma 1.5, 11 x 11).
      data_range: distance between the smallest and the largest possible intensity.
      sample_covariance: divide (co)variances by n - 1 as scikit-image does; False is the definition
        of Wang et al. 2004.

    Returns:
      [...] float in [-1, 1].

    Raises:
      ValueError: the shapes differ or the image is smaller than the window.

    Example:
      >>> ramp = np.linspace(0, 1, 64).reshape(8, 8, 1)
      >>> round(float(ssim(ramp, ramp)), 4), bool(ssim(ramp, 0.5 * ramp) < 1)
      (1.0, True)

    Reference: Wang et al. 2004, doi:10.1109/TIP.2003.819861; scikit-image `structural_similarity`
    (parity is tested).
    """
    weights = WINDOWS.get(window)
    if weights is None:
        raise ValueError(f"window must be 'uniform' or 'gaussian', got {window!r}")
    check_pair(original, image, len(weights), "SSIM")
    maps = structural_similarity_maps(
        jnp.asarray(original), jnp.asarray(image), weights, data_range, sample_covariance
    )
    return jnp.mean(maps.luminance * maps.contrast, axis=_PIXELS)


@register("MSE", "lower", 5, per_group=False)
def mse(original: Array, image: Array) -> jnp.ndarray:
    """Mean squared error, `mean_squared_error`, as a metric of tables: what the published code's
    column "nrmse" holds.

    Args:
      original: [..., H, W, C] float.
      image: [..., H, W, C] float, same shape.

    Returns:
      [...] float, in squared intensity units, >= 0.

    Example:
      >>> float(mse(np.ones((8, 8, 1)), np.full((8, 8, 1), 0.75)))
      0.0625
    """
    return mean_squared_error(original, image)


@register("NRMSE", "lower", 3, per_group=False)
def nrmse(original: Array, image: Array) -> jnp.ndarray:
    """Root mean squared error over the original's root mean square: sqrt(mean((x - y)^2) /
    mean(x^2)). 0 means identical.

    An original that is zero everywhere has no scale: NaN.

    Args:
      original: [..., H, W, C] float.
      image: [..., H, W, C] float, same shape.

    Returns:
      [...] float, unitless, >= 0.

    Raises:
      ValueError: the shapes differ.

    Example:
      >>> white = np.ones((8, 8, 1))
      >>> float(nrmse(white, 0.75 * white)), float(nrmse(0 * white, white))
      (0.25, nan)

    Reference: scikit-image `normalized_root_mse` with normalization="euclidean".
    """
    error = mean_squared_error(original, image)
    power = jnp.mean(jnp.square(jnp.asarray(original)), axis=_PIXELS)
    # The inner `where` keeps x / 0 out of the gradient.
    return jnp.where(power > 0, jnp.sqrt(error / jnp.where(power > 0, power, 1.0)), jnp.nan)
