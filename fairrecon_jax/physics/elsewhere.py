"""No degradation of ours: images that were measured and reconstructed elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax
import numpy as np

from fairrecon_jax.physics.interface import BaseDegradation, Modality, Operator, Worse
from fairrecon_jax.types import UNNAMED, Array, DegradationSpec, InputError, Key


@dataclasses.dataclass(frozen=True)
class Elsewhere(BaseDegradation):
    """Stands where a study degrades nothing itself: one level, whose number means nothing.

    It is in no registry: a study has it when all its reconstructors bring their images along.

    Attributes:
      size: image height and width in pixels, even.

    Example:
      >>> Elsewhere(64).describe((1.0,), 1.0).is_named
      False
    """

    kind: ClassVar[str] = UNNAMED.kind
    title: ClassVar[str] = UNNAMED.title
    unit: ClassVar[str] = UNNAMED.unit
    symbol: ClassVar[str] = UNNAMED.symbol
    worse: ClassVar[Worse] = UNNAMED.worse
    modality: ClassVar[Modality] = UNNAMED.modality

    def operator(self, level: float) -> dict[str, Array]:
        """Nothing depends on the level but its own number."""
        return {"level": np.asarray(self.positive(level), np.float32)}

    def describe(self, levels: Sequence[float], headline_level: float) -> DegradationSpec:
        """`types.UNNAMED`."""
        return UNNAMED

    def _degrade(
        self, operators: Operator, image: jax.Array, example_id: Array, key: Key
    ) -> jax.Array:
        raise InputError("the images were degraded elsewhere: there is nothing to degrade with")
