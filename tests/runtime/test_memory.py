"""Memory is kept between steps."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fairrecon_jax.runtime import memory

SCRIPT = """
import resource, sys, threading
from fairrecon_jax.runtime.memory import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    b"x" * 2**26
    before = faults()
    for _ in range(3):
        b"x" * 2**26
    print((faults() - before) * resource.getpagesize() / (3 * 2**26))

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def share_cleared(argument: str) -> float:
    """Bytes that the system cleared for arrays of 64 MiB, as a share of their size."""
    return float(
        subprocess.run(
            [sys.executable, "-c", SCRIPT, argument], check=True, capture_output=True, text=True
        ).stdout
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the C library of Linux")
def test_freed_memory_is_used_again():
    assert share_cleared("keep") < 0.01


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert not memory.keep_memory()
