"""What the paper's tables and figures are made of: the results of one study or two, and the values
that the paper prints.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.select import Findings, gap_metric, task_metric
from fairrecon_jax.types import Task

PRINTED = Path(__file__).parent / "published.csv"
"""The numbers of the paper's tables 1 to 4, 7 and 8 (arXiv:2604.10904)."""
CONVENTION = "mean"
"""The convention of the paper's numbers: those of its code, see docs/howto/paper.md."""
COLUMNS = {"U-Net": "unet", "Pix2Pix": "gan", "IR-SDE": "sde", "SDE": "sde"}
"""The paper's column of a method, by the method's title."""
MITIGATIONS = {
    "none": "Standard",
    "reweighting": "Reweighted",
    "reweighted": "Reweighted",
    "eodd": "EODD",
    "equalised_odds": "EODD",
}
"""The paper's row of a mitigation, by its name in a study."""
COHORTS = {"xray": "chexpert", "mri": "ucsf_pdgm"}
TASKS = {
    "grade": "Tumor Grade AUROC",
    "type": "Tumor Type AUROC",
    "tumor": "Dice",
    "psnr": "PSNR",
    "lpips": "LPIPS",
}
"""Rows of the paper's tables that are called otherwise than here."""


@dataclasses.dataclass(frozen=True)
class PaperStudy:
    """A finished study as the paper's items need it.

    Attributes:
      folder: its work directory, which sources are named in.
      findings: its results under the paper's convention.
      people: one row per evaluated image: patient_id, split and the attributes.
    """

    folder: Path
    findings: Findings
    people: pd.DataFrame

    @property
    def modality(self) -> str:
        """ "xray" or "mri"."""
        return str(self.findings.spec.modality)

    @property
    def title(self) -> str:
        """The cohort's title."""
        return self.findings.spec.title

    @functools.cached_property
    def gaps(self) -> pd.DataFrame:
        """Changes of the headline gaps of every task, attribute, method and mitigation, with the
        modality and with the name of the task as a reader sees it.
        """
        rows = self.findings.restored(self.findings.gap_changes())
        return rows.assign(
            modality=self.modality,
            title=[self.findings.task_title(task) for task in rows["task"]],
            method=[self.method(name) for name in rows["reconstructor"]],
        )

    def method(self, reconstructor: str) -> str:
        """The title of a method without what tells its variants apart."""
        return style.method_of(reconstructor, self.findings.called).title

    def source(self, table: str, **wanted: object) -> str:
        """Which rows of which file something is made of, in words.

        Args:
          table: "performance", "fairness" or another stem of `results/`.
          **wanted: column = value, or several.
        """
        parts = [
            f"{column} = {' | '.join(map(str, value)) if isinstance(value, tuple) else value}"
            for column, value in wanted.items()
        ]
        return f"{self.folder / 'results' / table}.csv: {', '.join(parts)}"

    def originals(self, tasks: Sequence[Task]) -> pd.DataFrame:
        """Gaps on original images at the headline level, one row per task and attribute."""
        rows = self.findings.pick(
            "fairness",
            version="original",
            level=self.findings.headline_level,
            attribute=self.findings.attributes,
            metric=[gap_metric(task) for task in tasks],
            task=[task.name for task in tasks],
        ).dropna(subset=["value"])
        # the same originals stand beside every method
        return rows.drop_duplicates(["task", "attribute"])

    def scores(self, level: float | None = None) -> pd.DataFrame:
        """AUROC and Dice of everyone, both versions; of all levels where none is given."""
        chosen = {} if level is None else {"level": level}
        rows = self.findings.pick(
            "performance",
            metric=sorted({task_metric(t) for t in self.findings.spec.tasks}),
            attribute="",
            version=["original", "reconstructed"],
            **chosen,
        )
        return rows[rows["task"] != ""].dropna(subset=["value"])

    def quality(self, metric: str, level: float | None = None) -> pd.DataFrame:
        """An image metric of everyone; of all levels where none is given."""
        chosen = {} if level is None else {"level": level}
        rows = self.findings.pick(
            "performance", metric=metric, attribute="", version="reconstructed", **chosen
        )
        return rows.dropna(subset=["value"])


@functools.cache
def _printed() -> pd.DataFrame:
    return pd.read_csv(PRINTED, dtype=str, keep_default_na=False)


def printed(table: int, row: str, column: str, cohort: str = "", level: float | None = None) -> str:
    """A value of the paper as it prints it, "" where it prints none.

    Args:
      table: its number in the paper.
      row: name of the row there; case does not count.
      column: name of the column there.
      cohort: "chexpert" or "ucsf_pdgm", where the table has a part for each.
      level: photon count or acceleration.

    Example:
      >>> printed(7, "Edema", "unet", "chexpert", 1e4), printed(2, "Median bias change %", "gan")
      ('0.89', '-0.21')
    """
    rows = _printed()
    found = rows[
        (rows["table"] == str(table))
        & (rows["row"].str.lower() == row.lower())
        & (rows["column"].str.lower() == column.lower())
    ]
    if cohort:
        found = found[found["cohort"] == cohort]
    if level is not None:
        levels = pd.to_numeric(found["level"], errors="coerce")
        found = found[levels == level]
    return str(found["value"].iloc[0]) if len(found) else ""


def pooled(studies: Sequence[PaperStudy]) -> pd.DataFrame:
    """Changes of the headline gaps of all studies under each other."""
    return pd.concat([study.gaps for study in studies], ignore_index=True)


def first_of(studies: Sequence[PaperStudy], modality: str) -> PaperStudy | None:
    """The study of a modality, None where there is none."""
    return next((study for study in studies if study.modality == modality), None)


def codings_left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows without those of further codings of race, which would count one attribute twice."""
    return rows[~rows["attribute"].str.startswith("race_")]


def known_changes(rows: pd.DataFrame) -> pd.Series:
    """Changes in percent of the gap on originals, those that are known."""
    percent = rows["percent"].astype(float)
    return percent[np.isfinite(percent)]


def median_of(rows: pd.DataFrame, absolute: bool = False) -> float:
    """Median change in percent of the gap on originals, NaN where none is known."""
    percent = known_changes(rows)
    if percent.empty:
        return math.nan
    return float(percent.abs().median() if absolute else percent.median())
