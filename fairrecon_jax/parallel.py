"""The only place that knows devices: mapping over them, padding batches to them, keys per example, runs of several processes.

Steps are written for one device with the axis name "batch" (`AXIS`) and reduce with `pmean` / `psum` themselves. Where a single device is
present the same step runs under `jax.vmap` with that axis name, which also raises when a step returns a value it forgot to reduce.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from fairrecon_jax.types import Array, Batch, Key

AXIS = "batch"
PATIENCE = 48.0  # hours that processes wait for process 0; the limit of the job comes first
_turns = itertools.count()  # numbers the calls of `alone`, which all processes make in the same order


class PrimaryFailed(RuntimeError):
    """Process 0 could not do what it does alone; it says why itself."""


def start() -> None:
    """Joins the multi-process run that the environment describes, if there is one; call it before anything else of JAX.

    A run is described by a step of Slurm (`srun`) or Open MPI (`mpirun`) with several tasks, or by hand: JAX_COORDINATOR_ADDRESS
    (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID. A process that is alone on its node uses all of the node's devices,
    one of several the device with its own number.

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
        jax.distributed.initialize(address, count, number, cluster_detection_method="deactivate", **_leaving())
    elif any(int(os.environ.get(name, "1")) > 1 for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")):
        jax.distributed.initialize(local_device_ids=_own_accelerators(os.environ), **_leaving())


def _leaving() -> dict[str, Any]:
    """How long a process that ends waits for the others, where JAX takes it: one that fails alone should not hold up the end of the run."""
    name = "shutdown_timeout_seconds"
    return {name: 60} if name in inspect.signature(jax.distributed.initialize).parameters else {}


def _own_accelerators(environment: Mapping[str, str]) -> list[int] | None:
    """The accelerators of a process of Slurm or Open MPI, numbered among those it sees; None = the one with its number on the node.

    Without this a process that is alone on its node would be given one accelerator of several.
    """
    per_node = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") or environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    tasks = max(int(number) for number in re.sub(r"\(x\d+\)", "", per_node).split(","))  # "2(x3),1": three nodes with two, one with one
    named = environment.get("CUDA_VISIBLE_DEVICES") or environment.get("ROCR_VISIBLE_DEVICES")
    seen = len(named.split(",")) if named else int(environment.get("SLURM_GPUS_ON_NODE", "1"))
    return list(range(seen)) if tasks == 1 or (named and seen == 1) else None


def is_primary() -> bool:
    """Whether this process does and writes what only one process may; does not touch the devices."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def alone(function: Callable[[], Any], what: str, hours: float = PATIENCE) -> Any:
    """Has process 0 do something while the others wait; every process calls this, in the same order.

    Args:
      function: what to do; needs no other process.
      what: the work as a verb, for the message, e.g. "read the cohort".
      hours: how long to wait.

    Returns:
      What the function returns; in the other processes as it comes through JSON (text, where it has no JSON).

    Raises:
      PrimaryFailed: in the other processes, where the function raised in process 0.
      TimeoutError: process 0 has not answered in time.
    """
    if not jax.distributed.is_initialized():
        return function()
    turn = next(_turns)
    if is_primary():
        try:
            found = function()
        except BaseException as error:
            _tell(turn, {"failed": f"{type(error).__name__}: {error}"})
            raise
        _tell(turn, {"found": found})
        return found
    answer = _hear(turn, 0, what, hours)
    if "failed" in answer:
        raise PrimaryFailed(f"process 0 could not {what}: {answer['failed']}")
    return answer["found"]


def gather(columns: Mapping[str, np.ndarray], what: str = "reach the end of its rows", hours: float = PATIENCE) -> dict[str, np.ndarray]:
    """Joins the columns of all processes, in the order of the processes; every process gets the whole.

    Args:
      columns: [n] by name, the same names, types and length n in every process.
      what: the work that came before, for the message.
      hours: how long to wait for the slowest process.

    Returns:
      [processes n] by name.

    Raises:
      TimeoutError: a process has not come here in time.
    """
    if not jax.distributed.is_initialized():
        return dict(columns)
    turn = next(_turns)
    _tell(turn, {})
    for process in range(jax.process_count()):
        _hear(turn, process, what, hours)  # the exchange itself waits for seconds only
    return {name: np.asarray(value) for name, value in multihost_utils.process_allgather(dict(columns), tiled=True).items()}


def _service() -> Any:
    """The run's store of words by name, which every process reaches."""
    from jax._src.distributed import global_state

    return global_state.client


def _tell(turn: int, answer: dict[str, Any]) -> None:
    """Leaves word for the other processes."""
    _service().key_value_set(f"fairrecon/{turn}/{jax.process_index()}", json.dumps(answer, default=str))


def _hear(turn: int, process: int, what: str, hours: float) -> dict[str, Any]:
    """The word of another process, asked for in short turns, so that signals are heard."""
    end = time.monotonic() + 3600 * hours
    while (left := end - time.monotonic()) > 0:
        try:
            return json.loads(_service().blocking_key_value_get(f"fairrecon/{turn}/{process}", int(1000 * min(left, 5)) + 1))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
    here = f"process {jax.process_index()} waited {hours:g} h for process {process} to {what}"
    raise TimeoutError(f"{here}: see what process {process} says; the same command continues")


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
        everywhere = None if jax.process_count() > 1 else chosen  # None = all devices of all processes
        compiled = jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=donated, devices=everywhere)

    def call(state: Any, batch: Any) -> Any:
        return compiled(state, shard(batch, len(chosen)))

    return call


def map_rows(function: Callable[..., Any], devices: int | None = None) -> Callable[..., Any]:
    """Maps `function(shared, batch) -> rows` over this process's devices, where every leaf of `rows` has the batch's leading axis.

    Args:
      function: pure function; `shared` is given whole to every device, `batch` in parts.
      devices: number of local devices; all if None.

    Returns:
      A compiled `(shared, batch) -> rows` on batches [B, ...], rows [B, ...], B a multiple of the device count.
    """
    chosen = _devices(devices or jax.local_device_count())
    if len(chosen) == 1:
        return jax.jit(function)
    compiled = jax.pmap(function, in_axes=(None, 0), devices=chosen)

    def call(shared: Any, batch: Any) -> Any:
        rows = compiled(shared, shard(batch, len(chosen)))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rows)

    return call
