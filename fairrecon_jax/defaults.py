"""Starting points of configurations; the files in `configs/` begin with these and choose.

The defaults themselves stand in the dataclasses: `training` lists those of `TrainConfig`, `study`
those of the blocks of `fairrecon_jax.study.config`. A field that is None follows from the others.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.study.blocks import SplitsConfig, TandemConfig
from fairrecon_jax.training.config import Mode, TrainConfig


def training(
    steps: int,
    batch_size: int,
    learning_rate: float,
    selection: str | None = None,
    mode: Mode | None = None,
) -> ConfigDict:
    """One training's block: the fields of `TrainConfig`, with its defaults.

    Args:
      steps: updates.
      batch_size: examples per update over all devices of all processes.
      learning_rate: peak rate.
      selection: validation metric that picks the best checkpoint; None = the model's own.
      mode: whether a high ("max") or a low ("min") metric is better; None = the metric's own.

    Example:
      >>> training(800, 8, 1e-3).schedule
      'cosine'
    """
    return _block(
        TrainConfig(steps, batch_size, learning_rate, selection=selection, selection_mode=mode)
    )


def mitigation(
    kind: str, steps: int, batch_size: int, learning_rate: float, **fields: Any
) -> ConfigDict:
    """One mitigation's block: a kind of `fairrecon_jax.mitigation.MITIGATIONS`, its fields, and
    those of `study.blocks.MitigationPlan`.

    Its training keeps the last weights: the best image is not the fairest one.
    """
    block = ConfigDict({"kind": kind, **fields})
    block.train = training(steps, batch_size, learning_rate, selection="")
    return block


def study() -> ConfigDict:
    """What every study has, without cohort, models and levels; fields to choose are commented in
    the files of `configs/`.
    """
    c = ConfigDict()
    c.seed = 0
    c.seeds = ()
    c.seed_diagnosers = False
    c.cohort = ConfigDict({"root": ""})
    c.phantom = ConfigDict({"kind": ""})
    c.splits = _block(SplitsConfig())
    c.degradation = ConfigDict()
    c.reconstructors = ConfigDict({"identity": {"kind": "identity"}})
    c.diagnosers = ConfigDict()
    c.mitigations = ConfigDict()
    c.tandem = _block(TandemConfig())
    c.assess = _block(AssessOptions())
    c.report = ConfigDict({"examples": 3, **_block(ReportOptions())})
    return c


def _block(options: Any) -> ConfigDict:
    """The fields of a dataclass as a block."""
    fields = dataclasses.fields(options)
    return ConfigDict({field.name: getattr(options, field.name) for field in fields})
