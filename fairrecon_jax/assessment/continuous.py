"""Rows of quantities that are averaged: Dice of segmentation tasks (original, reconstructed,
change) and image quality (reconstructed).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax import metrics
from fairrecon_jax.assessment.arrays import Grouping, JudgedUnits
from fairrecon_jax.assessment.classification import distinct, scatter
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.deferred import Deferred, family_name
from fairrecon_jax.assessment.gaps import add_nulls
from fairrecon_jax.assessment.performance import verdict_of_change
from fairrecon_jax.assessment.resample import Name, Pair, bootstrap, paired
from fairrecon_jax.assessment.rows import BLANK, Row, cell_fields, version_rows
from fairrecon_jax.assessment.verdicts import (
    UNPAIRED,
    GapTest,
    Quantity,
    group_rows,
    queue,
    without_test,
)
from fairrecon_jax.inference.did import DidResult, did_test_continuous
from fairrecon_jax.inference.intervals import Bootstrap
from fairrecon_jax.inference.permutation import PermutationNull, permutation_null_means
from fairrecon_jax.inference.verdict import select
from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.types import Task

DICE = Quantity("Dice", "", "gap_dice")


class Means(NamedTuple):
    """Means of one grouping with paired bootstrap intervals.

    Attributes:
      means: [K, G].
      gaps: by (metric, convention), [K].
      counts: n, n_patients, n_changed, each [K, G].
      patients: [K] patients with a known group.
    """

    means: Bootstrap
    gaps: dict[Name, Bootstrap]
    counts: dict[str, np.ndarray]
    patients: np.ndarray


def average(
    context: Context, units: JudgedUnits, grouping: Grouping, names: tuple[str, ...]
) -> Means:
    """Group means of both versions and their gaps.

    Args:
      context: options and draws.
      units: values of both versions; complete pairs only.
      grouping: groups of the units.
      names: gap metrics of `metrics` to compute ("ser", "delta_dice", "gap").

    Returns:
      `Means`.
    """
    options, groups = context.options, len(grouping.groups)
    known = np.isfinite(units.reconstructed) & (grouping.code >= 0)[None]
    resampled, weights = context.resampled(units)
    index = resampled.astype(np.int64) * groups + np.maximum(grouping.code, 0)
    shape = (weights.shape[1], groups)
    values = (
        np.ones(known.shape),
        np.nan_to_num(units.original, posinf=0),
        np.nan_to_num(units.reconstructed, posinf=0),
    )
    parts = [scatter(index, value, known, shape) for value in values]
    code, changed = np.maximum(grouping.code, 0), units.original != units.reconstructed
    per_cell = {
        "n": [np.bincount(code[rows], minlength=groups) for rows in known],
        "n_patients": [distinct(units.patient[rows], code[rows], groups) for rows in known],
        "n_changed": [
            np.bincount(code[rows & moved & units.paired], minlength=groups)
            for rows, moved in zip(known, changed, strict=True)
        ],
    }
    counts = {name: np.stack(part).astype(float) for name, part in per_cell.items()}
    mask = counts["n_patients"] >= options.min_patients

    def statistics(sums: list[np.ndarray]) -> dict[Name, Pair]:
        means = _means(sums, units.paired)
        wanted = (
            [(name, convention) for name in names for convention in options.conventions]
            if groups > 1
            else []
        )
        return {
            "means": means,
            **{key: (_gap(means[0], mask, *key), _gap(means[1], mask, *key)) for key in wanted},
        }

    gaps = bootstrap(parts, weights, statistics, options.alpha)
    return Means(
        gaps.pop("means"),
        gaps,
        counts,
        np.array([len(np.unique(units.patient[rows])) for rows in known]),
    )


def _means(sums: list[np.ndarray], paired: bool) -> Pair:
    """Means [R, K, G] of both versions from counts and totals; those of originals are NaN where
    there are none.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[1] / (sums[0] if paired else np.full_like(sums[0], np.nan)), sums[2] / sums[0]


def _gap_of(
    values: jax.Array, mask: jax.Array, name: str, convention: metrics.Convention
) -> jax.Array:
    return getattr(metrics, name)(
        values, None, mask if convention == "worst_case_estimable" else None, convention
    ).value


