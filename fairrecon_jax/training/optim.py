"""Learning-rate schedules and optimisers from a `TrainConfig`."""

from __future__ import annotations

import optax

from fairrecon_jax.training.config import TrainConfig


def learning_rate(config: TrainConfig) -> optax.Schedule:
    """The rate at each step.

    With peak r, warm-up w and n steps: r s / w for s < w, then r ("constant"), r (1 + cos(pi (s -
    w) / (n - w))) / 2 ("cosine"), or r min(1, (n - s) / (n - h)) with h = w + floor((n - w) / 2)
    ("half_linear").

    Args:
      config: learning_rate, schedule, warmup_steps and steps are read.

    Returns:
      A function from the step (0 is the first) to the rate.
    """
    rest = config.steps - config.warmup_steps
    if config.schedule == "cosine":
        main = optax.cosine_decay_schedule(config.learning_rate, rest)
    elif config.schedule == "half_linear":
        half = rest // 2
        main = optax.linear_schedule(config.learning_rate, 0.0, rest - half, half)
    else:
        main = optax.constant_schedule(config.learning_rate)
    if not config.warmup_steps:
        return main
    # The schedule behind the rise counts from its own start: hence `rest` above.
    rise = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    return optax.join_schedules([rise, main], [config.warmup_steps])


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The optimiser of one network: clipping, weight decay, Adam moments, schedule.

    Args:
      config: the choices of the run.

    Returns:
      An optax transformation; "adamw" adds weight_decay times the parameter to the update, the
        others to the gradient. "amsgrad" keeps the largest bias-corrected second moment (PyTorch
        the largest uncorrected one, which differs in the first hundreds of steps).

    Reference:
      Kingma and Ba 2015 (Adam); Reddi, Kale and Kumar 2018 (AMSGrad); Loshchilov and Hutter 2019
      (AdamW).
    """
    # First, so that the norm is of the gradient, without the decay.
    parts = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    if config.optimizer != "adamw" and config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    # L2 goes through the moments, decoupled decay past them.
    moments = optax.scale_by_amsgrad if config.optimizer == "amsgrad" else optax.scale_by_adam
    parts.append(moments(b1=config.b1, b2=config.b2))
    if config.optimizer == "adamw" and config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    parts.append(optax.scale_by_learning_rate(learning_rate(config)))
    return optax.chain(*parts)
