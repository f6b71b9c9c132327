"""PyTorch state dicts become Flax variables, in the key layouts in which the networks' weights are
published.

A further network takes one line in `layouts.LAYOUTS`: its class, and a function `(network, state)
-> Layout` that says which key holds which parameter. `convert` does the rest: takes off a common
prefix, transposes, compares shapes and names every key that is missing, unexpected, of another
shape or not finite.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fairrecon_jax.models.apply import init_network
from fairrecon_jax.models.checkpoint import State, common_prefixes
from fairrecon_jax.models.conditional_unet import ConditionalUNet
from fairrecon_jax.models.layouts import LAYOUTS, Layout, check_known, inputs_of
from fairrecon_jax.models.start import LeafPath
from fairrecon_jax.models.unet import UNet
from fairrecon_jax.types import InputError, Key

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "slope": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_HEADS = ("fc.", "fc_layers.", "classifier.", "outputs.", "outc.", "conv.", "segmentation_head.")
_SHOWN = 50
"""Problems that a message lists."""


def convert(
    network: nn.Module, state: State, channels: int = 1, fresh_head: Key | None = None
) -> dict[str, Any]:
    """Flax variables of a network from a PyTorch state dict.

    A prefix that all keys have ("network.", "module.model.", ...) is taken off where the keys fit
    without it. A first convolution with three input channels serves a network of one channel by
    its sum over them, which is what three equal channels give; where the weights only start a
    training (`fresh_head`), by the mean (as in the paper). Convolutions without bias that are
    followed by a normalisation get the bias 0. Running statistics of instance norms are left out,
    with a warning.

    Args:
      network: of a class in `LAYOUTS`; a `ConditionalUNet` with patch 1.
      state: arrays by key; see the module `keys` for the layouts.
      channels: input channels of the network.
      fresh_head: leave the state's head out and draw one from this key, for another number of
        outputs or layers.

    Returns:
      {"params": tree, "batch_stats": tree} in float32; the latter {} where the network has no
        statistics.

    Raises:
      InputError: keys are missing or unexpected, a shape is wrong or a value is not finite; the
        message names each.
      TypeError: the network's type is unknown.

    Example:
      >>> from fairrecon_jax.models import PatchDiscriminator
      >>> shapes = {"net.model.0.weight": (2, 2, 4, 4), "net.model.0.bias": (2,)}
      >>> shapes |= {"net.model.2.weight": (1, 2, 4, 4), "net.model.2.bias": (1,)}
      >>> state = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
      >>> tree = convert(PatchDiscriminator(width=2, layers=0), state, channels=2)["params"]
      >>> tree["conv0"]["kernel"].shape  # [out, in, H, W] becomes [H, W, in, out]
      (4, 4, 2, 2)
    """
    check_known(network)
    inputs = inputs_of(network, channels)
    # Shapes alone: nothing is computed.
    wanted = flatten_dict(dict(jax.eval_shape(lambda: network.init(jax.random.key(0), *inputs))))
    converted: dict[LeafPath, Any] = {}
    if fresh_head is not None:
        fresh = init_network(network, "net", fresh_head, *inputs)
        converted = {
            (kind, *path): leaf
            for kind, trees in fresh.items()
            for path, leaf in flatten_dict(trees["net"]).items()
            if path[0] in ("head", "head_norm")
        }
    paths = [path for path in wanted if path not in converted]
    found = _best(network, state, paths)
    # All problems are gathered: a wrong layout is known by the whole list, not by its first key.
    problems = []
    for path in paths:
        try:
            leaf = _leaf(network, found, path, wanted[path].shape, mean=fresh_head is not None)
            converted[path] = jnp.asarray(leaf)
        except InputError as error:
            problems.append(str(error))
    left = sorted(set(found.layout.state) - set(found.keys.values()))
    instance = [key for key in left if _of_instance_norm(key, found.layout.state)]
    problems += [
        f"unexpected {key!r}"
        for key in left
        if key not in instance and not _ignored(key, fresh_head is not None)
    ]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(
            f"the state dict does not fit {type(network).__name__}: {_hint(network, state, paths)}"
            f"{'; '.join(problems[:_SHOWN])}{more}"
        )
    if instance:
        warnings.warn(
            f"{len(instance)} running statistics of instance norms, such as {instance[0]!r}, are "
            "left out: each image is normalised by itself, as pix2pix does; a network that was "
            "evaluated with them (track_running_stats) gives other values",
            stacklevel=3,
        )
    return {"params": {}, "batch_stats": {}, **unflatten_dict(converted)}


class _Found(NamedTuple):
    """A way of reading a state dict.

    Attributes:
      layout: with the prefix taken off.
      keys: by path of a parameter, its key.
      hits: how many of these keys are there.
    """

    layout: Layout
    keys: Mapping[LeafPath, str]
    hits: int


def _best(network: nn.Module, state: State, paths: list[LeafPath]) -> _Found:
    """The reading that finds most keys, among those with a common prefix taken off; the shortest
    prefix of equal ones.

    Raises:
      InputError: no layout is known under any prefix.
    """
    refusal: InputError | None = None
    readings = []
    for prefix in ("", *common_prefixes(state)):
        plain = {key.removeprefix(prefix): value for key, value in state.items()}
        try:
            readings.append(_reading(network, plain, paths))
        except InputError as error:
            refusal = refusal or error
    if not readings:
        assert refusal is not None
        hint = _hint(network, state, paths)
        raise InputError(f"{hint}{refusal}") from refusal
    return max(readings, key=lambda reading: reading.hits)


def _reading(network: nn.Module, state: State, paths: list[LeafPath]) -> _Found:
    layout = LAYOUTS[type(network)](network, state)
    keys = {
        path: f"{layout.stem(_module(path))}.{_torch_leaf(network, path[-1])}" for path in paths
    }
    return _Found(layout, keys, sum(key in layout.state for key in keys.values()))


def _hint(network: nn.Module, state: State, paths: list[LeafPath]) -> str:
    """What would make it fit, where some keys do under a prefix of theirs."""
    starts = {
        ".".join(parts[:count]) + "."
        for parts in (key.split(".") for key in state)
        for count in range(1, min(len(parts), 4))
    }
    for prefix in sorted(starts):
        part = {
            key.removeprefix(prefix): value
            for key, value in state.items()
            if key.startswith(prefix)
        }
        if len(part) == len(state):
            continue
        try:
            reading = _reading(network, part, paths)
        except InputError:
            continue
        if reading.hits == len(paths):
            return f"strip the prefix {prefix} and leave the other keys out, and it fits; "
    return ""


def _torch_leaf(network: nn.Module, leaf: str) -> str:
    """PyTorch's name of a parameter."""
    return "g" if leaf == "scale" and isinstance(network, ConditionalUNet) else _LEAVES[leaf]


