"""A process of a run dies; the others do not wait for it for ever."""

from __future__ import annotations

import signal
import time

import pytest

from fairrecon_jax.runtime import processes
from tests.support.processes import run_processes

DIES = """
import os, signal, time
import jax
from fairrecon_jax.runtime import processes
processes.start()
if processes.is_primary():
    time.sleep(1)
    print(time.time(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
try:
    processes.on_primary(lambda: None, "make something")
finally:
    print(time.time(), flush=True)
"""


@pytest.mark.slow
def test_the_death_of_process_0_ends_the_others_with_a_message():
    told = run_processes(["-c", DIES])
    ended = time.time()
    assert told[0].code == -signal.SIGKILL
    assert told[1].code not in (0, None)
    assert ended - float(told[0].out.split()[-1]) < 60
    assert "another task died" in told[1].err or "process 0" in told[1].err


def test_silence_of_any_process_is_noticed_within_a_minute():
    """`experiments.faults` kills process 1 as well, which takes as long as this."""
    assert processes._leaving()["heartbeat_timeout_seconds"] <= 60
