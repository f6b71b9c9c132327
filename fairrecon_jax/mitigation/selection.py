"""Which weight of a mitigation's term is kept: a stated rule on the numbers of validation patients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

UNMITIGATED = "none"
GAPS, SCORES = ("eodd", "ser"), ("auroc", "dice")
NO_GAP = {"eodd": 0.0, "ser": 1.0}


class Choice(NamedTuple):
    """What was chosen.

    Attributes:
      mitigation: the chosen candidate, or "none" where no candidate was admissible.
      reason: why, in words with numbers.
      candidates: per candidate its numbers: mean gap above no gap, PSNR, mean task score, admissible.
    """

    mitigation: str
    reason: str
    candidates: tuple[dict[str, Any], ...]


def summarise(points: pd.DataFrame) -> pd.DataFrame:
    """One line per candidate.

    Args:
      points: long table with the columns mitigation, metric, task, attribute, value.

    Returns:
      Index mitigation; columns gap (mean over tasks and attributes of EODD and SER - 1), psnr, score (mean over tasks of AUROC and Dice).
      A task or attribute that is undefined for one candidate leaves the mean of all.
    """
    value = points["value"] - points["metric"].map(NO_GAP).fillna(0.0)
    wide = points.assign(value=value).pivot_table(
        index="mitigation", columns=["metric", "task", "attribute"], values="value", dropna=False, sort=False
    )
    wide = wide.loc[:, wide.notna().all()]
    parts = {"gap": GAPS, "psnr": ("psnr",), "score": SCORES}
    columns = {name: wide.loc[:, wide.columns.get_level_values("metric").isin(which)] for name, which in parts.items()}
    return pd.DataFrame({name: part.mean(axis=1) if part.shape[1] else np.nan for name, part in columns.items()}, index=wide.index)


def select(points: pd.DataFrame, psnr_tolerance: float, task_tolerance: float) -> Choice:
    """The smallest mean gap among the candidates that keep PSNR and task score.

    A candidate is admissible where its PSNR and its mean task score are at most the tolerances below those of the unmitigated model. The
    unmitigated model is not a candidate: it is what remains where none is admissible.

    Args:
      points: validation numbers of the candidates and of "none", see `summarise`.
      psnr_tolerance: in dB.
      task_tolerance: in AUROC and Dice.

    Raises:
      ValueError: there is no unmitigated model, or no candidate.
    """
    found = summarise(points)
    if UNMITIGATED not in found.index or len(found) < 2:
        raise ValueError(f"a choice needs the unmitigated model and a candidate, got {list(found.index)}")
    base, rest = found.loc[UNMITIGATED], found.drop(index=UNMITIGATED)
    lost = base - rest
    fine = (lost["psnr"].fillna(0) <= psnr_tolerance) & (lost["score"].fillna(0) <= task_tolerance) & rest["gap"].notna()
    records = tuple(
        {"mitigation": str(name), **{k: round(float(row[k]), 5) for k in found.columns}, "admissible": bool(fine.get(name, False))}
        for name, row in found.iterrows()
    )
    limits = f"{psnr_tolerance:g} dB PSNR and {task_tolerance:g} task score"
    if not fine.any():
        return Choice(UNMITIGATED, f"no weight keeps validation within {limits} of the unmitigated model, which stays", records)
    name = str(rest.loc[fine, "gap"].idxmin())
    row = rest.index.get_loc(name)
    gap, psnr, score = rest["gap"].to_numpy()[row], lost["psnr"].to_numpy()[row], lost["score"].to_numpy()[row]
    gaps, price = (
        f"{gap:.3f}; unmitigated {found['gap'].to_numpy()[found.index.get_loc(UNMITIGATED)]:.3f}",
        f"{psnr:.2f} dB and {score:.3f}",
    )
    text = (
        f"{name} has the smallest mean validation gap ({gaps}) of {int(fine.sum())} of {len(rest)} weights that lose no more than {limits} "
        f"(it loses {price})"
    )
    return Choice(name, text, records)
