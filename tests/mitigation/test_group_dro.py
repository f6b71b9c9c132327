"""Group DRO: the weights follow the losses, absent groups are left alone, and the worst group
gains.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.mitigation import GroupDro, make_mitigation
from tests.support.mitigation_fakes import batch, context, gradient_of, seen, value_of

BATCH = batch(32)
KEY = jax.random.key(0)


def start(**fields):
    objective = GroupDro(**{"warmup": 0, **fields}).objective(context("bright"))
    return objective, objective.init(KEY, BATCH)


def losses() -> np.ndarray:
    """Task loss of each sex with plain loops."""
    blocks = np.split(BATCH["image"].astype(float), 2, axis=2)
    score = 1 / (1 + np.exp(-8 * (np.stack([b.mean((1, 2, 3)) for b in blocks], 1) - 0.5)))
    label = BATCH["labels"].astype(float)
    entropy = np.where(label == 1, -np.log(score), -np.log(1 - score))
    each = np.nanmean(np.where(np.isnan(label), np.nan, entropy), 1)
    return np.array([each[BATCH["attributes"][:, 0] == g].mean() for g in (0, 1)])


def test_weights_are_the_exponentials_of_the_losses():
    objective, state = start(attributes=("sex",), reconstruction=0.0, step=0.5)
    value, after, metrics = value_of(objective)(state, seen(BATCH))
    expected = np.exp(0.5 * losses()) / np.exp(0.5 * losses()).sum()
    np.testing.assert_allclose(after["q"], expected, rtol=1e-5)
    assert float(value) == pytest.approx(float((expected * losses()).sum()), rel=1e-5)
    assert float(metrics["worst_group_loss"]) == pytest.approx(losses().max(), rel=1e-5)
    assert losses()[0] > losses()[1]


def test_the_worst_group_gets_the_weight_in_the_end():
    objective, state = start(attributes=("sex",), step=1.0)
    call = value_of(objective)
    for _ in range(50):
        _, state, _ = call(state, seen(BATCH))
    assert float(state["q"][0]) > 0.95
    assert float(state["q"].sum()) == pytest.approx(1, abs=1e-5)


def test_a_group_that_is_not_there_adds_nothing_and_keeps_its_weight():
    objective, state = start(attributes=("race",), step=0.5)
    absent = {**seen(BATCH), "attributes": np.minimum(BATCH["attributes"], 1)}
    _, after, _ = value_of(objective)(state, absent)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))
    nobody = {
        **absent,
        "attributes": np.full_like(BATCH["attributes"], -1),
        "labels": np.full_like(BATCH["labels"], np.nan),
    }
    value, same, _ = value_of(objective)(after, nobody)
    assert float(value) == 0
    np.testing.assert_allclose(same["q"], after["q"], rtol=1e-6)


def test_a_step_down_the_gradient_helps_the_worst_group():
    objective, state = start(attributes=("sex",), step=1.0, reconstruction=0.0)
    clean, gradient = jnp.asarray(BATCH["image"]), gradient_of(objective)[0]
    before = value_of(objective)(state, seen(BATCH))[2]["worst_group_loss"]
    moved = np.asarray(clean - 20.0 * gradient(clean, state, BATCH))
    assert float(
        value_of(objective)(state, {**BATCH, "clean": moved})[2]["worst_group_loss"]
    ) < 0.95 * float(before)


def test_the_divisors_are_fixed_after_the_first_steps():
    objective, state = start(warmup=2)
    call, values = value_of(objective), []
    for step in range(4):
        value, state, _ = call(state, seen(BATCH, shift=0.2 if step < 2 else 0.02))
        values.append(float(value))
    assert values[2] < 0.7 * values[0]
    assert int(state["image_scale"]["steps"]) == 2


@pytest.mark.parametrize(
    ("fields", "message"), [({"step": 0.0}, "step"), ({"task": -1.0}, "must not be negative")]
)
def test_a_refused_field_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        make_mitigation("group_dro", **fields)
