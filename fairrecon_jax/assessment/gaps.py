"""Fairness rows of classification tasks: equalised odds, equal opportunity, the change of every group, verdicts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment import judge
from fairrecon_jax.assessment.classification import Decisions, Measured
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.pending import Pending, family_name
from fairrecon_jax.assessment.performance import UNPAIRED
from fairrecon_jax.assessment.resample import triple
from fairrecon_jax.assessment.rows import BLANK, Row, cell_fields, version_rows
from fairrecon_jax.assessment.study import Cell, Grouping, Units
from fairrecon_jax.inference.chance import Floor, chance_floor
from fairrecon_jax.inference.did import DidResult, did_test

STRATA = {"eodd": ("negative", "positive"), "eop": ("positive",)}
SIGN_FLIP = "difference in differences, patient sign flips"
NO_VERDICT = "thresholds were fitted per version: a convention that is reported without a verdict"


class Tests(NamedTuple):
    """Tests and chance floors of one task and grouping; empty where there is nothing to pair or to judge."""

    did: dict[str, DidResult]
    floors: tuple[dict[str, Floor], dict[str, Floor]]


def run_tests(context: Context, units: Units, decisions: Decisions, grouping: Grouping, judged: bool) -> Tests:
    """Difference-in-differences tests of EODD (both labels) and EOP (positives), and chance floors of both versions.

    Args:
      context: options and keys.
      units: what is judged.
      decisions: its decisions.
      grouping: one attribute.
      judged: run the tests (the thresholds are shared and originals exist).

    Returns:
      `Tests`.
    """
    options, names = context.options, context.study.patient_names[units.patient]
    groups = len(grouping.groups)
    found = {}
    if judged:
        for metric, labels in (("eodd", (0, 1)), ("eop", (1,))):
            found[metric] = did_test(
                decisions.original,
                decisions.reconstructed,
                decisions.label,
                grouping.code,
                names,
                context.flip_key,
                groups=groups,
                flips=options.flips,
                min_patients=options.min_patients,
                labels=labels,
                alpha=options.alpha,
            )
    floors = []
    for values in (decisions.original[:1] if decisions.shared else decisions.original, decisions.reconstructed):
        if not (grouping.code >= 0).any():
            floors.append({})
            continue
        drawn = chance_floor(
            values, decisions.label, grouping.code, names, context.floor_key, groups=groups, permutations=options.floor_draws
        )
        floors.append(drawn)
    return Tests(found, (floors[0], floors[1]))


def add_gaps(
    context: Context, base: Row, units: Units, grouping: Grouping, measured: Measured, tests: Tests, chance: tuple[str, ...]
) -> None:
    """Adds the gap rows of every cell, convention and version, and one row per group and label with its own change.

    The verdict belongs to the conventions "paper" and "estimable"; "published" gets its one-tailed bootstrap p and no verdict.

    Args:
      context: takes rows and pending tests.
      base: task, unit, threshold rule.
      units: what was judged.
      grouping: one attribute.
      measured: bootstrap.
      tests: from `run_tests`.
      chance: per cell the reason for "at chance", "" if it is not.
    """
    for k, cell in enumerate(context.study.cells):
        common = {**base, **cell_fields(context.study, cell), "attribute": grouping.name, "reference_group": grouping.reference}
        common |= {name: float(part[k].sum()) for name, part in measured.counts._asdict().items()}
        for metric in ("eodd", "eop"):
            judged: list[Row] = []
            spread = float("nan")
            for convention in context.options.conventions:
                numbers = triple(measured.gaps[metric, convention], (k,))
                rows = version_rows({**common, "metric": metric, "convention": convention}, numbers, context.method(units), {})
                _add_floor(rows, tests.floors, metric, convention, k)
                context.fairness += rows
                if convention == "published":
                    rows[-1]["p_value"] = float(measured.gaps[metric, convention].p_one_tailed[k])
                    rows[-1]["method"] += "; one-tailed p"
                else:
                    judged.append(rows[-1])
                    spread = numbers.change.std_error
            if not tests.did:
                for row in judged:
                    row["reason"] = NO_VERDICT if units.paired else UNPAIRED
                    row["verdict"] = "" if units.paired else "not estimable"
                continue
            changes = _group_rows(context, common, cell, grouping, measured, tests.did[metric], metric, k) if metric == "eodd" else []
            _judge(context, cell, grouping, tests.did[metric], metric, k, judged, changes, spread, chance[k])


def _add_floor(rows: list[Row], floors: tuple[dict[str, Floor], dict[str, Floor]], metric: str, convention: str, k: int) -> None:
    """Chance floors: of originals, of reconstructions; a change row carries that of the reconstructions."""
    name = "eodd_mean" if (metric, convention) == ("eodd", "published") else metric
    if convention == "estimable":
        return
    for row, floor in zip(rows, (floors[0], floors[1], floors[1]), strict=True):
        if name in floor:
            mean = np.asarray(floor[name].mean)
            row["chance_floor"] = float(mean[min(k, len(mean) - 1)])


def _group_rows(
    context: Context, common: Row, cell: Cell, grouping: Grouping, measured: Measured, test: DidResult, metric: str, k: int
) -> list[tuple[Row, float]]:
    """A row per group and label: its change minus the mean change, with the simultaneous interval; with the max-T p beside it."""
    out = []
    for place, stratum in enumerate(STRATA[metric]):
        sign, name = (-1.0, "gap_specificity") if stratum == "negative" else (1.0, "gap_sensitivity")
        for g, group in enumerate(grouping.groups):
            at = (k, place, g)
            bounds = sorted((sign * float(test.ci_low[at]), sign * float(test.ci_high[at])))
            before, after = (float(r[at]) if sign > 0 else 1 - float(r[at]) for r in (test.rate_original, test.rate_reconstructed))
            row = {**BLANK, **common, "metric": name, "convention": "paper", "group": group, "reference_group": "all groups"}
            row |= {"label_stratum": stratum, "version": "change", "value": sign * float(test.deviation[at])}
            row |= {"original": before, "reconstructed": after, "change": sign * float(test.deviation[at])}
            row |= {"std_error": float(test.std_error[at]), "ci_low": bounds[0], "ci_high": bounds[1]}
            row |= {"method": "max-T sign flip, simultaneous", "p_value": float(test.cell_p[at]), "n": float(test.n_images[at])}
            row |= {"n_patients": float(test.n_patients[at]), "n_changed": float(test.n_changed[at])}
            row |= {"n_pos": row["n"] if stratum == "positive" else 0.0, "n_neg": row["n"] if stratum == "negative" else 0.0}
            if not test.estimable[at]:
                row |= {"verdict": "not estimable", "reason": judge.REASONS[int(test.reason[at])], "method": ""}
            context.fairness.append(row)
            out.append((row, float(test.cell_p[at])))
    return out


def _judge(
    context: Context,
    cell: Cell,
    grouping: Grouping,
    test: DidResult,
    metric: str,
    k: int,
    judged: list[Row],
    changes: list[tuple[Row, float]],
    spread: float,
    chance: str,
) -> None:
    """Queues the verdict of one cell."""
    options, strata = context.options, STRATA[metric]
    family = family_name(metric, cell.level, cell.mitigation, grouping.crossed)
    missing = judge.not_estimable(test, (k,), grouping.groups, strata, options.min_patients)
    moved = judge.mover(test, (k,))
    p = float("nan") if chance else float(test.p_value[k])
    noun = "the rate of positive decisions"

    def settle(adjusted: float) -> Row:
        if chance:
            return {"verdict": "at chance", "reason": chance}
        if not np.isfinite(adjusted):
            return {"verdict": "not estimable", "reason": missing}
        named = {"group": grouping.groups[moved.group], "label_stratum": strata[moved.label]}
        for row, cell_p in changes:
            if row["verdict"] != "not estimable":
                row["p_adjusted"] = max(cell_p, adjusted)
                row["verdict"] = "shifted" if row["p_adjusted"] <= options.alpha else "within chance"
        if adjusted > options.alpha:
            return {"verdict": "within chance", "reason": missing}
        verdict = judge.direction((test.rate_original[k], test.rate_reconstructed[k]), test.estimable[k], spread)
        text = judge.sentence(verdict, test, (k,), grouping.groups, strata, noun)
        return {"verdict": verdict, "reason": "; ".join(part for part in (text, missing) if part), **named}

    for row in judged:
        row["mde"] = detectable(test, k, options.alpha)
        row["method"] = f"{row['method']}; p: {SIGN_FLIP}" if np.isfinite(p) else row["method"]
    for row, _ in changes:
        if chance:
            row |= {"verdict": "at chance", "reason": chance}
    context.pending.append(Pending(family, p, tuple(judged), settle))


def detectable(test: DidResult, k: int, alpha: float, power: float = 0.8) -> float:
    """Smallest deviation of a group's change that a normal test of the least certain estimable cell detects with the given power."""
    from scipy.stats import norm

    usable = np.asarray(test.estimable)[k]
    if not usable.any():
        return float("nan")
    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * np.asarray(test.std_error)[k][usable].max())
