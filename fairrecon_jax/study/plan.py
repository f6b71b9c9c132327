"""The grid cohort x reconstructor x level x mitigation as a list of stages, in the order in which
they are made.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fairrecon_jax.data.api import folder_of
from fairrecon_jax.study import inputs
from fairrecon_jax.study.assess import tables_output, write_tables
from fairrecon_jax.study.cohort import (
    check_drawn,
    cohort_output,
    draw_phantom,
    phantom_output,
    prepare_cohort,
)
from fairrecon_jax.study.config import MitigationConfig, StudyConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.grid import mitigated, unmitigated
from fairrecon_jax.study.mitigate import choice_output, choose, mitigate
from fairrecon_jax.study.predict import predict_cell, weights_cell
from fairrecon_jax.study.report import page_output, write_report
from fairrecon_jax.study.stages import Stage, digest_of
from fairrecon_jax.study.train import (
    check_continues,
    check_diagnoser,
    content,
    import_weights,
    imported,
    imported_diagnoser,
    read_weights,
    saved,
    spent,
    train_diagnoser,
    train_reconstructor,
    trained_diagnoser,
)
from fairrecon_jax.types import Cell, level_name

LOGS = ("run.json", "metrics.jsonl", "sampling.json")
"""Files of a training beside its weights."""
Made = dict[Cell, tuple[Stage, ...]]
"""By cell, the stages that make its weights."""
Making = tuple[str, Callable[[], Any], dict[str, Any], Callable[[], Any] | None]
"""Verb, run, inputs and check of a stage."""


def plan(context: Context) -> list[Stage]:
    """All stages of a study."""
    study, first = context.study, _first(context)
    cohort = first[-1]
    diagnosers = _diagnosers(context, cohort)
    made: Made = {}
    stages, predictions = [*first, *diagnosers], []
    for cell in unmitigated(study):
        trained = _reconstructor(context, cell, cohort)
        # with weights_of the other's stages, which come first; none for an identity
        made[cell] = trained or made.get(weights_cell(context, cell), ())
        prediction = _prediction(
            context, cell, (cohort, *_readers(study, cell, diagnosers), *made[cell])
        )
        stages += [*trained, prediction]
        predictions.append(prediction)
    # after all others: a fine-tuning starts from weights that a cell above has made
    for cell in mitigated(study):
        needs = (cohort, *_readers(study, cell, diagnosers))
        more = _mitigation(context, cell, needs, made, predictions)
        stages += more
        # a choice counts as a prediction: it hands one out under the mitigation's name
        predictions += [stage for stage in more if stage.verb in ("predict", "choose")]
    assess = Stage(
        "assess",
        partial(write_tables, context),
        inputs.assessment(study),
        needs=tuple(predictions),
        output=partial(tables_output, context),
        place=context.workdir.result("performance").parent,
        files=_files(context.workdir.root, "predictions.parquet", "results/*.csv"),
    )
    # each once and in order: a stage equals only itself
    shown = dict.fromkeys(stage for makers in made.values() for stage in makers)
    shared = _files(context.workdir.page.parent, "*.html", "figures/*.p*", "tables/*.[ct]*")
    report = Stage(
        "report",
        partial(write_report, context),
        inputs.report(study),
        # the example panels run the weights again: tables that came out the same are not enough
        needs=(cohort, *diagnosers, *shown, assess),
        output=partial(page_output, context, shared),
        place=context.workdir.page,
        files=shared,
    )
    return [*stages, assess, report]


def _first(context: Context) -> list[Stage]:
    """The phantom, where the study draws one, and the cohort."""
    study = context.study
    first: list[Stage] = []
    if study.phantom is not None:

        def check() -> None:
            # a damaged tree is removed before it is drawn again
            if not phantom.damage(context.workdir.stages, deep=True):
                check_drawn(context)

        phantom = Stage(
            "phantom",
            partial(draw_phantom, context),
            {"phantom": study.phantom},
            output=partial(phantom_output, context),
            check=check,
            place=context.workdir.phantom,
            files=_files(context.workdir.phantom, "**/*"),
            clear=partial(_remove, context.workdir.phantom),
        )
        first.append(phantom)
    prepared = folder_of(study.cohort, context.workdir.cohort)
    cohort = Stage(
        "cohort",
        partial(prepare_cohort, context),
        inputs.cohort(study),
        needs=tuple(first),
        output=partial(cohort_output, context),
        check=context.written_splits,
        place=prepared,
        files=_files(prepared, "**/*"),
        logs=_files(context.workdir.root, "splits.json"),  # their output tells their damage
        clear=partial(_remove, prepared),
    )
    return [*first, cohort]


def _diagnosers(context: Context, cohort: Stage) -> tuple[Stage, ...]:
    """The stages that make all diagnosers, under every seed."""
    return tuple(
        stage
        for name in context.study.diagnosers
        for training in context.study.diagnoser_trainings(name)
        for stage in _diagnoser(context, name, training, cohort)
    )


def _readers(study: StudyConfig, cell: Cell, diagnosers: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages that make the diagnosers of a cell."""
    return tuple(
        stage
        for stage in diagnosers
        if stage.training == study.diagnoser_training(stage.model, cell.training)
    )


