"""Performance rows of classification tasks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from fairrecon_jax import metrics
from fairrecon_jax.assessment.classification import Decisions, Measured
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.pending import Pending, family_name
from fairrecon_jax.assessment.resample import triple
from fairrecon_jax.assessment.rows import BLANK, Interval, Row, Triple, cell_fields, version_rows
from fairrecon_jax.assessment.separation import Separation
from fairrecon_jax.assessment.study import Grouping, Units
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.assessment.verdicts import UNPAIRED
from fairrecon_jax.inference.did import did_test
from fairrecon_jax.inference.intervals import Estimate

DELONG = "DeLong, clustered by patient"


def count_columns(measured: Measured, k: int, group: int) -> Row:
    """The count columns of one cell and group."""
    return {name: float(part[k, group]) for name, part in measured.counts._asdict().items()}


def at_chance(area: Interval) -> str:
    """The reason for "at chance" if the interval of the AUROC on originals holds 0.5, else ""."""
    if not area.low <= 0.5 <= area.high:
        return ""
    return f"the AUROC on original images is {area.value:.3f} ({area.low:.3f} to {area.high:.3f}), which includes 0.5"


def verdict_of_change(change: float, p: float, alpha: float) -> str:
    """lower, higher or within chance; "not estimable" without a p-value."""
    if not np.isfinite(p):
        return "not estimable"
    return "within chance" if p > alpha or change == 0 else "higher" if change > 0 else "lower"


def calibration(units: Units, decisions: Decisions, grouping: Grouping, bins: int) -> np.ndarray:
    """Expected calibration errors [2, K, G] of both versions, NaN where there is no unit."""
    groups = len(grouping.groups)
    out = []
    for scores in (units.original, units.reconstructed):
        rows = scores[:1] if decisions.shared and scores is units.original else scores
        known = decisions.known[: len(rows)]
        with jax.enable_x64(True):
            weight = known[:, None, :] & (grouping.code[None] == np.arange(groups)[:, None])[None]
            value = _calibration(*(jnp.asarray(np.nan_to_num(a)) for a in (rows, units.label)), jnp.asarray(weight, float), bins)
        out.append(np.broadcast_to(np.asarray(value), (len(units.reconstructed), groups)))
    out[0] = out[0] if units.paired else np.full_like(out[0], np.nan)
    return np.stack(out)


def _errors(score: jax.Array, label: jax.Array, weight: jax.Array, bins: int) -> jax.Array:
    def one(row: jax.Array, of_groups: jax.Array) -> jax.Array:
        return jax.lax.map(lambda w: metrics.calibration_error(row, label, w, bins).value, of_groups)

    return jax.lax.map(lambda pair: one(*pair), (score, weight))


_calibration = jax.jit(_errors, static_argnames="bins")


def add_performance(
    context: Context,
    base: Row,
    units: Units,
    decisions: Decisions,
    grouping: Grouping,
    measured: Measured,
    separated: Separation,
    flips: tuple[np.ndarray, ...],
) -> None:
    """Adds AUROC, sensitivity, specificity, Brier score and calibration error of every cell and group of one grouping.

    Rows for everyone carry a test of the change (family: metric and level) and a verdict; rows of groups carry intervals.

    Args:
      context: takes the rows.
      base: task, unit and threshold rule.
      units: what was judged.
      decisions: its decisions.
      grouping: everyone, or an attribute.
      measured: bootstrap of rates and Brier scores.
      separated: AUROC.
      flips: for everyone, p-values [K] of "no change" among negatives and among positives (`everyone_tests`); empty for groups.
    """
    options, method = context.options, context.method(units)
    errors = calibration(units, decisions, grouping, options.bins)
    for k, cell in enumerate(context.study.cells):
        chance = at_chance(separated.triple(k, 0, options.alpha).original) if grouping.name == "" else ""
        for g, name in enumerate(grouping.groups):
            fields = {**base, **cell_fields(context.study, cell), "attribute": grouping.name, "group": name}
            fields |= count_columns(measured, k, g)
            false_positive = triple(measured.rates, (k, g, 0))
            by_flips = [float(flips[y][k] if flips else measured.rates.p_two_sided[k, g, y]) for y in (0, 1)]
            found = {
                "auroc": (separated.triple(k, g, options.alpha), DELONG, separated.p_value(k, g)),
                "sensitivity": (triple(measured.rates, (k, g, 1)), method, by_flips[1]),
                "specificity": (complement(false_positive), method, by_flips[0]),
                "brier": (triple(measured.brier, (k, g)), method, _normal_p(measured.brier.change, k, g)),
                "calibration_error": (plain(*(float(e) for e in errors[:, k, g])), "", float("nan")),
            }
            for metric, (numbers, how, p) in found.items():
                rows = version_rows({**fields, "metric": metric}, numbers, how, {"p_value": p})
                context.performance += rows
                if not units.paired:
                    rows[-1] |= {"reason": UNPAIRED}
                elif grouping.name == "" and metric != "calibration_error":
                    if metric in ("sensitivity", "specificity") and flips:
                        rows[-1]["method"] += "; p: patient sign flips"
                    family = family_name(f"{metric} of everyone", cell.level, cell.mitigation)
                    context.pending.append(_pending(rows[-1], family, p, chance, options.alpha))
                if units.note and grouping.name == "" and metric == "auroc":
                    rows[0]["reason"] = units.note


def _normal_p(change: Estimate, k: int, g: int) -> float:
    """Two-sided p of "no change" from the bootstrap's standard error, normal approximation."""
    value, error = float(change.value[k, g]), float(change.std_error[k, g])
    if not np.isfinite(value) or not np.isfinite(error):
        return float("nan")
    return float(2 * norm.sf(abs(value) / error)) if error > 0 else 1.0


