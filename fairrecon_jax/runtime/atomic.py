"""Writing a file so that a reader never sees half of it, by one process of a run."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from fairrecon_jax.runtime import processes


def unfinished(name: str) -> str:
    """The pattern of what `write_atomic` leaves beside a file `name` (or a pattern of names) where
    its process is killed."""
    return f".{name}.????????"


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Writes a file under a temporary name in its own folder, then moves it into place; in a run of
    several processes only process 0 does.

    Args:
      path: the file to write; its folder is made.
      content: bytes, or text that is stored as UTF-8.

    Returns:
      The path.
    """
    if not processes.is_primary():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    # in the same folder, as a rename is atomic within one file system only
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        # mkstemp makes files that only their owner may read.
        os.chmod(name, 0o644)
        os.replace(name, path)
    # an interrupt as well must leave no temporary file behind
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # a full disk is told without
        raise
    return path


def file_digest(path: str | Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
