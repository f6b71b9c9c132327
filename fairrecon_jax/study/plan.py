"""The grid cohort x reconstructor x level x mitigation as a list of stages, in the order in which
they are made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fairrecon_jax.study import inputs
from fairrecon_jax.study.assess import tables_output, write_tables
from fairrecon_jax.study.cohort import cohort_output, draw_phantom, phantom_output, prepare_cohort
from fairrecon_jax.study.config import MitigationConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.grid import mitigated, unmitigated
from fairrecon_jax.study.mitigate import choice_output, choose, mitigate
from fairrecon_jax.study.predict import predict_cell, weights_cell
from fairrecon_jax.study.report import page_output, write_report
from fairrecon_jax.study.stages import Stage
from fairrecon_jax.study.train import (
    content,
    import_weights,
    imported,
    saved,
    train_diagnoser,
    train_reconstructor,
)
from fairrecon_jax.types import Cell, level_name

Made = dict[Cell, tuple[Stage, ...]]
"""By cell, the stages that make its weights."""


def plan(context: Context) -> list[Stage]:
    """All stages of a study."""
    study = context.study
    first = []
    if study.phantom is not None:
        first.append(
            Stage(
                "phantom",
                partial(draw_phantom, context),
                {"phantom": study.phantom},
                output=partial(phantom_output, context),
            )
        )
    cohort = Stage(
        "cohort",
        partial(prepare_cohort, context),
        inputs.cohort(study),
        needs=tuple(first),
        output=partial(cohort_output, context),
    )
    diagnosers = tuple(_diagnoser(context, name, cohort) for name in study.diagnosers)
    made: Made = {}
    stages, predictions = [*first, cohort, *diagnosers], []
    for cell in unmitigated(study):
        trained = _reconstructor(context, cell, cohort)
        # with weights_of the other's stages, which come first; none for an identity
        made[cell] = trained or made.get(weights_cell(context, cell), ())
        prediction = _prediction(context, cell, (cohort, *diagnosers, *made[cell]))
        stages += [*trained, prediction]
        predictions.append(prediction)
    for cell in mitigated(study):
        more = _mitigation(context, cell, (cohort, *diagnosers), made, predictions)
        stages += more
        # a choice counts as a prediction: it hands one out under the mitigation's name
        predictions += [stage for stage in more if stage.verb in ("predict", "choose")]
    assess = Stage(
        "assess",
        partial(write_tables, context),
        inputs.assessment(study),
        needs=tuple(predictions),
        output=partial(tables_output, context),
    )
    # each once and in order: a stage equals only itself
    shown = dict.fromkeys(stage for makers in made.values() for stage in makers)
    report = Stage(
        "report",
        partial(write_report, context),
        inputs.report(study),
        # the example panels run the weights again: tables that came out the same are not enough
        needs=(cohort, *diagnosers, *shown, assess),
        output=partial(page_output, context),
    )
    return [*stages, assess, report]


def _diagnoser(context: Context, name: str, cohort: Stage) -> Stage:
    """The training of one diagnoser."""
    return Stage(
        "train",
        partial(train_diagnoser, context, name),
        inputs.diagnoser(context.study, name),
        model=name,
        together=True,
        needs=(cohort,),
        output=_weights_output(context.workdir.diagnoser(name)),
    )


def _reconstructor(context: Context, cell: Cell, cohort: Stage) -> tuple[Stage, ...]:
    """The training of one reconstructor at one level, the import of its weights, or nothing where
    it has none of its own.
    """
    study, folder = context.study, context.workdir.model(cell)
    one = study.reconstructors[cell.reconstructor]
    declared = inputs.reconstructor(study, cell)
    run: Callable[[], Any]
    files = one.files(level_name(cell.level))
    if files:
        verb, run = "import", partial(import_weights, context, cell, files)
        # the name and content of each file, not its folder: moved files are the same weights
        declared = {"model": one.model, "files": [(p.name, content(p)) for p in files]}
    elif lying := imported(context, cell):
        # the weights lie there already; reading them checks that they are whole
        verb, run = "import", partial(context.weights, folder)
        declared = {"model": one.model, "imported": lying}
    elif one.train is not None:
        verb, run = "train", partial(train_reconstructor, context, cell)
    else:
        return ()
    output = _weights_output(folder)
    return (Stage(verb, run, declared, cell=cell, together=True, needs=(cohort,), output=output),)


def _prediction(context: Context, cell: Cell, needs: tuple[Stage, ...]) -> Stage:
    """The predictions of one cell."""

    def output() -> str:
        return hashlib.sha256(context.workdir.prediction(cell).read_bytes()).hexdigest()[:16]

    return Stage(
        "predict",
        partial(predict_cell, context, cell),
        inputs.prediction(context.study, cell),
        cell=cell,
        together=True,
        needs=needs,
        output=output,
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
        tuned = Stage(
            "mitigate",
            partial(mitigate, context, variant),
            inputs.mitigation(study, one, variant),
            cell=variant,
            together=True,
            needs=(*needs, *made[plain]),
            output=_weights_output(context.workdir.model(variant)),
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
            )
        )
    return stages


def _weights_output(folder: Path) -> Callable[[], str]:
    """The digest of the frozen weights of a model's folder."""
    return lambda: saved(folder)["digest"][:16]
