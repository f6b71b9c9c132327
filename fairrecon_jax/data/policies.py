"""Named policies that turn what was recorded into labels and groups; pure functions of the recorded
columns.
"""

from __future__ import annotations

import functools
import itertools
import re

import numpy as np
import pandas as pd

from fairrecon_jax.data.cohort import CohortConfig, are_fractions
from fairrecon_jax.data.words import QUANTILES, CutSide
from fairrecon_jax.types import Attribute, InputError, Task, meant

SEXES = ("female", "male")
RACES = (
    "White",
    "Black",
    "Asian",
    "Native Hawaiian or Pacific Islander",
    "American Indian or Alaska Native",
    "Other",
)
POOLED = ("White", "Black", "Asian", "Other")
WHITE_VS_REST = ("White", "not White")
_SEX_WORDS = {"f": "female", "female": "female", "m": "male", "male": "male"}
_REFUSED = re.compile(
    r"unknown|refused|declined|not (reported|available|recorded)|^n/?a$|^nan$|^none$"
)
# The first match counts; the word boundary keeps Caucasian out of Asian.
_RACE_WORDS = (
    (re.compile(r"white|caucasian"), "White"),
    (re.compile(r"black|african[ -]american"), "Black"),
    (re.compile(r"hawaiian|pacific islander"), "Native Hawaiian or Pacific Islander"),
    (re.compile(r"american indian|alaska|native american"), "American Indian or Alaska Native"),
    (re.compile(r"\basian\b"), "Asian"),
    (re.compile(r"^other"), "Other"),
)


def sex_group(recorded: object) -> str | None:
    """ "female", "male" or None for one recorded value ("F", "Female", "M", "Male", any case)."""
    return _SEX_WORDS.get(str(recorded).strip().lower())


@functools.cache
def race_group(recorded: str) -> str | None:
    """One of `RACES`, or None where race is blank, unknown, refused or not understood.

    Args:
      recorded: free text such as "White, non-Hispanic", "Asian - Historical Conv" or "Patient
        Refused"; ethnicity after a comma is not used.
    """
    # refusals first: "Race and Ethnicity Unknown" must match no group below
    text = str(recorded).strip().lower()
    if not text or _REFUSED.search(text):
        return None
    return next((group for pattern, group in _RACE_WORDS if pattern.search(text)), None)


def race_is_refusal(recorded: object) -> bool:
    """Whether a recorded race says that it is unknown or refused (as opposed to a spelling that is
    not understood).
    """
    text = str(recorded).strip().lower()
    return not text or bool(_REFUSED.search(text))


def race_policy(group: str | None, policy: str) -> str | None:
    """Pools one of `RACES` by policy: "six" leaves it, "pooled" moves small groups into Other,
    "white_vs_rest" keeps two groups.
    """
    if group is None or policy == "six":
        return group
    if policy == "pooled":
        return group if group in POOLED else "Other"
    return "White" if group == "White" else "not White"


def uncertain(values: np.ndarray, policy: str) -> np.ndarray:
    """Applies the policy for uncertain findings.

    Args:
      values: any shape, 1 present, 0 absent, -1 uncertain, NaN not mentioned.
      policy: "ignore" (unknown), "zeros" or "ones".

    Returns:
      The same shape, float32 in {0, 1, NaN}.
    """
    filled = {"ignore": np.nan, "zeros": 0.0, "ones": 1.0}[policy]
    return np.where(values == -1, filled, values).astype(np.float32)


def one_per_patient(patients: pd.Series, groups: pd.Series) -> pd.Series:
    """One value per patient: the only value among the patient's rows, None where they disagree or
    none is known.

    Args:
      patients: [N] patient names.
      groups: [N] group names or None.

    Returns:
      [N] object, the patient's value on each of its rows.
    """
    known = (
        pd.DataFrame({"patient": patients.to_numpy(), "group": groups.to_numpy()})
        .dropna()
        .drop_duplicates()
    )
    # A patient who still has two rows has two groups: neither is kept.
    single = known.drop_duplicates("patient", keep=False).set_index("patient")["group"]
    values = patients.map(single).astype(object)
    return values.where(values.notna(), None)


