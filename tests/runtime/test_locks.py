"""Locks of files: who waits for whom, what is said, and that a killed process holds none."""

from __future__ import annotations

import errno
import fcntl
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from fairrecon_jax.runtime.locks import holder, locked

HOLD = """
import sys, time
from pathlib import Path
from fairrecon_jax.runtime.locks import locked
with locked(Path(sys.argv[1]), print, shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(600)
"""


def holding(path: Path, kind: str) -> subprocess.Popen[str]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "train.lock"


@pytest.mark.parametrize("shared", [False, True])
def test_a_killed_process_holds_no_lock_and_was_named(lock, shared):
    process, said = holding(lock, "alone"), []

    def told(line: str) -> None:
        said.append(line)
        process.send_signal(signal.SIGKILL)

    assert holder(lock) == f"process {process.pid} on {socket.gethostname()}"
    with locked(lock, told, "train unet", shared=shared):
        assert process.wait() == -signal.SIGKILL
    assert said == [
        f"waiting for train unet, made by process {process.pid} on {socket.gethostname()}"
    ]
    assert holder(lock) == ""


def test_who_makes_waits_for_readers(lock):
    process, said = holding(lock, "shared"), []

    def told(line: str) -> None:
        said.append(line)
        process.kill()

    with locked(lock, said.append, shared=True):
        assert said == [], "readers do not wait for one another"
    assert holder(lock) == ""
    with locked(lock, told):
        process.wait()
    assert said == ["waiting for train.lock, read by another process"]


def test_a_name_that_a_killed_process_left_is_not_that_of_a_reader(lock):
    process = holding(lock, "alone")
    process.kill()
    process.wait()
    assert lock.read_text().startswith("process ")
    said: list[str] = []
    with ExitStack() as reading:
        reading.enter_context(locked(lock, said.append, shared=True))

        def told(line: str) -> None:
            said.append(line)
            reading.close()

        with locked(lock, told, "it"):
            assert said == ["waiting for it, read by another process"]


def test_threads_take_turns(lock):
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with locked(lock, str):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside) == (1, 0)


def test_a_disk_without_locks_is_told_and_used(lock, monkeypatch):
    def refuse(handle: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    said: list[str] = []
    with locked(lock, said.append):
        assert lock.read_text() == ""
    assert said == [
        f"no locks on the disk of {lock.parent}: run one process at a time there "
        f"([Errno {errno.ENOLCK}] No locks available)"
    ]
    assert holder(lock) == ""


def test_another_error_is_raised(lock, monkeypatch):
    def refuse(handle: int, kind: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output"), locked(lock, print):
        pass