_compiled_gap = jax.jit(_gap_of, static_argnames=("name", "convention"))


def _gap(
    values: np.ndarray, mask: np.ndarray, name: str, convention: metrics.Convention
) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(_compiled_gap(jnp.asarray(values), jnp.asarray(mask), name, convention))


def add_segmentation(context: Context, task: Task, units: JudgedUnits) -> None:
    """Adds Dice overall and per group, SER and Delta-Dice with verdicts, and a row per group.

    Args:
      context: takes the rows.
      task: a segmentation task.
      units: patient means of slice Dice.
    """
    base = {"task": task.name, "unit": units.unit}
    overall = _test(context, units, units.groupings[0]) if units.paired else None
    for grouping in units.groupings:
        found = average(context, units, grouping, ("ser", "delta_dice"))
        for k, cell in enumerate(context.study.cells):
            fields = {**base, **cell_fields(context.study, cell), "attribute": grouping.name}
            for g, group in enumerate(grouping.groups):
                numbers = paired(found.means, (k, g))
                row = {
                    **fields,
                    "group": group,
                    "metric": "dice",
                    **{name: float(part[k, g]) for name, part in found.counts.items()},
                }
                rows = version_rows(
                    row,
                    numbers,
                    context.method(units),
                    {} if units.paired else {"reason": UNPAIRED},
                )
                context.performance += rows
                if grouping.name == "" and overall is not None:
                    rows[0]["reason"] = units.note
                    context.deferred.append(
                        _overall(
                            context, rows[-1], cell.level, cell.mitigation, select(overall, (k,))
                        )
                    )
        if grouping.name and np.any(grouping.code >= 0):
            _add_gaps(context, base, units, grouping, found)


def _test(context: Context, units: JudgedUnits, grouping: Grouping) -> DidResult:
    """The difference-in-differences test of one grouping, all cells."""
    options = context.options
    return did_test_continuous(
        units.original,
        units.reconstructed,
        grouping.code,
        context.study.patient_names[units.patient],
        context.flip_key,
        groups=len(grouping.groups),
        flips=options.flips,
        min_patients=options.min_patients,
        alpha=options.alpha,
    )


def _overall(
    context: Context, row: Row, level: float, mitigation: str, test: DidResult
) -> Deferred:
    """The test that nothing changed for everyone together."""
    row["method"] = "; ".join(part for part in (row["method"], "p: patient sign flips") if part)
    alpha = context.options.alpha

    def adjust(adjusted: float, _: Row) -> Row:
        reason = (
            "" if np.isfinite(adjusted) else f"fewer than {context.options.min_patients} patients"
        )
        return {"verdict": verdict_of_change(row["change"], adjusted, alpha), "reason": reason}

    return Deferred(
        family_name("dice of everyone", level, mitigation), float(test.overall_p), (row,), adjust
    )


def _nulls(
    context: Context, units: JudgedUnits, grouping: Grouping, values: np.ndarray, found: Means
) -> dict[str, PermutationNull]:
    return permutation_null_means(
        values,
        grouping.code,
        context.study.patient_names[units.patient],
        context.null_key,
        groups=len(grouping.groups),
        permutations=context.options.null_draws,
        mask=found.counts["n_patients"] >= context.options.min_patients,
    )


