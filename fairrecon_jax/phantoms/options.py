"""What a phantom cohort is like: who is in it, how often each finding occurs, and which group's
lesions are fainter.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["xray", "brain"]
KINDS: tuple[Kind, ...] = ("xray", "brain")

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
"""The twelve findings that are drawn, in CheXpert's column order (without No Finding and Support
Devices).
"""

DIAGNOSES = ("Grade 4", "Glioblastoma")
"""What `prevalence_by_group` can set for brains: the share of grade 4, and of glioblastoma among
grade 4.
"""

SEXES = ("Female", "Male")
AGES = ("younger", "older")
RACES = (
    "White",
    "Black",
    "Asian",
    "Native Hawaiian or Pacific Islander",
    "American Indian or Alaska Native",
    "Other",
)
GROUPS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "xray": {"sex": SEXES, "age": AGES, "race": RACES},
    "brain": {"sex": SEXES, "age": AGES},
}
GRADES = (2, 3, 4)
Release = Literal["v3", "v5"]

XRAY_ONLY: Mapping[str, Any] = {"only": "xray"}
BRAIN_ONLY: Mapping[str, Any] = {"only": "brain"}

DEFAULT_PREVALENCE: Mapping[str, float] = {
    "Enlarged Cardiomediastinum": 0.06,
    "Cardiomegaly": 0.15,
    "Lung Opacity": 0.08,
    "Lung Lesion": 0.10,
    "Edema": 0.12,
    "Consolidation": 0.08,
    "Pneumonia": 0.08,
    "Atelectasis": 0.12,
    "Pneumothorax": 0.10,
    "Pleural Effusion": 0.20,
    "Pleural Other": 0.06,
    "Fracture": 0.06,
}


@dataclasses.dataclass(frozen=True)
class PhantomOptions:
    """The knobs of a phantom cohort; all are checked when the object is made, and again against the
    kind when a tree is written.

    Attributes:
      patients: number of patients (of the training tree for radiographs), >= 1.
      seed: patient n is a function of (seed, n) and of the knobs of content below, never of
        `patients` or `workers`.
      size: pixels per side; None is 320 for radiographs and 240 for brains. At least 32.
      workers: processes that draw; 1 draws in this process.
      sex_shares: share of each sex, {"Female": p, "Male": 1 - p}.
      age_mean: mean age in years of the (clipped) normal distribution.
      age_sd: its standard deviation in years.
      age_cut: age >= age_cut is "older"; None is 62 for radiographs and 58 for brains.
      lesion_contrast: the planted gap, {attribute: {group: multiplier}}; multipliers of one
        patient's groups multiply.
      contrast_mean: multiplier of every lesion's contrast; 1 is plainly visible.
      contrast_spread: standard deviation of the logarithm of a patient's own multiplier.
      prevalence_by_group: {attribute: {group: {finding: share}}} replaces the overall share in that
        group.
      label_noise: share of written labels that are flipped (brains: grade or type replaced).
      missing_demographics: share of patients whose sex, age or race (each by itself) is not
        recorded.
      race_shares: share of each of the six race groups (radiographs).
      prevalence: share of studies in which each finding is drawn; findings left out are never drawn
        (radiographs).
      hierarchy: an image with oedema, consolidation, pneumonia, atelectasis or a lesion is labelled
        Lung Opacity too, and cardiomegaly counts as Enlarged Cardiomediastinum, as in CheXpert's
        label tree (radiographs).
      uncertain_rate: share of labels written -1.0 (radiographs).
      blank_rate: share of negative labels left blank (radiographs).
      images_per_patient: smallest and largest number of frontal studies of a patient (radiographs).
      lateral_share: share of studies with a lateral view beside the frontal one (radiographs).
      valid_patients: patients of the official validation tree, numbered from 64541 (radiographs).
      slices: axial slices of a volume (brains). At least 8.
      grade_shares: share of WHO grade 2, 3, 4 (brains).
      glioblastoma_share: share of glioblastoma, IDH-wildtype among grade 4 (brains).
      follow_up_share: share of patients with a second exam (brains); in release "v3" only the six
        numbers that have one.
      release: "v3" (metadata_v2, follow-ups under numbers of their own) or "v5" (ids end in
        _FU007d).
      first_id: number of the first patient; None is 1 for radiographs and 4 for brains.
      skull_stripped: write the brain alone, background exactly 0 (brains).
    """

    patients: int = 200
    seed: int = 0
    size: int | None = None
    workers: int = 1
    sex_shares: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"Female": 0.45, "Male": 0.55}
    )
    age_mean: float = 60.0
    age_sd: float = 16.0
    age_cut: float | None = None
    lesion_contrast: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    contrast_mean: float = 1.0
    contrast_spread: float = 0.15
    prevalence_by_group: Mapping[str, Mapping[str, Mapping[str, float]]] = dataclasses.field(
        default_factory=dict
    )
    label_noise: float = 0.0
    missing_demographics: float = 0.0
    race_shares: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {
            "White": 0.56,
            "Black": 0.14,
            "Asian": 0.14,
            "Native Hawaiian or Pacific Islander": 0.03,
            "American Indian or Alaska Native": 0.02,
            "Other": 0.11,
        },
        metadata=XRAY_ONLY,
    )
    prevalence: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: dict(DEFAULT_PREVALENCE), metadata=XRAY_ONLY
    )
    hierarchy: bool = dataclasses.field(default=True, metadata=XRAY_ONLY)
    uncertain_rate: float = dataclasses.field(default=0.0, metadata=XRAY_ONLY)
    blank_rate: float = dataclasses.field(default=0.0, metadata=XRAY_ONLY)
    images_per_patient: tuple[int, int] = dataclasses.field(default=(1, 1), metadata=XRAY_ONLY)
    lateral_share: float = dataclasses.field(default=0.0, metadata=XRAY_ONLY)
    valid_patients: int = dataclasses.field(default=4, metadata=XRAY_ONLY)
    slices: int = dataclasses.field(default=155, metadata=BRAIN_ONLY)
    grade_shares: Mapping[int, float] = dataclasses.field(
        default_factory=lambda: {2: 0.2, 3: 0.2, 4: 0.6}, metadata=BRAIN_ONLY
    )
    glioblastoma_share: float = dataclasses.field(default=0.9, metadata=BRAIN_ONLY)
    follow_up_share: float = dataclasses.field(default=0.0, metadata=BRAIN_ONLY)
    release: Release = dataclasses.field(default="v3", metadata=BRAIN_ONLY)
    first_id: int | None = None
    skull_stripped: bool = dataclasses.field(default=False, metadata=BRAIN_ONLY)

    def __post_init__(self) -> None:
        """Checks every knob that can be judged without knowing the kind."""
        _check_counts(self)
        _check_shares("sex_shares", self.sex_shares, SEXES)
        _check_shares("race_shares", self.race_shares, RACES)
        object.__setattr__(
            self, "grade_shares", {_grade(g): share for g, share in self.grade_shares.items()}
        )
        _check_shares("grade_shares", self.grade_shares, GRADES)
        rates = (
            "label_noise",
            "missing_demographics",
            "uncertain_rate",
            "blank_rate",
            "lateral_share",
            "glioblastoma_share",
            "follow_up_share",
        )
        for name in rates:
            _check_rate(name, getattr(self, name))
        _check_names("prevalence", self.prevalence, FINDINGS)
        for finding, share in self.prevalence.items():
            _check_rate(f"prevalence[{finding!r}]", share)
        if self.release not in ("v3", "v5"):
            raise ValueError(f'release is {self.release!r}; choose "v3" or "v5"')

    def resolved(self, kind: str) -> PhantomOptions:
        """The same options with the defaults of `kind` filled in (size, age_cut, first_id).

        Raises:
          ValueError: unknown kind, a knob that only the other kind has was changed, or a group that
            the kind does not know.
        """
        if kind not in KINDS:
            raise ValueError(f"phantom kind is {kind!r}; choose one of {', '.join(KINDS)}")
        known: Kind = "xray" if kind == "xray" else "brain"
        _check_foreign_knobs(self, known)
        _check_groups("lesion_contrast", self.lesion_contrast, known)
        for attribute, groups in self.lesion_contrast.items():
            for group, factor in groups.items():
                _check_positive(f"lesion_contrast[{attribute!r}][{group!r}]", factor)
        _check_prevalence_by_group(self, known)
        defaults = {"xray": (320, 62.0, 1), "brain": (240, 58.0, 4)}[known]
        return dataclasses.replace(
            self,
            size=defaults[0] if self.size is None else self.size,
            age_cut=defaults[1] if self.age_cut is None else self.age_cut,
            first_id=defaults[2] if self.first_id is None else self.first_id,
        )

    def age_group(self, age: float) -> str:
        """ "older" from the cut on, "younger" below it; only for resolved options."""
        if self.age_cut is None:
            raise ValueError("age_cut is None; call resolved(kind) first")
        return AGES[int(age >= self.age_cut)]


def _grade(name: int | str) -> int:
    try:
        return int(name)
    except ValueError as error:
        raise ValueError(f"grade_shares has {name!r}; grades are {GRADES}") from error


def _check_counts(options: PhantomOptions) -> None:
    bounds = {
        "patients": 1,
        "seed": 0,
        "size": 32,
        "workers": 1,
        "valid_patients": 0,
        "slices": 8,
        "first_id": 1,
    }
    for name, least in bounds.items():
        value = getattr(options, name)
        if value is None and name in ("size", "first_id"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    low_high = tuple(options.images_per_patient)
    if len(low_high) != 2 or not 1 <= low_high[0] <= low_high[1]:
        raise ValueError(
            f"images_per_patient is {options.images_per_patient!r}; give (smallest, "
            "largest) with 1 <= smallest <= largest"
        )
    for name in ("contrast_mean", "age_mean"):
        _check_positive(name, getattr(options, name))
    for name in ("contrast_spread", "age_sd"):
        value = getattr(options, name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value!r}; it must be a finite number of at least 0")
    if options.age_cut is not None:
        _check_positive("age_cut", options.age_cut)


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value!r}; it must be a finite number above 0")


def _check_rate(name: str, value: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{name} is {value!r}; a share lies between 0 and 1")


def _check_names(name: str, given: Mapping[Any, Any], allowed: tuple[Any, ...]) -> None:
    unknown = [key for key in given if key not in allowed]
    if unknown:
        raise ValueError(f"{name} has {unknown[0]!r}; choose from {', '.join(map(str, allowed))}")


def _check_shares(name: str, shares: Mapping[Any, float], allowed: tuple[Any, ...]) -> None:
    _check_names(name, shares, allowed)
    for key, share in shares.items():
        _check_rate(f"{name}[{key!r}]", share)
    total = math.fsum(shares.values())
    if abs(total - 1) > 1e-6:
        raise ValueError(f"{name} sums to {total:g}; shares must sum to 1")


def _check_groups(name: str, by_attribute: Mapping[str, Mapping[str, Any]], kind: Kind) -> None:
    _check_names(name, by_attribute, tuple(GROUPS[kind]))
    for attribute, groups in by_attribute.items():
        _check_names(f"{name}[{attribute!r}]", groups, GROUPS[kind][attribute])


def _check_prevalence_by_group(options: PhantomOptions, kind: Kind) -> None:
    _check_groups("prevalence_by_group", options.prevalence_by_group, kind)
    owner: dict[str, str] = {}
    for attribute, groups in options.prevalence_by_group.items():
        for group, shares in groups.items():
            where = f"prevalence_by_group[{attribute!r}][{group!r}]"
            _check_names(where, shares, FINDINGS if kind == "xray" else DIAGNOSES)
            for finding, share in shares.items():
                _check_rate(f"{where}[{finding!r}]", share)
                if owner.setdefault(finding, attribute) != attribute:
                    raise ValueError(
                        f"prevalence_by_group sets {finding!r} for both "
                        f"{owner[finding]!r} and {attribute!r}; set it for one attribute"
                    )


def _check_foreign_knobs(options: PhantomOptions, kind: Kind) -> None:
    plain = PhantomOptions()
    for field in dataclasses.fields(options):
        only = field.metadata.get("only", kind)
        if only != kind and getattr(options, field.name) != getattr(plain, field.name):
            raise ValueError(
                f"{field.name} is a knob of {only} phantoms; {kind} phantoms do not have it"
            )
