"""Builds the report folder: figures, tables and one self-contained page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from fairrecon_jax.report import files, pages, privacy, summary
from fairrecon_jax.report.figures import comparison as against
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import Drawing
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import record
from fairrecon_jax.report.tables import table as tables
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.types import CohortSpec

KINDS = ("figures/*.png", "figures/*.pdf", "tables/*.csv", "tables/*.tex")
"""Files of a report beside its page."""
CSS_PIXELS = 96
GLYPHS = {"full": "●", "none": "○", "left": "◐", "bottom": "◒", "right": "◑", "top": "◓"}
SHAPES = {
    "o": "●",
    "s": "■",
    "D": "◆",
    "^": "▲",
    "v": "▼",
    "P": "✚",
    "X": "✖",
    "<": "◀",
    ">": "▶",
    "p": "⬟",
    "h": "⬢",
}


@dataclasses.dataclass(frozen=True)
class Placed:
    """A figure or table as it stands on the page.

    Attributes:
      kind: "figure" or "table".
      number: counted separately for figures and tables.
      block: the figure or table.
      uri: the picture as a data URI; empty for tables.
      width: of the picture in pixels of the page.
      height: of the picture in pixels of the page.
    """

    kind: str
    number: int
    block: Drawing | tables.Table
    uri: str = ""
    width: int = 0
    height: int = 0


def build_report(
    workdir: str | Path,
    spec: CohortSpec,
    performance: pd.DataFrame,
    fairness: pd.DataFrame,
    cohort_table: pd.DataFrame,
    examples: Sequence[ExamplePanel] = (),
    provenance: Mapping[str, Any] | None = None,
    options: ReportOptions | None = None,
    comparison: pd.DataFrame | None = None,
    sweep: pd.DataFrame | None = None,
) -> Path:
    """Writes `<workdir>/report/index.html` with `figures/` (png, pdf) and `tables/` (csv, tex)
    beside it, without those of an older report.

    Args:
      workdir: the study's folder.
      spec: what the cohort holds.
      performance: the long table results/performance.csv.
      fairness: the long table results/fairness.csv; may be empty (columns only).
      cohort_table: one row per example: patient_id, split, attributes and tasks by name; may be an
        empty frame.
      examples: panels to draw.
      provenance: all keys optional: "config" (text or mapping), "seeds", "versions", "split_hash",
        "run_times" (stage -> seconds), "exclusions" (records with `reason` and `file`, or reason ->
        count), "conventions" (name -> words), "warnings" (list of sentences); further keys are
        printed as they are.
      options: choices of the report.
      comparison: the long table results/mitigation.csv, None where nothing was mitigated.
      sweep: the table results/mitigation_sweep.csv, None where no weight was swept.

    Returns:
      The path of the page.

    Raises:
      ValueError: a table lacks columns, or provenance is malformed; the message names what.
    """
    options, recorded = options or ReportOptions(), dict(provenance or {})
    findings = Findings.of(spec, performance, fairness, options.convention, comparison, sweep)
    folder = Path(workdir) / "report"
    hide = redactor(cohort_table, examples, options)
    shown = [dataclasses.replace(panel, caption=hide(panel.caption)) for panel in examples]
    written: set[Path] = set()
    place = block_writer(folder, options, written)
    first = [place(d) for d in pages.first_figures(findings)]
    body = [
        (s, [place(b) for b in s.blocks])
        for s in pages.sections(findings, cohort_table, shown, options)
    ]
    methods = [
        place(s)
        for s in (
            record.thresholds(findings),
            record.conventions(findings),
            record.unjudged(findings),
        )
        if s
    ]
    records = [
        place(s)
        for s in (
            record.exclusions(recorded, options.identifiers, hide),
            record.run_times(recorded),
        )
        if s
    ]
    for name, frame in (
        ("long_performance", findings.performance),
        ("long_fairness", findings.fairness),
    ):
        written.add(write_atomic(folder / "tables" / f"{name}.csv", tables.csv(frame)))
    page = (
        environment()
        .get_template("index.html")
        .render(
            title=options.title
            or f"{spec.title}: does reconstruction change the diagnosis, and for whom?",
            spec=spec,
            sentences=summary.sentences(findings),
            warnings=[hide(str(w)) for w in recorded.get("warnings") or []]
            + notices(findings, options),
            first=first,
            practice=summary.in_practice(findings),
            body=body,
            methods=methods,
            records=records,
            key=legend_key(findings),
            verdicts=[
                (style.verdict_sign(v), v, words) for v, words in style.VERDICT_WORDS.items()
            ],
            making=[
                (k, hide(v))
                for k, v in [
                    *record.making(findings),
                    *record.pairs(recorded.get("conventions"), "convention"),
                ]
            ],
            facts=[
                (title, [(hide(k), hide(v)) for k, v in rows])
                for title, rows in record.facts(recorded)
            ],
            config=hide(record.text_of(recorded.get("config") or "not recorded")),
        )
    )
    made = write_atomic(folder / "index.html", page)
    for path in (p for kind in KINDS for p in folder.glob(kind)):
        if path not in written:
            path.unlink()
    return made


def redactor(
    table: pd.DataFrame, examples: Sequence[ExamplePanel], options: ReportOptions
) -> Callable[[str], str]:
    """The function that takes the cohort's identifiers out of free text."""
    names: list[object] = [panel.identifier for panel in examples]
    for column in ("patient_id", "example_id"):
        if column in table.columns:
            names += list(table[column].dropna().unique())
    return privacy.redactor(names, options.identifiers)


