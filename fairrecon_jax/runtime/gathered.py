"""Errors of one input, gathered so that all are said at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fairrecon_jax.types import InputError


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

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    @contextlib.contextmanager
    def gather(self) -> Iterator[None]:
        """Keeps what is refused within; what stands behind it in the block is left out."""
        try:
            yield
        except InputError as error:
            # the same twice is one
            self._lines |= dict.fromkeys(getattr(error, "refusals", (str(error),)))

    def add(self, *lines: str) -> None:
        """Adds what is refused."""
        self._lines |= dict.fromkeys(lines)

    def tell(self, what: str = "") -> None:
        """Says all of it.

        Args:
          what: the input; "" where a single error names it by itself.

        Raises:
          InputError: there is something.
        """
        lines = list(self._lines)
        if len(lines) > 1:
            raise SeveralErrors(what or "the input", *lines)
        if lines:
            raise InputError(f"{what}: {lines[0]}" if what else lines[0])
