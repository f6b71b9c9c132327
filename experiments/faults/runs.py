"""Runs of the tiny study as processes of their own, which can be stopped, and what they leave."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).with_name("tiny.py")
ROOT = Path(__file__).parents[2]
STAGE = re.compile(r"^\[\d+/\d+\] (\w+)(?: (\w+))?", re.MULTILINE)
MODELS = {"findings": "classifier", "unet": "U-Net", "pix2pix": "Pix2Pix", "irsde": "SDE"}
PATIENCE = 900.0  # seconds that a run may take


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
      code: of the process, negative where a signal ended it.
      told: what it said.
      stage: the kind of the stage in which it was when it ended, "start" before the first.
    """

    code: int
    told: str
    stage: str

    @property
    def clean(self) -> bool:
        """Whether no traceback was shown."""
        return "Traceback" not in self.told


def kind_of(told: str) -> str:
    """The kind of the last stage that a run has begun, e.g. "train SDE"."""
    begun = STAGE.findall(told)
    if not begun:
        return "start"
    verb, model = begun[-1]
    verb = {"phantom": "prepare", "cohort": "prepare", "choose": "mitigate"}.get(verb, verb)
    return f"train {MODELS[model]}" if verb == "train" else verb


def command(words: Sequence[str], log: str, environment: Mapping[str, str]) -> None:
    """Runs a command of the package in this process, which leads a group of its own."""
    from fairrecon_jax.cli.main import main

    os.setsid()
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(stream, number)
    sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))
    os.environ.update(environment)
    sys.argv = ["fairrecon", *words]
    sys.exit(main(list(words)))


class Process:
    """One run of a command of the tiny study, in a process group of its own.

    Runs are forked from a server that has imported everything, which costs most of the time of a
    tiny study. `fresh` ones begin as a user's do.
    """

    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["experiments.faults.imported"])

    def __init__(
        self,
        workdir: Path,
        *words: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> None:
        words = (*(words or ("study",)), f"--config={CONFIG}", f"--workdir={workdir}")
        self.log, self._environment = log, environment or {}
        log.write_text("", encoding="utf-8")
        if fresh:
            words = (sys.executable, "-m", "experiments.faults.runs", str(log), *words)
            known = {**os.environ, "PYTHONPATH": str(ROOT), **self._environment}
            self._process: Any = subprocess.Popen(words, env=known, stderr=subprocess.DEVNULL)
        else:
            self._process = self.server.Process(
                target=command, args=(words, str(log), self._environment)
            )
            self._process.start()
        self.pid: int = self._process.pid

    def wait(self, seconds: float) -> int | None:
        """The code of the process, None where it still runs after so many seconds."""
        if isinstance(self._process, subprocess.Popen):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(seconds)
            return None
        self._process.join(seconds)
        return self._process.exitcode

    def told(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8")

    def ended(self) -> Ended:
        """Waits for its end."""
        code, told = self.wait(PATIENCE), self.told()
        assert code is not None, f"it does not end:\n{told}"
        return Ended(code, told, kind_of(told))

    def stop(self, stage: str, delay: float, how: int = signal.SIGKILL) -> Ended | None:
        """Sends a signal so many seconds after a kind of stage has begun; None where the run ended
        before.
        """
        if not self.reaches(stage):
            return None
        if self.wait(delay) is not None:
            return None
        reached = kind_of(self.told())
        # to the whole group, as a terminal and a scheduler do, once it leads one
        try:
            os.killpg(self.pid, how)
        except ProcessLookupError:
            os.kill(self.pid, how)
        ended = self.ended()
        return dataclasses.replace(ended, stage=reached)

    def reaches(self, stage: str) -> bool:
        """Waits until it is in a kind of stage; whether it came there."""
        end = time.monotonic() + PATIENCE
        while kind_of(self.told()) != stage:
            if self.wait(0) is not None or time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def left_alive(self) -> list[int]:
        """Processes of its group that are still there."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self.pid and fields[0] != "Z":
                found.append(int(folder.name))
        return found


def study(workdir: Path, *words: str, log: Path) -> Ended:
    """Runs a command to its end."""
    return Process(workdir, *words, log=log).ended()


def tables(workdir: Path) -> dict[str, str]:
    """Digests of everything that holds a number of the study, by name: predictions, results and
    tables of the report as they are, weights by the digest of their arrays.
    """
    from fairrecon_jax.training.checkpoints import load_variables

    files = [
        path
        for pattern in ("splits.json", "*.parquet", "predictions/*", "results/*", "report/tables/*")
        for path in sorted(workdir.glob(pattern))
        if path.stem != "run_times"
    ]
    found = {
        path.relative_to(workdir).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    for path in sorted(workdir.glob("**/final")):
        found[path.relative_to(workdir).as_posix()] = load_variables(path)[1]["digest"]
    return found


def differences(workdir: Path, whole: Mapping[str, str]) -> list[str]:
    """Names of what is not as in the undisturbed study."""
    found = tables(workdir)
    return sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))


def leftovers(workdir: Path) -> list[str]:
    """Files and folders that an interrupted write has left."""
    endings = (".partial", ".tmp", ".old")
    return sorted(
        path.relative_to(workdir).as_posix()
        for path in workdir.rglob("*")
        if path.name.endswith(endings)
        or ".partial-" in path.name
        or ".orbax-checkpoint-tmp" in path.name
        or re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name)
        or path.name == "checkpoints"
    )


if __name__ == "__main__":
    command(sys.argv[2:], sys.argv[1], {})
