"""Several commands at once in one work directory: each stage has a lock.

Who makes a stage holds its lock alone, and those of the stages that it is made from together with
other readers. So no stage is made by two at once, and none is read while it is made. A process
that waits for a lock holds only locks of stages further on, so that none wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.locks import holder, locked
from fairrecon_jax.runtime.progress import say
from fairrecon_jax.study.stages import Stage
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import InputError


@contextmanager
def hold(stage: Stage, workdir: Workdir) -> Iterator[bool]:
    """Holds what a stage needs to be made: its lock, and as a reader those of the stages it is made
    from. In a run of several processes all call this and process 0 holds.

    Yields:
      Whether another process has made the stage while this one waited.

    Raises:
      InputError: a stage that it is made from is not up to date any more.
    """
    record = stage.record(workdir.stages)
    with ExitStack() as locks:

        def take() -> bool:
            before = _written(record)
            locks.enter_context(locked(_lock(stage, workdir), say, stage.title))
            return _written(record) != before

        made_meanwhile = processes.on_primary(take, f"wait for {stage.title!r}")
        with reading(stage.needs, workdir):
            processes.on_primary(partial(_check_needs, stage, workdir), "read the records")
            yield made_meanwhile


@contextmanager
def reading(stages: Iterable[Stage], workdir: Workdir) -> Iterator[None]:
    """Keeps what stages have made from being made anew; waits where it is being made."""
    with ExitStack() as locks:

        def take() -> None:
            for stage in stages:
                path = _lock(stage, workdir)
                locks.enter_context(locked(path, say, stage.title, shared=True))

        processes.on_primary(take, "wait for what is read")
        yield


def _check_needs(stage: Stage, workdir: Workdir) -> None:
    """Refuses to make a stage from what is not up to date.

    Raises:
      InputError: the message names it.
    """
    for need in stage.needs:
        if why := need.why(workdir.stages):
            raise InputError(
                f"{need.title} is not up to date any more ({why}): another process worked in "
                f"{workdir.root} meanwhile; use one configuration in one work directory, and run "
                "the same command again"
            )


def maker(stage: Stage, workdir: Workdir) -> str:
    """The process that makes a stage just now, "process 123 on HOST"; "" where none does."""
    return holder(_lock(stage, workdir))


def wait(stage: Stage, workdir: Workdir) -> None:
    """Waits while another process makes a stage."""
    if maker(stage, workdir):
        with reading([stage], workdir):
            pass


def _lock(stage: Stage, workdir: Workdir) -> Path:
    """The file of a stage's lock: one for weights, trained or imported."""
    weights = "train" + stage.stem.removeprefix("import") if stage.verb == "import" else stage.stem
    return workdir.locks / f"{weights}.lock"


def _written(record: Path) -> int:
    """When a record was written; 0 where there is none."""
    try:
        return record.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
