"""Performance rows of classification tasks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Grouping
from fairrecon_jax.assessment.batch import Batch
from fairrecon_jax.assessment.classification import Counts, Decisions, Measured
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import Deferred, Family, family_name
from fairrecon_jax.assessment.rows import (
    BLANK,
    Interval,
    Row,
    Triple,
    cell_fields,
    version_rows,
)
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.assessment.units import JudgedUnits
from fairrecon_jax.assessment.verdicts import UNPAIRED
from fairrecon_jax.inference.everyone import EveryoneTest
from fairrecon_jax.inference.verdict import at_chance

METHODS = {
    "auroc": "DeLong, clustered by patient",
    "sensitivity": "Wilson, clustered by patient",
    "specificity": "Wilson, clustered by patient",
    "brier": "skewness-corrected t, clustered by patient",
    "calibration_error": "",
}
"""How the intervals of each metric are made."""
SIGNS = "p: studentised sign flips by patient"
NOTHING = (float("nan"), float("nan"))
OF_SCORES = ("auroc", "brier", "calibration_error")
"""Metrics of scores, which decisions have none of."""
DECIDED = "the table holds decisions, 0 or 1, and no scores{}: sensitivity and specificity alone"
FEW = "too few patients, or a few of them hold most of the images"
NO_THRESHOLD = (
    "no threshold can be fitted: the patients it is fitted on include no positives or no "
    "negatives with a score; the task is not judged"
)


def count_columns(counts: Counts, k: int, group: int) -> Row:
    """The count columns of one problem and group."""
    return {name: float(part[k, group]) for name, part in counts._asdict().items()}


def verdict_of_change(change: float, p: float, alpha: float) -> str:
    """lower, higher or no difference shown; "not estimable" without a p-value."""
    if not np.isfinite(p):
        return "not estimable"
    # a change of exactly 0 has no direction, whatever its p
    if p > alpha or change == 0:
        return "no difference shown"
    return "higher" if change > 0 else "lower"


def calibration(
    units: JudgedUnits, decisions: Decisions, grouping: Grouping, bins: int
) -> np.ndarray:
    """Expected calibration errors of both versions, all cells and groups at once, as
    `metrics.calibration_error` gives them.

    Args:
      units: scores and labels.
      decisions: says which units are complete.
      grouping: groups of the units.
      bins: number of equally wide bins.

    Returns:
      [2, K, G], NaN where there is no unit (or no original).
    """
    groups = len(grouping.groups)
    errors = np.full((2, len(decisions.known), groups), np.nan)
    for version, scores in enumerate((units.original, units.reconstructed)):
        # version 0 are the originals
        for k, score in enumerate(scores if version or units.paired else ()):
            rows = np.flatnonzero(decisions.known[k] & (grouping.code >= 0))
            # group and bin as one number: one bincount instead of groups x bins masks
            slot = grouping.code[rows] * bins + metrics.calibration_bin(score[rows], bins)
            sums = (
                np.bincount(slot, part, groups * bins).reshape(groups, bins)
                for part in (None, score[rows], units.label[rows])  # None counts
            )
            errors[version, k] = metrics.calibration_error_from_sums(*sums).value
    return errors


class TaskResults(NamedTuple):
    """What the performance rows of one task and grouping are made from.

    Attributes:
      batch: the tasks.
      task: number of this one among them.
      grouping: everyone, or an attribute.
      measured: of the batch in this grouping.
      tests: of everyone: that nothing changed, see `batch.everyone`; empty for groups.
    """

    batch: Batch
    task: int
    grouping: Grouping
    measured: Measured
    tests: dict[str, EveryoneTest]

    def triples(self, k: int, g: int) -> dict[str, Triple]:
        """By metric the numbers of one problem and group."""
        found = self.measured
        return {
            "auroc": found.auroc_values.at(k, 0, g),
            "sensitivity": found.rate_values.at(k, 1, g),
            "specificity": found.rate_values.at(k, 0, g),
            "brier": found.brier_values.at(k, 0, g),
        }


TESTED = {"auroc": ("auroc", 0), "brier": ("brier", 0)} | {
    "specificity": ("decisions", 0),
    "sensitivity": ("decisions", 1),
}
"""Where the test of each metric of everyone stands: its name and label."""


def add_performance(context: Context, base: Row, results: TaskResults) -> None:
    """Adds AUROC, sensitivity, specificity, Brier score and calibration error of every cell and
    group of one grouping.

    Rows for everyone carry a test of the change (family: metric, level and mitigation) and a
    verdict; rows of groups carry intervals.

    Args:
      context: takes the rows.
      base: task, unit and threshold rule.
      results: the numbers.
    """
    everyone = results.grouping.name == ""
    member = results.batch.members[results.task]
    errors = calibration(member.units, member.decisions, results.grouping, context.options.bins)
    for cell_number, cell in enumerate(context.study.cells):
        k = results.batch.place(results.task, cell_number)
        for g, group in enumerate(results.grouping.groups):
            fields = {
                **base,
                **cell_fields(context.study, cell),
                "attribute": results.grouping.name,
                "group": group,
                **count_columns(results.measured.counts, k, g),
            }
            numbers = results.triples(k, g)
            auroc = numbers["auroc"].original
            numbers["calibration_error"] = plain(*(float(e) for e in errors[:, cell_number, g]))
            for metric, values in numbers.items():
                decided = member.thresholds.decided
                if any(decided) and metric in OF_SCORES:
                    row = {**fields, "metric": metric}
                    context.performance += _without_decisions(row, values, decided)
                    continue
                rows = version_rows({**fields, "metric": metric}, values, METHODS[metric], {})
                context.performance += rows
                if not member.units.paired:
                    rows[-1] |= {"reason": UNPAIRED}
                elif everyone and metric in TESTED:
                    known = context.reference_auroc(base["task"], auroc)
                    chance = at_chance((known.low, known.high))
                    context.deferred.append(_deferred(context, results, rows[-1], k, chance))
                if everyone and metric == "auroc":
                    rows[0]["reason"] = member.units.note


def _without_decisions(row: Row, values: Triple, decided: tuple[bool, bool]) -> list[Row]:
    """The rows of a metric of scores where a version, or both, has decisions and so none of it."""
    nothing = plain(*NOTHING)
    left = nothing._replace(
        original=nothing.original if decided[0] else values.original,
        reconstructed=nothing.reconstructed if decided[1] else values.reconstructed,
    )
    sides = {(True, False): " on the originals", (False, True): " on the reconstructions"}
    where = sides.get(decided, "")
    return version_rows(row, left, METHODS[row["metric"]], {"reason": DECIDED.format(where)})


def _deferred(context: Context, results: TaskResults, row: Row, k: int, chance: str) -> Deferred:
    """The test of one performance change; a diagnoser at chance gets no verdict."""
    name, label = TESTED[row["metric"]]
    test = results.tests[name]
    family = family_name(f"{row['metric']} of everyone", row["level"], row["mitigation"])
    if chance:  # p = NaN does not count in its family: it costs the others nothing
        told = {"verdict": "at chance", "reason": chance}
        return Deferred(family, float("nan"), None, (row,), lambda *_: told)
    row["method"] = "; ".join(part for part in (row["method"], SIGNS) if part)
    cell = k - results.batch.place(results.task, 0)  # among the task's own
    fitted = np.isfinite(results.batch.members[results.task].thresholds.reconstructed[cell])
    few = FEW if fitted or name != "decisions" else NO_THRESHOLD
    return everyone_deferred(test, k, label, family, row, context.options.alpha, few)


def everyone_deferred(
    test: EveryoneTest, k: int, label: int, family: str, row: Row, alpha: float, few: str = FEW
) -> Deferred:
    """The test that nothing changed for everyone together; `few` says why it cannot be made."""

    def told(adjusted: Family, row: Row) -> Row:
        verdict = verdict_of_change(row["change"], adjusted.p_adjusted, alpha)
        why = adjusted.too_few_draws(alpha)
        # signs of skewed changes reject too often; the interval knows the skewness
        if verdict in ("lower", "higher") and row["ci_low"] <= 0 <= row["ci_high"]:
            verdict, why = "no difference shown", "its interval includes no change"
        reason = {"not estimable": few, "no difference shown": why}
        return {"verdict": verdict, "reason": reason.get(verdict, "")}

    draws = {"signs": test.smallest[:, k, label]}
    return Deferred(family, float(test.p_value[k, label]), draws, (row,), told)


def add_thresholds(context: Context, base: Row, thresholds: Thresholds) -> None:
    """Adds the thresholds of both versions of every study cell."""
    for k, cell in enumerate(context.study.cells):
        for version, values in (
            ("original", thresholds.original),
            ("reconstructed", thresholds.reconstructed),
        ):
            fields = {
                **base,
                **cell_fields(context.study, cell),
                "metric": "threshold",
                "version": version,
            }
            value = float(values[k])
            reason = (
                ""
                if np.isfinite(value)
                or (version == "original" and np.isfinite(thresholds.reconstructed[k]))
                else NO_THRESHOLD
            )
            context.performance.append({**BLANK, **fields, "value": value, "reason": reason})


def plain(before: float, after: float) -> Triple:
    """A number without intervals."""
    return Triple(Interval(before), Interval(after), Interval(after - before))
