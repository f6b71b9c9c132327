"""Which layout a state dict has: per network the function from module paths to keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.alexnet import AlexNet
from fairrecon_jax.models.checkpoint import State
from fairrecon_jax.models.conditional_unet import ConditionalUNet
from fairrecon_jax.models.densenet import DenseNet
from fairrecon_jax.models.fastmri_unet import FastMriUNet
from fairrecon_jax.models.keys import (
    UNET_LAYOUTS,
    alexnet_key,
    conditional_unet_key,
    densenet_key,
    discriminator_key,
    fastmri_unet_key,
    generator_key,
    residual_unet_key,
    resnet_key,
    resnet_unet_key,
    unet_key,
)
from fairrecon_jax.models.pix2pix import PatchDiscriminator, Pix2PixGenerator
from fairrecon_jax.models.residual_unet import ResidualUNet
from fairrecon_jax.models.resnet import ResNet
from fairrecon_jax.models.resnet_unet import ResNetUNet
from fairrecon_jax.models.start import LeafPath
from fairrecon_jax.models.unet import UNet
from fairrecon_jax.types import InputError


class Layout(NamedTuple):
    """Which key of a state dict holds which parameter of a network.

    Attributes:
      state: the state dict, under plain keys.
      stem: from a module path, e.g. ("down0", "conv1"), to the stem of its keys, e.g.
        "d1.conv.conv1".
      swap: the decoder of a U-Net joins (upsampled, skip) instead of (skip, upsampled).
    """

    state: State
    stem: Callable[[LeafPath], str]
    swap: bool = False


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
    return Layout(state, lambda path: unet_key(path, name, depth, normalised), swap)


def _resnet(network: ResNet, state: State) -> Layout:
    # The paper's classifiers keep their network under one more name.
    wrapped = any(key.startswith("classifier.conv1") for key in state)
    plain = {
        key.removeprefix("classifier.") if wrapped else key: value for key, value in state.items()
    }
    return Layout(plain, lambda path: resnet_key(path, len(network.hidden)))


def _densenet(network: DenseNet, state: State) -> Layout:
    def plain(key: str) -> str:
        # Old torchvision files write norm.1 for norm1; MONAI keeps each layer in one more module.
        key = re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key)
        key = re.sub(r"(denselayer\d+)\.layers\.", r"\1.", key)
        return re.sub(r"^class_layers\.out\.", "classifier.", key)

    renamed = {plain(key): value for key, value in state.items()}
    if len(renamed) < len(state):
        raise InputError("two networks: the same parameter is there under two names")
    return Layout(renamed, lambda path: densenet_key(path, len(network.hidden)))


LAYOUTS: dict[type[nn.Module], Callable[[Any, State], Layout]] = {
    UNet: _unet,
    ConditionalUNet: lambda network, state: Layout(
        state, lambda path: conditional_unet_key(path, network.depth)
    ),
    ResNet: _resnet,
    DenseNet: _densenet,
    AlexNet: lambda network, state: Layout(state, alexnet_key),
    Pix2PixGenerator: lambda network, state: Layout(
        state, lambda path: generator_key(path, network.downsamplings)
    ),
    PatchDiscriminator: lambda network, state: Layout(
        state, lambda path: discriminator_key(path, network.layers)
    ),
    ResNetUNet: lambda network, state: Layout(state, resnet_unet_key),
    ResidualUNet: lambda network, state: Layout(
        state, lambda path: residual_unet_key(path, network.depth, network.units)
    ),
    FastMriUNet: lambda network, state: Layout(
        state, lambda path: fastmri_unet_key(path, network.depth)
    ),
}
"""How each network's weights are published: `(network, state) -> Layout`, which may raise
InputError.
"""


def check_known(network: nn.Module) -> None:
    """Refuses networks that have no layout.

    Raises:
      TypeError: the message lists those that have one.
    """
    if type(network) not in LAYOUTS:
        raise TypeError(
            f"cannot convert weights of {type(network).__name__}: only "
            f"{', '.join(kind.__name__ for kind in LAYOUTS)}"
        )


def inputs_of(network: nn.Module, channels: int) -> tuple[jax.Array, ...]:
    """Zeros that fit the network, as small as it takes."""
    size = 32
    if isinstance(network, UNet | ConditionalUNet | ResidualUNet | FastMriUNet):
        size = 2 ** (network.depth + 1)
    elif isinstance(network, Pix2PixGenerator):
        size = 2**network.downsamplings
    elif isinstance(network, PatchDiscriminator):
        size = 2 ** (network.layers + 2)
    image = jnp.zeros((1, size, size, channels))
    return (image, image, jnp.zeros(1)) if isinstance(network, ConditionalUNet) else (image,)
