"""What the commands do, each a few lines around the function that does the work."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax

from fairrecon_jax.cli.command import config_of, workdir_of
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.progress import say
from fairrecon_jax.study.check import check, check_batches
from fairrecon_jax.study.cohort import draw_tree, examine_tree
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.dry_run import dry_run, listing
from fairrecon_jax.study.grid import unmitigated
from fairrecon_jax.study.locking import hold, reading
from fairrecon_jax.study.merge import merge as join
from fairrecon_jax.study.paper import write_paper_report
from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.predict import weights_cell, write_images
from fairrecon_jax.study.run import run
from fairrecon_jax.study.stages import Stage, StageFilter
from fairrecon_jax.study.table import assess_table, write_mapping
from fairrecon_jax.study.train import import_weights as import_files
from fairrecon_jax.study.verify import verify
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import Cell, ConfigError, InputError, level_name, meant


def phantom(values: Any) -> None:
    """Draws a phantom tree."""
    kind, options = values.kind, None
    if values.config is not None:
        # through the whole check: a configuration that no study takes draws no tree either
        options = parse(config_of(values)).phantom
        if options is not None and kind not in (None, options.kind):
            raise ConfigError(
                f"--kind={kind} contradicts config.phantom.kind, which is {options.kind!r}"
            )
    given = {name: getattr(values, name) for name in ("patients", "size", "seed", "workers")}
    # None means not given: 0 is a seed
    chosen = {name: value for name, value in given.items() if value is not None}
    truth = draw_tree(Path(values.root), kind or "xray", options, chosen)
    parts = [one.get("part") for one in truth["patients"]]
    valid = parts.count("valid")
    more = f" and {valid} more of the official validation tree" if valid else ""
    say(
        f"wrote {len(parts) - valid} patients{more} to {values.root}; their truth is in "
        f"{Path(values.root) / 'ground_truth.json'}"
    )


def doctor(values: Any) -> None:
    """Examines a tree."""
    context = Context(config_of(values), workdir_of(values))
    report = examine_tree(context)
    say(report.text())
    if not report.ok:
        raise InputError("the tree has errors, listed above")


def prepare(values: Any) -> None:
    """Makes the prepared cohort and the splits."""
    config, workdir = config_of(values), workdir_of(values)
    # the phantom too: the cohort of a study may be one that it draws
    run(config, workdir, only=StageFilter(("phantom", "cohort")))
    context = Context(config, workdir)
    say(
        f"{len(context.cohort.table)} examples in {context.workdir.cohort}; splits "
        f"{context.splits.counts()}"
    )


def train(values: Any) -> None:
    """Trains models."""
    _grid("train", values)


def predict(values: Any) -> None:
    """Runs the tandem step."""
    _grid("predict", values)


def _grid(verb: str, values: Any) -> None:
    """Makes the stages of one verb that --model and --level name."""
    only = StageFilter((verb,), model=values.model, level=_level(values.level))
    run(config_of(values), workdir_of(values), only=only)


def mitigate(values: Any) -> None:
    """Fine-tunes, predicts and chooses."""
    study = parse(config_of(values))
    # before the filter, which would only say that no stage matches
    if values.mitigation and values.mitigation not in study.mitigations:
        raise InputError(
            f"config.mitigations has no {values.mitigation!r}; it has "
            f"{', '.join(sorted(study.mitigations)) or 'none'}"
            f"{meant(values.mitigation, study.mitigations)}"
        )
    only = StageFilter(
        ("mitigate", "predict", "choose"),
        mitigated=True,
        model=values.reconstructor,
        mitigation=values.mitigation,
        level=_level(values.level),
    )
    run(study, workdir_of(values), only=only)


def plan(values: Any) -> None:
    """Lists the stages of a study, in words or for another program."""
    config, workdir = config_of(values), workdir_of(values)
    if values.json:
        say(json.dumps(listing(config, workdir), indent=1))
    else:
        say("\n".join(dry_run(config, workdir)))


def study(values: Any) -> None:
    """Makes everything, or says what it would make, or whether what was made is whole."""
    if values.verify:
        _verify(values)
        return
    if values.dry_run:
        say("\n".join(dry_run(config_of(values), workdir_of(values))))
    else:
        run(config_of(values), workdir_of(values), only=values.only, anew=False)


def _verify(values: Any) -> None:
    """Compares every file of a study with its record."""
    compared, damaged, missing = verify(config_of(values), workdir_of(values))
    for line in damaged:
        say(line)
    if damaged:
        raise InputError(
            f"{len(damaged)} of {compared} files are damaged: remove those with another "
            "content and run `fairrecon study` again"
        )
    whole = f"all {compared} files are as they were written"
    if missing:
        say(whole)
        count = f"{len(missing)} stage{'s' if len(missing) > 1 else ''}"
        raise InputError(
            f"the study is not whole: {count} without a record, which `fairrecon study` makes: "
            f"{', '.join(missing)}"
        )
    say(whole)


def import_weights(values: Any) -> None:
    """Freezes PyTorch weights in place of a training."""
    context = Context(config_of(values), workdir_of(values))
    # one of both names, not none and not two
    if not values.weights or bool(values.model) == bool(values.diagnoser):
        raise InputError(
            "give --model=NAME (in config.reconstructors) and --weights=FILE, or --diagnoser=NAME "
            "(in config.diagnosers) and --weights=FILE"
        )
    output = Path(values.output) if values.output else None
    if values.diagnoser:
        known = context.study.diagnosers
        if values.diagnoser not in known:
            raise InputError(
                f"config.diagnosers has no {values.diagnoser!r}; it has "
                f"{', '.join(known) or 'none'}{meant(values.diagnoser, known)}"
            )
        if values.level or any("{level}" in file for file in values.weights):
            raise InputError(
                "--level and {level} are for reconstructors: a diagnoser reads every level"
            )
        _import(context, values.diagnoser, values.weights, output)
        return
    cells = _cells(values, context)
    # one folder cannot hold several sets of weights
    if output is not None and len(cells) > 1:
        raise InputError(
            "--output takes the weights of one level, --level says which of "
            f"{', '.join(level_name(cell.level) for cell in cells)}"
        )
    for cell in cells:
        files = [file.replace("{level}", level_name(cell.level)) for file in values.weights]
        _import(context, cell, files, output)


def _import(context: Context, what: Cell | str, files: list[str], output: Path | None) -> None:
    """Freezes weights of one model, while nobody trains or reads them."""
    named: dict[str, Any] = {"model": what} if isinstance(what, str) else {"cell": what}
    stage = Stage("import", partial(import_files, context, what, files, output), **named)
    # another folder is the user's own
    with nullcontext() if output else hold(stage, context.workdir):
        say(f"wrote {stage.run()}")


def reconstruct(values: Any) -> None:
    """Writes images."""
    context = Context(config_of(values), workdir_of(values))
    check(context)
    # no stage is made here, so nothing else has looked at the batch
    check_batches(context.study, jax.device_count(), training=False)
    for cell in _cells(values, context):
        write = Stage("reconstruct", partial(write_images, context, cell, values.part), cell=cell)
        weights = Stage("train", write.run, cell=weights_cell(context, cell))
        with hold(write, context.workdir), reading([weights], context.workdir):
            write.run()
        say(f"wrote {context.workdir.reconstructions(cell)}")


def assess(values: Any) -> None:
    """Assesses a study's predictions, or anyone's."""
    if values.init and not values.predictions:
        raise InputError("--init drafts the mapping of a table: give --predictions=FILE")
    if not values.predictions:
        run(config_of(values), workdir_of(values), only="assess")
        return
    workdir = workdir_of(values, "runs/assess")
    if values.init:
        place = values.mapping or "columns.yaml"
        # a draft is written even so
        wrong = write_mapping(values.predictions, place, values.sheet)
        say(f"wrote {place}; read it, correct it, then")
        say(
            f"  fairrecon assess --predictions={values.predictions} --mapping={place} "
            f"--workdir={workdir}"
        )
        if wrong:
            say(f"the table cannot be read with it yet: {wrong}")
        return
    # no accelerator is needed: process 0 assesses, the others wait
    table, mapping = values.predictions, values.mapping or None
    _alone(
        "assess", partial(assess_table, table, mapping, workdir, appendix=values.appendix), workdir
    )


def merge(values: Any) -> None:
    """Joins studies of several trainings."""
    options = None if values.config is None else parse(config_of(values)).assess
    workdir = workdir_of(values, "runs/merged")
    _alone("merge", partial(join, values.workdirs, workdir, options), workdir)


def _alone(verb: str, run: Callable[[], Path], workdir: Path) -> None:
    """Writes tables and a report that are no study's, while nobody else does in that folder."""
    # one lock whatever the verb: both write the same files
    with hold(Stage("assess", run), Workdir(workdir)):
        page = processes.on_primary(run, verb)
    say(f"report: {page}")


