"""The train state: everything that changes from step to step, all that a checkpoint holds."""

from __future__ import annotations

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from fairrecon_jax.types import Array, Key, Variables

STEPS, EVALUATION, START = range(3)
"""Streams of the run's root key: the steps, the evaluations, the initial values."""


class TrainState(flax.struct.PyTreeNode):
    """Everything that changes from step to step.

    Attributes:
      step: [] int32, optimiser steps done.
      key: root of all randomness of the steps; it does not change, the step is folded in.
      params: {network: tree} float32.
      batch_stats: {network: tree} float32.
      opt_state: {network: state of its optimiser}, one entry per network that a phase updates.
      ema: {network: tree} moving average of `params`, {} where there is none.
      objective: state of the mitigation objective, {} where there is none.
    """

    step: Array
    key: Key
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    opt_state: dict[str, Any]
    ema: dict[str, Any]
    objective: Any

    @property
    def variables(self) -> Variables:
        """The variables to evaluate and keep: averaged parameters where averaging is on."""
        return {"params": self.ema or self.params, "batch_stats": self.batch_stats}


def create(
    variables: Variables,
    networks: tuple[str, ...],
    optimizer: optax.GradientTransformation,
    seed: int,
    ema: bool,
    objective: Any,
) -> TrainState:
    """The state before the first step.

    Args:
      variables: initial variables.
      networks: names of the networks that have an optimiser.
      optimizer: the same for each.
      seed: of the run.
      ema: whether to average parameters.
      objective: initial state of the objective, {} without one.

    Returns:
      The state at step 0.

    Raises:
      ValueError: a network to train has no parameters.
    """
    params = variables["params"]
    for network in networks:
        if network not in params:
            raise ValueError(
                f"a phase trains the network {network!r}, but the variables hold only "
                f"{sorted(params)}"
            )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        # Not the root itself: evaluations and start values fold their streams into that.
        key=jax.random.fold_in(jax.random.key(seed), STEPS),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        # A network of two phases has one optimiser.
        opt_state={network: optimizer.init(params[network]) for network in dict.fromkeys(networks)},
        # A copy: the step donates the buffers of the state, each of which may appear once.
        ema=jax.tree.map(jnp.copy, params) if ema else {},
        objective=objective,
    )


@jax.jit
def finite(state: TrainState) -> jax.Array:
    """[] bool: whether all parameters, averaged parameters and batch statistics are finite."""
    leaves = jax.tree.leaves((state.params, state.ema, state.batch_stats))
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def update_average(average: Any, params: Any, decay: float, count: Array) -> Any:
    """One step of a bias-corrected exponential moving average, without a zero start.

    With d the decay and t = count: a_t = a_{t-1} + w_t (p_t - a_{t-1}), w_t = (1 - d) / (1 - d^t).
    This is the average of p_1 .. p_t with weights d^(t-s), normalised to 1: the initial value has
    no part in it, and a_1 = p_1.

    Args:
      average: tree a_{t-1}.
      params: tree p_t.
      decay: d in (0, 1).
      count: [] int32, t, from 1.

    Returns:
      The tree a_t.

    Reference:
      Kingma and Ba 2015, section 3 (initialisation bias correction).
    """
    # 1 - d^t without cancellation for d near 1.
    weight = (1 - decay) / -jnp.expm1(count.astype(jnp.float32) * math.log(decay))
    return jax.tree.map(lambda a, p: a + weight * (p - a), average, params)
