"""Fairness rows of classification tasks: equalised odds, equal opportunity, the change of every
group, verdicts.
"""

from __future__ import annotations

import numpy as np

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Cell, Grouping, JudgedUnits
from fairrecon_jax.assessment.batch import Tests
from fairrecon_jax.assessment.classification import Measured
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import family_name
from fairrecon_jax.assessment.performance import plain
from fairrecon_jax.assessment.rows import Interval, Row, cell_fields, paired, version_rows
from fairrecon_jax.assessment.verdicts import (
    AUROC,
    FALSE_POSITIVES,
    SENSITIVITY,
    GapTest,
    group_rows,
    queue,
    without_test,
)
from fairrecon_jax.inference.did_result import DidResult
from fairrecon_jax.inference.permutation import PermutationNull
from fairrecon_jax.inference.published import CAUTION
from fairrecon_jax.inference.verdict import select

QUANTITIES = {"eodd": (FALSE_POSITIVES, SENSITIVITY), "eop": (SENSITIVITY,)}


def add_gaps(
    context: Context,
    base: Row,
    units: JudgedUnits,
    grouping: Grouping,
    measured: Measured,
    tests: Tests,
    aurocs: tuple[Interval, ...],
) -> None:
    """Adds the gap rows of every cell, convention and version, and one row per group and label with
    its own change.

    The verdict belongs to the conventions "worst_case" and "worst_case_estimable"; "mean" gets the
    published recipe's p and no verdict.

    Args:
      context: takes rows and deferred tests.
      base: task, unit, threshold rule.
      units: what was judged.
      grouping: one attribute.
      measured: bootstrap.
      tests: from `run_tests`.
      aurocs: per study cell the AUROC on originals (everyone).
    """
    for k, cell in enumerate(context.study.cells):
        common = {**base, **cell_fields(context.study, cell), "attribute": grouping.name}
        common |= {name: float(part[k].sum()) for name, part in measured.counts._asdict().items()}
        common |= {"n_patients": float(measured.patients[k])}
        for metric in QUANTITIES:
            judged = _gap_rows(
                context,
                {**common, "metric": metric, "reference_group": grouping.reference},
                units,
                measured,
                tests,
                k,
            )
            if not tests.did:
                without_test(judged, units.paired)
                continue
            gap_test = _gap_test(context, cell, grouping, tests.did[metric], metric, k, aurocs[k])
            rows = group_rows(gap_test, common) if metric == "eodd" else []
            context.fairness += rows
            context.deferred.append(queue(gap_test, judged, rows))
        if tests.auroc is not None:
            _add_auroc(
                context,
                cell,
                {**common, "reference_group": grouping.reference},
                grouping,
                select(tests.auroc, (k,)),
                aurocs[k],
            )


def _add_auroc(
    context: Context, cell: Cell, fields: Row, grouping: Grouping, test: DidResult, auroc: Interval
) -> None:
    """Adds the gap of AUROCs (largest minus smallest over groups that have one) with the verdict of
    its own test.
    """
    judged = []
    for convention in context.options.conventions:
        if convention == "mean":
            continue
        mask = test.estimable[0] if convention == "worst_case_estimable" else None
        before, after = (
            float(metrics.gap_from_values(rate[0], None, mask, convention).value)
            for rate in (test.rate_original, test.rate_reconstructed)
        )
        rows = version_rows(
            {**fields, "metric": "gap_auroc", "convention": convention},
            plain(before, after),
            "",
            {},
        )
        context.fairness += rows
        judged.append(rows[-1])
    family = family_name("gap_auroc", cell.level, cell.mitigation, grouping.crossed)
    gap_test = GapTest(
        test, grouping.groups, (AUROC,), family, auroc, context.options.alpha, is_rate=False
    )
    context.deferred.append(queue(gap_test, judged, []))


def _gap_test(
    context: Context,
    cell: Cell,
    grouping: Grouping,
    did: DidResult,
    metric: str,
    k: int,
    auroc: Interval,
) -> GapTest:
    """The test of one metric in one study cell."""
    family = family_name(metric, cell.level, cell.mitigation, grouping.crossed)
    weights = context.options.label_weights if metric == "eodd" else ()
    return GapTest(
        select(did, (k,)),
        grouping.groups,
        QUANTITIES[metric],
        family,
        auroc,
        context.options.alpha,
        label_weights=weights,
    )


def _gap_rows(
    context: Context, fields: Row, units: JudgedUnits, measured: Measured, tests: Tests, k: int
) -> list[Row]:
    """Adds the rows of one metric under every convention; returns the change rows that await a
    verdict.
    """
    judged, metric = [], fields["metric"]
    for convention in context.options.conventions:
        numbers = paired(measured.gaps[metric, convention], (k,))
        rows = version_rows(
            {**fields, "convention": convention}, numbers, context.method(units), {}
        )
        # "eop" has no "_mean": of one label, the mean over labels is the worst case
        suffix = {("eodd", "mean"): "_mean"}.get(
            (metric, convention), "_estimable" if convention == "worst_case_estimable" else ""
        )
        add_nulls(rows, (tests.nulls[0], tests.nulls[1]), metric + suffix, k)
        if convention != "mean":
            judged.append(rows[-1])
        elif tests.published is not None and metric == "eodd":
            recipe = tests.published
            rows[-1] |= {
                "p_value": float(recipe.p_one_tailed[k]),
                "std_error": float(recipe.std_error[k]),
                "reason": CAUTION,
            }
            rows[-1] |= {"ci_low": float(recipe.ci_low[k]), "ci_high": float(recipe.ci_high[k])}
            rows[-1]["method"] = "published recipe: bootstrap by image, one-tailed p"
        context.fairness += rows
    return judged


def add_nulls(
    rows: list[Row],
    nulls: tuple[dict[str, PermutationNull], dict[str, PermutationNull]],
    name: str,
    k: int,
) -> None:
    """Writes permutation nulls: of originals, of reconstructions; a change row carries that of the
    reconstructions.
    """
    for row, null in zip(rows, (nulls[0], nulls[1], nulls[1]), strict=True):
        if name in null:
            row["permutation_null"] = float(np.asarray(null[name].mean)[k])
