"""Writes brain phantoms as a UCSF-PDGM tree."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fairrecon_jax.phantoms.flair import draw_exam
from fairrecon_jax.phantoms.options import BrainPhantomOptions
from fairrecon_jax.phantoms.population import Glioma, Person, draw_glioma, draw_person, stream
from fairrecon_jax.phantoms.writing import map_patients, write_csv, write_nifti
from fairrecon_jax.phantoms.xray_tree import person_truth

COLUMNS = (
    "ID",
    "Sex",
    "Age at MRI",
    "WHO CNS Grade",
    "Final pathologic diagnosis (WHO 2021)",
    "MGMT status",
    "MGMT index",
    "1p/19q",
    "IDH",
    "1-dead 0-alive",
    "OS",
    "EOR",
    "Biopsy prior to imaging",
    "BraTS21 ID",
    "BraTS21 Segmentation Cohort",
    "BraTS21 MGMT Cohort",
)
FOLLOW_UPS_V3 = {315: 433, 278: 431, 175: 396, 138: 429, 181: 409, 289: 391}
"""Patients of release v3 whose second exam carries a number of its own."""

GLIOBLASTOMA = "Glioblastoma, IDH-wildtype"
_OTHER = {
    2: ("Astrocytoma, IDH-mutant", "Oligodendroglioma, IDH-mutant, 1p/19q-codeleted"),
    3: (
        "Astrocytoma, IDH-mutant",
        "Oligodendroglioma, IDH-mutant, 1p/19q-codeleted",
        "Astrocytoma, IDH-wildtype",
    ),
    4: ("Astrocytoma, IDH-mutant",),
}
_TABLE = {"v3": "UCSF-PDGM-metadata_v2.csv", "v5": "UCSF-PDGM-metadata_v5.csv"}

Row = list[Any]


@dataclasses.dataclass(frozen=True)
class _Job:
    stage: Path
    options: BrainPhantomOptions
    number: int


def write_brain(stage: Path, options: BrainPhantomOptions) -> list[dict[str, Any]]:
    """Writes volumes, masks and the metadata table under `stage`.

    Args:
      stage: an empty folder.
      options: of the cohort.

    Returns:
      The truth of every patient, in the order of their numbers.
    """
    first = options.first_id
    # these numbers are second exams of others in that release
    taken = set(FOLLOW_UPS_V3.values()) if options.release == "v3" else set()
    numbers: list[int] = []
    number = first
    while len(numbers) < options.patients:
        if number not in taken:
            numbers.append(number)
        number += 1
    done = map_patients(
        _write_patient, [_Job(stage, options, n) for n in numbers], options.workers, "brains"
    )
    # by id: a second exam under its own number stands far from its patient's row
    rows = sorted((row for rows, _ in done for row in rows), key=lambda row: row[0])
    write_csv(stage / _TABLE[options.release], COLUMNS, rows)
    return [truth for _, truth in done]


def _exam_ids(options: BrainPhantomOptions, number: int, glioma: Glioma) -> list[tuple[int, str]]:
    """(number, suffix) of a patient's exams."""
    ids = [(number, "")]
    if glioma.follow_up and options.release == "v5":
        ids.append((number, f"_FU{7 + number % 90:03d}d"))
    elif glioma.follow_up and number in FOLLOW_UPS_V3:
        ids.append((FOLLOW_UPS_V3[number], ""))
    return ids


def _write_patient(job: _Job) -> tuple[list[Row], dict[str, Any]]:
    options = job.options
    person = draw_person(options, job.number)
    glioma = draw_glioma(options, person)
    rows, exams = [], []
    for exam, (number, suffix) in enumerate(_exam_ids(options, job.number, glioma)):
        stored, slope, mask, geometry = draw_exam(options, person, glioma, exam)
        name = f"UCSF-PDGM-{number:04d}{suffix}"
        folder = job.stage / f"UCSF-PDGM-{options.release}" / f"{name}_nifti"
        spacing = (240.0 / stored.shape[0], 240.0 / stored.shape[1], 155.0 / stored.shape[2])
        write_nifti(folder / f"{name}_FLAIR.nii.gz", stored, spacing, slope)
        write_nifti(folder / f"{name}_tumor_segmentation.nii.gz", mask, spacing)
        # three digits here and four in the folders, as in the release: readers must match them
        rows.append(_row(options, f"UCSF-PDGM-{number:03d}{suffix}", person, glioma))
        exams.append({"exam_id": name, "geometry": geometry})
    truth = {
        "patient_id": f"UCSF-PDGM-{job.number:04d}",
        **person_truth(person),
        "grade": glioma.grade,
        "glioblastoma": glioma.glioblastoma,
        "exams": exams,
    }
    return rows, truth


def _row(options: BrainPhantomOptions, name: str, person: Person, glioma: Glioma) -> Row:
    rng = stream(options, person.number, "spelling")
    # all at once: a diagnosis that needs fewer moves no other column
    u = rng.random(8)
    grade = glioma.written_grade
    diagnosis = (
        GLIOBLASTOMA
        if glioma.written_glioblastoma
        else _OTHER[grade][int(u[0] * len(_OTHER[grade]))]
    )
    codeleted = "1p/19q-codeleted" in diagnosis
    dead = int(u[1] < (0.7 if grade == 4 else 0.2))
    # M or F, as the release writes them
    sex = "unknown" if "sex" in person.missing else person.sex[0]
    age = None if "age" in person.missing else person.age
    return [
        name,
        sex,
        age,
        grade,
        diagnosis,
        ("positive", "negative", "indeterminate", "unknown")[int(u[2] * 4)]
        if grade == 4
        else "unknown",
        int(u[3] * 17) if grade == 4 else None,
        "co-deletion" if codeleted else "intact" if u[4] < 0.5 else "unknown",
        "wildtype"
        if "wildtype" in diagnosis
        else "IDH1 p.R132H"
        if "IDH-mutant" in diagnosis
        else "mutated (NOS)",
        dead,
        int(60 + u[5] * (700 if grade == 4 else 2500)),
        ("GTR", "STR", "biopsy")[int(u[6] * 3)],
        "Yes" if u[7] < 0.1 else "No",
        None,
        None,
        None,
    ]
