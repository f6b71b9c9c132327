"""From the test of one study cell to rows: what happened to each group, the deferred verdict, the
detectable change.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment.arrays import Cell, Grouping
from fairrecon_jax.assessment.batch import Tested
from fairrecon_jax.assessment.context import Context, Kept, Problem
from fairrecon_jax.assessment.deferred import Deferred, Family
from fairrecon_jax.assessment.rows import BLANK, Interval, Row
from fairrecon_jax.assessment.stability import STABLE, Redrawn
from fairrecon_jax.inference.changes import Changes
from fairrecon_jax.inference.clustered import Interval as Intervals
from fairrecon_jax.inference.comparison import SENSITIVITY, SPECIFICITY, Comparison, Quantity
from fairrecon_jax.inference.group_result import critical_statistic, one_cell
from fairrecon_jax.inference.group_tables import REASONS
from fairrecon_jax.inference.mitigation_verdict import judge_mitigation
from fairrecon_jax.inference.power import (
    MARGIN,
    NO_SPREAD,
    equivalent,
    minimum_detectable_change,
)
from fairrecon_jax.inference.verdict import Verdict, at_chance, judge

PERMUTED = "p: equal changes, permuted patients and signs"
SIMULTANEOUS = "simultaneous over groups and labels, from the same draws"
UNSTABLE = "unstable threshold: the verdict stays in {:.0f}% of redraws of the validation patients"
NO_VERDICT = "thresholds were fitted per version: a convention that is reported without a verdict"
UNPAIRED = (
    "no predictions on original images: reconstructions are assessed by themselves, and the "
    "change cannot be estimated"
)


class Kind(NamedTuple):
    """What a gap metric compares.

    Attributes:
      quantities: one per label of the test.
      metrics: of the rows per group, one per label; () = no rows per group.
    """

    quantities: tuple[Quantity, ...]
    metrics: tuple[str, ...] = ()


KINDS = {
    "eodd": Kind((SPECIFICITY, SENSITIVITY), ("gap_specificity", "gap_sensitivity")),
    "eop": Kind((SENSITIVITY,)),
    "gap_auroc": Kind((Quantity("AUROC", "", "of AUROC"),)),
    "gap_score": Kind(
        (
            Quantity("score for the truth, without the finding", "negative", "logits"),
            Quantity("score for the truth, with the finding", "positive", "logits"),
        ),
        ("gap_score", "gap_score"),
    ),
    "ser": Kind((Quantity("Dice", "", "of Dice"),), ("gap_dice",)),
    "delta_dice": Kind((Quantity("Dice", "", "of Dice"),)),
}


@dataclasses.dataclass(frozen=True)
class GapTest:
    """The test of one metric, task, attribute and study cell.

    Attributes:
      metric: a key of `KINDS`.
      comparison: its numbers.
      family: name of the family for the adjustment.
      auroc: AUROC on originals, None where the task has none.
      alpha: level.
      decisions: the test is about decisions.
      images: [L, G] images.
      label_weights: one per quantity where the test weighs several.
      mitigation: a mitigation is judged.
      redrawn: under redrawn thresholds, None where none were.
      note: why nothing can be judged, where it is not for want of patients.
    """

    metric: str
    comparison: Comparison
    family: str
    auroc: Interval | None
    alpha: float
    decisions: bool
    images: np.ndarray
    label_weights: tuple[float, ...] = ()
    mitigation: bool = False
    redrawn: Redrawn | None = None
    note: str = ""

    @property
    def method(self) -> str:
        """The column `method` of its rows."""
        weights = " and ".join(
            f"{w:g} ({q.name})"
            # strict=False: tests of one label have no weights
            for w, q in zip(self.label_weights, self.comparison.quantities, strict=False)
        )
        within = ", within strata" if self.comparison.test.stratified else ""
        return PERMUTED + within + (f", labels weighted {weights}" if weights else "")

    @property
    def chance(self) -> tuple[float, float] | None:
        """Interval of the AUROC on originals."""
        return None if self.auroc is None else (self.auroc.low, self.auroc.high)

    @property
    def at_chance(self) -> str:
        """Why the diagnosis gets no verdict, "" if it does."""
        return "" if self.chance is None else at_chance(self.chance)

    @property
    def p_value(self) -> float:
        """The test's p; NaN where nothing is estimable or the diagnosis is at chance."""
        # NaN leaves the family, so that a diagnosis that cannot have a verdict costs none
        return float("nan") if self.at_chance else float(self.comparison.test.p_value)


