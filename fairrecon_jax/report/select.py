"""Reading the assessment's long tables: validation, order and the rows that a figure or sentence is
about.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.metrics.fairness import ALIASES
from fairrecon_jax.report.figures import style
from fairrecon_jax.types import CohortSpec, Task

TEXT = (
    "cohort", "task", "attribute", "group", "reference_group", "label_stratum", "reconstructor", "mitigation", "metric", "convention",
    "threshold_rule", "unit", "version", "method", "family", "verdict", "reason",
)  # fmt: skip
NUMBERS = (
    "level", "seed", "value", "original", "reconstructed", "change", "percent", "std_error", "ci_low", "ci_high", "p_value", "p_adjusted",
    "permutation_null", "mde", "n", "n_patients", "n_pos", "n_neg", "n_changed",
)  # fmt: skip
KEYS = (
    "cohort", "task", "attribute", "group", "label_stratum", "reconstructor", "level", "mitigation", "metric", "convention",
    "threshold_rule", "unit", "version",
)  # fmt: skip
GAPS = ("eodd", "eop", "ser", "delta_dice")
UNJUDGED = ("", "within chance", "not estimable", "at chance")
CROSS = re.compile(r"\s+[x×&]\s+|\s*[×&]\s*")


def clean(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Checks the columns of a long table and gives every column one type: empty text is "", the
    mitigation of plain rows "none".

    Args:
      frame: a long table with the columns of the assessment.
      name: the table's name, for the message.

    Returns:
      The same rows, text as str, numbers as float; change rows have `change` filled from `value`.

    Raises:
      ValueError: columns are missing; the message names the table and the columns.
    """
    missing = [c for c in TEXT + NUMBERS if c not in frame.columns]
    if missing:
        raise ValueError(
            f"the {name} table lacks the columns {missing}; write it with "
            "fairrecon_jax.assessment.run"
        )
    text = {c: frame[c].astype(object).where(frame[c].notna(), "").astype(str) for c in TEXT}
    numbers = {c: pd.to_numeric(frame[c], errors="coerce").astype(float) for c in NUMBERS}
    out = pd.DataFrame({**text, **numbers}).reset_index(drop=True)
    out["mitigation"] = out["mitigation"].replace("", "none")
    moved = out["version"] == "change"
    out.loc[moved, "change"] = out.loc[moved, "change"].fillna(out.loc[moved, "value"])
    return out


