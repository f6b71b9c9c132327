"""Faults that must lose nothing: `python -m experiments.faults --out=DIR [--only=NAME,...]`.

A study of 15 stages that takes seconds (see `tiny`) is killed, interrupted, run out of disk, moved,
damaged and doubled; in the end its tables must be those of the undisturbed study, byte by byte, or
the damage must be named. About 25 minutes of one core; rows go to `DIR/faults.csv` as they come.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.faults import damage, disk, kills, moves, runs, tiny
from experiments.faults.runs import kind_of
from experiments.tables import markdown
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan

Rows = Iterable[dict[str, Any]]


def undisturbed(out: Path) -> Path:
    """The study that nothing happens to; run twice, so that its times are without compiling.
    Whatever else an earlier run left in the folder is deleted.
    """
    for folder in out.iterdir():
        if folder.is_dir() and folder.name not in ("compiled", "compiling", "whole"):
            shutil.rmtree(folder)
    for name in ("compiling", "whole"):
        if not (out / name / "report" / "index.html").exists():
            ended = runs.study(out / name, log=out / f"{name}.log")
            assert ended.code == 0, ended.told
    assert not runs.differences(out / "compiling", runs.tables(out / "whole"))
    return out / "whole"


def seconds_by_kind(workdir: Path) -> dict[str, float]:
    """How long the first stage of each kind took; of the start, until the first stage began."""
    found = {"start": 8.0}
    for stage in plan(Context(tiny.get_config(), workdir)):
        kind = kind_of(f"[1/1] {stage.title}")
        found.setdefault(kind, max(0.3, stage.recorded(workdir / "stages")["seconds"]))
    return found


def main() -> None:
    """Runs the parts and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the studies")
    parser.add_argument("--only", default="", help="parts, with commas between")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--damages", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    # a shell has processes in its background ignore interrupts, and theirs with them
    signal.signal(signal.SIGINT, signal.default_int_handler)
    out = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    cache = {"JAX_COMPILATION_CACHE_DIR": str(out / "compiled")}
    for name, value in {**cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05"}.items():
        os.environ.setdefault(name, value)
    finished = undisturbed(out)
    whole, seconds = runs.tables(finished), seconds_by_kind(finished)
    rng, config = np.random.default_rng(given.seed), tiny.get_config().lock()
    size = sum(p.stat().st_size for p in finished.rglob("*") if p.is_file()) // 1024

    def signals(how: signal.Signals, times: int) -> Rows:
        for number in range(-(-times // len(kills.KINDS))):
            folder = out / f"{how.name}{number}"
            yield from kills.stopped(folder, whole, seconds, how, rng)

    parts: dict[str, Callable[[], Rows]] = {
        "damage": lambda: damage.trials(out, finished, config, whole, given.damages, given.seed),
        "moved": lambda: moves.moved(out, finished, whole),
        "full": lambda: disk.full(out / "full", whole, size, 5, rng),
        "readonly": lambda: disk.read_only(out / "ro", whole, seconds, kills.KINDS[1:], rng),
        "kill": lambda: signals(signal.SIGKILL, given.kills),
        "term": lambda: signals(signal.SIGTERM, len(kills.KINDS)),
        "int": lambda: signals(signal.SIGINT, len(kills.KINDS)),
        "twice": lambda: moves.twice(out, whole),
        "processes": lambda: moves.processes(out, finished, rng),
    }
    table, begun = pd.DataFrame(), time.monotonic()
    for name in given.only.split(",") if given.only else parts:
        for row in parts[name]():
            table = pd.concat([table, pd.DataFrame([{"part": name, **row}])], ignore_index=True)
            write_atomic(out / "faults.csv", table.to_csv(index=False))
            print(f"{time.monotonic() - begun:.0f} s", *row.values(), sep=" | ", flush=True)
    counted = table.groupby(["fault", "stage", "outcome", "end"]).size().rename("trials")
    write_atomic(out / "faults.md", markdown(counted.reset_index()))
    print(markdown(counted.reset_index()))


if __name__ == "__main__":
    main()