def _add_gaps(
    context: Context, base: Row, units: JudgedUnits, grouping: Grouping, found: Means
) -> None:
    """SER and Delta-Dice of one attribute."""
    test = _test(context, units, grouping) if units.paired else None
    nulls = tuple(
        _nulls(context, units, grouping, values, found)
        for values in (units.original, units.reconstructed)
    )
    for k, cell in enumerate(context.study.cells):
        common = {**base, **cell_fields(context.study, cell), "attribute": grouping.name}
        common |= {name: float(part[k].sum()) for name, part in found.counts.items()} | {
            "n_patients": float(found.patients[k])
        }
        for metric, null in (("ser", "ser"), ("delta_dice", "delta")):
            judged: list[Row] = []
            for convention in context.options.conventions:
                fields = {
                    **common,
                    "metric": metric,
                    "convention": convention,
                    "reference_group": grouping.reference,
                }
                rows = version_rows(
                    fields, paired(found.gaps[metric, convention], (k,)), context.method(units), {}
                )
                add_nulls(
                    rows,
                    (nulls[0], nulls[1]),
                    null + ("_estimable" if convention == "worst_case_estimable" else ""),
                    k,
                )
                context.fairness += rows
                judged += rows[-1:] if convention != "mean" else []
            if test is None:
                without_test(judged, paired=False)
                continue
            family = family_name(metric, cell.level, cell.mitigation, grouping.crossed)
            gap_test = GapTest(
                select(test, (k,)),
                grouping.groups,
                (DICE,),
                family,
                None,
                context.options.alpha,
                is_rate=False,
            )
            rows = group_rows(gap_test, common) if metric == "ser" else []
            context.fairness += rows
            context.deferred.append(queue(gap_test, judged, rows))


def add_image_quality(context: Context) -> None:
    """Adds PSNR, SSIM, NRMSE and LPIPS of the reconstructions, overall and per group, and the gap
    of each between groups.

    These compare a reconstruction with its original, so they have one version. Infinite PSNR
    (identical images) is left out and counted.

    Args:
      context: takes the rows.
    """
    study = context.study
    for metric in IMAGE_METRICS:
        if metric not in study.columns:
            _without_column(context, metric)
            continue
        values = study.columns[metric][:, study.test]
        infinite = np.isinf(values).sum(-1)
        values = np.where(np.isfinite(values), values, np.nan)
        groupings = tuple(g._replace(code=g.code[study.test]) for g in study.groupings)
        empty = np.full(values.shape, np.nan)
        units = JudgedUnits(
            empty[0], empty, values, study.patient[study.test], groupings, "image", False, ""
        )
        for grouping in groupings:
            _add_quality(context, metric, units, grouping, infinite)


def _without_column(context: Context, metric: str) -> None:
    """A metric that a table lacks is left out, or told as missing where its kind says why."""
    for cell in context.study.cells if IMAGE_METRICS[metric].absent else ():
        why = IMAGE_METRICS[metric].absent
        row = {"metric": metric, "unit": "image", "version": "reconstructed", "reason": why}
        context.performance.append({**BLANK, **cell_fields(context.study, cell), **row})


def _add_quality(
    context: Context, metric: str, units: JudgedUnits, grouping: Grouping, infinite: np.ndarray
) -> None:
    """One image metric and grouping: means per group, and their gap beside its permutation null."""
    if not np.any(grouping.code >= 0):
        return
    found = average(context, units, grouping, ("gap",))
    nulls = _nulls(context, units, grouping, units.reconstructed, found) if grouping.name else {}
    for k, cell in enumerate(context.study.cells):
        fields = {**cell_fields(context.study, cell), "unit": "image", "attribute": grouping.name}
        method = context.method(units).replace("paired ", "")
        for g, group in enumerate(grouping.groups):
            counts = {
                name: float(part[k, g])
                for name, part in found.counts.items()
                if name != "n_changed"
            }
            row = version_rows(
                {**fields, "group": group, "metric": metric, **counts},
                paired(found.means, (k, g)),
                method,
                {},
            )[1]
            row["reason"] = (
                f"{infinite[k]} images equal their originals (infinite) and were left out"
                if infinite[k] and not g
                else ""
            )
            context.performance.append(row)
        for convention in context.options.conventions if grouping.name else ():
            counts = {
                "n": float(found.counts["n"][k].sum()),
                "n_patients": float(found.patients[k]),
            }
            named = {
                "metric": f"gap_{metric}",
                "convention": convention,
                "reference_group": grouping.reference,
                **counts,
            }
            row = version_rows(
                {**fields, **named}, paired(found.gaps["gap", convention], (k,)), method, {}
            )[1]
            if null := nulls.get(
                "delta_estimable" if convention == "worst_case_estimable" else "delta"
            ):
                row |= {"permutation_null": float(null.mean[k]), "p_value": float(null.p_value[k])}
                row["method"] += "; p: permuted groups"
            context.fairness.append(row)
