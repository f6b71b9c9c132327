"""Fairness rows of classification tasks: equalised odds, equal opportunity, AUROC and score between
groups, the change of every group, verdicts.
"""

from __future__ import annotations

import numpy as np

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Grouping
from fairrecon_jax.assessment.batch import Batch, Tested, Tests
from fairrecon_jax.assessment.classification import Measured, means_of_change
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import family_name
from fairrecon_jax.assessment.performance import NO_THRESHOLD, plain
from fairrecon_jax.assessment.rows import BLANK, Interval, Row, cell_fields, version_rows
from fairrecon_jax.assessment.stability import Redrawn, Redraws
from fairrecon_jax.assessment.verdicts import gap_test, group_rows, keep, queue, without_test
from fairrecon_jax.inference.changes import Changes
from fairrecon_jax.inference.clustered import Interval as Intervals
from fairrecon_jax.inference.intersections import Shrunk, shrink_intersections
from fairrecon_jax.inference.permutation import PermutationNull
from fairrecon_jax.inference.published import CAUTION, Published
from fairrecon_jax.metrics.conventions import Convention
from fairrecon_jax.types import Array, plural

PRIMARY = "eodd"
RATES = ("specificity", "sensitivity")
OTHER_GAP = "published recipe: not applied, it reads an empty stratum as a rate of 0 or 1"


