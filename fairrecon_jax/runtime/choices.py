"""What users give, checked before use: numbers that are none, variables that do not fit."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import jax

from fairrecon_jax.types import Variables

_NUMBERS: dict[str, tuple[type, type, str]] = {
    "int": (numbers.Integral, int, "a whole number"),
    "float": (numbers.Real, float, "a number"),
}
"""By annotation what is taken, what it becomes, and its words."""


def check_numbers(options: Any) -> None:
    """Refuses values of a dataclass's number fields that are none; NumPy's become Python's.

    Args:
      options: a dataclass, whose annotations are text; fields of other types are left alone.

    Raises:
      ValueError: the message names the field.

    Example:
      >>> check_numbers(fr.TrainConfig(steps=2, batch_size=4))
      >>> fr.TrainConfig(steps=2.5, batch_size=4)
      Traceback (most recent call last):
      ValueError: steps must be a whole number, got 2.5
    """
    for field in dataclasses.fields(options):
        value, words = getattr(options, field.name), str(field.type).removesuffix(" | None")
        # other kinds, such as a number or one by task, have checks of their own
        if words not in _NUMBERS or (value is None and words != field.type):
            continue
        kind, plain, text = _NUMBERS[words]
        # in Python a truth value is a number, which is never meant
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ValueError(f"{field.name} must be {text}, got {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{field.name} must be finite, got {value!r}")
        if not isinstance(value, int | float):
            object.__setattr__(options, field.name, plain(value))


def check_like(variables: Variables, expected: Variables) -> None:
    """Checks that variables fit the network.

    Args:
      variables: the variables given.
      expected: the network's own; leaves need a shape only.

    Raises:
      ValueError: an array is missing, unknown or of another shape; the message names the first.
    """

    def shapes(tree: Variables) -> dict[str, tuple[int, ...]]:
        return {
            jax.tree_util.keystr(path): tuple(getattr(leaf, "shape", ()))
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }

    given, wanted = shapes(variables), shapes(expected)
    for name in sorted({*given, *wanted}):
        if given.get(name) != wanted.get(name):
            has, needs = given.get(name, "absent"), wanted.get(name, "no such array")
            raise ValueError(
                f"the variables do not fit the network: {name} is {has}, expected {needs}"
            )
