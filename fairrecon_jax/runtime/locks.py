"""Locks of files, by which processes on one disk take turns.

They are locks of the operating system (`flock`): a process that ends, however it ends, holds none
any longer. The files stay where they are and mean nothing by themselves.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WITHOUT = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What a file system says that has no locks."""


@contextmanager
def locked(
    path: Path, told: Callable[[str], object], what: str = "", shared: bool = False
) -> Iterator[None]:
    """Holds the lock of a file, which is made; waits where another process, or another thread of
    this one, holds it.

    Args:
      path: the file of the lock.
      told: is given a line before a wait, "waiting for WHAT, made by process 123 on HOST", and
        where the file system has no locks, in which case none is held.
      what: the lock guards; the name of the file if empty.
      shared: held by any number of readers at a time; otherwise by one process alone, whose name
        stands in the file.

    Example:
      >>> from pathlib import Path
      >>> from tempfile import mkdtemp
      >>> with locked(Path(mkdtemp()) / "weights.lock", print, "the weights"):
      ...     pass  # make them
    """
    what = what or path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    # for writing, though shared: NFS gives locks by how a file was opened
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        held = _take(handle, told, what, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        # a name that a killed process left goes as well: while readers hold it nobody makes it
        _sign(handle, "" if shared or not held else f"process {os.getpid()} on {_host()}")
        try:
            yield
        finally:
            if held and not shared:
                _sign(handle, "")
    finally:
        # a forked child would keep what is only closed
        _release(handle)


def holder(path: Path) -> str:
    """Who holds the lock of a file alone, "process 123 on HOST"; "" where nobody does."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _signed(handle) or "another process"
    except OSError:  # no locks here
        return ""
    finally:
        _release(handle)
    return ""


def _take(handle: int, told: Callable[[str], object], what: str, path: Path, kind: int) -> bool:
    """Takes the lock; whether there is one."""
    try:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            reads = "made" if kind == fcntl.LOCK_SH else "read"
            by = _signed(handle)
            told(f"waiting for {what}, {'made' if by else reads} by {by or 'another process'}")
            fcntl.flock(handle, kind)
    except OSError as error:
        if error.errno not in WITHOUT:
            raise
        told(f"no locks on the disk of {path.parent}: run one process at a time there ({error})")
        return False
    return True


def _sign(handle: int, name: str) -> None:
    """Writes who holds the lock into its file."""
    os.ftruncate(handle, 0)
    if name:
        os.pwrite(handle, name.encode(), 0)
        os.fsync(handle)  # other machines read it


def _signed(handle: int) -> str:
    """What stands in the file of a lock."""
    return os.pread(handle, 200, 0).decode(errors="replace")


def _release(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_UN)
    except OSError as error:
        if error.errno not in WITHOUT:
            raise
    finally:
        os.close(handle)


def _host() -> str:
    return socket.gethostname()
