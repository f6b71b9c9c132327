"""Limits of the objectives: tiny and doubled weights, one loss alone, balanced groups, rows of no
weight.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from fairrecon_jax.mitigation import (
    EqualisedOdds,
    GroupDro,
    make_mitigation,
)
from fairrecon_jax.mitigation.adversarial import correlation_loss, entropy_loss, standardised
from fairrecon_jax.mitigation.readout import mean_everywhere
from tests.support.mitigation_fakes import (
    batch,
    context,
    gradient_of,
    on_devices,
    seen,
    value_of,
)

BATCH = batch(32)
KEY = jax.random.key(0)
TERMS = {
    "equalised_odds": {"warmup": 0, "decay": 0.0},
    "group_dro": {"warmup": 0},
    "adversarial": {"hidden": 8},
}


def start(kind, diagnosers=("bright",), **fields):
    objective = make_mitigation(kind, **{**TERMS[kind], **fields}).objective(context(*diagnosers))
    return objective, objective.init(KEY, BATCH)


@pytest.mark.parametrize("kind", TERMS)
def test_a_term_is_linear_in_its_weight(kind):
    """The added term and its gradient double with the weight and vanish with it: what is left is
    the plain loss.
    """
    terms = {}
    for weight in (1e-6, 1.0, 2.0):
        objective, state = start(kind, weight=weight)
        value, after, metrics = value_of(objective)(state, seen(BATCH))
        slope = gradient_of(objective)[0](BATCH["image"], state, BATCH)
        terms[weight] = float(value), np.asarray(slope), jax.tree.leaves(after)
        assert float(metrics["objective"]) == float(value)
    assert terms[2.0][0] == pytest.approx(2 * terms[1.0][0], rel=1e-6)
    np.testing.assert_allclose(terms[2.0][1], 2 * terms[1.0][1], rtol=1e-4, atol=1e-9)
    assert abs(terms[1e-6][0]) < 1e-5
    assert np.abs(terms[1e-6][1]).max() < 1e-5 < np.abs(terms[1.0][1]).max()
    for a, b in zip(
        terms[1.0][2], terms[2.0][2], strict=True
    ):  # what is remembered does not depend on it
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", TERMS)
def test_rows_of_no_weight_do_not_exist(kind):
    """Padding: rows with weight 0 may hold anything."""
    objective, state = start(kind)
    padded = seen(BATCH) | {"weight": np.where(np.arange(32) < 24, 1.0, 0.0).astype(np.float32)}
    other = {name: value.copy() for name, value in padded.items()}
    other["clean"][24:] = 0.9
    other["image"][24:] = 0.1
    other["labels"][24:] = 1 - other["labels"][24:]
    for version in ("attributes", "labels"):
        other[version][24:] = other[version][24:][::-1]
    call = value_of(objective)
    readable = [call(state, whole) for whole in (padded, other)]
    if kind == "equalised_odds":
        assert float(readable[0][2]["soft_eodd"]) == pytest.approx(
            float(readable[1][2]["soft_eodd"]), rel=1e-5
        )
    assert float(readable[0][0]) == pytest.approx(float(readable[1][0]), rel=1e-5)
    for a, b in zip(*(jax.tree.leaves(terms[1]) for terms in readable), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_group_dro_with_a_tiny_step_is_the_mean_over_groups():
    objective, state = start("group_dro", attributes=("sex",), step=1e-6, task=0.0)
    value, after, metrics = value_of(objective)(state, seen(BATCH, shift=0.1))
    errors = ((seen(BATCH, shift=0.1)["clean"].astype(float) - BATCH["image"]) ** 2).mean((1, 2, 3))
    means = [errors[BATCH["attributes"][:, 0] == g].mean() for g in (0, 1)]
    assert float(value) == pytest.approx(np.mean(means), rel=1e-4)
    assert float(metrics["worst_group_loss"]) == pytest.approx(max(means), rel=1e-5)
    np.testing.assert_allclose(after["q"], 0.5, rtol=1e-5)


def test_group_dro_of_a_perfect_estimate_without_tasks_is_zero_and_flat():
    objective, state = start("group_dro", task=0.0)
    value, after, _ = value_of(objective)(state, seen(BATCH))
    assert float(value) == 0
    np.testing.assert_allclose(after["q"], 1 / 5, rtol=1e-6)
    assert float(jnp.abs(gradient_of(objective)[0](BATCH["image"], state, BATCH)).max()) == 0


def test_group_weights_grow_by_the_exponential_of_the_loss_step_by_step():
    objective, state = start("group_dro", attributes=("sex",), step=0.5)
    call, expected = value_of(objective), np.array([0.5, 0.5])
    for shift in (0.0, 0.1, -0.1):
        whole = seen(BATCH, shift=shift)
        score = 1 / (
            1
            + np.exp(
                -8
                * (
                    np.stack(
                        [b.mean((1, 2, 3)) for b in np.split(whole["clean"].astype(float), 2, 2)], 1
                    )
                    - 0.5
                )
            )
        )
        entropy = np.where(
            BATCH["labels"] == 1,
            -np.log(score),
            np.where(BATCH["labels"] == 0, -np.log(1 - score), np.nan),
        )
        image = ((whole["clean"].astype(float) - BATCH["image"]) ** 2).mean((1, 2, 3))
        loss = [
            (np.nanmean(entropy, 1) + image)[BATCH["attributes"][:, 0] == g].mean() for g in (0, 1)
        ]
        expected = expected * np.exp(0.5 * np.array(loss))
        expected = expected / expected.sum()
        _, state, metrics = call(state, whole)
        np.testing.assert_allclose(state["q"], expected, rtol=1e-4)
        assert float(metrics["largest_group_weight"]) == pytest.approx(expected.max(), rel=1e-4)


def test_equalised_odds_of_groups_that_are_treated_alike_is_the_task_loss():
    """Every image once in each group: no gap, and the term and its gradient are the task loss's."""
    twice = {name: np.concatenate([value, value]) for name, value in BATCH.items()}
    twice["attributes"] = np.repeat(np.array([[0, 0], [1, 0]], np.int32), 32, 0)
    objective, state = start("equalised_odds", attributes=("sex",))
    value, _, metrics = value_of(objective)(state, seen(twice))
    assert float(metrics["soft_eodd"]) == pytest.approx(0, abs=1e-6)
    assert float(value) == pytest.approx(float(metrics["task_loss"]), rel=1e-5)
    alone, kept = start("equalised_odds", attributes=("sex",), task_weight=0.0)
    assert float(value_of(alone)(kept, seen(twice))[0]) == pytest.approx(0, abs=1e-9)
    score = (
        context("bright")
        .diagnosers[0]
        .diagnoser.predict({"params": {"gain": 8.0}}, jnp.asarray(twice["image"]))
    )
    known = ~np.isnan(twice["labels"])
    wanted = log_loss(twice["labels"][known], np.asarray(score, float)[known])
    assert float(metrics["task_loss"]) == pytest.approx(wanted, rel=1e-5)


