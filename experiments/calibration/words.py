"""Words beside the test of one comparison: what a mitigation is said to have done, equivalence, and
the test of everyone together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from experiments.calibration.laws import VALUES, Cohorts, Draw, Rng, build, clusters, flips
from experiments.calibration.measure import (
    DRAWS,
    Measured,
    blocks,
    comparison_of,
    own_limits,
    rejected,
    share_of,
    test_of,
)
from fairrecon_jax.inference import judge, judge_mitigation
from fairrecon_jax.inference.everyone import everyone_test
from fairrecon_jax.inference.power import MARGIN, equivalent


@dataclasses.dataclass(frozen=True)
class Mitigation:
    """Sensitivities of two groups without and with mitigation.

    Attributes:
      name: what happens.
      sizes: patients of both groups.
      before: rates without mitigation.
      after: rates with it.
      noise: share of each group's decisions that change besides, as many each way.
    """

    name: str
    sizes: tuple[int, int]
    before: tuple[float, float]
    after: tuple[float, float]
    noise: float = 0.03

    @property
    def gains(self) -> tuple[bool, bool]:
        """Whether men, and whether women, truly gain."""
        men, women = (b < a for b, a in zip(self.before, self.after, strict=True))
        return men, women

    def draw(self, rng: Rng, cohorts: int) -> Cohorts:
        """Cohorts, the unmitigated reconstruction in the place of the original."""
        group = np.repeat((0, 1), self.sizes)
        before, after = (np.asarray(v)[group][:, None, None] for v in (self.before, self.after))
        kept = np.minimum(after / before, 1) - self.noise / before
        won = np.maximum((after - before) / (1 - before), 0) + self.noise / (1 - before)
        first, u = (rng.random((len(group), cohorts, 1)) for _ in range(2))
        old = first < before
        new = np.where(old, u < kept, u < won)
        change = new * 1.0 - old
        truth = (np.asarray(self.after) - self.before)[None]
        return build(change, np.ones(u.shape), group, truth, old * 1.0)


def measure_mitigation(design: Mitigation, cohorts: int, seed: int) -> Measured:
    """What is said of a mitigation.

    Args:
      design: its law.
      cohorts: how many.
      seed: of the study.

    Returns:
      Shares of all cohorts that are called "helped", "levelled down" and "harmed".
    """
    said: list[str] = []
    for rng, key, size in blocks(f"mitigation {design.name}", sum(design.sizes), cohorts, seed):
        changes = design.draw(rng, size).changes
        test, own = test_of(changes, key), own_limits(changes)
        for k in range(size):
            comparison = comparison_of(changes, test, own, k)
            said.append(judge_mitigation(comparison, judge(comparison)).word)
    words = ("helped", "levelled down", "harmed")
    return {word: share_of(np.array(said) == word) for word in words}


def _mitigations(sizes: tuple[int, int]) -> list[Mitigation]:
    """Men (first) and women; women are worse off by 29 points."""
    who = f"{sizes[0]} men, {sizes[1]} women"
    cases = {
        "men lose 28 points, women untouched": ((0.88, 0.59), (0.60, 0.59)),
        "men lose 40 points, women 12": ((0.88, 0.59), (0.48, 0.47)),
        "women gain 29 points": ((0.88, 0.59), (0.88, 0.88)),
        "women gain 29 points, men lose 5": ((0.88, 0.59), (0.83, 0.88)),
        "nothing but noise": ((0.88, 0.59), (0.88, 0.59)),
        "both gain 10 points": ((0.80, 0.55), (0.90, 0.65)),
        "both lose 10 points": ((0.80, 0.55), (0.70, 0.45)),
        "sides swap: men lose 45 points, women untouched": ((0.90, 0.70), (0.45, 0.70)),
        "no gap, men lose 20 points": ((0.80, 0.80), (0.60, 0.80)),
        "women lose 15 points more": ((0.88, 0.59), (0.88, 0.44)),
    }
    return [Mitigation(f"{name}, {who}", sizes, *rates) for name, rates in cases.items()]


MITIGATIONS = (*_mitigations((500, 500)), *_mitigations((80, 80)))


@dataclasses.dataclass(frozen=True)
class Equivalence:
    """Two groups, the second with a true further loss.

    Attributes:
      sizes: patients of both groups.
      rate: share of decisions lost and share gained in both.
      further: further loss of the second.
    """

    sizes: tuple[int, int]
    rate: tuple[float, float]
    further: float

    @property
    def name(self) -> str:
        """Name of the design."""
        lost, gained = self.rate
        who = " / ".join(map(str, self.sizes))
        what = "a true difference of the margin" if self.further else "no difference"
        return f"{who}, {100 * lost:g}+{100 * gained:g}%, {what}"


def measure_equivalence(design: Equivalence, cohorts: int, seed: int) -> Measured:
    """How often two groups are called equivalent: "equivalent"."""
    lost, gained = design.rate
    draw = flips((lost, lost + design.further), (gained, gained))
    group = np.repeat((0, 1), design.sizes)
    said = []
    for rng, key, size in blocks(f"equivalent {design.name}", len(group), cohorts, seed):
        changes = draw(rng, group, size).changes
        said.append(equivalent(test_of(changes, key), changes.images))
    return {"equivalent": share_of(np.concatenate(said))}


EQUIVALENCE_SIZES = (
    *((1000, n) for n in (20, 30, 60, 100, 1000)),
    *((n, n) for n in (20, 40, 60, 100, 400)),
)
EQUIVALENCES = tuple(
    Equivalence(sizes, rate, further)
    for sizes in EQUIVALENCE_SIZES
    for rate, further in (((0.0, 0.0), MARGIN), ((0.02, 0.02), MARGIN), ((0.0, 0.0), 0.0))
)


@dataclasses.dataclass(frozen=True)
class Everyone:
    """A law of the change of everyone together, of mean 0.

    Attributes:
      name: of the law.
      patients: how many.
      draw: of cohorts.
      harmed: the mean is not 0.
    """

    name: str
    patients: int
    draw: Draw
    harmed: bool = False


def measure_everyone(design: Everyone, cohorts: int, seed: int) -> Measured:
    """How often "nothing changed" is rejected for everyone together: "test"; and "with interval",
    how often the printed interval of the mean change leaves out 0 as well.
    """
    group = np.zeros(design.patients, int)
    p, beside = [], []
    for rng, key, size in blocks(f"everyone {design.name}", design.patients, cohorts, seed):
        changes = design.draw(rng, group, size).changes
        p.append(everyone_test(changes.tables, seed=key, permutations=DRAWS).p_value[:, 0])
        low, high = own_limits(changes)
        beside.append(((low > 0) | (high < 0))[:, 0, 0])
    found = np.concatenate(p)
    both = np.where(np.concatenate(beside), found, np.where(np.isfinite(found), 1, np.nan))
    return {
        "test": rejected(found),
        "with interval": rejected(both),
        "judged": share_of(np.isfinite(found)),
    }


def _centred(kind: str, mean: float) -> Draw:
    """Values of a law less its mean."""

    def draw(rng: Rng, group: np.ndarray, cohorts: int) -> Cohorts:
        change = VALUES[kind](rng, (len(group), cohorts, 1)) - mean
        return build(change, np.ones(change.shape), group, np.zeros((1, 1)), decisions=False)

    return draw


def _balanced(draw: Draw) -> Draw:
    """Clustered losses whose sign is the patient's."""

    def balanced(rng: Rng, group: np.ndarray, cohorts: int) -> Cohorts:
        found = draw(rng, group, cohorts)
        tables = found.changes.tables
        sign = rng.choice([-1.0, 1.0], (len(group), cohorts, 1))
        changed = tables._replace(change=tables.change * sign)
        return found._replace(changes=found.changes._replace(tables=changed))

    return balanced


