"""Two calls: `prepare` turns a downloaded tree into a data set on disk, `open_cohort` opens it
under the policies of a configuration.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from absl import logging

from fairrecon_jax.data.builder import CohortBuilder
from fairrecon_jax.data.cohort import Cohort, CohortConfig, RecordSource, open_records
from fairrecon_jax.data.findings import Findings
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import SourceRecord, file_stamp, fingerprint, table_stamps
from fairrecon_jax.data.registry import builder_of, find
from fairrecon_jax.data.splits import TRAIN, Splits
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.csv_text import csv_text
from fairrecon_jax.runtime.locks import locked
from fairrecon_jax.runtime.progress import say, track
from fairrecon_jax.types import STORED, InputError

TABLE, EXCLUSIONS, ORIGIN = "table.parquet", "exclusions.csv", "origin.json"


def folder_of(config: CohortConfig, data_dir: str | Path) -> Path:
    """Where a prepared cohort lies: <data_dir>/<name>/<what the stored examples depend
    on>/<version>.
    """
    return Path(data_dir) / config.name / config.stored_name / str(find(config.name).VERSION)


def prepare(
    config: CohortConfig,
    root: str | Path,
    data_dir: str | Path,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Reads a tree and writes its examples, table and exclusions; does nothing where that is done
    already.

    Everything is written in a folder aside and moved into place at the end, so that an interrupted
    run leaves nothing half-written.

    Args:
      config: the cohort; of its fields only those that `stored_name` holds matter here.
      root: the tree as downloaded.
      data_dir: where prepared cohorts lie.
      workers: reading threads; 0 for one per core, at most 8.
      progress: show progress bars with rate and remaining time.

    Returns:
      The folder with the array records, `table.parquet`, `exclusions.csv` (file, reason, kind,
        action) and `origin.json`.

    Raises:
      FileNotFoundError: the tree or one of its tables is not there.
      InputError: a table lacks a column, nothing is usable, or the folder was prepared from another
        tree or before the tree changed.

    Example:
      >>> from tempfile import mkdtemp
      >>> root, options = Path(mkdtemp()), fr.phantoms.phantom_options("xray", patients=2, size=32)
      >>> truth = fr.phantoms.write_phantom("xray", root / "tree", options)
      >>> config = CohortConfig("chexpert", image_size=16)
      >>> place = prepare(config, root / "tree", root / "data", progress=False)
      >>> (place / "table.parquet").is_file(), (place / "exclusions.csv").is_file()
      (True, True)
    """
    builder, place, tree = builder_of(config), folder_of(config, data_dir), Path(root)
    # taken before looking: a process that waited finds the folder that the other one made
    lock = place.parent.parent / f".{config.stored_name}.lock"
    with locked(lock, say, f"the cohort {config.name}"):
        aside = place.parent.parent / f".{config.stored_name}.partial"
        # Left by a killed run: nobody else writes here while the lock is held.
        shutil.rmtree(aside, ignore_errors=True)
        if place.is_dir():
            check_origin(config, tree, place)
            return place
        notes = Notes()
        # before reading: a tree that changes meanwhile no longer has this stamp
        stamps = _stamps(tree, builder)
        records = builder.records(tree, config, notes, progress)
        origin = {**stamps, "fingerprint": fingerprint(tree, records)}
        findings = Findings(1)
        findings.lists(builder.lists(tree))
        written = _write(builder, config, tree, aside, records, notes, findings, workers, progress)
        if wrong := findings.masks(builder.inside):
            raise InputError(f"{tree}: {wrong}")
        _finish(written, origin, notes, config, progress)
        place.parent.parent.mkdir(parents=True, exist_ok=True)
        # an older version of the same configuration may lie there; os.replace needs the place empty
        shutil.rmtree(place.parent, ignore_errors=True)
        # TFDS wrote <configuration>/<version>: both move in one step.
        os.replace(written.parent, place.parent)
        shutil.rmtree(aside)
    findings.images()
    findings.notes(notes, builder.modality)
    for line in findings.told():
        # what the doctor calls an error, and what is left out, is never done in silence
        warnings.warn(f"{line}; {place / EXCLUSIONS} lists what was noted", stacklevel=2)
    return place


def open_cohort(config: CohortConfig, data_dir: str | Path, splits: Splits | None = None) -> Cohort:
    """Opens a prepared cohort and applies the policies.

    Args:
      config: the cohort and its policies.
      data_dir: where prepared cohorts lie.
      splits: needed where the age cut is the train median; without them the median of all patients
        stands in and the attribute's derivation says "provisional" (which is what making the splits
        needs).

    Returns:
      The cohort, rows in the order on disk.

    Raises:
      FileNotFoundError: the cohort was not prepared with this size, views, slices and source.
      InputError: a task or attribute that the cohort does not have.

    Example:
      >>> from tempfile import mkdtemp
      >>> root, options = Path(mkdtemp()), fr.phantoms.phantom_options("xray", patients=2, size=32)
      >>> truth = fr.phantoms.write_phantom("xray", root / "tree", options)
      >>> config = CohortConfig("chexpert", image_size=16, tasks=("edema",), attributes=("sex",))
      >>> place = prepare(config, root / "tree", root / "data", progress=False)
      >>> open_cohort(config, root / "data")
      Cohort(chexpert: ... images of ... patients, 16 x 16; edema; sex)
    """
    builder, place = builder_of(config), folder_of(config, data_dir)
    # moved into place with all the rest: where the table is, the cohort is whole
    if not (place / TABLE).is_file():
        raise FileNotFoundError(
            f"{config.name} is not prepared as {config.stored_name!r} under {data_dir}: "
            "run `fairrecon prepare` first"
        )
    raw = pd.read_parquet(place / TABLE)
    train = None if splits is None else splits.rows(raw, TRAIN)
    table, spec = builder.describe(raw, config, train)
    source = RecordSource(place, len(table), len(spec.segmentation_tasks), builder.stored)
    return Cohort(spec, table, source, builder.stored)