class TaskGaps:
    """The fairness rows of one batch in one attribute.

    Attributes:
      context: takes rows and deferred tests.
      batch: tasks.
      grouping: the attribute.
      found: what was measured of it.
      tests: of it.
      redraws: of the thresholds.
    """

    def __init__(
        self,
        context: Context,
        batch: Batch,
        grouping: Grouping,
        found: Measured,
        tests: Tests,
        redraws: Redraws,
    ) -> None:
        self.context, self.batch, self.grouping = context, batch, grouping
        self.found, self.tests, self.redraws = found, tests, redraws
        self.values = {
            (metric, convention): decision_gaps(found.decisions, metric, convention)
            for metric in ("eodd", "eop")
            for convention in context.options.conventions
        }
        self.shrunk = shrunk_of(found.decisions, grouping, context.options.alpha)
        rates = found.rate_values.change
        self.own = {
            "eodd": rates,
            "eop": Intervals(*(part[:, 1:] for part in rates)),  # [K, 2, G] -> [K, 1, G]
            "gap_auroc": found.auroc_values.change,
        }
        if "gap_score" in tests.gaps:
            tables = tests.gaps["gap_score"].changes.tables
            self.own["gap_score"] = means_of_change(tables, context.options.alpha)

    def add(self, task: int, base: Row, aurocs: tuple[Interval, ...]) -> None:
        """Adds the rows of one task: gaps of every cell, convention and version, and one row per
        group and label with its own change.

        Args:
          task: number of the task among the batch's.
          base: task, unit, threshold rule.
          aurocs: per study cell the AUROC on originals (everyone).
        """
        for number, cell in enumerate(self.context.study.cells):
            k, counts = self.batch.place(task, number), self.found.counts
            common = {**base, **cell_fields(self.context.study, cell)}
            common |= {"attribute": self.grouping.name}
            common |= {name: float(part[k].sum()) for name, part in counts._asdict().items()}
            common |= {"n_patients": float(self.found.patients[k])}
            redrawn: dict[str, Redrawn] = {}
            primary = self.context.is_primary(cell.level, cell.mitigation, self.grouping)
            # primary alone, as a redraw decides the whole cohort again
            if primary and self.redraws.wanted():
                redrawn = self.redraws.of(self.batch, task, number, self.grouping)
            for metric in ("eodd", "eop"):
                judged = self._decision_rows(metric, common, k)
                if metric in self.tests.gaps:
                    fitted = np.isfinite(self.batch.members[task].thresholds.reconstructed[number])
                    self._queue(
                        metric,
                        judged,
                        common,
                        k,
                        aurocs[number],
                        redrawn.get(metric),
                        "" if fitted else NO_THRESHOLD,
                    )
                else:
                    without_test(judged, self.batch.units.paired)
            # of decisions there is neither an AUROC nor a score, and of one version no change
            decided = any(self.batch.members[task].thresholds.decided)
            for metric in () if decided else ("gap_auroc", "gap_score"):
                if metric in self.tests.gaps:
                    judged = self._value_rows(metric, self.tests.gaps[metric], common, k)
                    self._queue(metric, judged, common, k, aurocs[number])
            self._worst_rows(common, k)
            if self.grouping.crossed and self.batch.units.paired:
                rows = shrunk_rows(
                    self.shrunk, self.found.decisions, k, self.grouping, RATES, common
                )
                self.context.fairness += rows

    def _queue(
        self,
        metric: str,
        judged: list[Row],
        common: Row,
        k: int,
        auroc: Interval,
        redrawn: Redrawn | None = None,
        note: str = "",
    ) -> None:
        """Queues one metric's verdict with its rows per group."""
        context = self.context
        weighed = metric in ("eodd", "gap_score")  # those with two labels
        level, mitigation = common["level"], common["mitigation"]
        primary = metric == PRIMARY and context.is_primary(level, mitigation, self.grouping)
        test = gap_test(
            metric,
            self.tests.gaps[metric],
            self.own[metric],
            k,
            self.grouping.groups,
            family=family_name(
                metric, level, mitigation, primary=primary, crossed=self.grouping.crossed
            ),
            auroc=auroc,
            alpha=context.options.alpha,
            label_weights=context.options.label_weights if weighed else (),
            mitigation=context.mitigation,
            redrawn=redrawn,
            note=note,
        )
        rows = group_rows(test, common)
        context.fairness += rows
        context.deferred.append(queue(test, judged, rows))
        keep(context, test, self.tests.gaps[metric].changes, self.grouping, common, k)

    def _decision_rows(self, metric: str, common: Row, k: int) -> list[Row]:
        """Adds the rows of one metric of decisions under every convention; returns the change rows
        that await a verdict.
        """
        judged: list[Row] = []
        fields = {**common, "metric": metric, "reference_group": self.grouping.reference}
        for convention in self.context.options.conventions:
            before, after = (float(v[k]) for v in self.values[metric, convention])
            before = before if self.batch.units.paired else float("nan")
            rows = version_rows({**fields, "convention": convention}, plain(before, after), "", {})
            # "eop" has no "_mean": of one label, the mean over labels is the worst case
            suffix = {("eodd", "mean"): "_mean"}.get(
                (metric, convention), "_estimable" if convention == "worst_case_estimable" else ""
            )
            add_nulls(rows, self.tests.nulls, metric + suffix, k)
            # the mean is the published convention: numbers and the published recipe, no verdict
            if convention != "mean":
                judged.append(rows[-1])
            elif metric in self.tests.published:
                add_published(rows[-1], self.tests.published[metric], k)
            self.context.fairness += rows
        return judged

    def _value_rows(self, metric: str, tested: Tested, common: Row, k: int) -> list[Row]:
        """Adds the gap of AUROCs or scores, largest minus smallest over groups that have one."""
        judged: list[Row] = []
        changes = tested.changes
        conventions = [c for c in self.context.options.conventions if c != "mean"]
        for convention in conventions:
            mask = changes.counted[0][k] == 0 if convention == "worst_case_estimable" else None
            before, after = (
                largest(metrics.gap_from_values(rate[k], None, mask, convention).value)
                for rate in (changes.original, changes.reconstructed)
            )
            fields = {"metric": metric, "reference_group": self.grouping.reference}
            rows = version_rows(
                {**common, **fields, "convention": convention}, plain(before, after), "", {}
            )
            self.context.fairness += rows
            judged.append(rows[-1])
        return judged

    def _worst_rows(self, common: Row, k: int) -> None:
        """Adds the rate of the worst-off judged group, before and after: what a gap hides."""
        changes = self.found.decisions
        for y, name in enumerate(RATES):
            rows = worst_rows(
                changes, k, y, self.grouping.groups, {**common, "metric": f"worst_group_{name}"}
            )
            if not self.batch.units.paired and rows:
                rows = rows[1:2]  # without originals that of reconstructions is left
            self.context.fairness += rows


def add_published(row: Row, recipe: Published, k: int, by: str = "image") -> None:
    """The published recipe's p and interval of problem k, with a caution and without a verdict."""
    # the recipe reads an empty stratum as a rate of 0 or 1: then it is about another gap
    if not np.isclose(row["change"], float(recipe.change[k]), atol=1e-9):
        row["reason"] = OTHER_GAP
        return
    row |= {
        "p_value": float(recipe.p_one_tailed[k]),
        "p_two_sided": float(recipe.p_two_sided[k]),
        "std_error": float(recipe.std_error[k]),
        "ci_low": float(recipe.ci_low[k]),
        "ci_high": float(recipe.ci_high[k]),
        "reason": CAUTION,
        "method": f"published recipe: bootstrap by {by}, one-tailed p",
    }


SHRUNK = "empirical Bayes: drawn towards the sum of its parts"


def shrunk_of(changes: Changes, grouping: Grouping, alpha: float) -> Shrunk | None:
    """Shrunken changes of an intersection's groups; None for other groupings."""
    return shrink_intersections(changes, grouping.parts, alpha) if grouping.crossed else None


