"""Runs of several processes: how they start, what process 0 does while the others wait, how they
join their rows.
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from fairrecon_jax.runtime.gathered import SeveralErrors
from fairrecon_jax.types import InputError

PATIENCE = 48.0  # hours that processes wait for process 0; the limit of the job comes first
BY_HAND = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
# Numbers the calls of `on_primary` and `all_gather`, which all processes make in the same order.
_turns = itertools.count()


class PrimaryFailed(RuntimeError):
    """Process 0 could not do what it does alone; it says why itself."""


def start() -> None:
    """Joins the multi-process run that the environment describes, if there is one; call it before
    anything else of JAX.

    A run is described by a step of Slurm (`srun`) or Open MPI (`mpirun`) with several tasks, or by
    hand: JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID. A
    process that is alone on its node uses all of the node's devices, one of several the device with
    its own number.

    Raises:
      InputError: one of the three variables is set and not the others, or is none of what it has
        to be, or nobody knows the host; the message names it.
    """
    if jax.distributed.is_initialized():
        return
    # given by hand it wins: a cluster's own variables may describe the job around this run
    if by_hand := described(os.environ):
        jax.distributed.initialize(*by_hand, cluster_detection_method="deactivate", **_leaving())
    elif any(
        # the step's tasks, not the job's: a plain command within a Slurm job is one process
        int(os.environ.get(name, "1")) > 1
        for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
    ):
        jax.distributed.initialize(local_device_ids=_own_accelerators(os.environ), **_leaving())


def described(environment: Mapping[str, str]) -> tuple[str, int, int] | None:
    """The run of several processes that is described by hand: address of process 0, number of
    processes and of this one; None where none is.

    Raises:
      InputError: see `start`.

    Example:
      >>> described({"JAX_COORDINATOR_ADDRESS": "localhost:1234", "JAX_NUM_PROCESSES": "2",
      ...            "JAX_PROCESS_ID": "1"})
      ('localhost:1234', 2, 1)
      >>> described({"JAX_NUM_PROCESSES": "two"})
      Traceback (most recent call last):
      fairrecon_jax.types.InputError: JAX_NUM_PROCESSES must be a whole number, got 'two'
    """
    address, count, number = (environment.get(name, "").strip() for name in BY_HAND)
    wrong = [
        f"{name} must be a whole number, got {text!r}"
        for name, text in zip(BY_HAND[1:], (count, number), strict=True)
        if text and not re.fullmatch(r"[0-9]{1,9}", text)
    ]
    try:
        _check_address(address)
    except InputError as error:
        wrong.append(str(error))
    if len(wrong) > 1:
        raise SeveralErrors("the variables of a run of several processes", *wrong)
    if wrong:
        raise InputError(wrong[0])
    given = dict(zip(BY_HAND, (address, count, number), strict=True))
    # one process alone needs no other
    if not address and int(count or 1) <= 1 and not int(number or 0):
        return None
    if missing := [name for name, text in given.items() if not text]:
        there = next(name for name, text in given.items() if text)
        what = "is not: set it" if len(missing) == 1 else "are not: set them"
        raise InputError(
            f"{there} is set, but {' and '.join(missing)} {what} too, or none of the three"
        )
    if int(count) < 1:
        raise InputError(f"JAX_NUM_PROCESSES must be at least 1, got {count}")
    if int(number) >= int(count):
        raise InputError(
            f"JAX_PROCESS_ID must lie in 0..{int(count) - 1}, as JAX_NUM_PROCESSES is {count}, got "
            f"{number}"
        )
    return address, int(count), int(number)


def _check_address(address: str) -> None:
    """Refuses what is no host with a port, and a host that this machine does not know."""
    host, sign, port = address.rpartition(":")
    if not address:
        return
    if not sign or not host or not port.isascii() or not port.isdigit():
        raise InputError(f"JAX_COORDINATOR_ADDRESS must be host:port of process 0, got {address!r}")
    if not 1 <= int(port[:9]) <= 65_535:
        raise InputError(
            f"JAX_COORDINATOR_ADDRESS must have a port from 1 to 65535, got {address!r}"
        )
    try:
        socket.getaddrinfo(host.strip("[]"), int(port))
    # a name of a host that cannot even be written
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"JAX_COORDINATOR_ADDRESS is {address!r}, but this machine knows no host {host!r}"
        ) from error


def _leaving() -> dict[str, Any]:
    """How long a process that ends waits for the others, and after how many seconds of silence one
    is taken for dead, where JAX takes them: one that fails alone should not hold up the run's end.
    """
    wanted = {"shutdown_timeout_seconds": 60, "heartbeat_timeout_seconds": 40}
    known = inspect.signature(jax.distributed.initialize).parameters
    return {name: seconds for name, seconds in wanted.items() if name in known}


def _own_accelerators(environment: Mapping[str, str]) -> list[int] | None:
    """The accelerators of a process of Slurm or Open MPI, numbered among those it sees; None = the
    one with its number on the node.

    Without this a process that is alone on its node would be given one accelerator of several.
    """
    per_node = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") or environment.get(
        "SLURM_STEP_TASKS_PER_NODE", "1"
    )
    # Slurm writes "2(x3),1" for three nodes with two tasks and one with one.
    tasks = max(int(number) for number in re.sub(r"\(x\d+\)", "", per_node).split(","))
    # what the scheduler hides cannot be numbered: local ids count the visible ones from 0
    named = environment.get("CUDA_VISIBLE_DEVICES") or environment.get("ROCR_VISIBLE_DEVICES")
    seen = len(named.split(",")) if named else int(environment.get("SLURM_GPUS_ON_NODE", "1"))
    return list(range(seen)) if tasks == 1 or (named and seen == 1) else None


def is_primary() -> bool:
    """Whether this is process 0, which alone writes and prints; does not touch the devices."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def on_primary(function: Callable[[], Any], what: str, hours: float = PATIENCE) -> Any:
    """Has process 0 do something while the others wait; every process calls this, in the same
    order.

    Args:
      function: what to do; needs no other process.
      what: the work as a verb, for the message, e.g. "read the cohort".
      hours: how long to wait.

    Returns:
      What the function returns; in the other processes as it comes through JSON (text, where it has
        no JSON).

    Raises:
      PrimaryFailed: in the other processes, where the function raised in process 0.
      TimeoutError: process 0 has not answered in time.
    """
    if not jax.distributed.is_initialized():
        return function()
    turn = next(_turns)
    if is_primary():
        try:
            result = function()
        # an interrupt too: the others would wait for hours
        except BaseException as error:
            _publish(turn, {"failed": f"{type(error).__name__}: {error}"})
            raise
        _publish(turn, {"result": result})
        return result
    answer = _receive(turn, 0, what, hours)
    if "failed" in answer:
        raise PrimaryFailed(f"process 0 could not {what}: {answer['failed']}")
    return answer["result"]