def merge_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Merges rows that differ in their seed only: mean of values, widest interval, largest p-value,
    a verdict only where all agree.

    The group and label of a gap's row, where it changed most, and the reason are results like the
    verdict: "" where seeds disagree.
    """
    whole = frame["metric"].isin(GAPS)
    keys = [frame[c].mask(whole, "") if c in ("group", "label_stratum") else frame[c] for c in KEYS]
    again = frame.groupby(keys, dropna=False)["seed"].transform("nunique") > 1
    if not again.any():
        return frame
    rules = {c: "first" for c in (*TEXT, *NUMBERS) if c not in KEYS}
    rules |= dict.fromkeys(
        ("value", "original", "reconstructed", "change", "percent", "permutation_null"), "mean"
    )
    rules |= {
        "ci_low": "min",
        "ci_high": "max",
        "p_value": "max",
        "p_adjusted": "max",
        "mde": "max",
        "std_error": "max",
    }
    merged = frame[again].groupby([key[again] for key in keys], dropna=False, sort=False)
    rows = merged.agg(rules).reset_index()
    for column, differing in {
        "verdict": "differs between seeds",
        "reason": "",
        "group": "",
        "label_stratum": "",
    }.items():
        rows[column] = np.where(merged[column].nunique() <= 1, merged[column].first(), differing)
    return pd.concat([frame[~again], rows], ignore_index=True)[list(frame.columns)]


@dataclasses.dataclass(frozen=True)
class Findings:
    """The two long tables of one cohort with the order in which things are shown.

    Attributes:
      spec: the cohort's specification.
      performance: cleaned performance rows of all conventions.
      fairness: cleaned fairness rows of all conventions.
      convention: the convention that is shown where several were computed.
      comparison: rows of results/mitigation.csv as read, None where nothing was mitigated.
      sweep: rows of results/mitigation_sweep.csv as read, None where no weight was swept.
    """

    spec: CohortSpec
    performance: pd.DataFrame
    fairness: pd.DataFrame
    convention: str = "worst_case_estimable"
    comparison: pd.DataFrame | None = None
    sweep: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        spec: CohortSpec,
        performance: pd.DataFrame,
        fairness: pd.DataFrame,
        convention: str = "worst_case_estimable",
        comparison: pd.DataFrame | None = None,
        sweep: pd.DataFrame | None = None,
    ) -> Findings:
        """Validates both tables; where `convention` was not computed, the first one that was is
        shown.

        Raises:
          ValueError: a column is missing.
        """
        performance, fairness = clean(performance, "performance"), clean(fairness, "fairness")
        present = [
            c for frame in (fairness, performance) for c in frame["convention"].unique() if c
        ]
        convention = ALIASES.get(convention, convention)
        shown = convention if convention in present or not present else present[0]
        return cls(spec, performance, fairness, shown, comparison, sweep)

    @functools.cached_property
    def conventions(self) -> list[str]:
        """All conventions of the two tables, the shown one first."""
        found = {
            c
            for frame in (self.performance, self.fairness)
            for c in frame["convention"].unique()
            if c
        }
        return sorted(found, key=lambda c: (c != self.convention, c))

    @functools.cached_property
    def levels(self) -> list[float]:
        """Levels present in the tables, in the order of the specification (mildest first), then
        others.
        """
        found = {
            float(v)
            for frame in (self.performance, self.fairness)
            for v in frame["level"].dropna().unique()
        }
        known = [float(v) for v in self.spec.degradation.levels if float(v) in found]
        return known + sorted(found - set(known), reverse=self.spec.degradation.worse == "lower")

    @functools.cached_property
    def reconstructors(self) -> list[str]:
        """Reconstructors present, known ones in their usual order with their variants behind them,
        `identity` last.
        """
        found = [
            r
            for frame in (self.performance, self.fairness)
            for r in frame["reconstructor"].unique()
            if r and r != "original"
        ]
        return sorted(dict.fromkeys(found), key=style.rank)

    @functools.cached_property
    def mitigations(self) -> list[str]:
        """Mitigations present, "none" first."""
        found = {
            m for frame in (self.performance, self.fairness) for m in frame["mitigation"].unique()
        }
        return sorted(found, key=lambda m: (m != "none", m)) or ["none"]

    @functools.cached_property
    def seeds(self) -> list[int]:
        """Seeds present in the tables."""
        found = {
            v
            for frame in (self.performance, self.fairness)
            for v in frame["seed"].dropna().unique()
        }
        return sorted(int(v) for v in found)

    @functools.cached_property
    def has_originals(self) -> bool:
        """Whether any score of a diagnosis on original images is in the tables."""
        rows = self.performance
        return bool(
            (
                (rows["version"] == "original")
                & (rows["metric"] != "threshold")
                & rows["value"].notna()
            ).any()
        )

    @functools.cached_property
    def headline_level(self) -> float:
        """The level at which group gaps are the headline: the specification's, or the mildest one
        present.
        """
        wanted = float(self.spec.degradation.headline_level)
        return wanted if wanted in self.levels or not self.levels else self.levels[0]

    @functools.cached_property
    def attributes(self) -> list[str]:
        """Names of the attributes of the specification."""
        return [a.name for a in self.spec.attributes]

    @functools.cached_property
    def looks(self) -> dict[str, style.Look]:
        """How each reconstructor is drawn."""
        return style.looks(self.reconstructors)

    @functools.cached_property
    def markers(self) -> dict[str, str]:
        """How each mitigation is drawn."""
        return style.markers(self.mitigations)

    def task(self, name: str) -> Task | None:
        """The task of that name, or None where the specification has none."""
        return next((t for t in self.spec.tasks if t.name == name), None)

    def task_title(self, name: str) -> str:
        """A task's title, or its name."""
        task = self.task(name)
        return (task.title or task.name) if task else name

    def groups(self, attribute: str) -> list[str]:
        """Groups of an attribute in the specification's order; of an intersection in the order of
        the tables.
        """
        known = next((list(a.groups) for a in self.spec.attributes if a.name == attribute), None)
        if known is not None:
            return known
        rows = self.performance[self.performance["attribute"] == attribute]
        return [g for g in rows["group"].unique() if g]

    def tasks_in(self, rows: pd.DataFrame) -> list[Task]:
        """The tasks that occur in the rows, in the specification's order."""
        return [t for t in self.spec.tasks if (rows["task"] == t.name).any()]

    def attributes_in(self, rows: pd.DataFrame) -> list[str]:
        """The attributes that occur in the rows, in the specification's order."""
        return [a for a in self.attributes if (rows["attribute"] == a).any()]

    def groups_in(self, rows: pd.DataFrame, attribute: str) -> list[str]:
        """The groups of an attribute that occur in the rows, in the order of `groups`."""
        return [g for g in self.groups(attribute) if (rows["group"] == g).any()]

    @functools.cached_property
    def intersections(self) -> list[str]:
        """Attributes of the tables that combine attributes of the specification, such as "sex x
        race".
        """
        names = [
            a for frame in (self.performance, self.fairness) for a in frame["attribute"].unique()
        ]
        known = set(self.attributes)
        return [
            a
            for a in dict.fromkeys(names)
            if a not in known and len(CROSS.split(a)) > 1 and set(CROSS.split(a)) <= known
        ]

    def methods(self, rows: pd.DataFrame) -> list[tuple[str, str]]:
        """Pairs (reconstructor, mitigation) that occur in the rows, in the report's order."""
        here = set(zip(rows["reconstructor"], rows["mitigation"], strict=True))
        return [(r, m) for r in self.reconstructors for m in self.mitigations if (r, m) in here]

    def method_name(self, reconstructor: str, mitigation: str) -> str:
        """A method in words."""
        name = self.looks[reconstructor].name if reconstructor in self.looks else reconstructor
        return name if mitigation == "none" else f"{name} + {style.mitigation_name(mitigation)}"

    def method_phrase(self, reconstructor: str, mitigation: str) -> str:
        """A method as it ends a sentence: "with U-Net", "on the degraded image"."""
        name = self.method_name(reconstructor, mitigation)
        return f"on the {name}" if reconstructor == "identity" else f"with {name}"

    @functools.cached_property
    def _shown(self) -> dict[str, pd.DataFrame]:
        return {"performance": self._show(self.performance), "fairness": self._show(self.fairness)}

    def _show(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of the shown convention, of one threshold rule and of the unit that the task is
        judged by, seeds merged.
        """
        rows = frame[frame["convention"].isin([self.convention, ""])]
        ruled = rows.loc[rows["threshold_rule"] != "", "threshold_rule"]
        if ruled.nunique() > 1:
            rows = rows[rows["threshold_rule"].isin(["", ruled.iloc[0]])]
        unit = {
            t.name: "image" if t.aggregation == "none" else "patient" for t in self.spec.tasks
        } | {"": "image"}
        matches = rows["unit"] == rows["task"].map(unit).fillna("image")
        has = matches.groupby([rows["task"], rows["metric"]]).transform("any")
        rows = merge_seeds(rows[matches | ~has])
        return rows.drop_duplicates([*KEYS], keep="first")

    def pick(self, which: str, **wanted: object) -> pd.DataFrame:
        """Rows of the shown convention and unit whose columns equal `wanted` (a list means any of).

        Args:
          which: "performance" or "fairness".
          **wanted: column = value or list of values.

        Returns:
          The rows.
        """
        frame = self._shown[which]
        keep = np.ones(len(frame), bool)
        for column, value in wanted.items():
            values = list(value) if isinstance(value, list | tuple | set | dict) else [value]
            keep &= frame[column].isin(values).to_numpy()
        return frame[keep]

    def change_rows(self, which: str, **wanted: object) -> pd.DataFrame:
        """The change rows among `pick`."""
        return self.pick(which, version="change", **wanted)

    def gap_changes(self, **wanted: object) -> pd.DataFrame:
        """Change rows of each task's own headline gap (EODD or SER) by the attributes of the
        specification, at the headline level.
        """
        metrics = sorted({gap_metric(t) for t in self.spec.tasks})
        rows = self.change_rows(
            "fairness",
            **{
                "metric": metrics,
                "attribute": self.attributes,
                "level": self.headline_level,
                **wanted,
            },
        )
        own = {t.name: gap_metric(t) for t in self.spec.tasks}
        return rows[rows["metric"] == rows["task"].map(own)]

    def plain(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows without mitigation, or all of them where every row is mitigated."""
        none = rows["mitigation"] == "none"
        return rows[none] if none.any() else rows


def task_metric(task: Task) -> str:
    """The metric that says how well a task is done."""
    return "auroc" if task.kind == "classification" else "dice"


def gap_metric(task: Task) -> str:
    """The metric of a task's group gap in the paper's definition."""
    return "eodd" if task.kind == "classification" else "ser"


def one(rows: pd.DataFrame, **wanted: object) -> pd.Series | None:
    """The first row whose columns equal `wanted`, or None."""
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return None if rows.empty else rows.iloc[0]


def changed(verdict: str) -> bool:
    """Whether a verdict says that something changed by more than chance."""
    return verdict not in UNJUDGED and not verdict.startswith("differs")


def known(*values: float) -> bool:
    """Whether all values are finite numbers."""
    return all(math.isfinite(v) for v in values)


def each(rows: pd.DataFrame) -> Iterator[Any]:
    """The rows one by one, columns as attributes."""
    yield from rows.itertuples(index=False)
