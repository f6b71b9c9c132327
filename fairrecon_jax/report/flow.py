"""The way of the patients through the study: read, left out and why, parts, evaluated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from fairrecon_jax.report.cohort import SPLITS, splits_of
from fairrecon_jax.report.select import Findings, each, known
from fairrecon_jax.report.small_cells import shown
from fairrecon_jax.report.tables.record import exclusions
from fairrecon_jax.types import plural

MOST_REASONS = 6


@dataclasses.dataclass(frozen=True)
class Flow:
    """Boxes of the diagram, as text.

    Attributes:
      used: who is in the study.
      left_out: (reason, how many), the commonest first.
      parts: (name, who) of each part of the data.
      evaluated: (diagnosis, how many test patients or images were judged, how many have it).
    """

    used: str
    left_out: tuple[tuple[str, str], ...]
    parts: tuple[tuple[str, str], ...]
    evaluated: tuple[tuple[str, str, str], ...]


def flow(
    findings: Findings,
    table: pd.DataFrame,
    recorded: Mapping[str, Any],
    least: int,
    hide: Callable[[str], str],
) -> Flow | None:
    """The diagram of a study; None where no table of the cohort is there.

    Args:
      findings: the tables.
      table: one row per example: patient_id, split.
      recorded: the provenance, with "exclusions".
      least: smaller counts read "< 10".
      hide: takes identifiers out of reasons.
    """
    if table.empty or not {"patient_id", "split"} <= set(table.columns):
        return None
    images = "slice" if findings.spec.modality == "mri" else "image"
    parts = []
    for split in splits_of(table):
        rows = table[table["split"] == split]
        parts.append((SPLITS.get(split, split), who(rows, images, least)))
    return Flow(
        who(table, images, least),
        tuple(reasons(recorded, least, hide)),
        tuple(parts),
        tuple(evaluated(findings, least)),
    )


def who(rows: pd.DataFrame, images: str, least: int) -> str:
    """ "1,200 patients, 3,400 images"."""
    patients = int(rows["patient_id"].nunique())
    if 0 < patients < least:
        return f"{shown(patients, least)} patients"
    return f"{plural(patients, 'patient')}, {plural(len(rows), images)}"


def reasons(
    recorded: Mapping[str, Any], least: int, hide: Callable[[str], str]
) -> list[tuple[str, str]]:
    """What was left out, by reason; the rarer reasons together."""
    counted = exclusions(recorded, False, hide)
    if counted is None:
        return []
    rows = [(str(reason), int(n)) for reason, n in counted.frame.itertuples(index=False)]
    rows.sort(key=lambda row: -row[1])
    rest = sum(n for _, n in rows[MOST_REASONS:])
    more = [(f"{len(rows) - MOST_REASONS} other reasons", rest)] if rest else []
    return [(reason, str(shown(n, least))) for reason, n in [*rows[:MOST_REASONS], *more]]


def evaluated(findings: Findings, least: int) -> list[tuple[str, str, str]]:
    """How many were judged per diagnosis, at the headline level."""
    rows = findings.change_rows(
        "performance",
        attribute="",
        metric=["auroc", "sensitivity", "dice"],
        level=findings.headline_level,
    ).drop_duplicates("task")
    found = []
    for row in each(rows):
        if row.task and known(row.n):
            have = f"{row.n_pos:,.0f} have it" if known(row.n_pos) and row.n_pos >= least else ""
            found.append((findings.task_title(row.task), f"{row.n:,.0f} {row.unit}s", have))
    order = {findings.task_title(t.name): i for i, t in enumerate(findings.spec.tasks)}
    return sorted(found, key=lambda row: order.get(row[0], 0))
