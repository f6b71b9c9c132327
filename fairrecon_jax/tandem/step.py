"""The fused step: degrade, reconstruct, diagnose original and reconstruction, score the image; one
compiled program, one row per example.

Everything that changes from one study cell to the next (the level's operator, the weights, the key)
is a traced argument, so a study compiles the program of each reconstructor once. Noise and sampling
are keyed by the example's digest: a row does not depend on the batch it was computed in, on padding
or on the number of devices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fairrecon_jax.diagnosers import Diagnoser, check_apart
from fairrecon_jax.keys import example_keys
from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.metrics.image_metric import DEFAULT, check_computable
from fairrecon_jax.metrics.segmentation import dice
from fairrecon_jax.physics.interface import Degradation
from fairrecon_jax.reconstructors import Reconstructor
from fairrecon_jax.reconstructors.interface import GivesImages
from fairrecon_jax.runtime.devices import map_rows
from fairrecon_jax.types import MASK_THRESHOLD, Array, Batch, CohortSpec, Key, Variables

DEGRADE = 0
"""Stream of the study key for the measurement noise."""
SAMPLE = 1
"""Stream of the study key for whatever the reconstructor draws."""


class TandemInputs(NamedTuple):
    """Everything that changes from one cell of a study to the next: the traced arguments of `step`.

    Attributes:
      operator: of the level, from `Degradation.operator`.
      reconstructor: weights.
      diagnosers: weights of each, in the order of `Tandem.diagnosers`.
      key: scalar typed key of the study.
      metrics: weights of the image metrics that have some, by name in `metrics.IMAGE_METRICS`.
    """

    operator: Mapping[str, Array]
    reconstructor: Variables
    diagnosers: tuple[Variables, ...]
    key: Key
    metrics: dict[str, Any] = {}  # noqa: RUF012  (a named tuple, never changed)


@dataclasses.dataclass(frozen=True)
class Tandem:
    """A degradation, a reconstructor and the frozen diagnosers that read its images.

    Attributes:
      degradation: the physics.
      reconstructor: its weights are given to each call.
      diagnosers: read original and reconstruction alike; their weights are given to each call.
      spec: names the tasks behind label columns and mask channels.
      image_metrics: names in `metrics.IMAGE_METRICS`.

    Example:
      >>> image, weights = np.full((4, 16, 16, 1), 0.5), {"params": {}, "batch_stats": {}}
      >>> cohort, physics = fr.arrays(image), fr.physics.GaussianNoise(16)
      >>> tandem = Tandem(physics, fr.Identity(), (), cohort.spec, image_metrics=("psnr",))
      >>> inputs = tandem.inputs(0.1, weights, (), jax.random.key(0))
      >>> rows = jax.jit(tandem.step)(inputs, {"image": image, "example_id": cohort.digests()})
      >>> {name: values.shape for name, values in rows.items()}
      {'psnr': (4,)}
    """

    degradation: Degradation
    reconstructor: Reconstructor
    diagnosers: tuple[Diagnoser, ...]
    spec: CohortSpec
    image_metrics: tuple[str, ...] = DEFAULT

    def __post_init__(self) -> None:
        check_computable(self.image_metrics)
        check_apart((type(diagnoser).__name__, diagnoser) for diagnoser in self.diagnosers)

    def inputs(
        self,
        level: float,
        reconstructor: Variables,
        diagnosers: Iterable[Variables],
        key: Key,
        metrics: Mapping[str, Any] | None = None,
    ) -> TandemInputs:
        """The traced arguments of `step` for one level, one set of weights and one key; `metrics`
        are the weights of image metrics that have some, by name.
        """
        operator = self.degradation.operator(level)
        weights = dict(metrics or {})
        return TandemInputs(operator, reconstructor, tuple(diagnosers), key, weights)

    def reconstruct(self, inputs: TandemInputs, batch: Batch) -> tuple[Array | None, Array]:
        """Degrades and reconstructs a batch, or takes the images that come with it.

        Args:
          inputs: from `inputs`, the method.
          batch: `types.Batch` of B examples.

        Returns:
          (degraded, reconstruction), each [B, H, W, 1] float32 in [0, 1]; of images that come with
            the batch degraded may be None.
        """
        if isinstance(self.reconstructor, GivesImages):
            return self.reconstructor.given(batch)
        image, example_id, key = batch["image"], batch["example_id"], inputs.key
        degraded = self.degradation(
            inputs.operator, image, example_id, jax.random.fold_in(key, DEGRADE)
        )
        # A stream apart: a sampler that draws more leaves the measurement noise as it is.
        keys = example_keys(jax.random.fold_in(key, SAMPLE), example_id)
        return degraded, self.reconstructor.reconstruct(inputs.reconstructor, degraded, keys)

    def diagnose(self, weights: Sequence[Variables], images: Array) -> dict[str, Array]:
        """Runs every frozen diagnoser.

        Args:
          weights: of the diagnosers, in their order.
          images: [B, H, W, 1] in [0, 1].

        Returns:
          By task name, a score [B] in [0, 1] (classification) or a mask probability [B, H, W]
            (segmentation).
        """
        by_task: dict[str, Array] = {}
        for diagnoser, variables in zip(self.diagnosers, weights, strict=True):
            scores = diagnoser.predict(variables, images)
            # [B] or [B, H, W]: tasks are the last axis of either kind
            by_task |= {task: scores[..., column] for column, task in enumerate(diagnoser.tasks)}
        return by_task

    def step(self, inputs: TandemInputs, batch: Batch) -> dict[str, Array]:
        """The tandem step.

        Args:
          inputs: from `inputs`, the method.
          batch: `types.Batch` of B examples.

        Returns:
          Columns [B] of the predictions table: `<task>__label`, `__original`, `__reconstructed`
            (scores, or truth pixels and Dice);
          for segmentation also `__original_pixels` and `__reconstructed_pixels`; and the image
            metrics of the reconstruction.
        """
        image = batch["image"]
        _, reconstruction = self.reconstruct(inputs, batch)
        # [2 B, ...]: frozen networks treat rows one by one, so neither version sees the other.
        both = self.diagnose(inputs.diagnosers, jnp.concatenate([image, reconstruction]))
        original = {task: value[: len(image)] for task, value in both.items()}
        reconstructed = {task: value[len(image) :] for task, value in both.items()}
        rows: dict[str, Array] = {}
        for name in self.image_metrics:
            # None comes with outside tables only.
            if (compute := IMAGE_METRICS[name].compute) is not None:
                rows[name] = compute(image, reconstruction)
        for name, weights in inputs.metrics.items():
            if (compute_by := IMAGE_METRICS[name].compute_by) is not None:
                rows[name] = compute_by(image, reconstruction, weights)
        for column, task in enumerate(self.spec.classification_tasks):
            if task.name in both:
                rows[f"{task.name}__label"] = batch["labels"][:, column]
                rows[f"{task.name}__original"] = original[task.name]
                rows[f"{task.name}__reconstructed"] = reconstructed[task.name]
        for channel, task in enumerate(self.spec.segmentation_tasks):
            if task.name in both:
                truth = batch["mask"][..., channel]
                # Pixels, not presence: the table can apply any rule for empty masks later.
                rows[f"{task.name}__label"] = truth.sum((1, 2))
                for version, found in (("original", original), ("reconstructed", reconstructed)):
                    probability = found[task.name]
                    rows[f"{task.name}__{version}"] = dice(
                        probability[..., None], truth[..., None], MASK_THRESHOLD
                    )[:, 0]
                    rows[f"{task.name}__{version}_pixels"] = (probability >= MASK_THRESHOLD).sum(
                        (1, 2)
                    )
        # pixel counts too: exact in float32 up to 2^24, an image of 4096 x 4096
        return {name: value.astype(jnp.float32) for name, value in rows.items()}


def compile_step(
    tandem: Tandem, devices: int | None = None
) -> Callable[[TandemInputs, Batch], dict[str, Array]]:
    """Compiles `tandem.step` and maps it over devices; keep the result for all levels and weights
    of one reconstructor.

    Example:
      >>> image, weights = np.full((4, 16, 16, 1), 0.5), {"params": {}, "batch_stats": {}}
      >>> cohort, physics = fr.arrays(image), fr.physics.GaussianNoise(16)
      >>> tandem = Tandem(physics, fr.Identity(), (), cohort.spec, image_metrics=("psnr",))
      >>> step, batch = compile_step(tandem), {"image": image, "example_id": cohort.digests()}
      >>> inputs = [tandem.inputs(sd, weights, (), jax.random.key(0)) for sd in (0.1, 0.01)]
      >>> [round(float(step(one, batch)["psnr"].mean())) for one in inputs]  # decibels
      [20, 40]
    """
    # The level, the weights and the key are arguments: one program for a whole study.
    return map_rows(tandem.step, devices)
