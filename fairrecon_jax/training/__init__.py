"""One training loop for every reconstructor and diagnoser, its state, optimisers, checkpoints and
metrics.

`training.loop.fit` and `training.checkpoints.load_variables` are imported from their modules: they
bring the checkpoint library with them.
"""

from __future__ import annotations

from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.trainable import (
    Objective,
    Phase,
    PhaseLoss,
    PhaseOutput,
    Together,
    Trainable,
)

__all__ = ["Objective", "Phase", "PhaseLoss", "PhaseOutput", "Together", "TrainConfig", "Trainable"]
