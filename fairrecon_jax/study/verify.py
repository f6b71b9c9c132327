"""Whether everything that a study made is still what it was when it was made."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from fairrecon_jax.runtime.progress import track
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan


def verify(config: StudyConfig | ConfigDict, workdir: str | Path) -> tuple[int, list[str]]:
    """Reads every file of every stage that is done and compares it with its record.

    Args:
      config: the study, parsed or not.
      workdir: its folder.

    Returns:
      (number of files that were compared, lines "STAGE: FILE is gone" on what is damaged). What is
        gone or has another size `study` makes again by itself, what has another content when a
        stage is made from it; logs of trainings, which no result depends on, stay as they are.

    Example:
      >>> from tempfile import mkdtemp
      >>> verify(fr.configuration("quickstart_brain"), mkdtemp())  # nothing is made yet
      (0, [])
    """
    context = Context(config, workdir)
    folder, compared, told = context.workdir.stages, 0, []
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
        told += [f"{stage.title}: {line}" for line in lines]
    return compared, told
