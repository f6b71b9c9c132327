"""A work directory belongs to one set of choices: they are written once and compared whenever a run
continues there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fairrecon_jax.runtime.atomic import write_atomic


def check_run_identity(workdir: Path, choices: Mapping[str, Any], free: Iterable[str] = ()) -> str:
    """Writes the choices of a run to `workdir/run.json`, or checks that they are those written
    there.

    Args:
      workdir: the run's directory; made if absent.
      choices: JSON by dotted field name, e.g. {"config.steps": 100}.
      free: fields that may differ from what is written.

    Returns:
      The SHA-256 of the choices that are not free, 16 hexadecimal digits.

    Raises:
      ValueError: a field differs from the one written there; the message names each with both
        values.
    """
    free = set(free)
    choices = json.loads(json.dumps(dict(choices), sort_keys=True, default=str))
    path = workdir / "run.json"
    if path.exists():
        written = json.loads(path.read_text(encoding="utf-8"))
        names = [
            name
            for name in sorted({*written, *choices} - free)
            if written.get(name) != choices.get(name)
        ]
        if names:
            changes = "; ".join(
                f"{name} was {written.get(name)!r}, now {choices.get(name)!r}" for name in names
            )
            raise ValueError(
                f"{workdir} holds a run with other choices: {changes}. Use another "
                "workdir, or remove this one"
            )
    else:
        write_atomic(path, json.dumps(choices, indent=1))
    fixed = {name: value for name, value in choices.items() if name not in free}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]


def release(workdir: Path) -> None:
    """Leaves the directory to other choices."""
    (workdir / "run.json").unlink(missing_ok=True)
