"""Reading the assessment's long tables: validation, order and the rows that a figure or sentence is about."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd

from fairrecon_jax.report import style
from fairrecon_jax.types import CohortSpec, Task

TEXT = (
    "cohort", "task", "attribute", "group", "reference_group", "label_stratum", "reconstructor", "mitigation", "metric", "convention",
    "threshold_rule", "unit", "version", "method", "family", "verdict", "reason",
)  # fmt: skip
NUMBERS = (
    "level", "seed", "value", "original", "reconstructed", "change", "percent", "std_error", "ci_low", "ci_high", "p_value", "p_adjusted",
    "chance_floor", "mde", "n", "n_patients", "n_pos", "n_neg", "n_changed",
)  # fmt: skip
GAPS = ("eodd", "eop", "ser", "delta_dice")
IMAGE_METRICS = ("psnr", "ssim", "nrmse", "lpips")


def clean(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Checks the columns of a long table and gives every column one type; empty text is "".

    Raises:
      ValueError: columns are missing; the message names the table and the columns.
    """
    missing = [c for c in TEXT + NUMBERS if c not in frame.columns]
    if missing:
        raise ValueError(f"the {name} table lacks the columns {missing}; write it with fairrecon_jax.assessment.assess")
    out = {c: frame[c].astype(object).where(frame[c].notna(), "").astype(str) for c in TEXT}
    out |= {c: pd.to_numeric(frame[c], errors="coerce").astype(float) for c in NUMBERS}
    return pd.DataFrame(out).reset_index(drop=True)


@dataclasses.dataclass(frozen=True)
class Findings:
    """The two long tables of one cohort with the order in which things are shown.

    Attributes:
      spec: the cohort's specification.
      performance: cleaned performance rows.
      fairness: cleaned fairness rows.
      convention: the convention that is shown where several were computed.
    """

    spec: CohortSpec
    performance: pd.DataFrame
    fairness: pd.DataFrame
    convention: str = "paper"

    @classmethod
    def of(cls, spec: CohortSpec, performance: pd.DataFrame, fairness: pd.DataFrame, convention: str = "paper") -> Findings:
        """Validates both tables.

        Raises:
          ValueError: a column is missing.
        """
        return cls(spec, clean(performance, "performance"), clean(fairness, "fairness"), convention)

    @functools.cached_property
    def levels(self) -> list[float]:
        """Levels present in the tables, in the order of the specification (mildest first), then others."""
        found = {float(v) for frame in (self.performance, self.fairness) for v in frame["level"].dropna().unique()}
        known = [float(v) for v in self.spec.degradation.levels if float(v) in found]
        return known + sorted(found - set(known), reverse=self.spec.degradation.kind == "xray_low_dose")

    @functools.cached_property
    def reconstructors(self) -> list[str]:
        """Reconstructors present, known ones in their usual order, `identity` last."""
        found = [r for frame in (self.performance, self.fairness) for r in frame["reconstructor"].unique() if r]
        rank = {name: (name == "identity", style.KNOWN.get(name.lower(), 50)) for name in found}
        return sorted(dict.fromkeys(found), key=lambda r: rank[r])

    @functools.cached_property
    def mitigations(self) -> list[str]:
        """Mitigations present, "none" first."""
        found = {m or "none" for frame in (self.performance, self.fairness) for m in frame["mitigation"].unique()}
        return sorted(found | {"none"}, key=lambda m: (m != "none", m))

    @functools.cached_property
    def headline_level(self) -> float:
        """The level at which group gaps are the headline: the specification's, or the mildest one present."""
        wanted = float(self.spec.degradation.fairness_level)
        return wanted if wanted in self.levels or not self.levels else self.levels[0]

    @functools.cached_property
    def attributes(self) -> list[str]:
        """Names of the attributes of the specification."""
        return [a.name for a in self.spec.attributes]

    def task_title(self, name: str) -> str:
        """A task's title, or its name."""
        return next((t.title or t.name for t in self.spec.tasks if t.name == name), name)

    def shown(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of the shown convention (and rows to which no convention applies)."""
        return frame[frame["convention"].isin([self.convention, ""])]

    def pick(self, which: str, **wanted: object) -> pd.DataFrame:
        """Rows of "performance" or "fairness" in the shown convention whose columns equal `wanted` (lists: any of)."""
        frame = self.shown(self.performance if which == "performance" else self.fairness)
        keep = np.ones(len(frame), bool)
        for column, value in wanted.items():
            values = list(value) if isinstance(value, list | tuple | set) else [value]
            keep &= frame[column].isin(values).to_numpy()
        return frame[keep]


def task_metric(task: Task) -> str:
    """The metric that says how well a task is done."""
    return "auroc" if task.kind == "classification" else "dice"


def gap_metric(task: Task) -> str:
    """The metric of a task's group gap in the paper's definition."""
    return "eodd" if task.kind == "classification" else "ser"


def changes(frame: pd.DataFrame) -> pd.DataFrame:
    """The change rows, with `change` filled from `value` where it is empty."""
    rows = frame[frame["version"] == "change"].copy()
    rows["change"] = rows["change"].fillna(rows["value"])
    return rows
