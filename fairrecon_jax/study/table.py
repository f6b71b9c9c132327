"""Assessing a foreign table from file to report."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairrecon_jax.assessment import (
    AssessOptions,
    assess,
    dose_responses,
    score_curves,
    trends,
    write_predictions,
    write_results,
)
from fairrecon_jax.external.draft import draft
from fairrecon_jax.external.mapping import SCHEMA, load, options_of
from fairrecon_jax.external.read import read_table
from fairrecon_jax.report.build import build_report
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.study.provenance import circumstances, versions
from fairrecon_jax.types import InputError

__all__ = ["SCHEMA", "assess_table", "options_of", "read_table", "write_mapping"]


def write_mapping(
    path: str | os.PathLike[str], mapping: str | os.PathLike[str], sheet: str = ""
) -> str:
    """Drafts the mapping of a foreign table from its columns.

    Args:
      path: the table, see `read_table`.
      mapping: the YAML file to write; must not exist.
      sheet: of an Excel file with several.

    Returns:
      "", or why the table cannot be read with it before somebody corrects it.

    Raises:
      InputError: the file exists, or the table cannot be read.
    """
    place = Path(mapping)
    if place.exists():
        raise InputError(f"{place} exists: remove it, or name another with --mapping")
    text, wrong = draft(path, sheet)
    write_atomic(place, text)
    return wrong


def assess_table(
    path: str | os.PathLike[str],
    mapping: Mapping[str, Any] | str | os.PathLike[str] | None,
    workdir: str | os.PathLike[str],
    options: AssessOptions | None = None,
    **report: Any,
) -> Path:
    """Assesses a foreign table and writes predictions, results and report.

    Args:
      path: see `read_table`.
      mapping: see `read_table`; its `options` become `AssessOptions`.
      workdir: takes `predictions.parquet`, `results/performance.csv`, `results/fairness.csv`,
        with continuous attributes `results/trends.csv`, with several levels `results/doses.csv`,
        and `report/`.
      options: used instead of the mapping's.
      **report: fields of `ReportOptions`.

    Returns:
      The report's page.

    Raises:
      ValueError: as `read_table` and `assess`, or an unknown option.
    """
    if options is not None and mapping is not None:
        # the columns that the options name have to be read along with the table
        named = {"strata": options.strata, "continuous": options.continuous}
        mapping = {**load(mapping), "options": named}
    table, spec = read_table(path, mapping)
    # attrs would go into the metadata of the parquet file
    told, exclusions, notes = (table.attrs.pop(k, []) for k in ("options", "exclusions", "notes"))
    # those of the mapping, which of the published code's CSV nobody has to write
    options = options or options_of({"options": told})
    performance, fairness = assess(table, spec, options, shown=True)
    folder = Path(workdir)
    write_predictions(folder / "predictions.parquet", table, spec)
    tables = {"performance": performance, "fairness": fairness}
    tables["curves"] = score_curves(table, spec, options)
    along = trends(table, spec, options) if options.continuous else None
    doses = dose_responses(table, spec, options)
    more = {"trends": along, "doses": None if doses.empty else doses}
    write_results(folder, **tables, **{n: rows for n, rows in more.items() if rows is not None})
    columns = ["example_id", "patient_id", "split", *(a.name for a in spec.attributes)]
    # the table has one row per image and reconstruction, the report counts images
    people = table[columns].drop_duplicates("example_id").reset_index(drop=True)
    labels = table.drop_duplicates("example_id").reset_index(drop=True)
    people = people.assign(**{t.name: labels[f"{t.name}__label"] for t in spec.tasks})
    provenance = {
        "config": {"predictions": str(path), "options": str(options)},
        "exclusions": {e["reason"]: e["count"] for e in exclusions},
        "seeds": {"assessment": options.seed},
        "warnings": notes,
        "versions": versions(),
        **circumstances(time.time()),
    }
    return build_report(
        folder,
        spec,
        performance,
        fairness,
        people,
        (),
        provenance,
        ReportOptions(**report),
        trends=along,
        curves=tables["curves"],
        doses=more["doses"],
        shown=True,
    )
