"""The pure functions that the loop compiles: one training step, one evaluation batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.state import TrainState, update_average
from fairrecon_jax.training.trainable import Objective, Phase, PhaseOutput, Together, Trainable
from fairrecon_jax.types import Array, Batch, InputError, Key, Precision, Variables

Prepare = Callable[[Batch, Key], Batch]
"""`prepare(batch, key) -> batch`: adds fields inside the compiled step, e.g. "degraded"; the key is
fresh in every step.
"""

Metrics = dict[str, Array]
Carried = tuple[Any, Any]
"""Batch statistics and the objective's state."""
PREPARE, AUGMENT, FIRST_PHASE = range(3)  # streams of a step's key
OBJECTIVE = 3  # stream of a phase's key; the trainables take 0 to 2


def computed(trainable: Trainable, precision: Precision, remat: bool) -> tuple[Trainable, bool]:
    """How a training step computes; parameters, optimiser and metrics stay float32 in any case.

    Args:
      trainable: a dataclass with a field `dtype` computes in it by itself, and keeps its targets in
        float32.
      precision: "float32" or "bfloat16".
      remat: compute blocks anew for the gradient, which the trainable does by its field `remat`.

    Returns:
      (the trainable with its `dtype` and `remat` set, False), or (without a field `dtype`, whether
        the step must cast parameters and images for it).

    Raises:
      InputError: `remat` for a trainable without that field.
    """
    fields: Any = dataclasses.fields(trainable) if dataclasses.is_dataclass(trainable) else ()
    known = {field.name for field in fields}
    chosen: dict[str, Any] = {}
    if remat and "remat" not in known:
        raise InputError(f"{trainable.name} has no field remat: leave the training's remat off")
    if remat:
        chosen["remat"] = True
    if precision != "float32" and "dtype" in known:
        chosen["dtype"] = precision
    cast = precision != "float32" and "dtype" not in known
    return (dataclasses.replace(trainable, **chosen) if chosen else trainable), cast  # type: ignore[type-var]


def _bfloat16(tree: Any) -> Any:
    """Casts the floating-point leaves."""
    return jax.tree.map(
        lambda leaf: (
            leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        ),
        tree,
    )


def _cast(params: Any, batch: Batch) -> tuple[Any, Batch]:
    """Parameters, images and masks in bfloat16; labels, weights and indices as they are."""
    return _bfloat16(params), {
        name: _bfloat16(value) if jnp.ndim(value) == 4 else value for name, value in batch.items()
    }


