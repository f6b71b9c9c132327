"""Sampling weights: what they make equal, what they cost, and that the loader follows them."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.data.loader import train_batches
from fairrecon_jax.mitigation import MitigationContext, Reweighting, effective_size, make_mitigation
from fairrecon_jax.mitigation.sampling import (
    capped,
    inverse_frequency,
    joint_strata,
    sample,
)
from tests.support.mitigation_fakes import SPEC, Rows

R = np.random.default_rng(0)
ATTRIBUTES = np.stack(
    [R.choice(2, 400, p=[0.8, 0.2]), R.choice([0, 1, 2, -1], 400, p=[0.6, 0.25, 0.1, 0.05])], 1
).astype(np.int32)
OUTCOMES = np.stack(
    [
        R.integers(0, 2, 400),
        R.integers(0, 2, 400),
        R.choice([0, 1, np.nan], 400, p=[0.7, 0.2, 0.1]),
    ],
    1,
).astype(float)


def shares(weights: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    cells = np.unique(np.stack(columns, 1), axis=0, return_inverse=True)[1].reshape(-1)
    return np.bincount(cells, weights=weights) / weights.sum()


def test_every_joint_group_is_drawn_equally():
    actual = Reweighting(cap=0).sampling(MitigationContext(SPEC), ATTRIBUTES, OUTCOMES)
    np.testing.assert_allclose(shares(actual.weights, *ATTRIBUTES.T), 1 / 8, rtol=1e-12)
    assert actual.weights.mean() == pytest.approx(1, abs=1e-12)
    assert sum(stratum["rows"] for stratum in actual.strata) == 400
    assert {stratum["race"] for stratum in actual.strata} == {"a", "b", "c", "unknown"}
    assert {stratum["drawn_share"] for stratum in actual.strata} == {0.125}


def test_an_outcome_enters_the_joint_and_its_unknown_is_a_group_or_left_out():
    crossed = Reweighting(("sex",), outcome="effusion", cap=0).sampling(
        MitigationContext(SPEC), ATTRIBUTES, OUTCOMES
    )
    np.testing.assert_allclose(
        shares(crossed.weights, ATTRIBUTES[:, 0], np.nan_to_num(OUTCOMES[:, 2], nan=-1)),
        1 / 6,
        rtol=1e-12,
    )
    left = Reweighting(("sex", "race"), outcome="effusion", unknown="leave_out", cap=0).sampling(
        MitigationContext(SPEC), ATTRIBUTES, OUTCOMES
    )
    unknown = (ATTRIBUTES < 0).any(1) | np.isnan(OUTCOMES[:, 2])
    np.testing.assert_array_equal(left.weights == 0, unknown)
    assert left.summary()["drawn_rows"] == (~unknown).sum()


def test_weights_follow_groups_and_not_the_exact_age():
    with pytest.raises(
        ValueError, match="'age_years' needs attributes of cohort 'small'; these are: sex, race"
    ):
        Reweighting(("age_years",)).sampling(MitigationContext(SPEC), ATTRIBUTES, OUTCOMES)


def test_the_cap_bounds_weights_and_the_effective_size_says_what_is_left():
    weights = inverse_frequency(joint_strata(ATTRIBUTES, "group"))
    for to, base in (("mean", weights.mean()), ("smallest", weights.min())):
        cut = capped(weights, 2.0, to)
        ratio = cut / cut[np.argmin(weights)] * weights.min()
        np.testing.assert_allclose(ratio, np.minimum(weights, 2.0 * base), rtol=1e-12)
        assert effective_size(weights) < effective_size(cut) <= 400
    np.testing.assert_allclose(capped(weights, 0, "mean"), weights, rtol=1e-12)
    assert effective_size(np.ones(7)) == pytest.approx(7)
    assert effective_size(np.array([1.0, 0, 0])) == pytest.approx(1)
    assert effective_size(np.array([1.0, 3.0])) == pytest.approx(16 / 10)


def test_what_the_loader_draws_converges_to_the_target():
    rows = Rows(32)
    attributes = np.stack([rows.example(i)["attributes"] for i in range(32)])
    actual = sample(attributes, [("F", "M"), tuple("abc")], ("sex", "race"), "group", 0, "mean")
    batches = train_batches(rows, np.arange(32), 8, seed=3, weights=actual.weights)
    drawn = np.concatenate([next(batches)["index"] for _ in range(100)])
    batches.close()
    strata = joint_strata(attributes, "group")
    share = np.bincount(strata[drawn]) / len(drawn)
    np.testing.assert_allclose(share, 1 / (strata.max() + 1), atol=0.02)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"unknown": "drop"}, "unknown"), ({"cap": 0.5}, "cap"), ({"outcome": 3}, "outcome")],
)
def test_a_refused_field_is_named(fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_mitigation("reweighting", **fields)


def test_an_unknown_outcome_and_an_empty_selection_are_named():
    with pytest.raises(
        ValueError, match="outcome 'fracture' is no task; these are: tumour, oedema, effusion"
    ):
        Reweighting(outcome="fracture").sampling(MitigationContext(SPEC), ATTRIBUTES, OUTCOMES)
    with pytest.raises(ValueError, match="nothing is left to draw"):
        joint_strata(np.full((3, 1), -1), "leave_out")


def test_sampling_weights_by_hand():
    """Six rows in groups of 3, 2 and 1: w = 6 / (3 n) = 2/3, 1, 2; one row is left out."""
    code = np.array([0, 0, 0, 1, 1, 2, -1])
    weights = inverse_frequency(code)
    np.testing.assert_allclose(weights, [2 / 3, 2 / 3, 2 / 3, 1, 1, 2, 0])
    np.testing.assert_allclose(
        capped(weights, 1.5, "mean"), np.array([2 / 3, 2 / 3, 2 / 3, 1, 1, 1.5, 0]) * 6 / 5.5
    )
    np.testing.assert_allclose(
        capped(weights, 1.5, "smallest"), np.array([2 / 3, 2 / 3, 2 / 3, 1, 1, 1, 0]) * 6 / 5
    )
    np.testing.assert_allclose(capped(weights, 1.0, "smallest"), [1] * 6 + [0])
    assert effective_size(weights) == pytest.approx(36 / (3 * 4 / 9 + 2 + 4))
    assert effective_size(5 * weights) == pytest.approx(effective_size(weights))


def test_joint_groups_are_numbered_in_order_and_renaming_does_not_matter():
    columns = np.array([[1, 0], [0, 1], [-1, 0], [0, 1], [1, -1]])
    np.testing.assert_array_equal(joint_strata(columns, "group"), [3, 1, 0, 1, 2])
    np.testing.assert_array_equal(joint_strata(columns, "leave_out"), [1, 0, -1, 0, -1])
    np.testing.assert_allclose(
        inverse_frequency(joint_strata(columns, "leave_out")),
        inverse_frequency(joint_strata(columns[:, ::-1], "leave_out")),
    )
    for wrong in (np.zeros(3), np.zeros((3, 0))):
        with pytest.raises(
            ValueError, match=r"joint groups need columns \[N, C\] with C >= 1, got shape"
        ):
            joint_strata(wrong, "group")


def test_what_is_recorded_of_a_sampling():
    sampling = sample(
        np.array([[0], [0], [0], [1], [-1]]), [("F", "M")], ("sex",), "leave_out", 1.25, "mean"
    )
    summary = sampling.summary()
    assert [stratum["sex"] for stratum in sampling.strata] == ["F", "M"]
    assert [stratum["rows"] for stratum in sampling.strata] == [3, 1]
    assert [stratum["share"] for stratum in sampling.strata] == [0.6, 0.2]
    assert [stratum["drawn_share"] for stratum in sampling.strata] == pytest.approx(
        [2 / 3.25, 1.25 / 3.25], abs=1e-5
    )
    assert (summary["rows"], summary["drawn_rows"]) == (5, 4)
    assert summary["largest_over_mean_weight"] == pytest.approx(1.25 * 4 / 3.25, abs=1e-3)
    assert summary["effective_rows"] == pytest.approx(3.25**2 / (3 * 4 / 9 + 1.25**2), abs=0.06)
