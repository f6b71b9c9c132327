"""Work directories moved and copied, two studies in one, and two processes of which one dies."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.faults.runs import Process, differences, leftovers, study, tables


def moved(out: Path, finished: Path, whole: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A finished work directory that is copied, and moved elsewhere."""
    copy, far = out / "copied", out / "elsewhere" / "with spaces" / "moved"
    shutil.copytree(finished, copy)
    yield _moved("copied", copy, whole)
    far.parent.mkdir(parents=True)
    copy.rename(far)
    yield _moved("moved", far, whole)
    # what lies there is read as well, and not only looked at
    for name in ("predictions", "results", "report", "stages"):
        for path in (far / name).glob("[!pct]*" if name == "stages" else "*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    yield _moved("moved, then predicted anew", far, whole, stale=False)
    shutil.rmtree(far.parent.parent)


def _moved(what: str, workdir: Path, whole: Mapping[str, str], stale: bool = True) -> Any:
    ended = study(workdir, log=workdir.with_suffix(".log"))
    none = "left: nothing" in ended.told
    differ = differences(workdir, whole)
    outcome = "0 stages stale" if none else "stages are stale" if stale else "made anew"
    return {
        "fault": what,
        "stage": "finished",
        "outcome": outcome if ended.code == 0 else f"code {ended.code}",
        "told": ended.told.splitlines()[0],
        "end": "same tables" if not differ else f"other: {', '.join(differ)}",
    }


def twice(out: Path, whole: Mapping[str, str], times: int = 3) -> Iterator[dict[str, Any]]:
    """Two studies at once in one work directory, the second a moment after the first."""
    for number in range(times):
        workdir = out / f"twice{number}"
        first = Process(workdir, log=out / "first.log")
        if number:  # together from the first moment, or in the middle of a stage
            first.reaches(("train classifier", "train U-Net")[number - 1])
        second = Process(workdir, log=out / "second.log")
        ends = first.ended(), second.ended()
        differ, rubbish = differences(workdir, whole), leftovers(workdir)
        faults = [f"code {one.code}" for one in ends if one.code]
        faults += ["a traceback" for one in ends if not one.clean]
        both = set(_made(ends[0].told)) & set(_made(ends[1].told))
        faults += [f"made twice: {', '.join(sorted(both))}"] if both else []
        waits = sum(one.told.count("waiting for") for one in ends)
        yield {
            "fault": "two studies at once",
            "stage": ("start", "train classifier", "train U-Net")[number],
            "outcome": "; ".join(faults) or "each stage made once",
            "told": f"{waits} waits",
            "end": ("same tables" if not differ else f"other: {', '.join(differ)}")
            + (f"; left {', '.join(rubbish)}" if rubbish else ""),
        }
        shutil.rmtree(workdir)


def _made(told: str) -> list[str]:
    """Titles of the stages that a run made."""
    lines = [line for line in told.splitlines() if line.startswith("[")]
    return [line.split("] ", 1)[1].rsplit(" (", 1)[0] for line in lines]


def processes(out: Path, finished: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """A training by two processes, of which one is killed; restarted, they end in the weights of
    two processes that nothing happened to.
    """
    calm = _untrained(finished, out / "two_calm")
    _, ends = _pair(calm, out, None, 0, rng)
    assert ends == [0, 0], (out / "process0.log").read_text() + (out / "process1.log").read_text()
    wanted = tables(calm)
    for dies in (0, 1):
        workdir = _untrained(finished, out / f"two{dies}")
        seconds, codes = _pair(workdir, out, "train U-Net", dies, rng)
        other = (out / f"process{1 - dies}.log").read_text(encoding="utf-8").strip().splitlines()
        faults = [] if codes[1 - dies] else ["the other ended as if nothing had happened"]
        faults += [f"the other lived on for {seconds:.0f} s"] if seconds > 60 else []
        _, again = _pair(workdir, out, None, 0, rng)
        differ = differences(workdir, wanted) if again == [0, 0] else [f"codes {again}"]
        said = next((x for x in reversed(other) if "another task died" in x or "rror" in x), "")
        yield {
            "fault": f"process {dies} of 2 killed",
            "stage": "train U-Net",
            "outcome": "; ".join(faults) or "the other ended within 60 s",
            "told": f"{seconds:.0f} s, code {codes[1 - dies]}: {said}",
            "end": "same tables" if not differ else f"other: {', '.join(differ)}",
        }


def _untrained(finished: Path, workdir: Path) -> Path:
    """A copy of a finished study without the weights of its U-Net."""
    shutil.copytree(finished, workdir)
    shutil.rmtree(workdir / "reconstructors" / "unet")
    (workdir / "stages" / "train__unet__10000.json").unlink()
    return workdir


def _pair(
    workdir: Path, out: Path, stage: str | None, dies: int, rng: np.random.Generator
) -> tuple[float, list[int]]:
    """Trains the U-Net by two processes; kills one in a kind of stage. (Seconds until the other
    ended, codes).
    """
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        address = f"localhost:{listener.getsockname()[1]}"
    names = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    pair = [
        Process(
            workdir,
            "train",
            "--model=unet",
            log=out / f"process{number}.log",
            environment={**names, "JAX_PROCESS_ID": str(number)},
        )
        for number in (0, 1)
    ]
    killed = time.monotonic()
    if stage is not None:
        pair[0].reaches(stage)
        time.sleep(rng.uniform(0.5, 3))
        os.killpg(pair[dies].pid, signal.SIGKILL)
        killed = time.monotonic()
        pair[1 - dies].ended()
    codes = [one.ended().code for one in pair]
    return time.monotonic() - killed, codes