def _everyone() -> list[Everyone]:
    values: dict[str, tuple[float, tuple[int, ...]]] = {
        "normal": (0.0, (12, 20, 100)),
        "t3": (0.0, (20, 100)),
        "exponential": (-1.0, (20, 50, 200, 1000)),
        "lognormal": (-float(np.exp(0.5)), (20, 50, 200, 1000)),
        "5% drop": (-0.0275, (50, 200, 1000)),
        "ties": (0.0, (30,)),
    }
    found = [
        Everyone(f"{kind} change, mean 0, {n} patients", n, _centred(kind, mean))
        for kind, (mean, sizes) in values.items()
        for n in sizes
    ]
    found += [
        Everyone(f"{100 * q:g}% lost and gained, {n} patients", n, flips((q,), (q,)))
        for q in (0.01, 0.05)
        for n in (50, 200, 1000)
    ]
    heavy: dict[str, Callable[[], Draw]] = {
        "1 to 12 images, 60 patients": lambda: clusters(12, (1, 12)),
        "one patient of 10-20 images among 60": lambda: clusters(3, (10, 20)),
    }
    found += [Everyone(name, 60, _balanced(make())) for name, make in heavy.items()]
    found.append(Everyone("harm: 3% lost, 200 patients", 200, flips((0.03,), (0.0,)), True))
    found.append(Everyone("harm: 4% lost, 1% gained, 400", 400, flips((0.04,), (0.01,)), True))
    return found


EVERYONE = tuple(_everyone())
