"""PyTorch state dicts become Flax variables, in the key layouts in which the networks' weights are
published.

A further network takes one line in `LAYOUTS`: its class, and a function `(network, state) ->
Layout` that says which key holds which parameter. `convert` does the rest: transposes, compares
shapes and names every key that is missing, unexpected or of another shape.
"""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fairrecon_jax.models.apply import LeafPath, init_network
from fairrecon_jax.models.conditional_unet import ConditionalUNet
from fairrecon_jax.models.densenet import DenseNet
from fairrecon_jax.models.keys import (
    UNET_LAYOUTS,
    conditional_unet_key,
    densenet_key,
    discriminator_key,
    generator_key,
    resnet_key,
    unet_key,
)
from fairrecon_jax.models.pix2pix import PatchDiscriminator, Pix2PixGenerator
from fairrecon_jax.models.resnet import ResNet
from fairrecon_jax.models.unet import UNet
from fairrecon_jax.types import InputError, Key

State = Mapping[str, np.ndarray]


class Layout(NamedTuple):
    """Which key of a state dict holds which parameter of a network.

    Attributes:
      state: the state dict, under plain keys.
      stem: from a module path, e.g. ("down0", "conv1"), to the stem of its keys, e.g.
        "d1.conv.conv1".
      swap: the decoder of a U-Net joins (upsampled, skip) instead of (skip, upsampled).
      size: pixels along the side of an image that the network can take.
    """

    state: State
    stem: Callable[[LeafPath], str]
    swap: bool = False
    size: int = 32


_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_PREFIXES = re.compile(r"^((module|netG|netD)\.)+")
_HEADS = ("fc.", "fc_layers.", "classifier.", "outputs.", "outc.", "conv.")


