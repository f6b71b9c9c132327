"""The order of the report: sections with their figures and tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pandas as pd

from fairrecon_jax.report import cohort
from fairrecon_jax.report.figures import (
    comparison,
    forest,
    gaps,
    groups,
    mitigations,
    panels,
    quality,
)
from fairrecon_jax.report.figures.drawing import Drawing
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import sheets
from fairrecon_jax.report.tables.table import Table

Block = Drawing | Table


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
      key: anchor.
      title: heading.
      intro: what the part answers.
      blocks: figures and tables in order.
      empty: what to say where there are none.
    """

    key: str
    title: str
    intro: str
    blocks: tuple[Block, ...]
    empty: str = ""


Part = Callable[[Findings], Drawing | Table | Sequence[Drawing] | None]

PARTS: tuple[tuple[str, str, str, str, tuple[Part, ...]], ...] = (
    (
        "images",
        "Image quality",
        "How close the reconstructions come to the original images. A close image can "
        "still lose what a "
        "diagnosis needs, and the other way round.",
        "The tables hold no image metric.",
        (quality.image_quality, sheets.image_gaps),
    ),
    (
        "diagnosis",
        "Diagnosis in all patients together",
        "Whether the diagnosis made from reconstructions is as good as the same "
        "diagnosis made from the "
        "originals, before groups are told apart.",
        "No diagnosis has a score.",
        (quality.task_performance, quality.task_change, sheets.performance),
    ),
    (
        "before",
        "Gaps before reconstruction",
        "Diagnosis may serve groups unequally already on original images. These gaps are not the "
        "reconstruction's doing, but it can add to them.",
        "No gap on original images could be computed.",
        (gaps.baseline, sheets.baseline),
    ),
    (
        "gaps",
        "Change of the gaps",
        "Whether reconstruction widened or narrowed the gaps between patient groups, for "
        "which diagnosis, by "
        "which attribute, and how sure that is.",
        "The tables hold no change of a gap between groups.",
        (
            gaps.verdict_maps,
            forest.gap_forests,
            gaps.bias_changes,
            gaps.histogram,
            gaps.volcano,
            sheets.median_changes,
            sheets.mitigated_changes,
            sheets.verdicts,
        ),
    ),
    (
        "groups",
        "Group by group",
        "A gap is a difference of two groups. Here is each group by itself, with the "
        "number of people behind it.",
        "No result was computed for single groups.",
        (groups.group_performances, groups.group_changes, groups.intersections),
    ),
)
MITIGATION = (
    "mitigation",
    "Mitigation",
    "What changed when the reconstruction was trained to treat groups alike, and what that cost.",
    "",
    (
        comparison.verdicts,
        comparison.pareto,
        mitigations.tradeoff,
        comparison.bars,
        comparison.sweep,
        comparison.price,
        sheets.mitigation_cost,
    ),
)


def first_figures(findings: Findings) -> list[Drawing]:
    """The two figures that carry the first screen; fewer where the tables hold nothing to draw."""
    return [d for d in (quality.overview(findings), forest.overview(findings)) if d is not None]


def sections(
    findings: Findings,
    table: pd.DataFrame,
    examples: Sequence[ExamplePanel],
    options: ReportOptions,
) -> list[Section]:
    """All sections with figures or tables, in the order of the page."""
    parts = [*PARTS, MITIGATION] if findings.mitigations != ["none"] else PARTS
    found = [
        Section(key, title, intro, gather(findings, made), empty)
        for key, title, intro, empty, made in parts
    ]
    shown = tuple(panels.drawings(findings, examples, options))
    found.append(
        Section(
            "examples", "Examples", EXAMPLES, shown, "No example images were handed to this report."
        )
    )
    people = tuple(cohort.sheets(findings.spec, table))
    found.append(
        Section(
            "cohort",
            "The patients",
            PATIENTS,
            people,
            "No table of the cohort was handed to this report.",
        )
    )
    return found


EXAMPLES = (
    "Single images, chosen to show what the methods do. They illustrate; the evidence is in "
    "the tables."
)
PATIENTS = "Who was studied: a result holds for patients like these."


def gather(findings: Findings, parts: Sequence[Part]) -> tuple[Block, ...]:
    """Runs the makers of one section and keeps what they made."""
    blocks: list[Block] = []
    for part in parts:
        made = part(findings)
        if isinstance(made, Drawing | Table):
            blocks.append(made)
        elif made is not None:
            blocks.extend(made)
    return tuple(blocks)
