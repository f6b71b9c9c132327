"""Mitigated against unmitigated: the same test and the same rows, with the unmitigated
reconstruction in the place of the original.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import continuous, thresholds
from fairrecon_jax.assessment.arrays import Cell, Study, studies
from fairrecon_jax.assessment.classification import areas
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import adjust
from fairrecon_jax.assessment.options import SHARED_RULES, AssessOptions
from fairrecon_jax.assessment.precision import nan_is_an_answer
from fairrecon_jax.assessment.rows import (
    COLUMNS,
    Interval,
    Row,
    as_table,
    cell_fields,
    version_rows,
)
from fairrecon_jax.assessment.run import fill, present_tasks
from fairrecon_jax.assessment.units import JudgedUnits, units
from fairrecon_jax.inference.changes import auroc_changes
from fairrecon_jax.runtime.progress import Silence
from fairrecon_jax.types import CohortSpec

NONE = "none"
VERSIONS = {"original": "unmitigated", "reconstructed": "mitigated", "change": "change"}


@nan_is_an_answer
def compare(
    table: pd.DataFrame, spec: CohortSpec, options: AssessOptions | None = None
) -> pd.DataFrame:
    """What each mitigation did to the gaps, and what it cost, on the same images of the same
    patients.

    The unmitigated reconstruction takes the place of the original image, the mitigated one that of
    the reconstruction: gaps, their difference-in-differences test, families, intervals and reasons
    are those of `assess`. Thresholds are the study's own, from the original images of the
    validation patients; a diagnosis at chance on the original images gets no verdict. The cost is
    the paired change of PSNR, AUROC and Dice.

    Args:
      table: predictions of one cohort, with and without mitigation.
      spec: its specification.
      options: as for `assess`; gaps are those of the estimable groups, a rule that fits thresholds
        per version is replaced by "balanced".

    Returns:
      Long table with the columns `rows.COLUMNS`; empty where no study cell has both versions.
        `version` is "unmitigated", "mitigated" or "change"; the columns `original` and
        `reconstructed` of a change row hold the unmitigated and the mitigated value. Verdicts of
        gaps are those of `inference.verdict.MITIGATIONS`.

    Raises:
      ValueError: the table contradicts itself or the specification.

    Example:
      >>> y, sex = np.arange(80) % 2, np.repeat(["f", "m"], 40)
      >>> after = np.where(sex == "f", 0.4 * y, 0.9 * y)  # no woman is found, until mitigated
      >>> plain = fr.assess(label=y, original=0.9 * y, reconstructed=after, groups={"sex": sex})
      >>> mitigated = plain.table.assign(mitigation="reweighting", finding__reconstructed=0.9 * y)
      >>> rows = compare(pd.concat([plain.table, mitigated]), plain.spec, plain.options)
      >>> rows.query("metric == 'eodd' and verdict != ''")[["group", "verdict"]].values.tolist()
      [['f', 'helped']]
    """
    options = options or AssessOptions()
    rule = options.threshold_rule if options.threshold_rule in SHARED_RULES else "balanced"
    # a value belongs to the rule that was given, not to its stand-in
    value = options.threshold_value if rule == options.threshold_rule else None
    # a mitigation is judged by decisions that both versions share, among groups that can be judged
    options = dataclasses.replace(
        options, threshold_rule=rule, threshold_value=value, conventions=("worst_case_estimable",)
    )
    rows: list[Row] = []
    for study in studies(table, spec, options.intersections, options.strata):
        taus = _thresholds(study, spec, options)
        bases = [cell for cell in study.cells if cell.mitigation == NONE]
        contexts = [
            context
            for base in bases
            if (context := _context(study, spec, base, options, taus)) is not None
        ]
        # one family may span several reconstructors, so that all are adjusted together
        deferred = (item for context in contexts for item in context.deferred)
        adjust(deferred, options.alpha, options.adjustment)
        for context in contexts:
            rows += [
                _renamed(row, rule)
                for row in (*context.fairness, *context.performance)
                # the study's own thresholds stand in its assessment
                if row["metric"] != "threshold"
            ]
    return as_table(rows) if rows else pd.DataFrame(columns=list(COLUMNS))


def _thresholds(study: Study, spec: CohortSpec, options: AssessOptions) -> dict[str, float]:
    """The study's threshold of each classification task; a task without one is left out."""
    taus = {}
    for task in present_tasks(spec, study):
        if task.kind == "classification":
            value = float(thresholds.fit(study, task, options).reconstructed[0])
            if math.isfinite(value):
                taus[task.name] = value
    return taus