def quantile_cuts(
    raw: pd.DataFrame, rows: np.ndarray | None, policy: str, column: str = "age_years"
) -> tuple[float, ...]:
    """Quantiles of a number over patients (a patient's is the median over its images).

    Args:
      raw: table with patient_id and the column.
      rows: row numbers of the training patients; all rows if None.
      policy: a key of `QUANTILES`.
      column: of the number.

    Returns:
      Ascending; equal ones are one.

    Raises:
      InputError: no number is known among these rows.
    """
    chosen = raw if rows is None else raw.iloc[rows]
    # of patients: someone with a hundred films counts once
    values = chosen.groupby("patient_id")[column].median().dropna()
    if values.empty:
        name = column.rsplit("_", 1)[0]
        raise InputError(
            f"no patient of the training part has {name}: give numbers to cut it at, or leave "
            f"{name!r} out of attributes"
        )
    return tuple(sorted({float(values.quantile(q)) for q in QUANTILES[policy]}))


def quantile_origin(policy: str, train_rows: np.ndarray | None) -> str:
    """Where cuts at quantiles come from, in words."""
    word = policy.removeprefix("train ")
    if train_rows is None:
        return f"provisional: {word} of all patients, as no splits were given"
    return f"{word} of the training patients"


def sex_column(raw: pd.DataFrame) -> tuple[pd.Series, Attribute]:
    """The sex of each row's patient with its attribute."""
    sources = [name for name in ("sex_recorded", "sex_demographics") if name in raw]
    # both sources under each other, so that they agree or cancel like two rows of a patient
    patients = pd.concat([raw["patient_id"]] * len(sources), ignore_index=True)
    groups = pd.concat([raw[name].map(sex_group) for name in sources], ignore_index=True)
    column = one_per_patient(patients, groups).iloc[: len(raw)].set_axis(raw.index)
    return column, Attribute(
        "sex", SEXES, "sex as recorded; patients whose entries disagree are unknown", "patient"
    )


def age_groups(cuts: tuple[float, ...], side: CutSide = "over") -> tuple[str, ...]:
    """Names of the groups between ascending cuts: "under 40", "40 to under 60", "60 and over", or,
    with a number that equals a cut "under" it, "40 and under", "over 40 to 60", "over 60".
    """
    pairs = list(itertools.pairwise(cuts))
    if side == "under":
        between = [f"over {low:g} to {high:g}" for low, high in pairs]
        return (f"{cuts[0]:g} and under", *between, f"over {cuts[-1]:g}")
    between = [f"{low:g} to under {high:g}" for low, high in pairs]
    return (f"under {cuts[0]:g}", *between, f"{cuts[-1]:g} and over")


def cut_column(
    values: pd.Series, cuts: tuple[float, ...], origin: str, unit: str, side: CutSide = "over"
) -> tuple[pd.Series, tuple[str, ...], str]:
    """The group of each number between ascending cuts; None where it is unknown.

    Args:
      values: [N] numbers.
      cuts: ascending.
      origin: of the cuts, in words.
      unit: of the numbers.
      side: where a number belongs that equals a cut.

    Returns:
      (column, groups, the cuts in words).
    """
    groups = age_groups(cuts, side)
    # "right" counts the cuts up to the number itself: an equal one lies below it
    place = np.searchsorted(
        cuts, values.to_numpy(float), side="right" if side == "over" else "left"
    )
    column = pd.Series(np.array(groups, dtype=object)[place], index=values.index, dtype=object)
    # NaN is sorted behind every number, which would have put it into the last group
    column = column.where(values.notna(), None)
    words = " and ".join(filter(None, (", ".join(f"{c:g}" for c in cuts[:-1]), f"{cuts[-1]:g}")))
    return column, groups, f"cut at {words}{f' {unit}' if unit else ''} ({origin})"


def age_column(
    raw: pd.DataFrame, cuts: tuple[float, ...], origin: str, side: CutSide = "over"
) -> tuple[pd.Series, Attribute]:
    """The age group of each row."""
    column, groups, words = cut_column(raw["age_years"], cuts, origin, "years", side)
    return column, Attribute("age", groups, f"age at the time of the image, {words}", "image")


