"""Stores the study: CSV, a table in markdown, a list of what was demanded and what came out, and
one figure.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from fairrecon_jax.inference.did import LABEL_WEIGHTS, MIN_PATIENTS

DEFAULT = f"default_{MIN_PATIENTS}"
MOST, LEAST, ENOUGH_CHANGED = 0.065, 0.03, 20
GAIN, MARGIN = 1.4, 0.05
JUDGED = 0.5
STYLES = (
    (DEFAULT, "default test", "#0072B2", "o"),
    ("published", "published code", "#D55E00", "s"),
    ("paper", "paper's wording", "#CC79A7", "^"),
    ("published_size_adjusted", "published, true 5% critical value", "#009E73", "D"),
)
SHOWN: tuple[str, ...] = (
    "design",
    "truth",
    "changed_label_1",
    "estimable",
    "harmed_estimable",
    DEFAULT,
    "default_15",
    "default_10",
)
SHOWN += (
    "alike",
    "default_eop",
    "published",
    "paper",
    "published_size_adjusted",
    "published_change_size_adjusted",
)


class Check(NamedTuple):
    """One demand on one cell."""

    demand: str
    cell: str
    passed: bool
    detail: str


def checks(table: pd.DataFrame) -> list[Check]:
    """What is demanded of the default test, cell by cell.

    Args:
      table: as returned by `run_study`.

    Returns:
      One entry per demand and cell it applies to.
    """
    outcomes = []
    for _, row in table.iterrows():
        name = f"{row['design']} / {row['truth']}"
        rate = row[DEFAULT]
        if row["family"] == "unchanged" and row["estimable"] > 0:
            error = f"{rate:.3f} (standard error {row['std_error']:.3f})"
            outcomes.append(
                Check(f"false positives at most {MOST:.1%}", name, bool(rate <= MOST), error)
            )
            if min(row["changed_label_0"], row["changed_label_1"]) >= ENOUGH_CHANGED:
                outcomes.append(
                    Check(f"false positives at least {LEAST:.0%}", name, bool(rate >= LEAST), error)
                )
        if row["family"] == "planted" and row["harmed_estimable"] >= JUDGED:
            if row["gap"] == 0:
                detail = f"{rate:.3f} against {row['published']:.3f}"
                outcomes.append(
                    Check(
                        f"power at least {GAIN} times the published code's",
                        name,
                        bool(rate >= GAIN * row["published"]),
                        detail,
                    )
                )
            best = max(row["published_size_adjusted"], row["published_change_size_adjusted"])
            detail = (
                f"{rate:.3f} against {best:.3f} (equal opportunity alone: {row['default_eop']:.3f})"
            )
            outcomes.append(
                Check(
                    "power at most 5 points below the size-adjusted published",
                    name,
                    bool(rate >= best - MARGIN),
                    detail,
                )
            )
    return outcomes


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file aside and moves it into place."""
    aside = path.with_name(f".{path.name}")
    write(aside)
    os.replace(aside, path)


def to_markdown(table: pd.DataFrame, outcomes: list[Check]) -> str:
    """The study as a page: demands, then the table."""
    failed = [c for c in outcomes if not c.passed]
    lines = [
        "# Calibration of the tests",
        "",
        f"{len(table)} cells, {len(outcomes)} demands, {len(failed)} not met.",
        "",
    ]
    lines += [
        *(f"- **not met**: {c.demand}: {c.cell}: {c.detail}" for c in failed),
        *[""] * bool(failed),
    ]
    lines += [
        "Rejection rate at nominal 5%; `harmed_estimable` is the share of cohorts in "
        "which the harmed group can be judged; `alike`: the"
    ]
    lines += [
        "default test with false alarms and missed findings weighted alike (default: "
        f"{LABEL_WEIGHTS[0]:g} and {LABEL_WEIGHTS[1]:g}).",
        "",
    ]
    lines += ["| " + " | ".join(SHOWN) + " |", "|" + "---|" * len(SHOWN)]
    for _, row in table.iterrows():
        entries = [
            str(v)
            if isinstance(v, str)
            else ("" if pd.isna(v) else f"{v:.3f}".rstrip("0").rstrip("."))
            for v in row[list(SHOWN)]
        ]
        lines.append("| " + " | ".join(entries) + " |")
    return "\n".join(lines) + "\n"


def draw(table: pd.DataFrame, path: Path) -> None:
    """One row per cell; left false-positive rates with the nominal 5% and the demanded 6.5%, right
    power.
    """
    kinds = [table[table["family"] == kind] for kind in ("unchanged", "planted")]
    tall = max(len(kind) for kind in kinds)
    figure, axes = plt.subplots(1, 2, figsize=(15, 1.5 + 0.27 * tall), constrained_layout=True)
    for axis, rows, title in zip(
        axes, kinds, ("False-positive rate (a true null)", "Power (planted harm)")
    ):
        place = np.arange(len(rows))[::-1]
        for column, label, colour, marker in STYLES:
            values = rows[column].to_numpy(float)
            error = np.sqrt(
                np.clip(values * (1 - values), 0, None) / rows["cohorts"].to_numpy(float)
            )
            if np.isfinite(values).any():
                axis.errorbar(
                    values,
                    place,
                    xerr=1.96 * error,
                    fmt=marker,
                    color=colour,
                    ms=5,
                    lw=0.8,
                    label=label,
                )
        axis.set_yticks(
            place, [f"{d}: {t}" for d, t in zip(rows["design"], rows["truth"])], fontsize=7
        )
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("share of cohorts rejected at nominal 5%, with 95% interval")
        axis.grid(axis="y", lw=0.3)
    axes[0].axvline(0.05, color="black", lw=1)
    axes[0].axvline(MOST, color="black", lw=1, ls="--")
    axes[0].set_xlim(0, None)
    axes[1].set_xlim(0, 1)
    handles, names = axes[1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(STYLES), fontsize=8)
    # Without the version of the library: equal results give equal bytes.
    figure.savefig(path, dpi=130, format="png", metadata={"Software": None})
    plt.close(figure)


def store(table: pd.DataFrame, out: Path) -> list[Check]:
    """Writes calibration.csv, calibration.md, demands.csv and calibration.png into a folder.

    Args:
      table: as returned by `run_study`.
      out: the folder; made if absent.

    Returns:
      The demands with their outcome.
    """
    out.mkdir(parents=True, exist_ok=True)
    outcomes = checks(table)
    _write(out / "calibration.csv", lambda path: table.to_csv(path, index=False))
    _write(out / "demands.csv", lambda path: pd.DataFrame(outcomes).to_csv(path, index=False))
    _write(
        out / "calibration.md",
        lambda path: path.write_text(to_markdown(table, outcomes), encoding="utf-8"),
    )
    _write(out / "calibration.png", lambda path: draw(table, path))
    return outcomes
