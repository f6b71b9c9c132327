"""Families of comparisons: false claims over tasks, attributes and reconstructors after Westfall
and Young's adjustment, and how often a change of the printed detectable size is found by the
adjusted test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from experiments.calibration.laws import BASE, Cohorts, Rng, build, flips
from experiments.calibration.measure import LEVEL, Measured, blocks, share_of, test_of
from fairrecon_jax.inference.group_family import adjust_cells
from fairrecon_jax.inference.group_result import GroupTest, one_cell
from fairrecon_jax.inference.power import minimum_detectable_change

TASKS, RECONSTRUCTORS = 8, 2
TAIL = {"permutations": 999}
"""Draws where the level of a single comparison matters, far below 5%."""

SHARED = 0.6
"""Share of a lost decision's risk that the tasks and reconstructors of a patient have in common."""


@dataclasses.dataclass(frozen=True)
class Family:
    """Comparisons of `TASKS` tasks, two attributes and `RECONSTRUCTORS` reconstructors.

    Attributes:
      name: unique.
      patients: of a cohort.
      shares: of the groups of the two attributes.
      loss: share of decisions that reconstruction loses in all groups.
      gain: that it gains.
      harm: further loss of the first task in the last group of the first attribute.
    """

    name: str
    patients: int
    shares: tuple[tuple[float, ...], tuple[float, ...]]
    loss: float
    gain: float
    harm: float = 0.0

    def attribute(self, which: int) -> np.ndarray:
        """[U] groups of an attribute; the second runs through the groups of the first."""
        cuts = np.cumsum(self.shares[which])[:-1]
        place = (np.arange(self.patients) + 0.5) / self.patients
        order = place if which == 0 else (np.arange(self.patients) * 0.6180339887) % 1
        return np.searchsorted(cuts, order, side="right")


def _changes(family: Family, rng: Rng, cohorts: int) -> tuple[np.ndarray, ...]:
    """Changes, images and sums before [U, K, 2], K = cohorts x tasks x reconstructors; a patient's
    risk is partly the same for all tasks and reconstructors, labels are the block's.
    """
    shape = (family.patients, cohorts, TASKS, RECONSTRUCTORS)
    prevalence = np.linspace(0.5, 0.15, TASKS)
    label = rng.random((family.patients, TASKS)) < prevalence
    own = rng.random(shape)
    risk = np.where(rng.random(shape[:2])[..., None, None] < SHARED, own[..., :1, :1], own)
    # of patients whose risk is shared the tasks move together
    down = np.full(shape, family.loss)
    if family.harm:
        last = family.attribute(0) == len(family.shares[0]) - 1
        down[last, :, 0] += family.harm
    change = np.where(risk < down, -1.0, np.where(risk > 1 - family.gain, 1.0, 0.0))
    before = np.where(change == 0, rng.random(shape) < BASE, change < 0) * 1.0
    strata = np.stack([~label, label], -1)[:, None, :, None] * 1.0
    cells = cohorts * TASKS * RECONSTRUCTORS

    def flat(values: np.ndarray) -> np.ndarray:
        return (values[..., None] * strata).reshape(family.patients, cells, 2)

    return flat(change), flat(np.ones(shape)), flat(before)


def adjusted(tests: Sequence[GroupTest], cohort: int) -> np.ndarray:
    """Adjusted p of all comparisons of one cohort: attributes, then tasks and reconstructors; NaN =
    not tested.
    """
    each = TASKS * RECONSTRUCTORS
    cells = range(cohort * each, (cohort + 1) * each)
    pairs = [(test, k) for test in tests for k in cells]
    known = np.array([np.isfinite(test.p_value[k]) for test, k in pairs])
    p = np.full(len(pairs), np.nan)
    draws = [
        {null: v[:, k] for null, v in test.smallest.items()}
        for (test, k), there in zip(pairs, known, strict=True)
        if there
    ]
    if draws:
        p[known] = adjust_cells(draws, LEVEL)[0]
    return p


def measure_family(family: Family, cohorts: int, seed: int) -> Measured:
    """False claims in a family.

    Args:
      family: its law.
      cohorts: how many.
      seed: of the study.

    Returns:
      "any" (a false claim in the family), "unadjusted" (the same without the adjustment), "tested"
        (share of comparisons), and with harm "found" (a reconstructor of the harmed task).
    """
    outcome: dict[str, list[bool]] = {"any": [], "unadjusted": [], "found": []}
    tested = []
    each = TASKS * RECONSTRUCTORS
    false = np.ones(2 * each, bool)
    if family.harm:
        # the second attribute runs through the first: the harmed task is no null there either
        false[:RECONSTRUCTORS] = false[each : each + RECONSTRUCTORS] = False
    for rng, key, size in blocks(family.name, 10, cohorts, seed):
        change, images, before = _changes(family, rng, size)
        tests = []
        for which in (0, 1):
            group = family.attribute(which)
            groups = int(group.max()) + 1
            drawn = build(change, images, group, np.zeros((2, groups)), before)
            tests.append(test_of(drawn.changes, key, attribute=f"attribute {which}"))
        for cohort in range(size):
            p = adjusted(tests, cohort)
            cells = slice(cohort * each, (cohort + 1) * each)
            raw = np.concatenate([test.p_value[cells] for test in tests])
            outcome["any"].append(bool(np.any(p[false] <= LEVEL)))
            outcome["unadjusted"].append(bool(np.any(raw[false] <= LEVEL)))
            outcome["found"].append(bool(np.any(p[:RECONSTRUCTORS] <= LEVEL)))
            tested.append(float(np.isfinite(p).mean()))
    found = {name: share_of(np.array(values)) for name, values in outcome.items()}
    found["tested"] = share_of(np.array(tested))
    if not family.harm:
        del found["found"]
    return found