def everyone_tests(context: Context, units: Units, decisions: Decisions) -> tuple[np.ndarray, ...]:
    """Sign-flip p-values [K] of "no decision rate changed for everyone together", among negatives and among positives.

    Args:
      context: options and key.
      units: what was judged.
      decisions: its decisions.

    Returns:
      (negatives [K], positives [K]); NaN with fewer than `min_patients` patients.
    """
    options, names = context.options, context.study.patient_names[units.patient]
    everyone = np.zeros(len(names), np.int32)

    def test(label: int) -> np.ndarray:
        found = did_test(
            decisions.original,
            decisions.reconstructed,
            decisions.label,
            everyone,
            names,
            context.flip_key,
            groups=1,
            flips=options.flips,
            min_patients=options.min_patients,
            labels=(label,),
            alpha=options.alpha,
        )
        return np.asarray(found.overall_p)

    return test(0), test(1)


def _pending(row: Row, family: str, p: float, chance: str, alpha: float) -> Pending:
    """The test of one performance change; a diagnoser at chance gets no verdict."""
    if chance:
        return Pending(family, float("nan"), (row,), lambda _: {"verdict": "at chance", "reason": chance})
    return Pending(family, p, (row,), lambda adjusted: {"verdict": verdict_of_change(row["change"], adjusted, alpha)})


def add_thresholds(context: Context, base: Row, thresholds: Thresholds) -> None:
    """Adds the thresholds of both versions of every cell."""
    for k, cell in enumerate(context.study.cells):
        for version, values in (("original", thresholds.original), ("reconstructed", thresholds.reconstructed)):
            fields = {**base, **cell_fields(context.study, cell), "metric": "threshold", "version": version}
            context.performance.append({**BLANK, **fields, "value": float(values[k])})


def complement(found: Triple) -> Triple:
    """1 - rate: specificity from the false-positive rate."""
    areas = [Interval(1 - i.value, i.std_error, 1 - i.high, 1 - i.low) for i in found[:2]]
    moved = found.change
    return Triple(areas[0], areas[1], Interval(-moved.value, moved.std_error, -moved.high, -moved.low))


def plain(before: float, after: float) -> Triple:
    """A number without intervals."""
    return Triple(Interval(before), Interval(after), Interval(after - before))
