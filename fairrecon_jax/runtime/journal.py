"""The log of a work directory, `study.log`: what every command did there and how it ended.

What the log holds may be sent to somebody who helps: names of patients and of files are left out of
warnings and errors, whose words on the screen have them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.progress import duration, listen

NAME = "study.log"
MOST = 2**20
"""Bytes of a log; the one before it is kept as `study.log.1`."""
HIDDEN = "..."
QUOTED = re.compile(r"""(?<!\w)(?:'[^'\n]*'|"[^"\n]*")(?!\w)""")
NAMED = re.compile(r"\b(patients?|image|e\.g\.|row for) (?!of|are|is|have|has|in)[^\s,;:]+")
CODED = re.compile(
    r"(?<![^\s(\[,])(?!config\.|columns\.)(?=[^\s]*[\w/\\])[^\s,;:()\[\]]*"
    r"(?:\d{4,}|[A-Za-z_/\\-]\d|\d[A-Za-z_/\\-]|[^\s.]/[^\s.])[^\s,;:()\[\]]*"
)


def discreet(text: str) -> str:
    """A message without what may name a patient: quoted words, paths, codes of letters and digits,
    long numbers.

    Example:
      >>> discreet("tree/p07/a.png: patient Smith has 'x', see config.splits.b1; 12 of 30 images")
      '...: patient ... has ..., see config.splits.b1; 12 of 30 images'
    """
    text = QUOTED.sub(HIDDEN, text)
    return CODED.sub(HIDDEN, NAMED.sub(rf"\1 {HIDDEN}", text))


def append(path: Path, text: str) -> None:
    """Appends a text to a log in one call of the system, so that lines of two commands never mix; a
    full log is set aside first.

    Args:
      path: of the log, in a folder that is there.
      text: as it is written.
    """
    # without waiting: something else of that name, such as a pipe, has perhaps no reader
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    if path.exists() and path.stat().st_size + len(text) > MOST:
        os.replace(path, path.with_name(f"{path.name}.1"))
    handle = os.open(path, flags, 0o644)
    try:
        os.write(handle, text[-MOST:].encode("utf-8", "backslashreplace"))
    finally:
        os.close(handle)


class Journal:
    """Lines of one command for the log of a folder; written as soon as the folder is there, and not
    at all where the command ends before that.

    Args:
      folder: the work directory.

    Example:
      >>> from tempfile import mkdtemp
      >>> folder = Path(mkdtemp())
      >>> Journal(folder).note("a line")
      >>> (folder / NAME).read_text().split(" ", 2)[2]
      'a line\\n'
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._waiting, self._told = folder / NAME, "", False

    def note(self, text: str) -> None:
        """Adds lines, each with the time."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._waiting += "".join(f"{stamp} {line}\n" for line in text.splitlines() or [""])
        if not self._path.parent.is_dir():
            return
        try:
            append(self._path, self._waiting)
        except OSError as error:
            # a log that cannot be kept ends no study
            if not self._told:
                print(f"{self._path}: no log is kept: {error.strerror}", file=sys.stderr)
            self._told = True
        self._waiting = ""

    def failure(self, error: BaseException) -> None:
        """Adds an error with its traceback and those of its causes."""
        chain: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None and cause not in chain:
            chain.append(cause)
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        for one in reversed(chain):
            frames = "".join(traceback.format_tb(one.__traceback__))
            self.note(f"{frames}{type(one).__name__}: {discreet(str(one))}")


def command_line() -> str:
    """The command that runs, as a shell takes it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


_kept: list[Path | None] = []


@contextlib.contextmanager
def kept(folder: Path | None, versions: Mapping[str, str]) -> Iterator[None]:
    """Keeps the log of a work directory while a command runs: its words, what is said on the way,
    and how it ends. Process 0 of a run does, and once where one that is kept calls for another.

    Args:
      folder: the work directory; None for no log.
      versions: of packages, by name.
    """
    place = None if folder is None else folder.resolve()
    if folder is None or place in _kept or not processes.is_primary():
        yield
        return
    journal, started = Journal(folder), time.monotonic()
    journal.note(f"begins: {command_line()}")
    journal.note(", ".join(f"{name} {version}" for name, version in versions.items()))
    _kept.append(place)
    try:
        with listen(journal.note):
            yield
    # an interrupt and the end by a signal too
    except BaseException as error:
        journal.failure(error)
        journal.note(f"failed after {duration(time.monotonic() - started)}")
        raise
    finally:
        _kept.remove(place)
    journal.note(f"ended after {duration(time.monotonic() - started)}")
