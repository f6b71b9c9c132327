"""Who the patients are: demographics, contrast and findings of patient n, a function of (seed, n)
and the options alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from fairrecon_jax.phantoms.options import (
    FINDINGS,
    GRADES,
    RACES,
    SEXES,
    BrainPhantomOptions,
    PhantomOptions,
    XrayPhantomOptions,
)

Purpose = Literal["person", "studies", "labels", "anatomy", "lesion", "film", "spelling"]
_PURPOSES = ("person", "studies", "labels", "anatomy", "lesion", "film", "spelling")
_OPACITIES = ("Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis")
_PERSISTENCE = 0.7


@dataclasses.dataclass(frozen=True)
class Person:
    """A patient as they are, and which of their data the hospital failed to record.

    Attributes:
      number: the patient's number in the tree.
      sex: "Female" or "Male".
      age: years at the first image.
      age_group: "younger" or "older".
      race: one of the six groups (radiographs), "" for brains.
      contrast: multiplier of the contrast of this patient's lesions (group multipliers times the
        patient's own).
      planted: the group multipliers alone.
      missing: names of the attributes that are not recorded.
    """

    number: int
    sex: str
    age: int
    age_group: str
    race: str
    contrast: float
    planted: float
    missing: tuple[str, ...]

    def groups(self) -> dict[str, str]:
        """The patient's group under each attribute."""
        return {"sex": self.sex, "age": self.age_group} | ({"race": self.race} if self.race else {})


@dataclasses.dataclass(frozen=True)
class Study:
    """One radiographic study of a patient.

    Attributes:
      number: 1, 2, ... within the patient.
      age: years at the study.
      projection: "PA" or "AP".
      lateral: whether a lateral view was taken too.
      drawn: findings that are in the image.
      labels: true label of every finding (drawn, and its parents in the label tree).
      written: what the table says per finding: 1.0, 0.0, -1.0 or None (blank).
    """

    number: int
    age: int
    projection: str
    lateral: bool
    drawn: tuple[str, ...]
    labels: Mapping[str, bool]
    written: Mapping[str, float | None]


@dataclasses.dataclass(frozen=True)
class Glioma:
    """A patient's tumour diagnosis: the true grade and type, and the written ones (they differ by
    label noise).
    """

    grade: int
    glioblastoma: bool
    written_grade: int
    written_glioblastoma: bool
    follow_up: bool


def stream(
    options: PhantomOptions, patient: int, purpose: Purpose, item: int = 0
) -> np.random.Generator:
    """The random numbers for one purpose of one patient: independent of every other patient and
    purpose.
    """
    return np.random.default_rng(
        # NumPy hashes the words, so that neighbouring patients and purposes are independent.
        [options.seed, int(options.kind == "brain"), patient, _PURPOSES.index(purpose), item]
    )


def _choose(draw: float, names: tuple[Any, ...], shares: Mapping[Any, float]) -> Any:
    # Shares sum to 1 only up to rounding: the last edge scales the draw, and bounds the index.
    edges = np.cumsum([shares.get(name, 0.0) for name in names])
    return names[min(int(np.searchsorted(edges, draw * edges[-1], side="right")), len(names) - 1)]


def _share(options: PhantomOptions, person: Person, finding: str, overall: float) -> float:
    for attribute, groups in options.prevalence_by_group.items():
        shares = groups.get(person.groups()[attribute], {})
        if finding in shares:
            return shares[finding]
    return overall


def draw_person(options: PhantomOptions, number: int) -> Person:
    """Draws the demographics and lesion contrast of patient `number`."""
    rng = stream(options, number, "person")
    # Always the same numbers in the same order: an option changes what it names and no other trait.
    uniform = rng.random(5)
    # 18 to 90: adults, and the age at which CheXpert's table is cut
    age = int(np.clip(round(options.age_mean + options.age_sd * rng.standard_normal()), 18, 90))
    spread = float(np.exp(options.contrast_spread * np.clip(rng.standard_normal(), -2, 2)))
    sex = _choose(uniform[0], SEXES, options.sex_shares)
    race = ""
    if isinstance(options, XrayPhantomOptions):
        race = _choose(uniform[1], RACES, options.race_shares)
    group_of = {"sex": sex, "age": options.age_group(age), "race": race}
    planted = 1.0
    for attribute, factors in options.lesion_contrast.items():
        planted *= factors.get(group_of[attribute], 1.0)
    # zip ends with the shorter: brains have no race, and their third number is not used
    missing = tuple(
        a for a, u in zip(options.groups, uniform[2:]) if u < options.missing_demographics
    )
    return Person(
        number,
        sex,
        age,
        group_of["age"],
        race,
        options.contrast_mean * planted * spread,
        planted,
        missing,
    )


