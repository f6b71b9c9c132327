"""Compiled programs are kept on disk, so that the next study need not compile them again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import jax

FOLDER = "FAIRRECON_COMPILED"
"""Environment variable: the folder of compiled programs."""
LARGEST = 2 * 1024**3
"""Bytes that the folder may grow to; what was used longest ago goes first."""


def keep_compiled_programs() -> Path:
    """Keeps compiled programs in one folder of the user, which all studies share.

    The folder is the one that JAX was already told (`JAX_COMPILATION_CACHE_DIR`), else
    `$FAIRRECON_COMPILED`, else `fairrecon_jax/compiled` in the user's folder of caches
    (`$XDG_CACHE_HOME` or `~/.cache`), or a temporary one where that cannot be written.
    A program is found by its code, its compiler and the machine, so that studies never meet.

    Returns:
      The folder.

    Example:
      >>> keep_compiled_programs() == keep_compiled_programs()
      True
    """
    # jax.config has no declared attributes for a type checker
    if set_before := jax.config.values["jax_compilation_cache_dir"]:
        return Path(set_before)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get(FOLDER) or caches / "fairrecon_jax" / "compiled")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        # a home that is read-only, as on some clusters; a new folder, since anybody could have
        # laid programs into one with a name that can be guessed
        folder = Path(tempfile.mkdtemp(prefix="fairrecon_jax_compiled_"))
    jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))
    jax.config.update("jax_compilation_cache_max_size", LARGEST)
    # programs that compile faster are not worth a file each
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return folder
