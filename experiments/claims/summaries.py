"""Short tables of a finished study, for a page that people read: what docs/results.md quotes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fairrecon_jax.assessment import read_results
from fairrecon_jax.runtime.atomic import write_atomic

QUALITY = ("psnr", "ssim", "lpips")
CELL = ["reconstructor", "mitigation", "level", "seed"]
JUDGED = ("eodd", "ser")
GAP = "task attribute reconstructor mitigation level seed original reconstructed change".split()
TEST = "p_value p_adjusted mde verdict gap group label_stratum stable".split()


def write_summaries(workdir: Path, folder: Path) -> list[Path]:
    """Writes `cells.csv` (mean image metrics and AUROC or Dice of every cell), `originals.csv`
    (those of the originals with interval), `gaps.csv` (EODD or SER of every cell and attribute),
    `methods.csv` (the same over trainings, where there are three), `mitigation.csv` (mitigated
    against unmitigated) and `doses.csv` (slopes per group), as far as the study has them.

    Args:
      workdir: of the study.
      folder: for the tables.

    Returns:
      Their paths.
    """
    makers: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
        "cells": ("performance", cells),
        "originals": ("performance", originals),
        "gaps": ("fairness", lambda table: gaps(table[table["seed"].notna()])),
        "methods": ("fairness", lambda table: gaps(table[table["seed"].isna()])),
        "mitigation": ("mitigation", gaps),
        "doses": ("doses", lambda table: table.drop(columns="cohort")),
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (source, maker) in makers.items():
        if not (workdir / "results" / f"{source}.csv").is_file():
            continue
        made = maker(read_results(workdir, source))
        if not made.empty:
            written.append(folder / f"{name}.csv")
            write_atomic(written[-1], made.round(4).to_csv(index=False))
    return written


def cells(performance: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and seed, one column per image metric and per task."""
    known = performance["attribute"].eq("") & performance["version"].eq("reconstructed")
    whole = performance[known & performance["metric"].isin([*QUALITY, "auroc", "dice"])]
    column = whole["metric"].where(whole["metric"].isin(QUALITY), whole["task"])
    wide = whole.assign(column=column).pivot_table(index=CELL, columns="column", values="value")
    first = [name for name in QUALITY if name in wide]
    return wide[[*first, *wide.columns.difference(first)]].reset_index()


def originals(performance: pd.DataFrame) -> pd.DataFrame:
    """One row per task: AUROC or Dice on test originals."""
    known = performance["attribute"].eq("") & performance["version"].eq("original")
    whole = performance[known & performance["metric"].isin(["auroc", "dice"])]
    columns = ["task", "metric", "value", "ci_low", "ci_high", "n_pos", "n_neg", "n_patients"]
    return whole[columns].drop_duplicates("task")


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """One row per judged gap."""
    judged = table["metric"].isin(JUDGED) & table["convention"].eq("worst_case_estimable")
    rows = table[judged & table["version"].eq("change")] if "version" in table else table[judged]
    rows = rows[[name for name in (*GAP, *TEST) if name in rows]]
    return rows.sort_values(rows.columns[:6].tolist())
