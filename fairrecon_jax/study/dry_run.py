"""What a run would make, why, and how long that took before; nothing is made."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from fairrecon_jax.runtime.capacity import amount
from fairrecon_jax.runtime.progress import duration
from fairrecon_jax.study.check import check
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.locking import maker
from fairrecon_jax.study.memory import memory_lines
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.stages import Stage, dependents, seconds_by_kind
from fairrecon_jax.types import InputError

SCHEMA = 1
"""The version of what `listing` gives."""


def listing(config: StudyConfig | ConfigDict, workdir: str | Path) -> dict[str, Any]:
    """Every stage of a study for another program, in the order in which they are made.

    Args:
      config: the study, parsed or not.
      workdir: its folder, which need not exist.

    Returns:
      {"schema": 1, "workdir": text, "stages": [stage, ...]}, all JSON, where a stage has

      - stage: its title, unique, which `fairrecon study --only` takes;
      - verb, model, level, mitigation, weight, seed: what it does; null or "" where there is none;
      - needs: titles of the stages that it is made from;
      - wave: 0 without needs, else one more than the highest of them: stages of one wave are
        independent;
      - state: "finished", "stale" (made before, from something else, or damaged) or "missing";
      - why: the reason, "" where it is finished;
      - maker: "process 123 on HOST" while a process makes it, else "";
      - seconds: what the last stage of its kind took, null where there was none yet;
      - accelerator: whether it runs networks;
      - path: what it makes, below `workdir`.

    Raises:
      ConfigError: the configuration is refused.

    Example:
      >>> from tempfile import mkdtemp
      >>> stages = listing(fr.configuration("quickstart_brain"), mkdtemp())["stages"]
      >>> stages[1]["stage"], stages[1]["needs"], stages[1]["state"], stages[1]["wave"]
      ('cohort', ['phantom'], 'missing', 1)
    """
    return _listing(*_opened(config, workdir))


def _opened(
    config: StudyConfig | ConfigDict, workdir: str | Path
) -> tuple[Context, list[Stage], list[Stage]]:
    """A study, its stages, and those of them that are left to make."""
    context = Context(config, workdir)
    check(context)
    stages, folder = plan(context), context.workdir.stages
    stale = [stage for stage in stages if not stage.is_done(folder)]
    return context, stages, dependents(stale, stages)


def _listing(context: Context, stages: Sequence[Stage], left: Sequence[Stage]) -> dict[str, Any]:
    """See `listing`."""
    folder, root = context.workdir.stages, context.workdir.root
    seconds = seconds_by_kind(stages, folder)
    waves: dict[str, int] = {}
    for stage in stages:
        waves[stage.title] = 1 + max((waves[need.title] for need in stage.needs), default=-1)
    entries = []
    for stage in stages:
        cell, made = stage.cell, bool(stage.recorded(folder))
        entries.append(
            {
                "stage": stage.title,
                "verb": stage.verb,
                "model": cell.reconstructor if cell else stage.model,
                "level": cell.level if cell else None,
                "mitigation": cell.mitigation if cell and cell.is_mitigated else "",
                "weight": cell.weight if cell else None,
                "seed": cell.training if cell else stage.training,
                "needs": [need.title for need in stage.needs],
                "wave": waves[stage.title],
                "state": ("stale" if made else "missing") if stage in left else "finished",
                "why": reason(stage, left, folder) if stage in left else "",
                "maker": maker(stage, context.workdir),
                "seconds": seconds.get(stage.kind),
                # the report runs the weights for its examples
                "accelerator": stage.together or stage.verb == "report",
                "path": stage.place.relative_to(root).as_posix() if stage.place else "",
            }
        )
    return {"schema": SCHEMA, "workdir": str(root), "stages": entries}


def dry_run(config: StudyConfig | ConfigDict, workdir: str | Path) -> list[str]:
    """Lines on every stage of a study: done, or why it would be made and how long that may take;
    then on what would be refused, on the memory that the steps need and on the disk.

    Args:
      config: the study, parsed or not.
      workdir: its folder, which need not exist.

    Raises:
      ConfigError: the configuration is refused.

    Example:
      >>> from tempfile import mkdtemp
      >>> lines = dry_run(fr.configuration("quickstart_brain"), mkdtemp())
      >>> lines[0].split()[:4], lines[-3].split()[3:5]
      (['phantom', 'never', 'made;', 'no'], ['stages', 'would'])
    """
    context, all_stages, to_make = _opened(config, workdir)
    stages = _listing(context, all_stages, to_make)["stages"]
    width = max(len(stage["stage"]) for stage in stages)
    lines, total, unknown, left = [], 0.0, 0, 0
    for stage in stages:
        if stage["state"] == "finished":
            lines.append(f"{stage['stage']:<{width}}  done")
            continue
        took = stage["seconds"]
        left, total, unknown = left + 1, total + (took or 0.0), unknown + (took is None)
        words = "no such stage timed yet" if took is None else f"about {duration(took)}"
        by = f"; {stage['maker']} is making it" if stage["maker"] else ""
        lines.append(f"{stage['stage']:<{width}}  {stage['why']}; {words}{by}")
    known = f"about {duration(total)}" if total else ""
    more = f"{unknown} not timed yet" if unknown else ""
    time = f" ({', '.join(filter(None, [known, more]))})" if left else ""
    made = f"{left} of {len(stages)} stages would be made{time}"
    refused = [f"would be refused: {one}" for one in refusals(to_make)]
    return [*lines, made, *refused, *memory_lines(context, to_make), room(context)]


def refusals(left: Sequence[Stage]) -> list[str]:
    """What a run would refuse of the stages that are left, each in a line; nothing is made."""
    said: dict[str, None] = {}
    for stage in left:
        try:
            if stage.check is not None:
                stage.check()
        except InputError as error:
            said[" ".join(str(error).split())] = None
    return list(said)


def reason(stage: Stage, left: Sequence[Stage], folder: Path) -> str:
    """Why a stage would be made."""
    if why := stage.why(folder):
        return why
    waiting = [need.title for need in stage.needs if need in left]
    return f"after {', '.join(waiting[:3])}" + (", ..." if len(waiting) > 3 else "")


def room(context: Context) -> str:
    """What the work directory takes, and the room that the disk has."""
    root, phantom = context.workdir.root, context.study.phantom
    there = next(one for one in (root, *root.absolute().parents) if one.exists())
    used = sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) if root.exists() else 0
    free = shutil.disk_usage(there).free
    more = ""
    if phantom is not None and not context.workdir.phantom.exists():
        more = f", the phantom will take at least {amount(phantom.least_bytes)}"
    return f"{root} takes {amount(used)}{more}; {amount(free)} are free"
