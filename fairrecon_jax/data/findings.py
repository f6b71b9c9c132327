"""What is wrong with a tree, by kind and severity: collected while it is read, to examine it or to
prepare it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Literal

import numpy as np

from fairrecon_jax.data.builder import Sample
from fairrecon_jax.data.notes import ERRORS, HARMLESS, KEPT, KINDS, TOLD, Notes
from fairrecon_jax.runtime.text import alike

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
SMALL_GROUP = 20
MEANINGS = {
    "nothing": "no file of the tree is usable",
    "table": "a table or folder is missing or malformed",
    "splits": "the splits file is not usable",
    "leaking_lists": "patients that are in several official lists",
    "leaking_images": "identical images under the names of different patients",
    "repeated_images": "identical images within one patient",
    "inconsistent_shape": "images whose size differs from that of most others",
    "small_group": f"groups with fewer than {SMALL_GROUP} patients, whose gaps cannot be assessed",
    "masks": "no mask has a region, or values that are declared to be inside are in none",
    "one_class": "tasks for which only one class (or none) is known",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One kind of problem.

    Attributes:
      severity: "error" (to be fixed before training), "warning" (to be known) or "note".
      kind: a key of `notes.KINDS` or `MEANINGS`.
      count: how often.
      examples: some files or names with the reason.
      meaning: the kind in words.
    """

    severity: Severity
    kind: str
    count: int
    examples: tuple[str, ...]
    meaning: str


class Findings:
    """Collects findings; one per kind and severity."""

    def __init__(self, examples: int) -> None:
        self._examples = examples
        self._texts: dict[tuple[Severity, str], list[str]] = defaultdict(list)
        self._owners: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
        self._shapes: dict[tuple[int, ...], list[str]] = defaultdict(list)
        self._left: set[str] = set()
        self._masks = {"empty": 0, "full": 0, "parts": 0}
        self._codes: set[float] = set()

    def add(self, severity: Severity, kind: str, texts: Iterable[str]) -> None:
        """Adds occurrences of one kind."""
        texts = list(texts)
        if texts:
            self._texts[severity, kind] += texts

    def notes(self, notes: Notes, modality: str) -> None:
        """Takes over what the reader noted; empty slices of a volume are no reason to worry."""
        # reading threads add them in any order
        for note in sorted(notes, key=lambda note: (note.file, note.reason)):
            self._left |= {note.kind} if note.action != KEPT else set()
            harmless = note.kind in HARMLESS or (note.kind == "constant" and modality == "mri")
            severity: Severity = (
                "note" if harmless else "error" if note.kind in ERRORS else "warning"
            )
            self.add(
                severity,
                note.kind,
                [f"{note.file}: {note.reason}" + ("" if note.action == KEPT else " [left out]")],
            )

    def lists(self, lists: dict[str, set[str]]) -> None:
        """Patients in two official lists, under one name or under two that look alike."""
        looks = {word: {alike(name): name for name in names} for word, names in lists.items()}
        for (one, first), (other, second) in combinations(sorted(lists.items()), 2):
            found = [
                f"patient {patient} is in {one} and in {other}"
                for patient in sorted(first & second)
            ]
            common = looks[one].keys() & looks[other].keys()
            pairs = sorted((looks[one][look], looks[other][look]) for look in common)
            found += [
                f"patient {name!r} is in {one} and {same!r}, who looks alike, in {other}"
                for name, same in pairs
                if name != same
            ]
            self.add("error", "leaking_lists", found)

    def watch(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Hands samples on and remembers what `images` compares."""
        for sample in samples:
            # digests, not images: a cohort does not fit into memory
            digest = hashlib.blake2b(sample.image.tobytes(), digest_size=16).digest()
            self._owners[digest].append((sample.patient_id, sample.example_id))
            self._shapes[sample.shape].append(sample.example_id)
            if sample.mask is not None:
                inside = int(np.count_nonzero(sample.mask))
                how = "full" if inside == sample.mask.size else "parts" if inside else "empty"
                self._masks[how] += 1
                self._codes |= {*sample.codes}
            yield sample

    def masks(self, declared: tuple[float, ...] | None) -> str:
        """What is wrong with all masks together, "" where nothing is. Values that are declared and
        in no mask are an error too, but no reason to stop.

        Args:
          declared: see `CohortBuilder.inside`.
        """
        count = sum(self._masks.values())
        if declared is None or not count:
            return ""
        hint = "columns.mask.inside says which values are the region: 'nonzero', 'half' or numbers"
        if declared:
            hint = (
                f"columns.mask.inside names {_listed(declared)}, they hold {_listed(self._codes)}"
            )
        for how, words in (("empty", "no pixel"), ("full", "every pixel")):
            if self._masks[how] == count:
                return f"{words} of any of the {count} masks is inside; {hint}"
        if unused := set(declared) - self._codes:
            text = f"no pixel of the {count} masks has {_listed(unused)}; {hint}"
            self.add("error", "masks", [text])
        return ""

    def images(self) -> None:
        """Compares the images and shapes of all samples that were watched."""
        shapes = self._shapes
        for same in self._owners.values():
            names = _same(example for _, example in same)
            if len({patient for patient, _ in same}) > 1:
                self.add("error", "leaking_images", [names])
            # films taken twice occur, and leak nothing as the patient is in one part
            elif len(same) > 1:
                self.add("warning", "repeated_images", [names])
        # The shape most images have; of equally frequent ones the first.
        usual = max(shapes, key=lambda shape: len(shapes[shape]), default=())
        odd = [
            f"{name}: {shape}, most are {usual}"
            for shape, names in shapes.items()
            if shape != usual
            for name in names
        ]
        self.add("note", "inconsistent_shape", odd)

    def sorted(self) -> tuple[Finding, ...]:
        """All findings, gravest and most frequent first."""
        order = sorted(
            self._texts.items(),
            key=lambda item: (SEVERITIES.index(item[0][0]), -len(item[1]), item[0][1]),
        )
        return tuple(
            Finding(
                severity,
                kind,
                len(texts),
                tuple(texts[: self._examples]),
                MEANINGS.get(kind) or KINDS[kind],
            )
            for (severity, kind), texts in order
        )

    def told(self) -> list[str]:
        """The errors, and warnings of examples that are left out or not what they seem, in one line
        each with the first example.
        """
        grave = {kind for kind in self._left if kind not in HARMLESS} | TOLD
        return [
            f"{found.kind} x {found.count}: {found.meaning}, e.g. {found.examples[0]}"
            for found in self.sorted()
            if found.severity == "error" or (found.severity == "warning" and found.kind in grave)
        ]


def _same(names: Iterable[str]) -> str:
    """The names of identical images, of more than three the first three and their number."""
    known = list(names)
    more = f" = ... ({len(known)} images)" if len(known) > 3 else ""
    return " = ".join(known[:3]) + more


def _listed(values: Iterable[float]) -> str:
    """Some numbers in order."""
    ordered = sorted(values)
    return ", ".join(f"{v:g}" for v in ordered[:12]) + (", ..." if len(ordered) > 12 else "")
