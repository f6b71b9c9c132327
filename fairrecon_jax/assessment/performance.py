"""Performance rows of classification tasks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Grouping, JudgedUnits
from fairrecon_jax.assessment.classification import Decisions, Measured
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import Deferred, family_name
from fairrecon_jax.assessment.rows import (
    BLANK,
    Interval,
    Row,
    Triple,
    cell_fields,
    paired,
    version_rows,
)
from fairrecon_jax.assessment.separation import Separation
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.assessment.verdicts import UNPAIRED
from fairrecon_jax.inference.intervals import Estimate

DELONG = "DeLong, clustered by patient"


def count_columns(measured: Measured, k: int, group: int) -> Row:
    """The count columns of one study cell and group."""
    return {name: float(part[k, group]) for name, part in measured.counts._asdict().items()}


def at_chance(auroc: Interval) -> str:
    """The reason for "at chance" if the interval of the AUROC on originals holds 0.5, else ""."""
    if not auroc.low <= 0.5 <= auroc.high:
        return ""
    return (
        f"the AUROC on original images is {auroc.value:.3f} ({auroc.low:.3f} to "
        f"{auroc.high:.3f}), which includes 0.5"
    )


def verdict_of_change(change: float, p: float, alpha: float) -> str:
    """lower, higher or within chance; "not estimable" without a p-value."""
    if not np.isfinite(p):
        return "not estimable"
    # a change of exactly 0 has no direction, whatever its p
    return "within chance" if p > alpha or change == 0 else "higher" if change > 0 else "lower"


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
        for k, score in enumerate(scores if version or units.paired else ()):
            rows = np.flatnonzero(decisions.known[k] & (grouping.code >= 0))
            slot = grouping.code[rows] * bins + metrics.calibration_bin(score[rows], bins)
            sums = (
                np.bincount(slot, part, groups * bins).reshape(groups, bins)
                for part in (None, score[rows], units.label[rows])
            )
            errors[version, k] = metrics.calibration_error_from_sums(*sums).value
    return errors


class TaskResults(NamedTuple):
    """What the performance rows of one task and grouping are made from.

    Attributes:
      units: what was judged.
      decisions: its decisions.
      grouping: everyone, or an attribute.
      measured: bootstrap of rates and Brier scores.
      separated: AUROC.
      flips: for everyone, sign-flip p-values [K] of "no change" among negatives and among
        positives; empty for groups.
    """

    units: JudgedUnits
    decisions: Decisions
    grouping: Grouping
    measured: Measured
    separated: Separation
    flips: tuple[np.ndarray, ...]


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
    everyone, alpha = results.grouping.name == "", context.options.alpha
    units = results.units
    errors = calibration(units, results.decisions, results.grouping, context.options.bins)
    for k, cell in enumerate(context.study.cells):
        chance = ""
        if everyone:
            chance = at_chance(context.reference_auroc(base["task"], results.separated, k))
        for g, group in enumerate(results.grouping.groups):
            fields = {
                **base,
                **cell_fields(context.study, cell),
                "attribute": results.grouping.name,
                "group": group,
                **count_columns(results.measured, k, g),
            }
            numbers = _numbers(context, results, k, g)
            error = plain(*(float(e) for e in errors[:, k, g]))
            numbers["calibration_error"] = (error, "", float("nan"))
            for metric, (values, how, p) in numbers.items():
                rows = version_rows({**fields, "metric": metric}, values, how, {"p_value": p})
                context.performance += rows
                if not units.paired:
                    rows[-1] |= {"reason": UNPAIRED}
                elif everyone and metric != "calibration_error":
                    family = family_name(f"{metric} of everyone", cell.level, cell.mitigation)
                    context.deferred.append(_deferred(rows[-1], family, p, chance, alpha))
                if everyone and metric == "auroc":
                    rows[0]["reason"] = units.note


def _numbers(
    context: Context, results: TaskResults, k: int, g: int
) -> dict[str, tuple[Triple, str, float]]:
    """By metric the numbers of one study cell and group, how their intervals were made, and the p
    of the change.
    """
    method, measured, flips = context.method(results.units), results.measured, results.flips
    by_flips = f"{method}; p: patient sign flips" if flips else method
    p = [float(flips[y][k] if flips else measured.rates.p_two_sided[k, g, y]) for y in (0, 1)]
    separated = results.separated
    return {
        "auroc": (
            separated.paired(k, g, context.options.alpha),
            DELONG,
            separated.p_value(k, g),
        ),
        "sensitivity": (paired(measured.rates, (k, g, 1)), by_flips, p[1]),
        "specificity": (complement(paired(measured.rates, (k, g, 0))), by_flips, p[0]),
        "brier": (
            paired(measured.brier, (k, g)),
            f"{method}; p: normal",
            _normal_p(measured.brier.change, k, g),
        ),
    }


def _normal_p(change: Estimate, k: int, g: int) -> float:
    """Two-sided p of "no change" from the bootstrap's standard error, normal approximation."""
    value, error = float(change.value[k, g]), float(change.std_error[k, g])
    if not np.isfinite(value) or not np.isfinite(error):
        return float("nan")
    return float(2 * norm.sf(abs(value) / error)) if error > 0 else 1.0  # 0 / 0: nothing changed


def _deferred(row: Row, family: str, p: float, chance: str, alpha: float) -> Deferred:
    """The test of one performance change; a diagnoser at chance gets no verdict."""
    if chance:  # p = NaN does not count in its family: it costs the others nothing
        return Deferred(
            family, float("nan"), (row,), lambda *_: {"verdict": "at chance", "reason": chance}
        )
    return Deferred(
        family,
        p,
        (row,),
        lambda adjusted, _: {"verdict": verdict_of_change(row["change"], adjusted, alpha)},
    )


NO_THRESHOLD = (
    "no threshold can be fitted: the patients it is fitted on include no positives or no "
    "negatives with a score; the task is not judged"
)


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


def complement(rate: Triple) -> Triple:
    """1 - rate: specificity from the false-positive rate; the limits of each interval swap."""
    before, after = (
        Interval(1 - i.value, i.std_error, 1 - i.high, 1 - i.low)
        for i in (rate.original, rate.reconstructed)
    )
    change = rate.change
    return Triple(
        before, after, Interval(-change.value, change.std_error, -change.high, -change.low)
    )


def plain(before: float, after: float) -> Triple:
    """A number without intervals."""
    return Triple(Interval(before), Interval(after), Interval(after - before))
