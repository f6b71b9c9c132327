"""Thresholds, gaps and scores of random tables against scikit-learn and fairlearn on the same rows,
with three groups and ties.
"""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    equalized_odds_difference,
    false_positive_rate,
    true_positive_rate,
)
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import AssessOptions, points
from fairrecon_jax.assessment.arrays import studies
from fairrecon_jax.assessment.thresholds import fit
from fairrecon_jax.physics import describe
from fairrecon_jax.types import Attribute, CohortSpec, Task
from tests.support.roc_oracle import balanced, curve

SPEC = CohortSpec(
    "random",
    "Random",
    "xray",
    (Task("finding", "classification"), Task("region", "segmentation", "mean")),
    (Attribute("sex", ("Female", "Male")), Attribute("race", ("a", "b", "c"))),
    describe("xray_low_dose", (1e5, 1e4), 1e4),
)
LEVELS = (1e4, 1e5)
SEEDS = (0, 1, 2)


def random_table(seed: int, size: int = 240) -> pd.DataFrame:
    """Two levels; scores in steps of 0.05 (ties), some labels, groups and scores unknown."""
    r = np.random.default_rng(seed)
    people = [f"p{i:03d}" for i in range(size)]
    base = pd.DataFrame(
        {"example_id": people, "patient_id": people, "reconstructor": "unet", "psnr": 30.0}
    )
    base["split"] = np.where(np.arange(size) % 3 == 0, "val", "test")
    base["sex"] = r.choice(np.array(["Female", "Male", None]), size, p=[0.45, 0.45, 0.1])
    base["race"] = r.choice(np.array(["a", "b", "c", None]), size, p=[0.5, 0.3, 0.15, 0.05])
    label = r.choice([0, 1, np.nan], size, p=[0.5, 0.4, 0.1])
    score = np.nan_to_num(label, nan=0.5) + r.normal(0, 0.8, size)
    parts = []
    for level in LEVELS:
        moved = score + r.normal(0, 0.3, size)
        frame = base.assign(level=level, finding__label=label, region__label=9.0)
        frame["finding__original"], frame["finding__reconstructed"] = (
            np.round(20 / (1 + np.exp(-s))) / 20 for s in (score, moved)
        )
        frame["region__original"], frame["region__reconstructed"] = 0.9, r.uniform(0.4, 0.9, size)
        parts.append(frame)
    whole = pd.concat(parts, ignore_index=True)
    whole.loc[r.choice(len(whole), 12, replace=False), "finding__reconstructed"] = np.nan
    whole["psnr"] = r.normal(30, 2, len(whole))
    return whole


TABLES = {seed: random_table(seed) for seed in SEEDS}


def whole_pairs(table, split, level):
    """Complete labelled rows of one level."""
    part = table[(table["split"] == split) & (table["level"] == level)]
    return part.dropna(subset=["finding__label", "finding__original", "finding__reconstructed"])


def fitted(table, rule, value=None):
    return fit(
        studies(table, SPEC)[0],
        SPEC.tasks[0],
        AssessOptions(threshold_rule=rule, threshold_value=value),
    )