def report(values: Any) -> None:
    """Writes the report, or the tables and figures of the paper."""
    if values.style == "study":
        if values.workdirs:
            raise InputError("--workdirs goes with --style=paper")
        run(config_of(values), workdir_of(values), only="report")
        return
    if values.workdirs:
        studies, folder = values.workdirs, Path(values.workdir or "runs/paper")
    else:
        if not values.workdir and values.config is None:
            raise InputError("--style=paper needs --workdir, or --workdirs, of finished studies")
        studies = [workdir_of(values)]
        folder = Path(studies[0]) / "paper"
    page = processes.on_primary(
        lambda: write_paper_report(studies, folder), "write the paper's tables and figures"
    )
    say(f"report: {page}")


def _level(text: str) -> float | None:
    """The number that --level gives."""
    try:
        return float(text) if text else None
    except ValueError as error:
        raise InputError(f"--level takes a number, got {text!r}") from error


def _cells(values: Any, context: Context) -> list[Cell]:
    """The cells of the grid that --model and --level name."""
    grid, level = unmitigated(context.study), _level(values.level)
    cells = [
        cell
        for cell in grid
        # by number: --level=8 and --level=8.0 are the same
        if values.model in ("", cell.reconstructor) and level in (None, cell.level)
    ]
    if not cells:
        where = "any level" if level is None else level_name(level)
        raise InputError(
            f"the study has no {values.model or 'reconstructor'} at {where}; it has "
            f"{', '.join(cell.title for cell in grid)}"
            f"{meant(values.model, (cell.reconstructor for cell in grid))}"
        )
    return cells
