"""CheXpert (small or full): `train/patient00001/study1/view1_frontal.jpg`, `train.csv` and, for
race, `CHEXPERT DEMO.xlsx`.

The official validation and test sets come without demographics, so all splits are cut from
`train.csv` by patient.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from fairrecon_jax.data import policies
from fairrecon_jax.data.builder import XRAY_LEVELS, CohortBuilder, Sample, whole_image
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.cohorts.chexpert.demographics import read_demographics
from fairrecon_jax.data.files import Finder, in_folder
from fairrecon_jax.data.images import load_grey
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import SourceRecord
from fairrecon_jax.data.tables import number, plausible_age, read_table, rows_of
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import Task

NO_FINDING, DEVICES = "No Finding", "Support Devices"
FINDINGS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
)
LABELS = (NO_FINDING, *FINDINGS, DEVICES)
NEEDED = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)


def column_of(label: str) -> str:
    """The task name of a label: "Pleural Effusion" -> "pleural_effusion"."""
    return label.lower().replace(" ", "_")


class Chexpert(CohortBuilder):
    """Chest X-rays with 12 findings; `no_finding` and `support_devices` can be asked for as further
    tasks.
    """

    cohort: ClassVar[str] = "chexpert"
    title: ClassVar[str] = "CheXpert"
    modality: ClassVar[Any] = "xray"
    degradation = XRAY_LEVELS
    dtype: ClassVar[type] = np.uint8
    citation: ClassVar[str] = (
        "J. Irvin et al., CheXpert: a large chest radiograph dataset with uncertainty "
        "labels and expert comparison, AAAI 2019; "
        "Stanford University School of Medicine CheXpert Dataset Research Use Agreement."
    )
    columns: ClassVar[dict[str, type]] = {
        "sex_recorded": str,
        "sex_demographics": str,
        "race_recorded": str,
        "age_years": float,
        "view": str,
        "projection": str,
        **{f"{column_of(label)}_recorded": float for label in LABELS},
    }
    tasks: ClassVar[tuple[Task, ...]] = tuple(
        Task(column_of(name), "classification", "none", name) for name in FINDINGS
    )
    extra_tasks: ClassVar[tuple[Task, ...]] = tuple(
        Task(column_of(name), "classification", "none", name) for name in (NO_FINDING, DEVICES)
    )
    attribute_names: ClassVar[tuple[str, ...]] = ("sex", "age", "race")
    default_age_cut: ClassVar[float | str] = 62.0

    @classmethod
    def scan(
        cls, root: Path, config: CohortConfig, notes: Notes, progress: bool = False
    ) -> list[SourceRecord]:
        """One record per row of train.csv whose view is wanted; views left out are counted in one
        note each.
        """
        path = _table_path(root)
        table = read_table(path, NEEDED)
        folder = path.parent.relative_to(root)
        # the workbook is a separate download, which people put beside or inside the tree
        people = read_demographics(
            dict.fromkeys((root, path.parent, *sorted(p for p in root.iterdir() if p.is_dir()))),
            notes,
        )
        finder = Finder(root)
        records, left_out, place = [], Counter[str](), (folder / path.name).as_posix()
        # the header is row 1, as a spreadsheet counts
        for line, row in enumerate(
            track(rows_of(table), f"rows of {place}", "row", shown=progress), start=2
        ):
            record = _record(row, folder, f"{place}#{line}", people, notes)
            if record and record.columns["view"] in config.views:
                file = record.files[0]
                # looked up only where it does not lie as written, e.g. in other capitals
                if not (root / file).is_file() and (found := finder.find(file)[0]):
                    record = dataclasses.replace(record, files=(found,))
                records.append(record)
            elif record:
                # counted: one note per lateral film would be tens of thousands
                left_out[record.columns["view"]] += 1
        for view, count in sorted(left_out.items()):
            notes.skip(
                place,
                "view",
                f"{count} {view} images left out, as views is {', '.join(config.views)}",
            )
        return records

    @classmethod
    def load(
        cls, root: Path, record: SourceRecord, config: CohortConfig, notes: Notes
    ) -> list[Sample]:
        """Reads one X-ray."""
        image = load_grey(root, record.files[0], notes)
        return (
            [] if image is None else whole_image(record, image, config.image_size, cls.dtype, notes)
        )

    @classmethod
    def lists(cls, root: Path) -> dict[str, set[str]]:
        """Patients of train.csv and, where it is, valid.csv."""
        folder = _table_path(root).parent
        paths = [path for path in (folder / "train.csv", folder / "valid.csv") if path.is_file()]
        by_table = {
            # by pattern: the two tables have different prefixes
            path.stem: read_table(path, ("Path",))["Path"].str.extract(r"(patient\d+)")[0].dropna()
            for path in paths
        }
        return {name: set(patients) for name, patients in by_table.items()}

    @classmethod
    def labels(cls, raw: pd.DataFrame, config: CohortConfig) -> dict[str, np.ndarray]:
        """Recorded labels under the uncertainty policy; No Finding = 1 makes every finding but
        support devices 0.
        """
        healthy = raw[f"{column_of(NO_FINDING)}_recorded"].to_numpy() == 1
        values = {
            label: policies.uncertain(
                raw[f"{column_of(label)}_recorded"].to_numpy(), config.uncertainty
            )
            for label in LABELS
        }
        return {
            # support devices are no finding: they may stand beside No Finding
            column_of(label): np.where(healthy & (label in FINDINGS), np.float32(0), value)
            for label, value in values.items()
        }


def _table_path(root: Path) -> Path:
    # the root may be the folder of the release or the one above
    folders = (root, *sorted(path for path in root.iterdir() if path.is_dir()))
    tables = [path for folder in folders for path in in_folder(folder, "train.csv")]
    if len(tables) != 1:
        raise FileNotFoundError(
            f"expected one train.csv in {root} or one folder below, found "
            f"{[str(path) for path in tables] or 'none'}"
        )
    return tables[0]


def _record(
    row: dict[str, str], folder: Path, place: str, people: dict[str, tuple[str, str]], notes: Notes
) -> SourceRecord | None:
    """One row as a record; whatever stands before train/patient.../study.../view... in its path is
    stripped.
    """
    text = normal(row["Path"])
    # tables are also rewritten on Windows
    parts = [part for part in text.replace("\\", "/").split("/") if part]
    if ".." in parts:
        notes.skip(place, "outside_root", f"{text} leaves the data folder")
        return None
    if (
        len(parts) < 4
        or not re.fullmatch(r"patient\d+", parts[-3])
        or not re.fullmatch(r"study\d+", parts[-2])
    ):
        notes.skip(place, "unknown_name", f"{text!r} is not .../patient<n>/study<n>/<view>.jpg")
        return None
    view, patient = row["Frontal/Lateral"].strip().lower(), parts[-3]
    if view not in ("frontal", "lateral"):
        notes.skip(
            place,
            "unknown_label",
            f"view {row['Frontal/Lateral']!r} is neither Frontal nor Lateral",
        )
        return None
    age = number(row["Age"])
    sex, race = people.get(patient, ("", ""))
    columns = {
        "sex_recorded": row["Sex"].strip(),
        "sex_demographics": sex,
        "race_recorded": race,
        "age_years": plausible_age(age),
        "view": view,
        "projection": row["AP/PA"].strip(),
        **_recorded(row, place, notes),
    }
    return SourceRecord(
        "/".join((*parts[-3:-1], parts[-1].rsplit(".", 1)[0])),
        patient,
        # the prefix in the table names the release, not the folder it was unpacked to
        ("/".join((*folder.parts, *parts[-4:])),),
        columns,
    )


def _recorded(row: dict[str, str], place: str, notes: Notes) -> dict[str, float]:
    """The 14 labels of a row: 1, 0, -1 or NaN; anything else is noted and becomes NaN."""
    values = {label: number(row[label]) for label in LABELS}
    for label, value in values.items():
        # NaN is in no tuple, so a blank gets here and is let through by the second half
        if value not in (1.0, 0.0, -1.0) and row[label].strip():
            notes.keep(
                place,
                "unknown_label",
                f"{label} is {row[label]!r}, not 1.0, 0.0, -1.0 or blank; it counts as unknown",
            )
            values[label] = float("nan")
    present = [label for label in FINDINGS if values[label] == 1]
    if values[NO_FINDING] == 1 and present:
        notes.keep(
            place, "conflict", f"No Finding together with {', '.join(present)}; No Finding counts"
        )
    return {f"{column_of(label)}_recorded": value for label, value in values.items()}
