"""Records of reading: which files belong together, whose they are, and what was recorded about
them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fairrecon_jax.data import policies
from fairrecon_jax.data.files import holding
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.keys import example_digest


@dataclasses.dataclass(frozen=True)
class SourceRecord:
    """Files that are read together: one X-ray, one slice, or one volume.

    Attributes:
      name: unique name; the example's name where a record holds one example.
      patient_id: the patient's name.
      files: paths inside the data folder, the image first.
      columns: recorded values, by column name.
    """

    name: str
    patient_id: str
    files: tuple[str, ...]
    columns: dict[str, Any]


def unique(records: list[SourceRecord], notes: Notes) -> list[SourceRecord]:
    """The first record of each name; the others are noted."""
    by_name: dict[str, SourceRecord] = {}
    for record in records:
        if record.name in by_name:
            notes.skip(
                record.files[0],
                "duplicate",
                f"{record.name} is already there as {by_name[record.name].files[0]}",
            )
        else:
            by_name[record.name] = record
    return list(by_name.values())


def limit(records: list[SourceRecord], patients: int) -> list[SourceRecord]:
    """Records of a number of patients, chosen by the digest of their names; all where the number is
    0.
    """
    if not patients:
        return records
    names = sorted(
        {record.patient_id for record in records}, key=lambda name: tuple(example_digest(name))
    )
    # In the order of the digests: a larger number keeps the patients of a smaller one.
    chosen = set(names[:patients])
    return [record for record in records if record.patient_id in chosen]


def note_attributes(records: list[SourceRecord], age_per_image: bool, notes: Notes) -> None:
    """Notes, once per patient, what is unknown or in conflict, age once per image where it belongs
    to the image.
    """
    seen: set[tuple[str, str]] = set()
    first: dict[tuple[str, str], tuple[str | None, str]] = {}

    def once(key: str, record: SourceRecord, kind: str, reason: str) -> None:
        # one record may be one slice: a patient would be noted for each of them
        if (kind, key) not in seen:
            seen.add((kind, key))
            notes.keep(record.files[0], kind, reason)

    readers: dict[str, Callable[[str], str | None]] = {
        "sex": policies.sex_group,
        "race": policies.race_group,
    }
    for record in records:
        if np.isnan(record.columns["age_years"]):
            once(
                record.name if age_per_image else record.patient_id,
                record,
                "missing_age",
                f"patient {record.patient_id}: no plausible age",
            )
        for name, reader in readers.items():
            entries = [
                record.columns[column]
                for column in (f"{name}_recorded", f"{name}_demographics")
                if column in record.columns
            ]
            known = [(reader(entry), entry) for entry in entries if reader(entry)]
            if entries and not known:
                once(
                    record.patient_id,
                    record,
                    f"missing_{name}",
                    f"patient {record.patient_id}: {name} is {entries[0]!r}",
                )
            for group, entry in known:
                earlier, other = first.setdefault((name, record.patient_id), (group, entry))
                if earlier != group:
                    reason = (
                        f"patient {record.patient_id}: {name} is {entry!r} here and {other!r} "
                        "elsewhere; it counts as unknown"
                    )
                    once(f"{name} {record.patient_id}", record, "conflict", reason)


def fingerprint(root: Path, records: list[SourceRecord]) -> str:
    """SHA-256 of the records' names, patients and recorded values, and the sizes of their files."""
    # sizes instead of contents: hashing hundreds of GB would take hours
    digest = hashlib.sha256()
    # by name, as the order of a folder's entries differs between file systems
    for record in sorted(records, key=lambda record: record.name):
        digest.update(
            repr((record.name, record.patient_id, sorted(record.columns.items()))).encode()
        )
        digest.update(repr([_bytes(os.path.join(root, file)) for file in record.files]).encode())
    return digest.hexdigest()


def table_stamps(root: Path) -> dict[str, list[int]]:
    """Size and time of change of the tables in `root` and one folder below: a quick sign that a
    tree has not changed.
    """
    paths = [
        path
        for kind in ("csv", "xlsx", "txt")
        for depth in ("", "*/")
        for path in root.glob(f"{depth}*.{kind}")
    ]
    return {
        path.relative_to(root).as_posix(): [path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(paths)
    }


def file_stamp(root: Path) -> list[int]:
    """Number and summed bytes of the files below `root`, links followed, each folder once: a
    quick sign that no file was added, removed or replaced.
    """
    sizes: list[int] = []
    seen = set(holding(root)[1:]) if root.exists() else set()
    # parts of a tree are often links to another disk
    for folder, inner, names in os.walk(root, followlinks=True):
        place = os.stat(folder)
        # a link to a folder above would be walked until the path is too long, or out of the tree
        if (place.st_dev, place.st_ino) in seen:
            inner.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        sizes += [_bytes(os.path.join(folder, name)) for name in names]
    return [len(sizes), sum(sizes)]


def _bytes(path: str) -> int:
    """The size of a file, -1 where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
