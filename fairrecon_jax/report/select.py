"""Selecting rows of the long tables: the order in which things are shown, and the rows that a
figure or sentence is about.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.metrics.conventions import ALIASES
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.long_tables import DISAGREE, KEYS, WORST, clean, merge_seeds
from fairrecon_jax.report.small_cells import withheld
from fairrecon_jax.types import CROSS, CohortSpec, MethodTitle, Task

UNCHANGED = ("", "no difference shown", "not estimable", "at chance")
"""Verdicts that do not say that something changed; "" where no test ran."""
UNJUDGED = ("not estimable", "at chance")
"""Verdicts on what could not be judged."""


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
      called: what reconstructors are called, by name; others are called as `style` knows them.
      trends: rows of results/trends.csv as read, None where no continuous attribute was looked at.
      doses: rows of results/doses.csv as read, None where no level can be compared with another.
    """

    spec: CohortSpec
    performance: pd.DataFrame
    fairness: pd.DataFrame
    convention: str = "worst_case_estimable"
    comparison: pd.DataFrame | None = None
    sweep: pd.DataFrame | None = None
    called: Mapping[str, MethodTitle] = dataclasses.field(default_factory=dict)
    trends: pd.DataFrame | None = None
    doses: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        spec: CohortSpec,
        performance: pd.DataFrame,
        fairness: pd.DataFrame,
        convention: str = "worst_case_estimable",
        comparison: pd.DataFrame | None = None,
        sweep: pd.DataFrame | None = None,
        called: Mapping[str, MethodTitle] | None = None,
        min_cell: int = 0,
    ) -> Findings:
        """Validates both tables; where `convention` was not computed, the first one that was is
        shown. Numbers that rest on fewer than `min_cell` patients or images are withheld.

        Raises:
          ValueError: a column is missing.
        """
        performance, fairness = clean(performance, "performance"), clean(fairness, "fairness")
        performance, fairness = withheld(performance, fairness, min_cell)
        present = [
            c for frame in (fairness, performance) for c in frame["convention"].unique() if c
        ]
        convention = ALIASES.get(convention, convention)
        shown = convention if convention in present or not present else present[0]
        return cls(spec, performance, fairness, shown, comparison, sweep, called or {})

    @functools.cached_property
    def conventions(self) -> list[str]:
        """All conventions of the two tables, the shown one first."""
        present = self._present("convention") - {""}
        return sorted(present, key=lambda c: (c != self.convention, c))

    @functools.cached_property
    def levels(self) -> list[float]:
        """Levels present in the tables, in the order of the specification (mildest first), then
        others.
        """
        present = {float(v) for v in self._present("level")}
        known = [float(v) for v in self.spec.degradation.levels if float(v) in present]
        return known + sorted(present - set(known), reverse=self.spec.degradation.worse == "lower")

    @functools.cached_property
    def reconstructors(self) -> list[str]:
        """Reconstructors present, known ones in their usual order with their variants behind them,
        the degraded image last.
        """
        names = [
            name
            for frame in (self.performance, self.fairness)
            for name in frame["reconstructor"].unique()
            # "original" may stand where other rows have the reconstructor
            if name and name != "original"
        ]
        return sorted(dict.fromkeys(names), key=lambda name: style.rank(name, self.called))

    @functools.cached_property
    def degraded(self) -> list[str]:
        """The reconstructors that are no method: they hand on the degraded image as it is."""
        return [name for name in self.reconstructors if style.is_degraded(name, self.called)]

    @functools.cached_property
    def mitigations(self) -> list[str]:
        """Mitigations present, "none" first."""
        present = self._present("mitigation")
        return sorted(present, key=lambda m: (m != "none", m)) or ["none"]

    @functools.cached_property
    def seeds(self) -> list[int]:
        """Seeds present in the tables."""
        return sorted(int(v) for v in self._present("seed"))

    def _present(self, column: str) -> set[Any]:
        """The values of a column in either table."""
        return {
            value
            for frame in (self.performance, self.fairness)
            for value in frame[column].dropna().unique()
        }

    @functools.cached_property
    def has_originals(self) -> bool:
        """Whether any score of a diagnosis on original images is in the tables."""
        rows = self.performance
        scored = (rows["version"] == "original") & (rows["metric"] != "threshold")
        return bool((scored & rows["value"].notna()).any())

    @functools.cached_property
    def headline_level(self) -> float:
        """The level at which group gaps are the headline: the specification's, or the mildest one
        present.
        """
        # tables from elsewhere may lack it
        wanted = float(self.spec.degradation.headline_level)
        return wanted if wanted in self.levels or not self.levels else self.levels[0]

    @property
    def headline(self) -> str:
        """The headline level as it stands in a sentence."""
        return style.level_phrase(self.headline_level, self.spec.degradation)

    @functools.cached_property
    def attributes(self) -> list[str]:
        """Names of the attributes of the specification."""
        return [a.name for a in self.spec.attributes]

    @functools.cached_property
    def looks(self) -> dict[str, style.Look]:
        """How each reconstructor is drawn."""
        return style.looks(self.reconstructors, self.called)

    @functools.cached_property
    def markers(self) -> dict[str, str]:
        """How each mitigation is drawn."""
        return style.markers(self.mitigations)

    @functools.cached_property
    def gap_metrics(self) -> dict[str, str]:
        """By task the metric of its headline gap."""
        return {t.name: gap_metric(t) for t in self.spec.tasks}

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
            if a not in known and len(a.split(CROSS)) > 1 and set(a.split(CROSS)) <= known
        ]

    def methods(self, rows: pd.DataFrame) -> list[tuple[str, str]]:
        """Pairs (reconstructor, mitigation) that occur in the rows, in the report's order."""
        present = set(zip(rows["reconstructor"], rows["mitigation"], strict=True))
        return [(r, m) for r in self.reconstructors for m in self.mitigations if (r, m) in present]

    def method_name(self, reconstructor: str, mitigation: str) -> str:
        """The name of a method as a reader sees it."""
        name = self.looks[reconstructor].name if reconstructor in self.looks else reconstructor
        return name if mitigation == "none" else f"{name} + {style.mitigation_name(mitigation)}"

    def method_phrase(self, reconstructor: str, mitigation: str) -> str:
        """A method as it ends a sentence: "with U-Net", "on the degraded image"."""
        name = self.method_name(reconstructor, mitigation)
        return f"on the {name}" if reconstructor in self.degraded else f"with {name}"

    @functools.cached_property
    def _shown(self) -> dict[str, pd.DataFrame]:
        """Both tables as `pick` selects from them."""
        return {"performance": self._show(self.performance), "fairness": self._show(self.fairness)}

    def _show(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of the shown convention, of one threshold rule and of the unit that the task is
        judged by, seeds merged.
        """
        # the worst group is one of those that can be judged, under any convention
        shown = frame["convention"].isin([self.convention, ""])
        rows = frame[shown | frame["metric"].str.startswith(WORST)]
        rules = rows.loc[rows["threshold_rule"] != "", "threshold_rule"]
        # one rule: rates under two thresholds do not belong into one figure
        if rules.nunique() > 1:
            rows = rows[rows["threshold_rule"].isin(["", rules.iloc[0]])]
        unit = {t.name: "image" if t.aggregation == "none" else "patient" for t in self.spec.tasks}
        matches = rows["unit"] == rows["task"].map(unit | {"": "image"}).fillna("image")
        # a metric that is there in another unit only is shown in that one
        any_match = matches.groupby([rows["task"], rows["metric"]]).transform("any")
        rows = merge_seeds(rows[matches | ~any_match])
        # what is left twice differs in nothing that the report distinguishes
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
            # isin finds NaN too, which == does not: originals are picked by level NaN
            keep &= frame[column].isin(values).to_numpy()
        return frame[keep]

    def change_rows(self, which: str, **wanted: object) -> pd.DataFrame:
        """The change rows among `pick`."""
        return self.pick(which, version="change", **wanted)

    def gap_changes(self, **wanted: object) -> pd.DataFrame:
        """Change rows of each task's own headline gap (EODD or SER) by the attributes of the
        specification, at the headline level.
        """
        selection = {
            "metric": sorted(set(self.gap_metrics.values())),
            "attribute": self.attributes,
            "level": self.headline_level,
        }
        rows = self.change_rows("fairness", **{**selection, **wanted})
        return rows[rows["metric"] == rows["task"].map(self.gap_metrics)]

    def plain(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows without mitigation, or all of them where every row is mitigated."""
        none = rows["mitigation"] == "none"
        return rows[none] if none.any() else rows

    def restored(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of reconstructions; those of the degraded image where a study has nothing else.

        The degraded image is what a reconstruction is compared with, not a result about one.
        """
        if set(self.reconstructors) <= set(self.degraded):
            return rows
        return rows[~rows["reconstructor"].isin(self.degraded)]

    @functools.cached_property
    def at_chance(self) -> list[str]:
        """Tasks whose diagnosis on original images is not shown to be better than guessing."""
        rows = pd.concat([self.performance, self.fairness])
        weak = set(rows.loc[rows["verdict"] == "at chance", "task"])
        return [t.name for t in self.spec.tasks if t.name in weak]


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


def of_method(rows: pd.DataFrame, reconstructor: str, mitigation: str) -> pd.DataFrame:
    """The rows of one method."""
    return rows[(rows["reconstructor"] == reconstructor) & (rows["mitigation"] == mitigation)]


def changed(verdict: str) -> bool:
    """Whether a verdict says that something changed by more than chance."""
    return verdict not in UNCHANGED and verdict != DISAGREE


def changed_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose verdict says that something changed by more than chance."""
    # as an array: an empty list would pick columns, and none
    return rows[np.array([changed(v) for v in rows["verdict"]], bool)]


def known(*values: float) -> bool:
    """Whether all values are finite numbers."""
    return all(math.isfinite(v) for v in values)


def each(rows: pd.DataFrame) -> Iterator[Any]:
    """The rows one by one, columns as attributes."""
    # many times faster than iterrows, which also makes one type of a row's text and numbers
    yield from rows.itertuples(index=False)
