"""What a checkpoint weighs, against what one takes on the disk."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from experiments.launch.sizes import trainings, weights_and_state
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training.checkpoints import save_variables
from tests.support import tiny_study


def test_bytes_are_those_of_the_weights_their_moments_and_their_average(tmp_path):
    found = {
        name: (model, train) for name, model, train in trainings(parse(tiny_study.get_config()))
    }
    assert set(found) == {"unet", "tumor"}
    model, train = found["unet"]
    image = jnp.zeros((1, 32, 32, 1))
    variables = jax.jit(model.init)(jax.random.key(0), {"image": image, "degraded": image})
    weights, state = weights_and_state(model, train, 32)
    assert weights == sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
    parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(variables["params"]))
    # Adam: two moments; and a few counters
    assert 0 <= state - (weights + 2 * parameters) < 64
    averaged = weights_and_state(model, dataclasses.replace(train, ema=0.9), 32)[1]
    assert averaged - state == parameters
    save_variables(tmp_path / "final", variables, {})
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written < weights + 65536, "and what describes them"
