"""An assessment in a notebook: tables, verdicts and figures of predictions in memory."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import AssessOptions, compare, dose_responses, score_curves, trends
from fairrecon_jax.assessment import assess as assess_table
from fairrecon_jax.assessment.on_arrays import predictions
from fairrecon_jax.report import summary
from fairrecon_jax.report.build import build_report
from fairrecon_jax.report.claims import primary
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.plots import Plots
from fairrecon_jax.report.select import UNJUDGED, Findings, changed_rows, each, known
from fairrecon_jax.types import NO_MITIGATION, CohortSpec, InputError, meant, plural

SHOWN = ("task", "attribute", "metric", "original", "reconstructed", "verdict", "group", "gap")
"""Columns of the verdicts as a notebook shows them."""


def assess(
    table: pd.DataFrame | None = None,
    *,
    threshold: float | Mapping[str, float] | None = None,
    options: AssessOptions | None = None,
    label: Any = None,
    original: Any = None,
    reconstructed: Any = None,
    groups: Any = None,
    **more: Any,
) -> Audit:
    """Assesses predictions in memory: who lost more than others, and how sure that is.

    Decisions are score >= threshold, the same for originals and reconstructions. Without
    `threshold`, it is fitted on the originals of the rows whose `split` is "val" (sensitivity ~
    specificity), or is 0.5 where there are none.

    Args:
      table: columns to choose from by name, or the rows of `fr.tandem`; None for arrays.
      threshold: of all findings, or by finding.
      options: see `AssessOptions`.
      label: [N] truth in {0, 1}, NaN = unknown; by finding where there are several.
      original: [N] scores in [0, 1] of the original images; likewise.
      reconstructed: [N] scores in [0, 1] of the reconstructions; likewise.
      groups: by attribute, [N] names of groups; or a list of columns of the table.
      **more: patient, split, example, level, reconstructor, mitigation, seed, kind ("segmentation"
        for Dice), name, title, degradation; see `assessment.on_arrays.predictions`.

    Returns:
      The audit.

    Raises:
      InputError: a column cannot be used; the message names it and says what to do.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> y, sex = rng.integers(0, 2, 400), rng.choice(["f", "m"], 400)
      >>> s0 = np.clip(0.3 + 0.4 * y + 0.1 * rng.normal(size=400), 0, 1)
      >>> s1 = np.where((sex == "f") & (y == 1), s0 - 0.25, s0)
      >>> audit = assess(label=y, original=s0, reconstructed=s1, groups={"sex": sex})
      >>> audit["finding", "sex", "eodd"].verdict, audit["finding", "sex", "eodd"].group
      ('harmed', 'f')
    """
    named = options if isinstance(options, AssessOptions) else AssessOptions()
    if isinstance(named.continuous, str):
        raise InputError(f"continuous is a tuple of columns, e.g. ({named.continuous!r},)")
    carry = [*named.continuous, *([named.strata] if named.strata else [])]
    if carry and table is None:
        raise InputError(
            f"options name {', '.join(carry)}, which are columns of a table: give a DataFrame"
        )
    try:
        found, spec = predictions(
            table,
            label=label,
            original=original,
            reconstructed=reconstructed,
            groups=groups,
            carry=carry,
            **more,
        )
    except TypeError as error:
        # others are faults of the program and keep their traceback
        if "unexpected keyword" not in str(error):
            raise
        # Python's own words name an inner function
        name = str(error).rpartition("argument ")[2]
        raise InputError(
            f"assess has no such argument: {name}; choices such as alpha are fields of "
            "options=fr.AssessOptions(...)"
        ) from error
    options = _with_threshold(options, threshold, found)
    performance, fairness = assess_table(found, spec, options)
    mitigated = bool((found["mitigation"] != NO_MITIGATION).any())
    comparison = compare(found, spec, options) if mitigated else None
    along = trends(found, spec, options) if options.continuous else None
    return Audit(found, spec, performance, fairness, options, comparison, along)


def _with_threshold(
    options: AssessOptions | None, threshold: Any, table: pd.DataFrame
) -> AssessOptions:
    """The options with the rule that the arguments mean."""
    if options is not None and not isinstance(options, AssessOptions):
        raise InputError(f"options takes fr.AssessOptions(...), got {options!r}")
    options = options or AssessOptions()
    # without validation rows nothing may be fitted: 0.5, and never the test rows
    unfitted = options.threshold_rule == "balanced" and not (table["split"] == "val").any()
    if threshold is None and not unfitted:
        return options
    value = 0.5 if threshold is None else threshold
    try:
        return dataclasses.replace(options, threshold_rule="fixed", threshold_value=value)
    except ValueError as error:
        raise InputError(f"threshold: {error}") from error


class Audit:
    """An assessment: its tables, its verdicts, its figures.

    Attributes:
      table: the predictions, one row per image and method.
      spec: names the findings, the attributes and the levels.
      performance: the long table of performance, as results/performance.csv.
      fairness: the long table of gaps and verdicts, as results/fairness.csv.
      options: the choices of the assessment.
      mitigation: mitigated against unmitigated, as results/mitigation.csv; None where nothing is.
      trends: curves along `options.continuous`, as results/trends.csv; None without any.

    Example:
      >>> y, sex = np.arange(80) % 2, np.repeat(["f", "m"], 40)
      >>> after = np.where(sex == "f", 0.4 * y, 0.9 * y)  # no woman is found any more
      >>> fr.assess(label=y, original=0.9 * y, reconstructed=after, groups={"sex": sex})
      Audit(80 patients; finding; sex; harmed: f (finding, sex))
    """

    def __init__(
        self,
        table: pd.DataFrame,
        spec: CohortSpec,
        performance: pd.DataFrame,
        fairness: pd.DataFrame,
        options: AssessOptions,
        mitigation: pd.DataFrame | None = None,
        trends: pd.DataFrame | None = None,
    ) -> None:
        self.trends = trends
        self.table, self.spec, self.options = table, spec, options
        self.performance, self.fairness, self.mitigation = performance, fairness, mitigation

    @functools.cached_property
    def findings(self) -> Findings:
        """The tables in the order in which they are shown."""
        return Findings.of(self.spec, self.performance, self.fairness, comparison=self.mitigation)

    @functools.cached_property
    def doses(self) -> pd.DataFrame:
        """Slopes along the level per group, as results/doses.csv; empty with a single level."""
        return dose_responses(self.table, self.spec, self.options)

    @property
    def frame(self) -> pd.DataFrame:
        """The comparisons of groups, one row each: values before and after, the group that stands
        out, verdict, interval, p-values."""
        return self.findings.change_rows(
            "fairness", attribute=[*self.findings.attributes, *self.findings.intersections]
        ).reset_index(drop=True)

    def __getitem__(self, key: tuple[Any, ...]) -> pd.Series:
        """One comparison.

        Args:
          key: (finding, attribute, metric), with (..., reconstructor, level) behind it where there
            are several; e.g. audit["finding", "sex", "eodd"].

        Returns:
          The row: `.verdict`, `.group`, `.p_adjusted`, `.reason`, ...

        Raises:
          KeyError: there is no such comparison, or several; the message lists what there is.
        """
        names = ("task", "attribute", "metric", "reconstructor", "level")
        if not isinstance(key, tuple) or not 3 <= len(key) <= len(names):
            raise KeyError(f"{key!r}: use audit[finding, attribute, metric(, method, level)]")
        rows = self.frame
        for name, wanted in zip(names, key, strict=False):
            left = rows[rows[name] == wanted]
            if left.empty:
                there = ", ".join(map(repr, dict.fromkeys(rows[name])))
                hint = meant(wanted, dict.fromkeys(rows[name]))
                raise KeyError(f"no {name} {wanted!r}; there are {there}{hint}")
            rows = left
        # rows of single groups and labels stand beside the comparison as a whole
        whole = rows[rows["reference_group"] == ""]
        rows = whole if len(whole) else rows
        if len(rows) > 1:
            several = [name for name in names[len(key) :] if rows[name].nunique() > 1]
            raise KeyError(f"{key!r} is not one comparison: give {' and '.join(several)} too")
        return rows.iloc[0]

    @property
    def plot(self) -> Plots:
        """The figures."""
        return Plots(self.findings)

    def report(self, folder: str | Path, title: str = "", **options: Any) -> Path:
        """Writes the whole report.

        Args:
          folder: takes `report/index.html` with figures and tables.
          title: heading of the page.
          **options: further fields of `ReportOptions`.

        Returns:
          The path of the page.

        Raises:
          InputError: the folder is a file.
        """
        if Path(folder).exists() and not Path(folder).is_dir():
            raise InputError(f"folder {str(folder)!r} is a file: name a folder")
        columns = ["example_id", "patient_id", "split", *(a.name for a in self.spec.attributes)]
        # the table has a row per image and method, the report counts images
        images = self.table.drop_duplicates("example_id")
        labels = {t.name: images[f"{t.name}__label"] for t in self.spec.tasks}
        cohort = images[columns].assign(**labels)
        return build_report(
            folder,
            self.spec,
            self.performance,
            self.fairness,
            cohort,
            provenance={
                "seeds": {"assessment": self.options.seed},
                "versions": {"fairrecon_jax": version("fairrecon_jax"), "jax": version("jax")},
            },
            options=ReportOptions(title=title, **options),
            trends=self.trends,
            comparison=self.mitigation,
            curves=score_curves(self.table, self.spec, self.options),
            doses=None if self.doses.empty else self.doses,
        )

    @property
    def sentences(self) -> list[tuple[str, str]]:
        """What is to be said first: (heading, text)."""
        return summary.sentences(self.findings)

    @functools.cached_property
    def verdicts(self) -> pd.DataFrame:
        """The primary comparisons at the headline level, one row each."""
        return primary(self.findings.plain(self.findings.gap_changes()))

    def __repr__(self) -> str:
        patients = self.table["patient_id"].nunique()
        attributes = ", ".join(self.findings.attributes) or "no attribute"
        tasks = ", ".join(task.name for task in self.spec.tasks)
        found = [
            f"{r.verdict}: {r.group} ({r.task}, {r.attribute})"
            for r in each(changed_rows(self.verdicts))
        ]
        judged = ~self.verdicts["verdict"].isin(["", *UNJUDGED])
        nothing = "no difference between groups shown" if judged.any() else "none could be judged"
        if not self.findings.attributes:
            nothing = "no groups compared"
        what = "; ".join(found) or nothing
        return f"Audit({plural(patients, 'patient')}; {tasks}; {attributes}; {what})"

    def _repr_html_(self) -> str:
        """The sentences, the groups and the verdicts, as a notebook shows them."""
        text = "".join(
            f"<p><b>{html.escape(heading)}.</b> {html.escape(words)}</p>"
            for heading, words in self.sentences
        )
        shown = self.verdicts[[c for c in SHOWN if c in self.verdicts]]
        tables = _html(self.groups) + _html(shown) + _html(self.mitigations)
        more = ".plot.panel(), .plot.forest(), .plot.groups(), .frame, .report(folder)"
        return f"<div>{text}{tables}<p>{more}</p></div>"

    @functools.cached_property
    def mitigations(self) -> pd.DataFrame:
        """What each mitigation did to the gaps at the headline level and at what price; empty
        without one.
        """
        if self.mitigation is None:
            return pd.DataFrame()
        rows = self.mitigation[self.mitigation["level"] == self.findings.headline_level]
        metrics = [*set(self.findings.gap_metrics.values()), "psnr", "auroc", "dice"]
        rows = rows[(rows["version"] == "change") & rows["metric"].isin(metrics)]
        whole = rows[
            (rows["group"] == "") | rows["metric"].isin(self.findings.gap_metrics.values())
        ]
        keys = ["task", "attribute", "reconstructor", "mitigation", "metric"]
        shown = whole[[*keys, "original", "reconstructed", "verdict"]]
        return shown.rename(columns={"original": "unmitigated", "reconstructed": "mitigated"})

    @functools.cached_property
    def groups(self) -> pd.DataFrame:
        """Per finding and group at the headline level: patients, and the rates before and after."""
        names = ["sensitivity", "specificity", "dice"]
        rows = self.findings.plain(
            self.findings.change_rows(
                "performance",
                metric=names,
                attribute=self.findings.attributes,
                level=self.findings.headline_level,
            )
        )
        keys = ["task", "attribute", "group", "reconstructor", "metric"]
        return rows[[*keys, "n_patients", "original", "reconstructed"]].reset_index(drop=True)


def _html(table: pd.DataFrame) -> str:
    """A table as HTML, its text escaped, numbers with three digits."""

    def cell(value: Any) -> str:
        if isinstance(value, float | np.floating):
            # counts are floats in the long tables
            return f"{value:.3f}".removesuffix(".000") if known(float(value)) else ""
        return str(value)

    return table.map(cell).to_html(index=False, escape=True, border=0) if len(table) else ""
