"""From the difference-in-differences test of one study cell to rows: changes per group, the
deferred verdict, the detectable change.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment.deferred import Deferred
from fairrecon_jax.assessment.rows import BLANK, Interval, Row
from fairrecon_jax.inference.did_result import REASONS, DidResult
from fairrecon_jax.inference.power import minimum_detectable_change
from fairrecon_jax.inference.verdict import judge

SIGN_FLIP = "p: difference in differences, patient sign flips"
SIMULTANEOUS = "max-T sign flips, simultaneous over groups and labels"
NO_VERDICT = "thresholds were fitted per version: a convention that is reported without a verdict"
UNPAIRED = (
    "no predictions on original images: reconstructions are assessed by themselves, and the "
    "change cannot be estimated"
)


class Quantity(NamedTuple):
    """The quantity that the test compares within one true label.

    Attributes:
      name: as the verdict's reason calls it, e.g. "sensitivity".
      stratum: value of the column `label_stratum`.
      metric: of the rows per group, e.g. "gap_sensitivity".
      flipped: the rows per group show 1 - rate (specificity from the false-positive rate).
      counted: which patients its number of patients counts.
    """

    name: str
    stratum: str
    metric: str
    flipped: bool = False
    counted: str = "patients"


FALSE_POSITIVES = Quantity("false-positive rate", "negative", "gap_specificity", True)
SENSITIVITY = Quantity("sensitivity", "positive", "gap_sensitivity")
AUROC = Quantity("AUROC", "", "gap_auroc", counted="patients of the rarer label")


@dataclasses.dataclass(frozen=True)
class GapTest:
    """A test of one task, attribute and study cell.

    Attributes:
      test: for this one problem (no leading axes).
      groups: names of the groups.
      quantities: one per label of the test.
      family: name of the family for the adjustment.
      auroc: interval of the AUROC on originals, None where the task has none.
      alpha: level.
      is_rate: the test is about decisions.
      label_weights: one per quantity where the test weighs several.
    """

    test: DidResult
    groups: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    family: str
    auroc: Interval | None
    alpha: float
    is_rate: bool = True
    label_weights: tuple[float, ...] = ()

    @property
    def method(self) -> str:
        """The column `method` of its rows."""
        weights = " and ".join(
            f"{w:g} ({q.name})" for w, q in zip(self.label_weights, self.quantities, strict=False)
        )
        return SIGN_FLIP + (f", labels weighted {weights}" if weights else "")

    @property
    def detectable(self) -> float:
        """The change that could be missed in the worst estimable group."""
        return float(minimum_detectable_change(self.test, is_rate=self.is_rate).largest)

    @property
    def p_value(self) -> float:
        """The test's p; NaN where nothing is estimable or the diagnosis is at chance."""
        # NaN leaves the family, so that a diagnosis that cannot have a verdict costs none
        at_chance = self.auroc is not None and self.auroc.low <= 0.5 <= self.auroc.high
        return float("nan") if at_chance else float(self.test.p_value)


def group_rows(gap_test: GapTest, common: Row) -> list[Row]:
    """A row per group and label: its change minus the mean change, with the simultaneous interval.

    Args:
      gap_test: the test.
      common: columns that all rows share.

    Returns:
      Rows in the order of quantities, then groups; verdicts of estimable ones wait for `queue`.
    """
    test, rows = gap_test.test, []
    detectable = minimum_detectable_change(test, is_rate=gap_test.is_rate).stratum
    for y, quantity in enumerate(gap_test.quantities):
        for g, group in enumerate(gap_test.groups):
            row = {
                **BLANK,
                **common,
                "metric": quantity.metric,
                "group": group,
                "reference_group": "all groups",
                "version": "change",
                "label_stratum": quantity.stratum,
                **_deviation(test, quantity, y, g),
                "p_value": float(test.stratum_p[y, g]),
                "n": float(test.n_images[y, g]),
                "n_patients": float(test.n_patients[y, g]),
                "n_changed": float(test.n_changed[y, g]),
                "method": SIMULTANEOUS,
                "mde": float(detectable[y, g]),
            }
            row["n_pos"] = row["n"] if quantity.stratum == "positive" else float("nan")
            row["n_neg"] = row["n"] if quantity.stratum == "negative" else float("nan")
            if not test.estimable[y, g]:
                row |= {
                    "verdict": "not estimable",
                    "reason": REASONS[int(test.reason[y, g])],
                    "method": "",
                }
            rows.append(row)
    return rows


