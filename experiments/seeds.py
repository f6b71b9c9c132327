"""One study per seed, and a table over all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from ml_collections import ConfigDict

from experiments.tables import markdown
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.study.run import run


def over_seeds(
    out: Path,
    name: str,
    seeds: int,
    configuration: Callable[[int], ConfigDict],
    rows_of: Callable[[Path, ConfigDict, int], pd.DataFrame],
    summary: Callable[[pd.DataFrame], pd.DataFrame],
) -> pd.DataFrame:
    """Runs the study of every seed in `out/seed<N>`; what is done is skipped.

    Args:
      out: folder for the studies and the tables.
      name: of the tables.
      seeds: number of seeds.
      configuration: of the study of a seed.
      rows_of: the rows of a finished study, from its folder, configuration and seed.
      summary: the table of all rows.

    Returns:
      The summary. After every seed it is written as `<name>.csv` and `<name>.md`, the rows as
        `<name>_rows.csv`.
    """
    tables = []
    for seed in range(seeds):
        config, workdir = configuration(seed), out / f"seed{seed}"
        run(config, workdir)
        tables.append(rows_of(workdir, config, seed))
        rows = pd.concat(tables, ignore_index=True)
        write_atomic(out / f"{name}_rows.csv", rows.to_csv(index=False))
        write_atomic(out / f"{name}.csv", summary(rows).to_csv(index=False))
        write_atomic(out / f"{name}.md", markdown(summary(rows)))
        print(markdown(summary(rows)), flush=True)
    return summary(pd.concat(tables, ignore_index=True))
