"""Coverage of the closed-form intervals: how often a nominal 95% interval holds the truth.

Command: `python -m experiments.calibration.coverage [cohorts]`; 2,000 cohorts a design by default.
Writes `experiments/calibration/results/coverage.csv` and prints the same table. Every design is
a law of cohorts with a known truth (`coverage_designs`); cohorts are columns, drawn and judged in
blocks. Runs in about a minute on one core; with 2,000 cohorts the standard error of a coverage of
.95 is .005.

An interval that is refused (a mean of which too few patients changed) counts as not printed. The
demand is a coverage of 93 to 97% of the printed intervals: "kept", "below" or, where few counts
make every interval conservative, "at least". A design whose interval is printed in fewer than 10%
of its cohorts reads "refused".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.calibration.coverage_designs import Design, designs

COHORTS = 2000
BLOCK = 400_000
"""Patients times cohorts drawn at once."""

RESULTS = Path(__file__).parent / "results" / "coverage.csv"
LOWEST, HIGHEST = 0.93, 0.97
RARELY = 0.1
"""Share of printed intervals below which a design counts as refused."""


def run_design(design: Design, cohorts: int, seed: int) -> dict[str, object]:
    """One row of the table.

    Args:
      design: the law.
      cohorts: how many are drawn.
      seed: of this design.

    Returns:
      Name, interval, truth, cohorts, share printed, coverage among printed with its standard
        error, shares of all cohorts whose interval lies below and above the truth, mean width.
    """
    rng = np.random.default_rng(seed)
    block = max(1, min(cohorts, BLOCK // design.patients))
    low, high = np.empty(cohorts), np.empty(cohorts)
    for first in range(0, cohorts, block):
        rows = slice(first, min(first + block, cohorts))
        drawn = design.draw(rng, rows.stop - rows.start)
        low[rows], high[rows] = drawn.low, drawn.high
    printed = np.isfinite(low) & np.isfinite(high)
    slack = 1e-9
    below, above = printed & (high < design.truth - slack), printed & (low > design.truth + slack)
    shown = int(printed.sum())
    covered = 1 - (below.sum() + above.sum()) / shown if shown else np.nan
    return {
        "interval": design.interval,
        "design": design.name,
        "truth": design.truth,
        "cohorts": cohorts,
        "printed": shown / cohorts,
        "coverage": covered,
        "std_error": np.sqrt(covered * (1 - covered) / shown) if shown else np.nan,
        "too_low": below.mean(),
        "too_high": above.mean(),
        "width": np.mean((high - low)[printed]) if shown else np.nan,
        "result": verdict(covered, shown / cohorts),
    }


def verdict(coverage: float, printed: float) -> str:
    """A coverage in words: "kept", "at least" (above the demand), "below", or "refused"."""
    if printed < RARELY:
        return "refused"
    if coverage < LOWEST:
        return "below"
    return "at least" if coverage > HIGHEST else "kept"


def run_coverage(cohorts: int, seed: int = 0, only: str = "") -> pd.DataFrame:
    """The table of all designs whose interval or name holds a text."""
    rows = [
        run_design(design, cohorts, seed + number)
        for number, design in enumerate(designs())
        if only in f"{design.interval}: {design.name}"
    ]
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all designs, writes the table and prints it.

    Args:
      arguments: [cohorts]; the process's own if None.

    Returns:
      0; 2 where the number of cohorts is not a positive whole number.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) > 1 or not all(text.isdigit() and int(text) > 0 for text in given):
        print(
            "usage: python -m experiments.calibration.coverage [cohorts], cohorts >= 1",
            file=sys.stderr,
        )
        return 2
    table = run_coverage(int(given[0]) if given else COHORTS)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    table.round(4).to_csv(RESULTS, index=False)
    print(table.round(4).to_string(index=False))
    print(table.groupby(["interval", "result"]).size().unstack(fill_value=0).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