def gap_test(
    metric: str,
    tested: Tested,
    own: Intervals,
    k: int,
    groups: tuple[str, ...],
    *,
    family: str,
    auroc: Interval | None,
    alpha: float,
    label_weights: tuple[float, ...] = (),
    mitigation: bool = False,
    redrawn: Redrawn | None = None,
    note: str = "",
) -> GapTest:
    """The test of one problem among K.

    Args:
      metric: a key of `KINDS`.
      tested: changes and test of K problems.
      own: intervals [K, L, G] of each group's own change.
      k: which problem.
      groups: names of the groups.
      family: its name.
      auroc: of everyone on originals.
      alpha: level.
      label_weights: of the test.
      mitigation: a mitigation is judged.
      redrawn: this problem under redrawn thresholds.
      note: why nothing can be judged, where it is not for want of patients.

    Returns:
      A `GapTest`.
    """
    changes = tested.changes
    comparison = Comparison(
        one_cell(tested.test, k),
        groups,
        KINDS[metric].quantities,
        changes.original[k],
        changes.reconstructed[k],
        own.low[k],
        own.high[k],
        changes.changed[k],
        label_weights,
    )
    return GapTest(
        metric,
        comparison,
        family,
        auroc,
        alpha,
        changes.decisions,
        changes.images[k],
        label_weights,
        mitigation,
        redrawn,
        note,
    )


def group_rows(gap: GapTest, common: Row) -> list[Row]:
    """A row per group and label: its change minus the others', with the simultaneous interval.

    Args:
      gap: the test.
      common: columns that all rows share.

    Returns:
      Rows in the order of quantities, then groups; verdicts of judged ones wait for `queue`.
    """
    comparison, rows = gap.comparison, []
    test = comparison.test
    for y, metric in enumerate(KINDS[gap.metric].metrics):
        stratum = comparison.quantities[y].stratum
        for g, group in enumerate(comparison.groups):
            row = {
                **BLANK,
                **common,
                "metric": metric,
                "group": group,
                "reference_group": "the other groups",
                "version": "change",
                "label_stratum": stratum,
                "value": float(test.extra[y, g]),
                "change": float(test.extra[y, g]),
                "original": float(comparison.original[y, g]),
                "reconstructed": float(comparison.reconstructed[y, g]),
                "std_error": float(test.extra_error[y, g]),
                "ci_low": float(test.extra_low[y, g]),
                "ci_high": float(test.extra_high[y, g]),
                "p_value": float(test.group_p[y, g]),
                "n": float(gap.images[y, g]),
                "n_patients": float(test.patients[y, g]),
                "n_changed": float(comparison.changed[y, g]),
                "method": SIMULTANEOUS,
            }
            row["n_pos"] = row["n"] if stratum == "positive" else float("nan")
            row["n_neg"] = row["n"] if stratum == "negative" else float("nan")
            if not gap.decisions and row["std_error"] < NO_SPREAD:
                # values of which none changed: their spread is unknown, and 0 to 0 is no interval
                row |= {"ci_low": float("nan"), "ci_high": float("nan"), "method": ""}
            if test.reason[y, g] != 0:
                reason = gap.note or REASONS[int(test.reason[y, g])]
                row |= {"verdict": "not estimable", "reason": reason, "method": ""}
            rows.append(row)
    return rows


