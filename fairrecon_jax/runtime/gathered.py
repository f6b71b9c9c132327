"""Errors of one input, gathered so that all are said at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from fairrecon_jax.types import InputError

T = TypeVar("T")


class SeveralErrors(InputError):
    """Several things of one input are not usable; the message numbers a line for each.

    Args:
      what: the input.
      *refusals: what is said of each.

    Example:
      >>> print(SeveralErrors("scores.csv", "no column 'a'", "no column 'b'"))
      scores.csv: 2 errors:
        1. no column 'a'
        2. no column 'b'
    """

    def __init__(self, what: str, *refusals: str) -> None:
        lines = [f"  {number}. {one}" for number, one in enumerate(refusals, 1)]
        super().__init__("\n".join([f"{what}: {len(lines)} errors:", *lines]))
        self.refusals = refusals


class Gathered:
    """Keeps what is refused of one input until everything has been looked at.

    Example:
      >>> errors = Gathered()
      >>> for column in ("a", "b"):
      ...     with errors.gather():
      ...         raise InputError(f"no column {column!r}")
      >>> errors.tell("scores.csv")
      Traceback (most recent call last):
      fairrecon_jax.runtime.gathered.SeveralErrors: scores.csv: 2 errors:
      ...
    """

    kind: type[InputError] = InputError
    """What is kept; anything else passes through."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    @contextlib.contextmanager
    def gather(self) -> Iterator[None]:
        """Keeps what is refused within; what stands behind it in the block is left out."""
        try:
            yield
        except self.kind as error:
            self.add(*getattr(error, "refusals", (str(error),)))

    def add(self, *lines: str) -> None:
        """Adds what is refused; the same twice is one."""
        self._lines |= dict.fromkeys(lines)

    def tell(self, what: str = "") -> None:
        """Says all of it.

        Args:
          what: the input; "" where a single error names it by itself.

        Raises:
          InputError: there is something.
        """
        if self._lines:
            raise self._error(what, list(self._lines))

    def _error(self, what: str, lines: list[str]) -> InputError:
        if len(lines) > 1:
            return SeveralErrors(what or "the input", *lines)
        return InputError(f"{what}: {lines[0]}" if what else lines[0])


def each(
    make: Callable[..., T],
    fields: Mapping[str, Any],
    errors: Gathered,
    prefix: str = "",
    without: Iterable[str] = (),
    fixed: Iterable[str] = (),
) -> T | None:
    """Makes an object; where a field is refused, tries without it, so that what is wrong with the
    others is said too.

    Args:
      make: makes it of the fields, and refuses some of them by an error that `errors` keeps.
      fields: by name.
      errors: takes what is said.
      prefix: of the messages, which names no field.
      without: fields that were refused before, and are left out.
      fixed: fields that are never left out.

    Returns:
      The object, None where something is refused.

    Example:
      >>> def span(first=0, last=9):
      ...     for name, value in {"first": first, "last": last}.items():
      ...         if value < 0:
      ...             raise InputError(f"{name} is {value}")
      >>> errors = Gathered()
      >>> each(span, {"first": -1, "last": -2}, errors)
      >>> errors.tell("a span")
      Traceback (most recent call last):
      fairrecon_jax.runtime.gathered.SeveralErrors: a span: 2 errors:
      ...
    """
    left, dropped, kept = dict(fields), set(without), set(fixed)
    # without one more field every time: it ends
    while True:
        try:
            made = make(**left)
            return None if dropped else made
        except errors.kind as error:
            said = re.findall(r"\w+", str(error).removeprefix(prefix))
            # what follows from a field that is left out is no fault of the input's
            if dropped.intersection(said):
                return None
            errors.add(*getattr(error, "refusals", (str(error),)))
            named = [name for name in left if name in said and name not in kept]
            if not named:
                return None
            # the others that a message names are examples of what there is
            dropped.add(min(named, key=said.index))
            left = {key: value for key, value in left.items() if key not in dropped}
