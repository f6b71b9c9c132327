"""Group DRO: the worst group's reconstruction and task loss, by weights that follow the losses
exponentially.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fairrecon_jax.mitigation.interface import (
    Mitigation,
    MitigationContext,
    check_positive,
    register,
)
from fairrecon_jax.mitigation.pooling import fresh_scale, rescale
from fairrecon_jax.mitigation.readout import Groups, Readout, everywhere
from fairrecon_jax.training.trainable import Objective
from fairrecon_jax.types import Array, Batch, Key


@register("group_dro")
@dataclasses.dataclass(frozen=True)
class GroupDro(Mitigation):
    """Adds weight * sum_g q_g L_g over the groups of the chosen attributes; q_g <- q_g exp(step
    L_g), normalised.

    L_g = reconstruction * (mean squared error in g) / a + task * (task loss in g) / b, a and b the
    two losses' means over everyone in the first steps; task loss: masked binary cross-entropy, and
    1 - soft Dice where the region is present. A group that a batch does not hold keeps its weight
    (up to the normalisation) and adds nothing.

    Attributes:
      weight: lambda.
      attributes: names; () for all.
      tasks: names; () for all that the frozen diagnosers have.
      reconstruction: factor of the reconstruction loss.
      task: factor of the task loss.
      step: eta of the exponentiated gradient.
      warmup: steps whose mean losses become the fixed divisors; 0 = no division.

    Example:
      >>> cohort = fr.arrays(np.zeros((2, 16, 16)), [0, 1], groups={"sex": ["f", "m"]})
      >>> chest = fr.Classifier(("finding",), columns=(0,), backbone="resnet18", width=2)
      >>> frozen = fr.mitigation.FrozenDiagnoser(chest, {"params": {}, "batch_stats": {}})
      >>> term = GroupDro(weight=0.1).objective(MitigationContext(cohort.spec, (frozen,)))
      >>> term.init(jax.random.key(0), {})["q"].tolist()  # both sexes weigh alike at the start
      [0.5, 0.5]

    Reference: Sagawa, Koh, Hashimoto and Liang 2020 (arXiv 1911.08731), algorithm 1.
    """

    weight: float = 1.0
    attributes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    reconstruction: float = 1.0
    task: float = 1.0
    step: float = 0.01
    warmup: int = 20

    def __post_init__(self) -> None:
        check_positive("group_dro", weight=self.weight, step=self.step)
        if (
            min(self.reconstruction, self.task, self.warmup) < 0
            or self.reconstruction + self.task == 0
        ):
            raise ValueError(
                "mitigation 'group_dro': reconstruction, task and warmup must not be "
                "negative, and one of the losses must count"
            )

    def objective(self, context: MitigationContext) -> Objective:
        """The term.

        Raises:
          ValueError: an attribute or task is unknown, or no diagnoser has it.
        """
        return GroupDroTerm(self, Readout(context, self.tasks), Groups(context, self.attributes))


@dataclasses.dataclass(frozen=True)
class GroupDroTerm:
    """The objective of `GroupDro`; its state holds frozen weights, group weights [M] and the two
    divisors.

    Attributes:
      options: the choices.
      readout: tasks and frozen diagnosers.
      groups: attributes.
    """

    options: GroupDro
    readout: Readout
    groups: Groups

    def __post_init__(self) -> None:
        if not self.readout.tasks or not self.groups.total:
            raise ValueError("group DRO needs a task and an attribute")

    def init(self, key: Key, batch: Batch) -> dict[str, Any]:
        """The state before the first step: equal weights."""
        share = jnp.full((self.groups.total,), 1.0 / self.groups.total)
        return {
            "frozen": self.readout.frozen(),
            "q": share,
            "image_scale": fresh_scale(),
            "task_scale": fresh_scale(),
        }

    def __call__(
        self, clean: Array, batch: Batch, state: Any, key: Key
    ) -> tuple[Array, Any, dict[str, Array]]:
        """See `Objective`."""
        options, weight = self.options, jnp.asarray(batch["weight"])
        members = self.groups.members(batch) * weight[:, None]
        errors = jnp.mean((clean - batch["image"]) ** 2, axis=(1, 2, 3))
        losses, known = self.readout(state["frozen"], clean, batch).task_losses()
        # An example without any known label has no task loss, instead of one of 0.
        has = (jnp.sum(known, 1) > 0).astype(jnp.float32)
        task = jnp.sum(losses * known, 1) / jnp.maximum(jnp.sum(known, 1), 1.0)
        image_part, image_scale = self._by_group(
            errors, jnp.ones_like(has), members, weight, state["image_scale"]
        )
        task_part, task_scale = self._by_group(task, has, members, weight, state["task_scale"])
        loss = options.reconstruction * image_part + options.task * task_part
        present = everywhere(jnp.sum(members, 0)) > 0
        # The weights follow the losses; the reconstructor gets no gradient through them.
        q = state["q"] * jnp.exp(options.step * lax.stop_gradient(jnp.where(present, loss, 0.0)))
        # As in algorithm 1: the updated weights serve this step already.
        q = q / jnp.sum(q)
        term = options.weight * jnp.sum(jnp.where(present, q * loss, 0.0))
        new = {
            "frozen": state["frozen"],
            "q": q,
            "image_scale": image_scale,
            "task_scale": task_scale,
        }
        worst = jnp.max(jnp.where(present, loss, 0.0))
        return (
            term,
            lax.stop_gradient(new),
            {"worst_group_loss": worst, "largest_group_weight": jnp.max(q), "objective": term},
        )

    def _by_group(
        self, values: Array, has: Array, members: Array, weight: Array, scale: Any
    ) -> tuple[jax.Array, Any]:
        """Group means [M] of values [B] over all devices, divided by the scale of everyone's mean;
        0 where a group has none.
        """
        sums = everywhere(
            (
                members.T @ (values * has),
                members.T @ has,
                jnp.sum(weight * values * has),
                jnp.sum(weight * has),
            )
        )
        group, count, total, mass = sums
        everyone = lax.stop_gradient(total / jnp.where(mass > 0, mass, 1.0))
        # The loss of everyone is the yardstick: scaling each group by its own would hide the gap.
        relative, new = rescale(everyone, scale, self.options.warmup)
        # The inner `where` keeps 0 / 0 out of the gradient.
        factor = jnp.where(everyone > 0, relative / jnp.where(everyone > 0, everyone, 1.0), 0.0)
        return jnp.where(count > 0, group / jnp.where(count > 0, count, 1.0), 0.0) * factor, new
