"""Rows on methods: the gap is that of judged groups, and who is at chance is said in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions, assess
from fairrecon_jax.assessment.on_arrays import predictions

COUNT = 300
PERSON = np.arange(COUNT)
TRUTH = (PERSON % 2).astype(float)
HALVES = np.where(PERSON < COUNT // 2, "a", "b")
OPTIONS = AssessOptions(
    threshold_rule="fixed",
    threshold_value=0.5,
    permutations=99,
    null_draws=20,
    threshold_redraws=0,
)


def assessed(
    originals: Sequence[np.ndarray],
    reconstructions: Sequence[np.ndarray],
    group: np.ndarray,
    groups: tuple[str, ...] = (),
) -> pd.DataFrame:
    """The fairness table of one network per pair of scores."""
    parts = []
    for seed, (before, after) in enumerate(zip(originals, reconstructions, strict=True)):
        table, spec = predictions(
            label=TRUTH,
            original=before,
            reconstructed=after,
            groups={"g": group},
            example=PERSON,
            patient=PERSON,
        )
        parts.append(table.assign(seed=seed))
    if groups:
        # a group that nobody is in is known to the cohort alone
        attributes = tuple(dataclasses.replace(a, groups=groups) for a in spec.attributes)
        spec = dataclasses.replace(spec, attributes=attributes)
    return assess(pd.concat(parts, ignore_index=True), spec, OPTIONS)[1]


def of_method(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows over all trainings of one metric."""
    return rows[rows["seed"].isna() & (rows["metric"] == metric)]


def losing(seed: int, share: float = 0.1) -> np.ndarray:
    """Which images lose their decision under a training."""
    return np.random.default_rng(seed).random(COUNT) < share


# -- the gap


@pytest.mark.parametrize("empty", [False, True], ids=["four patients", "no patient"])
def test_the_gap_is_that_of_the_judged_groups(empty):
    group = np.where(PERSON < 8, "c", HALVES).astype(object)
    if empty:
        group[group == "c"] = None
    before = np.where(TRUTH == 1, 0.9, 0.1)
    after = [np.where(losing(s) | (PERSON < 8), 1 - before, before) for s in range(3)]
    rows = assessed([before] * 3, after, group, ("a", "b", "c"))
    for metric in ("eop", "eodd"):
        own = rows[(rows["metric"] == metric) & (rows["convention"] == "worst_case_estimable")]
        own = own[own["version"] == "change"]
        method, networks = own[own["seed"].isna()].iloc[0], own[own["seed"].notna()]
        assert len(networks) == 3
        # the four lose everything: over all groups the gap would be about .9
        assert 0 < method["reconstructed"] <= networks["reconstructed"].max() < 0.2
        assert method["change"] == method["reconstructed"] - method["original"]
    labels = (0, 1)
    rates = {
        (g, y): 1 - np.mean([losing(s)[(group == g) & (TRUTH == y)].mean() for s in range(3)])
        for g in "ab"
        for y in labels
    }
    found = of_method(rows, "eodd")["reconstructed"].item()
    assert found == pytest.approx(max(abs(rates["a", y] - rates["b", y]) for y in labels))


def test_the_skewed_error_ratio_of_a_method_is_a_ratio():
    parts = []
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(0, 0.01, COUNT)
        dice = np.where(HALVES == "a", 0.6, 0.8) + noise
        table, spec = predictions(
            original=np.full(COUNT, 0.8),
            reconstructed=dice,
            kind="segmentation",
            groups={"g": HALVES},
            example=PERSON,
            patient=PERSON,
        )
        parts.append(table.assign(seed=seed))
    rows = assess(pd.concat(parts, ignore_index=True), spec, OPTIONS)[1]
    ratio, difference = (
        of_method(rows, name)["reconstructed"].item() for name in ("ser", "delta_dice")
    )
    assert ratio == pytest.approx(2, abs=0.05)
    assert difference == pytest.approx(0.2, abs=0.01)


# -- at chance


def test_no_row_of_a_method_at_chance_has_a_verdict():
    before = np.random.default_rng(5).random(COUNT)
    after = np.where(HALVES == "a", 0.0, before)
    rows = assessed([before] * 3, [after] * 3, HALVES)
    for metric in ("eodd", "gap_sensitivity", "gap_specificity", "gap_auroc"):
        found = of_method(rows, metric)
        assert set(found["verdict"]) == {"at chance"}, metric
        assert found["p_adjusted"].isna().all()
        assert found["reason"].str.startswith("mean of 3 trainings: the AUROC on originals").all()


def skilled(seed: int, skill: float) -> np.ndarray:
    """Scores on originals of a diagnoser of one training."""
    noise = 0.3 * np.random.default_rng(seed).normal(size=COUNT)
    return np.clip(0.5 + skill * (TRUTH - 0.5) + noise, 0, 1)


def judged(skills: Sequence[float]) -> pd.Series:
    """The judged row of a method whose diagnosers have those skills."""
    before = [skilled(seed, skill) for seed, skill in enumerate(skills)]
    after = [np.where(HALVES == "a", 0.5 * score, score) for score in before]
    rows = of_method(assessed(before, after, HALVES), "eodd")
    assert len(rows) == 1
    return rows.iloc[0]


def test_all_trainings_count_where_some_are_at_chance():
    row = judged((0.4, 0.4, 0.4, 0.0, 0.0))
    assert row["verdict"] == "harmed"
    assert "mean of 5 trainings" in row["reason"]
    said = "the diagnosis is at chance in 2 of 5 trainings, not in their mean"
    assert row["reason"].endswith(said)


def test_a_method_whose_mean_is_at_chance_is_said_to_be():
    row = judged((0.1, 0.0, 0.0, 0.0))
    assert row["verdict"] == "at chance"
    assert row["reason"].startswith("mean of 4 trainings: the AUROC on originals, 0.")
    assert np.isnan(row["p_adjusted"])


def test_nothing_is_added_where_no_training_is_at_chance():
    assert "at chance" not in judged((0.4, 0.4, 0.4))["reason"]
