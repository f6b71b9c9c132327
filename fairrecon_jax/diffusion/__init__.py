"""The mean-reverting equation and the samplers that solve it backwards."""

from __future__ import annotations

from fairrecon_jax.diffusion.precondition import Precondition
from fairrecon_jax.diffusion.samplers import (
    PRESETS,
    Sampler,
    initial_state,
    make_sampler,
    sample,
    step_table,
)
from fairrecon_jax.diffusion.sde import SDE

__all__ = [
    "PRESETS",
    "SDE",
    "Precondition",
    "Sampler",
    "initial_state",
    "make_sampler",
    "sample",
    "step_table",
]
