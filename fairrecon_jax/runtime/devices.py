"""The only place that knows devices: mapping over them, padding batches to them.

Steps are written for one device with the axis name "batch" (`AXIS`) and reduce with `pmean` /
`psum` themselves. Where a single device is present the same step runs under `jax.vmap` with that
axis name, which also raises when a step returns a value it forgot to reduce.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from fairrecon_jax.types import Array, Batch

AXIS = "batch"


def pad_batch(batch: Batch, size: int) -> dict[str, np.ndarray]:
    """Pads a host batch to `size` examples by repeating its last one with weight 0 and index -1.

    Raises:
      ValueError: the batch is empty or larger than `size`.
    """
    count = len(batch["index"])
    if not 0 < count <= size:
        raise ValueError(f"cannot pad a batch of {count} examples to {size}")
    # A repeated example is finite and of the right shape, which zeros might not be to a loss.
    rows = np.minimum(np.arange(size), count - 1)
    padded = {name: np.asarray(value)[rows] for name, value in batch.items()}
    padded["weight"] = np.where(np.arange(size) < count, padded["weight"], 0).astype(np.float32)
    padded["index"] = np.where(np.arange(size) < count, padded["index"], -1).astype(np.int32)
    return padded


def shard(batch: Any, devices: int) -> Any:
    """Splits the leading axis of every leaf over devices: [B, ...] -> [devices, B / devices, ...].

    Raises:
      ValueError: B is not a multiple of `devices`.
    """

    def split(leaf: Array) -> Array:
        if leaf.shape[0] % devices:
            raise ValueError(
                f"a batch of {leaf.shape[0]} examples does not divide over {devices} devices"
            )
        # consecutive examples stay on one device: merging the two axes restores the order
        return leaf.reshape(devices, leaf.shape[0] // devices, *leaf.shape[1:])

    return jax.tree.map(split, batch)


def _devices(count: int) -> list[jax.Device]:
    """The first local devices.

    Raises:
      ValueError: there are fewer, or a multi-process run asks for a part of them.
    """
    local = jax.local_devices()
    if not 1 <= count <= len(local):
        raise ValueError(f"{count} devices wanted, this process has {len(local)}")
    # AXIS spans all devices of the run: with a part of them a step would wait for the rest
    if jax.process_count() > 1 and count != len(local):
        raise ValueError(f"a multi-process run uses all {len(local)} local devices, {count} wanted")
    return local[:count]


def replicate(tree: Any, devices: int | None = None) -> Any:
    """Copies every leaf to the local devices that `map_step` uses, as the step itself gives it
    back: so it compiles once.

    Args:
      tree: pytree of arrays and keys without a device axis.
      devices: number of local devices; all if None.
    """
    chosen = _devices(devices or jax.local_device_count())
    if len(chosen) == 1:
        return jax.device_put(tree, chosen[0])
    mesh = jax.sharding.Mesh(np.array(chosen), (AXIS,))
    # one spec without axes: a whole copy on every device
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def map_step(
    step: Callable[..., Any], devices: int | None = None, donate: bool = True
) -> Callable[..., Any]:
    """Maps a pure training step `step(state, batch) -> (state, metrics)` over devices.

    The step sees its device's part of the batch and reduces gradients, batch statistics and metrics
    over `AXIS` itself; state and metrics come back without a device axis. In a multi-process run
    each process gives its own part of the batch and `AXIS` spans all devices.

    Args:
      step: pure function of (state, batch).
      devices: number of local devices; all if None.
      donate: give the state's buffers to the program (do not use the old state afterwards).

    Returns:
      A compiled `(state, batch) -> (state, metrics)` on batches [B, ...], B a multiple of the
        device count.
    """
    chosen = _devices(devices or jax.local_device_count())
    donated = (0,) if donate else ()
    if len(chosen) == 1 and jax.process_count() == 1:
        # out_axes=None raises where a value was not reduced over the axis.
        mapped = jax.vmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=None)
        compiled = jax.jit(mapped, donate_argnums=donated)
    else:
        # None means all devices of all processes.
        everywhere = None if jax.process_count() > 1 else chosen
        compiled = jax.pmap(
            step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=donated, devices=everywhere
        )

    def call(state: Any, batch: Any) -> Any:
        return compiled(state, shard(batch, len(chosen)))

    return call


def map_rows(function: Callable[..., Any], devices: int | None = None) -> Callable[..., Any]:
    """Maps `function(shared, batch) -> rows` over this process's devices, where every leaf of
    `rows` has the batch's leading axis.

    Args:
      function: pure function; `shared` is given whole to every device, `batch` in parts.
      devices: number of local devices; all if None.

    Returns:
      A compiled `(shared, batch) -> rows` on batches [B, ...], rows [B, ...], B a multiple of the
        device count.
    """
    chosen = _devices(devices or jax.local_device_count())
    if len(chosen) == 1:
        return jax.jit(function)
    compiled = jax.pmap(function, in_axes=(None, 0), devices=chosen)

    def call(shared: Any, batch: Any) -> Any:
        rows = compiled(shared, shard(batch, len(chosen)))
        # [devices, B / devices, ...] -> [B, ...]
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rows)

    return call
