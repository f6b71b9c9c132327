"""The report of a study: its tables and examples, and the record of how the study was made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fairrecon_jax.data.api import EXCLUSIONS, folder_of
from fairrecon_jax.data.notes import KINDS
from fairrecon_jax.keys import digest, identity
from fairrecon_jax.report import build_report
from fairrecon_jax.runtime.csv_text import read_csv
from fairrecon_jax.study.assess import (
    read_comparisons,
    read_curves,
    read_doses,
    read_tables,
    read_trends,
)
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.examples import example_panels
from fairrecon_jax.study.provenance import circumstances, versions
from fairrecon_jax.study.stages import digest_of, read_record


def write_report(context: Context) -> Path:
    """Writes the report of a study whose results are there.

    Returns:
      The path of the page.

    Raises:
      FileNotFoundError: the study has no results yet.
    """
    performance, fairness = read_tables(context)
    table = context.cohort.table
    table = table.assign(split=table["patient_id"].map(context.splits.patients))
    panels = example_panels(context, context.study.report.examples, performance)
    return build_report(
        context.workdir.root,
        context.spec,
        performance,
        fairness,
        table,
        panels,
        provenance(context),
        context.study.report.options,
        *read_comparisons(context),
        {name: one.model.method for name, one in context.study.reconstructors.items()},
        read_trends(context),
        read_curves(context),
        read_doses(context),
        shown=True,
    )


def page_output(context: Context, files: Callable[[], Iterable[Path]]) -> str:
    """The digest of the page, and of the figures and tables that are shared with it."""
    digest_of(context.workdir.page)  # without it there is no report
    return digest([(path.name, digest_of(path)) for path in sorted(files())])


def provenance(context: Context) -> dict[str, Any]:
    """How the study was made: configuration, seeds, versions, split hash, run times, exclusions."""
    study = context.study
    prepared = folder_of(study.cohort, context.workdir.cohort)
    # all text: a file may be called "NA"
    exclusions = read_csv(prepared / EXCLUSIONS, keep_default_na=False)
    meanings = [KINDS.get(kind, kind) for kind in exclusions["kind"]]
    # in the order in which they were made
    paths = sorted(context.workdir.stages.glob("*.json"), key=lambda path: path.stat().st_mtime)
    # a record that was spoilt reads as {}
    records = [record for record in map(read_record, paths) if "title" in record]
    return {
        "config": identity(study),
        "seeds": {
            "study": study.seed,
            "splits": study.splits.seed,
            "assessment": study.assess.seed,
        },
        "versions": versions(),
        "split_hash": context.splits.digest,
        "exclusions": exclusions.assign(meaning=meanings).to_dict("records"),
        "run_times": {record["title"]: record["seconds"] for record in records},
        **circumstances(max(path.stat().st_mtime for path in paths) if paths else time.time()),
    }
