"""Groups whose members all change by the same amount."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions, assess, compare
from fairrecon_jax.assessment.on_arrays import predictions


def sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, object]:
    rng = np.random.default_rng(0)
    label, sex = rng.integers(0, 2, 400), rng.choice(["f", "m"], 400)
    logit, women = 2.0 * label - 1 + rng.normal(size=400), (sex == "f") & (label == 1)
    parts = [
        predictions(
            label=label,
            original=sigmoid(logit),
            reconstructed=sigmoid(logit - loss * women),
            groups={"sex": sex},
            example=np.arange(400),
            mitigation=name,
        )
        for name, loss in (("none", 1.0), ("fairer", 0.2))
    ]
    return pd.concat([part for part, _ in parts], ignore_index=True), parts[0][1]


OPTIONS = AssessOptions(
    permutations=199, null_draws=20, threshold_rule="fixed", threshold_value=0.5
)


def primary(rows: pd.DataFrame, metric: str) -> pd.Series:
    found = rows[
        (rows["version"] == "change")
        & (rows["metric"] == metric)
        & (rows["reference_group"] != "the other groups")
        & rows["convention"].isin(["", "worst_case_estimable"])
    ]
    return found.iloc[0]


def test_the_group_that_lost_is_named_and_not_the_one_that_stayed(table):
    fairness = assess(*table, OPTIONS)[1]
    plain = fairness[fairness["mitigation"] == "none"]
    row = primary(plain, "gap_score")
    assert (row["verdict"], row["group"]) == ("harmed", "f")


def test_a_gain_of_the_worse_off_is_no_levelling_down_of_those_who_stayed(table):
    mitigated = compare(*table, OPTIONS)
    for metric in ("gap_score", "eodd"):
        row = primary(mitigated, metric)
        assert (row["verdict"], row["group"]) == ("helped", "f"), metric
