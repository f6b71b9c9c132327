"""Whether everything that a study made is still what it was when it was made."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

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
        gone or has another size `study` makes again by itself; a file of the right size and another
        content is to be removed first.

    Example:
      >>> from tempfile import mkdtemp
      >>> verify(fr.configuration("quickstart_brain"), mkdtemp())  # nothing is made yet
      (0, [])
    """
    context = Context(config, workdir)
    folder, compared, told = context.workdir.stages, 0, []
    for stage in plan(context):
        compared += len(stage.recorded(folder).get("files", {}))
        told += [f"{stage.title}: {line}" for line in stage.damage(folder, deep=True)]
    return compared, told
