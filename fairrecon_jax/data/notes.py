"""What a reader could not use, or used only in part: one note per file with its reason, never a
silent drop.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

import pandas as pd

SKIPPED = "skipped"
KEPT = "kept"

KINDS = {
    "missing_file": "a file named by a table does not exist",
    "missing_mask": "an image has no mask file",
    "unreadable": "a file cannot be read as an image (truncated or not an image)",
    "constant": "an image holds one single value",
    "mask_shape": "a mask differs in shape from its image",
    "mask_place": "image and mask lie at different places in the world",
    "mask_values": "a mask holds values that are not in the data set's description",
    "not_finite": "a volume holds voxels that are not finite numbers",
    "wrong_shape": "an image has other dimensions than the data set's description",
    "duplicate": "the same example is named twice",
    "outside_root": "a path leaves the data folder",
    "unknown_name": "a file or an identifier does not follow the data set's naming",
    "no_row": "images without a row of clinical values",
    "missing_label": "a row without a value for a label",
    "unknown_label": "a label value that is not in the data set's description",
    "missing_sex": "a patient without sex",
    "missing_age": "an image without a plausible age",
    "missing_race": "a patient without race, or who refused to say",
    "missing_table": "an optional table is absent",
    "conflict": "rows of one patient disagree",
    "view": "images of a view that the configuration leaves out",
    "missing_attribute": "a patient or image without a value of an attribute",
    "out_of_range": "a number outside the range declared for its column; it counts as unknown",
    "depth": "a file of more than 8 bits is stored in 8",
    "alike": "names that differ but look alike",
    "alike_patients": "patients whose names differ but look alike, who may be one in two parts",
    "as_read": "how a table was read, where it leaves that open",
    "nothing_said": "words that stand for nothing; they count as unknown",
    "doubtful": "words that may stand for nothing and are taken for what they say",
    "no_part": "a patient whom the table's split puts into no part of the data",
    "nobody": "a patient whose name may be a code for a missing one",
    "missing_pair": "an image without its reconstruction or degraded image",
    "pair_shape": "a reconstruction or degraded image differs in shape or type from its original",
    "turned": "an image is turned by its EXIF or DICOM orientation, its mask in another way",
    "misaligned": "a reconstruction or degraded image is shifted, turned, mirrored, magnified or "
    "of something else",
    "pair_same": "a reconstruction or degraded image is the original itself",
    "pair_scale": "a reconstruction or degraded image has its grey values on another scale",
}
"""Every kind of note with its meaning."""
ERRORS = {
    "alike_patients",
    "no_part",
    "nobody",
    "missing_file",
    "missing_mask",
    "missing_pair",
    "unreadable",
    "mask_shape",
    "mask_place",
    "pair_shape",
    "misaligned",
    "wrong_shape",
    "duplicate",
    "outside_root",
    "unknown_label",
    "mask_values",
}
"""Kinds that are to be mended before anything is trained."""
TOLD = {"pair_same", "pair_scale", "turned"}
"""Kinds that are no errors, and never passed over."""
HARMLESS = {"view"}
"""Kinds that are no reason to worry."""


@dataclasses.dataclass(frozen=True)
class Note:
    """One thing found wrong.

    Attributes:
      file: path inside the data folder, with "#slice" or "#row" where it concerns a part of the
        file.
      kind: a key of `KINDS`.
      reason: one sentence for a reader.
      action: "skipped" (the example is not in the cohort) or "kept" (it is, with a value unknown).
    """

    file: str
    kind: str
    reason: str
    action: str = SKIPPED


class Notes:
    """A list of notes that several readers append to."""

    def __init__(self) -> None:
        self._notes: list[Note] = []

    def skip(self, file: str, kind: str, reason: str) -> None:
        """Notes that an example was left out."""
        self._add(Note(file, kind, reason, SKIPPED))

    def keep(self, file: str, kind: str, reason: str) -> None:
        """Notes that an example was kept although something about it is unknown."""
        self._add(Note(file, kind, reason, KEPT))

    def _add(self, note: Note) -> None:
        if note.kind not in KINDS:
            raise ValueError(f"unknown kind of note {note.kind!r}; known: {', '.join(KINDS)}")
        # Reading threads share the list: one append, which the interpreter does not interrupt.
        self._notes.append(note)

    def __iter__(self) -> Iterator[Note]:
        return iter(self._notes)

    def __len__(self) -> int:
        return len(self._notes)

    def counts(self) -> dict[tuple[str, str], int]:
        """Number of notes per (action, kind), most frequent first."""
        return dict(Counter((note.action, note.kind) for note in self._notes).most_common())

    def left_out(self) -> str:
        """Why examples were left out, most frequent first, each kind with its number and one file
        with the reason.
        """
        skipped = [note for note in self._notes if note.action == SKIPPED]
        # threads add notes in any order
        ordered = sorted(skipped, key=lambda note: (note.file, note.reason), reverse=True)
        first = {note.kind: f"{note.file}: {note.reason}" for note in ordered}
        return "; ".join(
            f"{count} x {kind} (e.g. {first[kind]})"
            for kind, count in Counter(note.kind for note in skipped).most_common()
        )

    def table(self) -> pd.DataFrame:
        """All notes as a table with columns file, reason, kind, action, sorted so that runs
        compare.
        """
        columns = ["file", "reason", "kind", "action"]
        rows = [(note.file, note.reason, note.kind, note.action) for note in self._notes]
        return pd.DataFrame(rows, columns=columns).sort_values(
            ["kind", "file", "reason"], kind="stable", ignore_index=True
        )
