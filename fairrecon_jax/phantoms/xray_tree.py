"""Writes radiograph phantoms as a CheXpert tree."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fairrecon_jax.phantoms.options import FINDINGS, XrayPhantomOptions
from fairrecon_jax.phantoms.population import Person, Study, draw_person, draw_studies, stream
from fairrecon_jax.phantoms.radiograph import draw_frontal, draw_lateral
from fairrecon_jax.phantoms.writing import map_patients, write_csv, write_jpeg, write_xlsx
from fairrecon_jax.types import InputError

FOLDER = "CheXpert-v1.0-small"
COLUMNS = (
    "Path",
    "Sex",
    "Age",
    "Frontal/Lateral",
    "AP/PA",
    "No Finding",
    *FINDINGS,
    "Support Devices",
)
DEMO = "CHEXPERT DEMO.xlsx"
DEMO_COLUMNS = ("PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")
FIRST_VALID = 64541  # as in CheXpert

_SPELLINGS = {
    "White": ("White", "White", "White, non-Hispanic", "White or Caucasian", "White, Hispanic"),
    "Black": ("Black or African American", "Black, non-Hispanic", "Black, Hispanic"),
    "Asian": ("Asian", "Asian, non-Hispanic", "Asian - Historical Conv", "Asian, Hispanic"),
    "Native Hawaiian or Pacific Islander": (
        "Native Hawaiian or Other Pacific Islander",
        "Pacific Islander, non-Hispanic",
        "Pacific Islander, Hispanic",
    ),
    "American Indian or Alaska Native": (
        "American Indian or Alaska Native",
        "Native American, non-Hispanic",
        "Native American, Hispanic",
    ),
    "Other": ("Other", "Other, non-Hispanic", "Other, Hispanic"),
}
_UNKNOWN_RACE = ("Unknown", "Race and Ethnicity Unknown", "Patient Refused", None)

Row = list[Any]


@dataclasses.dataclass(frozen=True)
class _Job:
    stage: Path
    options: XrayPhantomOptions
    number: int
    part: str


def write_xray(stage: Path, options: XrayPhantomOptions) -> list[dict[str, Any]]:
    """Writes images, train.csv, valid.csv and the demographics workbook under `stage`.

    Args:
      stage: an empty folder.
      options: of the cohort.

    Returns:
      The truth of every patient, in the order of their numbers.
    """
    first = options.first_id
    jobs = [_Job(stage, options, first + i, "train") for i in range(options.patients)]
    if jobs[-1].number >= FIRST_VALID and options.valid_patients:
        raise InputError(
            f"first_id + patients reaches {jobs[-1].number}, but validation patients "
            f"start at {FIRST_VALID}: "
            "set valid_patients=0 or lower first_id"
        )
    # drawn in the same pool, and told apart by their part below
    jobs += [_Job(stage, options, FIRST_VALID + i, "valid") for i in range(options.valid_patients)]
    done = map_patients(_write_patient, jobs, options.workers, "radiographs")
    for part in ("train", "valid"):
        rows = [row for job, (rows, _, _) in zip(jobs, done) if job.part == part for row in rows]
        write_csv(stage / FOLDER / f"{part}.csv", COLUMNS, rows)
    write_xlsx(stage / DEMO, DEMO_COLUMNS, [demo for _, demo, _ in done])
    return [truth for _, _, truth in done]


def _write_patient(job: _Job) -> tuple[list[Row], Row, dict[str, Any]]:
    person = draw_person(job.options, job.number)
    rows: list[Row] = []
    truths = []
    for study in draw_studies(job.options, person):
        folder = f"{FOLDER}/{job.part}/patient{person.number:05d}/study{study.number}"
        image, geometry = draw_frontal(job.options, person, study)
        frontal = f"{folder}/view1_frontal.jpg"
        write_jpeg(job.stage / frontal, image)
        rows.append(_row(frontal, person, study, "Frontal"))
        if study.lateral:
            lateral = f"{folder}/view2_lateral.jpg"
            write_jpeg(job.stage / lateral, draw_lateral(job.options, person, study))
            rows.append(_row(lateral, person, study, "Lateral"))
        truths.append(
            {
                "example_id": frontal.removeprefix(f"{FOLDER}/{job.part}/").removesuffix(".jpg"),
                "path": frontal,
                "age": study.age,
                "projection": study.projection,
                "drawn": list(study.drawn),
                "labels": {f: int(study.labels[f]) for f in FINDINGS},
                "geometry": geometry,
            }
        )
    truth = {
        "patient_id": f"patient{person.number:05d}",
        "part": job.part,
        "race": person.race,
        **person_truth(person),
        "studies": truths,
    }
    return rows, _demo_row(job.options, person), truth


def person_truth(person: Person) -> dict[str, Any]:
    """The part of a patient's truth that radiographs and brains share."""
    return {
        "sex": person.sex,
        "age": person.age,
        "age_group": person.age_group,
        "lesion_contrast": round(person.contrast, 6),
        "planted_multiplier": round(person.planted, 6),
        "not_recorded": list(person.missing),
    }


def _row(path: str, person: Person, study: Study, view: str) -> Row:
    sex = "Unknown" if "sex" in person.missing else person.sex
    # CheXpert's tables write a missing age as 0.
    age = 0 if "age" in person.missing else study.age
    written = [study.written[f] for f in FINDINGS]
    # No Finding is 1 or blank, never 0.
    nothing = 1.0 if all(v in (0.0, None) for v in written) else None
    return [
        path,
        sex,
        age,
        view,
        study.projection if view == "Frontal" else None,
        nothing,
        *written,
        None,
    ]


def _demo_row(options: XrayPhantomOptions, person: Person) -> Row:
    spellings = _UNKNOWN_RACE if "race" in person.missing else _SPELLINGS[person.race]
    # one spelling per patient, as the workbook has one row each
    spelling = spellings[int(stream(options, person.number, "spelling").integers(len(spellings)))]
    if spelling is None or "race" in person.missing:
        ethnicity = "Unknown"
    else:
        ethnicity = (
            "Hispanic/Latino" if spelling.endswith(", Hispanic") else "Non-Hispanic/Non-Latino"
        )
    sex = "Unknown" if "sex" in person.missing else person.sex
    age = None if "age" in person.missing else person.age
    return [f"patient{person.number:05d}", sex, age, spelling, ethnicity]
