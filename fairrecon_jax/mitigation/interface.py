"""What a mitigation is, the registry of their kinds, and what it acts on: a cohort's
specification and its frozen diagnosers.

A new mitigation is one file: a frozen dataclass of plain fields derived from `Mitigation`,
decorated with `register("name")` and imported in this package's `__init__`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from fairrecon_jax.diagnosers import Diagnoser, check_apart
from fairrecon_jax.mitigation.sampling import Sampling
from fairrecon_jax.registry import build, registrar
from fairrecon_jax.training.trainable import Objective
from fairrecon_jax.types import Attribute, CohortSpec, InputError, Task, Variables, meant


@dataclasses.dataclass(frozen=True)
class FrozenDiagnoser:
    """A diagnoser with fixed weights, applied to estimates of the original image and never trained.

    Attributes:
      diagnoser: the network and its tasks.
      variables: its weights.

    Example:
      >>> chest = fr.Classifier(("effusion",), columns=(0,), backbone="resnet18", width=2)
      >>> image = np.zeros((1, 32, 32, 1), np.float32)
      >>> weights = jax.eval_shape(chest.init, jax.random.key(0), {"image": image})
      >>> FrozenDiagnoser(chest, weights).diagnoser.tasks
      ('effusion',)
    """

    diagnoser: Diagnoser
    variables: Variables


@dataclasses.dataclass(frozen=True)
class MitigationContext:
    """What a mitigation acts on.

    Attributes:
      spec: names the columns of labels, masks and attributes.
      diagnosers: the frozen diagnosers of the study.

    Example:
      >>> groups = {"sex": ["f", "m"], "site": ["here", "there"]}
      >>> context = MitigationContext(fr.arrays(np.zeros((2, 16, 16)), groups=groups).spec)
      >>> [attribute.name for attribute in context.attributes(())]  # all
      ['sex', 'site']
    """

    spec: CohortSpec
    diagnosers: tuple[FrozenDiagnoser, ...] = ()

    def __post_init__(self) -> None:
        check_apart(
            (type(diagnoser.diagnoser).__name__, diagnoser.diagnoser)
            for diagnoser in self.diagnosers
        )

    def attributes(self, names: Sequence[str]) -> tuple[Attribute, ...]:
        """The attributes of those names in the specification's order; if none is named all but
        further codings of race ("race_pooled" beside "race"), which are one attribute once more.

        Raises:
          InputError: an attribute is unknown, or there is none; the message lists those there are.
        """
        known = [a.name for a in self.spec.attributes]
        wrong = [name for name in names if name not in known]
        if wrong or not known:
            asked = ", ".join(map(repr, wrong)) or "a mitigation"
            raise InputError(
                f"{asked} needs attributes of cohort {self.spec.name!r}; these are: "
                f"{', '.join(known) or 'none'}{meant(wrong[0], known) if wrong else ''}"
            )
        chosen = names or [n for n in known if "race" not in known or not n.startswith("race_")]
        # The specification's order, so that two spellings of one choice are one program.
        return tuple(a for a in self.spec.attributes if a.name in chosen)

    def tasks(self, names: Sequence[str]) -> tuple[Task, ...]:
        """The tasks of those names that the frozen diagnosers have, in the specification's order;
        all if none is named.

        Raises:
          InputError: a task is unknown or no diagnoser has it; the message lists those there are.
        """
        read = {task for diagnoser in self.diagnosers for task in diagnoser.diagnoser.tasks}
        wrong = [name for name in names if name not in read]
        if wrong or not read:
            asked = ", ".join(map(repr, wrong)) or "any task"
            raise InputError(
                f"no frozen diagnoser has {asked}; their tasks are: "
                f"{', '.join(sorted(read)) or 'none'}{meant(wrong[0], read) if wrong else ''}"
            )
        return tuple(
            t for t in self.spec.tasks if t.name in read and (not names or t.name in names)
        )

    def column(self, attribute: Attribute) -> int:
        """The attribute's column in a batch's `attributes`."""
        return [a.name for a in self.spec.attributes].index(attribute.name)


class Mitigation:
    """A way of fine-tuning a reconstructor: by the examples it sees (sampling) or by a term of its
    loss (objective).

    Example:
      >>> class OnlyKnown(Mitigation):
      ...     def sampling(self, context, attributes, outcomes):
      ...         known = 1.0 * (attributes >= 0).all(1)
      ...         return Sampling(known / known.mean(), known.sum(), ())
      >>> OnlyKnown().sampling(None, np.array([[0], [-1], [1], [-1]]), None).weights.tolist()
      [2.0, 0.0, 2.0, 0.0]
    """

    def sampling(
        self, context: MitigationContext, attributes: np.ndarray, outcomes: np.ndarray
    ) -> Sampling | None:
        """Sampling weights of training rows, None if rows are drawn equally.

        Args:
          context: the cohort.
          attributes: [N, A] int32 group index, -1 = unknown, columns as the specification's
            attributes.
          outcomes: [N, T] in {0, 1, NaN}, columns as the specification's tasks (a region is an
            outcome where its mask is not empty).
        """
        return None

    def objective(self, context: MitigationContext) -> Objective | None:
        """The term to add to the reconstructor's loss, None if there is none."""
        return None


MITIGATIONS: dict[str, type] = {}
"""Mitigation dataclasses by kind."""

register = registrar(MITIGATIONS, "mitigation")
"""Class decorator that enters a mitigation into `MITIGATIONS`.

Example:
  >>> @register("nothing")
  ... @dataclasses.dataclass(frozen=True)
  ... class Nothing(Mitigation):
  ...     weight: float = 1.0
  >>> make_mitigation("nothing", weight=2.0).weight
  2.0
  >>> del MITIGATIONS["nothing"]
"""


def make_mitigation(kind: str, **fields: Any) -> Mitigation:
    """Builds a mitigation from plain fields.

    Args:
      kind: a name in `MITIGATIONS`.
      **fields: values of the kind's dataclass fields; lists become tuples.

    Raises:
      ValueError: the kind or a field is unknown, or a value is out of range; the message lists the
        valid ones.
      TypeError: a value does not fit its field.

    Example:
      >>> make_mitigation("reweighting", attributes=["sex"], cap=5.0).attributes
      ('sex',)
    """
    return build(MITIGATIONS, kind, "mitigation", fields)


def check_positive(kind: str, **values: float) -> None:
    """Refuses values that are not finite and positive.

    Raises:
      ValueError: the message names mitigation, field and value.
    """
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"mitigation {kind!r}: {name} must be a positive number, got {value}")


def check_choice(kind: str, name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuses a word that is none of the allowed ones.

    Raises:
      ValueError: the message lists the allowed ones.
    """
    if value not in allowed:
        raise ValueError(
            f"mitigation {kind!r}: {name} must be one of {', '.join(allowed)}, got {value!r}"
            f"{meant(value, allowed)}"
        )
