"""How close a reconstructed image is to the original: PSNR, SSIM and NRMSE per example.

All functions take images [..., H, W, C] of any leading shape, return one value per leading index,
and can be jitted, vmapped and differentiated.
"""

from __future__ import annotations

import functools
from typing import Literal

import jax.numpy as jnp
import numpy as np

from fairrecon_jax.types import Array

Window = Literal["uniform", "gaussian"]
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
    """
    _same_shape(original, image)
    return jnp.mean(jnp.square(jnp.asarray(original) - jnp.asarray(image)), axis=_PIXELS)


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

    Reference: scikit-image `peak_signal_noise_ratio` (parity is tested).
    """
    return 10.0 * jnp.log10(data_range**2 / mean_squared_error(original, image))


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

    Reference: scikit-image `normalized_root_mse` with normalization="euclidean".
    """
    error = mean_squared_error(original, image)
    power = jnp.mean(jnp.square(jnp.asarray(original)), axis=_PIXELS)
    return jnp.where(power > 0, jnp.sqrt(error / jnp.where(power > 0, power, 1.0)), jnp.nan)


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

    Reference: Wang et al. 2004, doi:10.1109/TIP.2003.819861; scikit-image `structural_similarity`
    (parity is tested).
    """
    _same_shape(original, image)
    weights = _window(window)
    if min(original.shape[-3:-1]) < len(weights):
        raise ValueError(
            f"SSIM needs images of at least {len(weights)} x {len(weights)} pixels, got "
            f"{original.shape[-3:-1]}"
        )
    x, y = jnp.asarray(original), jnp.asarray(image)
    count = len(weights) ** 2
    norm = count / (count - 1) if sample_covariance else 1.0
    shift = jnp.mean(
        x, axis=_PIXELS, keepdims=True
    )  # (co)variances do not depend on it, their rounding does
    u, v = x - shift, y - shift
    mean_u, mean_v = _filter(u, weights), _filter(v, weights)
    var_x = norm * (_filter(u * u, weights) - mean_u * mean_u)
    var_y = norm * (_filter(v * v, weights) - mean_v * mean_v)
    cov = norm * (_filter(u * v, weights) - mean_u * mean_v)
    mean_x, mean_y = mean_u + shift, mean_v + shift
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = (
        (2 * mean_x * mean_y + c1)
        * (2 * cov + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    )
    return jnp.mean(similarity, axis=_PIXELS)


def _window(window: Window) -> np.ndarray:
    """The one-dimensional weights of a separable window, summing to 1."""
    if window == "uniform":
        return np.full(7, 1 / 7)
    if window == "gaussian":
        weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        return weights / weights.sum()
    raise ValueError(f"window must be 'uniform' or 'gaussian', got {window!r}")


def _filter(image: jnp.ndarray, weights: np.ndarray) -> jnp.ndarray:
    """Correlates the two pixel axes of [..., H, W, C] with separable weights where they fit inside."""
    size = len(weights)
    height, width = image.shape[-3] - size + 1, image.shape[-2] - size + 1
    rows = functools.reduce(
        jnp.add, [float(w) * image[..., k : k + height, :, :] for k, w in enumerate(weights)]
    )
    return functools.reduce(
        jnp.add, [float(w) * rows[..., :, k : k + width, :] for k, w in enumerate(weights)]
    )


def _same_shape(original: Array, image: Array) -> None:
    if original.shape != image.shape or original.ndim < 3:
        raise ValueError(
            f"both images must be [..., H, W, C] of one shape, got {original.shape} and "
            f"{image.shape}"
        )