def queue(gap: GapTest, judged: list[Row], per_group: list[Row]) -> Deferred:
    """Queues the verdict of one study cell for the adjustment of its family.

    A row per group is "harmed" or "favoured" where the cell's adjusted p and the row's max-T p are
    both at most `alpha`.

    Args:
      gap: the test.
      judged: change rows that take the verdict.
      per_group: rows of `group_rows`, in their order.

    Returns:
      The deferred test.
    """
    for row in judged:
        row["method"] = "; ".join(part for part in (row["method"], gap.method) if part)

    def adjust(told: Family, row: Row) -> Row:
        detectable = minimum_detectable_change(
            gap.comparison.test,
            level=told.level,
            alpha=gap.alpha,
            decisions=gap.decisions,
            label_weights=gap.label_weights or None,
        )
        # the margin is one of rates: of scores and AUROC none is agreed on
        shown = equivalent(gap.comparison.test, gap.images)
        # runs once per judged row, and writes the same into the rows per group each time
        overall = judge(
            gap.comparison,
            p_adjusted=told.p_adjusted,
            comparisons=told.size,
            alpha=gap.alpha,
            detectable=float(detectable.largest),
            equivalent=MARGIN if gap.decisions and shown else None,
            auroc_interval=gap.chance,
        )
        # before the words of a mitigation: redraws know the test's claim only
        stable = _stability(gap, overall, told)
        if gap.mitigation:
            overall = judge_mitigation(gap.comparison, overall, gap.alpha)
        sizes = detectable.stratum.reshape(-1)
        chance = overall.word == "at chance"
        # both by label, then group; metrics without rows per group have sizes all the same
        for part, size in zip(per_group, sizes, strict=bool(per_group)):
            part["mde"] = float("nan") if chance else float(size)
            if chance:
                part |= {"verdict": "at chance", "reason": overall.reason}
            elif part["verdict"] != "not estimable":
                # fmax: the larger p, and the known one where the other is NaN
                part["p_adjusted"] = float(np.fmax(part["p_value"], told.p_adjusted))
                part["verdict"] = _of_group(part, gap.alpha)
        return {
            "stable": stable,
            "verdict": overall.word,
            "gap": of_row(overall.gap, row["change"]),
            "group": overall.group,
            "label_stratum": overall.stratum,
            "reason": _reason(gap, overall, told, stable),
            "mde": float("nan") if chance else float(detectable.largest),
        }

    return Deferred(gap.family, gap.p_value, gap.comparison.test.smallest, tuple(judged), adjust)


def keep(
    context: Context, gap: GapTest, changes: Changes, grouping: Grouping, common: Row, k: int
) -> None:
    """Keeps the changes behind a test for the verdict on its method, where there are several seeds.

    Args:
      context: takes them.
      gap: the test.
      changes: of K problems.
      grouping: the attribute.
      common: columns that the rows share.
      k: which problem.
    """
    if not context.keeps:
        return
    # nothing that trainings may differ in: they are gathered by problem and cell
    problem = Problem(gap.metric, common["task"], grouping.name, grouping.groups, gap.family)
    cell = Cell(common["level"], common["reconstructor"], common["mitigation"])
    context.kept[problem, cell] = Kept(changes, k, common, gap.chance)


def _reason(gap: GapTest, verdict: Verdict, told: Family, stable: float) -> str:
    """The column `reason` of a verdict."""
    if gap.note and verdict.word == "not estimable":
        return gap.note
    said = [verdict.reason]
    if stable < STABLE:
        said.append(UNSTABLE.format(100 * stable))
    if verdict.word == "no difference shown":
        said.append(told.too_few_draws(gap.alpha))
    if verdict.unjudged:
        said.append(f"not estimable: {'; '.join(verdict.unjudged)}")
    return "; ".join(filter(None, said))


def _stability(gap: GapTest, verdict: Verdict, told: Family) -> float:
    """In which share of the redrawn thresholds the verdict stays; NaN where none were drawn or
    nothing was tested.
    """
    if gap.redrawn is None or not np.isfinite(told.p_adjusted):
        return float("nan")
    # of T, at the level that the family leaves to one comparison
    critical = critical_statistic(gap.comparison.test, told.level)
    group = list(gap.comparison.groups).index(verdict.group) if verdict.label >= 0 else -1
    return gap.redrawn.stays(
        critical, verdict.label, group, 1 if verdict.word == "favoured" else -1
    )


def _of_group(row: Row, alpha: float) -> str:
    """The verdict on one group's change beside the others'."""
    if not row["p_adjusted"] <= alpha:  # also NaN
        return "no difference shown"
    return "harmed" if row["change"] < 0 else "favoured"


def of_row(gap: str, change: float) -> str:
    """What happened to a row's own gap.

    The word is about the largest difference between judged groups. Another gap of the same cell
    (over all groups, or a ratio of errors) may have gone the other way: of that one nothing clear
    is known.

    Args:
      gap: of the verdict.
      change: of the row's gap.

    Returns:
      The word, or "same"; "" of a gap that is not defined.
    """
    if np.isnan(change):
        return ""
    opposed = (gap == "widened" and not change > 0) or (gap == "narrowed" and not change < 0)
    return "same" if opposed else gap


def without_test(judged: list[Row], paired: bool) -> None:
    """Gives change rows the reason why there is no verdict: no originals to pair with, or
    thresholds fitted per version.
    """
    for row in judged:
        row["reason"] = NO_VERDICT if paired else UNPAIRED
        row["verdict"] = "" if paired else "not estimable"
