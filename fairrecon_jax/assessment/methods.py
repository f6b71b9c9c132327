"""Verdicts on methods: rows over all trainings of a reconstructor, beside those of each network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment.arrays import Cell
from fairrecon_jax.assessment.context import Context, Kept, Problem
from fairrecon_jax.assessment.deferred import Deferred, Family, adjust
from fairrecon_jax.assessment.rows import BLANK, Row
from fairrecon_jax.assessment.verdicts import KINDS
from fairrecon_jax.inference.changes import Changes, one_problem
from fairrecon_jax.inference.comparison import Quantity
from fairrecon_jax.inference.methods import FEWEST, MethodTest, method_test
from fairrecon_jax.inference.verdict import at_chance
from fairrecon_jax.inference.words import amount, p_with_family
from fairrecon_jax.metrics.fairness import error_ratio, spread

OF_METHODS = "t over trainings and patients, simultaneous over groups and labels"


class Method(NamedTuple):
    """One gap of one method over its trainings.

    Attributes:
      problem: what it is about.
      trainings: changes of each, K = 1.
      test: over them, K = 1.
      common: columns that its rows share.
      aurocs: [S, 2] limits of the AUROC on originals under each training, NaN where there is none.
    """

    problem: Problem
    trainings: list[Changes]
    test: MethodTest
    common: Row
    aurocs: np.ndarray

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """One per label."""
        return KINDS[self.problem.metric].quantities

    def mean(self, version: str) -> np.ndarray:
        """[L, G] rates of a version, averaged over trainings."""
        return np.mean([getattr(one, version)[0] for one in self.trainings], 0)

    def gap(self, version: str) -> float:
        """The gap of the mean rates over the groups that every training judges; NaN without two."""
        rates, judged = self.mean(version), np.isfinite(self.test.extra[0])
        if self.problem.metric == "ser":
            return float(error_ratio(rates, judged)[0])
        by_label = spread(rates, judged)
        # fmax: a label without two judged groups has no gap, and leaves the other's
        return float(np.fmax.reduce(by_label))

    @property
    def at_chance(self) -> str:
        """Why the method's diagnosis gets no verdict, "" if it does.

        The limits of the mean AUROC are the mean limits of the trainings: as wide as if all of them
        erred on the same patients alike, and never too narrow for these trainings.
        """
        known = self.aurocs[np.isfinite(self.aurocs).all(1)]
        text = at_chance(tuple(known.mean(0))) if len(known) else ""
        return text and f"mean of {len(known)} trainings: {text}"

    @property
    def guessing(self) -> str:
        """In how many trainings alone the diagnosis is guessing, "" where in none."""
        count = sum(bool(at_chance((low, high))) for low, high in self.aurocs)
        of = f"{count} of {len(self.aurocs)} trainings"
        return f"the diagnosis is at chance in {of}, not in their mean" if count else ""

    @property
    def named(self) -> tuple[str, int, int]:
        """The word, label and group that stand out most."""
        # 0 / 0 where nothing changed: such a group does not stand out
        with np.errstate(invalid="ignore"):
            ratio = np.nan_to_num(self.test.extra[0] / self.test.std_error[0])
        worse = np.unravel_index(int(np.argmin(ratio)), ratio.shape)  # (label, group)
        better = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        own = (self.mean("reconstructed") - self.mean("original"))[worse]
        alike = ratio[better] <= -ratio[worse] * (1 + 1e-6)
        word, (y, g) = ("harmed", worse) if alike and own < 0 else ("favoured", better)
        return word, int(y), int(g)


def add_methods(contexts: Sequence[Context]) -> None:
    """Adds rows over trainings to the first context, where at least three networks of a method
    judged the same patients.

    Args:
      contexts: one per seed, with what they kept of their tests.
    """
    kept: dict[tuple[Problem, Cell], list[Kept]] = {}
    for context in contexts:
        for key, value in context.kept.items():
            kept.setdefault(key, []).append(value)
    first, deferred = contexts[0], []
    for (problem, _), found in kept.items():
        trainings = [one_problem(one.changes, one.k) for one in found]
        units = trainings[0].tables.unit
        # trainings are compared patient by patient: others may not be pooled
        same = all(np.array_equal(one.tables.unit, units) for one in trainings)
        if len(trainings) < FEWEST or not same:
            continue
        common = {**found[0].common, "seed": float("nan")}  # a row over all seeds
        test = method_test(trainings, first.options.alpha)
        aurocs = np.array([one.auroc or (np.nan, np.nan) for one in found])
        method = Method(problem, trainings, test, common, aurocs)
        rows, waiting = _rows(method, first.options.alpha)
        first.fairness += rows
        deferred.append(waiting)
    # t tests have no draws to step down with
    adjust(deferred, first.options.alpha, "holm")


def _rows(method: Method, alpha: float) -> tuple[list[Row], Deferred]:
    """The judged row of a method, its rows per group, and the verdict that waits for its family."""
    problem, test, names = method.problem, method.test, method.problem.groups
    before, after = method.mean("original"), method.mean("reconstructed")
    shared = {**BLANK, **method.common, "version": "change", "method": OF_METHODS}
    gaps = [method.gap(version) for version in ("original", "reconstructed")]
    judged = {
        **shared,
        "metric": problem.metric,
        "convention": "worst_case_estimable",
        "original": gaps[0],
        "reconstructed": gaps[1],
        "value": gaps[1] - gaps[0],
        "change": gaps[1] - gaps[0],
    }
    per_group = []
    for y, metric in enumerate(KINDS[problem.metric].metrics):
        for g, name in enumerate(names):
            row = {
                **shared,
                "metric": metric,
                "group": name,
                "reference_group": "the other groups",
                "label_stratum": method.quantities[y].stratum,
                "value": float(test.extra[0, y, g]),
                "change": float(test.extra[0, y, g]),
                "original": float(before[y, g]),
                "reconstructed": float(after[y, g]),
                "std_error": float(test.std_error[0, y, g]),
                "ci_low": float(test.low[0, y, g]),
                "ci_high": float(test.high[0, y, g]),
                "p_value": float(test.group_p[0, y, g]),
                "n": float(method.trainings[0].images[0, y, g]),
                "n_patients": float(method.trainings[0].counted[1][0, y, g]),
            }
            if not np.isfinite(row["value"]):
                row |= {"verdict": "not estimable", "reason": "not judged in every training"}
            per_group.append(row)

    def told(family: Family, _: Row) -> Row:
        for row in per_group:
            if method.at_chance:
                row |= {"verdict": "at chance", "reason": method.at_chance}
            elif row["verdict"] != "not estimable":
                # fmax: the larger, and the known one where the other is NaN
                row["p_adjusted"] = float(np.fmax(row["p_value"], family.p_adjusted))
                claimed = row["p_adjusted"] <= alpha
                word = "harmed" if row["change"] < 0 else "favoured"
                row["verdict"] = word if claimed else "no difference shown"
        return _verdict(method, family, alpha)

    p = float("nan") if method.at_chance else float(test.p_value[0])
    family = f"{problem.family}, methods"
    return [judged, *per_group], Deferred(family, p, None, (judged,), told)


def _verdict(method: Method, family: Family, alpha: float) -> Row:
    """The columns of the judged row."""
    if method.at_chance:
        return {"verdict": "at chance", "reason": method.at_chance}
    p, count = family.p_adjusted, method.test.trainings
    guessing = list(filter(None, [method.guessing]))
    if not np.isfinite(p):
        return {"verdict": "not estimable", "reason": "too few patients in some training"}
    evidence = p_with_family(float(method.test.p_value[0]), p, family.size)
    word, y, g = method.named
    if p > alpha:
        apart = amount(float(np.nanmax(method.test.between[0])), method.quantities[0].unit)
        said = [f"over {count} trainings, which differ by up to {apart} (sd): {evidence}"]
        return {"verdict": "no difference shown", "reason": "; ".join([*said, *guessing])}
    return {
        "verdict": word,
        "group": method.problem.groups[g],
        "label_stratum": method.quantities[y].stratum,
        "reason": "; ".join([f"{_sentence(method, y, g)}, {evidence}", *guessing]),
    }


def _sentence(method: Method, y: int, g: int) -> str:
    """What happened to a group over the trainings, and how far they differ."""
    test, quantity = method.test, method.quantities[y]
    extra, low, high = (float(v[0, y, g]) for v in (test.extra, test.low, test.high))
    # as sizes where both limits are on one side of 0: the verb says which
    limits = sorted((abs(low), abs(high))) if low * high > 0 else sorted((low, high))
    scale, digits = (100, 0) if quantity.unit == "points" else (1, 3)
    span = " to ".join(f"{scale * v:.{digits}f}" for v in limits)
    # 1e-12: where patients alone bring no error the ratio stays a number
    widened = test.std_error[0, y, g] / max(float(test.patients_error[0, y, g]), 1e-12)
    between = amount(float(test.between[0, y, g]), quantity.unit)
    verb = "lost more" if extra < 0 else "came out better"
    return (
        f"{quantity.name}, mean of {test.trainings} trainings: {method.problem.groups[g]} {verb} "
        f"than the other groups, by {amount(extra, quantity.unit)} ({span}); trainings differ by "
        f"{between} (sd), which makes the interval {widened:.1f} times as wide as that of one "
        "network"
    )