def environment() -> jinja2.Environment:
    """The templates, with escaping on and undefined names refused."""
    loader = jinja2.PackageLoader("fairrecon_jax.report", "templates")
    made = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        number=tables.number,
        is_missing=lambda cell: isinstance(cell, tables.Missing),
        is_number=lambda c: isinstance(c, int | float),
    )
    return made


def block_writer(
    folder: Path, options: ReportOptions, written: set[Path]
) -> Callable[[Drawing | tables.Table], Placed]:
    """The function that writes a block's files and gives it its number.

    Args:
      folder: the report's folder.
      options: resolution of the figures.
      written: takes the paths of all files.

    Returns:
      Block -> where it stands.
    """
    count = {"figure": 0, "table": 0}

    def write(path: Path, content: bytes | str) -> None:
        written.add(write_atomic(path, content))

    def place(block: Drawing | tables.Table) -> Placed:
        if isinstance(block, tables.Table):
            count["table"] += 1
            write(folder / "tables" / f"{block.key}.csv", tables.csv(block.frame, block.spans))
            write(folder / "tables" / f"{block.key}.tex", tables.latex(block))
            return Placed("table", count["table"], block)
        count["figure"] += 1
        png = files.figure_bytes(block.figure, "png", options.dpi)
        write(folder / "figures" / f"{block.key}.png", png)
        write(
            folder / "figures" / f"{block.key}.pdf",
            files.figure_bytes(block.figure, "pdf", options.dpi),
        )
        write(folder / "tables" / f"{block.key}.csv", tables.csv(block.table))
        width, height = (round(CSS_PIXELS * v) for v in block.figure.get_size_inches())
        return Placed("figure", count["figure"], block, files.data_uri(png), width, height)

    return place


def notices(findings: Findings, options: ReportOptions) -> list[str]:
    """Warnings that follow from the tables themselves."""
    found = []
    if findings.convention != options.convention and findings.conventions:
        found.append(
            f"The convention '{options.convention}' is not in the tables; "
            f"'{findings.convention}' is shown instead."
        )
    if findings.spec.degradation.headline_level not in findings.levels and findings.levels:
        level = style.level_phrase(findings.headline_level, findings.spec.degradation)
        found.append(
            f"The level at which gaps were to be judged is not in the tables; {level} is "
            "shown instead."
        )
    if len(findings.seeds) > 1:
        found.append(
            f"Averages over {len(findings.seeds)} seeds; intervals span those of all seeds, and a "
            "verdict stands only where all seeds agree."
        )
    if not record.settled(findings) and not findings.fairness.empty:
        found.append(
            "No test of the group gaps is in the tables: changes are shown without a "
            "verdict and may be chance."
        )
    weak = sorted(
        {
            findings.task_title(t)
            for t in findings.fairness.loc[findings.fairness["verdict"] == "at chance", "task"]
        }
    )
    if weak:
        found.append(
            "The diagnosis is no better than guessing on original images for "
            f"{summary.listing(weak)}: no verdict about its gaps."
        )
    return found + against.fallbacks(findings)


def legend_key(findings: Findings) -> dict[str, list[dict[str, str]]]:
    """Colours and markers of the methods for the page's key."""
    methods = [
        {"glyph": GLYPHS[look.fill], "color": look.color, "name": look.name}
        for look in findings.looks.values()
    ]
    marks = [
        {"glyph": SHAPES.get(m, "●"), "color": style.GREY, "name": style.mitigation_name(k)}
        for k, m in findings.markers.items()
    ]
    return {"methods": methods, "mitigations": marks}
