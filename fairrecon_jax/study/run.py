"""Running a study: what is done, what is left, and doing it.

A stage is skipped when its record says that it is up to date (see `stages`), and one that is asked
for by itself is made only on what is up to date. A study that was killed continues with the stage
it was in (trainings from their last checkpoint) and ends in the same numbers.

In a run of several processes all of them train and predict together; everything else process 0
makes alone while the others wait, and it alone writes and speaks. The work directory must be on a
disk that all of them see.

Several runs at once in one work directory take turns: what one makes another waits for, and takes
as it is (see `locking`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
from ml_collections import ConfigDict

from fairrecon_jax.keys import identity
from fairrecon_jax.runtime import journal, processes
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.runtime.compilation import keep_compiled_programs
from fairrecon_jax.runtime.progress import duration, note, say
from fairrecon_jax.study.check import check, check_batches
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.locking import hold, wait
from fairrecon_jax.study.memory import check_memory
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.provenance import versions
from fairrecon_jax.study.stages import (
    Stage,
    StageFilter,
    dependencies,
    dependents,
    digest_of,
    seconds_by_kind,
    write_record,
)
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import InputError, meant, nearest

Only = str | Callable[[Stage], bool]


def run(
    config: ConfigDict | StudyConfig,
    workdir: str | Path,
    only: Only = "",
    stages: Callable[[Context], list[Stage]] = plan,
    anew: bool = True,
) -> Path:
    """Makes every stage of a study that is not up to date.

    Args:
      config: a study configuration (see `configs/`), or what `parse` made of it.
      workdir: the folder that holds everything the study makes.
      only: make just the stages of this verb or title, or for which it is true ("" = all that are
        left).
      stages: gives the stages of an opened study.
      anew: whether what `only` names is made although it is up to date.

    Returns:
      The path of the report's page.

    Raises:
      ConfigError: a field of the configuration is refused.
      InputError: `only` names no stage (the message says which there are), or a stage that it names
        needs one that is not up to date (the message says which command makes it).

    Example:
      >>> from tempfile import mkdtemp
      >>> config = fr.configuration("quickstart_brain")
      >>> config.phantom.update(patients=3, size=32, slices=8, workers=1)
      >>> page = run(config, mkdtemp(), only="phantom")  # without `only` the whole study
      study in ...: 0 of 1 stages are done; left: phantom
      [1/1] phantom (1 stage left, 1 kind not timed yet)
    """
    with journal.kept(Path(workdir), versions()):
        return _run(config, workdir, only, stages, anew)


def _run(
    config: ConfigDict | StudyConfig,
    workdir: str | Path,
    only: Only,
    stages: Callable[[Context], list[Stage]],
    anew: bool,
) -> Path:
    """Makes the stages; see `run`."""
    context = Context(config, workdir)
    processes.on_primary(lambda: check(context), "check the study")
    every = stages(context)
    chosen = [stage for stage in every if _wanted(stage, only)]
    # before anything is made: the batch of the last stage would otherwise be refused after days
    if any(stage.together for stage in chosen):
        training = any(stage.verb in ("train", "mitigate") for stage in chosen)
        check_batches(context.study, jax.device_count(), training)
    keep_compiled_programs()
    left = processes.on_primary(
        lambda: _begin(context, every, chosen, only, anew), "look at the work directory"
    )
    # process 0 may have added imports that nobody asked for by name
    folder, names = context.workdir.stages, {stage.title for stage in chosen} | set(left)
    chosen, whole = [stage for stage in every if stage.title in names], set[str]()
    for number, stage in enumerate(chosen, 1):
        if stage.title not in left:
            continue
        waiting = [later for later in chosen[number - 1 :] if later.title in left]
        done = partial(processes.on_primary, partial(stage.is_done, folder), "read the records")
        asked = bool(only) and anew
        if not asked:
            # as a reader: who only waits must not keep others from reading what was made
            processes.on_primary(partial(wait, stage, context.workdir), f"wait for {stage.title!r}")
            # What a stage was made from may have come out as before: then nothing is to be done.
            if done():
                continue
        _mend(stage, context.workdir, whole, bool(only))
        with hold(stage, context.workdir) as made_meanwhile:
            # looked at again: another process may have made it between the look and the lock
            if (made_meanwhile or not asked) and done():
                continue
            words = _remaining(waiting, every, folder)
            say(f"[{number}/{len(chosen)}] {stage.title} ({words})")
            started = time.monotonic()
            stage.make(folder)
            note(f"{stage.title} took {duration(time.monotonic() - started)}")
            whole.add(stage.title)
    # of a study, or where it was asked for
    if context.workdir.page.exists() and (not only or any(s.verb == "report" for s in chosen)):
        say(f"report: {context.workdir.page}")
    return context.workdir.page


def _wanted(stage: Stage, only: Only) -> bool:
    """Whether a stage is asked for."""
    return only(stage) if callable(only) else only in ("", stage.verb, stage.title)


def _begin(
    context: Context, stages: Sequence[Stage], chosen: list[Stage], only: Only, anew: bool
) -> list[str]:
    """Writes the configuration, says what is done, and gives the titles of the stages to make: with
    those asked for, imports that they need.
    """
    workdir, folder = context.workdir, context.workdir.stages
    if not chosen:
        asked = repr(str(only)) if isinstance(only, (str, StageFilter)) else "as asked"
        titles = ", ".join(stage.title for stage in stages)
        raise InputError(
            f"no stage of the study is called {asked}; there are: {titles}{_near(only, stages)}"
        )
    if (workdir.root / "pieces").is_dir():
        raise InputError(
            f"{workdir.root} holds a study of an earlier version, which has to be made again: use "
            "another work directory, or remove this one"
        )
    stale = [stage for stage in stages if not stage.is_done(folder)]
    names = {stage.title for stage in chosen}
    # what follows from a stale stage may turn out up to date, which is seen when its turn comes
    left = [stage for stage in dependents(stale, stages) if stage.title in names]
    done = len(chosen) - len(left)
    if only:
        undone = {stage.title for stage in stale} - names
        missing = [stage for stage in dependencies(chosen, stages) if stage.title in undone]
        names |= {stage.title for stage in missing if not _comes(stage, workdir)}
        left = [stage for stage in stages if stage.title in names]
    # weights that do not fit are refused before hours of training
    for stage in left:
        if stage.check is not None:
            stage.check()
    # and steps that do not fit before days of them
    # (a finished training that is asked for again is only read)
    due = dependents(stale, stages)
    check_memory(context, [one for one in left if one in due or one.verb == "predict"])
    # after every refusal: the folder keeps the configuration of the last run that was accepted
    write_config(context.study, workdir.config)
    record_config(workdir)
    to_make = ", ".join(stage.title for stage in left if stage in due or not only)
    once_more = ", ".join(stage.title for stage in left if stage not in due and only and anew)
    words = [f"{done} of {len(chosen)} stages are done"]
    words += [f"left: {to_make or 'nothing'}"] if to_make or not once_more else []
    words += [f"asked for again: {once_more}"] if once_more else []
    say(f"study in {workdir.root}: {'; '.join(words)}")
    return [stage.title for stage in left]


def _near(only: Only, stages: Sequence[Stage]) -> str:
    """What was probably meant by `only`, which names no stage, in words."""
    if isinstance(only, StageFilter):
        models = ["", *(s.cell.reconstructor if s.cell else s.model for s in stages)]
        # a model that there is was asked for with another level or verb
        return "" if only.model in models else meant(only.model, sorted({*models} - {""}))
    if not isinstance(only, str):
        return ""
    titles, (verb, _, rest) = [stage.title for stage in stages], only.partition(" ")
    # one that is meant but for its level
    if longer := [title for title in titles if title.startswith(f"{only} ")]:
        return f"; did you mean {longer[0]!r}?"
    # the verb alone makes no title alike
    of_verb = [title.partition(" ")[2] for title in titles if title.startswith(f"{verb} ")]
    if rest and of_verb:
        near = nearest(rest, of_verb)
        return f"; did you mean {f'{verb} {near}'!r}?" if near else ""
    return meant(only, titles)


def _comes(stage: Stage, workdir: Workdir) -> bool:
    """Whether another process makes a missing stage, which is waited for, and not this run.

    Raises:
      InputError: neither does.
    """
    wait(stage, workdir)
    if stage.is_done(workdir.stages):
        return True
    # importing costs no training: it is made along with what needs it
    if stage.verb != "import":
        raise InputError(
            f"{stage.title} is not up to date: run `fairrecon {stage.command}` first, or "
            "`fairrecon study` for all"
        )
    return False


def _mend(stage: Stage, workdir: Workdir, whole: set[str], only: bool) -> None:
    """Compares the files of what a stage is made from with what was written, bit for bit, and makes
    it again where they differ; every process calls this.

    Args:
      stage: that is about to be made.
      workdir: of the study.
      whole: titles of the stages that were compared or made by this run; more are added.
      only: whether nothing is made that was not asked for.

    Raises:
      InputError: nothing else is to be made, or what was made again came out otherwise.
    """
    folder = workdir.stages
    for need in stage.needs:
        if need.title in whole:
            continue
        whole.add(need.title)
        look = partial(
            processes.on_primary,
            partial(need.damage, folder, deep=True),
            f"read the files of {need.title!r}",
        )
        if not look():
            continue
        _mend(need, workdir, whole, only)
        with hold(need, workdir):
            # looked at again: another process may have been making it
            if not (damage := look()):
                continue
            if only:
                raise InputError(
                    f"{need.title}: {damage[0]}: run `fairrecon {need.command}` first, or "
                    "`fairrecon study` for all"
                )
            say(f"{need.title}: {damage[0]}; it is made again")
            before = processes.on_primary(partial(need.recorded, folder), "read the records")
            need.make(folder)
            after = processes.on_primary(partial(need.recorded, folder), "read the records")
        if before.get("output") != after.get("output"):
            raise InputError(
                f"{need.title} came out otherwise than before: the same command makes anew what "
                "was made from it"
            )


def write_config(study: StudyConfig, path: Path) -> None:
    """Writes every choice of the study, defaults included, as JSON."""
    write_atomic(path, json.dumps(identity(study, everything=True), indent=2))


def record_config(workdir: Workdir) -> None:
    """Writes the digest of the configuration, so that its damage is noticed."""
    content = {"title": "configuration", "seconds": 0, "output": digest_of(workdir.config)}
    write_record(workdir.config_record, content)


def _remaining(left: Sequence[Stage], stages: Sequence[Stage], folder: Path) -> str:
    """Words for the time that is left, from what earlier stages of the same kind took."""
    seconds = seconds_by_kind(stages, folder)
    known = [seconds[stage.kind] for stage in left if stage.kind in seconds]
    unknown = len({stage.kind for stage in left if stage.kind not in seconds})
    words = f"{len(left)} stage{'s' if len(left) != 1 else ''} left"
    if known:
        part = f" for {len(known)} of them" if len(known) < len(left) else ""
        words += f", about {duration(sum(known))}{part}"
    if unknown:
        words += f", {unknown} kind{'s' if unknown != 1 else ''} not timed yet"
    return words
