"""What a diagnoser is, the registry of their kinds, and how one is built for a cohort's tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import jax

from fairrecon_jax.diagnosers.preprocessing import expanded
from fairrecon_jax.registry import build, registrar
from fairrecon_jax.training.trainable import Trainable
from fairrecon_jax.types import Array, CohortSpec, TaskKind, Variables, meant


@runtime_checkable
class Diagnoser(Trainable, Protocol):
    """A trainable that diagnoses images, original or reconstructed."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of the scores."""
        ...

    @property
    def kind(self) -> TaskKind:
        """What the tasks are."""
        ...

    def predict(self, variables: Variables, image: Array) -> jax.Array:
        """Scores [B, T] of images [B, H, W, 1] in [0, 1], or mask probabilities [B, H, W, S]; in
        [0, 1].
        """
        ...


@runtime_checkable
class HasFeatures(Protocol):
    """A diagnoser that gives the features its last layer reads."""

    def features(self, variables: Variables, image: Array) -> jax.Array:
        """Features [B, F] float32 of images [B, H, W, 1] in [0, 1], differentiable in the image."""
        ...


@runtime_checkable
class HasFeatureMaps(Protocol):
    """A diagnoser whose scores are a function of feature maps that know their place."""

    def maps(self, variables: Variables, image: Array) -> jax.Array:
        """Maps [B, h, w, C] of images [B, H, W, 1] in [0, 1]."""
        ...

    def head(self, variables: Variables, maps: Array) -> jax.Array:
        """Logits [B, T] of maps, differentiable in them."""
        ...


DIAGNOSERS: dict[str, type] = {}
"""Diagnoser dataclasses by kind; each takes `tasks` and `columns` beside its own fields."""

register = registrar(DIAGNOSERS, "diagnoser")
"""Class decorator that enters a diagnoser into `DIAGNOSERS`."""


def task_columns(spec: CohortSpec, tasks: tuple[str, ...], kind: TaskKind) -> tuple[int, ...]:
    """Columns of `labels` (classification) or channels of `mask` (segmentation) that hold the
    tasks.

    Raises:
      ValueError: no task is given, or one is not a task of that kind in the specification; the
        message lists those that are.
    """
    names = [t.name for t in spec.tasks if t.kind == kind]
    wrong = [t for t in tasks if t not in names]
    if wrong or not tasks:
        asked = ", ".join(map(repr, wrong)) or "no task at all"
        raise ValueError(
            f"{asked} is not a {kind} task of cohort {spec.name!r}; these are: "
            f"{', '.join(names) or 'none'}{meant(wrong[0], names) if wrong else ''}"
        )
    return tuple(names.index(t) for t in tasks)


def check_apart(diagnosers: Iterable[tuple[str, Diagnoser]]) -> None:
    """Refuses diagnosers that share a task: predictions have one column per task.

    Args:
      diagnosers: (name, diagnoser) of those that see the same images.

    Raises:
      ValueError: two have the same task; the message names it and both of them.

    Example:
      >>> one, other = (fr.Classifier((task,), columns=(0,)) for task in ("effusion", "edema"))
      >>> check_apart([("one", one), ("other", other)])
      >>> check_apart([("one", one), ("twin", one)])
      Traceback (most recent call last):
      ValueError: task 'effusion' is read by the diagnosers one and twin: give each its own tasks
    """
    owners: dict[str, str] = {}
    for name, diagnoser in diagnosers:
        for task in diagnoser.tasks:
            if task in owners:
                raise ValueError(
                    f"task {task!r} is read by the diagnosers {owners[task]} and {name}: "
                    "give each its own tasks"
                )
            owners[task] = name


def make_diagnoser(
    kind: str, spec: CohortSpec, tasks: str | tuple[str, ...], **fields: Any
) -> Diagnoser:
    """Builds a diagnoser of some of a cohort's tasks from plain fields.

    Args:
      kind: a name in `DIAGNOSERS`.
      spec: the cohort's specification.
      tasks: names of tasks of one kind, in the order of the scores; or one name.
      **fields: values of the kind's other dataclass fields, those of its `preprocessing` and
        `readout` beside the others or by the name of a preset (`preprocessing="torchxrayvision"`);
        lists become tuples.

    Returns:
      The diagnoser.

    Raises:
      ValueError: the kind, a field or a task is unknown; the message lists the valid ones.
      TypeError: a value does not fit its field.

    Example:
      >>> cohort = fr.arrays(np.zeros((2, 16, 16)), labels={"effusion": [0, 1], "edema": [1, 1]})
      >>> make_diagnoser("classifier", cohort.spec, ("edema",), width=8).columns
      (1,)
    """
    fixed = {"tasks", "columns"} & set(fields)
    if fixed:
        raise ValueError(
            f"diagnoser {kind!r}: {', '.join(sorted(fixed))} follow from the "
            "specification and cannot be set"
        )
    # a text would be taken letter by letter
    tasks = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    # An unknown kind has none; `build` refuses it and lists those there are.
    judged: TaskKind | None = getattr(DIAGNOSERS.get(kind), "kind", None)
    columns = task_columns(spec, tasks, judged) if judged else ()
    program = isinstance(kind, str) and kind.startswith("callable")
    values = {**expanded(fields, not program), "tasks": tasks, "columns": columns}
    return build(DIAGNOSERS, kind, "diagnoser", values)
