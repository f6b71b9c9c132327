"""The order of the report: sections with their figures and tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from fairrecon_jax.report import cohort
from fairrecon_jax.report.figures import (
    before_after,
    changes,
    comparison,
    doses,
    forest,
    gaps,
    groups,
    intersections,
    mitigations,
    panels,
    quality,
    trends,
    verdicts,
)
from fairrecon_jax.report.figures.drawing import Drawing
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import doses as dose_tables
from fairrecon_jax.report.tables import gaps as gap_tables
from fairrecon_jax.report.tables import mitigation as mitigation_tables
from fairrecon_jax.report.tables import performance as performance_tables
from fairrecon_jax.report.tables import record
from fairrecon_jax.report.tables.table import Table
from fairrecon_jax.report.writer import Block

Maker = Callable[[Findings], Drawing | Table | Sequence[Drawing] | None]
"""Makes a figure, several, or a table from the findings; None where there is nothing to show."""


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
      key: anchor.
      title: heading.
      intro: the question that the part answers.
      blocks: figures and tables in order.
      empty: text in their place where there are none.
    """

    key: str
    title: str
    intro: str
    blocks: tuple[Block, ...]
    empty: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A section before its figures and tables are made; fields as in `Section`."""

    key: str
    title: str
    intro: str
    empty: str
    makers: tuple[Maker, ...]

    def section(self, findings: Findings) -> Section:
        """Makes the section's figures and tables."""
        blocks: list[Block] = []
        for make in self.makers:
            result = make(findings)
            # a maker gives one, several or nothing: the plans above need not say which
            if isinstance(result, Drawing | Table):
                blocks.append(result)
            elif result is not None:
                blocks.extend(result)
        return Section(self.key, self.title, self.intro, tuple(blocks), self.empty)


GAPS = Plan(
    "gaps",
    "Who lost more than the others",
    "Whether reconstruction changed the diagnosis of one group more than that of the others, for "
    "which diagnosis, by which attribute, how sure that is, and what became of the gap.",
    "The tables hold no change of a gap between groups.",
    (forest.overview, gap_tables.primary_verdicts),
)
DIAGNOSIS = Plan(
    "diagnosis",
    "Diagnosis and images in all patients together",
    "Whether the diagnosis made from reconstructions is as good as the same diagnosis made from "
    "the originals, before groups are told apart, and how close the images are. A close image can "
    "still lose what a diagnosis needs, and the other way round.",
    "No diagnosis has a score, and the tables hold no image metric.",
    (quality.overview, performance_tables.by_level),
)
BEFORE = Plan(
    "before",
    "Gaps before reconstruction",
    "Diagnosis may serve groups unequally already on original images. These gaps are not the "
    "reconstruction's doing, but it can add to them.",
    "No gap on original images could be computed.",
    (gap_tables.baseline,),
)
MITIGATION = Plan(
    "mitigation",
    "Mitigation",
    "What changed when the reconstruction was trained to treat groups alike, and what that cost.",
    "",
    (mitigation_tables.short_verdicts, comparison.pareto),
)
DOSES = Plan(
    "doses",
    "Against the level, group by group",
    "Whether the loss that grows with the level grows alike in every group.",
    "No reconstruction was studied at two levels with groups that can be compared.",
    (doses.dose_responses, dose_tables.slopes),
)
TRENDS = Plan(
    "trends",
    "Along age and other numbers",
    "Whether the change of the diagnosis depends on an attribute that is a number, without cutting "
    "it into groups.",
    "No curve could be estimated: fewer than 40 patients of a label.",
    (trends.curves,),
)
APPENDIX = (
    Plan(
        "images",
        "Image quality",
        "How close the reconstructions come to the original images.",
        "The tables hold no image metric.",
        (quality.image_quality, performance_tables.image_gaps),
    ),
    Plan(
        "all_diagnoses",
        "Diagnosis in all patients together",
        "Every diagnosis at every level.",
        "No diagnosis has a score.",
        (quality.task_performance, changes.task_change),
    ),
    Plan(
        "all_before",
        "Gaps before reconstruction",
        "The gaps that diagnosis has on original images.",
        "No gap on original images could be computed.",
        (gaps.baseline,),
    ),
    Plan(
        "all_gaps",
        "Changes of the gaps",
        "Every gap before and after, with its test.",
        "The tables hold no change of a gap between groups.",
        (
            verdicts.verdict_maps,
            forest.gap_forests,
            gaps.bias_changes,
            gaps.histogram,
            verdicts.volcano,
            gap_tables.median_changes,
            gap_tables.median_changes_by_attribute,
            gap_tables.verdicts,
        ),
    ),
    Plan(
        "groups",
        "Group by group",
        "Each group by itself and beside the others, with the number of people behind it.",
        "No result was computed for single groups.",
        (groups.group_performances, groups.group_changes, intersections.intersections),
    ),
)
"""Sections of the second page: everything that a paper may want to print."""
MITIGATION_APPENDIX = Plan(
    "all_mitigations",
    "Mitigation",
    "Every mitigation beside its price.",
    "",
    (
        mitigation_tables.verdicts,
        mitigations.tradeoff,
        comparison.bars,
        comparison.sweep,
        mitigation_tables.cost,
        mitigation_tables.mean_cost,
    ),
)


def first_figures(findings: Findings) -> list[Drawing]:
    """The figure of the first screen: every group before and after; none where no group has a
    rate.
    """
    figure = before_after.before_after(findings)
    return [] if figure is None else [figure]


def sections(
    findings: Findings,
    table: pd.DataFrame,
    examples: Sequence[ExamplePanel],
    options: ReportOptions,
) -> list[Section]:
    """All sections with figures or tables, in the order of the page."""
    # a study without mitigations gets no section about them
    plans = [GAPS, DIAGNOSIS, BEFORE, *([MITIGATION] if mitigated(findings) else [])]
    # nor one about continuous attributes where none was looked at
    plans = [*plans, TRENDS] if findings.trends is not None else plans
    shown = Section(
        "examples",
        "Examples",
        "Single images, chosen to show what the methods do. They illustrate; the evidence is "
        "in the tables.",
        tuple(panels.drawings(findings, examples, options)),
    )
    people = Section(
        "cohort",
        "The patients",
        "Who was studied: a result holds for patients like these.",
        tuple(cohort.tables(findings.spec, table, options.min_cell)),
        "No table of the cohort was handed to this report.",
    )
    return [
        *(plan.section(findings) for plan in plans),
        *([shown] if shown.blocks else []),
        people,
    ]


def mitigated(findings: Findings) -> bool:
    """Whether any reconstruction was trained with a mitigation."""
    return findings.mitigations != ["none"]


def appendix_sections(findings: Findings) -> list[Section]:
    """The sections of the second page."""
    plans = [*APPENDIX, *([MITIGATION_APPENDIX] if mitigated(findings) else [])]
    plans = [*plans, DOSES] if findings.doses is not None else plans
    return [plan.section(findings) for plan in plans]


def method_tables(findings: Findings) -> list[Table]:
    """Tables of how the numbers were computed."""
    makers = (record.thresholds, record.conventions, record.unjudged)
    return [table for make in makers if (table := make(findings)) is not None]


def record_tables(
    recorded: Mapping[str, Any], options: ReportOptions, hide: Callable[[str], str]
) -> list[Table]:
    """Tables of what happened before the assessment: exclusions and run times."""
    tables = (
        record.exclusions(recorded, options.identifiers, hide),
        record.run_times(recorded),
    )
    return [table for table in tables if table is not None]
