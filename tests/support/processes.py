"""Starts several processes of one run on this machine, as a user would by hand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Told(NamedTuple):
    """How a process ended and what it said."""

    code: int
    out: str
    err: str


def run_processes(
    arguments: Sequence[str], count: int = 2, devices: int = 1, path: Sequence[Path] = ()
) -> list[Told]:
    """Runs `python *arguments` in `count` processes with `devices` CPU devices each and waits for
    all.
    """
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        address = f"localhost:{listener.getsockname()[1]}"
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))),
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(count),
    }
    runs = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**environment, "JAX_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    try:
        told = [run.communicate(timeout=500) for run in runs]
    finally:
        for run in runs:
            run.kill()
    return [Told(run.returncode, *words) for run, words in zip(runs, told, strict=True)]
