"""The grid cohort x reconstructor x level as a list of pieces: what is done, what is left, and
doing it.

A piece is done when its record lies in `<workdir>/pieces/` with the digest of everything it depends
on; then it is skipped. Making a piece ends the record of all that depend on it, and a piece that is
asked for by itself is made only on what is done. A study that was killed continues with the piece
it was in (trainings from their last checkpoint) and ends in the same numbers.

In a run of several processes all of them train and predict together; everything else process 0
makes alone while the others wait, and it alone writes and speaks. The work directory must be on a
disk that all of them see.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from fairrecon_jax.assessment import write_results
from fairrecon_jax.data.registry import find
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.progress import duration, say
from fairrecon_jax.study import config as settings
from fairrecon_jax.study import mitigate as finetuning
from fairrecon_jax.study.report import write_report
from fairrecon_jax.study.stages import Piece, Wanted, needed, needing, parts
from fairrecon_jax.study.workdir import Workspace, level_name


def plan(workspace: Workspace) -> list[Piece]:
    """All pieces of a study in the order they are made, each digest built from those it depends on."""
    config = workspace.config
    source = settings.digest(config.cohort, config.phantom, config.splits)
    pieces = []
    if config.phantom.kind and not config.cohort.root:
        pieces.append(
            Piece("phantom", "phantom", settings.digest(config.phantom), workspace.write_phantom)
        )
    pieces.append(
        Piece(
            "cohort",
            "cohort",
            source,
            workspace.prepare,
            needs=tuple(piece.name for piece in pieces),
        )
    )
    readers = {}
    for name, block in config.diagnosers.items():
        readers[name] = settings.digest(source, name, block)
        pieces.append(
            Piece(
                f"train {name}",
                f"train {name}",
                readers[name],
                partial(workspace.train_diagnoser, name),
                True,
                ("cohort",),
            )
        )
    cells, models, cells_of = [], {}, {}
    made_by: dict[tuple[str, float], tuple[str, ...]] = {}
    for name, level in workspace.grid():
        physics = settings.without(config.degradation, *settings.GRID)
        block = settings.without(config.reconstructors[name], "levels")
        trained = settings.weights_of(config, name)
        model = settings.digest(source, name, block, physics, level)
        if trained != name:
            model = settings.digest(
                model, trained, settings.without(config.reconstructors[trained], "levels")
            )
        where = f"{name} at {level_name(level)}"
        word, kind = "import", "import"
        make: Callable[[], Any] = partial(workspace.weights, workspace.folder(name, level))
        if files := settings.weight_files(config, name, level_name(level)):
            model = settings.digest(model, [_stamp(Path(file)) for file in files])
            make = partial(workspace.import_reconstructor, name, level, files)
        elif imported := workspace.imported(name, level):
            model = settings.digest(model, imported)
        elif "train" in block:
            word, kind, make = (
                "train",
                f"train {name}",
                partial(workspace.train_reconstructor, name, level),
            )
        else:
            word = ""  # nothing to learn
        made_by[name, level] = made_by.get((trained, level), ())
        if word:
            pieces.append(Piece(f"{word} {where}", kind, model, make, True, ("cohort",)))
            made_by[name, level] = (pieces[-1].name,)
        cells.append(settings.digest(model, readers, config.seed))
        models[name, level], cells_of[name, level] = model, cells[-1]
        needs = ("cohort", *(f"train {reader}" for reader in readers), *made_by[name, level])
        pieces.append(
            Piece(
                f"predict {where}",
                f"predict {name}",
                cells[-1],
                partial(workspace.predict, name, level),
                True,
                needs,
            )
        )
    more = finetuning.pieces(workspace, models, cells_of, readers, made_by)
    pieces += [Piece(*fields) for fields in more]
    cells += [fields[2] for fields in more]
    assessed = settings.digest(cells, config.assess, config.degradation.headline_level)
    results = tuple(piece.name for piece in pieces if piece.verb in ("predict", "choose"))
    pieces.append(Piece("assess", "assess", assessed, partial(_assess, workspace), needs=results))
    pieces.append(
        Piece(
            "report",
            "report",
            settings.digest(assessed, config.report),
            partial(write_report, workspace),
            needs=("assess",),
        )
    )
    return pieces


def run(config: ConfigDict, workdir: str | Path, only: str | Callable[[str], bool] = "") -> Path:
    """Makes every piece of a study that is not made yet.

    Args:
      config: a study configuration (see `configs/`).
      workdir: the folder that holds everything the study makes.
      only: make just the pieces of this name or first word, or for whose name it is true, and
        always anew ("" = all that are left).

    Returns:
      The path of the report's page.

    Raises:
      ValueError: a field of the configuration is refused, `only` names no piece (the message says
        which there are), or a piece that it names needs one that is not done (the message says
        which command makes it).
    """
    workspace = Workspace(config, workdir)
    processes.on_primary(lambda: check(workspace), "check the configuration")
    pieces = plan(workspace)
    wanted = only if callable(only) else lambda name: not only or only in (name, parts(name)[0])
    chosen = [piece for piece in pieces if wanted(piece.name)]
    if any(piece.together for piece in chosen):
        settings.check_batches(
            config, jax.device_count(), any(piece.verb in ("train", "mitigate") for piece in chosen)
        )
    use_compilation_cache(workspace.workdir)
    left = processes.on_primary(
        lambda: _begin(workspace, pieces, chosen, only), "look at the work directory"
    )
    chosen = [piece for piece in pieces if piece in chosen or piece.name in left]
    for number, piece in enumerate(chosen, 1):
        if piece.name not in left:
            continue
        waiting = [p for p in chosen if p.name in left]
        say(
            f"[{number}/{len(chosen)}] {piece.name} "
            f"({_remaining(waiting, pieces, workspace.workdir)})"
        )
        piece.make(workspace.workdir, needing([piece.name], pieces))
        left.remove(piece.name)
    page = workspace.workdir / "report" / "index.html"
    if page.exists():
        say(f"report: {page}")
    return page


def _begin(
    workspace: Workspace,
    pieces: list[Piece],
    chosen: list[Piece],
    only: str | Callable[[str], bool],
) -> list[str]:
    """Writes the configuration, says what is done, and gives the names of the pieces to make: with
    those asked for, imports they need.
    """
    if not chosen:
        asked, there = (
            repr(str(only)) if isinstance(only, (str, Wanted)) else "as asked",
            ", ".join(piece.name for piece in pieces),
        )
        raise ValueError(f"no piece of the study is called {asked}; there are: {there}")
    names, undone = (
        {piece.name for piece in chosen},
        {piece.name for piece in pieces if not piece.done(workspace.workdir)},
    )
    left = [piece.name for piece in needing(undone, pieces) if piece in chosen]
    done = len(chosen) - len(left)
    if only:
        missing = [piece for piece in needed(names, pieces) if piece.name in undone - names]
        for piece in missing:
            if piece.verb != "import":
                raise ValueError(
                    f"{piece.name} is not up to date: run `fairrecon {piece.command}` "
                    "first, or `fairrecon study` for all"
                )
        left = [piece.name for piece in pieces if piece in missing or piece in chosen]
    settings.write_config(workspace.config, workspace.workdir / "config.json")
    say(
        f"study in {workspace.workdir}: {done} of {len(chosen)} pieces are done; left: "
        f"{', '.join(left) or 'nothing'}"
    )
    return left


def check(workspace: Workspace) -> None:
    """Builds every typed object once, so that a wrong field is named before anything is read or
    compiled.

    Raises:
      ValueError: a field, kind or level is refused.
    """
    config = workspace.config
    settings.check_fields(config)
    settings.check_words(config)
    cohort = settings.cohort_config(config)
    find(cohort.name).check(cohort)
    settings.splits_fractions(config)
    settings.check_intersections(config, find(cohort.name).attribute_names)
    settings.report_options(config)
    degradation = settings.degradation(config)
    for level in settings.studied_levels(config):
        degradation.operator(level)
    for name, block in config.reconstructors.items():
        _check_size(
            settings.reconstructor(config, name), f"reconstructors.{name}", config.cohort.image_size
        )
        if "train" in block:
            settings.train_config(block, f"reconstructors.{name}")
        settings.augmentation(config, name)
        for level in settings.reconstructor_levels(config, name):
            for file in settings.weight_files(config, name, level_name(level)):
                if not Path(file).is_file():
                    raise ValueError(
                        f"config.reconstructors.{name}.weights: there is no file {file}"
                    )
    for name, block in config.diagnosers.items():
        if "train" not in block:
            raise ValueError(f"config.diagnosers.{name} needs a block train")
        settings.train_config(block, f"diagnosers.{name}")
    readers = settings.diagnosers(config, find(cohort.name).outline(cohort))
    for name, reader in zip(config.diagnosers, readers, strict=True):
        _check_size(reader, f"diagnosers.{name}", config.cohort.image_size)
    finetuning.check(config)
    if config.phantom.kind and not config.cohort.root:
        settings.check_phantoms(config)
    else:
        root = workspace.root
        if not root.is_dir():
            raise ValueError(
                f"config.cohort.root {str(root)!r} is not a folder: give the folder of "
                "the downloaded cohort"
            )


def _check_size(model: Any, where: str, size: int) -> None:
    """Lets a model that has a method `check` look at the size of the images; what it refuses is
    named with the model's block.
    """
    if hasattr(model, "check"):
        try:
            model.check(size)
        except ValueError as error:
            raise ValueError(f"config.{where}: {error}") from error


def use_compilation_cache(workdir: Path) -> None:
    """Keeps compiled programs in the work directory, so that a second run does not compile them
    again.
    """
    jax.config.update("jax_compilation_cache_dir", str((workdir / "compiled").absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def _assess(workspace: Workspace) -> None:
    workspace.assess()
    sweeps = finetuning.sweeps(workspace)
    if sweeps is not None:
        write_results(workspace.workdir, mitigation_sweep=sweeps)


def _stamp(path: Path) -> tuple[str, int, int] | None:
    """A file's name, size and time of its last change; None where it is missing."""
    return (path.name, path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None


def _remaining(left: list[Piece], pieces: list[Piece], workdir: Path) -> str:
    """Words for the time that is left, from what earlier pieces of the same kind took."""
    seconds: dict[str, float] = {}
    for piece in pieces:
        if record := piece.recorded(workdir):
            seconds[piece.kind] = record["seconds"]
    known = [seconds[piece.kind] for piece in left if piece.kind in seconds]
    unknown = len({piece.kind for piece in left if piece.kind not in seconds})
    estimate = (
        f"about {duration(sum(known))} for {len(known)} of the {len(left)} pieces left"
        if known
        else f"{len(left)} pieces left"
    )
    return estimate + (f", {unknown} kinds not timed yet" if unknown else "")
