"""UCSF-PDGM: `*_FLAIR.nii*` and `*_tumor_segmentation.nii*` anywhere below the root,
`UCSF-PDGM-metadata*.csv` for the patients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from fairrecon_jax.data.builder import MRI_LEVELS, CohortBuilder, Sample
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.cohorts.ucsf_pdgm.identifiers import Exam, parse_exam
from fairrecon_jax.data.files import matching
from fairrecon_jax.data.images import (
    UnreadableImage,
    is_constant,
    load_mask_volume,
    load_volume,
    resize,
    resize_mask,
    same_place,
    to_integers,
    upright,
)
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import SourceRecord
from fairrecon_jax.data.tables import number, plausible_age, read_table, rows_of
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.types import Task

SEX, AGE, GRADE, DIAGNOSIS = (
    "Sex",
    "Age at MRI",
    "WHO CNS Grade",
    "Final pathologic diagnosis (WHO 2021)",
)
NEEDED = ("ID", SEX, AGE, GRADE, DIAGNOSIS)


class UcsfPdgm(CohortBuilder):
    """Diffuse gliomas, FLAIR: grade IV against II and III, glioblastoma against other types, tumour
    segmentation.
    """

    cohort: ClassVar[str] = "ucsf_pdgm"
    title: ClassVar[str] = "UCSF-PDGM"
    modality: ClassVar[Any] = "mri"
    degradation = MRI_LEVELS
    dtype: ClassVar[type] = np.uint16
    citation: ClassVar[str] = (
        "E. Calabrese et al., The University of California San Francisco preoperative "
        "diffuse glioma MRI dataset, Radiology: Artificial "
        "Intelligence 4(6), 2022; The Cancer Imaging Archive, doi "
        "10.7937/tcia.bdgf-8v37; CC BY 4.0."
    )
    columns: ClassVar[dict[str, type]] = {
        "sex_recorded": str,
        "age_years": float,
        "grade_recorded": float,
        "diagnosis_recorded": str,
        "exam": str,
        "slice": int,
        "slices": int,
        "tumor_pixels": int,
    }
    tasks: ClassVar[tuple[Task, ...]] = (
        Task("grade", "classification", "median", "Grade IV (against II and III)"),
        Task("type", "classification", "median", "Glioblastoma (against other types)"),
        Task("tumor", "segmentation", "mean", "Tumour"),
    )
    attribute_names: ClassVar[tuple[str, ...]] = ("sex", "age")
    default_age_cut: ClassVar[float | str] = 58.0
    # The paper's slices 60 to 130 of 155, as fractions of any volume.
    default_slices: ClassVar[str | tuple[float, float]] = (60 / 154, 130 / 154)
    depth: ClassVar[int | None] = 155
    mask_values: ClassVar[tuple[int, ...]] = (1, 2, 4)

    @classmethod
    def scan(
        cls, root: Path, config: CohortConfig, notes: Notes, progress: bool = False
    ) -> list[SourceRecord]:
        """One record per exam that has a FLAIR volume and a mask."""
        clinical = _clinical(root, notes)
        masks = _volumes(root, "tumor_segmentation", notes, progress)
        images = _volumes(root, "FLAIR", notes, progress)
        records = []
        for exam, file in sorted(images.items()):
            if exam not in masks:
                notes.skip(
                    file, "missing_mask", f"no {exam.name}_tumor_segmentation.nii* below the root"
                )
                continue
            # kept: the mask can be learned from without grade and diagnosis
            if exam not in clinical:
                notes.keep(file, "no_row", f"no metadata table has a row for {exam.name}")
            columns = {**_UNKNOWN, **clinical.get(exam, {}), "exam": exam.name}
            records.append(SourceRecord(exam.name, exam.patient_id, (file, masks[exam]), columns))
        for exam in sorted(set(clinical) - set(images)):
            notes.skip(
                f"UCSF-PDGM-metadata#{exam.name}",
                "missing_file",
                f"no {exam.name}_FLAIR.nii* below the root",
            )
        return records

    @classmethod
    def load(
        cls, root: Path, record: SourceRecord, config: CohortConfig, notes: Notes
    ) -> list[Sample]:
        """Reads one exam and cuts it into axial slices, anterior up; slices without contrast are
        noted.
        """
        image_file, mask_file = record.files
        try:
            image = load_volume(root, image_file, notes)
            mask = load_mask_volume(root, mask_file, notes)
        except UnreadableImage as error:
            notes.skip(image_file, "unreadable", str(error))
            return []
        if image.shape != mask.shape:
            notes.skip(image_file, "mask_shape", f"mask {mask.shape}, image {image.shape}")
            return []
        if not same_place(root, image_file, mask_file, notes):
            return []
        strange = sorted(set(np.unique(mask)) - {0, *cls.mask_values})
        if strange:
            notes.keep(
                mask_file,
                "mask_values",
                f"values {strange[:6]} outside 0, 1, 2, 4; {_counted(config)}",
            )
        if config.mask_values:
            mask = np.isin(mask, config.mask_values)
        # by the volume itself: phantoms and resampled copies have other depths
        count = image.shape[2]
        first, last = (0, count - 1) if isinstance(config.slices, str) else config.slices
        samples = []
        for position in range(first, min(last, count - 1) + 1):
            values = resize(upright(image[:, :, position]), config.image_size)
            if is_constant(values):
                notes.skip(
                    f"{image_file}#slice={position}", "constant", "the slice holds one single value"
                )
                continue
            # turned like the image before resizing: both must stay aligned
            small = resize_mask(upright(mask[:, :, position]), config.image_size)
            columns = {
                **record.columns,
                "slice": position,
                "slices": count,
                "tumor_pixels": int(small.sum()),
            }
            name, pixels = f"{record.name}/{position:03d}", to_integers(values, cls.dtype)
            samples.append(Sample(name, record.patient_id, pixels, small, columns, image.shape))
        return samples

    @classmethod
    def labels(cls, raw: pd.DataFrame, config: CohortConfig) -> dict[str, np.ndarray]:
        """Grade 4 is 1, 2 and 3 are 0; a diagnosis that begins with "glioblastoma" is 1, any other
        known one is 0.
        """
        diagnosis = raw["diagnosis_recorded"].str.lower()
        # the words after the comma (IDH status) vary
        glioblastoma = diagnosis.str.startswith("glioblastoma").to_numpy(np.float32)
        return {
            "grade": raw["grade_recorded"].map({2.0: 0.0, 3.0: 0.0, 4.0: 1.0}).to_numpy(np.float32),
            "type": np.where(diagnosis == "", np.float32(np.nan), glioblastoma),
        }


def _counted(config: CohortConfig) -> str:
    """Which values of a mask count as tumour, in words."""
    if config.mask_values:
        return f"{', '.join(map(str, config.mask_values))} count as tumour"
    return "non-zero counts as tumour"


_UNKNOWN: dict[str, Any] = {
    "sex_recorded": "",
    "age_years": float("nan"),
    "grade_recorded": float("nan"),
    "diagnosis_recorded": "",
}


def _volumes(root: Path, kind: str, notes: Notes, progress: bool) -> dict[Exam, str]:
    """Files of one kind by exam; mirrors that nest name.nii/name.nii are found too."""
    files: dict[Exam, str] = {}
    for path in sorted(
        track(matching(root, f"*_{kind}.nii*"), f"files *_{kind}.nii*", "file", shown=progress)
    ):
        file = path.relative_to(root).as_posix()
        exam = parse_exam(path.name)
        if exam is None:
            notes.skip(file, "unknown_name", f"not UCSF-PDGM-<number>[_FU<days>d]_{kind}.nii")
        elif exam in files and path.samefile(root / files[exam]):
            # one file that is linked twice is no second exam
            continue
        elif exam in files:
            notes.skip(file, "duplicate", f"{exam.name} is already there as {files[exam]}")
        else:
            files[exam] = file
    return files


def _clinical(root: Path, notes: Notes) -> dict[Exam, dict[str, Any]]:
    """Recorded values by exam from every metadata table below the root; a later version wins."""
    # by file name, where _v2 sorts before _v5; a mirror's folders say nothing about age
    paths = sorted(matching(root, "UCSF-PDGM-metadata*.csv"), key=lambda path: path.name)
    if not paths:
        raise FileNotFoundError(f"no UCSF-PDGM-metadata*.csv below {root}")
    rows: dict[Exam, dict[str, Any]] = {}
    for path in paths:
        in_table: dict[Exam, dict[str, Any]] = {}
        for line, row in enumerate(rows_of(read_table(path, NEEDED)), start=2):
            place, exam = f"{path.relative_to(root).as_posix()}#{line}", parse_exam(row["ID"])
            if exam is None:
                notes.skip(
                    place, "unknown_name", f"ID {row['ID']!r} is not UCSF-PDGM-<number>[_FU<days>d]"
                )
            elif exam in in_table:
                notes.skip(place, "duplicate", f"a second row for {exam.name}; the first counts")
            else:
                in_table[exam] = _columns(row, place, exam, notes)
        # per table first: a second row of one table is a duplicate, of another table an update
        rows |= in_table
    return rows


def _columns(row: dict[str, str], place: str, exam: Exam, notes: Notes) -> dict[str, Any]:
    age, grade, diagnosis = number(row[AGE]), number(row[GRADE]), row[DIAGNOSIS].strip()
    # the tables write "unknown" as a value
    if diagnosis.lower() in ("unknown", "nan", "n/a"):
        diagnosis = ""
    if not diagnosis:
        notes.keep(place, "missing_label", f"{exam.name} has no diagnosis")
    if grade not in (2.0, 3.0, 4.0):
        known = row[GRADE].strip().lower() in ("", "unknown")
        kind, text = (
            ("missing_label", "no grade")
            if known
            else ("unknown_label", f"grade {row[GRADE]!r}, which is none of 2, 3, 4")
        )
        notes.keep(place, kind, f"{exam.name} has {text}")
        grade = float("nan")
    return {
        "sex_recorded": row[SEX].strip(),
        "age_years": plausible_age(age),
        "grade_recorded": grade,
        "diagnosis_recorded": diagnosis,
    }
