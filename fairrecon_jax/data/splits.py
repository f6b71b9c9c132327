"""Splits by patient: stratified, seeded, written once with a hash, and refused when they are not
what they claim to be.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fairrecon_jax.data.cohort import GIVEN_SPLIT
from fairrecon_jax.data.stratify import stratify
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.runtime.text import look_alikes
from fairrecon_jax.types import CohortSpec, InputError, meant, plural

RECONSTRUCTION, DIAGNOSIS, TRAIN, VAL, TEST = (
    "train_reconstruction",
    "train_diagnosis",
    "train",
    "val",
    "test",
)
PARTS = (RECONSTRUCTION, DIAGNOSIS, TRAIN, VAL, TEST)


@dataclasses.dataclass(frozen=True)
class Splits:
    """Which patient belongs to which part.

    Attributes:
      seed: seed of the assignment.
      fractions: train, validation and test fractions of the patients.
      patients: patient name -> part.
      digest: SHA-256 over everything else.
      diagnosis_fraction: fraction of the training patients that train the diagnosis only; 0 where
        both parts are the same.

    Example:
      >>> cohort = fr.arrays(np.zeros((10, 16, 16)), [0, 1] * 5)
      >>> splits = make_splits(cohort.table, cohort.spec, (0.7, 0.1, 0.2))
      >>> splits.counts(), len(splits.rows(cohort.table, "val", "test"))
      ({'train': 7, 'val': 1, 'test': 2}, 3)
    """

    seed: int
    fractions: tuple[float, float, float]
    patients: dict[str, str]
    digest: str
    diagnosis_fraction: float = 0.0

    def rows(self, table: pd.DataFrame, *names: str) -> np.ndarray:
        """Row numbers of the patients in some parts.

        Args:
          table: a cohort's table.
          names: parts. "train" means every training part; "train_reconstruction" and
            "train_diagnosis" both mean "train" where the training part is not cut.

        Returns:
          [n] int64, ascending.

        Raises:
          InputError: an unknown part, or a patient of the table that is in no part.
        """
        unknown = [name for name in names if name not in PARTS]
        if unknown or not names:
            raise InputError(
                f"unknown part {', '.join(unknown) or '(none given)'}; there are {', '.join(PARTS)}"
                f"{meant((*unknown, '')[0], PARTS)}"
            )
        part = table["patient_id"].map(self.patients)
        if part.isna().any():
            stray = table.loc[part.isna(), "patient_id"].unique()
            raise InputError(
                f"{plural(len(stray), 'patient')} of the table in no part, e.g. {stray[0]}: "
                "make the splits from this cohort"
            )
        wanted = {name for asked in names for name in _meaning(asked)}
        return np.flatnonzero(part.isin(wanted).to_numpy())

    def counts(self) -> dict[str, int]:
        """Number of patients per part that has any."""
        counts = Counter(self.patients.values())
        return {name: counts[name] for name in PARTS if counts[name]}


def _meaning(name: str) -> tuple[str, ...]:
    if name == TRAIN:
        return (TRAIN, RECONSTRUCTION, DIAGNOSIS)
    return (name, TRAIN) if name in (RECONSTRUCTION, DIAGNOSIS) else (name,)


def make_splits(
    table: pd.DataFrame,
    spec: CohortSpec,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    diagnosis_fraction: float = 0.0,
) -> Splits:
    """Assigns every patient to one part, so that findings and groups keep their shares.

    Iterative stratification: patients with the rarest remaining trait are assigned first, each to
    the part that lacks most of it; part sizes are exact.

    Args:
      table: a cohort's table; a patient has a finding if one of its examples has it.
      spec: names the tasks and attributes.
      fractions: train, validation, test; they sum to 1.
      seed: of the order among equals.
      diagnosis_fraction: fraction of the training patients set apart for the diagnosis, in [0, 1).

    Returns:
      Splits; the same table and seed give the same splits whatever the order of rows. Patients
        whose names look alike are in one part. Where the
        table has a column GIVEN_SPLIT, its parts count, and only validation patients are drawn,
        from those for training in the proportion of the fractions, where it names none.

    Raises:
      InputError: fractions out of range, too few patients for the parts, or given parts that leave
        a patient out, put one in two of them, or have none for training or test.

    Example:
      >>> cohort = fr.arrays(np.zeros((10, 16, 16)), [0, 1] * 5)
      >>> test = make_splits(cohort.table, cohort.spec, (0.6, 0, 0.4)).rows(cohort.table, "test")
      >>> sorted(cohort.labels()[test].ravel().tolist())  # as many findings as everywhere
      [0.0, 0.0, 1.0, 1.0]

    Reference:
      K. Sechidis, G. Tsoumakas, I. Vlahavas, On the stratification of multi-label data, ECML PKDD
        2011.
    """
    shares = check_shares(fractions, diagnosis_fraction)
    if GIVEN_SPLIT in table:
        # before names are made one: a refusal shows them as they are written
        given_parts(table)
    spelt = _one_spelling(table["patient_id"])
    table = table.assign(patient_id=table["patient_id"].map(spelt))
    names, traits = patient_traits(table, spec)
    generator = np.random.default_rng(seed)
    if GIVEN_SPLIT in table:
        part = _given(table, names, traits, shares, generator)
    else:
        part = stratify(traits, shares, generator)
    patients = {name: (TRAIN, VAL, TEST)[p] for name, p in zip(names, part, strict=True)}
    if diagnosis_fraction:
        # only after the three parts: validation and test do not depend on diagnosis_fraction
        train = np.flatnonzero(part == 0)
        cut = stratify(traits[train], (1 - diagnosis_fraction, diagnosis_fraction), generator)
        patients |= {
            names[i]: (RECONSTRUCTION, DIAGNOSIS)[c] for i, c in zip(train, cut, strict=True)
        }
    patients |= {name: patients[one] for name, one in spelt.items() if name != one}
    return _sealed(int(seed), shares, patients, float(diagnosis_fraction))


def _one_spelling(patients: pd.Series) -> dict[str, str]:
    """By name the one under which a patient is drawn: names that look alike, such as P-0 and p0, or
    100 and 00000100, may be one patient, who then is in one part.
    """
    names = list(map(str, patients.unique()))
    first = {name: same[0] for same in look_alikes(sorted(names)) for name in same}
    return {name: first.get(name, name) for name in names}


def _given(
    table: pd.DataFrame,
    names: Sequence[str],
    traits: np.ndarray,
    shares: Sequence[float],
    generator: np.random.Generator,
) -> np.ndarray:
    """The part of each patient as the table gives it: [P] int."""
    parts = given_parts(table)
    if lacking := [name for name in names if not parts.get(name)]:
        raise InputError(
            f"the table's split leaves out {plural(len(lacking), 'patient')}, e.g. {lacking[0]!r}"
        )
    part = np.array([(TRAIN, VAL, TEST).index(parts[name]) for name in names])
    if not (part == 0).any() or not (part == 2).any():
        raise InputError("the table's split has no patient for training, or none for test")
    if not (part == 1).any() and shares[1] > 0:
        train = np.flatnonzero(part == 0)
        share = shares[1] / (shares[0] + shares[1])
        part[train] = stratify(traits[train], (1 - share, share), generator)
    return part


def given_parts(table: pd.DataFrame) -> dict[str, str]:
    """The part that a cohort's table gives each patient, "" for none.

    Raises:
      InputError: a patient is in two parts; the message names one.
    """
    pairs = table[["patient_id", GIVEN_SPLIT]].drop_duplicates()
    pairs = pairs[pairs[GIVEN_SPLIT] != ""]
    for same in look_alikes(pairs["patient_id"].unique()):
        found = sorted(pairs.loc[pairs["patient_id"].isin(same), GIVEN_SPLIT].unique())
        if len(found) > 1:
            raise InputError(
                f"the table's split puts patients {' and '.join(map(repr, same))}, who look alike, "
                f"into {' and '.join(found)}: give one patient one name, and different ones names "
                "that differ by more"
            )
    twice = pairs.loc[pairs["patient_id"].duplicated(), "patient_id"].unique()
    if len(twice):
        found = sorted(pairs.loc[pairs["patient_id"] == twice[0], GIVEN_SPLIT])
        raise InputError(
            f"the table's split puts {plural(len(twice), 'patient')} into two parts, e.g. "
            f"{twice[0]!r} into {' and '.join(found)}: training would know the test"
        )
    return dict(zip(pairs["patient_id"], pairs[GIVEN_SPLIT], strict=True))


def check_given(splits: Splits, table: pd.DataFrame) -> None:
    """Refuses splits that contradict the parts that a table gives; validation patients that were
    drawn from those for training do not.

    Raises:
      InputError: the message names a patient.
    """
    parts = given_parts(table)
    has_val = VAL in parts.values()
    for patient, part in splits.patients.items():
        given = parts.get(patient, "")
        made = TRAIN if part in (RECONSTRUCTION, DIAGNOSIS) else part
        if given != made and not (made == VAL and given == TRAIN and not has_val):
            raise InputError(
                f"the splits of this work directory have patient {patient!r} in {made}, the table "
                f"has {given or 'no part'}: use another work directory"
            )


def check_shares(fractions: Sequence[float], diagnosis_fraction: float) -> tuple[float, ...]:
    """The fractions as floats.

    Raises:
      InputError: they or the diagnosis fraction are out of range.
    """
    wrong = InputError(
        "fractions must be three non-negative numbers with sum 1 (train, val, test), got "
        f"{fractions}"
    )
    try:
        shares = tuple(float(value) for value in fractions)
    except (TypeError, ValueError) as error:
        raise wrong from error
    # NaN is neither at least 0 nor close to 1.
    if len(shares) != 3 or not all(s >= 0 for s in shares) or not abs(sum(shares) - 1) <= 1e-6:
        raise wrong
    if not 0 <= diagnosis_fraction < 1:
        raise InputError(f"diagnosis_fraction must lie in [0, 1), got {diagnosis_fraction}")
    return shares


def patient_traits(table: pd.DataFrame, spec: CohortSpec) -> tuple[list[str], np.ndarray]:
    """What stratification balances.

    Returns:
      Patient names (sorted; as numbers where all are, so that zeros in front make no other splits)
        and [P, K] bool: per task "has it", per attribute group "belongs to it"
        (most frequent group of its images).
    """
    grouped = table.groupby("patient_id", sort=True)
    # an unknown label (NaN) is not above 0 and counts as absent
    columns = [(grouped[task.name].max() > 0).to_numpy() for task in spec.tasks]
    names = [str(name) for name in grouped.groups]
    for attribute in spec.attributes:
        # crosstab leaves out patients without a known group; the reindex brings them back as zeros
        counts = pd.crosstab(table["patient_id"], table[attribute.name]).reindex(
            index=names, columns=list(attribute.groups), fill_value=0
        )
        largest = counts.to_numpy().argmax(axis=1)
        known = counts.to_numpy().sum(axis=1) > 0
        columns += [known & (largest == group) for group in range(len(attribute.groups))]
    traits = np.stack(columns, axis=1) if columns else np.zeros((len(names), 0), bool)
    if all(name.isdecimal() for name in names):
        order = sorted(range(len(names)), key=lambda row: int(names[row]))
        return [names[row] for row in order], traits[order]
    return names, traits


def _digest(
    seed: int, fractions: Sequence[float], patients: dict[str, str], diagnosis_fraction: float
) -> str:
    # sorted and ASCII, so that the hash is the same on every machine
    text = json.dumps(
        [seed, list(fractions), diagnosis_fraction, sorted(patients.items())], ensure_ascii=True
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _sealed(
    seed: int, fractions: tuple[float, ...], patients: dict[str, str], diagnosis_fraction: float
) -> Splits:
    digest = _digest(seed, fractions, patients, diagnosis_fraction)
    return Splits(
        seed, (fractions[0], fractions[1], fractions[2]), patients, digest, diagnosis_fraction
    )


def write_splits(path: str | Path, splits: Splits) -> None:
    """Writes the splits once, as JSON with the patients of each part, counts and hash.

    Raises:
      FileExistsError: the file holds other splits.

    Example:
      >>> from tempfile import mkdtemp
      >>> cohort, path = fr.arrays(np.zeros((10, 16, 16))), Path(mkdtemp(), "splits.json")
      >>> write_splits(path, make_splits(cohort.table, cohort.spec))
      >>> write_splits(path, make_splits(cohort.table, cohort.spec, seed=1))
      Traceback (most recent call last):
      FileExistsError: ...splits.json holds other splits (seed 0, ...); they are written once
    """
    target = Path(path)
    if target.exists():
        existing = read_splits(target)
        # splits changed half-way would move test patients into training
        if existing.digest != splits.digest:
            raise FileExistsError(
                f"{target} holds other splits (seed {existing.seed}, {existing.digest[:12]}); "
                "they are written once"
            )
        return
    parts: dict[str, list[str]] = {name: [] for name in splits.counts()}
    for patient, part in sorted(splits.patients.items()):
        parts[part].append(patient)
    content = {
        "seed": splits.seed,
        "fractions": list(splits.fractions),
        "diagnosis_fraction": splits.diagnosis_fraction,
        "sha256": splits.digest,
        "counts": splits.counts(),
        "parts": parts,
    }
    write_atomic(target, json.dumps(content, indent=1))


def read_splits(path: str | Path, seed: int | None = None) -> Splits:
    """Reads splits back and checks them.

    Args:
      path: a file of `write_splits`.
      seed: the seed that the caller expects; None accepts any.

    Raises:
      FileNotFoundError: no such file.
      InputError: not such a file, a patient in two parts, a changed hash, or another seed.

    Example:
      >>> from tempfile import mkdtemp
      >>> cohort, path = fr.arrays(np.zeros((10, 16, 16))), Path(mkdtemp(), "splits.json")
      >>> write_splits(path, make_splits(cohort.table, cohort.spec, seed=3))
      >>> read_splits(path, seed=3).counts()
      {'train': 7, 'val': 1, 'test': 2}
    """
    target = Path(path)
    try:
        content = json.loads(target.read_text(encoding="utf-8"))
        parts, recorded = content["parts"], content["sha256"]
        written, fractions, diagnosis = (
            int(content["seed"]),
            tuple(content["fractions"]),
            float(content["diagnosis_fraction"]),
        )
        listed = [(str(patient), part) for part, patients in parts.items() for patient in patients]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{target} is not a splits file: {error!r}; removed, it is drawn again from the seed"
        ) from error
    # a dictionary keeps one entry of each name: fewer entries mean a patient was listed twice
    patients = dict(listed)
    if len(patients) != len(listed):
        twice = next(
            name for name, times in Counter(name for name, _ in listed).items() if times > 1
        )
        raise InputError(f"{target}: patient {twice} is in more than one part")
    if set(parts) - set(PARTS):
        raise InputError(f"{target}: unknown part {', '.join(set(parts) - set(PARTS))}")
    if _digest(written, fractions, patients, diagnosis) != recorded:
        raise InputError(
            f"{target} was changed after it was written: its hash does not match; removed, it is "
            "drawn again from the seed"
        )
    if seed is not None and seed != written:
        raise InputError(
            f"{target} was made with seed {written}, not {seed}: use another work directory "
            "for another seed"
        )
    return _sealed(written, fractions, patients, diagnosis)
