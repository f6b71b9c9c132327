"""Rows of image quality: the mean of each image metric of the reconstructions, overall and per
group, and its gap between groups.
"""

from __future__ import annotations

import numpy as np

from fairrecon_jax.assessment.arrays import Grouping
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.continuous import MEANS, Means, average, permutation_nulls
from fairrecon_jax.assessment.performance import plain
from fairrecon_jax.assessment.rows import Row, cell_fields, version_rows
from fairrecon_jax.assessment.units import JudgedUnits
from fairrecon_jax.inference.permutation import PermutationNull
from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.types import plural


def add_image_quality(context: Context) -> None:
    """Adds every image metric of the reconstructions, overall and per group, and its gap between
    groups.

    These compare a reconstruction with its original, so they have one version. Infinite PSNR
    (identical images) is left out and counted.

    Args:
      context: takes the rows.
    """
    study = context.study
    for metric in IMAGE_METRICS:
        if metric not in study.columns:
            continue
        values = study.columns[metric][:, study.test]
        infinite = np.isinf(values).sum(-1)
        values = np.where(np.isfinite(values), values, np.nan)
        groupings = tuple(g._replace(code=g.code[study.test]) for g in study.groupings)
        empty = np.full(values.shape, np.nan)
        # unpaired: the original's own distance from itself would say nothing
        units = JudgedUnits(
            empty[0], empty, values, study.patient[study.test], groupings, "image", False, ""
        )
        for grouping in groupings:
            _add_quality(context, metric, units, grouping, infinite)


def _add_quality(
    context: Context, metric: str, units: JudgedUnits, grouping: Grouping, infinite: np.ndarray
) -> None:
    """One image metric and grouping: means per group, and their gap beside its permutation null."""
    if not np.any(grouping.code >= 0):
        return
    averages = average(context, units, grouping)
    nulls = (
        permutation_nulls(context, units, grouping, units.reconstructed, averages)
        if grouping.name
        else {}
    )
    for k, cell in enumerate(context.study.cells):
        fields = {**cell_fields(context.study, cell), "unit": "image", "attribute": grouping.name}
        excluded = (
            f"{plural(int(infinite[k]), 'image')} equal to the original (infinite) left out"
            if infinite[k]
            else ""
        )
        _add_quality_means(context, {**fields, "metric": metric}, grouping, averages, k)
        # the first of the rows just added: one notice per cell, not per group
        context.performance[-len(grouping.groups)]["reason"] = excluded
        if grouping.name:
            named = {"metric": f"gap_{metric}", "reference_group": grouping.reference}
            _add_quality_gaps(context, {**fields, **named}, averages, nulls, k)


def _add_quality_means(
    context: Context,
    fields: Row,
    grouping: Grouping,
    averages: Means,
    k: int,
) -> None:
    """Adds the mean of one image metric per group of one study cell."""
    for g, group in enumerate(grouping.groups):
        counts = {
            name: float(part[k, g]) for name, part in averages.counts.items() if name != "n_changed"
        }
        rows = version_rows(
            {**fields, "group": group, **counts},
            averages.values.at(k, 0, g),
            MEANS,
            {},
        )
        context.performance.append(rows[1])  # of reconstructions


def _add_quality_gaps(
    context: Context,
    fields: Row,
    averages: Means,
    nulls: dict[str, PermutationNull],
    k: int,
) -> None:
    """Adds the gap of one image metric in one study cell under every convention."""
    counts = {"n": float(averages.counts["n"][k].sum()), "n_patients": float(averages.patients[k])}
    for convention in context.options.conventions:
        row = version_rows(
            {**fields, "convention": convention, **counts},
            plain(float("nan"), averages.gap("gap", convention, k)[1]),
            "",
            {},
        )[1]
        suffix = "_estimable" if convention == "worst_case_estimable" else ""
        if null := nulls.get(f"delta{suffix}"):
            row |= {"permutation_null": float(null.mean[k]), "p_value": float(null.p_value[k])}
            row["method"] = "p: permuted groups, studentised"
        context.fairness.append(row)
