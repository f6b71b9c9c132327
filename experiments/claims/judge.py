"""From measured numbers to the paper's claims with verdicts.

supported      the whole interval lies on the claim's side of its limit
contradicted   the whole interval lies on the other side
cannot be told the interval holds the limit; `detectable` is half its width
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.claims import paper
from experiments.claims.measure import Measured

COLUMNS = ("claim", "quantity", "paper", "ours", "low", "high", "verdict", "detectable", "note")
TRACKS = 0.5
"""A correlation from which on image quality tells a good part of the diagnosis: a quarter of the
variance.
"""
MODEST = 0.5
"""A share of the gap on originals below which an added gap is modest."""
LIMITED = 0.5
"""A share of the gap below which what a mitigation removes is limited."""
WORDS = ("supported", "contradicted", "cannot be told")
PAPER_QUALITY = {"psnr": "PSNR", "lpips": "LPIPS"}


class Claim(NamedTuple):
    """A sentence of the paper with the limit that decides about it.

    Attributes:
      name: a letter.
      text: the sentence.
      limit: of the quantity.
      below: the claim says that the quantity lies below the limit (in size), not above.
    """

    name: str
    text: str
    limit: float
    below: bool


CLAIMS = {
    "a": Claim("a", "image metrics poorly track the diagnosis", TRACKS, True),
    "b": Claim("b", "fairness varies more than performance", 1.0, False),
    "c": Claim("c", "the added gap is modest beside the gap on originals", MODEST, True),
    "d": Claim("d", "mitigations have limited effect", LIMITED, True),
}


def plain(measured: Measured) -> np.ndarray:
    """Numbers of the cells without mitigation."""
    return np.array([k for k, cell in enumerate(measured.cells) if cell.mitigation == "none"])


def interval(draws: np.ndarray) -> tuple[float, float, float]:
    """The value (row 0) and the 2.5th and 97.5th percentile of its draws."""
    known = draws[1:][np.isfinite(draws[1:])]
    if not known.size:
        return float(draws[0]), float("nan"), float("nan")
    low, high = np.percentile(known, (2.5, 97.5))
    return float(draws[0]), float(low), float(high)


def verdict(claim: Claim, low: float, high: float) -> str:
    """One of `WORDS`; of a claim of smallness both signs count."""
    if not np.isfinite(low + high):
        return WORDS[2]
    if claim.below:
        inside = high < claim.limit and (claim.name != "a" or low > -claim.limit)
        outside = low > claim.limit or (claim.name == "a" and high < -claim.limit)
    else:
        inside, outside = low > claim.limit, high < claim.limit
    return WORDS[0] if inside else WORDS[1] if outside else WORDS[2]


def row(
    name: str, quantity: str, published: float, draws: np.ndarray, note: str = ""
) -> dict[str, Any]:
    """One line of the table."""
    claim = CLAIMS[name]
    value, low, high = interval(draws)
    return {
        "claim": f"({name}) {claim.text}",
        "quantity": quantity,
        "paper": published,
        "ours": value,
        "low": low,
        "high": high,
        "verdict": verdict(claim, low, high),
        "detectable": (high - low) / 2,
        "note": note,
    }


def claims(measured: Measured, modality: str) -> pd.DataFrame:
    """All claims that the study can speak to, columns `COLUMNS`.

    Args:
      measured: of the study.
      modality: "xray" or "mri": which of the paper's cohorts stands beside it.
    """
    rows = [
        *_tracking(measured, modality),
        *_spread(measured, modality),
        *_added(measured),
        *_mitigations(measured),
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _tracking(measured: Measured, modality: str) -> Iterator[dict[str, Any]]:
    """(a), per cell and per image."""
    cells = plain(measured)
    change = np.nanmean(measured.auroc - measured.auroc_before[:, None], -1)[:, cells]
    for name, quality in measured.quality.items():
        published = float("nan")
        if name in PAPER_QUALITY:
            published = paper.correlation(modality, PAPER_QUALITY[name])
        if len(cells) > 2:
            note = f"{len(cells)} cells (level, reconstructor); change of the mean AUROC"
            found = row(
                "a",
                f"r of {name.upper()}, cell by cell",
                published,
                correlations(quality[:, cells], change),
                note,
            )
            yield widened(found, len(cells))
        if np.isfinite(measured.tracking[name][0]):
            note = "rank correlation of what a level costs, mean over levels, methods, findings"
            draws = measured.tracking[name]
            yield row("a", f"r of {name.upper()}, image by image", float("nan"), draws, note)


def widened(found: dict[str, Any], cells: int) -> dict[str, Any]:
    """A row of a correlation over few cells with limits that hold Fisher's for as many pairs: the
    draws are of patients, and say nothing of cells that another study would have had.
    """
    limits = np.array([-1.0, 1.0])
    if cells > 3:
        limits = np.tanh(np.arctanh(found["ours"]) + limits * 1.96 / np.sqrt(cells - 3))
    low, high = float(min(found["low"], limits[0])), float(max(found["high"], limits[1]))
    word = verdict(CLAIMS["a"], low, high)
    return found | {"low": low, "high": high, "verdict": word, "detectable": (high - low) / 2}


def correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r [R] of rows of x and y [R, K]."""
    x, y = (v - v.mean(1, keepdims=True) for v in (x, y))
    with np.errstate(invalid="ignore"):
        return np.sum(x * y, 1) / np.sqrt(np.sum(x * x, 1) * np.sum(y * y, 1))


