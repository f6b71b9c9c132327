"""How often the permutation null of a gap rejects where groups are equally well off, and how often
where they are not: `python -m experiments.calibration.gap_nulls [--cohorts=2000] [--only=TEXT]`.

Prints, per design, the share of cohorts with p <= 5%. Groups of the null designs differ in
prevalence, images per patient or spread, but have the same rates or means. About two minutes on one
core with 2,000 cohorts (standard error .005).
"""

from __future__ import annotations

import argparse
import dataclasses
import zlib

import numpy as np

from fairrecon_jax.inference.permutation import permutation_null, permutation_null_means

BLOCK = 20
"""Cohorts that share patients, groups and labels."""

PERMUTATIONS = 299


@dataclasses.dataclass(frozen=True)
class Design:
    """A cohort of groups.

    Attributes:
      name: what it is.
      patients: of each group.
      images: of each patient, by group.
      prevalence: share of positives by group; empty: a value is averaged, not a decision.
      rates: false-positive rate and sensitivity, by group.
      spread: of a value, by group.
      shift: of a value's mean, by group.
      skewed: the value is lognormal instead of normal.
      correlation: share of the variance that images of a patient have in common, by group.
      null: whether all groups are equally well off.
    """

    name: str
    patients: tuple[int, ...]
    images: tuple[int, ...] = ()
    prevalence: tuple[float, ...] = ()
    rates: tuple[tuple[float, float], ...] = ()
    spread: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    skewed: bool = False
    correlation: tuple[float, ...] = (0.5,)
    null: bool = True


RATES = ((0.2, 0.8),)
DESIGNS = (
    Design("equal, 150 / 150", (150, 150), prevalence=(0.3, 0.3)),
    Design("equal, 20 / 20", (20, 20), prevalence=(0.5, 0.5)),
    Design("equal, 280 / 108 / 12", (280, 108, 12), prevalence=(0.3, 0.3, 0.3)),
    Design("six groups of 60", (60,) * 6, prevalence=(0.3,) * 6),
    Design("prevalence .30 / .05", (300, 300), prevalence=(0.3, 0.05)),
    Design("prevalence .30 / .05, 500 / 100", (500, 100), prevalence=(0.3, 0.05)),
    Design("prevalence .30 / .15 / .05", (300, 300, 300), prevalence=(0.3, 0.15, 0.05)),
    Design("prevalence .30 / .30 / .05", (500, 300, 100), prevalence=(0.3, 0.3, 0.05)),
    Design("8 / 1 images", (100, 100), (8, 1), (0.3, 0.3)),
    Design("8 / 1 images, 40 / 300", (40, 300), (8, 1), (0.3, 0.3)),
    Design("1 / 8 images, 300 / 20", (300, 20), (1, 8), (0.3, 0.3)),
    Design("8 / 4 / 1 images", (80, 80, 80), (8, 4, 1), (0.3, 0.3, 0.3)),
    Design("8 / 1 images, prevalence .30 / .05", (100, 200), (8, 1), (0.3, 0.05)),
    Design("20 / 2 images, 25 / 200", (25, 200), (20, 2), (0.3, 0.3)),
    Design("8 images, .9 / .1 alike", (60, 60), (8, 8), (0.3, 0.3), correlation=(0.9, 0.1)),
    Design(
        "8 images, .1 / .9 alike, 200 / 20", (200, 20), (8, 8), (0.3, 0.3), correlation=(0.1, 0.9)
    ),
    Design("few false alarms, 1000 / 40", (1000, 40), (), (0.3, 0.3), ((0.02, 0.95),)),
    Design("mean, equal, 150 / 150", (150, 150), spread=(1, 1)),
    Design("mean, equal, 500 / 20", (500, 20), spread=(1, 1)),
    Design("mean, lognormal, 500 / 20", (500, 20), spread=(1, 1), skewed=True),
    Design("mean, spread 1 / 3, 200 / 20", (200, 20), spread=(1, 3)),
    Design("mean, spread 1 / 3, 500 / 20", (500, 20), spread=(1, 3)),
    Design("mean, spread 1 / 3, 500 / 10", (500, 10), spread=(1, 3)),
    Design("mean, spread 3 / 1, 200 / 20", (200, 20), spread=(3, 1)),
    Design("mean, spread 1 / 1 / 3", (200, 100, 20), spread=(1, 1, 3)),
    Design("mean, 8 / 1 images, 150 / 50", (150, 50), (8, 1), spread=(1, 1)),
    Design("mean, ten groups, spread .3 to 3", (40,) * 10, spread=tuple(np.geomspace(0.3, 3, 10))),
    Design(
        "harm, 150 / 150",
        (150, 150),
        (),
        (0.3, 0.3),
        ((0.2, 0.85), (0.2, 0.6)),
        null=False,
    ),
    Design(
        "harm to the small one, 400 / 60",
        (400, 60),
        (),
        (0.3, 0.3),
        ((0.2, 0.85), (0.2, 0.6)),
        null=False,
    ),
    Design(
        "harm to one of six",
        (100,) * 6,
        (),
        (0.3,) * 6,
        ((0.2, 0.85),) * 5 + ((0.2, 0.5),),
        null=False,
    ),
    Design("mean, harm, 150 / 150", (150, 150), spread=(1, 1), shift=(0, 0.35), null=False),
    Design("mean, harm, 300 / 30", (300, 30), spread=(1, 1), shift=(0, 0.6), null=False),
    Design(
        "mean, harm to one of six",
        (50,) * 6,
        spread=(1,) * 6,
        shift=(0,) * 5 + (0.5,),
        null=False,
    ),
)