FAMILIES = (
    Family("32 comparisons, 300 patients, 5% lost", 300, ((0.7, 0.3), (0.5, 0.3, 0.2)), 0.05, 0.0),
    Family(
        "32 comparisons, 300 patients, 8% lost, 6% gained",
        300,
        ((0.6, 0.4), (0.4, 0.3, 0.3)),
        0.08,
        0.06,
    ),
    Family("32 comparisons, 1,000 / 40, 1% lost", 1040, ((0.96, 0.04), (0.5, 0.4, 0.1)), 0.01, 0.0),
    Family("32 comparisons, one task harmed", 300, ((0.6, 0.4), (0.4, 0.3, 0.3)), 0.05, 0.02, 0.25),
)


@dataclasses.dataclass(frozen=True)
class Detection:
    """A family of `size` comparisons of two groups, both labels.

    Attributes:
      size: comparisons.
      sizes: patients of both groups.
      rate: share of decisions that reconstruction loses, and that it gains.
    """

    size: int
    sizes: tuple[int, int]
    rate: tuple[float, float]

    @property
    def name(self) -> str:
        """Name of the design."""
        lost, gained = self.rate
        who = " / ".join(map(str, self.sizes))
        return f"{self.size} comparisons, {who}, {100 * lost:g}+{100 * gained:g}%"

    @property
    def group(self) -> np.ndarray:
        """[U] group."""
        return np.repeat((0, 1), self.sizes)

    def draw(self, rng: Rng, cohorts: int, harm: np.ndarray | None = None) -> Cohorts:
        """Cohorts in which groups lose further shares [2 groups, K, 2 labels] of decisions."""
        shape = (2, cohorts, 2)
        lost = np.full(shape, self.rate[0]) + (0 if harm is None else harm)
        return flips(lost, np.full(shape, self.rate[1]), 2)(rng, self.group, cohorts)


def measure_detection(design: Detection, cohorts: int, seed: int) -> Measured:
    """How often a loss of the printed size is found.

    A cohort without harm prints the detectable change of its first comparison at the family's
    level. In a second cohort of the same law this is planted in the stratum that needs the largest
    change; the rest of the family stays as it was.

    Args:
      design: the family.
      cohorts: how many.
      seed: of the study.

    Returns:
      "found" by the adjusted test among cohorts that print a change; "printed", the share of these;
        "size", the mean printed change.
    """
    outcome, printed, sizes = [], [], []
    for rng, key, size in blocks(f"detectable {design.name}", 10, cohorts, seed):
        test = test_of(design.draw(rng, size * design.size).changes, key, **TAIL)
        families = [
            [
                {null: v[:, k] for null, v in test.smallest.items()}
                for k in range(c * design.size, (c + 1) * design.size)
            ]
            for c in range(size)
        ]
        level = np.array([adjust_cells(cells, LEVEL)[1] for cells in families])
        first = np.arange(size) * design.size
        harm, told = np.zeros((2, size, 2)), np.zeros(size, bool)
        for c, k in enumerate(first):
            found = minimum_detectable_change(one_cell(test, int(k)), level=float(level[c]))
            largest = float(found.largest)
            told[c] = np.isfinite(largest) and largest + sum(design.rate) < 1
            if told[c]:
                label, group = np.unravel_index(np.argmax(found.stratum), (2, 2))
                harm[group, c, label] = largest
                sizes.append(largest)
        again = test_of(design.draw(rng, size, harm).changes, key, **TAIL)
        for c in map(int, np.flatnonzero(told)):
            mine = {null: v[:, c] for null, v in again.smallest.items()}
            outcome.append(adjust_cells([mine, *families[c][1:]], LEVEL)[0][0] <= LEVEL)
        printed.append(told)
    return {
        "found": share_of(np.array(outcome)),
        "printed": share_of(np.concatenate(printed)),
        "size": share_of(np.array(sizes)),
    }


DETECTIONS = tuple(
    Detection(size, sizes, rate)
    for size in (1, 12, 36)
    for sizes, rate in (
        ((150, 150), (0.05, 0.05)),
        ((300, 60), (0.05, 0.02)),
        ((1000, 100), (0.02, 0.0)),
        ((1000, 1000), (0.02, 0.01)),
    )
)