def _context(
    study: Study, spec: CohortSpec, base: Cell, options: AssessOptions, taus: dict[str, float]
) -> Context | None:
    """Rows and deferred tests of all mitigations of one reconstructor and level, None where there
    is none.
    """
    # [:2] is all but the mitigation
    pairs = [
        k for k, cell in enumerate(study.cells) if cell[:2] == base[:2] and cell.mitigation != NONE
    ]
    if not pairs:
        return None
    place = study.cells.index(base)
    skipped = {t.name for t in spec.tasks if t.kind == "classification" and t.name not in taus}
    columns = {}
    for name, values in study.columns.items():
        stem, _, version = name.partition("__")
        # the original image leaves its columns to the unmitigated reconstruction
        if stem in skipped or version in ("original", "original_pixels"):
            continue
        columns[name] = values[pairs]
        if version == "reconstructed":
            # a view: one row serves all mitigations
            columns[f"{stem}__original"] = np.broadcast_to(
                values[place], (len(pairs), values.shape[1])
            )
    mitigated = dataclasses.replace(
        study, cells=tuple(study.cells[k] for k in pairs), columns=columns
    )
    # fitted before, on true originals: here that column holds reconstructions
    if taus:
        options = dataclasses.replace(options, threshold_rule="fixed", threshold_value=taus)
    aurocs = _reference_aurocs(study, spec, base, options)
    headline = float(spec.degradation.headline_level)
    context = Context(mitigated, options, spec.modality, headline, aurocs, mitigation=True)
    if present := present_tasks(spec, mitigated):
        fill(context, present, Silence())
    if "psnr" in study.columns:
        _add_psnr(context, study.columns["psnr"][place], study.columns["psnr"][pairs])
    return context


def _reference_aurocs(
    study: Study, spec: CohortSpec, base: Cell, options: AssessOptions
) -> dict[str, Interval]:
    """By task the AUROC on the original images of the evaluated patients."""
    place, aurocs = study.cells.index(base), {}
    alone = dataclasses.replace(
        study, cells=(base,), columns={name: v[[place]] for name, v in study.columns.items()}
    )
    for task in present_tasks(spec, alone):
        if task.kind == "classification" and f"{task.name}__original" in study.columns:
            judged = units(alone, task, alone.test)
            # over the complete pairs, as everything that is judged
            known = (
                np.isfinite(judged.original)
                & np.isfinite(judged.reconstructed)
                & np.isfinite(judged.label)[None]
            )
            code = np.zeros(len(judged.label), int)
            scores = np.where(known, judged.original, np.nan)
            names = study.patient_names[judged.patient]
            # one version in both places: the AUROC alone is asked for
            found = auroc_changes(scores, scores, judged.label, code, names, groups=1)
            aurocs[task.name] = areas(found, options.alpha).at(0, 0, 0).original
    return aurocs


def _add_psnr(context: Context, before: np.ndarray, after: np.ndarray) -> None:
    """Adds the paired change of PSNR, everyone and per group, with its interval by patients;
    infinite values are left out.
    """
    study = context.study
    values = [np.broadcast_to(v, after.shape)[:, study.test] for v in (before, after)]
    finite = np.isfinite(values[0]) & np.isfinite(values[1])
    original, reconstructed = (np.where(finite, v, np.nan) for v in values)
    groupings = tuple(g._replace(code=g.code[study.test]) for g in study.groupings)
    label = np.full(original.shape[1], np.nan)  # image quality asks for no label
    units = JudgedUnits(
        label, original, reconstructed, study.patient[study.test], groupings, "image", True, ""
    )
    for grouping in groupings:
        if not np.any(grouping.code >= 0):
            continue
        averages = continuous.average(context, units, grouping)
        for k, cell in enumerate(study.cells):
            for g, group in enumerate(grouping.groups):
                fields = {
                    **cell_fields(study, cell),
                    "unit": "image",
                    "attribute": grouping.name,
                    "group": group,
                    "metric": "psnr",
                }
                fields |= {name: float(part[k, g]) for name, part in averages.counts.items()}
                context.performance += version_rows(
                    fields, averages.values.at(k, 0, g), continuous.MEANS, {}
                )


def _renamed(row: Row, rule: str) -> Row:
    """A row of the assessment in the words of a comparison."""
    renamed = {**row, "version": VERSIONS.get(row["version"], row["version"])}
    if row["threshold_rule"]:
        # decisions were made at "fixed" values, which the study's own rule had fitted
        renamed["threshold_rule"] = (
            f"{rule} on validation originals" if rule != "fixed" else "fixed"
        )
    return renamed
