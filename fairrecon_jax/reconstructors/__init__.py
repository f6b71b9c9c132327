"""Reconstructors: one file per training paradigm behind one interface."""

from __future__ import annotations

from fairrecon_jax.reconstructors.identity import Identity
from fairrecon_jax.reconstructors.interface import (
    RECONSTRUCTORS,
    Reconstructor,
    image_errors,
    make_reconstructor,
    register,
)
from fairrecon_jax.reconstructors.irsde import IrsdeReconstructor
from fairrecon_jax.reconstructors.pix2pix import Pix2PixReconstructor, gan_loss
from fairrecon_jax.reconstructors.stored import Stored
from fairrecon_jax.reconstructors.unet import UNetReconstructor

__all__ = [
    "RECONSTRUCTORS",
    "Identity",
    "IrsdeReconstructor",
    "Pix2PixReconstructor",
    "Reconstructor",
    "Stored",
    "UNetReconstructor",
    "gan_loss",
    "image_errors",
    "make_reconstructor",
    "register",
]
