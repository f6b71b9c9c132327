"""Mitigation in a study: fine-tune trained reconstructors, predict with them, and choose the weight
of a term on validation patients.

A mitigation starts from the reconstructor's trained weights and sees training patients only. Where
several weights are tried, each is a training of its own, called "<mitigation>@<weight>"; the one
that is assessed under the mitigation's name is chosen by `choose`, from validation patients, and
the test patients of the others are kept for the figure of the sweep.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from absl import logging
from ml_collections import ConfigDict

from fairrecon_jax.assessment import points, read_predictions, write_predictions
from fairrecon_jax.mitigation import FrozenDiagnoser, MitigationContext
from fairrecon_jax.mitigation.selection import Choice, select
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.study import config as settings
from fairrecon_jax.study.config import Plan
from fairrecon_jax.study.workdir import NO_MITIGATION, Workspace, as_json, level_name
from fairrecon_jax.training.checkpoints import digest
from fairrecon_jax.training.loop import fit

PATIENTS = 11  # stream of the split's seed that draws the patients to fine-tune on
PieceFields = tuple[str, str, str, Callable[[], Any], bool, tuple[str, ...]]
"""(name, kind, digest, run, together, needs) of a piece of the study."""


def variants(plan: Plan, mitigation: str) -> list[tuple[str, float | None]]:
    """(column name, weight) of every training of a mitigation: one per weight to try, or the
    mitigation itself.
    """
    return [(f"{mitigation}@{weight:g}", float(weight)) for weight in plan.weights] or [
        (mitigation, None)
    ]


def check(config: ConfigDict) -> None:
    """Builds every mitigation's objects once.

    Raises:
      ValueError: a field is refused; the message names it.
    """
    for name, block in config.mitigations.items():
        plan = settings.mitigation_plan(config, name)
        if "train" not in block:
            raise ValueError(f"config.mitigations.{name} needs a block train")
        if not len(config.diagnosers):
            raise ValueError(f"config.mitigations.{name} needs diagnosers")
        settings.train_config(block, f"mitigations.{name}")
        for _, weight in variants(plan, name):
            settings.mitigation(config, name, weight)


def pieces(
    workspace: Workspace,
    models: Mapping[tuple[str, float], str],
    cells: Mapping[tuple[str, float], str],
    diagnosers: Mapping[str, str],
    made_by: Mapping[tuple[str, float], tuple[str, ...]],
) -> list[PieceFields]:
    """The study's pieces of all mitigations, in the order they are made.

    Args:
      workspace: the study.
      models: digest of each trained (reconstructor, level).
      cells: digest of its predictions without mitigation.
      diagnosers: digest of each diagnoser.
      made_by: names of the pieces that make the weights of each (reconstructor, level).
    """
    found: list[PieceFields] = []
    config = workspace.config
    for name, block in config.mitigations.items():
        plan = settings.mitigation_plan(config, name)
        method = settings.without(block, *settings.PLAN_FIELDS) | {"fraction": plan.fraction}
        for recon in plan.reconstructors:
            for level in plan.levels:
                predicted, asked = [], [f"predict {recon} at {level_name(level)}"]
                needs = (
                    *(f"train {diagnoser}" for diagnoser in diagnosers),
                    *made_by[recon, level],
                )
                for column, weight in variants(plan, name):
                    trained = settings.digest(models[recon, level], diagnosers, method, weight)
                    predicted.append(settings.digest(trained, cells[recon, level]))
                    where = f"{recon} with {column} at {level_name(level)}"
                    found += [
                        (
                            f"mitigate {where}",
                            f"mitigate {recon} with {name}",
                            trained,
                            partial(mitigate, workspace, name, weight, recon, level),
                            True,
                            needs,
                        ),
                        (
                            f"predict {where}",
                            f"predict {recon}",
                            predicted[-1],
                            partial(workspace.predict, recon, level, column),
                            True,
                            (f"mitigate {where}",),
                        ),
                    ]
                    asked.append(f"predict {where}")
                if plan.weights:
                    rule = settings.digest(
                        predicted, config.assess, plan.psnr_tolerance, plan.task_tolerance
                    )
                    where = f"choose {recon} with {name} at {level_name(level)}"
                    found.append(
                        (
                            where,
                            f"choose {recon}",
                            rule,
                            partial(choose, workspace, name, recon, level),
                            False,
                            tuple(asked),
                        )
                    )
    return found


def training_rows(workspace: Workspace, fraction: float) -> np.ndarray:
    """Rows to fine-tune on: those of the reconstruction's training patients, or of a share of these
    patients, drawn by the split's seed.
    """
    rows = workspace.rows("train_reconstruction")
    patients = workspace.cohort.table["patient_id"].to_numpy()[rows]
    names = np.unique(patients)
    order = np.random.default_rng((workspace.config.splits.seed, PATIENTS)).permutation(len(names))
    kept = names[order[: math.ceil(fraction * len(names))]]
    return rows[np.isin(patients, kept)]


def outcomes(workspace: Workspace) -> np.ndarray:
    """[N, T] in {0, 1, NaN} per task of the specification: the label, or whether the mask holds the
    region.
    """
    table = workspace.cohort.table
    columns = [
        table[t.name].to_numpy(float)
        if t.kind == "classification"
        else (table[t.name] > 0).to_numpy(float)
        for t in workspace.spec.tasks
    ]
    return np.stack(columns, 1) if columns else np.zeros((len(table), 0))


def mitigate(
    workspace: Workspace, mitigation: str, weight: float | None, name: str, level: float
) -> None:
    """Fine-tunes one reconstructor at one level; continues where it was killed.

    Args:
      workspace: the study.
      mitigation: name in `config.mitigations`.
      weight: of the term; None for the block's own.
      name: of the reconstructor.
      level: of the degradation.

    Raises:
      FileNotFoundError: the reconstructor or a diagnoser has not been trained.
    """
    config, plan = workspace.config, settings.mitigation_plan(workspace.config, mitigation)
    column = mitigation if weight is None else f"{mitigation}@{weight:g}"
    folder, block = workspace.folder(name, level, column), config.mitigations[mitigation]
    method, rows = (
        settings.mitigation(config, mitigation, weight),
        training_rows(workspace, plan.fraction),
    )
    frozen = {
        diagnoser: workspace.weights(workspace.folder(diagnoser)) for diagnoser in config.diagnosers
    }
    diagnosers = tuple(
        FrozenDiagnoser(settings.diagnoser(config, diagnoser, workspace.spec), weights)
        for diagnoser, weights in frozen.items()
    )
    context = MitigationContext(workspace.spec, diagnosers)
    drawn = method.sampling(context, workspace.cohort.attributes()[rows], outcomes(workspace)[rows])
    if drawn is not None:
        summary = drawn.summary()
        logging.info(
            "%s: %g effective rows of %d drawn",
            column,
            summary["effective_rows"],
            summary["drawn_rows"],
        )
        write_atomic(folder / "sampling.json", json.dumps(summary, indent=1))
    fields = settings.without(block, *settings.PLAN_FIELDS, "train")
    choices = {
        "model": settings.model_choices(config.reconstructors[name]),
        "mitigation": {**fields, "weight": fields.get("weight") if weight is None else weight},
        "diagnosers": {diagnoser: digest(weights)[:16] for diagnoser, weights in frozen.items()},
        **workspace.data_choices(),
        **workspace.degradation_choices(level),
    }
    fit(
        settings.reconstructor(config, name),
        (workspace.cohort, rows),
        (workspace.cohort, workspace.rows("val")),
        settings.train_config(block, f"mitigations.{mitigation}"),
        folder,
        prepare=workspace.degrader(level),
        augment=settings.augmentation(config, name).batch,
        objective=method.objective(context),
        initial=workspace.weights(workspace.folder(name, level)),
        weights=None if drawn is None else drawn.weights,
        choices=as_json(choices),
    )


def sweep_points(workspace: Workspace, mitigation: str, name: str, level: float) -> pd.DataFrame:
    """Gaps, task scores and PSNR of every weight that was tried and of the unmitigated
    reconstruction, validation and test patients.
    """
    plan = settings.mitigation_plan(workspace.config, mitigation)
    columns = [NO_MITIGATION, *(column for column, _ in variants(plan, mitigation))]
    table = pd.concat(
        [
            read_predictions(workspace.predictions_file(name, level, column))[0]
            for column in columns
        ],
        ignore_index=True,
    )
    options = settings.assess_options(workspace.config)
    found = pd.concat(
        [points(table, workspace.spec, options, part) for part in ("val", "test")],
        ignore_index=True,
    )
    weights = {
        column: 0.0 if weight is None else weight for column, weight in variants(plan, mitigation)
    }
    return found.assign(
        sweep=mitigation, weight=found["mitigation"].map({NO_MITIGATION: 0.0, **weights})
    )


def choose(workspace: Workspace, mitigation: str, name: str, level: float) -> Choice:
    """Chooses one of the weights that were tried, by validation patients, and hands out its
    predictions under the mitigation's name.

    Writes `chosen.json` and `sweep.csv` to the mitigation's folder.
    """
    plan = settings.mitigation_plan(workspace.config, mitigation)
    found = sweep_points(workspace, mitigation, name, level)
    choice = select(found[found["part"] == "val"], plan.psnr_tolerance, plan.task_tolerance)
    logging.info("%s with %s at %s: %s", name, mitigation, level_name(level), choice.reason)
    folder = workspace.folder(name, level, mitigation)
    write_atomic(folder / "sweep.csv", found.to_csv(index=False))
    table, spec = read_predictions(workspace.predictions_file(name, level, choice.mitigation))
    write_predictions(
        workspace.predictions_file(name, level, mitigation),
        table.assign(mitigation=mitigation),
        spec,
    )
    write_atomic(
        folder / "chosen.json",
        json.dumps(
            {"chosen": choice.mitigation, "reason": choice.reason, "candidates": choice.candidates},
            indent=1,
        ),
    )
    return choice


def sweeps(workspace: Workspace) -> pd.DataFrame | None:
    """The points of all sweeps of a study, None where there is none."""
    tables = []
    for mitigation in workspace.config.mitigations:
        plan = settings.mitigation_plan(workspace.config, mitigation)
        for name in plan.reconstructors if plan.weights else ():
            for level in plan.levels:
                folder = workspace.folder(name, level, mitigation)
                chosen = json.loads((folder / "chosen.json").read_text(encoding="utf-8"))
                tables.append(
                    pd.read_csv(folder / "sweep.csv", keep_default_na=False, na_values=[""]).assign(
                        chosen=chosen["chosen"], reason=chosen["reason"]
                    )
                )
    return pd.concat(tables, ignore_index=True) if tables else None
