"""Cohorts that the main study does not contain: rare changes, continuous changes, very unequal
clusters and noise, small harmed groups, scores. One block of cohorts is a set of cells that share
patients and groups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from fairrecon_jax.inference.group_tables import PatientTables, patient_digests

Draw = Callable[[np.random.Generator, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Pilot:
    """A design.

    Attributes:
      name: what it is.
      sizes: patients of each group.
      null: True if changes are equal in mean.
      draw: (generator, group [U], cohorts K) -> S, N [U, K, L].
    """

    name: str
    sizes: tuple[int, ...]
    null: bool
    draw: Draw


def cohorts_of(design: Pilot, generator: np.random.Generator, cohorts: int) -> PatientTables:
    """Patient tables with one cell a cohort."""
    group = np.repeat(np.arange(len(design.sizes)), design.sizes)
    digest = patient_digests(np.arange(len(group)))[1]
    s, n = design.draw(generator, group, cohorts)
    return PatientTables(s, n, group, digest, digest, np.zeros(len(group), int), len(design.sizes))


def _rare(lost: tuple[float, ...], gained: tuple[float, ...], labels: int = 1) -> Draw:
    """Every patient has one image a label; groups lose and gain with these probabilities."""

    def draw(r: np.random.Generator, group: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        u = r.random((len(group), k, labels))
        down, up = (np.asarray(v)[group][:, None, None] for v in (lost, gained))
        s = np.where(u < down, -1.0, np.where(u > 1 - up, 1.0, 0.0))
        return s, np.ones_like(s)

    return draw


def _continuous(kind: str, harm: float = 0.0) -> Draw:
    """One value a patient; the last group loses `harm` more."""

    def draw(r: np.random.Generator, group: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(group), k, 1)
        if kind == "rare drop":
            s = (r.random(shape) < 0.05) * -r.uniform(0.2, 0.9, shape)
        elif kind == "lognormal":
            s = -r.lognormal(0, 1, shape)
        elif kind == "cauchy":
            s = r.standard_cauchy(shape)
        else:
            s = r.normal(size=shape)
        return s - harm * (group == group.max())[:, None, None], np.ones(shape)

    return draw


def _clusters(few: int, heavy: tuple[int, int], loss: float = 0.1) -> Draw:
    """The last group has one patient with many images, whose changes are one patient's."""

    def draw(r: np.random.Generator, group: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        n = r.integers(1, few + 1, (len(group), k)).astype(float)
        n[-1] = r.integers(*heavy, k, endpoint=True)
        rate = r.beta(loss * 2, (1 - loss) * 2, (len(group), k))
        return -r.binomial(n.astype(int), rate)[..., None].astype(float), n[..., None]

    return draw


def _noise(spread: tuple[float, ...], harm: float = 0.0, harmed: int = 0) -> Draw:
    """Normal changes with unequal spread."""

    def draw(r: np.random.Generator, group: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        s = r.normal(size=(len(group), k, 1)) * np.asarray(spread)[group][:, None, None]
        s -= harm * (group == harmed)[:, None, None]
        return s, np.ones_like(s)

    return draw


def _scores(harm: float, decisions: bool, rank: bool = False) -> Draw:
    """Scores 1.5 y + z, z sharing 80% of its variance, prevalence 20%; the last group's positives
    lose `harm` and its negatives gain half of it. Changes of the score, of its rank given the
    label, or of the decision at 0.75.
    """

    def draw(r: np.random.Generator, group: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(group), k)
        y = r.random(shape) < 0.2
        core, old, new = (r.normal(size=shape) * np.sqrt(v) for v in (0.8, 0.2, 0.2))
        here = (group == group.max())[:, None]
        o = 1.5 * (y - 0.5) + core + old
        c = 1.5 * (y - 0.5) + core + new + harm * here * np.where(y, -1, 0.5)
        if decisions:
            o, c = (o > 0) * 1.0, (c > 0) * 1.0
        if rank:
            both = np.concatenate([o, c]).argsort(0).argsort(0) / (2 * len(o))
            o, c = both[: len(o)], both[len(o) :]
        n = np.stack([~y, y], -1) * 1.0
        return (c - o)[..., None] * n, n

    return draw


def _groups(sizes: int, each: int) -> tuple[int, ...]:
    return (each,) * sizes


COMMON = [
    ((1000, 20), 0.01),
    ((1000, 20), 0.02),
    ((1000, 20), 0.05),
    ((1000, 20), 0.10),
    ((1000, 40), 0.01),
    ((1000, 40), 0.02),
    ((1000, 100), 0.01),
    ((1000, 100), 0.05),
    ((200, 20), 0.02),
    ((200, 20), 0.05),
    ((5000, 200), 0.01),
]
TEN = (0.3, 3.0, 0.5, 2.0, 1.0, 0.4, 2.5, 0.7, 1.5, 1.0)
TEN_SIZES = (200, 20, 150, 25, 100, 30, 40, 60, 22, 300)

PILOTS = (
    *(
        Pilot(f"common loss {q:.0%}, {a} / {b}", (a, b), True, _rare((q, q), (0, 0)))
        for (a, b), q in COMMON
    ),
    Pilot(
        "common loss 1%, both labels, 1000 / 20", (1000, 20), True, _rare((0.01,) * 2, (0, 0), 2)
    ),
    Pilot(
        "common loss 5%, 6 groups",
        (1000, 300, 200, 100, 40, 20),
        True,
        _rare((0.05,) * 6, (0,) * 6),
    ),
    Pilot("5% drop by U(.2, .9), 500 / 20", (500, 20), True, _continuous("rare drop")),
    Pilot("lognormal change, 500 / 20", (500, 20), True, _continuous("lognormal")),
    Pilot("Cauchy change, 150 / 150", (150, 150), True, _continuous("cauchy")),
    Pilot(
        "noisier 60: 10% each way, 1000 at 2%", (1000, 60), True, _rare((0.02, 0.1), (0.02, 0.1))
    ),
    Pilot(
        "noisier 20: 10% each way, 1000 at 2%", (1000, 20), True, _rare((0.02, 0.1), (0.02, 0.1))
    ),
    Pilot(
        "quieter 20: 1% each way, 1000 at 10%", (1000, 20), True, _rare((0.1, 0.01), (0.1, 0.01))
    ),
    Pilot("4% lost, 1% gained, 1000 / 20", (1000, 20), True, _rare((0.04,) * 2, (0.01,) * 2)),
    Pilot("4% lost, 1% gained, 200 / 40", (200, 40), True, _rare((0.04,) * 2, (0.01,) * 2)),
    Pilot("4+1% / 10+7%, 1000 / 20", (1000, 20), True, _rare((0.04, 0.1), (0.01, 0.07))),
    Pilot("4+1% / 10+7%, 1000 / 60", (1000, 60), True, _rare((0.04, 0.1), (0.01, 0.07))),
    Pilot("1+0% / 6+5%, 1000 / 40", (1000, 40), True, _rare((0.01, 0.06), (0.0, 0.05))),
    Pilot("1+0% / 10+9%, 1000 / 20", (1000, 20), True, _rare((0.01, 0.1), (0.0, 0.09))),
    Pilot("1+0% / 10+9%, 1000 / 60", (1000, 60), True, _rare((0.01, 0.1), (0.0, 0.09))),
    Pilot("spread 1 / 4, 500 / 15", (500, 15), True, _noise((1.0, 4.0))),
    Pilot("spread 4 / 1, 500 / 15", (500, 15), True, _noise((4.0, 1.0))),
    Pilot("ten intersections, spread .3 to 3", TEN_SIZES, True, _noise(TEN)),
    Pilot("one patient of 50-200 images among 26", (300, 26), True, _clusters(3, (50, 200))),
    Pilot("one patient of 10-20 images among 26", (300, 26), True, _clusters(3, (10, 20))),
    Pilot("1 to 12 images, 300 / 26", (300, 26), True, _clusters(12, (1, 12))),
    Pilot("harm 1% -> 15%, 1000 / 20", (1000, 20), False, _rare((0.01, 0.15), (0, 0))),
    Pilot("harm 1% -> 10%, 1000 / 40", (1000, 40), False, _rare((0.01, 0.10), (0, 0))),
    Pilot("harm 1% -> 5%, 1000 / 100", (1000, 100), False, _rare((0.01, 0.05), (0, 0))),
    Pilot("harm 1% -> 3%, 1000 / 1000", (1000, 1000), False, _rare((0.01, 0.03), (0, 0))),
    Pilot("harm 5% -> 15%, 200 / 60", (200, 60), False, _rare((0.05, 0.15), (0, 0))),
    Pilot("harm 3% -> 25%, 200 / 15", (200, 15), False, _rare((0.03, 0.25), (0, 0))),
    Pilot("harm 8+8% -> 25+8%, 150 / 60", (150, 60), False, _rare((0.08, 0.25), (0.08, 0.08))),
    Pilot("4+1% -> 20+1%, 1000 / 20", (1000, 20), False, _rare((0.04, 0.2), (0.01, 0.01))),
    Pilot("4+1% -> 15+1%, 1000 / 60", (1000, 60), False, _rare((0.04, 0.15), (0.01, 0.01))),
    Pilot("2+2% -> 15+2%, 1000 / 40", (1000, 40), False, _rare((0.02, 0.15), (0.02, 0.02))),
    Pilot("drop .5 sd, 500 / 30 normal", (500, 30), False, _continuous("normal", 0.5)),
    Pilot("drop .6, 500 / 40 lognormal", (500, 40), False, _continuous("lognormal", 0.6)),
    Pilot("12 x 300, one harmed .22 sd", _groups(12, 300), False, _noise((1.0,) * 12, 0.22, 3)),
    Pilot(
        "12 x 100, one harmed .4 sd",
        _groups(12, 100),
        False,
        _noise((1.0,) * 12, 0.4, 3),
    ),
)
SCORES = tuple(
    Pilot(
        f"{what}, {n} / {n}, {harm} sd",
        (n, n),
        harm == 0,
        _scores(harm, what == "decisions", what == "ranks"),
    )
    for n in (150, 1000)
    for harm in (0.0, 0.25)
    for what in ("decisions", "scores", "ranks")
)
