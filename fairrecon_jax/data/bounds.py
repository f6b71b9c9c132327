"""How much a file may hold: a small file can say that it unpacks to more than any memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from fairrecon_jax.types import MOST_VALUES, InputError

MOST_BYTES = 2**31
"""Bytes of one table, unpacked."""
MOST_COLUMNS = 16_384
"""Columns of a table, as many as a sheet of Excel has."""


def check_values(shape: Sequence[int]) -> None:
    """Refuses an image or volume before it is unpacked.

    Args:
      shape: as its header says.

    Raises:
      ValueError: it has too many values.

    Example:
      >>> check_values((512, 512, 300))
      >>> check_values((10**5, 10**5))
      Traceback (most recent call last):
      ValueError: 100000 x 100000 values; at most 536870912 are read
    """
    if math.prod(int(one) for one in shape) > MOST_VALUES:
        words = " x ".join(str(int(one)) for one in shape)
        raise ValueError(f"{words} values; at most {MOST_VALUES} are read")


def check_bytes(path: Path, count: int) -> None:
    """Refuses a table before it is unpacked, or when it turns out too long.

    Raises:
      InputError: it has too many bytes; the message names the file.
    """
    if count > MOST_BYTES:
        raise InputError(
            f"{path} holds more than {MOST_BYTES // 2**30} GiB unpacked: split it, or leave out "
            "columns"
        )


def check_columns(path: Path, count: int) -> None:
    """Refuses a table of too many columns.

    Raises:
      InputError: the message names the file.
    """
    if count > MOST_COLUMNS:
        raise InputError(
            f"{path} has {count} columns; at most {MOST_COLUMNS} are read: is it turned on its "
            "side, or separated by another sign?"
        )
