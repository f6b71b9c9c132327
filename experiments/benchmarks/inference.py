"""Bootstraps against straightforward pandas loops and fairlearn, at the size of a chest X-ray
study.

A peer's loop runs a few iterations; `shape` says by how much its time is scaled. Every side works
on one attribute.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import pandas as pd

from experiments.benchmarks.harness import Comparison, benchmark
from fairrecon_jax.inference import bootstrap_decisions, did_test

IMAGES, PATIENTS, TASKS, RECONSTRUCTORS, GROUPS, REPLICATES = 38_000, 13_000, 12, 3, 6, 1000
ITERATIONS = {"image": 6, "patient": 3, "fairlearn": 2}
KEY = jax.random.key(0)


def cohort(
    images: int = IMAGES, patients: int = PATIENTS, tasks: int = TASKS
) -> tuple[np.ndarray, ...]:
    """Decisions [tasks, 1, N] on originals, [tasks, reconstructors, N] on reconstructions, labels,
    group and patient [N].
    """
    rng = np.random.default_rng(0)
    patient = np.concatenate([np.arange(patients), rng.integers(0, patients, images - patients)])
    group = rng.choice(GROUPS, patients, p=[0.5, 0.2, 0.15, 0.08, 0.055, 0.015])[patient]
    label = (rng.random((tasks, 1, images)) < 0.2).astype(np.float32)
    original = (rng.random((tasks, 1, images)) < 0.2 + 0.5 * label).astype(np.float32)
    turned = rng.random((tasks, RECONSTRUCTORS, images)) < 0.1
    return original, np.where(turned, 1 - original, original), label, group, patient


def frame(data: tuple[np.ndarray, ...]) -> pd.DataFrame:
    """The first task and reconstructor as a table."""
    o, r, y, g, patient = data
    return pd.DataFrame(
        {
            "original": o[0, 0],
            "reconstructed": r[0, 0],
            "label": y[0, 0],
            "group": g,
            "patient": patient,
        }
    )


def pandas_gap(table: pd.DataFrame, column: str) -> float:
    """Worst-case equalised-odds difference of one version, by groupby."""
    rate = table.groupby(["label", "group"])[column].mean().unstack()
    return float((rate.max(axis=1) - rate.min(axis=1)).max())


def pandas_bootstrap(table: pd.DataFrame, unit: str, iterations: int, seed: int = 0) -> np.ndarray:
    """Changes of the gap in resamples of images, or of patients with all their images."""
    rng = np.random.default_rng(seed)
    changes = []
    # Grouped once, not in every draw.
    parts = dict(list(table.groupby("patient"))) if unit == "patient" else {}
    names = np.array(list(parts))
    for _ in range(iterations):
        if unit == "image":
            drawn = table.sample(len(table), replace=True, random_state=rng)
        else:
            drawn = pd.concat([parts[name] for name in rng.choice(names, len(names))])
        changes.append(pandas_gap(drawn, "reconstructed") - pandas_gap(drawn, "original"))
    return np.array(changes)


def _shape(unit: str, peer: str, iterations: int) -> str:
    """What was compared, and by how much the peer's work is to be multiplied."""
    problems = TASKS * RECONSTRUCTORS
    return (
        f"{IMAGES} images, {PATIENTS} patients, {GROUPS} groups; ours: {problems} "
        f"problems x {REPLICATES} replicates by {unit} with BCa; "
        f"{peer}: {iterations} iterations of 1 problem, so multiply ratio by "
        f"{problems * REPLICATES / iterations:.0f}"
    )


def _ours(unit: str) -> Callable[[], object]:
    """The whole bootstrap of all problems of one attribute."""
    data = cohort()
    return lambda: bootstrap_decisions(
        *data, KEY, groups=GROUPS, replicates=REPLICATES, resample=unit
    )  # type: ignore[arg-type]


@benchmark("bootstrap_image")
def bootstrap_image() -> Comparison:
    """Image-level bootstrap of equalised odds against resampling a table with pandas."""
    table, iterations = frame(cohort()), ITERATIONS["image"]
    return Comparison(
        _ours("image"),
        lambda: pandas_bootstrap(table, "image", iterations),
        _shape("image", "pandas", iterations),
        3,
    )


@benchmark("bootstrap_patient")
def bootstrap_patient() -> Comparison:
    """Patient-level bootstrap of equalised odds against resampling patients with pandas."""
    table, iterations = frame(cohort()), ITERATIONS["patient"]
    return Comparison(
        _ours("patient"),
        lambda: pandas_bootstrap(table, "patient", iterations),
        _shape("patient", "pandas", iterations),
        3,
    )


@benchmark("bootstrap_fairlearn")
def bootstrap_fairlearn() -> Comparison:
    """Image-level bootstrap of equalised odds against `fairlearn.metrics.MetricFrame(n_boot=...)`,
    which reports both rates by group.
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate

    table, iterations = frame(cohort()), ITERATIONS["fairlearn"]
    metrics = {"tpr": true_positive_rate, "fpr": false_positive_rate}

    def both() -> list[object]:
        frames = []
        for column in ("original", "reconstructed"):
            shared = dict(
                metrics=metrics,
                y_true=table["label"],
                y_pred=table[column],
                sensitive_features=table["group"],
            )
            frames.append(
                MetricFrame(
                    **shared, n_boot=iterations, ci_quantiles=[0.025, 0.975], random_state=0
                ).difference_ci()
            )
        return frames

    return Comparison(_ours("image"), both, _shape("image", "fairlearn, unpaired", iterations), 3)


@benchmark("did_test")
def did_benchmark() -> Comparison:
    """Test with 9,999 sign flips of all problems against a NumPy loop over draws."""
    data = cohort()
    draws = 3
    change = np.abs(data[1] - data[0])[0, 0]
    patient, group = data[4], data[3]

    def plain() -> list[float]:
        rng = np.random.default_rng(0)
        statistics = []
        for _ in range(draws):
            signs = rng.choice([-1.0, 1.0], PATIENTS)[patient]
            sums = pd.Series(signs * change).groupby([data[2][0, 0], group]).agg(["mean", "var"])
            statistics.append(float((sums["mean"] ** 2 / sums["var"]).sum()))
        return statistics

    problems = TASKS * RECONSTRUCTORS
    shape = (
        f"{IMAGES} images, {PATIENTS} patients, {GROUPS} groups; ours: {problems} "
        f"problems x 9999 flips; pandas: {draws} flips of "
        f"1 problem, so multiply ratio by {problems * 9999 / draws:.0f}"
    )
    return Comparison(lambda: did_test(*data, KEY, groups=GROUPS), plain, shape, 3)
