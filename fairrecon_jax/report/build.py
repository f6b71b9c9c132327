"""Builds the report folder: figures, tables and one self-contained page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from fairrecon_jax.report import checklist, pages, privacy, summary
from fairrecon_jax.report.explorer import explorer
from fairrecon_jax.report.figures import style
from fairrecon_jax.report.flow import flow
from fairrecon_jax.report.mitigation import fallbacks
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.small_cells import withheld_slopes
from fairrecon_jax.report.tables import record
from fairrecon_jax.report.tables.entries import Missing, number
from fairrecon_jax.report.tables.table import csv_text
from fairrecon_jax.report.words import listing
from fairrecon_jax.report.writer import Block, BlockWriter, Placed
from fairrecon_jax.types import CohortSpec, MethodTitle

GLYPHS = {"full": "●", "none": "○", "left": "◐", "bottom": "◒", "right": "◑", "top": "◓"}
"""Characters that look like the fills of `style.Look`."""
SHAPES = {
    "o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "X": "✖", "<": "◀", ">": "▶",
    "p": "⬟", "h": "⬢",
}  # fmt: skip
"""Characters that look like Matplotlib's markers."""


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
    methods: Mapping[str, MethodTitle] | None = None,
    trends: pd.DataFrame | None = None,
    curves: pd.DataFrame | None = None,
    doses: pd.DataFrame | None = None,
    shown: bool = False,
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
      methods: what reconstructors are called, by name; others keep their names.
      trends: the table results/trends.csv, None where no continuous attribute was looked at.
      curves: the table results/curves.csv, None where none was made.
      doses: the table results/doses.csv, None where no level can be compared with another.
      shown: show progress.

    Returns:
      The path of the page.

    Raises:
      ValueError: a table lacks columns, or provenance is malformed; the message names what.

    Example:
      >>> from tempfile import mkdtemp
      >>> y, sex = np.arange(80) % 2, np.repeat(["f", "m"], 40)
      >>> audit = fr.assess(label=y, original=0.9 * y, reconstructed=0.8 * y, groups={"sex": sex})
      >>> cohort = audit.table[["example_id", "patient_id", "split", "sex"]]
      >>> tables = audit.performance, audit.fairness, cohort
      >>> build_report(mkdtemp(), audit.spec, *tables, options=ReportOptions(pdf=False)).name
      'index.html'
    """
    options, recorded = options or ReportOptions(), dict(provenance or {})
    given = (options.convention, comparison, sweep, methods, options.min_cell)
    findings = Findings.of(spec, performance, fairness, *given)
    slopes = withheld_slopes(doses, options.min_cell)
    findings = dataclasses.replace(findings, trends=trends, doses=slopes)
    # before anything is written: every free text below passes through it
    hide = redactor(cohort_table, examples, options)
    panels = [dataclasses.replace(panel, caption=hide(panel.caption)) for panel in examples]
    writer = BlockWriter(Path(workdir) / "report", options)
    sections = pages.sections(findings, cohort_table, panels, options)
    records = pages.record_tables(recorded, options, hide)
    blocks = place_page(writer, findings, sections, records, shown)
    for name in ("performance", "fairness"):
        writer.write(f"tables/long_{name}.csv", csv_text(getattr(findings, name)))
    texts = page_texts(findings, recorded, options, hide)
    if options.appendix:
        write_appendix(writer, findings, texts["title"], shown)
    page = (
        environment()
        .get_template("index.html")
        .render(
            spec=spec,
            explorer=explorer(findings, curves, options.min_cell),
            flow=flow(findings, cohort_table, recorded, options.min_cell, hide),
            checklist=checklist.items(findings, cohort_table, recorded),
            appendix=options.appendix,
            min_cell=options.min_cell,
            **blocks,
            **texts,
        )
    )
    # after what it links to
    path = writer.write("index.html", page)
    # last: until the new page is there, the old one has its figures
    writer.remove_stale()
    return path


def place_page(
    writer: BlockWriter,
    findings: Findings,
    sections: Sequence[pages.Section],
    records: Sequence[Block],
    shown: bool,
) -> dict[str, Any]:
    """Writes all figures and tables of the page, by the part of it that shows them."""
    first, methods = pages.first_figures(findings), pages.method_tables(findings)
    count = len(first) + len(methods) + len(records) + sum(len(one.blocks) for one in sections)
    with writer.showing("figures and tables", count, shown):
        # numbers follow the order of these calls, which is that of the page
        return {
            "first": [writer.place(figure) for figure in first],
            "body": place_all(writer, sections),
            "methods": [writer.place(table) for table in methods],
            "records": [writer.place(table) for table in records],
        }


def place_all(
    writer: BlockWriter, sections: Sequence[pages.Section]
) -> list[tuple[pages.Section, list[Placed]]]:
    """Writes the figures and tables of sections and numbers them."""
    return [(one, [writer.place(block) for block in one.blocks]) for one in sections]


def write_appendix(writer: BlockWriter, findings: Findings, title: str, shown: bool) -> None:
    """Writes the second page, with every figure and table."""
    sections = pages.appendix_sections(findings)
    with writer.showing("appendix", sum(len(one.blocks) for one in sections), shown):
        body = place_all(writer, sections)
    template = environment().get_template("appendix.html")
    writer.write("appendix.html", template.render(body=body, title=title))


def page_texts(
    findings: Findings,
    recorded: Mapping[str, Any],
    options: ReportOptions,
    hide: Callable[[str], str],
) -> dict[str, Any]:
    """The template's values that are neither figures nor tables; free text without identifiers."""
    default_title = (
        f"{findings.spec.title}: does reconstruction change the diagnosis, and for whom?"
    )
    warnings = [hide(str(warning)) for warning in recorded.get("warnings") or []]
    conventions = record.pairs(recorded.get("conventions"), "convention")
    return {
        "title": options.title or default_title,
        "sentences": summary.sentences(findings),
        "warnings": warnings + notices(findings, options),
        "key": legend_key(findings),
        "verdicts": style.definitions(),
        "making": [(name, hide(text)) for name, text in (*record.making(findings), *conventions)],
        "facts": [
            (title, [(hide(name), hide(text)) for name, text in rows])
            for title, rows in record.facts(recorded)
        ],
        "config": hide(record.text_of(recorded.get("config") or "not recorded")),
    }


