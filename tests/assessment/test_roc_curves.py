"""ROC and calibration curves of a table, against scikit-learn on the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

import fairrecon_jax as fr
from fairrecon_jax.assessment import score_curves
from fairrecon_jax.assessment.roc_curves import COLUMNS, RATES


@pytest.fixture(scope="module")
def audit():
    rng = np.random.default_rng(5)
    y, sex = (rng.random(400) < 0.4).astype(float), rng.choice(["f", "m"], 400)
    y[:7] = np.nan
    before = np.clip(0.3 + 0.4 * y + rng.normal(0, 0.2, 400), 0, 1)
    before[np.isnan(y)] = 0.5
    after = np.clip(before + rng.normal(0, 0.2, 400), 0, 1)
    return fr.assess(label=y, original=before, reconstructed=after, groups={"sex": sex})


@pytest.mark.parametrize("group", ["", "f", "m"])
@pytest.mark.parametrize("version", ["original", "reconstructed"])
def test_the_curves_are_those_of_scikit_learn(audit, group, version):
    rows = score_curves(audit.table, audit.spec)
    assert tuple(rows.columns) == COLUMNS
    rows = rows[(rows["group"] == group) & (rows["version"] == version)]
    table = audit.table[audit.table["finding__label"].notna()]
    table = table[table["sex"] == group] if group else table
    label, score = table["finding__label"], table[f"finding__{version}"]
    rates, found, _ = roc_curve(label, score, drop_intermediate=False)
    roc = rows[rows["curve"] == "roc"]
    expected = [found[rates <= at + 1e-12].max() for at in RATES]
    np.testing.assert_allclose(roc["y"], expected, atol=1e-12)
    share, mean = calibration_curve(label, score, n_bins=10)
    calibration = rows[rows["curve"] == "calibration"]
    np.testing.assert_allclose(calibration["x"], mean, atol=1e-6)
    np.testing.assert_allclose(calibration["y"], share, atol=1e-6)
    assert calibration["n"].sum() == len(table)
    assert (roc["n_pos"] == (label == 1).sum()).all()


def test_decisions_have_no_curve():
    y = np.arange(60) % 2
    decided = fr.assess(label=y, original=y, reconstructed=1 - y, groups={})
    assert score_curves(decided.table, decided.spec).empty


def test_only_the_headline_level_without_mitigation_is_drawn(audit):
    table = audit.table
    more = [table.assign(level=2.0), table.assign(mitigation="reweight")]
    rows = score_curves(pd.concat([table, *more], ignore_index=True), audit.spec)
    alone = score_curves(table, audit.spec)
    pd.testing.assert_frame_equal(rows, alone)
    assert set(rows["level"]) == {audit.spec.degradation.headline_level}