def draw(design: Design, r: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Values [K, N] (decisions or not), labels [N], groups [N] and patients [N] of a block."""
    images = np.repeat(design.images or (1,) * len(design.patients), design.patients)
    group = np.repeat(np.repeat(np.arange(len(design.patients)), design.patients), images)
    patient = np.repeat(np.arange(len(images)), images)
    common = r.normal(size=(BLOCK, len(images)))[:, patient]
    own = r.normal(size=common.shape)
    shared = np.resize(design.correlation, len(design.patients))[group]
    latent = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    if not design.prevalence:
        value = np.exp(latent) if design.skewed else latent * np.asarray(design.spread)[group]
        return (
            value - np.asarray(design.shift or (0,) * len(images))[group],
            np.ones(0),
            group,
            patient,
        )
    label = (r.random(len(group)) < np.asarray(design.prevalence)[group]).astype(int)
    rates = np.asarray((design.rates or RATES) * len(design.patients))[: len(design.patients)]
    limit = np.quantile(r.normal(size=200_000), 1 - rates)[group, label]
    return (latent > limit).astype(float), label, group, patient


def rejections(design: Design, cohorts: int) -> dict[str, float]:
    """Share of cohorts with p <= 5%, by gap."""
    generator = np.random.default_rng(zlib.crc32(design.name.encode()))
    found: dict[str, list[np.ndarray]] = {}
    for block in range(-(-cohorts // BLOCK)):
        value, label, group, patient = draw(design, generator)
        options = {"groups": len(design.patients), "permutations": PERMUTATIONS}
        nulls = (
            permutation_null(value, label, group, patient, block, **options)
            if design.prevalence
            else permutation_null_means(value, group, patient, block, **options)
        )
        for name, null in nulls.items():
            found.setdefault(name, []).append(null.p_value <= 0.05)
    return {name: float(np.mean(parts)) for name, parts in found.items() if name != "ser"}


def main() -> None:
    """Prints a line per design."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    options = parser.parse_args()
    for design in DESIGNS:
        if options.only in design.name:
            shares = rejections(design, options.cohorts)
            numbers = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
            print(f"{'null' if design.null else 'harm'}  {design.name}: {numbers}", flush=True)


if __name__ == "__main__":
    main()
