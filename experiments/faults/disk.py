"""A work directory whose disk is full or read-only at random moments (needs the right to mount)."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments.faults.runs import Process, differences, leftovers, study

ONE_LINE = "refused in one line"


@contextmanager
def disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of its own in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    subprocess.run(command, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> bool:
    """Changes a disk's options; whether that was allowed."""
    done = subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], capture_output=True)
    return done.returncode == 0


def full(
    folder: Path, whole: Mapping[str, str], size: int, count: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """A study whose disk grows whenever it was full, about `count` times until it is done.

    Args:
      folder: where the disk is mounted.
      whole: `tables` of the undisturbed study.
      size: kilobytes of the finished work directory.
      count: how often.
      rng: draws the sizes.
    """
    log, rows, room = folder.with_suffix(".log"), [], 40
    with disk(folder, room) as place:
        while room < 4 * size:
            ended = study(place / "work", log=log)
            if ended.code == 0:
                break
            rows.append(_row("disk full", ended))
            if rows[-1]["outcome"] != ONE_LINE:  # to be looked at
                shutil.copy(log, folder.with_suffix(f".{len(rows)}.log"))
            room += int(rng.uniform(0.3, 1.7) * size / count) + 4
            assert remount(folder, f"size={room}k")
        yield from _ends(rows, place / "work", whole, log)


def read_only(
    folder: Path,
    whole: Mapping[str, str],
    seconds: Mapping[str, float],
    kinds: tuple[str, ...],
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    """A study whose disk cannot be written any more from a moment in each kind of stage on."""
    log, rows = folder.with_suffix(".log"), []
    with disk(folder, 1 << 16) as place:
        for kind in kinds:
            run = Process(place / "work", log=log)
            if not run.reaches(kind):
                run.ended()
                continue
            time.sleep(rng.uniform(0, seconds[kind]))
            # refused while a file is open for writing
            while run.wait(0) is None and not remount(folder, "ro"):
                time.sleep(0.005)
            ended = run.ended()
            if ended.code:
                rows.append(_row("read-only", ended))
            assert remount(folder, "rw")
        study(place / "work", log=log)
        yield from _ends(rows, place / "work", whole, log)


def _row(fault: str, ended: Any) -> dict[str, Any]:
    """What one full or closed disk did."""
    said = next((x for x in ended.told.splitlines() if x.startswith("fairrecon ")), "")
    named = any(word in said for word in ("No space left", "Read-only", "has the disk room"))
    faults = [] if ended.code == 2 else [f"code {ended.code}"]
    faults += [] if ended.clean else ["a traceback"]
    faults += [] if named else ["the disk is not named"]
    return {
        "fault": fault,
        "stage": ended.stage,
        "outcome": "; ".join(faults) or ONE_LINE,
        "told": said,
    }


def _ends(
    rows: list[dict[str, Any]], workdir: Path, whole: Mapping[str, str], log: Path
) -> Iterator[dict[str, Any]]:
    """The rows with the end of the study."""
    differ, rubbish = differences(workdir, whole), leftovers(workdir)
    for row in rows:
        same = "same tables" if not differ else f"other: {', '.join(differ)}"
        yield {**row, "end": same + (f"; left {', '.join(rubbish)}" if rubbish else "")}
    log.unlink()
