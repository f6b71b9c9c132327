"""Errors in one line, with what may be done about them."""

from __future__ import annotations

import errno
import os
import traceback

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
DISK_HINT = "is the path right, may you write there, has the disk room?"


def of_disk(error: BaseException | None) -> bool:
    """Whether an error is that the disk takes no more."""
    return any(os.strerror(number) in str(error) for number in DISK)


def unread(error: BaseException) -> bool:
    """Whether whoever was to read what is said has ended, such as `head`."""
    # late: it brings JAX, which the overview does without
    from fairrecon_jax.runtime.progress import say

    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, BrokenPipeError) and frames[-1].f_code is say.__code__


def in_line(error: BaseException) -> str:
    """An error in one line, several refused fields in one each.

    Example:
      >>> in_line(FileNotFoundError(2, "No such file or directory", "/data/a.csv"))
      '/data/a.csv: No such file or directory; is the path right?'
    """
    if len(getattr(error, "refusals", ())) > 1:
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        # what fails while it is written mostly names no file
        place = f"{error.filename}: " if error.filename else ""
        hint = _hint(error)
        return f"{place}{error.strerror}" + (f"; {hint}" if hint else "")
    return " ".join(str(error).split())


def _hint(error: OSError) -> str:
    """What may be done about an error of a file, "" where its words say all."""
    if error.errno in DISK or not error.filename:
        return DISK_HINT
    if error.errno == errno.ENOENT:
        return "is the path right?"
    if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOTDIR):
        return ""
    # what is there and cannot be read was to be read
    unread = os.path.exists(error.filename) and not os.access(error.filename, os.R_OK)
    return "may you read it?" if unread else DISK_HINT
