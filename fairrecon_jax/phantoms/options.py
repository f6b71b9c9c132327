"""What a phantom cohort is like: who is in it, how often each finding occurs, and in which group
lesions are fainter.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from fairrecon_jax.keys import free
from fairrecon_jax.phantoms import checks
from fairrecon_jax.registry import hints_of, misfits, numeric
from fairrecon_jax.types import meant

Kind = Literal["xray", "brain"]

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
GRADES = (2, 3, 4)
Release = Literal["v3", "v5"]
PIXEL, VOXEL = 0.1, 0.3
"""Bytes on disk, at least, of a pixel of a radiograph and of a voxel of a brain."""

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
DEFAULT_RACE_SHARES: Mapping[str, float] = dict(zip(RACES, (0.56, 0.14, 0.14, 0.03, 0.02, 0.11)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhantomOptions(abc.ABC):
    """What radiographs and brains have in common; see `XrayPhantomOptions` and
    `BrainPhantomOptions`.

    Patient n is a function of (seed, n) and of the options of content, never of `patients` or
    `workers`.

    Attributes:
      kind: "xray" or "brain".
      groups: the groups of each attribute that options can name.
      conditions: what `prevalence_by_group` can set.
      size: pixels per side, >= 32.
      age_cut: years; age >= age_cut is "older".
      first_id: number of the first patient, >= 1.
      patients: number of patients (of the training tree for radiographs), >= 1.
      seed: of everything that is drawn, >= 0.
      workers: processes that draw; 1 draws in this process.
      sex_shares: share of each sex, {"Female": p, "Male": 1 - p}.
      age_mean: mean age in years of the normal distribution, which is clipped to 18 .. 90.
      age_sd: its standard deviation in years.
      lesion_contrast: the planted gap, {attribute: {group: multiplier}}; multipliers of one
        patient's groups multiply.
      contrast_mean: multiplier of every lesion's contrast; 1 is plainly visible.
      contrast_spread: standard deviation of the logarithm of a patient's own multiplier.
      prevalence_by_group: {attribute: {group: {condition: share}}} replaces the overall share in
        that group.
      label_noise: share of written labels that are flipped (brains: grade or type replaced).
      missing_demographics: share of patients whose sex, age or race (each by itself) is not
        recorded.

    Raises:
      ValueError: an option is out of its range, or names a group or condition that the kind does
        not have; the message names it.

    Example:
      >>> phantom_options("xray", age_cut=65.0).age_group(64.0)
      'younger'
    """

    kind: ClassVar[Kind]
    groups: ClassVar[Mapping[str, tuple[str, ...]]]
    conditions: ClassVar[tuple[str, ...]]

    size: int
    age_cut: float
    first_id: int
    patients: int = 200
    seed: int = 0
    workers: int = free(1)
    sex_shares: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"Female": 0.45, "Male": 0.55}
    )
    age_mean: float = 60.0
    age_sd: float = 16.0
    lesion_contrast: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    contrast_mean: float = 1.0
    contrast_spread: float = 0.15
    prevalence_by_group: Mapping[str, Mapping[str, Mapping[str, float]]] = dataclasses.field(
        default_factory=dict
    )
    label_noise: float = 0.0
    missing_demographics: float = 0.0

    @property
    def depth(self) -> int | None:
        """Slices of a volume; None where single images are drawn."""
        return None

    @property
    @abc.abstractmethod
    def least_bytes(self) -> float:
        """What the images take on disk, at least."""

    def __post_init__(self) -> None:
        for name, least in (
            ("patients", 1),
            ("seed", 0),
            ("size", 32),
            ("workers", 1),
            ("first_id", 1),
        ):
            checks.whole_number(name, getattr(self, name), least)
        for name in ("age_mean", "age_cut", "contrast_mean"):
            checks.positive(name, getattr(self, name))
        for name in ("age_sd", "contrast_spread"):
            checks.not_negative(name, getattr(self, name))
        for name in ("label_noise", "missing_demographics"):
            checks.proportion(name, getattr(self, name))
        checks.distribution("sex_shares", self.sex_shares, SEXES)
        self._check_groups("lesion_contrast", self.lesion_contrast)
        # above 0: a lesion of no contrast would be a positive label without a sign
        for attribute, groups in self.lesion_contrast.items():
            for group, factor in groups.items():
                checks.positive(f"lesion_contrast[{attribute!r}][{group!r}]", factor)
                if factor > checks.MOST["lesion_contrast"]:
                    raise ValueError(
                        f"lesion_contrast[{attribute!r}][{group!r}] is {factor!r}; it must be at "
                        f"most {checks.MOST['lesion_contrast']:,}"
                    )
        self._check_prevalence_by_group()

    def age_group(self, age: float) -> str:
        """ "older" from the cut on, "younger" below it."""
        return AGES[int(age >= self.age_cut)]

    def _check_groups(self, name: str, by_attribute: Mapping[str, Mapping[str, Any]]) -> None:
        checks.known_names(name, by_attribute, tuple(self.groups))
        for attribute, groups in by_attribute.items():
            checks.known_names(f"{name}[{attribute!r}]", groups, self.groups[attribute])

    def _check_prevalence_by_group(self) -> None:
        self._check_groups("prevalence_by_group", self.prevalence_by_group)
        owner: dict[str, str] = {}
        for attribute, groups in self.prevalence_by_group.items():
            for group, shares in groups.items():
                where = f"prevalence_by_group[{attribute!r}][{group!r}]"
                checks.known_names(where, shares, self.conditions)
                for condition, share in shares.items():
                    checks.proportion(f"{where}[{condition!r}]", share)
                    # two attributes would leave the share of a patient in both groups open
                    if owner.setdefault(condition, attribute) != attribute:
                        raise ValueError(
                            f"prevalence_by_group sets {condition!r} for both "
                            f"{owner[condition]!r} and {attribute!r}; set it for one attribute"
                        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class XrayPhantomOptions(PhantomOptions):
    """A cohort of chest radiographs; beside the options of `PhantomOptions`:

    Attributes:
      race_shares: share of each of the six race groups.
      prevalence: share of studies in which each finding is drawn; findings left out are never
        drawn.
      hierarchy: an image with oedema, consolidation, pneumonia, atelectasis or a lesion is labelled
        Lung Opacity too, and cardiomegaly counts as Enlarged Cardiomediastinum, as in CheXpert's
        label tree.
      uncertain_rate: share of labels written -1.0.
      blank_rate: share of negative labels left blank.
      images_per_patient: smallest and largest number of frontal studies of a patient.
      lateral_share: share of studies with a lateral view beside the frontal one.
      valid_patients: patients of the official validation tree, numbered from 64541.

    Example:
      >>> XrayPhantomOptions(patients=50, lesion_contrast={"sex": {"Female": 0.6}}).size
      320
    """

    kind: ClassVar[Kind] = "xray"
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {"sex": SEXES, "age": AGES, "race": RACES}
    conditions: ClassVar[tuple[str, ...]] = FINDINGS

    size: int = 320
    age_cut: float = 62.0
    first_id: int = 1
    race_shares: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: dict(DEFAULT_RACE_SHARES)
    )
    prevalence: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: dict(DEFAULT_PREVALENCE)
    )
    hierarchy: bool = True
    uncertain_rate: float = 0.0
    blank_rate: float = 0.0
    images_per_patient: tuple[int, int] = (1, 1)
    lateral_share: float = 0.0
    valid_patients: int = 4

    @property
    def least_bytes(self) -> float:
        """What the frontal images take on disk, at least."""
        studies = (self.patients + self.valid_patients) * self.images_per_patient[0]
        return studies * self.size**2 * PIXEL

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole_number("valid_patients", self.valid_patients, 0)
        for name in ("uncertain_rate", "blank_rate", "lateral_share"):
            checks.proportion(name, getattr(self, name))
        checks.distribution("race_shares", self.race_shares, RACES)
        checks.known_names("prevalence", self.prevalence, FINDINGS)
        for finding, share in self.prevalence.items():
            checks.proportion(f"prevalence[{finding!r}]", share)
        bounds = tuple(self.images_per_patient)
        if len(bounds) != 2 or not 1 <= bounds[0] <= bounds[1]:
            raise ValueError(
                f"images_per_patient is {self.images_per_patient!r}; give (smallest, largest) "
                "with 1 <= smallest <= largest"
            )
        checks.bounded(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrainPhantomOptions(PhantomOptions):
    """A cohort of FLAIR volumes of gliomas; beside the options of `PhantomOptions`:

    Attributes:
      slices: axial slices of a volume, >= 8.
      grade_shares: share of WHO grade 2, 3, 4.
      glioblastoma_share: share of glioblastoma, IDH-wildtype among grade 4.
      follow_up_share: share of patients with a second exam; in release "v3" only the six numbers
        that have one.
      release: "v3" (metadata_v2, follow-ups under numbers of their own) or "v5" (ids end in
        _FU007d).
      skull_stripped: write the brain alone, background exactly 0.

    Example:
      >>> BrainPhantomOptions(patients=20, slices=24, skull_stripped=True).depth
      24
    """

    kind: ClassVar[Kind] = "brain"
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {"sex": SEXES, "age": AGES}
    conditions: ClassVar[tuple[str, ...]] = DIAGNOSES

    size: int = 240
    age_cut: float = 58.0
    first_id: int = 4
    slices: int = 155
    grade_shares: Mapping[int, float] = dataclasses.field(
        default_factory=lambda: {2: 0.2, 3: 0.2, 4: 0.6}
    )
    glioblastoma_share: float = 0.9
    follow_up_share: float = 0.0
    release: Release = "v3"
    skull_stripped: bool = False

    @property
    def depth(self) -> int | None:
        """Slices of a volume."""
        return self.slices

    @property
    def least_bytes(self) -> float:
        """What the volumes take on disk, at least."""
        return self.patients * self.size**2 * self.slices * VOXEL

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole_number("slices", self.slices, 8)
        for name in ("glioblastoma_share", "follow_up_share"):
            checks.proportion(name, getattr(self, name))
        # JSON and configuration files have text for keys.
        shares = {_grade(grade): share for grade, share in self.grade_shares.items()}
        # before the check, which compares with numbers; the dataclass is frozen
        object.__setattr__(self, "grade_shares", shares)
        checks.distribution("grade_shares", self.grade_shares, GRADES)
        if self.release not in ("v3", "v5"):
            raise ValueError(f'release is {self.release!r}; choose "v3" or "v5"')
        checks.bounded(self)


def _grade(name: int | str) -> int:
    try:
        return int(name)
    except ValueError as error:
        raise ValueError(f"grade_shares has {name!r}; grades are {GRADES}") from error


OPTIONS: Mapping[str, type[PhantomOptions]] = {
    "xray": XrayPhantomOptions,
    "brain": BrainPhantomOptions,
}
"""The class of options of each kind of phantom."""


def phantom_options(kind: str, **fields: Any) -> PhantomOptions:
    """The options of one kind of phantom from plain fields, as a configuration gives them.

    Args:
      kind: "xray" or "brain".
      **fields: options of the kind by name; those left out have their defaults.

    Returns:
      `XrayPhantomOptions` or `BrainPhantomOptions`.

    Raises:
      ValueError: there is no such kind, the kind has no such option, or a value is out of its
        range; the message names it.
      TypeError: a value is not of its option's type; the message names it.

    Example:
      >>> phantom_options("brain", patients=20, slices=24).age_cut
      58.0
    """
    if kind not in OPTIONS:
        raise ValueError(
            f"phantom kind is {kind!r}; choose one of {', '.join(OPTIONS)}{meant(kind, OPTIONS)}"
        )
    factory = OPTIONS[kind]
    known = [field.name for field in dataclasses.fields(factory)]
    for name in fields:
        if name not in known:
            raise ValueError(_no_such_option(name, kind, known))
    hints = hints_of(factory)  # type: ignore[arg-type]
    fields = {name: numeric(value, hints[name]) for name, value in fields.items()}
    # types before ranges: a comparison of text with a number would not name the option
    for name, wanted in misfits(factory, fields).items():
        raise TypeError(f"{name} takes {wanted}, got {fields[name]!r}")
    return factory(**fields)


def _no_such_option(name: str, kind: str, known: list[str]) -> str:
    for other, factory in OPTIONS.items():
        if name in (field.name for field in dataclasses.fields(factory)):
            return f"{name} is an option of {other} phantoms; {kind} phantoms do not have it"
    return (
        f"{kind} phantoms have no option {name!r}; they take {', '.join(known)}{meant(name, known)}"
    )