def read_state(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dict.

    `.safetensors` files are read without PyTorch; `.pth`, `.pt` and `.bin` files with it, weights
    only (no code in the file is run). A dictionary under "state_dict", "model_state_dict", "model"
    or "params" is unwrapped, and the prefixes "module." of parallel training and "netG." and
    "netD." of the networks of a GAN are removed.

    Args:
      path: the file.

    Returns:
      Arrays by key.

    Raises:
      InputError: the ending is unknown, the file is damaged, it holds no dictionary of tensors, or
        PyTorch is needed and not installed.
      FileNotFoundError: there is no such file.

    Example:
      >>> from tempfile import mkdtemp
      >>> from safetensors.numpy import save_file
      >>> path = Path(mkdtemp(), "net.safetensors")
      >>> save_file({"module.conv.weight": np.zeros((8, 1, 3, 3), np.float32)}, path)
      >>> {key: value.shape for key, value in read_state(path).items()}
      {'conv.weight': (8, 1, 3, 3)}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            state: Any = load_file(path)
        except SafetensorError as error:
            raise InputError(f"{path} cannot be read as safetensors: {error}") from error
    elif path.suffix in (".pth", ".pt", ".bin"):
        state = _torch_load(path)
    else:
        raise InputError(f"{path}: weights are read from .safetensors, .pth, .pt or .bin files")
    # No break: a wrapper may hold another one.
    for wrapper in ("state_dict", "model_state_dict", "model", "params"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(hasattr(v, "shape") for v in state.values()):
        raise InputError(f"{path}: not a dictionary of tensors; save the model's state_dict()")
    return {_PREFIXES.sub("", key): np.asarray(value) for key, value in state.items()}


def _torch_load(path: Path) -> Any:
    """What a PyTorch file holds, tensors as float or integer arrays."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise InputError(
            f"{path}: reading this file needs PyTorch (pip install torch), or save it as "
            ".safetensors"
        ) from error
    try:
        return _to_numpy(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        cause = str(error).strip().splitlines()[0]
        raise InputError(
            f"{path} cannot be read as PyTorch weights; save the model's state_dict() "
            f"with torch.save: {cause}"
        ) from error


def _to_numpy(value: Any) -> Any:
    """Tensors as arrays at any depth of dictionaries; bfloat16 and half become float32."""
    if isinstance(value, Mapping):
        return {key: _to_numpy(item) for key, item in value.items()}
    if hasattr(value, "detach"):
        return (value.detach().float() if value.is_floating_point() else value.detach()).numpy()
    return value


def convert(
    network: nn.Module, state: State, channels: int = 1, fresh_head: Key | None = None
) -> dict[str, Any]:
    """Flax variables of a network from a PyTorch state dict.

    A first convolution with three input channels serves a network of one channel by its mean over
    them (as in the paper). Convolutions without bias that are followed by a normalisation get the
    bias 0.

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
      InputError: keys are missing or unexpected, or a shape is wrong; the message names each.
      TypeError: the network's type is unknown.

    Example:
      >>> shapes = {"model.0.weight": (2, 2, 4, 4), "model.0.bias": (2,), "model.5.bias": (1,)}
      >>> shapes |= {"model.2.weight": (4, 2, 4, 4), "model.5.weight": (1, 4, 4, 4)}
      >>> shapes |= {f"model.3.{s}": (4,) for s in "weight bias running_mean running_var".split()}
      >>> state = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
      >>> variables = convert(PatchDiscriminator(width=2, layers=1), state, channels=2)
      >>> variables["params"]["conv1"]["kernel"].shape  # [out, in, H, W] becomes [H, W, in, out]
      (4, 4, 2, 4)
    """
    state, stem, swap, size = _layout(network, state)
    inputs = _inputs(network, size, channels)
    # Shapes alone: nothing is computed.
    wanted = flatten_dict(dict(jax.eval_shape(lambda: network.init(jax.random.key(0), *inputs))))
    converted: dict[LeafPath, jax.Array] = {}
    if fresh_head is not None:
        fresh = flatten_dict(init_network(network, "net", fresh_head, *inputs)["params"]["net"])
        converted = {("params", *path): leaf for path, leaf in fresh.items() if path[0] == "head"}
    # All problems are gathered: a wrong layout is known by the whole list, not by its first key.
    used, problems = set(), []
    for path, leaf in wanted.items():
        if path in converted:
            continue
        key = f"{stem(_module(path))}.{_torch_leaf(network, path[-1])}"
        used.add(key)
        try:
            converted[path] = jnp.asarray(
                _leaf(state, key, path, leaf.shape, swap, _normalised_bias(network, path))
            )
        except InputError as error:
            problems.append(str(error))
    problems += [
        f"unexpected {key!r}"
        for key in sorted(set(state) - used)
        if not _ignored(key, fresh_head is not None)
    ]
    if problems:
        more = f"; and {len(problems) - 50} more" if len(problems) > 50 else ""
        raise InputError(
            f"the state dict does not fit {type(network).__name__}: "
            f"{'; '.join(problems[:50])}{more}"
        )
    return {"params": {}, "batch_stats": {}, **unflatten_dict(converted)}


def _unet(network: UNet, state: State) -> Layout:
    # Told by the keys, so that no file needs an option.
    layouts = [
        value
        for start, value in UNET_LAYOUTS.items()
        if any(key.startswith(start) for key in state)
    ]
    if not layouts:
        starts = " or ".join(map(repr, UNET_LAYOUTS))
        raise InputError(
            f"no known U-Net layout: no key starts with {starts}; the first one is "
            f"{min(state, default=None)!r}"
        )
    (name, swap), depth, normalised = layouts[0], network.depth, network.norm is not None
    return Layout(
        state, lambda path: unet_key(path, name, depth, normalised), swap, 2 ** (depth + 1)
    )


def _conditional_unet(network: ConditionalUNet, state: State) -> Layout:
    return Layout(
        state, lambda path: conditional_unet_key(path, network.depth), size=2 ** (network.depth + 1)
    )


def _resnet(network: ResNet, state: State) -> Layout:
    # The paper's classifiers keep their network under one more name.
    wrapped = any(key.startswith("classifier.conv1") for key in state)
    plain = {
        key.removeprefix("classifier.") if wrapped else key: value for key, value in state.items()
    }
    return Layout(plain, lambda path: resnet_key(path, len(network.hidden)))


def _densenet(network: DenseNet, state: State) -> Layout:
    plain = {
        # Old torchvision files write norm.1 for norm1.
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key): value
        for key, value in state.items()
    }
    return Layout(plain, lambda path: densenet_key(path, len(network.hidden)))


def _generator(network: Pix2PixGenerator, state: State) -> Layout:
    return Layout(
        state,
        lambda path: generator_key(path, network.downsamplings),
        size=2**network.downsamplings,
    )


def _discriminator(network: PatchDiscriminator, state: State) -> Layout:
    return Layout(
        state, lambda path: discriminator_key(path, network.layers), size=2 ** (network.layers + 2)
    )


LAYOUTS: dict[type[nn.Module], Callable[[Any, State], Layout]] = {
    UNet: _unet,
    ConditionalUNet: _conditional_unet,
    ResNet: _resnet,
    DenseNet: _densenet,
    Pix2PixGenerator: _generator,
    PatchDiscriminator: _discriminator,
}
"""How each network's weights are published: `(network, state) -> Layout`, which may raise
InputError.
"""


def _layout(network: nn.Module, state: State) -> Layout:
    """The layout of a network's state dict.

    Raises:
      TypeError: the network's type is unknown.
    """
    if type(network) not in LAYOUTS:
        raise TypeError(
            f"cannot convert weights of {type(network).__name__}: only "
            f"{', '.join(kind.__name__ for kind in LAYOUTS)}"
        )
    return LAYOUTS[type(network)](network, state)


def _inputs(network: nn.Module, size: int, channels: int) -> tuple[jax.Array, ...]:
    """Inputs that fit the network."""
    image = jnp.zeros((1, size, size, channels))
    return (image, image, jnp.zeros(1)) if isinstance(network, ConditionalUNet) else (image,)


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


def _ignored(key: str, head: bool) -> bool:
    """Whether an unexpected key is harmless."""
    # Counters of batch norm, and operating points of TorchXRayVision: no parameters.
    return key.endswith(("num_batches_tracked", "op_threshs")) or (head and key.startswith(_HEADS))


def _leaf(
    state: State, key: str, path: LeafPath, shape: tuple[int, ...], swap: bool, optional: bool
) -> np.ndarray:
    """One parameter in Flax's layout.

    Raises:
      InputError: the key is missing or its shape is wrong.
    """
    if key not in state:
        if optional:
            return np.zeros(shape, np.float32)
        raise InputError(f"missing {key!r}")
    value = np.asarray(state[key], np.float32)
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
        # Three colour channels serve a grey image by their mean.
        value = value.mean(axis=2, keepdims=True)
    if value.shape != shape:
        raise InputError(
            f"{key!r} has shape {tuple(np.shape(state[key]))}, which gives {value.shape} "
            f"where {'/'.join(path)} is {shape}"
        )
    if swap and path[1].startswith("up") and path[-2:] == ("conv1", "kernel"):
        # The two halves of the inputs change places.
        value = np.concatenate(np.split(value, 2, axis=2)[::-1], axis=2)
    return value
