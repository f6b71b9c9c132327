"""The page of the paper's tables and figures, with a list of what each is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from matplotlib.image import imread

from fairrecon_jax.report import files
from fairrecon_jax.report.build import environment
from fairrecon_jax.report.figures.drawing import Drawing
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.paper.figures import figures
from fairrecon_jax.report.paper.items import Item, Part, Picture
from fairrecon_jax.report.paper.studies import PaperStudy
from fairrecon_jax.report.paper.tables import tables
from fairrecon_jax.report.tables.table import Table, csv_text
from fairrecon_jax.report.writer import CSS_PIXELS, BlockWriter, Placed
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.types import InputError

WIDEST = 710
"""Pixels that a picture takes on the page, at most."""


def build_paper_report(
    folder: str | Path,
    studies: Sequence[PaperStudy],
    options: ReportOptions | None = None,
    shown: bool = False,
) -> Path:
    """Writes `<folder>/index.html` with the paper's tables 1 to 8 and figures 2 to 20, `figures/`
    (png, pdf) and `tables/` (csv, tex) beside it.

    What the studies cannot supply is listed with the reason; nothing stands in for it.

    Args:
      folder: to write, without files of other reports.
      studies: at most one of radiographs and one of brain MRI.
      options: resolution, PDFs and the smallest count that is shown.
      shown: show progress.

    Returns:
      The path of the page.

    Raises:
      InputError: no study, or two of one modality.
    """
    options = options or ReportOptions()
    modalities = [study.modality for study in studies]
    if not studies or len(set(modalities)) < len(modalities):
        raise InputError(
            "the paper's page takes one study of radiographs, one of brain MRI, or both; got "
            + (", ".join(f"{s.folder} ({s.modality})" for s in studies) or "none")
        )
    writer = BlockWriter(Path(folder), options)
    items = [*tables(studies, options.min_cell), *figures(studies)]
    body = [
        (item, [placed(writer, item, part) for part in item.parts])
        for item in track(items, "report, tables and figures of the paper", "item", shown=shown)
    ]
    page = (
        environment()
        .get_template("paper.html")
        .render(
            body=body,
            studies=studies,
            convention=studies[0].findings.convention,
            min_cell=options.min_cell,
        )
    )
    # after what it links to, and before what an older page linked to is removed
    path = writer.write("index.html", page)
    writer.remove_stale()
    return path


def placed(writer: BlockWriter, item: Item, part: Part) -> Placed:
    """Writes the files of a part, which bears the item's number."""
    if isinstance(part, Table):
        writer.write(f"tables/{part.key}.csv", part.csv())
        writer.write(f"tables/{part.key}.tex", part.latex())
        return Placed("table", item.number, part)
    if isinstance(part, Picture):
        return copied(writer, item, part)
    png = files.figure_bytes(part.figure, "png", writer.dpi)
    writer.write(f"figures/{part.key}.png", png)
    if writer.pdf:
        writer.write(f"figures/{part.key}.pdf", files.figure_bytes(part.figure, "pdf", writer.dpi))
    writer.write(f"tables/{part.key}.csv", csv_text(part.table))
    width, height = (round(CSS_PIXELS * v) for v in part.figure.get_size_inches())
    return Placed("figure", item.number, part, files.data_uri(png), width, height, writer.pdf)


def copied(writer: BlockWriter, item: Item, part: Picture) -> Placed:
    """A picture of a study's report, with the table beside it."""
    png = part.file.read_bytes()
    writer.write(f"figures/{part.key}.png", png)
    beside = part.file.parent.parent / "tables" / f"{part.file.stem}.csv"
    writer.write(f"tables/{part.key}.csv", beside.read_bytes() if beside.is_file() else "")
    rows, columns = imread(part.file).shape[:2]
    width = min(WIDEST, columns)
    height = round(rows * width / columns)
    block: Any = part
    return Placed(
        "figure", item.number, cast(Drawing, block), files.data_uri(png), width, height, False
    )