def redactor(
    table: pd.DataFrame, examples: Sequence[ExamplePanel], options: ReportOptions
) -> Callable[[str], str]:
    """The function that takes the cohort's identifiers out of free text."""
    names: list[object] = [panel.identifier for panel in examples]
    for column in ("patient_id", "example_id"):
        if column in table.columns:
            # both columns: an example's name mostly holds that of its patient, but need not
            names += list(table[column].dropna().unique())
    return privacy.redactor(names, options.identifiers)


def environment() -> jinja2.Environment:
    """The templates; values are escaped, and an undefined name is an error."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("fairrecon_jax.report", "templates"),
        autoescape=True,
        # a name mistyped in a template would otherwise print nothing
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(
        number=number,
        is_missing=lambda entry: isinstance(entry, Missing),
    )
    return templates


def notices(findings: Findings, options: ReportOptions) -> list[str]:
    """Warnings that follow from the tables themselves."""
    sentences = []
    if findings.convention != options.convention and findings.conventions:
        sentences.append(
            f"The convention '{options.convention}' is not in the tables; "
            f"'{findings.convention}' is shown instead."
        )
    if findings.spec.degradation.headline_level not in findings.levels and findings.levels:
        sentences.append(
            f"The level at which gaps were to be judged is not in the tables; {findings.headline} "
            "is shown instead."
        )
    if len(findings.seeds) > 1:
        sentences.append(
            f"Averages over {len(findings.seeds)} seeds; intervals span those of all seeds, and a "
            "verdict stands only where all seeds agree."
        )
    if not record.has_tests(findings) and not findings.fairness.empty:
        sentences.append(
            "No test of the groups is in the tables: changes are shown without a verdict and may "
            "be chance."
        )
    weak = sorted(findings.task_title(task) for task in findings.at_chance)
    if weak:
        sentences.append(
            "The diagnosis is no better than guessing on original images for "
            f"{listing(weak)}: no verdict about its groups."
        )
    return sentences + fallbacks(findings)


def legend_key(findings: Findings) -> dict[str, list[dict[str, str]]]:
    """Colours and markers of the methods for the page's key."""
    methods = [
        {"glyph": GLYPHS[look.fill], "color": look.color, "name": look.name}
        for look in findings.looks.values()
    ]
    mitigations = [
        {
            "glyph": SHAPES.get(marker, "●"),
            "color": style.GREY,
            "name": style.mitigation_name(mitigation),
        }
        for mitigation, marker in findings.markers.items()
    ]
    return {"methods": methods, "mitigations": mitigations}
