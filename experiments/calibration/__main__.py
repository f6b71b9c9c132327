"""How often the tests, words and intervals are wrong: `python -m experiments.calibration
[--out=DIR] [--cohorts=N] [--planted-cohorts=N] [--seed=S] [--workers=N] [--only=TEXT]`.

Finished cells are kept in DIR/cells.csv; the same command goes on where it stopped. Exit status 1
where a demand fails that is not among the known exceptions.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.calibration.demands import missed
from experiments.calibration.report import demand_table, store
from experiments.calibration.study import run_study

RESULTS = Path(__file__).parent / "results"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.calibration", description=__doc__)
    parser.add_argument("--out", default=RESULTS, type=Path, help="folder for the results")
    parser.add_argument("--cohorts", type=int, default=2000, help="cohorts of a cell without harm")
    parser.add_argument(
        "--planted-cohorts",
        type=int,
        default=0,
        help="cohorts of a cell with something to find; half of --cohorts if 0",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the whole study")
    parser.add_argument("--workers", type=int, default=1, help="processes, one core each")
    parser.add_argument("--only", default="", help='cells whose "section: name" holds this text')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the study and stores it.

    Args:
      arguments: command line without the program's name; the process's own if None.

    Returns:
      0; 1 where a demand is not met; 2 where the options name nothing to run.
    """
    options, start = _options(arguments), time.perf_counter()
    if options.cohorts < 1 or options.workers < 1:
        print("--cohorts and --workers must be at least 1", file=sys.stderr)
        return 2
    # one thread a process: the processes share the cores
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    table = run_study(
        options.out / "cells.csv",
        options.cohorts,
        options.planted_cohorts or max(options.cohorts // 2, 1),
        seed=options.seed,
        workers=options.workers,
        only=options.only,
        progress=lambda line: print(line, flush=True),
    )
    if table.empty:
        print(f"no cell's name holds {options.only!r}", file=sys.stderr)
        return 2
    outcomes = store(table, options.out)
    print("\n".join(demand_table(outcomes)))
    for check in outcomes:
        if not check.passed:
            word = "known" if check.excuse else "not met"
            print(f"{word}: {check.demand}: {check.cell}: {check.measured:.3f} {check.detail}")
    failed, minutes = missed(outcomes), (time.perf_counter() - start) / 60
    cells = len(table[["section", "cell"]].drop_duplicates())
    print(
        f"{cells} cells in {minutes:.1f} minutes; {len(failed)} of {len(outcomes)} demands not "
        f"met; see {options.out}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
