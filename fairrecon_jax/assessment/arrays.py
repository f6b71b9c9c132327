"""From the stacked predictions table to arrays: study cells K x examples N, groups as numbers, one
unit per judged image or patient.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd

from fairrecon_jax import metrics
from fairrecon_jax.runtime.precision import shortest
from fairrecon_jax.types import CROSS, CohortSpec, InputError, plural

CELL = ["level", "reconstructor", "mitigation"]
REQUIRED = ("example_id", "patient_id", "split", "level", "reconstructor")
SAME_SCORE = 1e-3
"""Largest mean difference between predictions on the same originals in different cells: compiled
programs of different batch shapes round differently.
"""


class Cell(NamedTuple):
    """One cell of a study: a degradation level, a reconstructor, a mitigation."""

    level: float
    reconstructor: str
    mitigation: str


class Grouping(NamedTuple):
    """An attribute as numbers.

    Attributes:
      name: attribute, "" for everyone, "sex x race" for an intersection.
      groups: names of its groups, ("",) for everyone.
      code: [N] int32 group of each example (or unit), -1 unknown.
      reference: name of the reference group.
      crossed: an intersection of attributes.
      parts: of an intersection, per group the number of its group in every attribute.
    """

    name: str
    groups: tuple[str, ...]
    code: np.ndarray
    reference: str
    crossed: bool = False
    parts: tuple[tuple[int, ...], ...] = ()


@dataclasses.dataclass(frozen=True)
class Study:
    """The arrays of one cohort and seed.

    Attributes:
      cohort: name of the cohort.
      seed: seed of the predictions.
      cells: the K study cells.
      patient_names: [P] names in sorted order.
      patient: [N] int32 patient number of each example.
      test: [N] bool, evaluated examples.
      validation: [N] bool, examples on which thresholds may be fitted.
      groupings: everyone first, then attributes, then intersections.
      columns: numeric columns of the table as [K, N], NaN where a cell lacks the example.
      strata: [P] int stratum of each patient, within which groups are permuted; None = one.
    """

    cohort: str
    seed: int
    cells: tuple[Cell, ...]
    patient_names: np.ndarray
    patient: np.ndarray
    test: np.ndarray
    validation: np.ndarray
    groupings: tuple[Grouping, ...]
    columns: dict[str, np.ndarray]
    strata: np.ndarray | None = None


def studies(
    table: pd.DataFrame,
    spec: CohortSpec,
    intersections: tuple[tuple[str, ...], ...] = (),
    strata: str = "",
) -> list[Study]:
    """Arranges a predictions table, one study per seed.

    Args:
      table: stacked predictions table of one cohort.
      spec: its specification.
      intersections: attributes to cross.
      strata: a column of the table; "" for none. A patient whose images differ in it is in the
        stratum of that mixture.

    Returns:
      Studies in order of seed.

    Raises:
      InputError: a column is missing or holds an unknown group, a row is duplicated, a patient is
        in two splits, or an example has two values of what describes it.
    """
    missing = [c for c in (*REQUIRED, *(a.name for a in spec.attributes)) if c not in table.columns]
    if missing:
        raise InputError(
            f"the predictions table lacks the columns {missing}; it has {list(table.columns)}"
        )
    table = table.assign(
        mitigation=table["mitigation"].fillna("none") if "mitigation" in table else "none",
        seed=table["seed"].fillna(0).astype(int) if "seed" in table else 0,
        example_id=table["example_id"].astype(str),
        patient_id=table["patient_id"].astype(str),
    )
    # training rows play no part, not even in the checks that follow
    table = table[table["split"].isin(["val", "test"])]
    if not (table["split"] == "test").any():
        raise InputError(
            "the predictions table holds no row of split 'test'; nothing can be evaluated"
        )
    cohorts = sorted(table["cohort"].dropna().unique()) if "cohort" in table else []
    if len(cohorts) > 1:
        raise InputError(
            f"one predictions table holds one cohort, got {cohorts}; assess each by itself"
        )
    if strata and strata not in table.columns:
        raise InputError(
            f"assess.strata names the column {strata!r}; the predictions table has "
            f"{sorted(set(table.columns) - set(REQUIRED))}"
        )
    return [
        _arrange(part, spec, int(str(seed)), intersections, strata)
        for seed, part in table.groupby("seed", sort=True)
    ]


def _arrange(
    table: pd.DataFrame,
    spec: CohortSpec,
    seed: int,
    intersections: tuple[tuple[str, ...], ...],
    strata: str,
) -> Study:
    """One seed's table as arrays."""
    cells, k = _cells(table)  # [rows]: number of each row's cell
    n, names = pd.factorize(table["example_id"], sort=True)
    _refuse_duplicates(table, k * len(names) + n, seed)
    # reversed, so that of an example's rows the first is the one that stays assigned
    first = np.zeros(len(names), int)
    first[n[::-1]] = np.arange(len(table))[::-1]
    labels = [f"{t.name}__label" for t in spec.tasks if f"{t.name}__label" in table]
    for column in ("patient_id", "split", *(a.name for a in spec.attributes), *labels):
        _refuse_contradictions(table, column, n, first)
    patient, patient_names = pd.factorize(table["patient_id"].to_numpy()[first], sort=True)
    split = table["split"].to_numpy()[first]
    shared = np.intersect1d(patient[split == "val"], patient[split == "test"])
    if shared.size:
        raise InputError(
            f"{plural(shared.size, 'patient', 'are')} in 'val' and in 'test', e.g. "
            f"{patient_names[shared[0]]!r}; split by patient"
        )
    columns = {}
    for column in table.columns:
        # <task>__<version> holds labels and predictions
        if "__" in column or column in metrics.IMAGE_METRICS:
            # [K, N], unknown where a cell lacks the example
            columns[column] = np.full((len(cells), len(names)), np.nan)
            numbers = table[column].to_numpy(na_value=np.nan)
            columns[column][k, n] = shortest(numbers) if numbers.dtype.kind == "f" else numbers
    groupings = _groupings(table.iloc[first], spec, intersections)
    cohort = str(table["cohort"].iloc[0]) if "cohort" in table else spec.name
    return Study(
        cohort,
        seed,
        cells,
        np.asarray(patient_names),
        patient.astype(np.int32),
        split == "test",
        split == "val",
        groupings,
        columns,
        _strata(table[strata].to_numpy(object)[first], patient) if strata else None,
    )


