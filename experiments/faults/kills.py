"""Signals at random moments of every kind of stage; the same command goes on until the end."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.faults.runs import Ended, Process, differences, leftovers, study

KINDS = (
    "start",
    "prepare",
    "train classifier",
    "predict",
    "train SDE",
    "train Pix2Pix",
    "train U-Net",
    "mitigate",
    "assess",
    "report",
)
"""Kinds of stages in the order in which the tiny study comes to them."""
CODES = {signal.SIGKILL: {-9}, signal.SIGTERM: {143}, signal.SIGINT: {130}}


def stopped(
    workdir: Path,
    whole: Mapping[str, str],
    seconds: Mapping[str, float],
    how: signal.Signals,
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    """One study that is stopped once in every kind of stage; a row for each signal.

    Args:
      workdir: a new folder.
      whole: `tables` of the undisturbed study.
      seconds: that each kind of stage takes.
      how: the signal.
      rng: draws the moments.
    """
    log, rows = workdir.with_suffix(".log"), []
    for kind in KINDS:
        run = Process(workdir, log=log, fresh=kind == "start")
        ended = run.stop(kind, rng.uniform(0, seconds[kind]), how)
        if ended is None:  # it was done before its moment came
            run.ended()
            continue
        rows.append(_row(ended, run, how))
        if rows[-1]["outcome"] != "stopped":  # to be looked at
            shutil.copy(log, workdir.with_suffix(f".{len(rows)}.log"))
    last = study(workdir, log=log)
    differ = differences(workdir, whole) if last.code == 0 else ["the study did not end"]
    rubbish = leftovers(workdir)
    for row in rows:
        same = "same tables" if not differ else f"other: {', '.join(differ)}"
        yield {**row, "end": same + (f"; left {', '.join(rubbish)}" if rubbish else "")}
    log.unlink()


def _row(ended: Ended, run: Process, how: signal.Signals) -> dict[str, Any]:
    """What one signal did."""
    alive, faults = run.left_alive(), []
    if ended.code not in CODES[how]:
        faults.append(f"code {ended.code}")
    if how != signal.SIGKILL and not ended.clean:
        faults.append("a traceback")
    if how != signal.SIGKILL and "continues" not in ended.told:
        faults.append("no word on going on")
    if alive:
        faults.append(f"{len(alive)} processes left")
    return {
        "fault": how.name,
        "stage": ended.stage,
        "outcome": "; ".join(faults) or "stopped",
        "told": next((x for x in ended.told.splitlines() if "continues" in x), ""),
    }
