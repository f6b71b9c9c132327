"""Network definitions (Flax linen), without losses or data."""

from __future__ import annotations

from fairrecon_jax.models.alexnet import AlexNet
from fairrecon_jax.models.apply import apply_network, init_network, weighted_mean
from fairrecon_jax.models.checkpoint import read_state
from fairrecon_jax.models.conditional_unet import ConditionalUNet
from fairrecon_jax.models.conversion import convert
from fairrecon_jax.models.densenet import DenseNet
from fairrecon_jax.models.fastmri_unet import FastMriUNet
from fairrecon_jax.models.layers import UpConv2x2, UpConv4x4, max_pool_2x2, max_pool_3x3_stride_2
from fairrecon_jax.models.pix2pix import PatchDiscriminator, Pix2PixGenerator
from fairrecon_jax.models.residual_unet import ResidualUNet
from fairrecon_jax.models.resnet import ResNet
from fairrecon_jax.models.resnet_unet import ResNetUNet
from fairrecon_jax.models.unet import UNet

__all__ = [
    "AlexNet",
    "ConditionalUNet",
    "DenseNet",
    "FastMriUNet",
    "PatchDiscriminator",
    "Pix2PixGenerator",
    "ResNet",
    "ResNetUNet",
    "ResidualUNet",
    "UNet",
    "UpConv2x2",
    "UpConv4x4",
    "apply_network",
    "convert",
    "init_network",
    "max_pool_2x2",
    "max_pool_3x3_stride_2",
    "read_state",
    "weighted_mean",
]
