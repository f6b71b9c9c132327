"""Adversarial: a small network predicts the patient's groups from frozen diagnostic features; the
reconstructor makes that harder.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from fairrecon_jax.diagnosers import HasFeatures
from fairrecon_jax.mitigation.interface import (
    FrozenDiagnoser,
    Mitigation,
    MitigationContext,
    check_choice,
    check_positive,
    register,
)
from fairrecon_jax.mitigation.readout import Groups, Readout, everywhere, mean_everywhere
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training.trainable import Objective
from fairrecon_jax.types import Array, Batch, Key


@register("adversarial")
@dataclasses.dataclass(frozen=True)
class Adversarial(Mitigation):
    """One step of the adversary down its prediction loss, and minus weight * that loss for the
    reconstructor.

    Prediction loss, averaged over attributes: cross-entropy over the groups divided by log of their
    number (1 = chance, for balanced groups), or 1 - corr^2 of the prediction and the indicator
    of each group (the reconstructor then gets + weight * corr^2). Patients whose attribute is
    unknown take no part in that attribute.

    Attributes:
      weight: lambda.
      attributes: names; () for all.
      tasks: whose diagnosers' features the adversary sees; () for all.
      loss: "cross_entropy" or "correlation".
      hidden: width of the adversary's hidden layer.
      learning_rate: of the adversary's own Adam.

    Example:
      >>> cohort = fr.arrays(np.zeros((2, 16, 16)), [0, 1], groups={"sex": ["f", "m"]})
      >>> chest = fr.Classifier(("finding",), columns=(0,), backbone="resnet18", width=2)
      >>> frozen = fr.mitigation.FrozenDiagnoser(chest, {"params": {}, "batch_stats": {}})
      >>> term = Adversarial(weight=0.5).objective(MitigationContext(cohort.spec, (frozen,)))
      >>> term.groups.total  # that the adversary tells apart
      2

    Reference: Zhang, Lemoine and Mitchell 2018 (arXiv 1801.07593).
    """

    weight: float = 1.0
    attributes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    loss: Literal["cross_entropy", "correlation"] = "cross_entropy"
    hidden: int = 64
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        check_positive(
            "adversarial", weight=self.weight, hidden=self.hidden, learning_rate=self.learning_rate
        )
        check_choice("adversarial", "loss", self.loss, ("cross_entropy", "correlation"))

    def objective(self, context: MitigationContext) -> Objective:
        """The term.

        Raises:
          ValueError: an attribute or task is unknown, or a diagnoser has no features.
        """
        return AdversarialTerm(self, Readout(context, self.tasks), Groups(context, self.attributes))


class Adversary(nn.Module):
    """One hidden layer, one output per group.

    Attributes:
      hidden: width of the hidden layer.
      outputs: number of groups of all attributes.
      bias: of the outputs; a correlation does not depend on it.
    """

    hidden: int
    outputs: int
    bias: bool = True

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """[B, F] -> [B, outputs]."""
        return nn.Dense(self.outputs, use_bias=self.bias, name="head")(
            nn.relu(nn.Dense(self.hidden, name="hidden")(x))
        )


@dataclasses.dataclass(frozen=True)
class AdversarialTerm:
    """The objective of `Adversarial`; its state holds frozen weights, the adversary and its
    optimiser.

    Attributes:
      options: the choices.
      readout: frozen diagnosers.
      groups: attributes.
    """

    options: Adversarial
    readout: Readout
    groups: Groups

    def __post_init__(self) -> None:
        without = [
            r.diagnoser.name for r in self._chosen if not isinstance(r.diagnoser, HasFeatures)
        ]
        if without:
            raise ValueError(
                "the adversarial objective needs diagnosers with a method "
                f"features(variables, image); {without} have none"
            )
        if not self.readout.tasks or not self.groups.total:
            raise ValueError("the adversarial objective needs a task and an attribute")

    @property
    def _chosen(self) -> list[FrozenDiagnoser]:
        """The diagnosers of the chosen tasks."""
        chosen = {task.name for task in self.readout.tasks}
        return [
            diagnoser
            for diagnoser in self.readout.context.diagnosers
            if chosen & set(diagnoser.diagnoser.tasks)
        ]

    @property
    def _network(self) -> Adversary:
        return Adversary(self.options.hidden, self.groups.total, self.options.loss != "correlation")

    @property
    def _optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.options.learning_rate)

    def init(self, key: Key, batch: Batch) -> dict[str, Any]:
        """The state before the first step."""
        frozen = self.readout.frozen()
        # The width of the features alone: no diagnoser runs.
        shape = jax.eval_shape(self._features, frozen, jnp.asarray(batch["image"])).shape
        params = self._network.init(key, jnp.zeros((1, shape[1])))["params"]
        return {"frozen": frozen, "adversary": params, "optimizer": self._optimizer.init(params)}

    def __call__(
        self, clean: Array, batch: Batch, state: Any, key: Key
    ) -> tuple[Array, Any, dict[str, Array]]:
        """See `Objective`; the reconstructor's term is that of the adversary after its step."""
        features = self._features(state["frozen"], clean)
        # The adversary learns from features as constants: its step has no gradient to the image.
        loss, gradient = jax.value_and_grad(self.prediction_loss)(
            state["adversary"], lax.stop_gradient(features), batch
        )
        # The loss sums over devices, so that the mean of gradients is that of the whole batch.
        updates, optimizer = self._optimizer.update(
            lax.pmean(gradient, AXIS), state["optimizer"], state["adversary"]
        )
        # The reconstructor meets the updated adversary, and moves none of its weights.
        adversary = lax.stop_gradient(optax.apply_updates(state["adversary"], updates))
        prediction = self.prediction_loss(adversary, features, batch)
        # 1 - loss is corr^2 itself, which is 0, not -1, where nothing can be predicted.
        advantage = 1.0 - prediction if self.options.loss == "correlation" else -prediction
        new = {"frozen": state["frozen"], "adversary": adversary, "optimizer": optimizer}
        return (
            self.options.weight * advantage,
            lax.stop_gradient(new),
            {"adversary_loss": loss, "objective": self.options.weight * advantage},
        )

    def prediction_loss(self, adversary: Any, features: Array, batch: Batch) -> jax.Array:
        """The adversary's loss over the examples of all devices, averaged over attributes.

        Args:
          adversary: parameters.
          features: [B, F].
          batch: with attributes and weight.

        Returns:
          [] float32; 0 for an attribute that nobody has.
        """
        weight = jnp.asarray(batch["weight"])
        output = jnp.asarray(
            self._network.apply({"params": adversary}, standardised(features, weight))
        )
        members = self.groups.members(batch)
        one = correlation_loss if self.options.loss == "correlation" else entropy_loss
        return jnp.mean(
            jnp.stack(
                [one(output[:, part], members[:, part], weight) for part in self.groups.slices]
            )
        )

    def _features(self, frozen: tuple[Any, ...], image: Array) -> jax.Array:
        """Features of the diagnosers of the chosen tasks, [B, F]."""
        parts = [
            diagnoser.diagnoser.features(lax.stop_gradient(variables), image)
            for diagnoser, variables in zip(self.readout.context.diagnosers, frozen, strict=True)
            if any(diagnoser is chosen for chosen in self._chosen)
            and isinstance(diagnoser.diagnoser, HasFeatures)
        ]
        return jnp.concatenate(parts, 1)


