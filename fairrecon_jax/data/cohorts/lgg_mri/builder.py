"""LGG MRI segmentation (kaggle_3m): `TCGA_<site>_<id>_<date>/<same>_<slice>.tif` with `_mask.tif`
beside it and `data.csv`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from fairrecon_jax.data.builder import MRI_LEVELS, CohortBuilder, Sample
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.files import in_folder
from fairrecon_jax.data.images import (
    UnreadableImage,
    is_constant,
    read_tiff,
    resize,
    resize_mask,
    to_integers,
)
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import SourceRecord
from fairrecon_jax.data.tables import number, plausible_age, read_table, rows_of
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.runtime.text import normal
from fairrecon_jax.types import Task

# channels are pre-contrast, FLAIR, post-contrast
FLAIR = 1
FOLDER = re.compile(r"(TCGA_[A-Z0-9]+_[A-Z0-9]+)_\d{8}", flags=re.IGNORECASE)
SLICE = re.compile(r"(.+)_(\d+)\.tiff?", flags=re.IGNORECASE)
MASK = re.compile(r"(.+)_mask\.tiff?", flags=re.IGNORECASE)
SEX_CODES = {1.0: "female", 2.0: "male"}
RACE_CODES = {2.0: "Black or African American", 3.0: "White"}
NEEDED = ("Patient", "gender", "age_at_initial_pathologic", "race", "neoplasm_histologic_grade")


class LggMri(CohortBuilder):
    """Lower-grade glioma, FLAIR slices: grade III against II and tumour segmentation."""

    cohort: ClassVar[str] = "lgg_mri"
    title: ClassVar[str] = "LGG MRI segmentation (TCGA-LGG)"
    modality: ClassVar[Any] = "mri"
    degradation = MRI_LEVELS
    dtype: ClassVar[type] = np.uint8
    citation: ClassVar[str] = (
        "M. Buda, A. Saha, M. A. Mazurowski, Association of genomic subtypes of "
        "lower-grade gliomas with shape features automatically "
        "extracted by a deep learning algorithm, Computers in Biology and Medicine 109, "
        "2019; images from TCGA-LGG, The Cancer Imaging "
        "Archive; CC BY-NC-SA 4.0."
    )
    columns: ClassVar[dict[str, type]] = {
        "sex_recorded": str,
        "race_recorded": str,
        "age_years": float,
        "grade_recorded": float,
        "slice": int,
        "slices": int,
        "tumor_pixels": int,
    }
    tasks: ClassVar[tuple[Task, ...]] = (
        Task("grade", "classification", "median", "Grade III (against II)"),
        Task("tumor", "segmentation", "mean", "Tumour"),
    )
    attribute_names: ClassVar[tuple[str, ...]] = ("sex", "age", "race")
    # The paper's slices 60 to 130 of 155, as fractions of any volume.
    default_slices: ClassVar[str | tuple[float, float]] = (60 / 154, 130 / 154)

    @classmethod
    def scan(
        cls, root: Path, config: CohortConfig, notes: Notes, progress: bool = False
    ) -> list[SourceRecord]:
        """One record per slice file; slices are ordered by their number, not by their name."""
        clinical = _clinical(root, notes)
        records = []
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        for folder in track(folders, "patients' folders", "folder", shown=progress):
            match = FOLDER.fullmatch(folder.name)
            if not match:
                notes.skip(
                    folder.name,
                    "unknown_name",
                    "a folder that is not named TCGA_<site>_<id>_<date>",
                )
                continue
            # kept: its mask can be learned from without a grade
            patient = match[1].upper()
            if patient not in clinical:
                notes.keep(folder.name, "no_row", f"data.csv has no row for {patient}")
            columns = {**_UNKNOWN, **clinical.get(patient, {})}
            records += _slices(folder, patient, columns, config, notes)
        return records

    @classmethod
    def load(
        cls, root: Path, record: SourceRecord, config: CohortConfig, notes: Notes
    ) -> list[Sample]:
        """Reads one slice: channel 1 is FLAIR; the mask is 0 or 255."""
        image_file, mask_file = record.files
        if not (root / mask_file).is_file():
            notes.skip(image_file, "missing_mask", f"no file {mask_file}")
            return []
        try:
            image, mask = read_tiff(root / image_file), read_tiff(root / mask_file)
        except UnreadableImage as error:
            notes.skip(image_file, "unreadable", str(error))
            return []
        # one channel alone does not say which sequence it is
        if image.ndim != 3 or image.shape[-1] != 3:
            notes.skip(image_file, "wrong_shape", f"expected [height, width, 3], got {image.shape}")
            return []
        if mask.shape != image.shape[:2]:
            notes.skip(image_file, "mask_shape", f"mask {mask.shape}, image {image.shape[:2]}")
            return []
        # of one bit there is only in and out
        if mask.dtype != bool and set(np.unique(mask)) - {0, 255}:
            notes.keep(
                mask_file,
                "mask_values",
                f"values {np.unique(mask).tolist()[:6]} instead of 0 and 255; non-zero "
                "counts as tumour",
            )
        flair = resize(image[..., FLAIR], config.image_size)
        if is_constant(flair):
            notes.skip(image_file, "constant", "the FLAIR channel holds one single value")
            return []
        small = resize_mask(mask, config.image_size)
        columns = {**record.columns, "tumor_pixels": int(small.sum())}
        return [
            Sample(
                record.name,
                record.patient_id,
                to_integers(flair, cls.dtype),
                small,
                columns,
                mask.shape,
            )
        ]

    @classmethod
    def labels(cls, raw: pd.DataFrame, config: CohortConfig) -> dict[str, np.ndarray]:
        """Grade III is 1, grade II is 0 (the table's codes 2 and 1)."""
        return {"grade": raw["grade_recorded"].map({1.0: 0.0, 2.0: 1.0}).to_numpy(np.float32)}


_UNKNOWN: dict[str, Any] = {
    "sex_recorded": "",
    "race_recorded": "",
    "age_years": float("nan"),
    "grade_recorded": float("nan"),
}


def _clinical(root: Path, notes: Notes) -> dict[str, dict[str, Any]]:
    """Recorded values by patient; an unknown code is noted and becomes unknown."""
    tables = in_folder(root, "data.csv")
    if len(tables) != 1:
        raise FileNotFoundError(f"expected one table data.csv in {root}, found {len(tables)}")
    table = read_table(tables[0], NEEDED)
    rows: dict[str, dict[str, Any]] = {}
    for line, row in enumerate(rows_of(table), start=2):
        place, patient = f"data.csv#{line}", normal(row["Patient"]).upper()
        if patient in rows:
            notes.skip(place, "duplicate", f"a second row for {patient}; the first counts")
            continue
        sex, race, grade = (
            number(row[name]) for name in ("gender", "race", "neoplasm_histologic_grade")
        )
        if np.isnan(grade):
            notes.keep(place, "missing_label", f"{patient} has no grade")
        elif grade not in (1.0, 2.0):
            notes.keep(
                place, "unknown_label", f"{patient}: grade code {grade:g} is neither 1 nor 2"
            )
            grade = float("nan")
        rows[patient] = {
            # a code that is not known stays as written and is noted later as missing
            "sex_recorded": SEX_CODES.get(sex, row["gender"].strip()),
            "race_recorded": RACE_CODES.get(race, row["race"].strip()),
            "age_years": plausible_age(number(row["age_at_initial_pathologic"])),
            "grade_recorded": grade,
        }
    return rows


def _slices(
    folder: Path, patient: str, columns: dict[str, Any], config: CohortConfig, notes: Notes
) -> list[SourceRecord]:
    """The slices of one volume in their natural order (1, 2, ..., 10), cut to the wanted range."""
    numbered, masks = [], {}
    for path in sorted(folder.iterdir()):
        match, mask = SLICE.fullmatch(path.name), MASK.fullmatch(path.name)
        # a slice that was copied here from elsewhere must not join this volume
        if match and match[1].lower() == folder.name.lower():
            numbered.append((int(match[2]), path))
        elif mask:
            masks[mask[1].lower()] = path.name
        else:
            notes.skip(f"{folder.name}/{path.name}", "unknown_name", "not <folder>_<slice>.tif")
    # by number: sorted by name, 10 comes before 2
    numbered.sort()
    absent = (
        sorted(set(range(1, numbered[-1][0])) - {count for count, _ in numbered})
        if numbered
        else []
    )
    if absent:
        notes.keep(
            folder.name, "missing_file", f"slices {absent} of 1 to {numbered[-1][0]} are not there"
        )
    # positions, not the numbers in the names, which start at 1 and may have gaps
    first, last = (0, len(numbered) - 1) if isinstance(config.slices, str) else config.slices
    return [
        SourceRecord(
            name=f"{folder.name}/{count}",
            patient_id=patient,
            files=(
                f"{folder.name}/{path.name}",
                f"{folder.name}/{masks.get(path.stem.lower(), f'{path.stem}_mask.tif')}",
            ),
            columns={**columns, "slice": position, "slices": len(numbered)},
        )
        for position, (count, path) in enumerate(numbered)
        if first <= position <= last
    ]
