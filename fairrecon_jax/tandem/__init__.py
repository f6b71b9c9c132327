"""The fused step: degrade, reconstruct, diagnose original and reconstruction, score the image.

`tandem(...)` itself, called as a function, makes the step of arrays in a notebook, see `on_arrays`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from fairrecon_jax.tandem.models import TrainedDiagnoser, TrainedReconstructor, on_host, trained
from fairrecon_jax.tandem.on_arrays import ArrayTandem
from fairrecon_jax.tandem.step import DEGRADE, SAMPLE, Tandem, TandemInputs, compile_step

__all__ = [
    "DEGRADE",
    "SAMPLE",
    "ArrayTandem",
    "Tandem",
    "TandemInputs",
    "TrainedDiagnoser",
    "TrainedReconstructor",
    "compile_step",
    "on_host",
    "trained",
]


class _Room(ModuleType):
    """The room is called like the function that notebooks use, so it can be called itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> ArrayTandem:
        """`ArrayTandem(*args, **kwargs)`."""
        return ArrayTandem(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
