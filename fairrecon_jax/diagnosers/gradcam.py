"""Class activation maps: which places of an image a classifier's scores rest on."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array


def grad_cam(head: Callable[[Array], Array], maps: Array) -> jax.Array:
    """Gradient-weighted class activation maps (Grad-CAM) of every score.

    G_t = ReLU(sum_k a_tk A_k) with a_tk = mean over the h w places of d s_t / d A_k, for maps A_k
    and scores s_t. Behind global average pooling and one linear layer of weights w, G_t =
    ReLU(sum_k w_tk A_k) / (h w): the share of each place in the score, where positive.

    Args:
      head: maps -> scores [B, T] before the sigmoid, each example by itself.
      maps: [B, h, w, C], output of the last convolutional block.

    Returns:
      [B, T, h, w] float32, at least 0; 0 everywhere where no place raises the score.

    Example:
      >>> maps = jnp.zeros((1, 4, 4, 2)).at[0, 1, 2, 0].set(8.0)  # channel 0 fires at (1, 2)
      >>> heat = grad_cam(lambda maps: maps.mean((1, 2))[:, :1], maps)  # the score is its mean
      >>> heat.shape, float(heat[0, 0, 1, 2]), float(heat.sum())
      ((1, 1, 4, 4), 0.5, 0.5)

    Reference: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", ICCV 2017.
    """
    scores, pull = jax.vjp(head, maps)
    size, tasks = scores.shape
    # One vector-Jacobian product per task gives every example the slopes of its own score.
    each = jnp.broadcast_to(jnp.eye(tasks, dtype=scores.dtype)[:, None], (tasks, size, tasks))
    (slopes,) = jax.vmap(pull)(each)
    # [T, B, h, w, C] -> [T, B, C]
    weights = jnp.mean(jnp.asarray(slopes, jnp.float32), axis=(2, 3))
    return jax.nn.relu(jnp.einsum("tbc,bhwc->bthw", weights, jnp.asarray(maps, jnp.float32)))


def enlarged(maps: Array, shape: tuple[int, int]) -> jax.Array:
    """Maps [..., h, w] stretched over an image of `shape` (H, W), bilinearly, edges held.

    Example:
      >>> enlarged(np.array([[0.0, 1.0]]), (1, 4)).tolist()
      [[0.0, 0.25, 0.75, 1.0]]
    """
    return jax.image.resize(jnp.asarray(maps), (*maps.shape[:-2], *shape), "linear")
