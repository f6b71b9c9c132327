"""Builds the report folder: figures, tables and one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from fairrecon_jax.report import files, overview, summary, tables
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings
from fairrecon_jax.types import CohortSpec


def build_report(
    workdir: str | Path,
    spec: CohortSpec,
    performance: pd.DataFrame,
    fairness: pd.DataFrame,
    cohort_table: pd.DataFrame,
    examples: Sequence[ExamplePanel] = (),
    provenance: Mapping[str, Any] | None = None,
    options: ReportOptions | None = None,
) -> Path:
    """Writes `<workdir>/report/index.html` with `figures/` and `tables/` beside it.

    Args:
      workdir: the study's folder.
      spec: what the cohort holds.
      performance: the long table results/performance.csv.
      fairness: the long table results/fairness.csv; may be empty.
      cohort_table: one row per example: patient_id, split, attributes and tasks by name.
      examples: panels to draw.
      provenance: config, seeds, versions, split_hash, run_times, exclusions, conventions, warnings; all optional.
      options: choices of the report.

    Returns:
      The path of the page.

    Raises:
      ValueError: a table lacks columns.
    """
    options = options or ReportOptions()
    findings = Findings.of(spec, performance, fairness, options.convention)
    folder = Path(workdir) / "report"
    figures = []
    for drawing in overview.first_figures(findings):
        png = files.figure_bytes(drawing.figure, "png", options.dpi)
        files.write_atomic(folder / "figures" / f"{drawing.key}.png", png)
        files.write_atomic(folder / "figures" / f"{drawing.key}.pdf", files.figure_bytes(drawing.figure, "pdf", options.dpi))
        files.write_atomic(folder / "tables" / f"{drawing.key}.csv", drawing.table.to_csv(index=False))
        figures.append({"drawing": drawing, "uri": files.data_uri(png)})
    sheets = [
        tables.Sheet("performance", "All performance values", "One value a row.", findings.performance, True),
        tables.Sheet("fairness", "All fairness values", "One value a row.", findings.fairness, True),
    ]
    for sheet in sheets:
        files.write_atomic(folder / "tables" / f"{sheet.key}.csv", sheet.frame.to_csv(index=False))
        files.write_atomic(folder / "tables" / f"{sheet.key}.tex", tables.latex(sheet))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fairrecon_jax.report", "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("index.html").render(
        title=options.title or f"{spec.title}: does reconstruction change the diagnosis, and for whom?",
        sentences=summary.sentences(findings),
        figures=figures,
        sheets=sheets,
        number=tables.number,
        provenance=dict(provenance or {}),
    )
    return files.write_atomic(folder / "index.html", page)
