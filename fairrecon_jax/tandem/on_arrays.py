"""The tandem step on arrays: images and labels in, one row per image out."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from fairrecon_jax.data.arrays import arrays
from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.diagnosers.callable import plainly
from fairrecon_jax.metrics import read_lpips
from fairrecon_jax.metrics.image_metric import DEFAULT
from fairrecon_jax.physics.at_level import AtLevel, as_key
from fairrecon_jax.reconstructors import Identity, Reconstructor
from fairrecon_jax.reconstructors.interface import Untrained
from fairrecon_jax.runtime.devices import pad_batch
from fairrecon_jax.runtime.progress import progress
from fairrecon_jax.tandem.models import (
    FunctionReconstructor,
    TrainedReconstructor,
    as_diagnosers,
    check_weights,
)
from fairrecon_jax.tandem.step import Tandem, compile_step
from fairrecon_jax.types import Array, CohortSpec, InputError, Key, Task, Variables

NOTHING: Variables = {"params": {}, "batch_stats": {}}
"""Variables of what has no weights."""


class ArrayTandem:
    """Degrades, reconstructs and diagnoses images in memory, all in one compiled program.

    Args:
      physics: the degradation at its level, e.g. `fr.LowDoseXray(photons=1e4)`.
      reconstructor: a `TrainedReconstructor`; a reconstructor with `weights`; a function of
        degraded images; or None for the degraded image itself.
      diagnosers: a list of `TrainedDiagnoser`s, or a dictionary of functions of images by task
        name; `on_host` wraps functions that run outside of JAX.
      weights: of a reconstructor that is not bound to its weights.
      image_metrics: a tuple of names in `metrics.IMAGE_METRICS`.
      lpips: weights from `metrics.read_lpips`, or what it takes; None for no LPIPS.
      batch_size: images a step, rounded up to a multiple of the devices.

    Raises:
      InputError: a part is none of these.

    Example:
      >>> import fairrecon_jax as fr
      >>> bright = {"bright": lambda image: image.mean((1, 2, 3))}
      >>> step = ArrayTandem(fr.GaussianNoise(sd=0.1), None, bright)
      >>> rows = step(np.full((3, 16, 16), 0.5, np.float32), {"bright": [0, 1, 1]}, key=0)
      >>> rows[["bright__label", "bright__original"]].to_numpy().tolist()
      [[0.0, 0.5], [1.0, 0.5], [1.0, 0.5]]
    """

    def __init__(
        self,
        physics: AtLevel,
        reconstructor: Any,
        diagnosers: Mapping[str, Any] | Sequence[Any],
        weights: Variables | None = None,
        *,
        image_metrics: tuple[str, ...] = DEFAULT,
        lpips: str | Path | Mapping[str, Any] | None = None,
        batch_size: int = 32,
    ) -> None:
        if not isinstance(physics, AtLevel):
            raise InputError(
                f"physics must be a degradation at a level, such as fr.RadialMRI(acceleration=8), "
                f"got {type(physics).__name__}"
            )
        if isinstance(image_metrics, str):
            raise InputError(f"image_metrics is a tuple of names, got {image_metrics!r}")
        self.physics, self.image_metrics = physics, tuple(image_metrics)
        self.reconstructor, self.weights = _reconstructor(reconstructor, weights)
        self.diagnosers = diagnosers
        weighted = read_lpips(lpips) if isinstance(lpips, str | Path) else lpips
        self.metric_weights = {"lpips": weighted} if weighted else {}
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size must be a whole number above 0, got {batch_size!r}")
        devices = jax.local_device_count()
        # rounded up: every device takes as many rows
        self.batch_size = math.ceil(batch_size / devices) * devices

    def __repr__(self) -> str:
        tasks = [task for model in as_diagnosers(self.diagnosers)[0] for task in model.tasks]
        return f"Tandem({self.physics!r} -> {self.reconstructor.name} -> {', '.join(tasks)})"

    def __call__(
        self,
        image: Array | Cohort,
        labels: Any = None,
        *,
        masks: Any = None,
        groups: Mapping[str, Any] | None = None,
        patient: Sequence[Any] | None = None,
        ids: Sequence[str] | None = None,
        split: Sequence[str] | None = None,
        key: Key | int,
    ) -> pd.DataFrame:
        """Runs the step.

        Args:
          image: [N, H, W, 1] or [N, H, W] in [0, 1], or a cohort, which brings all that follows but
            `split`.
          labels: see `data.arrays.arrays`.
          masks: see there.
          groups: see there.
          patient: see there.
          ids: see there.
          split: [N] "val" or "test"; "test" if None.
          key: of the measurement noise and of what the reconstructor draws; a key or a seed.

        Returns:
          One row per image: example_id, patient_id, split, the groups, level, reconstructor,
            mitigation, `<task>__label`, `<task>__original`, `<task>__reconstructed` and the image
            metrics; `fr.assess` takes it as it is.

        Raises:
          InputError: an array does not fit, or a segmentation has no mask.
        """
        if isinstance(image, Cohort):
            cohort = image
        else:
            labels, masks = self._named(labels, masks)
            cohort = arrays(image, labels, masks=masks, groups=groups, patient=patient, ids=ids)
        if split is not None and len(split) != len(cohort):
            raise InputError(f"split has {len(split)} entries for {len(cohort)} images")
        if split is not None and (wrong := sorted({*map(str, split)} - {"val", "test"})):
            raise InputError(f"split must hold 'val' and 'test', got {wrong[0]!r}")
        if len(cohort) == 0:
            raise InputError("there is no image")
        size = cohort.source[0]["image"].shape[0]
        if hasattr(self.reconstructor, "init"):
            check_weights(self.reconstructor, self.weights, size)
        spec, models, weights = self._tasks(cohort.spec)
        tandem = Tandem(
            self.physics.sized(size), self.reconstructor, tuple(models), spec, self.image_metrics
        )
        step = _compiled(tandem)
        inputs = tandem.inputs(
            self.physics.level, self.weights, weights, as_key(key), self.metric_weights
        )
        try:
            found = self._rows(cohort, spec, step, inputs)
        except jax.errors.TracerArrayConversionError as error:
            raise InputError(
                "a function that was given is none of JAX: wrap what computes with NumPy or "
                "PyTorch in fr.on_host(...)"
            ) from error
        table = cohort.table[
            ["example_id", "patient_id", *(a.name for a in spec.attributes)]
        ].copy()
        table["split"] = "test" if split is None else np.asarray(split)
        table["level"], table["reconstructor"] = self.physics.level, self.reconstructor.name
        table["mitigation"], table["cohort"] = "none", spec.name
        table = table.assign(**found)
        # what a level means, for `fr.assess`; the levels themselves stand in the rows
        words = dataclasses.replace(spec.degradation, levels=(), headline_level=0.0)
        table.attrs["degradation"] = dataclasses.asdict(words)
        return table

    def _named(self, labels: Any, masks: Any) -> tuple[Any, Any]:
        """Labels and masks by task; one array alone belongs to the only task of its kind.

        Raises:
          InputError: it could belong to several, or nothing diagnoses what has labels.
        """
        regions = list(masks) if isinstance(masks, Mapping) else []
        if masks is not None and not regions and isinstance(self.diagnosers, Mapping):
            # of functions nothing tells which give masks, but for the masks that are given
            regions = list(self.diagnosers) if len(self.diagnosers) == 1 else []
        models, _ = as_diagnosers(self.diagnosers, regions)
        named = []
        for what, given, kind in (
            ("labels", labels, "classification"),
            ("masks", masks, "segmentation"),
        ):
            tasks = [task for model in models if model.kind == kind for task in model.tasks]
            if given is not None and not isinstance(given, Mapping | pd.DataFrame):
                if len(tasks) != 1:
                    raise InputError(
                        f"{what} is one array for {len(tasks)} diagnoses ({', '.join(tasks)}): "
                        "give a dictionary by name"
                    )
                given = {tasks[0]: given}
            if unread := [str(task) for task in given or () if task not in tasks]:
                raise InputError(
                    f"{what} has {unread[0]!r}, which no diagnoser reads; they read "
                    f"{', '.join(tasks) or 'nothing of this kind'}"
                )
            named.append(given)
        return named[0], named[1]

    def _tasks(self, spec: CohortSpec) -> tuple[CohortSpec, list[Any], list[Variables]]:
        """The specification with all diagnosed tasks at this level, and the diagnosers."""
        masks = [task.name for task in spec.segmentation_tasks]
        models, weights = as_diagnosers(self.diagnosers, masks)
        judged = [(task, model.kind) for model in models for task in model.tasks]
        known = {task.name: task for task in spec.tasks}
        for task, kind in judged:
            if kind == "segmentation" and task not in masks:
                raise InputError(f"{task!r} is a segmentation: give masks={{{task!r}: ...}}")
            if task in known and known[task].kind != kind:
                raise InputError(f"{task!r} has labels, but its diagnoser gives masks")
        # a finding without labels is diagnosed all the same; its label stays unknown
        more = [Task(task, kind) for task, kind in judged if task not in known]
        # for its words, which are the same at any size
        degradation = self.physics.sized(64).describe((self.physics.level,), self.physics.level)
        return (
            CohortSpec(
                spec.name,
                spec.title,
                "mri" if degradation.modality == "mri" else "xray",
                (*spec.tasks, *more),
                spec.attributes,
                degradation,
                spec.citation,
            ),
            models,
            weights,
        )

    def _rows(
        self, cohort: Cohort, spec: CohortSpec, step: Callable[..., Any], inputs: Any
    ) -> dict[str, np.ndarray]:
        """The columns of the step over all images, padded to whole batches."""
        parts: list[dict[str, np.ndarray]] = []
        # diagnosed tasks without labels stand behind those of the cohort
        lacking = len(spec.classification_tasks) - cohort.labels().shape[1]
        bar = progress(f"tandem {self.reconstructor.name}", len(cohort), 0)
        for start in range(0, len(cohort), self.batch_size):
            rows = np.arange(start, min(start + self.batch_size, len(cohort)))
            batch = read_rows(cohort, rows)
            unknown = np.full((len(rows), lacking), np.nan, np.float32)
            batch["labels"] = np.concatenate([batch["labels"], unknown], 1)
            with plainly():
                # one shape for all batches, the last one too: one program
                found = jax.device_get(step(inputs, pad_batch(batch, self.batch_size)))
            # behind the last image it is padding
            parts.append({name: value[: len(rows)] for name, value in found.items()})
            bar.advance(len(rows))
        bar.close()
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


# equal parts are equal keys: another object of the same fields does not compile again
@functools.lru_cache(maxsize=16)
def _compiled(tandem: Tandem) -> Callable[..., Any]:
    """The compiled step: one for the same parts under any weights."""
    return compile_step(tandem)


def _reconstructor(given: Any, weights: Variables | None) -> tuple[Any, Variables]:
    """A reconstructor and its weights from what a notebook gives."""
    if given is None:
        return Identity(), NOTHING
    if isinstance(given, TrainedReconstructor):
        return given.model, given.weights
    if isinstance(given, Untrained):
        return given, NOTHING
    if isinstance(given, Reconstructor):
        if weights is None:
            raise InputError(f"{given.name} needs weights: give those that `fit` returned")
        return given, weights
    if callable(given):
        return FunctionReconstructor(given, getattr(given, "__name__", "reconstruction")), NOTHING
    raise InputError(
        "reconstructor must be a reconstructor with its weights, a function of degraded images or "
        f"None, got {type(given).__name__}"
    )