def _module(path: LeafPath) -> LeafPath:
    """A leaf's module path, without the collection, the leaf and the inner module of a
    normalisation chosen by name.
    """
    return tuple(part for part in path[1:-1] if part not in ("group", "batch"))


def _normalised_bias(network: nn.Module, path: LeafPath) -> bool:
    """Whether the leaf is the bias of a convolution that a normalisation follows."""
    return (
        isinstance(network, UNet)
        and network.norm is not None
        and path[-1] == "bias"
        and path[-2] in ("conv1", "conv2")
    )


def _of_instance_norm(key: str, state: State) -> bool:
    """Whether an unexpected key is a running statistic of an instance norm, as it has no scale."""
    stem, _, leaf = key.rpartition(".")
    return leaf in ("running_mean", "running_var") and f"{stem}.weight" not in state


def _ignored(key: str, head: bool) -> bool:
    """Whether an unexpected key is harmless."""
    # Counters of batch norm, and operating points of TorchXRayVision: no parameters.
    return key.endswith(("num_batches_tracked", "op_threshs")) or (head and key.startswith(_HEADS))


def _leaf(
    network: nn.Module, found: _Found, path: LeafPath, shape: tuple[int, ...], mean: bool
) -> np.ndarray:
    """One parameter in Flax's layout.

    Raises:
      InputError: the key is missing, its shape is wrong or a value cannot be used.
    """
    key, state = found.keys[path], found.layout.state
    if key not in state:
        if _normalised_bias(network, path):
            return np.zeros(shape, np.float32)
        raise InputError(f"missing {key!r}")
    value = _checked(key, state[key], path)
    if path[-1] == "kernel" and value.ndim == 4:
        # PyTorch has [out, in, H, W], and [in, out, H, W] in transposed convolutions; Flax [H, W,
        # in, out].
        value = value.transpose((2, 3, 0, 1) if path[-2].startswith("upconv") else (2, 3, 1, 0))
    elif path[-1] == "kernel":
        # Dense layers: PyTorch has [out, in].
        value = value.T
    elif path[-1] == "scale" and value.ndim == 4:
        # The published channel norm keeps its scale as [1, C, 1, 1].
        value = value.reshape(-1)
    if len(shape) == 4 and value.ndim == 4 and value.shape[2] == 3 and shape[2] == 1:
        # Three equal channels are their sum; a start for a training keeps the size of its sums.
        value = value.mean(2, keepdims=True) if mean else value.sum(2, keepdims=True)
    if value.shape != shape:
        raise InputError(
            f"{key!r} has shape {tuple(np.shape(state[key]))}, which gives {value.shape} "
            f"where {'/'.join(path)} is {shape}"
        )
    if found.layout.swap and path[1].startswith("up") and path[-2:] == ("conv1", "kernel"):
        # The two halves of the inputs change places.
        value = np.concatenate(np.split(value, 2, axis=2)[::-1], axis=2)
    return value


def _checked(key: str, value: np.ndarray, path: LeafPath) -> np.ndarray:
    """A parameter as float32.

    Raises:
      InputError: it holds whole numbers, values that are not finite, or a negative variance.
    """
    given = np.asarray(value)
    if not np.issubdtype(given.dtype, np.floating):
        raise InputError(f"{key!r} holds {given.dtype} instead of floating-point numbers")
    with np.errstate(over="ignore"):
        array = given.astype(np.float32)
    if not np.isfinite(array).all():
        wild = int(np.sum(~np.isfinite(array)))
        kind = "NaN" if np.isnan(array).any() else "infinite"
        raise InputError(f"{key!r} has {wild} of {array.size} values that are {kind}")
    if path[-1] == "var" and (array < 0).any():
        raise InputError(f"{key!r} holds negative variances")
    return array
