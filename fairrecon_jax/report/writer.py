"""Writes the files of a report and numbers its figures and tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairrecon_jax.report import files
from fairrecon_jax.report.figures.drawing import Drawing
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.report.tables.table import Table, csv_text
from fairrecon_jax.runtime.atomic import unfinished, write_atomic
from fairrecon_jax.runtime.progress import Progress, Silence, progress
from fairrecon_jax.runtime.text import Stems

KINDS = ("appendix.html", "figures/*.png", "figures/*.pdf", "tables/*.csv", "tables/*.tex")
"""Files of a report beside its page."""
CSS_PIXELS = 96
"""Pixels of a page per inch, by definition of CSS."""

Block = Drawing | Table
"""What a section of the report holds."""


@dataclasses.dataclass(frozen=True)
class Placed:
    """A figure or table with its number on the page.

    Attributes:
      kind: "figure" or "table".
      number: counted separately for figures and tables.
      block: the figure or table.
      uri: the picture as a data URI; empty for tables.
      width: of the picture in pixels of the page.
      height: of the picture in pixels of the page.
      pdf: the figure was written as PDF too.
    """

    kind: str
    number: int
    block: Block
    uri: str = ""
    width: int = 0
    height: int = 0
    pdf: bool = True


class BlockWriter:
    """Writes figures and tables into a report's folder, in the order of the page.

    Args:
      folder: the report's folder.
      options: resolution of the figures, and whether PDFs are written.
    """

    def __init__(self, folder: Path, options: ReportOptions) -> None:
        self.folder, self.dpi, self.pdf = folder, options.dpi, options.pdf
        self.written: set[Path] = set()
        self.figures = self.tables = 0
        self.stems = Stems()  # case does not tell files apart everywhere
        self.bar: Progress = Silence()

    @contextmanager
    def showing(self, part: str, count: int, shown: bool = True) -> Iterator[None]:
        """Shows progress over the figures and tables that are placed within.

        Args:
          part: of the report.
          count: of its figures and tables.
          shown: False for silence.
        """
        self.bar = progress(f"report, {part}", count, unit="item") if shown else Silence()
        try:
            yield
        finally:
            self.bar.close()
            self.bar = Silence()

    def write(self, name: str, content: bytes | str) -> Path:
        """Writes one file, by its path in the folder."""
        path = write_atomic(self.folder / name, content)
        self.written.add(path)
        return path

    def place(self, block: Block) -> Placed:
        """Writes the files of a figure (png, pdf, csv) or table (csv, tex) and numbers it; a key
        that was given before gets a number.
        """
        placed = self._place(block)
        self.bar.advance(1)
        return placed

    def _place(self, block: Block) -> Placed:
        block = dataclasses.replace(block, key=self.stems.of(block.key))
        if isinstance(block, Table):
            self.tables += 1
            self.write(f"tables/{block.key}.csv", block.csv())
            self.write(f"tables/{block.key}.tex", block.latex())
            return Placed("table", self.tables, block)
        self.figures += 1
        # PNG first: it settles the layout that the PDF then keeps
        png = files.figure_bytes(block.figure, "png", self.dpi)
        self.write(f"figures/{block.key}.png", png)
        if self.pdf:
            drawn = files.figure_bytes(block.figure, "pdf", self.dpi)
            self.write(f"figures/{block.key}.pdf", drawn)
        self.write(f"tables/{block.key}.csv", csv_text(block.table))
        # given in the page, so that text does not jump while pictures load
        width, height = (round(CSS_PIXELS * v) for v in block.figure.get_size_inches())
        uri = files.data_uri(png)
        return Placed("figure", self.figures, block, uri, width, height, self.pdf)

    def remove_stale(self) -> None:
        """Removes figures and tables of an older report that this one does not have, and what a
        killed process had begun to write."""
        for kind in KINDS:
            for path in self.folder.glob(kind):
                # only the kinds that a report writes: other files are the user's
                if path not in self.written:
                    path.unlink()
            folder, star, suffix = kind.partition("*")
            if not star:
                continue
            for path in (self.folder / folder).glob(unfinished(f"*{suffix}")):
                path.unlink()
