"""Which weight of a mitigation's term is kept: a stated rule on validation patients."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

UNMITIGATED = "none"
GAPS, SCORES = ("eodd", "ser"), ("auroc", "dice")
NO_GAP = {"eodd": 0.0, "ser": 1.0}


class Choice(NamedTuple):
    """What was chosen.

    Attributes:
      mitigation: the chosen candidate, or "none" where no candidate was admissible.
      reason: why, in words with numbers.
      candidates: per candidate its numbers: mean gap above no gap, PSNR, mean task score,
        admissible.
    """

    mitigation: str
    reason: str
    candidates: tuple[dict[str, Any], ...]


def summarise(points: pd.DataFrame) -> pd.DataFrame:
    """One line per candidate.

    Args:
      points: long table with the columns mitigation, metric, task, attribute, value.

    Returns:
      Index mitigation; columns gap (mean over tasks and attributes of EODD and SER - 1), psnr,
        score (mean over tasks of AUROC and Dice). PSNR and score are over what the unmitigated
        model has, NaN for a candidate that lacks part of it. A gap that is undefined for one of the
        others is left out of the mean of all.
    """
    # SER counts from 1 and EODD from 0: as distances from no gap they can be averaged.
    value = points["value"] - points["metric"].map(NO_GAP).fillna(0.0)
    # Not sorted: the order of the candidates decides between equal gaps.
    wide = points.assign(value=value).pivot_table(
        index="mitigation",
        columns=["metric", "task", "attribute"],
        values="value",
        dropna=False,
        sort=False,
    )
    metric, wanted = wide.columns.get_level_values("metric"), wide.loc[UNMITIGATED].notna()
    parts = {"psnr": wanted & (metric == "psnr"), "score": wanted & metric.isin(SCORES)}
    whole = wide.loc[:, parts["psnr"] | parts["score"]].notna().all(axis=1)
    # The same cells for all: a candidate that lacks its worst gap would look the fairest.
    parts = {"gap": wide[whole].notna().all() & metric.isin(GAPS), **parts}
    return pd.DataFrame(
        {name: wide.loc[:, part].mean(axis=1, skipna=False) for name, part in parts.items()},
        index=wide.index,
    )


def select(points: pd.DataFrame, psnr_tolerance: float, task_tolerance: float) -> Choice:
    """The smallest mean gap among the candidates that keep PSNR and task score.

    A candidate is admissible where its PSNR and its mean task score are at most the tolerances
    below those of the unmitigated model, and not where they are undefined but that model's are not.
    The unmitigated model is not a candidate: it is what remains where none is admissible.

    Args:
      points: validation numbers of the candidates and of "none", see `summarise`.
      psnr_tolerance: in dB.
      task_tolerance: in AUROC and Dice.

    Raises:
      ValueError: there is no unmitigated model, or no candidate.
    """
    names = list(points["mitigation"].unique())
    if UNMITIGATED not in names or len(names) < 2:
        raise ValueError(f"a choice needs the unmitigated model and a candidate, got {names}")
    summary = summarise(points)
    base, rest = summary.loc[UNMITIGATED], summary.drop(index=UNMITIGATED)
    # Comparisons with NaN are false: what is undefined is ruled out by itself.
    lost = base - rest
    limit = pd.Series({"psnr": psnr_tolerance, "score": task_tolerance})
    undefined = (rest[limit.index].isna() & base[limit.index].notna()).any(axis=1)
    admissible = ~(lost[limit.index] > limit).any(axis=1) & ~undefined & rest["gap"].notna()
    without = (
        f"; PSNR or task score of {', '.join(undefined.index[undefined])} is undefined, "
        "which rules it out"
        if undefined.any()
        else ""
    )
    records = tuple(
        {
            "mitigation": str(name),
            **{k: round(float(row[k]), 5) for k in summary.columns},
            "admissible": bool(admissible.get(name, False)),
        }
        for name, row in summary.iterrows()
    )
    limits = f"{psnr_tolerance:g} dB PSNR and {task_tolerance:g} task score"
    if not admissible.any():
        return Choice(
            UNMITIGATED,
            f"no weight keeps validation within {limits} of the unmitigated model, which "
            f"stays{without}",
            records,
        )
    # Of equal gaps the first candidate.
    name = str(rest.loc[admissible, "gap"].idxmin())
    row = rest.index.get_loc(name)
    unmitigated = summary["gap"].to_numpy()[summary.index.get_loc(UNMITIGATED)]
    gap, psnr, score = (
        rest["gap"].to_numpy()[row],
        lost["psnr"].to_numpy()[row],
        lost["score"].to_numpy()[row],
    )
    gaps, price = (
        f"{gap:.3f}; unmitigated {unmitigated:.3f}",
        f"{psnr:.2f} dB and {score:.3f}",
    )
    text = (
        f"{name} has the smallest mean validation gap ({gaps}) of {int(admissible.sum())} of "
        f"{len(rest)} weights that lose no more than {limits} "
        f"(it loses {price}){without}"
    )
    return Choice(name, text, records)
