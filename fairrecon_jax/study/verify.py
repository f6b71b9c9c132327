"""Whether everything that a study made is still what it was when it was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from fairrecon_jax.runtime.progress import track
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.stages import digest_of, read_record
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import InputError


class Verified(NamedTuple):
    """What a look at a work directory found.

    Attributes:
      compared: number of files that were compared.
      damaged: lines "STAGE: FILE is gone" on what is damaged.
      missing: titles of the stages that have no record: never finished, or it was removed.
    """

    compared: int
    damaged: list[str]
    missing: list[str]


def verify(config: StudyConfig | ConfigDict, workdir: str | Path) -> Verified:
    """Reads every file of every stage that is done and compares it with its record.

    Args:
      config: the study, parsed or not.
      workdir: its folder.

    Returns:
      See `Verified`. What is gone or has another size `study` makes again by itself, what has
        another content when a stage is made from it; logs of trainings, which no result depends on,
        stay as they are.

    Raises:
      InputError: there is no such folder.

    Example:
      >>> from tempfile import mkdtemp
      >>> verify(fr.configuration("quickstart_brain"), mkdtemp()).missing[:2]  # nothing is made yet
      ['phantom', 'cohort']
    """
    if not Path(workdir).is_dir():
        raise InputError(f"workdir {str(workdir)!r} is no folder: there is nothing to compare")
    context = Context(config, workdir)
    folder, compared, told, missing = context.workdir.stages, 0, [], []
    stages = plan(context)
    read = {title for one in stages for title in one.recorded(folder).get("made_from", {})}
    for stage in track(stages, "verify", "stage"):
        record = stage.recorded(folder)
        compared += 1 + len(record.get("files", {})) + len(record.get("logs", {})) if record else 0
        lines = stage.damage(folder, deep=True)
        lines += stage.damage(folder, deep=True, which="logs")
        # a stage that was never made has none either, but nothing was made from it
        if not record and (stage.record(folder).exists() or stage.title in read):
            lines += [f"its record {stage.record(folder).name} is gone or spoilt"]
        elif not record:
            missing.append(stage.title)
        told += [f"{stage.title}: {line}" for line in lines]
    if len(missing) < len(stages):
        compared += 1
        told += [f"configuration: {line}" for line in _config_damage(context.workdir)]
    return Verified(compared, told, missing)


def _config_damage(workdir: Workdir) -> list[str]:
    """What is wrong with the configuration that the last run wrote."""
    name, record = workdir.config.name, read_record(workdir.config_record)
    if not workdir.config.is_file():
        return [f"{name} is gone"]
    if not record:
        if workdir.config_record.exists():
            return [f"its record {workdir.config_record.name} is spoilt"]
        # earlier versions kept no record of it
        try:
            json.loads(workdir.config.read_text(encoding="utf-8"))
        except ValueError:
            return [f"{name} is spoilt"]
        return []
    if digest_of(workdir.config) != record.get("output"):
        return [f"{name} has another content than was written"]
    return []
