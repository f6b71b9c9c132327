"""What is refused of a configuration: named by block, and gathered so that all is said at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from fairrecon_jax.runtime import gathered
from fairrecon_jax.runtime.gathered import Gathered
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


class Refusals(Gathered):
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

    kind = ConfigError

    def __init__(self) -> None:
        super().__init__()
        self._spoilt: set[str] = set()

    def add(self, *lines: str) -> None:
        """Adds refusals; the same twice is one."""
        for line in lines:
            # behind a semicolon stands what there is, which any refusal may list
            if not self._spoilt.intersection(re.findall(r"\w+", line.partition(";")[0])):
                super().add(line)

    def spoil(self, name: str) -> None:
        """From now on nothing is said about a field or block, which is refused and left out: it
        would follow from that.
        """
        self._spoilt.add(name)

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

    def _error(self, what: str, lines: list[str]) -> ConfigError:
        return ConfigError(*lines)


def each(
    make: Callable[..., T],
    where: str,
    fields: Mapping[str, Any],
    refused: Refusals,
    without: Iterable[str] = (),
) -> T | None:
    """As `gathered.each` for a block of the configuration.

    Args:
      make: makes it of the fields.
      where: the block's name.
      fields: the block.
      refused: takes what is said.
      without: fields that were refused before, and are left out.
    """

    def named(**left: Any) -> T:
        with naming(where):
            return make(**left)

    # no message about another field is about the kind that it names
    return gathered.each(named, fields, refused, f"config.{where}", without, fixed=("kind",))


def told(value: T | None) -> T:
    """A value that is there, as otherwise its refusal would have been told."""
    assert value is not None
    return value
