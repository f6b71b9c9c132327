"""Stores the study: a page with demands and numbers, and one figure."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from experiments.calibration.demands import MOST, Cells, Check, checks, missed
from experiments.calibration.study import LAWS, write_aside

LEVEL = 0.05
STYLES = (
    ("test", "the package's test", "#0072B2", "o"),
    ("flips", "sign flips alone", "#D55E00", "s"),
    ("permutations", "permutations alone", "#009E73", "^"),
    ("published", "published recipe", "#CC79A7", "D"),
)
"""Quantity, name, colour of the colour-blind-safe palette of Okabe and Ito, marker."""


def _row(values: list[str]) -> str:
    return "| " + " | ".join(values) + " |"


def _entry(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def demand_table(outcomes: list[Check]) -> list[str]:
    """Lines of the table of demands: cells, met, known exceptions, not met, extreme values."""
    lines = [_row(["demand", "cells", "met", "known", "not met", "smallest", "largest"])]
    lines.append("|" + "---|" * 7)
    for demand in dict.fromkeys(check.demand for check in outcomes):
        own = [check for check in outcomes if check.demand == demand]
        measured = [check.measured for check in own]
        met = sum(check.passed for check in own)
        unmet = len(missed(own))
        numbers = [str(n) for n in (len(own), met, len(own) - met - unmet, unmet)]
        lines.append(_row([demand, *numbers, _entry(min(measured)), _entry(max(measured))]))
    return lines


def _failures(outcomes: list[Check]) -> list[str]:
    """A line per failure, with its excuse."""
    lines = []
    for check in outcomes:
        if not check.passed:
            word = "known" if check.excuse else "**not met**"
            text = f"- {word}: {check.demand}: {check.cell}: {check.measured:.3f}"
            lines.append("; ".join(part for part in (text, check.detail, check.excuse) if part))
    return lines


def cell_tables(table: pd.DataFrame) -> list[str]:
    """Lines of a table per section, a row per cell and a column per quantity."""
    lines: list[str] = []
    for section, own in table.groupby("section", sort=False):
        quantities = list(dict.fromkeys(own["quantity"]))
        lines += ["", f"## {str(section).capitalize()}", ""]
        lines += [_row(["cell", "cohorts", *quantities]), "|" + "---|" * (2 + len(quantities))]
        for cell, rows in own.groupby("cell", sort=False):
            share = dict(zip(rows["quantity"], rows["share"].astype(float), strict=True))
            entries = [_entry(share.get(q, float("nan"))) for q in quantities]
            lines.append(_row([str(cell), str(rows["cohorts"].iloc[0]), *entries]))
    return lines


def to_markdown(table: pd.DataFrame, outcomes: list[Check]) -> str:
    """The study as a page."""
    cells = table[["section", "cell"]].drop_duplicates()
    lines = ["# Calibration of the tests", ""]
    lines.append(f"{len(cells)} cells, {len(outcomes)} demands, {len(missed(outcomes))} not met.")
    lines += ["", *demand_table(outcomes), "", *_failures(outcomes), *cell_tables(table)]
    return "\n".join(lines) + "\n"


def _panel(axis: plt.Axes, cells: Cells, names: list[str]) -> None:
    """Rates of one panel, a line per cell."""
    place = np.arange(len(names))[::-1]
    for quantity, label, colour, marker in STYLES:
        share = np.array([cells.share(LAWS, n, quantity) for n in names], float)
        number = np.array([cells.number(LAWS, n, quantity) for n in names], float)
        error = 1.96 * np.sqrt(np.clip(share * (1 - share), 0, None) / np.maximum(number, 1))
        if np.isfinite(share).any():
            axis.errorbar(
                share,
                place,
                xerr=error,
                fmt=marker,
                color=colour,
                ms=4,
                lw=0.8,
                label=label,
                zorder=3 if quantity == "test" else 2,
            )
    axis.set_yticks(place, names, fontsize=6)
    axis.set_ylim(-1, len(names))
    axis.set_xlabel("share of cohorts rejected at nominal 5%, with 95% interval")
    axis.grid(axis="y", lw=0.3)


def draw(table: pd.DataFrame, path: Path) -> None:
    """One row per cell of a law; left size with the nominal 5% and the demanded 6.5%, right power
    with the line of the better rival's.
    """
    cells = Cells(table)
    names = [list(cells.of(LAWS, planted)) for planted in (False, True)]
    tall = max(map(len, names))
    figure, axes = plt.subplots(1, 2, figsize=(15, 2 + 0.17 * tall), constrained_layout=True)
    titles = ("Size: nothing to find", "Power: one group harmed")
    for axis, own, title in zip(axes, names, titles, strict=True):
        _panel(axis, cells, own)
        axis.set_title(title, fontsize=10)
        axis.axvline(LEVEL, color="black", lw=1)
    axes[0].axvline(MOST, color="black", lw=1, ls="--")
    axes[0].set_xscale("symlog", linthresh=0.1)
    axes[0].set_xlim(0, 1)
    ticks = (0, 0.025, 0.05, 0.065, 0.1, 0.2, 0.5, 1)
    axes[0].set_xticks(ticks, [f"{t:g}" for t in ticks], fontsize=7)
    axes[1].set_xlim(0, 1)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(STYLES), fontsize=8)
    # Without the version of the library: equal results give equal bytes.
    figure.savefig(path, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)


def store(table: pd.DataFrame, out: Path) -> list[Check]:
    """Writes cells.md, demands.csv and cells.png into a folder, beside the study's cells.csv.

    Args:
      table: as returned by `run_study`.
      out: the folder; made if absent.

    Returns:
      The demands with their outcome.
    """
    outcomes = checks(table)
    page = to_markdown(table, outcomes)
    write_aside(out / "cells.md", lambda path: path.write_text(page, encoding="utf-8"))
    frame = pd.DataFrame(outcomes, columns=list(Check._fields))
    write_aside(out / "demands.csv", partial(frame.to_csv, index=False))
    write_aside(out / "cells.png", lambda path: draw(table, path))
    return outcomes
