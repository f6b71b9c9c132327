"""From a difference-in-differences test to a verdict in words: what happened to the gap, in which group, to which label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fairrecon_jax.inference.did import REASONS, DidResult

VERDICTS = ("widened", "narrowed", "reversed", "shifted", "within chance", "not estimable", "at chance")


class Mover(NamedTuple):
    """The group x label cell that moved farthest from the others, in standard errors.

    Attributes:
      group: index of the group, -1 if no cell is estimable.
      label: index of the label axis.
      deviation: its change minus the mean change of the groups.
    """

    group: int
    label: int
    deviation: float


class Judgement(NamedTuple):
    """A verdict with its reason.

    Attributes:
      verdict: one of `VERDICTS`.
      reason: one or two sentences.
      mover: the cell that moved farthest.
    """

    verdict: str
    reason: str
    mover: Mover


def mover(test: DidResult, at: tuple[int, ...]) -> Mover:
    """The estimable cell with the largest |deviation| / standard error of problem `at`."""
    usable, deviation, error = (np.asarray(part)[at] for part in (test.estimable, test.deviation, test.std_error))
    if not usable.any():
        return Mover(-1, 0, float("nan"))
    size = np.where(usable, np.abs(deviation) / np.maximum(error, 1e-30), -1)
    label, group = np.unravel_index(int(np.argmax(size)), size.shape)
    return Mover(int(group), int(label), float(deviation[label, group]))


def not_estimable(test: DidResult, at: tuple[int, ...], groups: tuple[str, ...], strata: tuple[str, ...], min_patients: int) -> str:
    """Which cells cannot be judged and why, in words; "" if all can."""
    codes, patients = np.asarray(test.reason)[at], np.asarray(test.n_patients)[at]
    parts = []
    for place, stratum in enumerate(strata):
        for group, name in enumerate(groups):
            if codes[place, group] == 0:
                continue
            where = f"{name}, {stratum}" if stratum else name
            parts.append(f"{where}: {int(patients[place, group])} patients ({REASONS[int(codes[place, group])]})")
    return f"not estimable (at least {min_patients} patients a cell): " + "; ".join(parts) if parts else ""


def direction(rates: tuple[np.ndarray, np.ndarray], usable: np.ndarray, std_error: float) -> str:
    """What a significant change did to the largest gap between estimable groups.

    With (y, a, b) the label and groups of the largest original gap and (y', a', b') those of the largest gap on reconstructions: reversed if
    y = y', a = b', b = a'; otherwise widened or narrowed by the sign of the change of the largest gap, and shifted if that change is smaller
    than its own bootstrap standard error (rates moved apart, the largest gap did not).

    Args:
      rates: originals and reconstructions, [L, G] each.
      usable: [L, G] bool.
      std_error: bootstrap standard error of the change of the largest gap.

    Returns:
      "widened", "narrowed", "reversed" or "shifted".
    """
    found = []
    for rate in rates:
        high, low = np.where(usable, rate, -np.inf), np.where(usable, rate, np.inf)
        enough = usable.sum(-1) >= 2
        spread = np.where(enough, high.max(-1, initial=0.0) - np.where(enough, low.min(-1, initial=1e9), 0), -1)
        label = int(np.argmax(spread))
        found.append((label, int(high[label].argmax()), int(low[label].argmin()), float(spread[label])))
    (y, a, b, before), (label, top, bottom, after) = found
    if (y, a, b) == (label, bottom, top):
        return "reversed"
    if np.isfinite(std_error) and abs(after - before) < std_error:
        return "shifted"
    return "widened" if after > before else "narrowed"


def sentence(verdict: str, test: DidResult, at: tuple[int, ...], groups: tuple[str, ...], strata: tuple[str, ...], noun: str) -> str:
    """Names the group, label and direction behind a verdict of change."""
    moved = mover(test, at)
    place = (*at, moved.label, moved.group)
    before, after, change = test.rate_original[place], test.rate_reconstructed[place], test.change[place]
    stratum = f" among {strata[moved.label]}s" if strata[moved.label] else ""
    way = "rose" if change > 0 else "fell" if change < 0 else "stayed"
    relative = "more than" if moved.deviation > 0 else "less than"
    return (
        f"{verdict}: {noun}{stratum} {way} from {before:.3f} to {after:.3f} in {groups[moved.group]}, "
        f"{abs(moved.deviation):.3f} {relative} in the mean of all groups"
    )
