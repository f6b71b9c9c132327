"""What a run would make, why, and how long that took before; nothing is made."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from fairrecon_jax.runtime.progress import duration
from fairrecon_jax.study.check import check
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.stages import Stage, dependents, seconds_by_kind


def dry_run(config: StudyConfig | ConfigDict, workdir: str | Path) -> list[str]:
    """Lines on every stage of a study: done, or why it would be made and how long that may take.

    Args:
      config: the study, parsed or not.
      workdir: its folder, which need not exist.

    Raises:
      ConfigError: the configuration is refused.

    Example:
      >>> from tempfile import mkdtemp
      >>> lines = dry_run(fr.configuration("quickstart_brain"), mkdtemp())
      >>> lines[0].split()[:4], lines[-2].split()[3:5]
      (['phantom', 'never', 'made;', 'no'], ['stages', 'would'])
    """
    context = Context(config, workdir)
    check(context)
    stages, folder = plan(context), context.workdir.stages
    stale = [stage for stage in stages if not stage.is_done(folder)]
    left = dependents(stale, stages)
    seconds = seconds_by_kind(stages, folder)
    width = max(len(stage.title) for stage in stages)
    lines, total, unknown = [], 0.0, 0
    for stage in stages:
        if stage not in left:
            lines.append(f"{stage.title:<{width}}  done")
            continue
        took = seconds.get(stage.kind)
        total, unknown = total + (took or 0.0), unknown + (took is None)
        words = "no such stage timed yet" if took is None else f"about {duration(took)}"
        lines.append(f"{stage.title:<{width}}  {reason(stage, left, folder)}; {words}")
    known = f"about {duration(total)}" if total else ""
    more = f"{unknown} not timed yet" if unknown else ""
    time = f" ({', '.join(filter(None, [known, more]))})" if left else ""
    return [*lines, f"{len(left)} of {len(stages)} stages would be made{time}", room(context)]


def reason(stage: Stage, left: Sequence[Stage], folder: Path) -> str:
    """Why a stage would be made."""
    if why := stage.why(folder):
        return why
    waiting = [need.title for need in stage.needs if need in left]
    return f"after {', '.join(waiting[:3])}" + (", ..." if len(waiting) > 3 else "")


def room(context: Context) -> str:
    """What the work directory takes, and the room that the disk has."""
    root = context.workdir.root
    there = next(one for one in (root, *root.absolute().parents) if one.exists())
    used = sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) if root.exists() else 0
    free = shutil.disk_usage(there).free
    return f"{root} takes {used / 1e9:.2f} GB; {free / 1e9:.0f} GB are free"
