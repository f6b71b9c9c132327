"""The output of frozen diagnosers on estimates of the original image, and its sums over the groups
of all devices.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fairrecon_jax.diagnosers import soft_dice
from fairrecon_jax.mitigation.interface import MitigationContext
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.types import Array, Batch, Task

SMOOTH = 1.0  # pixels added to both parts of the soft Dice
EDGE = 1e-7  # probabilities are kept this far from 0 and 1 in the cross-entropy


class Readings(NamedTuple):
    """The output of the diagnosers on B estimates, beside the truth.

    Attributes:
      scores: [B, T] probabilities of the chosen classification tasks.
      labels: [B, T] in {0, 1}, 0 where unknown.
      known: [B, T] float {0, 1}, the label is known.
      dice: [B, S] soft Dice of the chosen segmentation tasks.
      present: [B, S] float {0, 1}, the truth holds the region: only such images have a Dice here.
    """

    scores: jax.Array
    labels: jax.Array
    known: jax.Array
    dice: jax.Array
    present: jax.Array

    def task_losses(self) -> tuple[jax.Array, jax.Array]:
        """Per task the loss of each example and whether it has one.

        Returns:
          ([B, T + S] masked binary cross-entropy, then 1 - soft Dice; [B, T + S] float {0, 1}).
        """
        # Diagnosers give probabilities, and log 0 has no gradient to come back by.
        p = jnp.clip(self.scores, EDGE, 1.0 - EDGE)
        # log1p keeps the digits of a small p. 1 - EDGE is below 1: float32 has steps of 6e-8 there.
        entropy = -(self.labels * jnp.log(p) + (1.0 - self.labels) * jnp.log1p(-p))
        return jnp.concatenate([entropy, 1.0 - self.dice], 1), jnp.concatenate(
            [self.known, self.present], 1
        )


@dataclasses.dataclass(frozen=True)
class Readout:
    """Applies the frozen diagnosers of a context and picks the chosen tasks.

    Attributes:
      context: cohort and diagnosers.
      chosen: names of tasks; () for all that the diagnosers have.
    """

    context: MitigationContext
    chosen: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The chosen tasks: classification first, then segmentation."""
        tasks = self.context.tasks(self.chosen)
        return tuple(sorted(tasks, key=lambda task: task.kind != "classification"))

    def count(self, kind: str) -> int:
        """Number of chosen tasks of a kind."""
        return sum(task.kind == kind for task in self.tasks)

    def frozen(self) -> tuple[Any, ...]:
        """The diagnosers' weights: part of an objective's state, so that they are arguments and not
        constants of the compiled step.
        """
        return tuple(
            jax.tree.map(jnp.asarray, diagnoser.variables) for diagnoser in self.context.diagnosers
        )

    def __call__(self, frozen: tuple[Any, ...], clean: Array, batch: Batch) -> Readings:
        """Diagnoses estimates.

        Args:
          frozen: from `frozen`.
          clean: [B, H, W, 1] in [0, 1], with a gradient.
          batch: labels and masks of the same examples.
        """
        outputs: dict[str, jax.Array] = {}
        wanted = {task.name for task in self.tasks}
        for diagnoser, variables in zip(self.context.diagnosers, frozen, strict=True):
            if wanted & set(diagnoser.diagnoser.tasks):
                # No gradient reaches a diagnoser's weights, only the image.
                scores = diagnoser.diagnoser.predict(lax.stop_gradient(variables), clean)
                outputs |= {
                    task: scores[..., column]
                    for column, task in enumerate(diagnoser.diagnoser.tasks)
                }
        # In the specification's order, like `tasks`; a diagnoser may have its own.
        spec = self.context.spec
        columns = [i for i, t in enumerate(spec.classification_tasks) if t.name in wanted]
        channels = [i for i, t in enumerate(spec.segmentation_tasks) if t.name in wanted]
        size = clean.shape[0]
        labels = jnp.asarray(batch["labels"])[:, np.array(columns, int)]
        truth = jnp.asarray(batch["mask"])[..., np.array(channels, int)]
        read_scores = [outputs[spec.classification_tasks[i].name] for i in columns]
        masks = [outputs[spec.segmentation_tasks[i].name] for i in channels]
        return Readings(
            jnp.stack(read_scores, 1) if read_scores else jnp.zeros((size, 0)),
            # 0 for unknown, not NaN: `known` masks the value, and could not mask a NaN gradient.
            jnp.nan_to_num(labels),
            (~jnp.isnan(labels)).astype(jnp.float32),
            soft_dice(jnp.stack(masks, -1), truth, SMOOTH) if masks else jnp.zeros((size, 0)),
            jnp.any(truth > 0, (1, 2)).astype(jnp.float32),
        )


@dataclasses.dataclass(frozen=True)
class Groups:
    """The groups of the chosen attributes, side by side.

    Attributes:
      context: names the attributes.
      chosen: names of attributes; () for all.
    """

    context: MitigationContext
    chosen: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of groups of each chosen attribute."""
        return tuple(len(a.groups) for a in self.context.attributes(self.chosen))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each attribute's groups stand among all."""
        ends = np.cumsum(self.sizes)
        return tuple(
            slice(int(end - size), int(end)) for end, size in zip(ends, self.sizes, strict=True)
        )

    @property
    def total(self) -> int:
        """Number of groups of all chosen attributes together."""
        return sum(self.sizes)

    def members(self, batch: Batch) -> jax.Array:
        """[B, M] float {0, 1}: who belongs to which of the M groups; an unknown attribute belongs
        to none.
        """
        codes = jnp.asarray(batch["attributes"])
        parts = [
            # -1 equals no index: who is unknown is in no group.
            (codes[:, self.context.column(a), None] == jnp.arange(len(a.groups))[None]).astype(
                jnp.float32
            )
            for a in self.context.attributes(self.chosen)
        ]
        return jnp.concatenate(parts, 1)


def everywhere(tree: Any) -> Any:
    """Sums over all devices; with the mean of the devices' gradients that the training step takes,
    derivatives are those of the sum.
    """
    return lax.psum(tree, AXIS)


def mean_everywhere(values: Array, weight: Array) -> jax.Array:
    """sum(w v) / sum(w) over the examples of all devices, 0 where no weight is left.

    Args:
      values: any shape, finite.
      weight: same shape, at least 0.
    """
    total, mass = everywhere((jnp.sum(values * weight), jnp.sum(weight)))
    return total / jnp.where(mass > 0, mass, 1.0)
