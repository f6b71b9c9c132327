"""The only place that knows devices: mapping over them, padding batches to them, keys per example, multi-process start.

Steps are written for one device with the axis name "batch" (`AXIS`) and reduce with `pmean` / `psum` themselves. Where a single device is
present the same step runs under `jax.vmap` with that axis name, which also raises when a step returns a value it forgot to reduce.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.types import Array, Batch, Key

AXIS = "batch"


def start() -> None:
    """Joins the multi-process run that the environment describes, if there is one; call it before anything else of JAX.

    A run is described by a step of Slurm (`srun`) or Open MPI (`mpirun`) with several tasks, or by hand: JAX_COORDINATOR_ADDRESS
    (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Raises:
      ValueError: JAX_COORDINATOR_ADDRESS is set without the two numbers.
    """
    if jax.distributed.is_initialized():
        return
    if address := os.environ.get("JAX_COORDINATOR_ADDRESS"):
        try:
            count, number = int(os.environ["JAX_NUM_PROCESSES"]), int(os.environ["JAX_PROCESS_ID"])
        except KeyError as missing:
            raise ValueError(f"JAX_COORDINATOR_ADDRESS is set, but {missing.args[0]} is not: set it too, or none of them") from missing
        jax.distributed.initialize(address, count, number)
    elif any(int(os.environ.get(name, "1")) > 1 for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")):
        jax.distributed.initialize()


def is_primary() -> bool:
    """Whether this process writes what only one process may write."""
    return jax.process_index() == 0


def example_digest(name: str) -> np.ndarray:
    """The 64-bit BLAKE2b digest of an example's name as two uint32 words.

    Args:
      name: the example's name, unique in its cohort.

    Returns:
      [2] uint32.
    """
    return np.frombuffer(hashlib.blake2b(name.encode(), digest_size=8).digest(), dtype="<u4").astype(np.uint32)


def example_keys(key: Key, example_id: Array) -> Key:
    """One key per example, a function of the key and the example's digest only.

    Args:
      key: scalar typed key.
      example_id: [B, 2] uint32 from `example_digest`.

    Returns:
      [B] typed keys; independent of batch size, order and device count.
    """

    def one(words: Array) -> Key:
        return jax.random.fold_in(jax.random.fold_in(key, words[0]), words[1])

    return jax.vmap(one)(jnp.asarray(example_id))


def pad_batch(batch: Batch, size: int) -> dict[str, np.ndarray]:
    """Pads a host batch to `size` examples by repeating its last one with weight 0 and index -1.

    Raises:
      ValueError: the batch is empty or larger than `size`.
    """
    count = len(batch["index"])
    if not 0 < count <= size:
        raise ValueError(f"cannot pad a batch of {count} examples to {size}")
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
            raise ValueError(f"a batch of {leaf.shape[0]} examples does not divide over {devices} devices")
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
    if jax.process_count() > 1 and count != len(local):
        raise ValueError(f"a multi-process run uses all {len(local)} local devices, {count} wanted")
    return local[:count]


def replicate(tree: Any, devices: int | None = None) -> Any:
    """Copies every leaf to the local devices that `map_step` uses, as the step itself gives it back: so it compiles once.

    Args:
      tree: pytree of arrays and keys without a device axis.
      devices: number of local devices; all if None.
    """
    chosen = _devices(devices or jax.local_device_count())
    if len(chosen) == 1:
        return jax.device_put(tree, chosen[0])
    mesh = jax.sharding.Mesh(np.array(chosen), (AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def map_step(step: Callable[..., Any], devices: int | None = None, donate: bool = True) -> Callable[..., Any]:
    """Maps a pure training step `step(state, batch) -> (state, metrics)` over devices.

    The step sees its device's part of the batch and reduces gradients, batch statistics and metrics over `AXIS` itself; state and metrics
    come back without a device axis. In a multi-process run each process gives its own part of the batch and `AXIS` spans all devices.

    Args:
      step: pure function of (state, batch).
      devices: number of local devices; all if None.
      donate: give the state's buffers to the program (do not use the old state afterwards).

    Returns:
      A compiled `(state, batch) -> (state, metrics)` on batches [B, ...], B a multiple of the device count.
    """
    chosen = _devices(devices or jax.local_device_count())
    donated = (0,) if donate else ()
    if len(chosen) == 1 and jax.process_count() == 1:
        mapped = jax.vmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=None)
        compiled = jax.jit(mapped, donate_argnums=donated)
    else:
        compiled = jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=donated, devices=_mesh(chosen))

    def call(state: Any, batch: Any) -> Any:
        return compiled(state, shard(batch, len(chosen)))

    return call


def map_rows(function: Callable[..., Any], devices: int | None = None) -> Callable[..., Any]:
    """Maps `function(shared, batch) -> rows` over devices, where every leaf of `rows` has the batch's leading axis.

    Args:
      function: pure function; `shared` is given whole to every device, `batch` in parts.
      devices: number of local devices; all if None.

    Returns:
      A compiled `(shared, batch) -> rows` on batches [B, ...], rows [B, ...], B a multiple of the device count.
    """
    chosen = _devices(devices or jax.local_device_count())
    if len(chosen) == 1:
        return jax.jit(function)
    compiled = jax.pmap(function, in_axes=(None, 0), devices=_mesh(chosen))

    def call(shared: Any, batch: Any) -> Any:
        rows = compiled(shared, shard(batch, len(chosen)))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rows)

    return call


def _mesh(chosen: list[jax.Device]) -> list[jax.Device] | None:
    """The devices to name to `pmap`; None = all devices of all processes."""
    return None if jax.process_count() > 1 else chosen
