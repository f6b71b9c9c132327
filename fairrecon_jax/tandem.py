"""The fused step: degrade, reconstruct, diagnose original and reconstruction, score the image; one
compiled program, one row per example.

Everything that changes from one study cell to the next (the level's operator, the weights, the key)
is a traced argument, so a study compiles the program of each reconstructor once. Noise and sampling
are keyed by the example's digest: a row does not depend on the batch it was computed in, on padding
or on the number of devices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.data.loader import eval_batches
from fairrecon_jax.diagnosers import Diagnoser, check_apart
from fairrecon_jax.keys import example_keys
from fairrecon_jax.metrics.image import nrmse, psnr, ssim
from fairrecon_jax.metrics.segmentation import dice
from fairrecon_jax.physics.degrade import Degradation
from fairrecon_jax.reconstructors import Reconstructor
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.devices import map_rows
from fairrecon_jax.runtime.progress import progress
from fairrecon_jax.types import Array, Batch, CohortSpec, Key, Variables

MASK_THRESHOLD = 0.5
IMAGE_METRICS: dict[str, Callable[..., Array]] = {"psnr": psnr, "ssim": ssim, "nrmse": nrmse}
DEGRADE, SAMPLE = (
    0,
    1,
)  # streams of the study key: measurement noise, and whatever the reconstructor draws


@dataclasses.dataclass(frozen=True)
class Tandem:
    """A degradation, a reconstructor and the frozen diagnosers that read its images.

    Attributes:
      degradation: the physics.
      reconstructor: its weights are given to each call.
      diagnosers: read original and reconstruction alike; their weights are given to each call.
      spec: names the tasks behind label columns and mask channels.
    """

    degradation: Degradation
    reconstructor: Reconstructor
    diagnosers: tuple[Diagnoser, ...]
    spec: CohortSpec

    def __post_init__(self) -> None:
        check_apart((type(diagnoser).__name__, diagnoser) for diagnoser in self.diagnosers)

    def shared(
        self, level: float, reconstructor: Variables, diagnosers: Iterable[Variables], key: Key
    ) -> dict[str, Any]:
        """Collects the traced arguments of `step`: the operator of `level`, all weights and the
        key.
        """
        operator = self.degradation.operator(level)
        return {
            "operator": operator,
            "reconstructor": reconstructor,
            "diagnosers": tuple(diagnosers),
            "key": key,
        }

    def reconstruct(self, shared: dict[str, Any], batch: Batch) -> tuple[Array, Array]:
        """Degrades and reconstructs a batch.

        Args:
          shared: from `shared`.
          batch: `types.Batch` of B examples.

        Returns:
          (degraded, reconstruction), each [B, H, W, 1] float32 in [0, 1].
        """
        image, example_id, key = batch["image"], batch["example_id"], shared["key"]
        degraded = self.degradation(
            shared["operator"], image, example_id, jax.random.fold_in(key, DEGRADE)
        )
        keys = example_keys(jax.random.fold_in(key, SAMPLE), example_id)
        return degraded, self.reconstructor.reconstruct(shared["reconstructor"], degraded, keys)

    def diagnose(self, shared: dict[str, Any], images: Array) -> dict[str, Array]:
        """Runs every frozen diagnoser.

        Args:
          shared: from `shared`.
          images: [B, H, W, 1] in [0, 1].

        Returns:
          By task name, a score [B] in [0, 1] (classification) or a mask probability [B, H, W]
            (segmentation).
        """
        found: dict[str, Array] = {}
        for diagnoser, variables in zip(self.diagnosers, shared["diagnosers"], strict=True):
            scores = diagnoser.predict(variables, images)
            found.update({task: scores[..., column] for column, task in enumerate(diagnoser.tasks)})
        return found

    def step(self, shared: dict[str, Any], batch: Batch) -> dict[str, Array]:
        """The tandem step.

        Args:
          shared: from `shared`.
          batch: `types.Batch` of B examples.

        Returns:
          Columns [B] of the predictions table: `<task>__label`, `__original`, `__reconstructed`
            (scores, or truth pixels and Dice);
          for segmentation also `__original_pixels` and `__reconstructed_pixels`, and psnr, ssim,
            nrmse of the reconstruction.
        """
        image = batch["image"]
        _, reconstruction = self.reconstruct(shared, batch)
        both = self.diagnose(shared, jnp.concatenate([image, reconstruction]))
        original = {task: value[: len(image)] for task, value in both.items()}
        reconstructed = {task: value[len(image) :] for task, value in both.items()}
        rows: dict[str, Array] = {
            name: metric(image, reconstruction) for name, metric in IMAGE_METRICS.items()
        }
        for column, task in enumerate(self.spec.classification_tasks):
            if task.name in both:
                rows[f"{task.name}__label"] = batch["labels"][:, column]
                rows[f"{task.name}__original"] = original[task.name]
                rows[f"{task.name}__reconstructed"] = reconstructed[task.name]
        for channel, task in enumerate(self.spec.segmentation_tasks):
            if task.name in both:
                truth = batch["mask"][..., channel]
                rows[f"{task.name}__label"] = truth.sum((1, 2))
                for version, found in (("original", original), ("reconstructed", reconstructed)):
                    probability = found[task.name]
                    rows[f"{task.name}__{version}"] = dice(
                        probability[..., None], truth[..., None], MASK_THRESHOLD
                    )[:, 0]
                    rows[f"{task.name}__{version}_pixels"] = (probability >= MASK_THRESHOLD).sum(
                        (1, 2)
                    )
        return {name: value.astype(jnp.float32) for name, value in rows.items()}


def compile_step(
    tandem: Tandem, devices: int | None = None
) -> Callable[[dict[str, Any], Batch], dict[str, Array]]:
    """Compiles `tandem.step` and maps it over devices; keep the result for all levels and weights
    of one reconstructor.
    """
    return map_rows(tandem.step, devices)


def batches(cohort: Cohort, rows: np.ndarray, batch_size: int, label: str) -> Iterator[Batch]:
    """`eval_batches` with a progress bar that counts the images of all processes."""
    bar = progress(label, len(rows), unit="image")
    for start, batch in zip(
        range(0, len(rows), batch_size), eval_batches(cohort, rows, batch_size), strict=True
    ):
        yield batch
        bar.advance(min(batch_size, len(rows) - start))
    bar.close()


def predict(
    step: Callable[[dict[str, Any], Batch], dict[str, Array]],
    shared: dict[str, Any],
    cohort: Cohort,
    rows: np.ndarray,
    batch_size: int,
    devices: int | None = None,
    label: str = "predict",
) -> pd.DataFrame:
    """Runs the compiled step over rows of a cohort; the last batch is padded and its padding
    masked, nothing is dropped.

    In a run of several processes each computes its share of every batch, and every process gets the
    whole table.

    Args:
      step: from `compile_step`.
      shared: from `Tandem.shared`.
      cohort: whose `table` gives names, patients and attributes.
      rows: row numbers of the cohort, any order.
      batch_size: examples per call over all devices of all processes.
      devices: how many local devices `step` was compiled for; all local ones if None.
      label: what the progress bar says.

    Returns:
      One row per entry of `rows`, in that order: example_id, patient_id, the attributes by name,
        then the columns of `Tandem.step`.

    Raises:
      ValueError: `batch_size` is not a multiple of the device count.
      TimeoutError: a process of the run has not computed its share in time.
    """
    count = jax.process_count() * (devices or jax.local_device_count())
    if batch_size % count:
        raise ValueError(
            f"tandem batch_size {batch_size} is not a multiple of the {count} devices; "
            "choose one that is"
        )
    parts: list[dict[str, np.ndarray]] = []
    for batch in batches(cohort, rows, batch_size, label):
        found = jax.device_get(step(shared, batch))
        parts.append(
            {name: np.asarray(value) for name, value in found.items()}
            | {"index": np.asarray(batch["index"])}
        )
    joined = processes.all_gather(
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        f"predict its share of {label}",
    )
    kept = joined["index"] >= 0
    values = pd.DataFrame({name: value[kept] for name, value in joined.items()}).set_index("index")
    columns = ["example_id", "patient_id", *(a.name for a in cohort.spec.attributes)]
    table = cohort.table.iloc[rows][columns].reset_index(drop=True)
    return pd.concat([table, values.loc[rows].reset_index(drop=True)], axis=1)
