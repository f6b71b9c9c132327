"""Pilot of the test of equal changes on the designs of `pilot_designs` and on cells of the study:
`python -m experiments.calibration.pilot SET COHORTS [NAMES [RULES]]`, SET one of rare, scores, old.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Iterable, Sequence

import jax
import numpy as np

from experiments.calibration.cells import CELLS, Cell
from experiments.calibration.pilot_designs import PILOTS, SCORES, Pilot, cohorts_of
from experiments.calibration.simulate import parameters, simulate
from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.group_statistic import ONE_SIDED
from fairrecon_jax.inference.group_tables import PatientTables, patient_digests

DRAWS = 299
BLOCK = 50


def _old(cell: Cell, block: int, cohorts: int) -> PatientTables:
    """Cohorts of a cell of the main study."""
    design = cell.design
    key = jax.random.fold_in(jax.random.key(block), zlib.crc32(cell.name.encode()))
    tables = simulate(
        key, parameters(cell), sizes=design.sizes, images=design.images, cohorts=cohorts
    )
    s, n = (np.asarray(v).sum(-1).astype(float) for v in (tables.change, tables.weight))
    group = np.repeat(np.arange(len(design.sizes)), design.sizes)
    digest = patient_digests(np.arange(len(group)))[1]
    return PatientTables(s, n, group, digest, digest, np.zeros(len(group), int), len(design.sizes))


def p_values(
    tables: PatientTables, seed: int, rule: int, effective: float
) -> dict[str, np.ndarray]:
    """p of every variant for each cell: sign flips, permutations, the larger of the two, and the
    test.
    """
    plain, chosen = (
        group_test(
            tables,
            seed=seed,
            permutations=DRAWS,
            first=DRAWS,
            min_patients=rule,
            min_effective=effective,
            one_sided=share,
            combine=combine,
        )
        for share, combine in ((0.0, False), (ONE_SIDED, True))
    )
    blank = np.where(np.isnan(plain.p_value), np.nan, 1.0)
    return {
        "SF": plain.p_robust,
        "SP": plain.p_permutation,
        "max": plain.p_value,
        "test": chosen.p_value,
        "one-sided": blank * (1 - chosen.one_sided.all(-1)),
    }


def run(designs: Iterable[Pilot | Cell], cohorts: int, rules: Sequence[tuple[int, float]]) -> None:
    """Prints a row per design and rule."""
    names: list[str] = []
    for design in designs:
        start = time.process_time()
        for rule, effective in rules:
            parts = []
            for block in range(-(-cohorts // BLOCK)):
                if isinstance(design, Pilot):
                    generator = np.random.default_rng([zlib.crc32(design.name.encode()), block])
                    tables = cohorts_of(design, generator, BLOCK)
                else:
                    tables = _old(design, block, BLOCK)
                parts.append(p_values(tables, 1000 + block, rule, effective))
            if not names:
                names = list(parts[0])
                print("design;rule;effective;judged;" + ";".join(names) + ";seconds")
            every = {k: np.concatenate([p[k] for p in parts]) for k in names}
            known = np.isfinite(every["SF"])
            rates = [
                f"{np.mean(every[k][known] <= 0.05):.3f}" if known.any() else "" for k in names
            ]
            seconds = time.process_time() - start
            print(
                f"{design.name};{rule};{effective:g};{known.mean():.2f};"
                + ";".join(rates)
                + f";{seconds:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    which, number = sys.argv[1], int(sys.argv[2])
    sets: dict[str, Iterable[Pilot | Cell]] = {"rare": PILOTS, "scores": SCORES, "old": CELLS}
    words = sys.argv[3].split("|") if len(sys.argv) > 3 else [""]
    rules = [int(rule) for rule in sys.argv[4].split(",")] if len(sys.argv) > 4 else [10, 20]
    chosen = [d for w in words for d in sets[which] if w in d.name]
    run(chosen, number, [(rule, float(rule)) for rule in rules])
