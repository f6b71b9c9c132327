"""Runs the tests on every cell's cohorts and summarises how often each rejects."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.calibration.cells import CELLS, Cell
from experiments.calibration.simulate import Tables, parameters, simulate
from fairrecon_jax.inference.did import LABEL_WEIGHTS, MIN_PATIENTS
from fairrecon_jax.inference.published import published_summary
from fairrecon_jax.inference.resampling import resample_images
from fairrecon_jax.inference.signflip import PatientSums, sign_flip
from fairrecon_jax.keys import example_digest
from fairrecon_jax.types import Array, Key

FLIPS = 199
REPLICATES = 199
RULES = (MIN_PATIENTS, 15, 10)
ALIKE = (1.0, 1.0)
LEVEL = 0.05


class Outcomes(NamedTuple):
    """The results of each test on each cohort of a cell.

    Attributes:
      p: [C, len(RULES) + 2] p-values of the default test under each rule for small strata; under
        the first rule of the test that weighs both labels alike, and of its equal-opportunity form
        (label 1 only); NaN = not estimable.
      judged: [C] bool, the harmed group is estimable for the finding (label 1).
      changed: [C, 2] changed decisions per label.
      published: [C] one-tailed p of the published code (mean form).
      paper: [C] two-sided p, max form.
      change: [C] change of the mean-form gap.
    """

    p: np.ndarray
    judged: np.ndarray
    changed: np.ndarray
    published: np.ndarray
    paper: np.ndarray
    change: np.ndarray


def block_size(patients: int, images: int, groups: int) -> int:
    """Cohorts simulated at once: a function of the shape, bounded so that one block stays within
    about 200 MB.
    """
    return int(np.clip(2_500_000 // (patients * max(images * 2, groups * 4)), 10, 200))


def _digests(patients: int) -> np.ndarray:
    """Digests of patients numbered from 0."""
    return np.stack([np.arange(patients, dtype=np.uint32), np.zeros(patients, np.uint32)], 1)


def assess_tables(tables: Tables, key: Key, harmed: int) -> Outcomes:
    """Runs all tests on one block of cohorts.

    Args:
      tables: patient tables of K cohorts.
      key: scalar typed key of the block; its cohorts share signs.
      harmed: index of the harmed group.

    Returns:
      `Outcomes` of the K cohorts.
    """
    change, weight = tables.change, tables.weight
    present = jnp.sum(weight > 0, 0)
    families = [PatientSums(change, weight, present >= rule) for rule in (*RULES, RULES[0])]
    families.append(PatientSums(change[:, :, 1:], weight[:, :, 1:], present[:, 1:] >= RULES[0]))
    weights = (*(LABEL_WEIGHTS,) * len(RULES), ALIKE, (1.0,))
    pooled = (True,) * len(families)
    flips = sign_flip(
        tuple(families),
        _digests(change.shape[0]),
        key,
        flips=FLIPS,
        alpha=LEVEL,
        pooled=pooled,
        label_weights=weights,
    )
    drawn = jnp.asarray(
        resample_images(tables.counts, jax.random.fold_in(key, 1), replicates=REPLICATES)
    )
    mean = published_summary(tables.counts, drawn, form="mean")
    worst = published_summary(tables.counts, drawn, form="max")
    changed = jnp.sum(tables.counts[..., 0, 1] + tables.counts[..., 1, 0], -1)
    outcomes: tuple[Array, ...] = (
        jnp.stack([f.p_value for f in flips], -1),
        flips[0].estimable[:, 1, harmed],
        changed,
        mean[6],
        worst[7],
        mean[2],
    )
    return Outcomes(*(np.asarray(value) for value in outcomes))


def run_cell(cell: Cell, cohorts: int, seed: int = 0) -> Outcomes:
    """Simulates and tests a cell's cohorts; a function of the cell's name, the number of cohorts'
    blocks and the seed only.

    Args:
      cell: design and truth.
      cohorts: number of cohorts C.
      seed: of the whole study.

    Returns:
      `Outcomes` of C cohorts.
    """
    design = cell.design
    size = block_size(design.patients, design.images, len(design.sizes))
    # The name keys the cell's randomness: adding cells moves no other one's.
    root = jax.random.fold_in(jax.random.key(seed), example_digest(cell.name)[0])
    parts = []
    for block in range(-(-cohorts // size)):
        key = jax.random.fold_in(root, block)
        tables = simulate(
            key, parameters(cell), sizes=design.sizes, images=design.images, cohorts=size
        )
        parts.append(assess_tables(tables, jax.random.fold_in(key, 7), design.harmed))
    return Outcomes(*(np.concatenate(values)[:cohorts] for values in zip(*parts)))


def rejection(p: np.ndarray) -> float:
    """Share of p <= 5% among cohorts with a verdict."""
    known = np.isfinite(p)
    return float(np.mean(p[known] <= LEVEL)) if known.any() else float("nan")


def size_adjusted(planted: Outcomes, null: Outcomes) -> tuple[float, float]:
    """Power of the published statistics at the critical values that reject 5% of the null cell's
    cohorts.

    Args:
      planted: the cell with harm.
      null: the same design with the same gap before and no harm.

    Returns:
      Power of the published p-value (ties broken by the size of the change) and power of the
        absolute change of the gap.
    """

    def power(statistic: np.ndarray, reference: np.ndarray) -> float:
        critical = np.quantile(reference, 1 - LEVEL, method="higher")
        # Ties with the critical value are rejected with probability 5%.
        return float(np.mean(statistic > critical) + LEVEL * np.mean(statistic == critical))

    # The p has few values: the change breaks its ties.
    by_p = [-o.published + 1e-3 * np.abs(o.change) for o in (planted, null)]
    by_change = [np.abs(o.change) for o in (planted, null)]
    return power(*by_p), power(*by_change)


def summarise(
    cell: Cell, outcomes: Outcomes, null: Outcomes | None, seconds: float
) -> dict[str, object]:
    """One row of the result table."""
    design, truth = cell.design, cell.truth
    adjusted = (float("nan"), float("nan")) if null is None else size_adjusted(outcomes, null)
    share = np.isfinite(outcomes.p[:, 0])
    row: dict[str, object] = {
        "design": design.name,
        "truth": truth.name,
        "family": truth.family,
        "cohorts": len(outcomes.p),
        "patients": design.patients,
        "groups": len(design.sizes),
        "smallest_group": min(design.sizes),
        "images": design.images,
        "prevalence": design.prevalence,
        "harm": design.harm * truth.harmed,
        "gap": truth.gap,
        "changed_label_0": float(np.median(outcomes.changed[:, 0])),
        "changed_label_1": float(np.median(outcomes.changed[:, 1])),
        "estimable": float(share.mean()),
        "harmed_estimable": float(outcomes.judged.mean()),
    }
    row |= {f"default_{rule}": rejection(outcomes.p[:, i]) for i, rule in enumerate(RULES)}
    row |= {"alike": rejection(outcomes.p[:, -2]), "default_eop": rejection(outcomes.p[:, -1])}
    row["std_error"] = float(
        np.sqrt(
            max(row[f"default_{RULES[0]}"] * (1 - row[f"default_{RULES[0]}"]), 1e-9)
            / max(share.sum(), 1)
        )
    )  # type: ignore[operator]
    row |= {"published": rejection(outcomes.published), "paper": rejection(outcomes.paper)}
    row |= {
        "published_size_adjusted": adjusted[0],
        "published_change_size_adjusted": adjusted[1],
        "seconds": round(seconds, 1),
    }
    return row


def run_study(
    cohorts: int, planted_cohorts: int, seed: int = 0, cells: Iterable[Cell] = CELLS
) -> pd.DataFrame:
    """Runs all cells.

    Args:
      cohorts: cohorts of a null cell.
      planted_cohorts: cohorts of a cell with planted harm.
      seed: of the whole study.
      cells: the cells; planted ones use the null cell of the same design and gap, which must come
        before them.

    Returns:
      One row per cell.
    """
    nulls: dict[tuple[str, float], Outcomes] = {}
    rows = []
    for cell in cells:
        start = time.perf_counter()
        planted = cell.truth.family == "planted"
        outcomes = run_cell(cell, planted_cohorts if planted else cohorts, seed)
        match = (cell.design.name, cell.truth.gap)
        if not planted:
            nulls.setdefault(match, outcomes)
        rows.append(
            summarise(
                cell, outcomes, nulls.get(match) if planted else None, time.perf_counter() - start
            )
        )
        line = rows[-1]
        print(
            f"{cell.name}: default {line[f'default_{RULES[0]}']:.3f} published "
            f"{line['published']:.3f} ({line['seconds']} s)",
            flush=True,
        )
    return pd.DataFrame(rows)
