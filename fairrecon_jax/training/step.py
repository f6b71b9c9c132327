"""The pure functions that the loop compiles: one training step, one evaluation batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from fairrecon_jax import parallel
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.state import TrainState, update_average
from fairrecon_jax.training.trainable import Objective, Phase, Trainable
from fairrecon_jax.types import Array, Batch, Key, Variables

Prepare = Callable[[Batch, Key], Batch]
"""`prepare(batch, key) -> batch`: adds fields inside the compiled step, e.g. "degraded"; the key is fresh in every step."""

Metrics = dict[str, Array]
PREPARE, OBJECTIVE, FIRST_PHASE = range(3)


def compute_dtype(tree: Any, precision: str) -> Any:
    """Casts floating-point leaves of rank 2 and more to bfloat16 where that is the precision; leaves the rest alone."""
    if precision == "float32":
        return tree
    return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)


def _cast_batch(batch: Batch, precision: str) -> Batch:
    """Images and masks in the compute precision; labels, weights and indices as they are."""
    return {name: compute_dtype(value, precision) if jnp.ndim(value) == 4 else value for name, value in batch.items()}


def _update(
    phase: Phase,
    state: TrainState,
    batch: Batch,
    key: Key,
    optimizer: optax.GradientTransformation,
    objective: Objective | None,
    precision: str,
) -> tuple[TrainState, Metrics]:
    """One phase: gradient of its loss with respect to its network, reduced over devices, and the optimiser's update."""

    def loss(params: Any) -> tuple[Array, tuple[Any, Any, Metrics]]:
        everyone = compute_dtype({**state.params, phase.network: params}, precision)
        variables = {"params": everyone, "batch_stats": state.batch_stats}
        value, out = phase.loss(variables, _cast_batch(batch, precision), key, True)
        value, metrics, kept = value.astype(jnp.float32), dict(out.metrics), state.objective
        if objective is not None and out.clean is not None:
            clean = out.clean.astype(jnp.float32)
            extra, kept, more = objective(clean, batch, state.objective, jax.random.fold_in(key, OBJECTIVE))
            metrics |= {"loss_without_objective": value, **more}
            value = value + extra
        return value, (out.statistics or state.batch_stats, kept, metrics)

    (value, (statistics, kept, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(state.params[phase.network])
    grads, statistics, metrics = lax.pmean((grads, statistics, {**metrics, "loss": value}), parallel.AXIS)
    updates, opt_state = optimizer.update(grads, state.opt_state[phase.network], state.params[phase.network])
    params = {**state.params, phase.network: optax.apply_updates(state.params[phase.network], updates)}
    statistics = jax.tree.map(lambda new, old: new.astype(old.dtype), statistics, state.batch_stats)
    state = state.replace(params=params, batch_stats=statistics, opt_state={**state.opt_state, phase.network: opt_state}, objective=kept)
    return state, jax.tree.map(lambda value: value.astype(jnp.float32), metrics)


def train_step(
    trainable: Trainable,
    config: TrainConfig,
    optimizer: optax.GradientTransformation,
    prepare: Prepare | None = None,
    objective: Objective | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Builds the pure training step, to be mapped by `parallel.map_step`.

    The step's key is fold_in(state.key, state.step); `prepare` gets its stream 0, phase i its stream 2 + i, so that per-example noise
    (`parallel.example_keys`) depends on the seed, the step and the example only. Phases run in order, each on what the former left.
    With one phase metrics keep their names and the loss is "loss"; with several, phase metrics become "<network>/<name>".

    Args:
      trainable: the phases.
      config: precision and moving average are read.
      optimizer: the same for each network, with a state each.
      prepare: adds fields to the batch.
      objective: added to the loss of the phases that have a clean estimate.

    Returns:
      `(state, batch) -> (state, metrics)` for one device's share of the batch, reduced over `parallel.AXIS`.
    """
    phases = trainable.phases

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        if prepare is not None:
            batch = prepare(batch, jax.random.fold_in(key, PREPARE))
        metrics: Metrics = {}
        for number, phase in enumerate(phases):
            phase_key = jax.random.fold_in(key, FIRST_PHASE + number)
            state, values = _update(phase, state, batch, phase_key, optimizer, objective, config.precision)
            prefix = f"{phase.network}/" if len(phases) > 1 else ""
            metrics |= {prefix + name: value for name, value in values.items()}
        done = state.step + 1
        if config.ema:
            state = state.replace(ema=update_average(state.ema, state.params, config.ema, done))
        return state.replace(step=done), metrics

    return step


def eval_step(
    trainable: Trainable, key: Key, prepare: Prepare | None = None
) -> Callable[[Variables, Batch], tuple[dict[str, tuple[Array, Array]], Metrics]]:
    """Builds the pure evaluation of one batch: for each metric the weighted sum and the sum of weights, over all devices.

    Args:
      trainable: `evaluate` gives value and weight per example; padding (index < 0) is left out, whatever its weight.
      key: the same in every evaluation, so that validation noise is the same for every step.
      prepare: adds fields to the batch.

    Returns:
      `(variables, batch) -> (variables' echo {}, {name: [2] sum and weight})`, to be mapped by `parallel.map_step`.
    """

    def step(variables: Variables, batch: Batch) -> tuple[dict[str, tuple[Array, Array]], Metrics]:
        if prepare is not None:
            batch = prepare(batch, jax.random.fold_in(key, PREPARE))
        real = jnp.asarray(batch["index"]) >= 0
        sums = {}
        for name, (value, weight) in trainable.evaluate(variables, batch, jax.random.fold_in(key, FIRST_PHASE)).items():
            weight = jnp.where(real, weight, 0.0)
            total = jnp.sum(jnp.where(weight > 0, value, 0.0) * weight)
            sums[name] = jnp.stack([total, jnp.sum(weight)]).astype(jnp.float32)
        return {}, lax.psum(sums, parallel.AXIS)

    return step
