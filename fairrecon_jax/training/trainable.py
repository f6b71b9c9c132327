"""What the training loop asks of a network: where its variables start, which losses update them,
how it is evaluated.

Reconstructors and diagnosers implement `Trainable`; the loop knows nothing else about them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax

from fairrecon_jax.types import Array, Batch, Key, Variables


class PhaseOutput(NamedTuple):
    """What a phase's loss gives back beside the scalar.

    Attributes:
      clean: [B, H, W, 1] float32 in [0, 1], the estimate of the original image that a mitigation
        objective sees; None if there is none.
      statistics: the new batch statistics of **all** networks, {network: tree}; {} where no network
        has any.
      metrics: means over the batch, each a scalar, by name; written to the log.
    """

    clean: Array | None
    statistics: dict[str, Any]
    metrics: dict[str, Array]


PhaseLoss = Callable[[Variables, Batch, Key, bool], tuple[Array, PhaseOutput]]
"""`loss(variables, batch, key, train) -> (scalar, PhaseOutput)`, pure; the key is already folded
with the step.
"""


@dataclasses.dataclass(frozen=True)
class Phase:
    """One update of one network: its loss is differentiated with respect to that network's
    parameters only.

    Attributes:
      network: name in `variables["params"]`.
      loss: the pure loss; means over the batch weigh examples equally or by `batch["weight"]`.

    Example:
      >>> gan = fr.Pix2PixReconstructor(width=2, downsamplings=2)
      >>> [phase.network for phase in gan.phases]  # updated in this order
      ['discriminator', 'generator']
    """

    network: str
    loss: PhaseLoss


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Together:
    """A validation metric that is no mean over examples, but made of all of them together.

    Attributes:
      values: arrays [B, ...] of what it is made of.
      weight: [B] of the examples; 0 for padding.
      of: from all values and weights, as NumPy arrays [N, ...], to the number; None where it cannot
        be measured.

    Example:
      >>> def largest(error, weight):
      ...     return float(error[weight > 0].max())
      >>> worst = Together((jnp.array([0.1, 0.4]),), jnp.array([1.0, 0.0]), largest)
      >>> round(worst.of(*map(np.asarray, worst.values), np.asarray(worst.weight)), 3)
      0.1
    """

    values: tuple[Array, ...]
    weight: Array
    of: Callable[..., float | None] = dataclasses.field(metadata={"static": True})


@runtime_checkable
class Trainable(Protocol):
    """Anything that `training.loop.fit` trains."""

    @property
    def name(self) -> str:
        """Short name, used in messages and in metadata."""
        ...

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The updates of one step, in order; each phase sees the parameters that earlier phases of
        the step have updated.
        """
        ...

    @property
    def validation_metrics(self) -> Mapping[str, Literal["max", "min"]]:
        """The names that `evaluate` gives, each with the direction of a better model; the first
        picks the best variables unless a training says otherwise.
        """
        ...

    def init(self, key: Key, batch: Batch) -> Variables:
        """Variables at the start of training, {"params": {network: tree}, "batch_stats": {network:
        tree}}.
        """
        ...

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> Mapping[str, tuple[Array, Array] | Together]:
        """By metric name per-example (value [B], weight [B]), which the loop sums over the whole
        set and divides once, or what it is made of `Together`, which the loop collects.
        """
        ...


@runtime_checkable
class Objective(Protocol):
    """A term added to the loss of the phase whose output has a clean estimate, with a state of its
    own in the train state.

    It runs once per device under the axis `AXIS`: whatever enters the new state must be reduced
    over that axis by the objective.
    """

    def init(self, key: Key, batch: Batch) -> Any:
        """The objective's state at the start: a pytree of arrays, {} if it has none."""
        ...

    def __call__(
        self, clean: Array, batch: Batch, state: Any, key: Key
    ) -> tuple[Array, Any, dict[str, Array]]:
        """(scalar to add, new state, metrics) from the clean estimate [B, H, W, 1].

        Beside its fields the batch holds "loss" [], this device's loss that the scalar is added to,
        without gradient.
        """
        ...
