"""The test of equal changes and the published bootstrap against pandas loops and fairlearn, at the
size of a chest X-ray study.

A peer's loop runs a few iterations; `shape` says by how much its time is scaled. Every side works
on one attribute.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from experiments.benchmarks.harness import Comparison, benchmark
from fairrecon_jax.inference import decision_changes, group_test, published_test

IMAGES, PATIENTS, TASKS, RECONSTRUCTORS, GROUPS, REPLICATES = 38_000, 13_000, 12, 3, 6, 1000
ITERATIONS = {"image": 6, "fairlearn": 2, "group": 3}
DRAWS = 999


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


def pandas_bootstrap(table: pd.DataFrame, iterations: int, seed: int = 0) -> np.ndarray:
    """Changes of the gap in resamples of images."""
    rng = np.random.default_rng(seed)
    changes = []
    for _ in range(iterations):
        drawn = table.sample(len(table), replace=True, random_state=rng)
        changes.append(pandas_gap(drawn, "reconstructed") - pandas_gap(drawn, "original"))
    return np.array(changes)


def _shape(peer: str, iterations: int) -> str:
    """What was compared, and by how much the peer's work is to be multiplied."""
    problems = TASKS * RECONSTRUCTORS
    return (
        f"{IMAGES} images, {PATIENTS} patients, {GROUPS} groups; ours: {problems} problems x "
        f"{REPLICATES} replicates by image; {peer}: {iterations} iterations of 1 problem, so "
        f"multiply ratio by {problems * REPLICATES / iterations:.0f}"
    )


def _problems(data: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Decisions of both versions and labels as [K, N], K = tasks x reconstructors."""
    o, r, y = data[:3]
    return tuple(np.broadcast_to(part, r.shape).reshape(-1, r.shape[-1]) for part in (o, r, y))


def _ours() -> Callable[[], object]:
    """The published recipe's bootstrap of all problems of one attribute."""
    data = cohort()
    return lambda: published_test(
        *_problems(data), data[3], 0, groups=GROUPS, replicates=REPLICATES
    )


@benchmark("bootstrap_image")
def bootstrap_image() -> Comparison:
    """Image-level bootstrap of equalised odds against resampling a table with pandas."""
    table, iterations = frame(cohort()), ITERATIONS["image"]
    return Comparison(
        _ours(),
        lambda: pandas_bootstrap(table, iterations),
        _shape("pandas", iterations),
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

    return Comparison(_ours(), both, _shape("fairlearn, unpaired", iterations), 3)


@benchmark("group_test")
def group_benchmark() -> Comparison:
    """The test of equal changes with 999 permutations and sign flips of all problems against a
    pandas loop over permutations.
    """
    data = cohort()
    first = _problems(data)
    change, patient, group = (first[1] - first[0])[0], data[4], data[3]

    def ours() -> object:
        found = decision_changes(*first, group, patient, groups=GROUPS)
        return group_test(found.tables, seed=0, permutations=DRAWS, decisions=True)

    def plain() -> list[float]:
        rng = np.random.default_rng(0)
        own = pd.Series(group).groupby(patient).first().to_numpy()
        statistics = []
        for _ in range(ITERATIONS["group"]):
            permuted = rng.permutation(own)[patient]
            sums = pd.Series(change).groupby([first[2][0], permuted]).agg(["mean", "var"])
            statistics.append(float((sums["mean"] ** 2 / sums["var"]).sum()))
        return statistics

    problems = TASKS * RECONSTRUCTORS
    shape = (
        f"{IMAGES} images, {PATIENTS} patients, {GROUPS} groups; ours: {problems} problems x "
        f"{DRAWS} draws of two nulls; pandas: {ITERATIONS['group']} permutations of 1 problem, so "
        f"multiply ratio by {problems * DRAWS / ITERATIONS['group']:.0f}"
    )
    return Comparison(ours, plain, shape, 3)
