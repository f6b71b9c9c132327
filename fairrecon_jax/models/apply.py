"""Fresh variables of a network, running a named network inside `Variables`, and means that do not
depend on the number of devices.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from fairrecon_jax.models.start import Start, draw
from fairrecon_jax.types import Array, Key, Variables


def init_network(
    network: nn.Module, name: str, key: Key, *inputs: Array, start: Start | None = None
) -> Variables:
    """Fresh variables of one network, from a single draw.

    Unless one is given, the law is that of the network's class attribute `start`, PyTorch's default
    without one: see `models.start.law`. Nothing of the network runs, and one random program serves
    all its parameters, where Flax's own `init` compiles one for each.

    Args:
      network: module called as `network(*inputs, train=...)`.
      name: the network's name.
      key: scalar key.
      *inputs: of the right shapes; their values do not matter.
      start: name of a law.

    Returns:
      {"params": {name: tree}, "batch_stats": {name: tree}} in float32, the latter {} where the
        network has no statistics.

    Raises:
      ValueError: a parameter's name is none of kernel, bias, scale, mean, var and slope.

    Example:
      >>> unet, image = fr.models.UNet(width=2, depth=1), np.zeros((1, 16, 16, 1), np.float32)
      >>> variables = init_network(unet, "unet", jax.random.key(0), image)
      >>> variables["params"]["unet"]["head"]["kernel"].shape, variables["batch_stats"]
      ((1, 1, 2, 1), {'unet': {}})
    """
    # Shapes only: this key draws nothing.
    shapes = jax.eval_shape(lambda *x: network.init(jax.random.key(0), *x), *inputs)
    leaves = {path: leaf.shape for path, leaf in flatten_dict(dict(shapes)).items()}
    chosen: Start = start or getattr(network, "start", None) or "torch"
    fresh = unflatten_dict(draw(chosen, key, leaves))
    return {
        "params": {name: fresh.get("params", {})},
        "batch_stats": {name: fresh.get("batch_stats", {})},
    }


def apply_network(
    network: nn.Module, name: str, variables: Variables, *inputs: Array | None, train: bool
) -> tuple[jax.Array, dict[str, Any]]:
    """Runs one network.

    Args:
      network: module called as `network(*inputs, train=...)`.
      name: the network's name in `variables`.
      variables: of all networks.
      *inputs: the network's inputs.
      train: use and update batch statistics.

    Returns:
      The output, and the statistics of all networks, this one's updated where `train`.

    Example:
      >>> unet, image = fr.models.UNet(width=2, depth=1), np.zeros((3, 16, 16, 1), np.float32)
      >>> variables = init_network(unet, "unet", jax.random.key(0), image)
      >>> output, statistics = apply_network(unet, "unet", variables, image, train=False)
      >>> output.shape, statistics
      ((3, 16, 16, 1), {'unet': {}})
    """
    statistics = variables["batch_stats"]
    previous = statistics.get(name, {})
    collections = {"params": variables["params"][name], "batch_stats": previous}
    # Without `train` nothing is mutable, and `updates` is empty.
    output, updates = network.apply(
        collections, *inputs, train=train, mutable=["batch_stats"] if train else []
    )
    return output, {**statistics, name: updates.get("batch_stats", previous)}


def features(
    network: nn.Module, name: str, variables: Variables, *inputs: Array, sown: str = "features"
) -> jax.Array:
    """An intermediate array of a frozen network, which the network sows.

    Args:
      network: module called as `network(*inputs, train=...)` that sows one array of that name into
        "intermediates".
      name: the network's name in `variables`.
      variables: of all networks.
      *inputs: the network's inputs.
      sown: "features" [B, F] float32, the input of the last layer; classifiers also sow "maps" [B,
        h, w, C], that of the pooling.

    Returns:
      The array.

    Raises:
      ValueError: the network sows none, or several.
    """
    collections = {
        "params": variables["params"][name],
        "batch_stats": variables["batch_stats"].get(name, {}),
    }
    _, kept = network.apply(collections, *inputs, train=False, mutable=["intermediates"])
    arrays = [
        array
        for path, sown_arrays in flatten_dict(kept.get("intermediates", {})).items()
        if path[-1] == sown
        for array in sown_arrays
    ]
    if len(arrays) != 1:
        raise ValueError(
            f"{type(network).__name__} sows {len(arrays)} arrays of {sown}, one is needed"
        )
    return jnp.asarray(arrays[0])


def weighted_mean(values: Array, weight: Array, axis_name: str | None = None) -> jax.Array:
    """sum(values * weight) / sum(weight), the denominator averaged over a mapped axis.

    With equal shards, the mean over the axis of this value (and of its gradient) is the weighted
    mean over the whole batch, however the weights are spread over devices. 0 where no weight is
    left.

    Args:
      values: [B], finite where the weight is positive.
      weight: [B], at least 0.
      axis_name: mapped axis, or None.

    Example:
      >>> value, weight = jnp.array([1.0, 3.0, jnp.nan]), jnp.array([1.0, 1.0, 0.0])
      >>> float(weighted_mean(value, weight))  # the third is padding
      2.0
    """
    total = jnp.sum(weight)
    if axis_name is not None:
        total = jax.lax.pmean(total, axis_name)
    # Padding may be NaN, and NaN times a weight of 0 is NaN.
    kept = jnp.where(weight > 0, values, 0.0)
    return jnp.sum(kept * weight) / jnp.where(total > 0, total, 1.0)