def shrunk_rows(
    shrunk: Shrunk | None,
    changes: Changes,
    k: int,
    grouping: Grouping,
    names: tuple[str, ...],
    common: Row,
) -> list[Row]:
    """A row per label and intersection with its shrunken change, also where it cannot be judged
    alone.

    Args:
      shrunk: of K problems.
      changes: the same.
      k: which problem.
      grouping: the intersection.
      names: of the labels' rates.
      common: columns that the rows share.

    Returns:
      Rows "shrunk_<rate>"; [] where nothing could be estimated.
    """
    rows: list[Row] = []
    for y, name in enumerate(names):
        for g, group in enumerate(grouping.groups):
            value = float(shrunk.change[k, y, g]) if shrunk is not None else float("nan")
            if shrunk is None or not np.isfinite(value):
                continue
            own, patients = float(shrunk.own[k, y, g]), float(changes.counted[1][k, y, g])
            alone = changes.counted[0][k, y, g] == 0
            judged = (
                "judged alone too"
                if alone
                else f"not judged alone ({plural(round(patients), 'patient')})"
            )
            rows.append(
                {
                    **BLANK,
                    **common,
                    "metric": f"shrunk_{name}",
                    "group": group,
                    "label_stratum": {"sensitivity": "positive", "specificity": "negative"}.get(
                        name, ""
                    ),
                    "version": "change",
                    "value": value,
                    "change": value,
                    "original": float(changes.original[k, y, g]),
                    "reconstructed": float(changes.reconstructed[k, y, g]),
                    "ci_low": float(shrunk.low[k, y, g]),
                    "ci_high": float(shrunk.high[k, y, g]),
                    "method": SHRUNK,
                    "n": float(changes.images[k, y, g]),
                    "n_patients": patients,
                    "n_changed": float(changes.changed[k, y, g]),
                    "reason": f"{judged}; {100 * own:.0f}% its own data",
                }
            )
    return rows


def largest(gaps: Array) -> float:
    """The largest of the gaps [L] that are known; NaN where none is."""
    known = np.asarray(gaps)[np.isfinite(gaps)]
    return float(known.max()) if known.size else float("nan")


def worst_rows(changes: Changes, k: int, y: int, groups: tuple[str, ...], fields: Row) -> list[Row]:
    """The rate of the worst-off judged group of one label, on both versions; [] where none is
    judged.
    """
    inside = np.flatnonzero(changes.counted[0][k, y] == 0)
    if not inside.size:
        return []
    versions = [rate[k, y, inside] for rate in (changes.original, changes.reconstructed)]
    names = [groups[inside[int(np.argmin(v))]] for v in versions]
    before, after = (float(np.min(v)) for v in versions)
    stratum = {"worst_group_sensitivity": "positive", "worst_group_specificity": "negative"}
    fields = {**fields, "label_stratum": stratum.get(fields["metric"], "")}
    rows = version_rows(
        {**fields, "convention": "worst_case_estimable"}, plain(before, after), "", {}
    )
    rows[0]["group"], rows[1]["group"] = names
    rows[2]["reason"] = f"worst off: {names[0]} before, {names[1]} after"
    return rows


def decision_gaps(
    changes: Changes, metric: str, convention: Convention
) -> tuple[np.ndarray, np.ndarray]:
    """EODD or EOP of both versions, [K] each.

    Args:
      changes: of decisions, L = 2.
      metric: "eodd" or "eop".
      convention: of the gap.
    """
    mask = None
    if convention == "worst_case_estimable":
        mask = np.moveaxis(np.isin(changes.counted[0], (0, 4)), 1, -1)  # [K, L, G] -> [K, G, L]
    found = []
    for rate in (changes.original, changes.reconstructed):
        correct = np.nan_to_num(rate) * changes.images  # a stratum without images: 0 of 0
        # [K, L, G] -> [K, G, label, decision]; of negatives the correct decision is 0
        negative = np.stack([correct[:, 0], changes.images[:, 0] - correct[:, 0]], -1)
        positive = np.stack([changes.images[:, 1] - correct[:, 1], correct[:, 1]], -1)
        counts = np.stack([negative, positive], -2)
        formula = metrics.eodd_from_counts if metric == "eodd" else metrics.eop_from_counts
        found.append(np.asarray(formula(counts, convention, mask).value))
    return found[0], found[1]


def add_nulls(
    rows: list[Row],
    nulls: tuple[dict[str, PermutationNull], dict[str, PermutationNull]],
    name: str,
    k: int,
) -> None:
    """Writes permutation nulls: of originals, of reconstructions; a change row carries that of the
    reconstructions.
    """
    # rows are original, reconstructed, change
    for row, null in zip(rows, (nulls[0], nulls[1], nulls[1]), strict=True):
        if name in null:
            row["permutation_null"] = float(np.asarray(null[name].mean)[k])
