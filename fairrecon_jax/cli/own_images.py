"""The commands `init` and `pairs`: from anybody's images to a configuration, and to a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairrecon_jax.cli.command import workdir_of
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.runtime.progress import say
from fairrecon_jax.study.init import Guess, check_called, config_text, guess, write_first
from fairrecon_jax.study.run import run
from fairrecon_jax.types import InputError


def init(values: Any) -> None:
    """Writes a first configuration."""
    if not values.images or not values.table:
        raise InputError("give --images=DIR and --table=FILE")
    read = _guess(values)
    path = write_first(values.output, config_text(read, values.output))
    for line in read.said:
        say(line)
    say(f"wrote {path}: read it, then `fairrecon doctor --config={path}`")


def pairs(values: Any) -> None:
    """Originals and reconstructions of them, to a report."""
    if not values.images or not values.table or not values.reconstructions:
        raise InputError(
            "give --table=FILE, --images=DIR and --reconstructions=DIR (or a column of the table; "
            "several as NAME=DIR,NAME=DIR)"
        )
    if values.steps < 0:
        raise InputError(f"--steps must not be negative, got {values.steps}")
    named = [_named(entry) for entry in values.reconstructions]
    called = [name for name, _ in named]
    if twice := [name for name in called if called.count(name) > 1]:
        raise InputError(
            f"--reconstructions gives {twice[0]!r} twice: name each, as in a=DIR,b=DIR"
        )
    beside = dict(named)
    if "degraded" in beside:
        # one name for two things
        raise InputError("--reconstructions names 'degraded', which is what --degraded is for")
    check_called(called)
    if values.degraded:
        beside["degraded"] = values.degraded
    read = _guess(values, beside)
    workdir = workdir_of(values, "runs/pairs")
    path = workdir / "pairs.py"
    text = config_text(read, str(path), stored=True, steps=values.steps)
    for line in read.said:
        say(line)
    # a corrected file is somebody's work, and a finished run may rest on it
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise InputError(
            f"{path} is there and differs: run `fairrecon study --config={path} --workdir="
            f"{workdir}` with what it says, or remove it"
        )
    write_atomic(path, text)
    say(f"wrote {path}, which `fairrecon study` takes too, once it is corrected")
    names: dict[str, Any] = {}
    # the text that was just written, under its name: an error points at the file
    exec(compile(text, str(path), "exec"), names)
    run(names["get_config"](), workdir)


def _guess(values: Any, beside: Mapping[str, str] | None = None) -> Guess:
    """What table and images look like, with what the flags say of them."""
    return guess(
        values.images,
        values.table,
        values.masks,
        beside,
        values.modality or "",
        values.labels,
        values.attributes,
        values.sheet,
    )


def _named(entry: str) -> tuple[str, str]:
    """Name and place of NAME=PLACE; a place alone is called "reconstruction"."""
    name, sign, place = entry.partition("=")
    return (name, place) if sign else ("reconstruction", entry)
