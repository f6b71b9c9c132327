"""Mitigation in a study: fine-tune trained reconstructors, and choose the weight of a term on
validation patients.

A mitigation starts from the reconstructor's trained weights and sees training patients only, unless
its plan says otherwise. Where several weights are tried, each is a training of its own; the one
that is assessed under the mitigation's name is chosen by `choose`, from validation patients, and
the test patients of the others are kept for the figure of the sweep.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Literal

import numpy as np
import pandas as pd
from absl import logging

from fairrecon_jax.assessment import points, read_predictions, write_predictions
from fairrecon_jax.mitigation import FrozenDiagnoser, MitigationContext
from fairrecon_jax.mitigation.on_arrays import outcomes
from fairrecon_jax.mitigation.selection import Choice, select
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.runtime.csv_text import csv_text, read_csv
from fairrecon_jax.study import inputs
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.grid import mitigated
from fairrecon_jax.study.predict import with_groups
from fairrecon_jax.study.train import degrader, run_choices
from fairrecon_jax.training.checkpoints import digest
from fairrecon_jax.training.loop import fit
from fairrecon_jax.types import Cell

PATIENTS = 11  # stream of the split's seed that draws the patients to fine-tune on


def training_rows(
    context: Context, fraction: float, tuned_on: Literal["train", "val"] = "train"
) -> np.ndarray:
    """Rows to fine-tune on: those of the reconstruction's training patients or of the validation
    patients, or of a share of these patients, drawn by the split's seed.
    """
    rows = context.rows("val" if tuned_on == "val" else "train_reconstruction")
    patients = context.cohort.table["patient_id"].to_numpy()[rows]
    # sorted, so that the draw does not depend on the order of rows on disk
    names = np.unique(patients)
    generator = np.random.default_rng((context.study.splits.seed, PATIENTS))
    order = generator.permutation(len(names))
    # a prefix of one permutation: a larger fraction keeps the patients of a smaller one
    kept = names[order[: math.ceil(fraction * len(names))]]
    return rows[np.isin(patients, kept)]


def mitigate(context: Context, cell: Cell) -> None:
    """Fine-tunes the reconstructor of one mitigated cell; continues where it was killed.

    Raises:
      FileNotFoundError: the reconstructor or a diagnoser has not been trained.
    """
    study, workdir = context.study, context.workdir
    one, base = study.mitigations[cell.mitigation], study.reconstructors[cell.reconstructor]
    method, plan = one.methods[cell.weight], one.plan
    rows = training_rows(context, plan.fraction, plan.tuned_on)
    frozen = dict(zip(study.diagnosers, context.diagnoser_weights(cell.training), strict=True))
    acting = MitigationContext(
        context.spec,
        tuple(FrozenDiagnoser(study.diagnosers[n].model, weights) for n, weights in frozen.items()),
    )
    # sampling sees labels and groups of the fine-tuned rows alone
    drawn = method.sampling(
        acting,
        context.cohort.attributes()[rows],
        outcomes(context.cohort.table, context.spec)[rows],
    )
    if drawn is not None:
        summary = drawn.summary()
        effective, total = summary["effective_rows"], summary["drawn_rows"]
        logging.info("%s: %g effective rows of %d drawn", cell.variant, effective, total)
        write_atomic(workdir.model(cell) / "sampling.json", json.dumps(summary, indent=1))
    fit(
        base.model,
        (context.cohort, rows),
        (context.cohort, context.rows("val")),
        one.train,
        workdir.model(cell),
        prepare=degrader(context, cell.level),
        augment=base.augment.batch,
        objective=method.objective(acting),
        # only trained reconstructors are mitigated: the weights lie under their own name
        initial=context.weights(workdir.model(cell.plain)),
        weights=None if drawn is None else drawn.weights,
        choices={
            **run_choices(context, inputs.mitigation(study, one, cell)),
            # a fine-tuning cut short must not go on under diagnosers that were trained anew since
            "diagnosers": {name: digest(weights)[:16] for name, weights in frozen.items()},
        },
    )


def sweep_points(context: Context, cell: Cell) -> pd.DataFrame:
    """Gaps, task scores and PSNR of every weight that was tried and of the unmitigated
    reconstruction, validation and test patients.
    """
    study, plain = context.study, cell.plain
    tried = study.mitigations[cell.mitigation].variants(plain)
    paths = [context.workdir.prediction(one) for one in (plain, *tried)]
    table = pd.concat([read_predictions(path)[0] for path in paths], ignore_index=True)
    table = with_groups(context, table)
    parts = [points(table, context.spec, study.assess, part) for part in ("val", "test")]
    swept = pd.concat(parts, ignore_index=True)
    # without mitigation there is no weight: it stands at 0 on the axis of the sweep
    weights = {one.variant: one.weight or 0.0 for one in (plain, *tried)}
    return swept.assign(sweep=cell.mitigation, weight=swept["mitigation"].map(weights))


def choose(context: Context, cell: Cell) -> Choice:
    """Chooses one of the weights that were tried, by validation patients, and hands out its
    predictions under the mitigation's name.

    Writes `chosen.json` and `sweep.csv` to the mitigation's folder.
    """
    one, folder = context.study.mitigations[cell.mitigation], context.workdir.model(cell)
    swept = sweep_points(context, cell)
    validation = swept[swept["part"] == "val"]
    # test rows are written down for the figure, not looked at
    choice = select(validation, one.plan.psnr_tolerance, one.plan.task_tolerance)
    logging.info("%s: %s", cell.title, choice.reason)
    write_atomic(folder / "sweep.csv", csv_text(swept))
    tried = one.variants(cell.plain)
    # no weight may be admissible: then "none" is chosen and its predictions are handed out
    candidates = {c.variant: c for c in (cell.plain, *tried)}
    chosen = context.workdir.prediction(candidates[choice.mitigation])
    table, spec = read_predictions(chosen)
    handed = table.assign(mitigation=cell.mitigation)
    write_predictions(context.workdir.prediction(cell), handed, spec)
    record = {
        "chosen": choice.mitigation,
        "reason": choice.reason,
        "candidates": choice.candidates,
    }
    write_atomic(folder / "chosen.json", json.dumps(record, indent=1))
    return choice


def choice_output(context: Context, cell: Cell) -> str:
    """The digest of the chosen predictions and of the sweep."""
    sweep = (context.workdir.model(cell) / "sweep.csv").read_bytes()
    handed = context.workdir.prediction(cell).read_bytes()
    return hashlib.sha256(sweep + handed).hexdigest()[:16]


def sweeps(context: Context) -> pd.DataFrame | None:
    """The points of all sweeps of a study, None where there is none."""
    tables = []
    for cell in mitigated(context.study):
        if not context.study.mitigations[cell.mitigation].plan.weights:
            continue
        folder = context.workdir.model(cell)
        chosen = json.loads((folder / "chosen.json").read_text(encoding="utf-8"))
        # a group may be called "NA" or "None": only an empty entry is missing
        swept = read_csv(folder / "sweep.csv", keep_default_na=False, na_values=[""])
        tables.append(swept.assign(chosen=chosen["chosen"], reason=chosen["reason"]))
    return pd.concat(tables, ignore_index=True) if tables else None
