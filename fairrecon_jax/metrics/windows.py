"""What the structural metrics share: sliding windows, local statistics, halving of images."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from fairrecon_jax.types import Array

PIXELS = (-3, -2)
"""The axes of height and width."""


class Similarity(NamedTuple):
    """Two maps [..., H', W', C], one value per window that lies inside the image."""

    luminance: jnp.ndarray
    contrast: jnp.ndarray


def gaussian_window(sigma: float = 1.5, reach: int = 5) -> np.ndarray:
    """The one-dimensional weights of a separable Gaussian window.

    Args:
      sigma: standard deviation in pixels.
      reach: pixels on either side of the middle.

    Returns:
      float64 [2 reach + 1] of sum 1.
    """
    # without the constant in front, which cancels
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return weights / weights.sum()


def slide(image: jnp.ndarray, rows: np.ndarray, columns: np.ndarray) -> jnp.ndarray:
    """Weighted sums over a separable window wherever it fits inside the image.

    Args:
      image: [..., H, W, C] float.
      rows: [P] weights along the height.
      columns: [Q] weights along the width.

    Returns:
      [..., H - P + 1, W - Q + 1, C].
    """
    height, width = image.shape[-3] - len(rows) + 1, image.shape[-2] - len(columns) + 1
    # Python floats are weakly typed: NumPy's float64 could widen the image.
    down = (float(w) * image[..., k : k + height, :, :] for k, w in enumerate(rows))
    image = functools.reduce(jnp.add, down)
    across = (float(w) * image[..., :, k : k + width, :] for k, w in enumerate(columns))
    return functools.reduce(jnp.add, across)


def structural_similarity_maps(
    original: jnp.ndarray,
    image: jnp.ndarray,
    window: np.ndarray,
    data_range: float,
    sample_covariance: bool = False,
) -> Similarity:
    """The two factors of structural similarity in every window.

    luminance = (2 m_x m_y + c1) / (m_x^2 + m_y^2 + c1)
    contrast = (2 s_xy + c2) / (s_x^2 + s_y^2 + c2)
    with means m, (co)variances s weighted by the window, c1 = (0.01 range)^2, c2 = (0.03 range)^2.

    Args:
      original: [..., H, W, C] float in [0, data_range], H and W at least the window's length.
      image: [..., H, W, C] float, same shape.
      window: [P] weights of sum 1, the same along height and width.
      data_range: distance between the smallest and the largest possible intensity.
      sample_covariance: divide (co)variances of n pixels by n - 1 instead of n.

    Returns:
      Two of [..., H - P + 1, W - P + 1, C]; their product's mean is the SSIM of Wang et al. 2004.

    Reference: Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    # (Co)variances do not depend on the shifts, their rounding does.
    shift_x, shift_y = (part.mean((-3, -2, -1), keepdims=True) for part in (original, image))
    u, v = original - shift_x, image - shift_y
    # As channels the four maps are one program: it compiles and runs faster than four.
    means = slide(jnp.concatenate([u, v, u * u + v * v, u * v], axis=-1), window, window)
    mean_u, mean_v, square, product = jnp.split(means, 4, axis=-1)
    count = len(window) ** 2
    # right for uniform windows, whose weights are 1 / count
    norm = count / (count - 1) if sample_covariance else 1.0
    # Both variances in one, since only their sum is needed.
    power, cov = norm * (square - mean_u**2 - mean_v**2), norm * (product - mean_u * mean_v)
    mean_x, mean_y = mean_u + shift_x, mean_v + shift_y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return Similarity(luminance, (2 * cov + c2) / (power + c2))


def halve(image: jnp.ndarray) -> jnp.ndarray:
    """Means of 2 x 2 pixels; where a side is odd, those of its last pixels are over what there is.

    Args:
      image: [..., H, W, C] float.

    Returns:
      [..., ceil(H / 2), ceil(W / 2), C].
    """
    # Mode "edge" below: the mean of a last pixel and its copy is that pixel.
    *lead, height, width, channels = image.shape
    even = jnp.pad(
        image, [(0, 0)] * len(lead) + [(0, height % 2), (0, width % 2), (0, 0)], mode="edge"
    )
    return even.reshape(*lead, -(-height // 2), 2, -(-width // 2), 2, channels).mean((-4, -2))


def check_pair(original: Array, image: Array, least: int, metric: str) -> None:
    """Refuses images of different shapes, or smaller than a metric can take.

    Args:
      original: [..., H, W, C].
      image: [..., H, W, C].
      least: smallest height and width in pixels.
      metric: the metric's name, for the message.

    Raises:
      ValueError: the shapes differ, height or width is below `least`, or the images are whole
        numbers, whose differences would wrap around.
    """
    if not all(jnp.issubdtype(one.dtype, jnp.floating) for one in (original, image)):
        raise ValueError(
            f"{metric} takes floats in [0, 1], got {original.dtype} and {image.dtype}: divide by "
            "the range of the type first"
        )
    if original.shape != image.shape or original.ndim < 3:
        raise ValueError(
            "both images must be [..., H, W, C] of one shape, "
            f"got {original.shape} and {image.shape}"
        )
    if min(original.shape[-3:-1]) < least:
        raise ValueError(
            f"{metric} needs images of at least {least} x {least} pixels, "
            f"got {original.shape[-3:-1]}"
        )
