"""Learning-rate schedules and optimisers from a `TrainConfig`."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fairrecon_jax.training.config import TrainConfig


def learning_rate(config: TrainConfig) -> optax.Schedule:
    """The rate at each step.

    With peak r, warm-up w and n steps: r s / w for s < w, then r ("constant"), r (1 + cos(pi (s -
    w) / (n - w))) / 2 ("cosine"), or r min(1, (n - s) / (n - h)) with h = w + floor((n - w) / 2)
    ("half_linear").

    With k = schedule_every > 0 the steps of each k behind the warm-up share a rate, that of epoch e
    of E = ceil((n - w) / k), counted from 0: r (1 + cos(pi e / E)) / 2, as PyTorch's
    `CosineAnnealingLR`, or r min(1, (E - e) / (E - floor(E / 2) + 1)), as Pix2Pix is published: the
    first epoch of the second half lies below r already, and the last one above 0. A single epoch
    has r.

    Args:
      config: learning_rate, schedule, schedule_every, warmup_steps and steps are read.

    Returns:
      A function from the step (0 is the first) to the rate.
    """
    every = config.schedule_every
    rest = math.ceil((config.steps - config.warmup_steps) / max(every, 1))
    if config.schedule == "cosine":
        main = optax.cosine_decay_schedule(config.learning_rate, rest)
    elif config.schedule == "half_linear":
        # an epoch's fall begins with it, a step's behind it
        half, begun = rest // 2, int(every > 0 and rest > 1)
        fall = rest - half + begun
        main = optax.linear_schedule(config.learning_rate, 0.0, fall, half - begun)
    else:
        main = optax.constant_schedule(config.learning_rate)
    if every:
        main = _by_epoch(main, every)
    if not config.warmup_steps:
        return main
    # The schedule behind the rise counts from its own start: hence `rest` above.
    rise = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    return optax.join_schedules([rise, main], [config.warmup_steps])


def _by_epoch(schedule: optax.Schedule, every: int) -> optax.Schedule:
    """A schedule of epochs as one of steps."""
    return lambda step: schedule(step // every)


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The optimiser of one network: clipping, weight decay, Adam moments, schedule.

    Args:
      config: the choices of the run.

    Returns:
      An optax transformation; "adamw" adds weight_decay times the parameter to the update, the
        others to the gradient. "amsgrad" is `amsgrad_moments`.

    Reference:
      Kingma and Ba 2015 (Adam); Reddi, Kale and Kumar 2018 (AMSGrad); Loshchilov and Hutter 2019
      (AdamW).
    """
    # First, so that the norm is of the gradient, without the decay.
    parts = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    if config.optimizer != "adamw" and config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    # L2 goes through the moments, decoupled decay past them.
    moments = amsgrad_moments if config.optimizer == "amsgrad" else optax.scale_by_adam
    parts.append(moments(b1=config.b1, b2=config.b2))
    if config.optimizer == "adamw" and config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    parts.append(optax.scale_by_learning_rate(learning_rate(config)))
    return optax.chain(*parts)


def amsgrad_moments(b1: float = 0.9, b2: float = 0.999) -> optax.GradientTransformation:
    """Scales gradients g as PyTorch's Adam with `amsgrad=True` does.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w = max(w, v), and at step t the update
    m / (1 - b1^t) / (sqrt(w / (1 - b2^t)) + 1e-8). The maximum is of moments without the correction
    of their bias, where optax takes that of corrected ones: there the gradients of the first steps,
    corrected a thousandfold, would slow the whole training.

    Args:
      b1: decay of the first moment.
      b2: decay of the second moment.

    Returns:
      An optax transformation.

    Example:
      >>> moments = amsgrad_moments()
      >>> update, _ = moments.update(jnp.array([0.5]), moments.init(jnp.array([1.0])))
      >>> update.round(4).tolist()  # as of every Adam at its first step
      [1.0]

    Reference: Reddi, Kale and Kumar 2018; the order is that of `torch.optim.Adam`.
    """

    def init(params: Any) -> optax.ScaleByAmsgradState:
        zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(3)]
        return optax.ScaleByAmsgradState(jnp.zeros((), jnp.int32), *zeros)

    def update(
        gradient: Any, state: optax.ScaleByAmsgradState, params: Any = None
    ) -> tuple[Any, optax.ScaleByAmsgradState]:
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, gradient)
        nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.nu, gradient)
        largest = jax.tree.map(jnp.maximum, state.nu_max, nu)
        count = optax.safe_increment(state.count)
        # 1 - b^t without cancellation for b near 1; 1 for b = 0
        first, second = (-jnp.expm1(count * math.log(b)) if b else jnp.ones(()) for b in (b1, b2))
        scaled = jax.tree.map(lambda m, w: m / first / (jnp.sqrt(w / second) + 1e-8), mu, largest)
        return scaled, optax.ScaleByAmsgradState(count, mu, nu, largest)

    return optax.GradientTransformation(init, update)