def _strata(values: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """The stratum of each patient: the set of the values of its images."""
    names = (
        pd.Series([str(value) for value in values])
        .groupby(patient)
        .agg(lambda v: "+".join(sorted(set(v))))
    )
    return np.unique(names.to_numpy(), return_inverse=True)[1]


def _cells(table: pd.DataFrame) -> tuple[tuple[Cell, ...], np.ndarray]:
    """The study cells in order, and the number of each row's cell."""
    keys = table[CELL].drop_duplicates().sort_values(CELL)
    cells = tuple(Cell(float(k[0]), str(k[1]), str(k[2])) for k in keys.itertuples(index=False))
    numbers = {cell: i for i, cell in enumerate(cells)}
    rows = zip(*(table[column] for column in CELL), strict=True)
    return cells, np.array([numbers[Cell(float(a), str(b), str(c))] for a, b, c in rows])


def _refuse_duplicates(table: pd.DataFrame, key: np.ndarray, seed: int) -> None:
    """Raises if an example occurs twice in a cell."""
    repeated = pd.Series(key).duplicated().to_numpy()
    if repeated.any():
        row = table.iloc[int(np.flatnonzero(repeated)[0])]
        where = f"level {row['level']}, {row['reconstructor']}, {row['mitigation']}, seed {seed}"
        raise InputError(
            f"example {row['example_id']!r} occurs twice at {where} ({int(repeated.sum())} "
            "duplicate rows); keep one of each"
        )


def _refuse_contradictions(
    table: pd.DataFrame, column: str, n: np.ndarray, first: np.ndarray
) -> None:
    """Raises if an example has two values in a column that describes the example."""
    values = table[column].to_numpy(object)
    # NaN is -1 wherever it stands: unknown in every row is no contradiction
    codes = pd.factorize(values)[0]
    # each row against the first row of its example
    wrong = codes != codes[first][n]
    if wrong.any():
        row = table.iloc[int(np.flatnonzero(wrong)[0])]
        raise InputError(
            f"example {row['example_id']!r} has different values of {column!r} in "
            "different rows; it must be the same in all cells"
        )


def _groupings(
    examples: pd.DataFrame, spec: CohortSpec, intersections: tuple[tuple[str, ...], ...]
) -> tuple[Grouping, ...]:
    """Everyone, the attributes of the specification, and the requested intersections."""
    groupings = [Grouping("", ("",), np.zeros(len(examples), np.int32), "")]
    for attribute in spec.attributes:
        code = (
            examples[attribute.name]
            .map({g: i for i, g in enumerate(attribute.groups)})
            .fillna(-1)
            .to_numpy(np.int32)
        )
        unknown = examples[attribute.name][
            (code < 0) & examples[attribute.name].notna().to_numpy()
        ].unique()
        if len(unknown):
            raise InputError(
                f"column {attribute.name!r} holds {list(unknown)[:5]}, which are not "
                f"among its groups {attribute.groups}"
            )
        groupings.append(
            Grouping(attribute.name, attribute.groups, code, attribute.reference_group)
        )
    by_name = {g.name: g for g in groupings[1:]}
    for names in intersections:
        if not set(names) <= set(by_name):
            raise InputError(f"cannot cross {names}: the attributes are {sorted(by_name)}")
        parts = [by_name[name] for name in names]
        crossed = metrics.intersect([p.code for p in parts], [p.groups for p in parts])
        groupings.append(
            Grouping(
                CROSS.join(names),
                crossed.names,
                np.asarray(crossed.group),
                CROSS.join(p.reference for p in parts),
                True,
                # in the order of the names: the last attribute varies fastest
                tuple(itertools.product(*(range(len(p.groups)) for p in parts))),
            )
        )
    return tuple(groupings)