def _update(
    phase: Phase,
    state: TrainState,
    batch: Batch,
    key: Key,
    optimizer: optax.GradientTransformation,
    objective: Objective | None,
    cast: bool,
    parts: int,
) -> tuple[TrainState, Metrics]:
    """One phase: gradient of its loss with respect to its network, reduced over devices, and the
    optimiser's update.
    """

    def gradient(carried: Carried, batch: Batch) -> tuple[Carried, tuple[Any, Metrics]]:
        before, kept_before = carried

        def loss(params: Any) -> tuple[Array, tuple[Any, Any, Metrics]]:
            # Only `params` is differentiated: other networks of the step stay as they are.
            networks, seen = {**state.params, phase.network: params}, batch
            if cast:
                networks, seen = _cast(networks, batch)
            value, out = phase.loss({"params": networks, "batch_stats": before}, seen, key, True)
            value, kept, metrics = _with_objective(objective, value, out, batch, kept_before, key)
            return value, (out.statistics or before, kept, metrics)

        # The objective is inside: its gradient reaches the network by way of the clean estimate.
        (value, (statistics, kept, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params[phase.network]
        )
        # A cast step computes them in bfloat16; they are kept as they came.
        statistics = jax.tree.map(lambda new, old: new.astype(old.dtype), statistics, before)
        return (statistics, kept), (grads, {**metrics, "loss": value})

    (statistics, kept), (grads, metrics) = _in_parts(
        gradient, (state.batch_stats, state.objective), batch, parts
    )
    # Equal shards, and weights divided by their mean over devices: the mean of gradients is that of
    # the whole batch.
    grads, statistics, metrics = lax.pmean((grads, statistics, metrics), AXIS)
    updates, opt_state = optimizer.update(
        grads, state.opt_state[phase.network], state.params[phase.network]
    )
    params = {
        **state.params,
        phase.network: optax.apply_updates(state.params[phase.network], updates),
    }
    state = state.replace(
        params=params,
        batch_stats=statistics,
        opt_state={**state.opt_state, phase.network: opt_state},
        objective=kept,
    )
    return state, jax.tree.map(lambda value: value.astype(jnp.float32), metrics)


def _with_objective(
    objective: Objective | None, value: Array, out: PhaseOutput, batch: Batch, kept: Any, key: Key
) -> tuple[Array, Any, Metrics]:
    """The loss with the objective's term, the objective's new state, and the metrics of both."""
    # In float32 before a term is added, whose small part bfloat16 would round away.
    value, metrics = value.astype(jnp.float32), dict(out.metrics)
    if objective is None or out.clean is None:
        return value, kept, metrics
    # Frozen diagnosers and their thresholds are in float32.
    # Hence also the batch as it came, not the cast one.
    clean = out.clean.astype(jnp.float32)
    seen = {**batch, "loss": lax.stop_gradient(value)}
    extra, kept, more = objective(clean, seen, kept, jax.random.fold_in(key, OBJECTIVE))
    return value + extra, kept, {**metrics, "loss_without_objective": value, **more}


def _in_parts(
    gradient: Callable[[Carried, Batch], tuple[Carried, tuple[Any, Metrics]]],
    carried: Carried,
    batch: Batch,
    parts: int,
) -> tuple[Carried, tuple[Any, Metrics]]:
    """The mean of gradients and metrics over equal parts of a batch, one after another; statistics
    and the objective's state go from one to the next.
    """
    if parts == 1:
        return gradient(carried, batch)
    # Noise is keyed by the example, so that a part draws what it would draw in the whole batch.
    split = jax.tree.map(
        lambda x: jnp.reshape(x, (parts, x.shape[0] // parts, *x.shape[1:])), dict(batch)
    )
    shapes = jax.eval_shape(gradient, carried, jax.tree.map(lambda x: x[0], split))[1]

    def add(sums: Any, part: Batch) -> tuple[Any, None]:
        carried, total = sums
        carried, found = gradient(carried, part)
        return (carried, jax.tree.map(jnp.add, total, found)), None

    start = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (carried, total), _ = lax.scan(add, (carried, start), split)
    return carried, jax.tree.map(lambda x: x / parts, total)


def train_step(
    trainable: Trainable,
    config: TrainConfig,
    optimizer: optax.GradientTransformation,
    prepare: Prepare | None = None,
    objective: Objective | None = None,
    augment: Prepare | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Builds the pure training step, to be mapped by `map_step`.

    The step's key is fold_in(state.key, state.step); `prepare` gets its stream 0, `augment` 1,
    phase i 2 + i, so that per-example noise (`example_keys`) depends on the seed, the step and the
    example only. Phases run in order, each on what the former left. With one phase metrics keep
    their names and the loss is "loss"; with several, phase metrics become "<network>/<name>".

    Args:
      trainable: the phases.
      config: precision, parts of a batch, remat and moving average are read.
      optimizer: the same for each network, with a state each.
      prepare: adds fields to the batch.
      objective: added to the loss of the phases that have a clean estimate.
      augment: changes the batch before `prepare` sees it.

    Returns:
      `(state, batch) -> (state, metrics)` for one device's share of the batch, reduced over `AXIS`.

    Raises:
      InputError: the trainable has no field for the `remat` asked for.
    """
    trainable, cast = computed(trainable, config.precision, config.remat)
    phases, parts = trainable.phases, config.accumulate

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        # From the counter, not split from step to step: a run that continues needs no history.
        key = jax.random.fold_in(state.key, state.step)
        if augment is not None:
            batch = augment(batch, jax.random.fold_in(key, AUGMENT))
        if prepare is not None:
            batch = prepare(batch, jax.random.fold_in(key, PREPARE))
        metrics: Metrics = {}
        for number, phase in enumerate(phases):
            phase_key = jax.random.fold_in(key, FIRST_PHASE + number)
            state, values = _update(
                phase, state, batch, phase_key, optimizer, objective, cast, parts
            )
            prefix = f"{phase.network}/" if len(phases) > 1 else ""
            metrics |= {prefix + name: value for name, value in values.items()}
        done = state.step + 1
        # Once a step, behind all phases.
        if config.ema:
            state = state.replace(ema=update_average(state.ema, state.params, config.ema, done))
        return state.replace(step=done), metrics

    return step


def eval_step(
    trainable: Trainable, key: Key, prepare: Prepare | None = None
) -> Callable[[Variables, Batch], tuple[dict[str, Together], Metrics]]:
    """Builds the pure evaluation of one batch, over all devices: for each mean the weighted sum and
    the sum of weights, for what is made of all examples the parts.

    Args:
      trainable: padding (index < 0) is left out of what `evaluate` gives, whatever its weight.
      key: the same in every evaluation, so that validation noise is the same for every step.
      prepare: adds fields to the batch.

    Returns:
      `(variables, batch) -> ({name: Together}, {name: [2] weighted sum and sum of weights})`, to be
        mapped by `map_step`.
    """

    def step(variables: Variables, batch: Batch) -> tuple[dict[str, Together], Metrics]:
        if prepare is not None:
            batch = prepare(batch, jax.random.fold_in(key, PREPARE))
        # By the index: an example's own weight of 0 is not padding.
        real = jnp.asarray(batch["index"]) >= 0
        sums, parts = {}, {}
        for name, found in trainable.evaluate(
            variables, batch, jax.random.fold_in(key, FIRST_PHASE)
        ).items():
            if isinstance(found, Together):
                weight = jnp.where(real, found.weight, 0.0)
                parts[name] = dataclasses.replace(found, weight=weight)
                continue
            # A metric may set weights of its own, padding has none; its values may be NaN.
            value, weight = found[0], jnp.where(real, found[1], 0.0)
            total = jnp.sum(jnp.where(weight > 0, value, 0.0) * weight)
            sums[name] = jnp.stack([total, jnp.sum(weight)]).astype(jnp.float32)
        return lax.all_gather(parts, AXIS, tiled=True), lax.psum(sums, AXIS)

    return step