def race_column(raw: pd.DataFrame, policy: str, name: str = "race") -> tuple[pd.Series, Attribute]:
    """The race of each row's patient under a policy, with its attribute; groups without a patient
    are left out.
    """
    # by spelling: there are some 24 for hundreds of thousands of rows
    recorded = {
        value: race_policy(race_group(value), policy) for value in raw["race_recorded"].unique()
    }
    column = one_per_patient(raw["patient_id"], raw["race_recorded"].map(recorded))
    order = {"six": RACES, "pooled": POOLED, "white_vs_rest": WHITE_VS_REST}[policy]
    present = tuple(group for group in order if (column == group).any())
    text = (
        f"race as recorded, policy {policy!r}; unknown, refused and conflicting entries are unknown"
    )
    return column, Attribute(
        name, present, text, "patient", reference="White" if "White" in present else ""
    )


def evaluated(
    raw: pd.DataFrame, config: CohortConfig, default: str | tuple[float, float]
) -> np.ndarray:
    """Which rows count in evaluation.

    Args:
      raw: table with slice (from 0) and slices (of the volume), or without them (X-rays: every row
        counts).
      config: its `evaluate_slices`: "all", (first, last) both included, or two fractions of the
        volume as floats.
      default: what "default" means for this cohort.

    Returns:
      [N] bool.
    """
    limits = default if config.evaluate_slices == "default" else config.evaluate_slices
    # radiographs have no slices; the only word left is "all"
    if "slice" not in raw or isinstance(limits, str):
        return np.ones(len(raw), bool)
    position = raw["slice"].to_numpy(float)
    if are_fractions(limits):
        # A volume of one slice has its position at 0.
        position = position / np.maximum(raw["slices"].to_numpy(float) - 1, 1)
    return (position >= limits[0]) & (position <= limits[1])


def choose_tasks(
    cohort: str, tasks: tuple[Task, ...], extra: tuple[Task, ...], config: CohortConfig
) -> tuple[Task, ...]:
    """The tasks a configuration asks for; `tasks` where it asks for none.

    Raises:
      InputError: a task that the cohort does not have.
    """
    known = {task.name: task for task in (*tasks, *extra)}
    unknown = [name for name in config.tasks if name not in known]
    if unknown:
        raise InputError(
            f"{cohort} has no task {', '.join(unknown)}; it has {', '.join(known)}"
            f"{meant(unknown[0], known)}"
        )
    # in the order asked for, which is the order of columns and channels
    return tuple(known[name] for name in config.tasks) or tasks


def check_attributes(cohort: str, names: tuple[str, ...], config: CohortConfig) -> None:
    """Raises InputError where a configuration has an attribute that the cohort does not have."""
    known = recoded(names, config)
    unknown = [name for name in config.attributes if name not in known]
    if unknown:
        raise InputError(
            f"{cohort} has no attribute {', '.join(unknown)}; it has {', '.join(known)}"
            f"{meant(unknown[0], known)}"
        )


def recoded(names: tuple[str, ...], config: CohortConfig) -> tuple[str, ...]:
    """Names of attributes with all codings of race in the place of race."""
    return tuple(one for name in names for one in (config.races if name == "race" else (name,)))


def choose_attributes(
    cohort: str, names: tuple[str, ...], config: CohortConfig, raw: pd.DataFrame
) -> tuple[str, ...]:
    """The attributes a configuration asks for; all where it asks for none, without race where no
    patient's race is known.

    Raises:
      InputError: an attribute that the cohort does not have, or race where no patient's is known.
    """
    check_attributes(cohort, names, config)
    empty = (
        set(config.races)
        if "race_recorded" in raw and not raw["race_recorded"].map(race_group).notna().any()
        else set()
    )
    if empty & set(config.attributes):
        raise InputError(f"race of no patient of this {cohort} is known: exclusions.csv says why")
    return tuple(
        name for name in (config.attributes or recoded(names, config)) if name not in empty
    )


def attribute_column(
    name: str,
    raw: pd.DataFrame,
    config: CohortConfig,
    default_cut: float | str,
    train_rows: np.ndarray | None,
) -> tuple[pd.Series, Attribute]:
    """The group of each row under the policies of a configuration, with the attribute."""
    if name == "sex":
        return sex_column(raw)
    if name in config.races:
        return race_column(raw, config.races[name], name)
    cut = default_cut if config.age_cut == "default" else config.age_cut
    side = config.age_cut_side
    if not isinstance(cut, str):
        cuts = cut if isinstance(cut, tuple) else (float(cut),)
        return age_column(raw, cuts, "given", side)
    cuts = quantile_cuts(raw, train_rows, cut)
    return age_column(raw, cuts, quantile_origin(cut, train_rows), side)
