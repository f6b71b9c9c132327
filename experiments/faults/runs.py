"""Runs of the tiny study as processes of their own, which can be stopped, and what they leave."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

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


class Process:
    """One run of a command of the tiny study, in a process group of its own."""

    def __init__(
        self, workdir: Path, *words: str, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = log.open("w+", encoding="utf-8")
        command = ["-m", "fairrecon_jax.cli.main", *(words or ("study",))]
        self.process = subprocess.Popen(
            [sys.executable, *command, f"--config={CONFIG}", f"--workdir={workdir}"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def told(self) -> str:
        """What it has said so far."""
        return Path(self._log.name).read_text(encoding="utf-8")

    def ended(self) -> Ended:
        """Waits for its end."""
        code = self.process.wait(PATIENCE)
        told = self.told()
        return Ended(code, told, kind_of(told))

    def stop(self, stage: str, delay: float, how: int = signal.SIGKILL) -> Ended | None:
        """Sends a signal so many seconds after a kind of stage has begun; None where the run ended
        before.
        """
        if not self.reaches(stage):
            return None
        try:
            self.process.wait(delay)
            return None
        except subprocess.TimeoutExpired:
            pass
        reached = kind_of(self.told())
        # to the whole group, as a terminal, a scheduler and the kernel's memory killer do
        os.killpg(self.process.pid, how)
        ended = self.ended()
        return dataclasses.replace(ended, stage=reached)

    def reaches(self, stage: str) -> bool:
        """Waits until it is in a kind of stage; whether it came there."""
        end = time.monotonic() + PATIENCE
        while kind_of(self.told()) != stage:
            if self.process.poll() is not None or time.monotonic() > end:
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
            if int(fields[2]) == self.process.pid and fields[0] != "Z":
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
