"""What stands under one of the paper's numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from fairrecon_jax.report.figures.drawing import Drawing
from fairrecon_jax.report.tables.table import Table


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that a study's report has drawn already.

    Attributes:
      file: the PNG file.
      key: file stem in the new report.
      title: one line.
      caption: how to read it.
      alt: what a reader who cannot see it should know.
    """

    file: Path
    key: str
    title: str
    caption: str
    alt: str
    folded: bool = False


Part = Drawing | Table | Picture


@dataclasses.dataclass(frozen=True)
class Item:
    """A table or figure of the paper.

    Attributes:
      kind: "table" or "figure".
      number: in the paper.
      title: what it shows.
      parts: what could be made, mostly one; one per cohort in some.
      sources: file and rows behind each part, in words.
      missing: what could not be made, and why.
    """

    kind: Literal["table", "figure"]
    number: int
    title: str
    parts: tuple[Part, ...] = ()
    sources: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
