"""Command line of the study: `python -m experiments.calibration --out=DIR [--cohorts=N]
[--planted-cohorts=N] [--seed=S] [--only=TEXT]`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.calibration.cells import CELLS
from experiments.calibration.report import store
from experiments.calibration.study import run_study


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the study and stores it.

    Args:
      arguments: command line without the program's name; the process's own if None.

    Returns:
      0, or 2 where `--only` names no cell.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.calibration", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder for the results")
    parser.add_argument("--cohorts", type=int, default=2000, help="cohorts of a cell without harm")
    parser.add_argument(
        "--planted-cohorts",
        type=int,
        default=0,
        help="cohorts of a cell with planted harm; half of --cohorts if 0",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the whole study")
    parser.add_argument("--only", default="", help="run the cells whose name holds this text")
    options = parser.parse_args(arguments)
    cells = [cell for cell in CELLS if options.only in cell.name]
    if not cells or options.cohorts < 1:
        print(
            f"no cell's name holds {options.only!r}, or --cohorts={options.cohorts} is below 1",
            file=sys.stderr,
        )
        return 2
    start = time.perf_counter()
    table = run_study(
        options.cohorts,
        options.planted_cohorts or max(options.cohorts // 2, 1),
        options.seed,
        cells,
    )
    outcomes = store(table, options.out)
    for check in outcomes:
        if not check.passed:
            print(f"not met: {check.demand}: {check.cell}: {check.detail}")
    passed, minutes = sum(check.passed for check in outcomes), (time.perf_counter() - start) / 60
    print(
        f"{len(table)} cells in {minutes:.1f} minutes; {passed} of {len(outcomes)} demands "
        f"met; see {options.out}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