def originals(table):
    """Validation originals that have a reconstruction in some study cell: what the shared threshold
    is fitted on.
    """
    parts = pd.concat([whole_pairs(table, "val", level) for level in LEVELS]).drop_duplicates(
        "example_id"
    )
    return parts["finding__label"], parts["finding__original"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_balanced_threshold_is_that_of_scikit_learns_curve(seed):
    thresholds = fitted(TABLES[seed], "balanced")
    np.testing.assert_allclose(thresholds.original, balanced(*originals(TABLES[seed])), atol=1e-12)
    np.testing.assert_array_equal(thresholds.reconstructed, thresholds.original)


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", SEEDS)
def test_thresholds_at_a_rate_are_those_of_scikit_learns_curve(seed, wanted):
    tau, sensitivity, specificity = curve(*originals(TABLES[seed]))
    at_sensitivity = tau[sensitivity >= wanted].max()
    np.testing.assert_allclose(
        fitted(TABLES[seed], "sensitivity", wanted).original, at_sensitivity, atol=1e-12
    )
    reach = tau[specificity >= wanted]
    np.testing.assert_allclose(
        fitted(TABLES[seed], "specificity", wanted).original, reach.min(), atol=1e-12
    )


@pytest.mark.parametrize(("rule", "split"), [("per_version", "val"), ("published", "test")])
def test_thresholds_per_version_are_fitted_on_their_own_rows(rule, split):
    thresholds = fitted(TABLES[0], rule)
    for k, level in enumerate(LEVELS):
        part = whole_pairs(TABLES[0], split, level)
        for version in ("original", "reconstructed"):
            wanted = balanced(part["finding__label"], part[f"finding__{version}"])
            np.testing.assert_allclose(getattr(thresholds, version)[k], wanted, atol=1e-12)


@pytest.fixture(scope="module", params=["val", "test"])
def pointed(request):
    """Points of every random table, in one part."""
    part = request.param
    return part, {
        seed: points(table, SPEC, AssessOptions(), part) for seed, table in TABLES.items()
    }


def value_of(estimates, metric, attribute, level):
    rows = estimates[
        (estimates["metric"] == metric)
        & (estimates["attribute"] == attribute)
        & (estimates["level"] == level)
    ]
    assert len(rows) == 1
    return rows["value"].iloc[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_points_are_those_of_scikit_learn_and_fairlearn(pointed, seed):
    split, estimates = pointed[0], pointed[1][seed]
    table, tau = TABLES[seed], balanced(*originals(TABLES[seed]))
    assert set(estimates["part"]) == {split}
    for level in LEVELS:
        part = whole_pairs(table, split, level)
        area = roc_auc_score(part["finding__label"], part["finding__reconstructed"])
        np.testing.assert_allclose(value_of(estimates, "auroc", "", level), area, atol=1e-12)
        for attribute in ("sex", "race"):
            known = part.dropna(subset=[attribute])
            truth, decision = (
                known["finding__label"],
                (known["finding__reconstructed"] >= tau).astype(float),
            )
            wanted = equalized_odds_difference(truth, decision, sensitive_features=known[attribute])
            np.testing.assert_allclose(
                value_of(estimates, "eodd", attribute, level), wanted, atol=1e-12
            )
            rates = {"fpr": false_positive_rate, "tpr": true_positive_rate}
            gaps = MetricFrame(
                metrics=rates, y_true=truth, y_pred=decision, sensitive_features=known[attribute]
            ).difference()
            np.testing.assert_allclose(
                value_of(estimates, "eodd", attribute, level), gaps.max(), atol=1e-12
            )


@pytest.mark.parametrize("seed", SEEDS)
def test_points_of_images_and_regions_are_means(pointed, seed):
    split, estimates = pointed[0], pointed[1][seed]
    for level in LEVELS:
        part = TABLES[seed][(TABLES[seed]["split"] == split) & (TABLES[seed]["level"] == level)]
        np.testing.assert_allclose(value_of(estimates, "psnr", "", level), part["psnr"].mean())
        np.testing.assert_allclose(
            value_of(estimates, "dice", "", level), part["region__reconstructed"].mean()
        )
        for attribute in ("sex", "race"):
            errors = 1 - part.groupby(attribute)["region__reconstructed"].mean()
            np.testing.assert_allclose(
                value_of(estimates, "ser", attribute, level), errors.max() / errors.min()
            )


def test_points_do_not_depend_on_the_order_of_rows_or_on_thresholds_per_version():
    table = TABLES[0]
    wanted = points(table, SPEC, AssessOptions(), "test")
    shuffled = points(
        table.sample(frac=1, random_state=5),
        SPEC,
        AssessOptions(threshold_rule="per_version"),
        "test",
    )
    pd.testing.assert_frame_equal(shuffled, wanted)


def test_points_leave_out_infinite_psnr_and_tasks_that_are_not_there():
    table = TABLES[0].drop(columns=[c for c in TABLES[0] if c.startswith("finding")])
    table = table.assign(psnr=np.where(np.arange(len(table)) % 2, np.inf, 20.0))
    estimates = points(table, SPEC, AssessOptions(), "test")
    assert set(estimates["metric"]) == {"psnr", "dice", "ser"}
    np.testing.assert_allclose(estimates.loc[estimates["metric"] == "psnr", "value"], 20)


def test_the_gap_of_a_part_without_a_class_is_undefined():
    table = TABLES[0].copy()
    table.loc[table["split"] == "test", "finding__label"] = np.nan
    estimates = points(table, SPEC, AssessOptions(), "test")
    assert estimates.loc[estimates["metric"].isin(["auroc", "eodd"]), "value"].isna().all()