def check_origin(config: CohortConfig, tree: Path, place: Path) -> None:
    """Refuses a folder that was prepared from another tree or before the tree changed.

    A copy of the tree elsewhere is the same tree; one that is gone is not compared.

    Args:
      config: the cohort.
      tree: its root now.
      place: the prepared folder, see `folder_of`.

    Raises:
      InputError: the contents differ; the message names both places.
    """
    if not tree.is_dir():
        return
    builder = builder_of(config)
    try:
        origin = json.loads((place / ORIGIN).read_text(encoding="utf-8"))
        known = origin["root"], origin["fingerprint"]
    except (FileNotFoundError, ValueError, LookupError) as error:
        raise InputError(
            f"{place / ORIGIN} is gone or spoilt: remove {place} to prepare it again"
        ) from error
    stamps = _stamps(tree, builder)
    # Sizes and times first; the fingerprint reads every table of the tree again.
    if all(origin.get(name, stamp) == stamp for name, stamp in stamps.items()):
        return
    # Notes of its own: what is wrong with the tree was said when it was prepared
    if fingerprint(tree, builder.records(tree, config, Notes())) == known[1]:
        return
    if stamps["root"] == known[0]:
        raise InputError(
            f"{tree} has changed since {place} was prepared from it: delete {place} to "
            "read it again"
        )
    raise InputError(
        f"{place} was prepared from {known[0]}, whose content was not that of {tree}: "
        "set the field source to tell the two apart, or delete the folder"
    )


def _stamps(tree: Path, builder: type[CohortBuilder]) -> dict[str, Any]:
    """Where a tree lies, and what shows without opening a file whether it has changed."""
    outside = {
        str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in builder.tables(tree)
    }
    return {
        "root": str(tree.resolve()),
        "tables": {**table_stamps(tree), **outside},
        "files": file_stamp(tree),
    }


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Keeps TFDS from drawing its own progress bars and notices."""
    level = logging.get_verbosity()
    tfds.disable_progress_bar()
    # TFDS logs and prints its notices, so both are closed
    logging.set_verbosity(logging.ERROR)
    try:
        with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
            yield
    finally:
        logging.set_verbosity(level)


def _write(
    builder: type[CohortBuilder],
    config: CohortConfig,
    tree: Path,
    aside: Path,
    records: list[SourceRecord],
    notes: Notes,
    findings: Findings,
    workers: int,
    progress: bool,
) -> Path:
    """Writes the array records aside and returns their folder."""
    read = track(records, f"read {config.name}", "file", shown=progress)
    stream = findings.watch(builder.samples(tree, read, config, notes, workers))
    # TFDS fails without a reason on a data set of no examples.
    first = next(stream, None)
    if first is None:
        raise InputError(f"no file of {tree} could be used: {notes.left_out()}")
    with _quiet_tfds():
        writer = builder(
            config, str(aside), chain((first,), stream, _ordering(config.name, progress))
        )
        writer.download_and_prepare()
    return Path(writer.data_path)


def _ordering(name: str, progress: bool) -> Iterator[Any]:
    """Comes after the last example and adds none: from here on TFDS puts the examples in their
    order on disk, and may say how far it is.
    """
    if progress and processes.is_primary():
        print(f"write {name}: putting the examples in their order", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            tfds.enable_progress_bar()
    # makes this a generator: the code above runs when TFDS asks for the example after the last
    yield from ()


def _finish(
    written: Path, origin: dict[str, Any], notes: Notes, config: CohortConfig, progress: bool
) -> None:
    """Reads the records back in their order on disk and writes table, exclusions and origin beside
    them.
    """
    # TFDS orders examples by a hash of their names: the table follows the records, not the tree.
    records = open_records(written)
    # row by row, without keeping the images
    rows = [
        {name: _plain(value) for name, value in records[i].items() if not _is_image(name)}
        for i in track(range(len(records)), "check", "example", shown=progress)
    ]
    pd.DataFrame(rows).to_parquet(written / TABLE, index=False)
    (written / EXCLUSIONS).write_text(csv_text(notes.table()), encoding="utf-8")
    origin = {
        **origin,
        "examples": len(rows),
        "patients": len({row["patient_id"] for row in rows}),
        "notes": {f"{action}: {kind}": count for (action, kind), count in notes.counts().items()},
        "config": dataclasses.asdict(config),
    }
    (written / ORIGIN).write_text(json.dumps(origin, indent=1), encoding="utf-8")


def _is_image(name: str) -> bool:
    """Whether a field of a record holds an image, and no cell of the table."""
    return name in ("image", "mask") or name.startswith(STORED)


def _plain(value: Any) -> Any:
    """A record's scalar as a plain Python value (TFDS hands text out as bytes)."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.ndarray | np.generic) else value
