"""What the columns of anybody's table mean: images, patients, masks, labels, attributes, split.

Every cell is text; a meaning that is declared here turns it into a label, a group or a number, and
a word that no declaration covers is refused with its name.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

from fairrecon_jax import keys
from fairrecon_jax.data.words import AttributeColumn, LabelColumn, SplitColumn
from fairrecon_jax.runtime.nothing import no_value
from fairrecon_jax.runtime.text import name_of
from fairrecon_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class PatientColumn:
    """Whose an image is.

    Attributes:
      column: name of the column.
      pattern: regular expression whose first group, or whole match, is the patient's name, e.g.
        r"^(\\d+)_" where the file's name begins with it; "" for the whole cell.
    """

    column: str
    pattern: str = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r}: {error}") from error

    def read(self, cell: str) -> str:
        """The patient's name, "" where there is none, or a word that stands for nothing."""
        name = cell
        if self.pattern:
            match = re.search(self.pattern, cell.strip())
            name = "" if match is None else match[1] if match.re.groups else match[0]
        # 12.0 is patient 12 where a program took names for numbers
        found = name_of(name)
        return "" if no_value(found) else found


@dataclasses.dataclass(frozen=True)
class MaskColumn:
    """The region to segment.

    Attributes:
      task: name of the segmentation task.
      column: names the mask's file; "" where it has the image's name.
      folder: the files lie in, from the root.
      inside: values within the region: "nonzero", "half" (at least half of the largest value that
        the file can hold; for masks with soft edges, such as JPEG), or some whole numbers, which of
        a palette are its indices.
      title: the region as a reader sees it.
    """

    task: str
    column: str = ""
    folder: str = ""
    inside: str | tuple[int, ...] = "nonzero"
    title: str = ""

    def __post_init__(self) -> None:
        if not self.column and not self.folder:
            raise ValueError("needs a column, or the folder where masks have their images' names")
        words = isinstance(self.inside, str)
        fits = self.inside in ("nonzero", "half") if words else all(map(_is_whole, self.inside))
        if not fits or not self.inside:
            raise ValueError(
                f"inside must be 'nonzero', 'half' or whole numbers, got {self.inside!r}"
            )


@dataclasses.dataclass(frozen=True)
class StoredColumn:
    """What something else made of each image: a reconstruction, or the degraded image.

    Attributes:
      column: names the file; "" where it has the image's name.
      folder: the files lie in, from the root.
      scale: "same" where grey values are those of the original (8 and 16 bits as shares of their
        range), "full" where the file's whole range is that of the original once this is scaled from
        its smallest to its largest value, as `fairrecon reconstruct` writes images.
    """

    column: str = ""
    folder: str = ""
    scale: Literal["same", "full"] = "same"

    def __post_init__(self) -> None:
        if not self.column and not self.folder:
            raise ValueError("needs a column, or the folder where files have their images' names")
        if self.scale not in ("same", "full"):
            raise ValueError(f"scale must be 'same' or 'full', got {self.scale!r}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


Filed = MaskColumn | StoredColumn
"""What has a file beside every image."""


@dataclasses.dataclass(frozen=True)
class TableColumns:
    """What the columns of a table mean: the field `columns` of the cohort "table".

    Attributes:
      table: the CSV, TSV or Excel file, from the root or absolute.
      image: column that names the image files.
      images: folder that names are looked up in, from the root; "" for all of it.
      patient: whose an image is; None where every image is a patient of its own.
      id: column of unique names of the images; "" for their files' names.
      mask: the region to segment.
      split: the part each patient belongs to.
      labels: (task, its column) in order.
      attributes: (attribute, its column) in order.
      degraded: the degraded images, where reconstructions come with them.
      reconstructions: (name, its files) of what something else reconstructed.
      modality: "xray" or "mri".
      volumes: whether files are volumes, cut into slices; else more than one slice is refused.
      window: of DICOM files: "file" (as each says), "none", or (centre, width).
      bits: of the stored images, 8 or 16; 0 for 8 of X-rays, 16 of MRI and beside reconstructions.
      sheet: of an Excel file; "" for the one that is filled.
      delimiter: of a CSV file; "" for the one that its rows show.
      encoding: of a CSV file; "" for UTF-8, or what its first bytes say.
      decimal: point of numbers, "." or ",".
      title: of the cohort, as a reader sees it.
      citation: of the data.
    """

    table: str
    image: str
    images: str = ""
    patient: PatientColumn | None = None
    id: str = ""
    mask: MaskColumn | None = None
    split: SplitColumn | None = None
    labels: tuple[tuple[str, LabelColumn], ...] = ()
    attributes: tuple[tuple[str, AttributeColumn], ...] = ()
    degraded: StoredColumn | None = None
    reconstructions: tuple[tuple[str, StoredColumn], ...] = ()
    modality: Literal["xray", "mri"] = "xray"
    volumes: bool = False
    window: str | tuple[float, ...] = "file"
    bits: int = 0
    sheet: str = ""
    delimiter: str = ""
    encoding: str = ""
    decimal: str = "."
    title: str = ""
    citation: str = ""

    @property
    def stored(self) -> dict[str, Any]:
        """Everything that the stored examples depend on: files and cells, not what words mean."""
        later = ["labels", "attributes", "split", "title", "citation", "table", "decimal"]
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["mask"] = self.mask and dataclasses.replace(self.mask, title="")
        # a table that says its encoding is the one that was read before there was such a field
        later += [] if self.encoding else ["encoding"]
        kept = {name: value for name, value in fields.items() if name not in later}
        # by name and not by folder: a moved table is the same table
        table = self.table.replace("\\", "/").rsplit("/", 1)[-1]
        return {**kept, "table": table, "cells": self.recorded}

    @property
    def digest(self) -> str:
        """The digest of `stored`."""
        return keys.digest(self.stored)

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names of the columns whose cells are kept, sorted."""
        columns = {one.column for _, one in self.labels}
        columns |= {one.column for _, one in self.attributes}
        return tuple(sorted(columns | ({self.split.column} if self.split else set())))

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of all columns that are read."""
        more = [self.patient.column] if self.patient else []
        more += [one.column for _, one, _ in self.beside if one.column]
        return tuple(dict.fromkeys([self.image, *filter(None, [self.id]), *more, *self.recorded]))

    @property
    def pairs(self) -> tuple[tuple[str, StoredColumn], ...]:
        """(name, files) of all further images; the degraded one is called "degraded"."""
        degraded = (("degraded", self.degraded),) if self.degraded else ()
        return (*degraded, *self.reconstructions)

    @property
    def beside(self) -> tuple[tuple[str, Filed, str], ...]:
        """(name, files, kind of note where one is missing) of everything that lies beside an image,
        the mask first.
        """
        mask: tuple[tuple[str, Filed, str], ...] = ()
        if self.mask is not None:
            mask = (("mask", self.mask, "missing_mask"),)
        pairs: tuple[tuple[str, Filed, str], ...] = tuple(
            (name, one, "missing_pair") for name, one in self.pairs
        )
        return (*mask, *pairs)

    def refuse(self, where: str, column: str, words: list[str], hint: str) -> None:
        """Refuses words without a meaning.

        Raises:
          InputError: there are some; the message names the field and the words.
        """
        if words:
            listed = ", ".join(map(repr, words[:8])) + (", ..." if len(words) > 8 else "")
            raise InputError(
                f"columns.{where}: the column {column!r} of {self.table} has {listed}, which the "
                f"configuration does not explain: {hint}"
            )
