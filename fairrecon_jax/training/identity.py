"""A work directory belongs to one set of choices: they are written once and compared whenever a run
continues there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairrecon_jax.keys import digest, identity
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.types import InputError


def flatten(choices: Any, prefix: str = "") -> dict[str, Any]:
    """Nested JSON by dotted name, e.g. {"config": {"steps": 2}} -> {"config.steps": 2}."""
    if not isinstance(choices, Mapping):
        return {prefix: choices}
    flat: dict[str, Any] = {}
    for name, value in choices.items():
        flat |= flatten(value, f"{prefix}.{name}" if prefix else name)
    return flat


def check_run_identity(workdir: Path, choices: Mapping[str, Any]) -> str:
    """Writes the identity of a run to `workdir/run.json`, or checks that it is the one written
    there.

    Args:
      workdir: the run's directory; made if absent.
      choices: everything the run's result depends on, see `keys.identity`.

    Returns:
      The digest of the choices.

    Raises:
      InputError: a choice differs from the one written there, and the message names each with both
        values; the file is spoilt; or it is gone and weights or checkpoints are there.
    """
    wanted = _flat(choices)
    path = workdir / "run.json"
    if path.exists():
        _compare(workdir, wanted, _written(path))
    else:
        # nothing says what made them: they may be of other choices
        lying = [one for one in ("final", "checkpoints/[0-9]*") if any(workdir.glob(one))]
        if lying:
            raise InputError(
                f"{workdir} holds {lying[0].partition('/')[0]} but no {path.name}, which says "
                "what they were made from: use another workdir, or remove this one"
            )
        write_atomic(path, json.dumps(wanted, indent=1))
    return digest(wanted)


def check_known_choices(
    workdir: Path, choices: Mapping[str, Any], unknown: Sequence[str] = ()
) -> None:
    """Refuses what `check_run_identity` would refuse, as far as it is known before a run; writes
    nothing.

    Args:
      workdir: the run's directory.
      choices: some of those that it takes.
      unknown: dotted names within them that are not known yet.

    Raises:
      InputError: a choice differs, or the file is spoilt.

    Example:
      >>> from tempfile import mkdtemp
      >>> folder = Path(mkdtemp())
      >>> _ = check_run_identity(folder, {"config": {"steps": 2, "seed": 0}, "rows": "ab"})
      >>> check_known_choices(folder, {"config": {"steps": 2}}, unknown=("config.seed",))
      >>> check_known_choices(folder, {"config": {"steps": 3, "seed": 0}})
      Traceback (most recent call last):
      fairrecon_jax.types.InputError: ... holds a run with other choices: config.steps was 2, ...
    """
    path = workdir / "run.json"
    if not path.exists():
        return

    def known(flat: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in flat.items()
            if name.split(".")[0] in choices
            and not any(name == one or name.startswith(f"{one}.") for one in unknown)
        }

    _compare(workdir, known(_flat(choices)), known(_written(path)))


def _flat(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Choices as the file has them."""
    # Through JSON, where tuples are lists, as in the file.
    return flatten(json.loads(json.dumps(identity(choices))))


def _written(path: Path) -> dict[str, Any]:
    """The choices of the file."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path} is spoilt: remove {path.parent} to train again from the start"
        ) from error


def _compare(workdir: Path, wanted: dict[str, Any], written: dict[str, Any]) -> None:
    """Refuses choices that differ."""
    # Over both: a choice that came or went since is a difference too.
    names = [n for n in sorted({*written, *wanted}) if written.get(n) != wanted.get(n)]
    if names:
        changes = "; ".join(f"{n} was {written.get(n)!r}, now {wanted.get(n)!r}" for n in names)
        raise InputError(
            f"{workdir} holds a run with other choices: {changes}. Use another workdir, or "
            "remove this one"
        )


def release(workdir: Path) -> None:
    """Leaves the directory to other choices."""
    (workdir / "run.json").unlink(missing_ok=True)
