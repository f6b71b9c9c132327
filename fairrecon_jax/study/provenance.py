"""How a result was made: software, machine, command, commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import jax

from fairrecon_jax.runtime.journal import command_line

PACKAGES = (
    "fairrecon_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "pandas",
    "tensorflow-datasets",
    "grain",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    return {
        "Python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def circumstances(made: float) -> dict[str, Any]:
    """Command, commit, date and machine, as far as they can be told.

    Args:
      made: when the results were made, in seconds since 1970.
    """
    devices, processes = jax.local_devices(), jax.process_count()
    found = {
        "command": command_line(),
        "commit": _commit(),
        "results of": datetime.fromtimestamp(made).strftime("%Y-%m-%d %H:%M"),
        "machine": f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores",
        "device": f"{jax.device_count()} x {devices[0].device_kind}"
        + (f" in {processes} processes" if processes > 1 else ""),
    }
    return {name: value for name, value in found.items() if value}


def _commit() -> str:
    """The commit of the checkout that the package lies in, with a word on changed files; "" where
    it was installed.
    """
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return ""
    try:
        told = [
            subprocess.run(
                ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        ]
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told[0] + (" with changed files" if told[1] else "")


def _version(package: str) -> str:
    """The version of a package, "not installed" where only its folder is on the path."""
    try:
        return importlib.metadata.version(package)
    # a checkout that was never installed has no metadata
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
