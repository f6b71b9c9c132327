"""Dose-response per group: how fast sensitivity, specificity, AUROC and Dice fall as the level gets
worse, and whether they fall alike in every group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import thresholds
from fairrecon_jax.assessment.arrays import Cell, Grouping, studies
from fairrecon_jax.assessment.classification import decide
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.assessment.precision import nan_is_an_answer
from fairrecon_jax.assessment.units import JudgedUnits, units
from fairrecon_jax.inference.changes import (
    Changes,
    auroc_changes,
    decision_changes,
    value_changes,
)
from fairrecon_jax.inference.clustered_values import mean_interval
from fairrecon_jax.inference.dose import dose_positions, slope_tables
from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.group_family import adjust_cells
from fairrecon_jax.inference.group_result import GroupTest
from fairrecon_jax.inference.group_tables import REASONS, PatientTables
from fairrecon_jax.types import CohortSpec, Task

COLUMNS = (
    "cohort", "task", "attribute", "group", "reconstructor", "mitigation", "seed", "levels",
    "metric", "label_stratum", "slope", "ci_low", "ci_high", "extra", "extra_low", "extra_high",
    "n", "n_patients", "p_value", "p_adjusted", "verdict", "reason",
)  # fmt: skip
WORDS = ("differs", "no difference shown", "not estimable")
"""The groups' slopes differ by more than chance explains; they could not be told apart; fewer than
two groups can be judged.
"""
RATES = (("specificity", "negative"), ("sensitivity", "positive"))


class Series(NamedTuple):
    """The cells of one reconstructor and mitigation at several levels.

    Attributes:
      cell: the first of them.
      places: [J] their numbers, mildest level first.
      position: [J] places of the levels, see `dose_positions`.
      levels: in words, e.g. "100000, 10000, 3000".
    """

    cell: Cell
    places: np.ndarray
    position: np.ndarray
    levels: str


class Tested(NamedTuple):
    """The test of one series, task and attribute.

    Attributes:
      series: which.
      task: which.
      grouping: the attribute.
      metrics: (metric, label stratum) per label of the test.
      tables: the patients' slopes.
      test: of equal slopes.
    """

    series: Series
    task: Task
    grouping: Grouping
    metrics: tuple[tuple[str, str], ...]
    tables: PatientTables
    test: GroupTest


@nan_is_an_answer
def dose_responses(
    table: pd.DataFrame, spec: CohortSpec, options: AssessOptions | None = None
) -> pd.DataFrame:
    """Slopes of the change along the level, per group, and a test of their equality.

    Every reconstructor (and mitigation) that was studied at two levels or more. Levels are placed
    as in `inference.dose_positions` over the levels of the cohort, so that a slope is the change
    between its mildest and its worst level on the straight line that fits best.

    Args:
      table: predictions, see `assess`.
      spec: the cohort's specification.
      options: choices.

    Returns:
      Long table with the columns `COLUMNS`, a row per group and metric: `slope` with its interval,
        clustered by patient; `extra`, its slope minus the others', with limits simultaneous over
        groups and labels; p of "the slopes of all groups are equal", for sensitivity and
        specificity together and for AUROC, each adjusted over tasks, attributes and reconstructors
        of a seed.

    Raises:
      InputError: as `assess`.

    Example:
      >>> import dataclasses
      >>> from fairrecon_jax.assessment.on_arrays import predictions
      >>> y, sex, parts = np.arange(80) % 2, np.repeat(["f", "m"], 40), []
      >>> for level, found in ((2.0, 0.9), (8.0, 0.4)):  # at the worse level no woman is found
      ...     after = np.where(sex == "f", found * y, 0.9 * y)
      ...     table, spec = predictions(
      ...         label=y, original=y, reconstructed=after, groups={"sex": sex})
      ...     parts.append(table.assign(level=level))
      >>> levels = dataclasses.replace(spec.degradation, levels=(2.0, 8.0))
      >>> spec = dataclasses.replace(spec, degradation=levels)
      >>> options = AssessOptions(threshold_rule="fixed", threshold_value=0.5, permutations=999)
      >>> rows = dose_responses(pd.concat(parts), spec, options).query("metric == 'sensitivity'")
      >>> rows[["group", "slope", "verdict"]].values.tolist()
      [['f', -1.0, 'differs'], ['m', 0.0, 'differs']]
    """
    options = options or AssessOptions()
    rows: list[dict[str, Any]] = []
    for study in studies(table, spec):
        context = Context(study, options, spec.modality, float(spec.degradation.headline_level))
        tested = []
        for series in _series(study.cells, spec.degradation.levels):
            for task in spec.tasks:
                if f"{task.name}__reconstructed" in study.columns:
                    tested += list(_task(context, task, series))
        adjusted = _adjusted(tested, options.alpha)
        for one, p in zip(tested, adjusted, strict=True):
            common = {"cohort": study.cohort, "seed": study.seed, "p_adjusted": p}
            rows += list(_rows(one, common, options))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _series(cells: tuple[Cell, ...], levels: tuple[float, ...]) -> Iterator[Series]:
    """The reconstructors and mitigations that were studied at several levels."""
    if len(set(levels)) < 2:
        return
    position = dict(zip(levels, dose_positions(levels), strict=True))
    found: dict[tuple[str, str], list[int]] = {}
    for number, cell in enumerate(cells):
        # a level that the cohort does not name has no place
        if cell.level in position:
            found.setdefault((cell.reconstructor, cell.mitigation), []).append(number)
    for numbers in found.values():
        places = sorted(numbers, key=lambda k: position[cells[k].level])
        if len(places) > 1:
            names = ", ".join(f"{cells[k].level:g}" for k in places)
            at = np.array([position[cells[k].level] for k in places])
            yield Series(cells[places[0]], np.array(places), at, names)


def _task(context: Context, task: Task, series: Series) -> Iterator[Tested]:
    """The tests of one task and series, all attributes."""
    judged = units(context.study, task, context.study.test, context.options.empty_mask)
    if not judged.paired:
        return
    for grouping in judged.groupings:
        if not grouping.name or grouping.crossed or not np.any(grouping.code >= 0):
            continue
        for metrics, changes in _changes(context, task, judged, grouping, series):
            tables = slope_tables(changes.tables, series.position)
            # who takes part is the same at every level
            counted = tuple(part[:1] for part in changes.counted)
            test = group_test(
                tables,
                seed=context.options.seed,
                attribute=grouping.name,
                permutations=context.permutations,
                label_weights=context.options.label_weights if len(metrics) > 1 else None,
                alpha=context.options.alpha,
                counted=(counted[0], counted[1], counted[2]),
                decisions=changes.decisions,
            )
            yield Tested(series, task, grouping, metrics, tables, test)


def _changes(
    context: Context, task: Task, judged: JudgedUnits, grouping: Grouping, series: Series
) -> Iterator[tuple[tuple[tuple[str, str], ...], Changes]]:
    """What is measured of a task at the levels of a series: metrics and their changes."""
    places, known = series.places, np.isfinite(judged.reconstructed[series.places]).all(0)

    def part(values: np.ndarray) -> np.ndarray:
        """At these levels, of the images that all of them have."""
        return np.where(known, values[places], np.nan)

    common: dict[str, Any] = {
        "groups": len(grouping.groups),
        "min_patients": context.options.min_patients,
    }
    who = (grouping.code, context.patients(judged))
    common["stratum"] = context.stratum(judged)
    if task.kind == "segmentation":
        dice = value_changes(part(judged.original), part(judged.reconstructed), *who, **common)
        yield (("dice", ""),), dice
        return
    if context.options.judges:
        decisions = decide(judged, thresholds.fit(context.study, task, context.options))
        rates = decision_changes(
            part(decisions.original),
            part(decisions.reconstructed),
            decisions.label,
            *who,
            **common,
        )
        yield RATES, rates
    versions = (part(judged.original), part(judged.reconstructed))
    yield (("auroc", ""),), auroc_changes(*versions, judged.label, *who, **common)


def _adjusted(tested: list[Tested], alpha: float) -> list[float]:
    """The adjusted p of each test, within its family: decisions and Dice, or AUROC."""
    found = [float("nan")] * len(tested)
    for auroc in (False, True):
        family = [
            i
            for i, one in enumerate(tested)
            if (one.metrics[0][0] == "auroc") == auroc and np.isfinite(one.test.p_value[0])
        ]
        if not family:
            continue
        cells = [
            {null: drawn[:, 0] for null, drawn in tested[i].test.smallest.items()} for i in family
        ]
        for i, p in zip(family, adjust_cells(cells, alpha)[0], strict=True):
            found[i] = float(p)
    return found


def _rows(one: Tested, common: dict[str, Any], options: AssessOptions) -> Iterator[dict[str, Any]]:
    """A row per metric and group."""
    test, p = one.test, common["p_adjusted"]
    word = WORDS[2] if not np.isfinite(p) else WORDS[0] if p <= options.alpha else WORDS[1]
    for y, (metric, stratum) in enumerate(one.metrics):
        for g, group in enumerate(one.grouping.groups):
            own = one.tables.group == g
            total, images = one.tables.change[own, :, y], one.tables.images[own, :, y]
            interval = mean_interval(total, images, options.alpha, options.min_patients)
            reason = int(test.reason[0, y, g])
            yield {
                **common,
                "task": one.task.name,
                "attribute": one.grouping.name,
                "group": group,
                "reconstructor": one.series.cell.reconstructor,
                "mitigation": one.series.cell.mitigation,
                "levels": one.series.levels,
                "metric": metric,
                "label_stratum": stratum,
                "slope": float(interval.value[0]),
                "ci_low": float(interval.low[0]),
                "ci_high": float(interval.high[0]),
                "extra": float(test.extra[0, y, g]),
                "extra_low": float(test.extra_low[0, y, g]),
                "extra_high": float(test.extra_high[0, y, g]),
                "n": int(images.sum()),
                "n_patients": int(test.patients[0, y, g]),
                "p_value": float(test.p_value[0]),
                "verdict": word if reason == 0 else WORDS[2],
                "reason": "" if reason == 0 else REASONS[reason],
            }