def standardised(features: Array, weight: Array) -> jax.Array:
    """Features with mean 0 and variance 1 over the examples of all devices; mean and variance carry
    no gradient.

    Args:
      features: [B, F].
      weight: [B].
    """
    # Otherwise the reconstructor could win by scaling its features.
    fixed = lax.stop_gradient(features)
    total, mass = everywhere((weight @ fixed, jnp.sum(weight)))
    # Guards: mass 0 is a batch of padding only, variance 0 a feature that no image excites.
    mean = total / jnp.maximum(mass, 1e-6)
    variance = everywhere(weight @ (fixed - mean[None]) ** 2) / jnp.maximum(mass, 1e-6)
    return (features - mean[None]) / jnp.sqrt(variance + 1e-8)[None]


def entropy_loss(logits: Array, members: Array, weight: Array) -> jax.Array:
    """Cross-entropy of the group over log G, mean over the examples of all devices whose group is
    known.

    Args:
      logits: [B, G].
      members: [B, G] float {0, 1}, all 0 where unknown.
      weight: [B].
    """
    # Below, max(G, 2): log 1 of an attribute with one group would divide by 0.
    entropy = -jnp.sum(members * jax.nn.log_softmax(logits, axis=1), axis=1)
    return mean_everywhere(entropy, weight * jnp.sum(members, axis=1)) / jnp.log(
        float(max(members.shape[1], 2))
    )


def correlation_loss(output: Array, members: Array, weight: Array) -> jax.Array:
    """1 - mean over groups of corr^2 of an output and the group's indicator, over the examples of
    all devices whose group is known.

    Args:
      output: [B, G].
      members: [B, G] float {0, 1}, all 0 where unknown.
      weight: [B].

    Returns:
      [] in [0, 1]; a group that everyone or nobody belongs to counts as not predictable.
    """
    # Unknown groups leave the means too, not only the covariance.
    mass = (weight * jnp.sum(members, axis=1))[:, None]
    total = jnp.maximum(everywhere(jnp.sum(mass)), 1e-6)
    means = [everywhere(jnp.sum(mass * x, axis=0)) / total for x in (output, members)]
    a, b = output - means[0][None], members - means[1][None]
    covariance, var_a, var_b = (
        everywhere(jnp.sum(mass * x * y, axis=0)) / total for x, y in ((a, b), (a, a), (b, b))
    )
    # An indicator that is constant has no correlation.
    square = jnp.where(var_b > 1e-6, covariance**2 / jnp.maximum(var_a * var_b, 1e-12), 0.0)
    return 1.0 - jnp.mean(square)