def draw_studies(options: XrayPhantomOptions, person: Person) -> tuple[Study, ...]:
    """Draws the radiographic studies of a patient; a finding of one study stays in the next with
    probability 0.7.
    """
    rng = stream(options, person.number, "studies")
    low, high = options.images_per_patient
    count = low + int(rng.random() * (high - low + 1))
    shares = np.array(
        [_share(options, person, f, options.prevalence.get(f, 0.0)) for f in FINDINGS]
    )
    present = np.zeros(len(FINDINGS), bool)
    studies = []
    for number in range(1, count + 1):
        # As many numbers in every study: a prevalence moves no other finding.
        fresh = rng.random(len(FINDINGS)) < shares
        kept = rng.random(len(FINDINGS)) < _PERSISTENCE
        # kept means that present or absent stays as it was
        present = np.where(kept, present, fresh) if number > 1 else fresh
        view, lateral, later = rng.random(3)
        age = min(person.age + int((number - 1) * later), 90)
        drawn = tuple(f for f, p in zip(FINDINGS, present) if p)
        labels = true_labels(drawn, options.hierarchy)
        studies.append(
            Study(
                number,
                age,
                "AP" if view < 0.2 + 0.4 * (person.age >= 60) else "PA",
                bool(lateral < options.lateral_share),
                drawn,
                labels,
                _written_labels(options, person.number, number, labels),
            )
        )
    return tuple(studies)


def true_labels(drawn: tuple[str, ...], hierarchy: bool) -> dict[str, bool]:
    """The label of every finding, given what is in the image; with `hierarchy` a child finding
    implies its parent.
    """
    labels = {f: f in drawn for f in FINDINGS}
    if hierarchy:
        labels["Lung Opacity"] |= any(labels[f] for f in _OPACITIES)
        labels["Enlarged Cardiomediastinum"] |= labels["Cardiomegaly"]
    return labels


def _written_labels(
    options: XrayPhantomOptions, patient: int, study: int, labels: Mapping[str, bool]
) -> dict[str, float | None]:
    rng = stream(options, patient, "labels", study)
    # drawn before the options are looked at: a rate changes only what it names
    flip, doubt, blank = rng.random((3, len(FINDINGS)))
    written: dict[str, float | None] = {}
    for i, finding in enumerate(FINDINGS):
        value = labels[finding] != (flip[i] < options.label_noise)
        if doubt[i] < options.uncertain_rate:
            written[finding] = -1.0
        elif not value and blank[i] < options.blank_rate:
            written[finding] = None
        else:
            written[finding] = float(value)
    return written


def draw_glioma(options: BrainPhantomOptions, person: Person) -> Glioma:
    """Draws grade and type of a patient's tumour; glioblastoma implies grade 4."""
    rng = stream(options, person.number, "studies")
    which, kind, noise_grade, noise_kind, follow = rng.random(5)
    overall = options.grade_shares.get(4, 0.0)
    four = _share(options, person, "Grade 4", overall)
    rest = 1.0 - overall
    # Where all are of grade 4 overall, a group with fewer has grades 2 and 3 in equal parts.
    lower = {g: options.grade_shares.get(g, 0.0) / rest if rest > 0 else 0.5 for g in (2, 3)}
    grade = _choose(which, GRADES, {g: (1 - four) * s for g, s in lower.items()} | {4: four})
    glioblastoma = grade == 4 and kind < _share(
        options, person, "Glioblastoma", options.glioblastoma_share
    )
    written_grade, written_type = grade, glioblastoma
    if noise_grade < options.label_noise:
        # noise crosses the border that the task is about
        written_grade = 4 if grade != 4 else (2 if noise_kind < 0.5 else 3)
        written_type = written_grade == 4 and noise_kind < 0.5
    return Glioma(
        grade,
        bool(glioblastoma),
        written_grade,
        bool(written_type),
        bool(follow < options.follow_up_share),
    )