def all_gather(
    columns: Mapping[str, np.ndarray],
    what: str = "reach the end of its rows",
    hours: float = PATIENCE,
) -> dict[str, np.ndarray]:
    """Joins the columns of all processes, in the order of the processes; every process gets the
    whole.

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
    # says that this process came: none may enter the exchange alone
    _publish(turn, {})
    for process in range(jax.process_count()):
        _receive(turn, process, what, hours)  # the exchange itself waits for seconds only
    return {
        name: np.asarray(value)
        # tiled: [n] of each process joins to [processes n], without an axis for the processes
        for name, value in multihost_utils.process_allgather(dict(columns), tiled=True).items()
    }


def _service() -> Any:
    """The run's key-value store, which every process reaches."""
    # Slow to import, and needed by runs of several processes only.
    from orbax.checkpoint import multihost

    return multihost.get_jax_distributed_client()


def _publish(turn: int, answer: dict[str, Any]) -> None:
    """Publishes this process's answer."""
    _service().key_value_set(
        f"fairrecon/{turn}/{jax.process_index()}", json.dumps(answer, default=str)
    )


def _receive(turn: int, process: int, what: str, hours: float) -> dict[str, Any]:
    """The answer of another process, asked for in short turns, so that signals are handled."""
    end = time.monotonic() + 3600 * hours
    while (left := end - time.monotonic()) > 0:
        try:
            return json.loads(
                # + 1, so that it is never 0, whatever is left
                _service().blocking_key_value_get(
                    f"fairrecon/{turn}/{process}", int(1000 * min(left, 5)) + 1
                )
            )
        except jax.errors.JaxRuntimeError as error:
            # The store has no error of its own for a wait that ends.
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
    here = f"process {jax.process_index()} waited {hours:g} h for process {process} to {what}"
    raise TimeoutError(f"{here}: see what process {process} says; the same command continues")
