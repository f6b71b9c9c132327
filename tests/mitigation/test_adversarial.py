"""The adversarial objective: both signs, unknown groups, several attributes, devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.mitigation import Adversarial, GroupDro
from fairrecon_jax.mitigation.adversarial import correlation_loss, entropy_loss
from fairrecon_jax.mitigation.readout import Groups
from tests.support.mitigation_fakes import batch, context, gradient_of, on_devices, seen, value_of

BATCH = batch(32)
KEY = jax.random.key(0)


def start(loss: str = "cross_entropy", **fields):
    objective = Adversarial(loss=loss, learning_rate=0.03, hidden=16, **fields).objective(
        context("bright")
    )
    return objective, objective.init(KEY, BATCH)


def predicted(objective, adversary, clean) -> float:
    """The adversary's loss on estimates."""
    features = context("bright").diagnosers[0].diagnoser.features({}, jnp.asarray(clean))
    run = jax.vmap(lambda x, part: objective.prediction_loss(adversary, x, part), axis_name="batch")
    return float(run(features[None], {name: jnp.asarray(v)[None] for name, v in BATCH.items()})[0])


@pytest.mark.parametrize("loss", ["cross_entropy", "correlation"])
def test_both_players_go_their_own_way(loss):
    objective, state = start(loss)
    call, first = value_of(objective), None
    for _ in range(60):
        value, state, metrics = call(state, seen(BATCH))
        first = first or float(metrics["adversary_loss"])
    trained = predicted(objective, state["adversary"], BATCH["image"])
    assert trained < 0.9 * first  # the adversary's own steps lower its loss
    expected = 1 - trained if loss == "correlation" else -trained
    assert float(value) == pytest.approx(expected, rel=1e-4)
    clean = jnp.asarray(BATCH["image"])
    slope = gradient_of(objective)[0](clean, state, BATCH)
    assert float(jnp.abs(slope).max()) > 0
    step = 0.02 * slope / jnp.abs(slope).max()
    assert (
        predicted(objective, state["adversary"], clean - step) > trained
    )  # the reconstructor's step raises it
    assert predicted(objective, state["adversary"], clean + step) < trained


def test_several_attributes_take_part_and_unknown_groups_do_not():
    _, state = start()
    assert state["adversary"]["head"]["kernel"].shape[1] == 5
    members = np.asarray(Groups(context("bright")).members(BATCH))
    assert members[:, :2].sum() == 32
    assert members[:, 2:].sum() == 31
    logits = np.random.default_rng(0).standard_normal((32, 3)).astype(np.float32)
    known = BATCH["attributes"][:, 1] >= 0
    exact = -np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[
        np.arange(32), BATCH["attributes"][:, 1]
    ][known].mean()
    run = on_devices(
        lambda _, part: entropy_loss(part["logits"], part["members"], part["weight"]), 4
    )
    actual = run(0, {"logits": logits, "members": members[:, 2:], "weight": BATCH["weight"]})
    assert float(actual) == pytest.approx(exact / np.log(3), rel=1e-5)


def test_the_correlation_is_numpys():
    output = np.random.default_rng(0).standard_normal((32, 3)).astype(np.float32)
    known, members = (
        BATCH["attributes"][:, 1] >= 0,
        np.asarray(Groups(context("bright"), ("race",)).members(BATCH)),
    )
    exact = 1 - np.mean(
        [np.corrcoef(output[known, g], members[known, g])[0, 1] ** 2 for g in range(3)]
    )
    run = on_devices(
        lambda _, part: correlation_loss(part["output"], part["members"], part["weight"]), 4
    )
    assert float(
        run(0, {"output": output, "members": members, "weight": BATCH["weight"]})
    ) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(
    "options", [Adversarial(), Adversarial(loss="correlation"), GroupDro()], ids=repr
)
def test_value_and_state_do_not_depend_on_the_number_of_devices(options):
    objective = options.objective(context("bright"))
    state = objective.init(KEY, BATCH)
    one, four = (value_of(objective, n)(state, seen(BATCH)) for n in (1, 4))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_a_batch_of_unknown_groups_stays_finite():
    objective, state = start("correlation")
    nobody = {**seen(BATCH), "attributes": np.full_like(BATCH["attributes"], -1)}
    value, after, _ = value_of(objective)(state, nobody)
    assert np.isfinite(float(value))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


def test_a_diagnoser_without_features_is_named():
    with pytest.raises(ValueError, match=r"features\(variables, image\); \['outline'\] have none"):
        Adversarial().objective(context("outline"))
