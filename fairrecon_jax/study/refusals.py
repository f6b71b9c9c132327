"""What is refused of a configuration: named by block, and gathered so that all is said at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from fairrecon_jax.types import ConfigError

T = TypeVar("T")


@contextlib.contextmanager
def naming(where: str) -> Iterator[None]:
    """Puts the name of a block before what a room of the package refuses of it.

    Raises:
      ConfigError: in place of a ValueError or TypeError.
    """
    try:
        yield
    # is a ValueError as well, and names its field already
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        said = getattr(error, "refusals", (str(error),))
        texts = [text.removeprefix(f"config.{where}: ") for text in said]
        raise ConfigError(*(f"config.{where}: {text}" for text in texts)) from error


class Refusals:
    """What is refused of a configuration, gathered so that all of it is said at once.

    Example:
      >>> refused = Refusals()
      >>> for block in ("splits", "tandem"):
      ...     with refused.gather(), naming(block):
      ...         int("x")
      >>> refused.tell()
      Traceback (most recent call last):
      fairrecon_jax.types.ConfigError: 2 fields of the configuration are refused:
      ...
    """

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._spoilt: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, *lines: str) -> None:
        """Adds refusals; the same twice is one."""
        for line in lines:
            # behind a semicolon stands what there is, which any refusal may list
            if not self._spoilt.intersection(re.findall(r"\w+", line.partition(";")[0])):
                self._lines[line] = None

    def spoil(self, name: str) -> None:
        """From now on nothing is said about a field or block, which is refused and left out: it
        would follow from that.
        """
        self._spoilt.add(name)

    @contextlib.contextmanager
    def gather(self) -> Iterator[None]:
        """Keeps what is refused within."""
        try:
            yield
        except ConfigError as error:
            self.add(*error.refusals)

    def of(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """What a function returns, None where it refuses something."""
        with self.gather():
            return function(*arguments)
        return None

    def mentions(self, where: str, name: str) -> bool:
        """Whether something is said of a field of a block."""
        start = f"config.{where}"
        return any(
            # behind a semicolon stands what there is
            name in re.findall(r"\w+", line.removeprefix(start).partition(";")[0])
            for line in self._lines
            if line.startswith(start)
        )

    def tell(self) -> None:
        """Says all of it.

        Raises:
          ConfigError: there is something.
        """
        if self._lines:
            raise ConfigError(*self._lines)


def each(
    make: Callable[..., T],
    where: str,
    fields: Mapping[str, Any],
    refused: Refusals,
    without: Iterable[str] = (),
) -> T | None:
    """Makes an object; where a field is refused, tries without it, so that what is wrong with the
    others is said too.

    Args:
      make: makes it of the fields.
      where: the block's name.
      fields: the block.
      refused: takes what is said.
      without: fields that were refused before, and are left out.

    Returns:
      The object, None where something is refused.
    """
    left, dropped = dict(fields), set(without)
    # without one more field every time: it ends
    while True:
        try:
            with naming(where):
                made = make(**left)
            return None if dropped else made
        except ConfigError as error:
            said = re.findall(r"\w+", str(error).removeprefix(f"config.{where}"))
            # what follows from a field that is left out is no fault of the file's
            if dropped.intersection(said):
                return None
            refused.add(*error.refusals)
            named = [name for name in left if name in said and name != "kind"]
            if not named:
                return None
            # the others that a message names are examples of what there is
            dropped.add(min(named, key=said.index))
            left = {key: value for key, value in left.items() if key not in dropped}


def told(value: T | None) -> T:
    """A value that is there, as otherwise its refusal would have been told."""
    assert value is not None
    return value
