"""The paper's numbers: Tables 1 to 4 (summary.csv), 7 (chexpert.csv) and 8 (ucsf_pdgm.csv) of
Wohlrapp, Bubeck, Rueckert, Lotter, "Evaluating the Impact of Medical Image Reconstruction on
Downstream AI Fairness and Performance", MIDL 2026, PMLR 315:4600-4638.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent / "paper"
METHODS = ("unet", "gan", "sde")
QUALITY = {"PSNR": 1, "LPIPS": -1}
MITIGATIONS = {"reweighting": "Reweighted", "equalised_odds": "EODD", "eodd": "EODD"}


def cells(modality: str) -> pd.DataFrame:
    """One row per level and method: PSNR, LPIPS and the mean change of AUROC over the findings.

    Args:
      modality: "xray" (12 findings of CheXpert) or "mri" (grade and type of UCSF-PDGM).

    Returns:
      Columns level, method, PSNR, LPIPS, auroc, percent (median |change| over the findings in per
        cent of the baseline).
    """
    table = pd.read_csv(FOLDER / ("chexpert.csv" if modality == "xray" else "ucsf_pdgm.csv"))
    level = table.columns[0]
    rows = []
    for value, part in table.groupby(level, sort=False):
        found = part.set_index("metric")
        quality = found.loc[list(QUALITY), list(METHODS)]
        tasks = found.drop(index=[*QUALITY, "Average", "Dice"], errors="ignore")
        for method in METHODS:
            change = tasks[method] - tasks["baseline"]
            rows.append(
                {
                    "level": value,
                    "method": method,
                    **quality[method].to_dict(),
                    "auroc": change.mean(),
                    "percent": (100 * change / tasks["baseline"]).abs().median(),
                }
            )
    return pd.DataFrame(rows)


def correlation(modality: str, quality: str) -> float:
    """Pearson's r of image quality and the mean change of AUROC over levels and methods; above 0:
    a better image, a better diagnosis.
    """
    found = cells(modality)
    return float(QUALITY[quality] * np.corrcoef(found[quality], found["auroc"])[0, 1])


def _summary(row: str, columns: tuple[str, ...]) -> np.ndarray:
    """Entries of Tables 1 to 4."""
    table = pd.read_csv(FOLDER / "summary.csv").set_index(["row", "column"])["value"]
    return np.array([table[row, column] for column in columns])


def spread_ratio(modality: str) -> float:
    """Median absolute change of the gap over that of AUROC, both in per cent of the baseline."""
    gaps = _summary("Median absolute bias change %", METHODS)
    return float(gaps.mean() / cells(modality)["percent"].mean())


def added_share() -> float:
    """Median absolute change of the gap as a share of the gap on originals, mean over methods."""
    return float(_summary("Median absolute bias change %", METHODS).mean() / 100)


def removed_share(mitigation: str, attributes: tuple[str, ...]) -> float:
    """Share of the gap after reconstruction that a mitigation removes, mean over attributes:
    (standard - mitigated) / (100 + standard) of the median changes in per cent; NaN for a
    mitigation or attribute that the paper has not.
    """
    known = tuple(a for a in attributes if a in ("sex", "age", "race"))
    kinds = [row for kind, row in MITIGATIONS.items() if mitigation.startswith(kind)]
    if not kinds or not known:
        return float("nan")
    standard, after = (_summary(row, known) for row in ("Standard", kinds[0]))
    return float(np.mean((standard - after) / (100 + standard)))
