"""`python -m experiments.claims --workdir=DIR [--tasks=effusion,edema] [--draws=500]
[--summaries=DIR]`: the paper's claims beside a finished study.

Reads `predictions.parquet` and `config.json` of the work directory (or assesses by the defaults
where there is none) and writes `claims.csv`, `claims.md` and `claims.png` into it. Verdicts say
whether the interval (test patients redrawn, with all their images) lies on one side of the claim's
limit, see `experiments.claims.judge`. Where --summaries names a folder, short tables of the study's
results go there, see `experiments.claims.summaries`.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from experiments.claims.figure import figure
from experiments.claims.judge import claims
from experiments.claims.measure import measure
from experiments.claims.summaries import write_summaries
from experiments.tables import markdown
from fairrecon_jax.assessment import AssessOptions, read_predictions
from fairrecon_jax.runtime.atomic import write_atomic


def options_of(workdir: Path) -> AssessOptions:
    """The choices of the study's own assessment, as far as they decide a number here."""
    path = workdir / "config.json"
    if not path.is_file():
        return AssessOptions()
    found = json.loads(path.read_text(encoding="utf-8"))["assess"]
    wanted = ("min_patients", "threshold_rule", "threshold_value")
    return AssessOptions(**{name: found[name] for name in wanted if name in found})


def run(workdir: Path, tasks: Sequence[str] = (), draws: int = 500) -> pd.DataFrame:
    """Writes the table and the figure of a finished study.

    Args:
      workdir: of the study.
      tasks: names of the tasks that count; () for all.
      draws: of the test patients.

    Returns:
      The table.
    """
    table, spec = read_predictions(workdir / "predictions.parquet")
    unknown = set(tasks) - {task.name for task in spec.tasks}
    if unknown:
        raise ValueError(f"the study has no task {', '.join(sorted(unknown))}")
    if tasks:
        spec = replace(spec, tasks=tuple(task for task in spec.tasks if task.name in tasks))
    measured = measure(table, spec, options_of(workdir), draws=draws)
    with warnings.catch_warnings():
        # a gap without a judged group is NaN, and so is its mean
        warnings.simplefilter("ignore", RuntimeWarning)
        found = claims(measured, spec.modality)
        figure(measured, workdir / "claims.png")
    write_atomic(workdir / "claims.csv", found.to_csv(index=False))
    write_atomic(workdir / "claims.md", markdown(found))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the flags and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--tasks", default="", help="names, with commas between")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--summaries", type=Path, help="folder for short tables of all results")
    flags = parser.parse_args(argv)
    tasks = tuple(filter(None, flags.tasks.split(",")))
    print(markdown(run(flags.workdir, tasks, flags.draws)))
    if flags.summaries:
        write_summaries(flags.workdir, flags.summaries)


if __name__ == "__main__":
    main()
