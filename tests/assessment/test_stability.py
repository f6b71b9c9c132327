"""How much a verdict depends on the threshold: thresholds in a gap of scores and in the thick of
them, redrawn by hand.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import AssessOptions, assess, stability
from fairrecon_jax.assessment.arrays import studies
from fairrecon_jax.assessment.stability import Redrawn, thresholds_redrawn
from tests.support import hand
from tests.support.find import one, rows
from tests.support.roc_oracle import balanced

SPEC = hand.spec(("widened",))
REDRAWS = 60
UNSTABLE = "unstable threshold: the verdict stays in {:.0f}% of redraws of the validation patients"


def validation(negatives: np.ndarray, positives: np.ndarray) -> pd.DataFrame:
    """Validation patients with those scores on originals, one image each."""
    score = np.concatenate([negatives, positives])
    names = [f"v{i:03d}" for i in range(len(score))]
    frame = pd.DataFrame({"example_id": names, "patient_id": names, "sex": "Female"})
    frame = frame.assign(split="val", level=1e4, reconstructor="unet", cohort="hand")
    frame = frame.assign(mitigation="none", seed=0, widened__original=score)
    frame["widened__reconstructed"] = score
    frame["widened__label"] = np.repeat([0.0, 1.0], [len(negatives), len(positives)])
    return frame


APART = validation(np.linspace(0.3, 0.4, 40), np.linspace(0.6, 0.7, 40))
"""Every threshold lies between 0.6 and 0.7, where no evaluated score is."""
THICK = validation(np.linspace(0.2, 0.8, 25), np.linspace(0.25, 0.85, 25))
"""Scores of both labels lie in one range: a threshold fitted on them is anywhere near 0.5."""


def table(lost: float, scenario: str = "widened", fitted_on: pd.DataFrame = THICK) -> pd.DataFrame:
    """The scenario, where a score that fell on the reconstruction fell to `lost`."""
    test = hand.table((scenario,)).rename(columns=lambda c: c.replace(scenario, "widened"))
    fell = test["widened__reconstructed"] < test["widened__original"]
    test.loc[fell, "widened__reconstructed"] = lost
    return pd.concat([test, fitted_on], ignore_index=True)


def options(**changes) -> AssessOptions:
    fitted = {"threshold_rule": "balanced", "threshold_value": None, "threshold_redraws": REDRAWS}
    return hand.options(**{**fitted, **changes})


def redrawn(predictions: pd.DataFrame, chosen: AssessOptions | None = None) -> np.ndarray:
    study = studies(predictions, SPEC)[0]
    return thresholds_redrawn(study, SPEC.tasks[0], chosen or options(), REDRAWS)


def gap(predictions: pd.DataFrame, metric: str = "eodd", **changes):
    fairness = assess(predictions, SPEC, options(**changes))[1]
    return one(fairness, **hand.CHANGE, metric=metric, reference_group="Female")


def test_thresholds_are_fitted_on_patients_drawn_again():
    """Two images of every fifth patient are drawn together."""
    again = THICK.iloc[::5].assign(example_id=lambda t: t["example_id"] + "b")
    again["widened__original"] = again["widened__reconstructed"] = 0.5
    fitted_on = pd.concat([THICK, again]).sort_values("example_id")
    found = redrawn(table(0.4, fitted_on=fitted_on))
    generator, names = np.random.default_rng([0, 3]), sorted(set(THICK["patient_id"]))
    by_patient = dict(iter(fitted_on.groupby("patient_id")))
    for tau in found:
        drawn = generator.integers(0, len(names), len(names))
        part = pd.concat([by_patient[names[i]] for i in drawn])
        expected = balanced(part["widened__label"], part["widened__original"])
        np.testing.assert_allclose(tau, expected, atol=1e-12)
    assert len(set(np.round(found, 6))) > 4


def test_a_redraw_without_both_labels_has_no_threshold():
    lone = redrawn(table(0.4, fitted_on=validation(np.linspace(0.2, 0.4, 5), np.array([0.7]))))
    # a patient is left out of a draw of six with probability (5 / 6)^6 = 0.33
    assert 0.1 < np.isnan(lone).mean() < 0.6
    assert np.isnan(redrawn(table(0.4, fitted_on=THICK.assign(widened__label=0.0)))).all()


def test_a_verdict_whose_threshold_lies_in_a_gap_of_scores_is_stable():
    for scenario, word in (("widened", "harmed"), ("same", "no difference shown")):
        row = gap(table(0.2, scenario, APART))
        assert (row["verdict"], row["stable"]) == (word, 1.0)
        assert "unstable" not in row["reason"]


def test_a_verdict_in_the_thick_of_scores_is_as_stable_as_the_redraws_say():
    """Women's lost scores lie at 0.5: they are lost where the threshold is above 0.5. All others
    lie at 0.2 and 0.8, and no redrawn threshold leaves that range.
    """
    predictions = table(0.5)
    found = redrawn(predictions)
    assert found.min() > 0.2
    assert found.max() <= 0.8
    kept = float(np.mean(found > 0.5))
    tau = balanced(THICK["widened__label"], THICK["widened__original"])
    harmed = tau > 0.5
    row = gap(predictions)
    assert row["verdict"] == ("harmed" if harmed else "no difference shown")
    assert row["stable"] == pytest.approx(kept if harmed else 1 - kept)
    assert 0.2 < row["stable"] < 0.8
    share = UNSTABLE.format(100 * row["stable"])
    assert share in row["reason"]


def test_only_the_primary_decisions_are_redrawn():
    predictions = pd.concat([table(0.5), table(0.5).assign(level=1e5)])
    fairness = assess(predictions, SPEC, options(conventions=hand.ALL))[1]
    told = fairness[fairness["stable"].notna()]
    assert set(told["metric"]) == {"eodd", "eop"}
    assert set(told["version"]) == {"change"}
    assert set(told["level"]) == {1e4}
    assert set(told["convention"]) == {"worst_case", "worst_case_estimable"}
    fixed = {"threshold_rule": "fixed", "threshold_value": 0.5}
    for changes in ({"threshold_redraws": 0}, fixed, {"threshold_rule": "per_version"}):
        row = gap(table(0.5), **changes)
        assert np.isnan(row["stable"])
        assert "unstable" not in row["reason"]


def test_what_is_not_judged_has_no_stability():
    predictions = table(0.5)
    few = gap(predictions, min_patients=61)
    assert (few["verdict"], np.isnan(few["stable"])) == ("not estimable", True)
    guess = predictions.assign(widened__original=np.random.default_rng(0).random(len(predictions)))
    chance = gap(guess)
    assert (chance["verdict"], np.isnan(chance["stable"])) == ("at chance", True)


def test_large_cohorts_are_redrawn_less_often(monkeypatch):
    counts = []

    def counted(study, task, chosen, count):
        counts.append(count)
        return thresholds_redrawn(study, task, chosen, count)

    monkeypatch.setattr(stability, "thresholds_redrawn", counted)
    gap(table(0.5))
    monkeypatch.setattr(stability, "LARGE", 100)
    gap(table(0.5))
    gap(table(0.5), threshold_redraws=20)
    assert counts == [REDRAWS, 25, 20]


def test_a_claim_stays_where_the_same_group_stands_out_the_same_way():
    studentised = np.array([[[3.0, -3.0]], [[-3.0, 3.0]], [[1.0, -1.0]], [[4.0, -4.0]]])
    found = Redrawn(np.array([9.0, 9.0, 1.0, 16.0]), studentised)
    assert found.stays(5.0, 0, 1, -1) == 0.5
    assert found.stays(5.0, 0, 0, 1) == 0.5
    assert found.stays(5.0, 0, 0, -1) == 0.25
    assert found.stays(5.0, -1, -1, -1) == 0.25
    assert found.stays(16.0 * (1 - 1e-7), -1, -1, -1) == found.stays(20.0, -1, -1, -1) == 1.0
    assert np.isnan(found.stays(float("nan"), 0, 1, -1))


def test_the_redraws_of_a_seed_are_its_own():
    predictions = table(0.5)
    other = dataclasses.replace(options(), seed=1)
    assert not np.array_equal(redrawn(predictions), redrawn(predictions, other))
    np.testing.assert_array_equal(redrawn(predictions), redrawn(predictions))
    assert rows(assess(predictions, SPEC, options())[1], metric="eodd")["stable"].notna().any()