def gap_changes(measured: Measured) -> np.ndarray:
    """Changes of EODD [R + 1, K, T, A] of the cells without mitigation."""
    return measured.eodd[:, plain(measured)] - measured.eodd_before[:, None]


def spread(values: np.ndarray) -> np.ndarray:
    """Root mean square over everything but the first axis; NaN is left out."""
    return np.sqrt(np.nanmean(values.reshape(len(values), -1) ** 2, 1))


def percent(change: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Median absolute change in per cent of what was before, over everything but the first axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 100 * np.abs(change) / before[:, None]
    return np.nanmedian(share.reshape(len(share), -1), 1)


def _spread(measured: Measured, modality: str) -> Iterator[dict[str, Any]]:
    """(b), as the paper measures it and on the scale of the metrics, with what groups drawn at
    random would show.
    """
    cells = plain(measured)
    auroc = (measured.auroc - measured.auroc_before[:, None])[:, cells]
    gaps, drawn = gap_changes(measured), measured.shuffled[:, cells]
    base = percent(auroc, measured.auroc_before)
    yield _varies(
        "median % change of EODD / of AUROC",
        paper.spread_ratio(modality),
        percent(gaps, measured.eodd_before) / base,
        percent(drawn, measured.shuffled_before) / base[0],
    )
    base = spread(auroc)
    name = "root mean square change of EODD / of AUROC"
    yield _varies(name, float("nan"), spread(gaps) / base, spread(drawn) / base[0])


def _varies(
    quantity: str, published: float, ratio: np.ndarray, chance: np.ndarray
) -> dict[str, Any]:
    """One line of (b)."""
    low, high = np.nanpercentile(chance, (2.5, 97.5))
    note = f"groups drawn at random give {np.nanmedian(chance):.2f} ({low:.2f} to {high:.2f})"
    found = row("b", quantity, published, ratio, note)
    # as large as that of groups that mean nothing: a property of the metric, not of fairness
    if found["verdict"] == WORDS[0] and ratio[0] <= high:
        found |= {"verdict": WORDS[2], "note": f"{note}: no more than chance"}
    return found


def _added(measured: Measured) -> Iterator[dict[str, Any]]:
    """(c), together and by attribute."""
    change = gap_changes(measured)
    for a, name in [(slice(None), "all attributes"), *enumerate(measured.attributes)]:
        added = _mean(change[..., a])
        before = _mean(measured.eodd_before[..., a])
        random = _mean(measured.shuffled_before[..., a])
        note = (
            f"added EODD {added[0]:+.3f} to {before[0]:.3f} on originals, mean over cells; groups "
            f"drawn at random have {random.mean():.3f} there"
        )
        yield row("c", f"added / baseline gap, {name}", paper.added_share(), added / before, note)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over everything but the first axis; NaN is left out."""
    return np.nanmean(values.reshape(len(values), -1), 1)


def mitigated(measured: Measured) -> list[tuple[int, int]]:
    """Pairs (mitigated cell, its unmitigated one)."""
    place = {cell: k for k, cell in enumerate(measured.cells)}
    return [
        (k, place[cell._replace(mitigation="none")])
        for cell, k in place.items()
        if cell.mitigation != "none" and cell._replace(mitigation="none") in place
    ]


def _mitigations(measured: Measured) -> Iterator[dict[str, Any]]:
    """(d), one line per mitigated cell, with its price."""
    for k, base in mitigated(measured):
        cell = measured.cells[k]
        before, after = (_mean(measured.eodd[:, i]) for i in (base, k))
        auroc = np.nanmean(measured.auroc[0, k] - measured.auroc[0, base])
        note = f"EODD {before[0]:.3f} -> {after[0]:.3f}; price: AUROC {auroc:+.3f}"
        if "psnr" in measured.quality:
            psnr = measured.quality["psnr"][0]
            note += f", PSNR {psnr[k] - psnr[base]:+.2f} dB"
        name = f"share of the gap removed, {cell.mitigation}, {cell.reconstructor}"
        published = paper.removed_share(cell.mitigation, measured.attributes)
        yield row("d", name, published, (before - after) / before, note)