def test_pooled_rates_of_the_objective_decay_by_hand():
    objective, state = start("equalised_odds", decay=0.5, attributes=("sex",))
    call = value_of(objective)
    _, first, _ = call(state, seen(BATCH))
    _, second, _ = call(first, seen(BATCH))
    np.testing.assert_allclose(
        second["rates"]["denominator"], 1.5 * np.asarray(first["rates"]["denominator"]), rtol=1e-6
    )
    women = BATCH["attributes"][:, 0] == 0
    np.testing.assert_allclose(
        first["rates"]["denominator"][0, 1],
        [(BATCH["labels"][women, 1] == y).sum() for y in (0, 1)],
    )
    assert float(second["rates"]["batches"]) == 1.5
    np.testing.assert_array_equal(second["tau"], [0.5, 0.5])


def test_a_better_estimate_of_the_worse_group_lowers_each_term():
    """The gradient is negative where women's positives should get brighter and positive where their
    negatives should get darker.
    """
    for kind in ("equalised_odds", "group_dro"):
        objective, state = start(kind, attributes=("sex",), tasks=("oedema",))
        slope = np.asarray(gradient_of(objective)[0](BATCH["image"], state, BATCH))[:, :, :4].mean(
            (1, 2, 3)
        )
        women = BATCH["attributes"][:, 0] == 0
        assert slope[women & (BATCH["labels"][:, 0] == 1)].max() < 0
        assert slope[women & (BATCH["labels"][:, 0] == 0)].min() > 0


def test_an_adversary_that_knows_nothing_has_a_loss_of_one():
    members = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    weight = np.ones(30, np.float32)
    call = on_devices(
        lambda _, p: (
            entropy_loss(p["x"], p["m"], p["w"]),
            correlation_loss(p["x"], p["m"], p["w"]),
        ),
        2,
    )
    blind = call(0, {"x": np.zeros((30, 3), np.float32), "m": members, "w": weight})
    np.testing.assert_allclose(blind, [1, 1], rtol=1e-6)
    sure = call(0, {"x": 50 * members, "m": members, "w": weight})
    np.testing.assert_allclose(sure, [0, 0], atol=1e-5)
    turned = call(0, {"x": -3 * members + 7, "m": members, "w": weight})
    assert float(turned[1]) == pytest.approx(0, abs=1e-5)  # a correlation has no sign and no scale
    nobody = call(0, {"x": 50 * members, "m": 0 * members, "w": weight})
    np.testing.assert_allclose(nobody, [0, 1], atol=1e-6)


def test_features_are_standardised_over_devices_and_weights():
    r = np.random.default_rng(0)
    x, weight = (
        r.normal(3, 2, (32, 4)).astype(np.float32),
        (np.arange(32) % 4 > 0).astype(np.float32),
    )
    call = jax.vmap(lambda a, w: standardised(a, w), axis_name="batch")
    terms = np.asarray(call(x.reshape(4, 8, 4), weight.reshape(4, 8))).reshape(32, 4)
    kept = weight > 0
    np.testing.assert_allclose(terms, (x - x[kept].mean(0)) / x[kept].std(0), rtol=1e-4, atol=1e-5)


def test_means_over_devices_by_hand():
    call = on_devices(lambda _, p: mean_everywhere(p["v"], p["w"]), 4)
    values, weight = np.arange(8, dtype=np.float32), np.array([0, 1, 0, 2, 0, 0, 1, 0], np.float32)
    assert float(call(0, {"v": values, "w": weight})) == pytest.approx((1 + 6 + 6) / 4)
    assert float(call(0, {"v": values, "w": 0 * weight})) == 0


@pytest.mark.parametrize("options", [EqualisedOdds(warmup=1), GroupDro(warmup=1)])
def test_batches_without_a_label_or_region_leave_the_divisor_to_the_first_that_has_one(options):
    objective = options.objective(context("bright", "outline"))
    blank = {**BATCH, "labels": np.full_like(BATCH["labels"], np.nan), "mask": 0 * BATCH["mask"]}
    call, fresh = value_of(objective), objective.init(KEY, BATCH)
    state = fresh
    for _ in range(2):
        _, state, _ = call(state, seen(blank, 0.1))
    late, _, _ = call(state, seen(BATCH, 0.1))
    assert float(late) == pytest.approx(float(call(fresh, seen(BATCH, 0.1))[0]), rel=1e-3)