def _deviation(test: DidResult, quantity: Quantity, y: int, g: int) -> Row:
    """The change of one group's rate minus the mean change; a flipped quantity shows 1 - rate, so
    that signs turn and limits swap.
    """
    sign = -1.0 if quantity.flipped else 1.0
    before, after = (float(rate[y, g]) for rate in (test.rate_original, test.rate_reconstructed))
    before, after = (1 - before, 1 - after) if quantity.flipped else (before, after)
    low, high = sorted((sign * float(test.ci_low[y, g]), sign * float(test.ci_high[y, g])))
    deviation = sign * float(test.deviation[y, g])
    return {
        "value": deviation,
        "change": deviation,
        "original": before,
        "reconstructed": after,
        "std_error": float(test.std_error[y, g]),
        "ci_low": low,
        "ci_high": high,
    }


def queue(gap_test: GapTest, judged: list[Row], per_group: list[Row]) -> Deferred:
    """Queues the verdict of one study cell for the adjustment of its family.

    A judged row whose gap went the other way than the tested one follows its own interval. A row
    per group is "shifted" where the cell's adjusted p and the row's max-T p are both at most
    `alpha`: the group's rate moved apart from the others'.

    Args:
      gap_test: the test.
      judged: change rows that take the verdict.
      per_group: rows of `group_rows`, in their order.

    Returns:
      The deferred test.
    """
    strata = {q.name: q.stratum for q in gap_test.quantities}
    detectable = gap_test.detectable
    for row in judged:
        row["mde"] = detectable
        row["method"] = "; ".join(part for part in (row["method"], gap_test.method) if part)
    interval = None if gap_test.auroc is None else (gap_test.auroc.low, gap_test.auroc.high)

    def adjust(adjusted: float, row: Row) -> Row:
        overall = judge(
            gap_test.test,
            gap_test.groups,
            quantities=[q.name for q in gap_test.quantities],
            p_adjusted=adjusted,
            alpha=gap_test.alpha,
            detectable=detectable,
            auroc_interval=interval,
            is_rate=gap_test.is_rate,
            counted=gap_test.quantities[0].counted,
        )
        for part in per_group:
            if overall.verdict == "at chance":
                part |= {"verdict": "at chance", "reason": overall.reason}
            elif part["verdict"] != "not estimable":
                # fmax: the larger p, and the known one where the other is NaN
                part["p_adjusted"] = float(np.fmax(part["p_value"], adjusted))
                part["verdict"] = (
                    "shifted" if part["p_adjusted"] <= gap_test.alpha else "within chance"
                )
        verdict, deviation = of_row(overall.verdict, row)
        unjudged = f"not estimable: {'; '.join(overall.unjudged)}" if overall.unjudged else ""
        reason = "; ".join(part for part in (overall.reason, deviation, unjudged) if part)
        named = {"group": overall.group, "label_stratum": strata.get(overall.label, "")}
        return {"verdict": verdict, "reason": reason, **named}

    return Deferred(gap_test.family, gap_test.p_value, tuple(judged), adjust)


def of_row(verdict: str, row: Row) -> tuple[str, str]:
    """The verdict on a row's own gap.

    The test says which way the largest difference between estimable groups went. Another gap of the
    same study cell (over all groups, or a ratio of errors) may have gone the other way: then its
    own interval decides.

    Args:
      verdict: of the test.
      row: the change row, with `change`, `ci_low` and `ci_high`.

    Returns:
      (verdict, why it differs from the test's, or "").
    """
    change, low, high = row["change"], row["ci_low"], row["ci_high"]
    # other verdicts have no direction that a row could contradict
    if verdict not in ("widened", "narrowed") or (
        change > 0 if verdict == "widened" else change < 0
    ):
        return verdict, ""
    by_interval = "widened" if low > 0 else "narrowed" if high < 0 else "shifted"
    interval = f" [{low:+.3f}, {high:+.3f}]" if np.isfinite(low) and np.isfinite(high) else ""
    return by_interval, f"the gap of this row changed by {change:+.3f}{interval}"


def without_test(judged: list[Row], paired: bool) -> None:
    """Gives change rows the reason why there is no verdict: no originals to pair with, or
    thresholds fitted per version.
    """
    for row in judged:
        row["reason"] = NO_VERDICT if paired else UNPAIRED
        row["verdict"] = "" if paired else "not estimable"