def _diagnoser(
    context: Context, name: str, training: int | None, cohort: Stage
) -> tuple[Stage, ...]:
    """The training of one diagnoser under one seed, the import of its weights, or nothing where it
    runs outside of JAX.
    """
    one, folder = context.study.diagnosers[name], context.workdir.diagnoser(name, training)
    if not one.has_weights:
        return ()
    lying = imported_diagnoser(context, name)
    brought = _import(context, name, one.model, one.files, folder, lying)
    verb, run, declared, check = brought or (
        "train",
        partial(train_diagnoser, context, name, training),
        trained_diagnoser(context, name, training),
        partial(check_diagnoser, context, name, training),
    )
    return (
        Stage(
            verb,
            run,
            declared,
            model=name,
            training=training,
            together=True,
            needs=(cohort,),
            output=_weights_output(folder),
            check=check,
            spent=partial(spent, folder),
            place=folder,
            files=_files(folder / "final", "**/*"),
            logs=_files(folder, *LOGS),
            # imported by a command, they could not be made again
            clear=None if lying else partial(_remove, folder / "final"),
        ),
    )


def _import(
    context: Context,
    what: Cell | str,
    model: Any,
    files: tuple[Path, ...],
    folder: Path,
    lying: str,
) -> Making | None:
    """How weights of a reconstructor or diagnoser get here: from files, or they lie here already
    (with the digest `lying`); None where they are neither.
    """
    if files:
        # the name and content of each file, not its folder: moved files are the same weights
        declared = {"model": model, "files": [(p.name, content(p)) for p in files]}
        run = partial(import_weights, context, what, files)
        return "import", run, declared, partial(read_weights, context, what, files)
    if lying:
        # reading them checks that they are whole
        declared = {"model": model, "imported": lying}
        return "import", partial(context.weights, folder), declared, None
    return None


def _reconstructor(context: Context, cell: Cell, cohort: Stage) -> tuple[Stage, ...]:
    """The training of one reconstructor at one level, the import of its weights, or nothing where
    it has none of its own.
    """
    study, folder = context.study, context.workdir.model(cell)
    one = study.reconstructors[cell.reconstructor]
    files, lying = one.files(level_name(cell.level)), imported(context, cell)
    making = _import(context, cell, one.model, files, folder, lying)
    if making is None and one.train is not None:
        train = partial(train_reconstructor, context, cell)
        declared = inputs.reconstructor(study, cell)
        own = one.training(cell.training)
        continues = partial(check_continues, folder, one.model, own, declared)
        making = "train", train, declared, continues
    if making is None:
        return ()
    verb, run, declared, check = making
    return (
        Stage(
            verb,
            run,
            declared,
            cell=cell,
            together=True,
            needs=(cohort,),
            output=_weights_output(folder),
            check=check,
            spent=partial(spent, folder),
            place=folder,
            files=_files(folder / "final", "**/*"),
            logs=_files(folder, *LOGS),
            # imported by a command, they could not be made again
            clear=None if lying else partial(_remove, folder / "final"),
        ),
    )


def _prediction(context: Context, cell: Cell, needs: tuple[Stage, ...]) -> Stage:
    """The predictions of one cell."""

    def output() -> str:
        # of the bytes, which equal predictions share: rows are written in a fixed order
        return digest_of(context.workdir.prediction(cell))

    return Stage(
        "predict",
        partial(predict_cell, context, cell),
        inputs.prediction(context.study, cell),
        cell=cell,
        together=True,
        needs=needs,
        output=output,
        place=context.workdir.prediction(cell),
        files=lambda: [context.workdir.prediction(cell)],
    )


def _mitigation(
    context: Context,
    cell: Cell,
    needs: tuple[Stage, ...],
    made: Made,
    predictions: list[Stage],
) -> list[Stage]:
    """The fine-tunings of one mitigated cell, their predictions and the choice among them.

    Args:
      context: the study.
      cell: with a mitigation, without a weight.
      needs: the cohort and the diagnosers; predictions need them too, since a fine-tuning may come
        out the same though a diagnoser did not.
      made: see `Made`.
      predictions: the stages that predict without mitigation.
    """
    study = context.study
    one: MitigationConfig = study.mitigations[cell.mitigation]
    plain = cell.plain
    stages: list[Stage] = []
    for variant in one.variants(plain):
        folder, declared = context.workdir.model(variant), inputs.mitigation(study, one, variant)
        base = study.reconstructors[variant.reconstructor].model
        tuned = Stage(
            "mitigate",
            partial(mitigate, context, variant),
            declared,
            cell=variant,
            together=True,
            needs=(*needs, *made[plain]),  # `plain` is trained: others have no mitigation
            output=_weights_output(folder),
            check=partial(check_continues, folder, base, one.train, declared),
            spent=partial(spent, folder),
            place=folder,
            files=_files(folder / "final", "**/*"),
            logs=_files(folder, *LOGS),
            clear=partial(_remove, folder / "final"),
        )
        stages += [tuned, _prediction(context, variant, (*needs, tuned))]
    if one.plan.weights:
        compared = [p for p in predictions if p.verb == "predict" and p.cell == plain]
        tried = [stage for stage in stages if stage.verb == "predict"]
        stages.append(
            Stage(
                "choose",
                partial(choose, context, cell),
                inputs.choice(study, one),
                cell=cell,
                needs=(*compared, *tried),
                output=partial(choice_output, context, cell),
                place=context.workdir.prediction(cell),
                files=lambda: [
                    context.workdir.prediction(cell),
                    *_files(context.workdir.model(cell), "chosen.json", "sweep.csv")(),
                ],
            )
        )
    return stages


def _files(folder: Path, *patterns: str) -> Callable[[], list[Path]]:
    """The files of a folder under any of the patterns, once they are there."""
    return lambda: [path for one in patterns for path in folder.glob(one) if path.is_file()]


def _remove(folder: Path) -> None:
    """Removes a folder, where it is."""
    if folder.exists():
        shutil.rmtree(folder)


def _weights_output(folder: Path) -> Callable[[], str]:
    """The digest of the frozen weights of a model's folder."""
    # a function: weights are not there while the plan is made
    return lambda: saved(folder)["digest"][:16]
