"""Reconstructors: one file per training paradigm behind one interface."""

from __future__ import annotations

from fairrecon_jax.reconstructors.identity import Identity
from fairrecon_jax.reconstructors.interface import RECONSTRUCTORS, Reconstructor, image_errors, make_reconstructor, register
from fairrecon_jax.reconstructors.irsde import IrsdeReconstructor
from fairrecon_jax.reconstructors.mse import MseReconstructor

__all__ = [
    "RECONSTRUCTORS",
    "Identity",
    "IrsdeReconstructor",
    "MseReconstructor",
    "Reconstructor",
    "image_errors",
    "make_reconstructor",
    "register",
]
