"""One training loop for every reconstructor and diagnoser, its state, optimisers, checkpoints and metrics."""

from __future__ import annotations

from fairrecon_jax.training.trainable import Phase, PhaseLoss, PhaseOutput, Trainable

__all__ = ["Phase", "PhaseLoss", "PhaseOutput", "Trainable"]
