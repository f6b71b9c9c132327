"""Running a named network inside `Variables`, and means that do not depend on how examples are spread over devices."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array, Key, Variables


def init_network(network: nn.Module, name: str, key: Key, example: Array) -> Variables:
    """Fresh variables of one network.

    Args:
      network: module called as `network(x, train)`.
      name: the network's name.
      key: scalar key.
      example: an input of the right shape; its values do not matter.

    Returns:
      {"params": {name: tree}, "batch_stats": {name: tree}}, the latter {} where the network has no statistics.
    """
    variables = network.init(key, jnp.zeros_like(example), False)
    return {"params": {name: variables["params"]}, "batch_stats": {name: variables.get("batch_stats", {})}}


def apply_network(network: nn.Module, name: str, variables: Variables, x: Array, train: bool) -> tuple[jax.Array, dict[str, Any]]:
    """Runs one network.

    Args:
      network: module called as `network(x, train)`.
      name: the network's name in `variables`.
      variables: of all networks.
      x: the network's input.
      train: use and update batch statistics.

    Returns:
      The output, and the statistics of all networks, this one's updated where `train`.
    """
    statistics = variables["batch_stats"]
    own = statistics.get(name, {})
    inputs = {"params": variables["params"][name], "batch_stats": own}
    output, updates = network.apply(inputs, x, train, mutable=["batch_stats"] if train else [])
    return output, {**statistics, name: updates.get("batch_stats", own)}


def weighted_mean(values: Array, weight: Array, axis_name: str | None = None) -> jax.Array:
    """sum(values * weight) / sum(weight), the denominator averaged over a mapped axis.

    With equal shards, the mean over the axis of this value (and of its gradient) is the weighted mean over the whole batch, however the
    weights are spread over devices. 0 where no weight is left.

    Args:
      values: [B], finite where the weight is positive.
      weight: [B], at least 0.
      axis_name: mapped axis, or None.
    """
    total = jnp.sum(weight)
    if axis_name is not None:
        total = jax.lax.pmean(total, axis_name)
    kept = jnp.where(weight > 0, values, 0.0)
    return jnp.sum(kept * weight) / jnp.where(total > 0, total, 1.0)
