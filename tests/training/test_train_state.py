from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fairrecon_jax.runtime.choices import check_like
from fairrecon_jax.training.state import create, update_average

VARIABLES = {"params": {"net": {"w": jnp.ones((2, 3))}}, "batch_stats": {"net": {}}}


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
def test_average_weighs_past_parameters_by_powers_of_the_decay(decay: float) -> None:
    values = np.random.default_rng(0).normal(size=(30, 4))
    average = jnp.full(4, 10.0)  # must leave no trace
    for count, value in enumerate(values, start=1):
        average = update_average(
            average, jnp.asarray(value, jnp.float32), decay, jnp.asarray(count)
        )
        weights = decay ** np.arange(count - 1, -1, -1.0)
        np.testing.assert_allclose(average, weights @ values[:count] / weights.sum(), atol=1e-5)


def test_a_state_has_one_optimiser_per_trained_network_and_shows_the_average() -> None:
    state = create(VARIABLES, ("net", "net"), optax.adam(1e-3), 3, True, {})
    assert set(state.opt_state) == {"net"}
    assert state.variables["params"] is state.ema
    assert (
        create(VARIABLES, ("net",), optax.adam(1e-3), 3, False, {}).variables["params"]
        is VARIABLES["params"]
    )
    assert jnp.array_equal(
        jax.random.key_data(state.key),
        jax.random.key_data(jax.random.fold_in(jax.random.key(3), 0)),
    )


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"trains the network 'critic', but the variables hold only \['net'\]"
    ):
        create(VARIABLES, ("critic",), optax.adam(1e-3), 0, False, {})


def test_initial_variables_must_fit() -> None:
    check_like(VARIABLES, jax.eval_shape(lambda: VARIABLES))
    other = {"params": {"net": {"w": jnp.ones((2, 4))}}, "batch_stats": {"net": {}}}
    with pytest.raises(
        ValueError, match=r"\['params'\]\['net'\]\['w'\] is \(2, 4\), expected \(2, 3\)"
    ):
        check_like(other, VARIABLES)
    with pytest.raises(ValueError, match=r"is absent, expected \(2, 3\)"):
        check_like({"params": {"net": {}}, "batch_stats": {}}, VARIABLES)
