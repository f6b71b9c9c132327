"""Thresholds come from the originals of validation patients, whatever else is in the table."""

import numpy as np
import pytest

from fairrecon_jax.assessment import AssessOptions, assess
from fairrecon_jax.assessment.arrays import studies
from fairrecon_jax.assessment.thresholds import fit
from tests.support import predictions_fake as fake
from tests.support.find import AT, evaluated, one, rows, tau
from tests.support.roc_oracle import balanced

EDEMA = fake.XRAY.tasks[1]


def fitted(table, **options):
    return fit(studies(table, fake.XRAY)[0], EDEMA, AssessOptions(**options))


@pytest.fixture(scope="module")
def table():
    return fake.xray(harm=1.0)


def validation(table, column="original"):
    part = table[(table["split"] == "val") & (table["level"] == 1e4)]
    return part[f"edema__{column}"].to_numpy(), part["edema__label"].to_numpy()


def test_balanced_on_validation_originals(table):
    thresholds = fitted(table)
    score, label = validation(table)
    np.testing.assert_allclose(thresholds.original, balanced(label, score), rtol=1e-12)
    np.testing.assert_array_equal(thresholds.original, thresholds.reconstructed)
    assert thresholds.rule == "balanced on validation originals"


def test_neither_test_patients_nor_reconstructions_move_it(table):
    before = fitted(table)
    other = table.copy()
    on_test = other["split"] == "test"
    other.loc[on_test, "edema__original"] = other.loc[on_test, "edema__original"] ** 3
    other["edema__reconstructed"] = 0.5
    np.testing.assert_array_equal(fitted(other).original, before.original)
    other.loc[~on_test, "edema__original"] = other.loc[~on_test, "edema__original"] ** 3
    assert not np.allclose(fitted(other).original, before.original)


def test_fixed(table):
    assert fitted(table, threshold_rule="fixed", threshold_value=0.3).original.tolist() == [
        0.3,
        0.3,
    ]
    assert fitted(
        table, threshold_rule="fixed", threshold_value={"edema": 0.4}
    ).original.tolist() == [0.4, 0.4]
    with pytest.raises(ValueError, match=r"no entry for task 'edema', only \['effusion'\]"):
        fitted(table, threshold_rule="fixed", threshold_value={"effusion": 0.4})


@pytest.mark.parametrize(("rule", "label"), [("sensitivity", 1), ("specificity", 0)])
def test_at_a_rate(table, rule, label):
    thresholds = fitted(table, threshold_rule=rule, threshold_value=0.9).original[0]
    score, truth = validation(table)
    rates = [
        np.mean((score[truth == label] >= t) == label)
        for t in (thresholds, np.nextafter(thresholds, 1 - label))
    ]
    assert rates[0] >= 0.9
    assert np.all((score == thresholds).any())
    assert rates[0] - 0.9 < 0.05


def test_per_version_has_two_thresholds_and_no_verdict(table, quick):
    thresholds = fitted(table, threshold_rule="per_version")
    assert not np.allclose(thresholds.original, thresholds.reconstructed)
    score, label = validation(table, "reconstructed")
    np.testing.assert_allclose(thresholds.reconstructed[0], balanced(label, score), rtol=1e-12)
    performance, fairness = assess(table, fake.XRAY, quick(threshold_rule="per_version"))
    change = rows(fairness, metric=["eodd", "eop"], version="change", convention="worst_case")
    assert set(change["verdict"]) == {""}
    assert change["reason"].str.contains("without a verdict").all()
    assert change["p_value"].isna().all()
    assert rows(fairness, metric="gap_sensitivity").empty
    assert "validation patients" in performance["threshold_rule"].iloc[0]


def test_published_fits_on_the_evaluated_patients(table):
    thresholds = fitted(table, threshold_rule="published")
    part = evaluated(table)
    np.testing.assert_allclose(
        thresholds.reconstructed[0], balanced(part["y"], part["r"]), rtol=1e-12
    )
    assert "the evaluated patients, per version" in thresholds.rule


def test_the_same_threshold_decides_both_versions(table, quick):
    performance, _ = assess(table, fake.XRAY, quick())
    assert tau(performance) == tau(performance, version="reconstructed")
    part = evaluated(table)
    row = one(
        performance, **AT, task="edema", attribute="", metric="sensitivity", version="reconstructed"
    )
    np.testing.assert_allclose(row["value"], (part["r"][part["y"] == 1] >= tau(performance)).mean())


def test_no_validation_patients(table):
    alone = table[table["split"] == "test"]
    for rule in ("balanced", "per_version"):
        with pytest.raises(
            ValueError, match="no row has split 'val'; test patients are not used for fitting"
        ):
            fitted(alone, threshold_rule=rule)
    assert fitted(alone, threshold_rule="fixed", threshold_value=0.5).original[0] == 0.5


def test_one_class_among_validation_patients(table):
    other = table.copy()
    other.loc[other["split"] == "val", "edema__label"] = 0.0
    assert np.isnan(fitted(other).original).all()
    performance, fairness = assess(
        other, fake.XRAY, AssessOptions(replicates=20, permutations=19, null_draws=10)
    )
    left = performance[(performance["task"] == "edema") & (performance["metric"] == "threshold")]
    assert left["reason"].str.contains("no threshold can be fitted").all()
    judged = fairness[
        (fairness["version"] == "change")
        & fairness["metric"].isin(["eodd", "eop"])
        & (fairness["convention"] == "worst_case")
    ]
    assert set(judged[judged["task"] == "edema"]["verdict"]) == {"not estimable"}
    assert set(judged[judged["task"] != "edema"]["verdict"]) != {"not estimable"}


def test_without_a_threshold_what_needs_none_is_still_measured(table):
    other = table.copy()
    other.loc[other["split"] == "val", "edema__label"] = 0.0
    options = AssessOptions(replicates=20, permutations=19, null_draws=10)
    (without, gaps), (performance, _) = (assess(t, fake.XRAY, options) for t in (other, table))
    for metric in ("auroc", "brier", "calibration_error"):
        left, whole = (
            t[(t["task"] == "edema") & (t["metric"] == metric)] for t in (without, performance)
        )
        np.testing.assert_allclose(left["value"].astype(float), whole["value"].astype(float))
        assert np.isfinite(left[left["attribute"] == ""]["value"].astype(float)).all()
    decided = without[
        (without["task"] == "edema") & without["metric"].isin(["sensitivity", "specificity"])
    ]
    gap = gaps[(gaps["task"] == "edema") & gaps["metric"].isin(["eodd", "eop"])]
    assert decided["value"].isna().all()
    assert gap["value"].isna().all()


def test_no_originals_to_fit_on(table):
    with pytest.raises(
        ValueError, match="'edema' has no predictions on original validation images"
    ):
        fitted(table.drop(columns="edema__original"))
    thresholds = fitted(table.drop(columns="edema__original"), threshold_rule="per_version")
    assert np.isfinite(thresholds.reconstructed).all()
