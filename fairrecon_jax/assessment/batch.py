"""Tests of several tasks at once: tasks that judge the same units share one call, one set of draws
and one compiled program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from fairrecon_jax.assessment.arrays import Grouping
from fairrecon_jax.assessment.classification import Decisions, Measured, measure
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.assessment.units import JudgedUnits
from fairrecon_jax.inference.changes import Changes, score_changes
from fairrecon_jax.inference.equal_changes import Drawn, draw, evaluate
from fairrecon_jax.inference.everyone import EveryoneTest, everyone_test
from fairrecon_jax.inference.group_result import GroupTest
from fairrecon_jax.inference.group_tables import Patients
from fairrecon_jax.inference.permutation import PermutationNull, permutation_null
from fairrecon_jax.inference.published import Published, published_tests
from fairrecon_jax.types import Task

BUDGET = 30_000_000
"""Numbers in the largest table (patients x problems x labels x groups) of one call: bounds memory
to about 2 GB.
"""


class Judged(NamedTuple):
    """A classification task ready to be tested."""

    task: Task
    thresholds: Thresholds
    units: JudgedUnits
    decisions: Decisions


class Tested(NamedTuple):
    """A test and the changes that it tests, of K problems."""

    changes: Changes
    test: GroupTest


class Tests(NamedTuple):
    """Tests and permutation nulls of a batch in one attribute, leading axis K = tasks x cells.

    Attributes:
      gaps: by metric: "eodd" (both labels), "eop" (positives), "gap_auroc", "gap_score"; empty
        where there is nothing to pair or to judge.
      nulls: of originals and of reconstructions, by metric.
      published: the published recipe by metric; empty where not asked for or nothing is paired.
    """

    gaps: dict[str, Tested]
    nulls: tuple[dict[str, PermutationNull], dict[str, PermutationNull]]
    published: Mapping[str, Published]


class Batch(NamedTuple):
    """Tasks that judge the same units, as K = tasks x cells problems.

    Attributes:
      members: the tasks.
      cells: number of study cells.
      label: [K, U] truth.
      decisions: [K, U] of both versions; without originals that of reconstructions stands for both.
      scores: [K, U] the same of scores, unknown where the unit is incomplete.
      patients: of the units.
    """

    members: list[Judged]
    cells: int
    label: np.ndarray
    decisions: tuple[np.ndarray, np.ndarray]
    scores: tuple[np.ndarray, np.ndarray]
    patients: Patients

    @property
    def units(self) -> JudgedUnits:
        """What the first task judges: the others judge the same."""
        return self.members[0].units

    def place(self, task: int, cell: int) -> int:
        """Number of a task's study cell among the K problems."""
        return task * self.cells + cell


def batches(tasks: Iterable[Judged]) -> Iterator[list[Judged]]:
    """Groups consecutive tasks that judge the same units, so many that a call stays within
    `BUDGET`.
    """
    batch: list[Judged] = []
    for task in tasks:
        # the largest grouping sets the size of a call, with two labels
        groups = max(len(g.groups) for g in task.units.groupings)
        # patients x cells x groups x labels, as the tables of a call hold them
        size = len(np.unique(task.units.patient)) * len(task.decisions.known) * groups * 2
        if batch and (not _alike(batch[0], task) or (len(batch) + 1) * size > BUDGET):
            yield batch
            batch = []
        batch.append(task)
    if batch:
        yield batch


def _alike(a: Judged, b: Judged) -> bool:
    """Both tasks judge the same units of the same patients and groups, and both or neither have
    originals.
    """
    x, y = a.units, b.units
    same = x.unit == y.unit and x.paired == y.paired and np.array_equal(x.patient, y.patient)
    return same and all(
        np.array_equal(g.code, h.code) for g, h in zip(x.groupings, y.groupings, strict=True)
    )


def join(context: Context, members: list[Judged]) -> Batch:
    """A batch of tasks that judge the same units."""
    known = np.concatenate([m.decisions.known for m in members])

    def stacked(version: str) -> tuple[np.ndarray, np.ndarray]:
        decided = np.concatenate([getattr(m.decisions, version) for m in members])
        scored = np.concatenate([getattr(m.units, version) for m in members])
        return decided, np.where(known, scored, np.nan)

    after = stacked("reconstructed")
    # reconstructions in both places give tables of the right shape; `unpaired` blanks them
    before = stacked("original") if members[0].units.paired else after
    cells = len(members[0].decisions.known)
    # in the order of `place`: a task's cells beside one another
    label = np.repeat(np.stack([m.decisions.label for m in members]), cells, 0)
    patients = context.patients(members[0].units)
    return Batch(members, cells, label, (before[0], after[0]), (before[1], after[1]), patients)


def measured(context: Context, batch: Batch, grouping: Grouping) -> Measured:
    """What is measured of a batch in one grouping."""
    options = context.options
    return measure(
        batch.units,
        batch.label,
        batch.decisions,
        batch.scores,
        grouping,
        batch.patients,
        options.min_patients,
        options.alpha,
        context.stratum(batch.units),
    )


def everyone(context: Context, found: Measured) -> dict[str, EveryoneTest]:
    """Tests that nothing changed for everyone together, by what is tested: "decisions" (L = 2),
    "auroc" and "brier".
    """
    given = {
        "seed": context.options.seed,
        "permutations": context.permutations,
        "min_patients": context.options.min_patients,
    }
    return {
        "decisions": everyone_test(found.decisions.tables, **given),
        "auroc": everyone_test(found.aurocs.tables, **given),
        "brier": everyone_test(found.brier, **given),
    }


def compare_groups(
    context: Context, name: str, changes: Changes, weights: tuple[float, ...] | None = None
) -> Tested:
    """The test of one attribute on some changes, with the options' choices."""
    drawn = _draw(context, name, changes)
    return Tested(changes, _evaluate(context, drawn, changes, weights))


def _compare_decisions(
    context: Context, name: str, changes: Changes, weights: tuple[float, ...]
) -> tuple[Tested, Tested]:
    """Equalised odds and equal opportunity, from the same draws."""
    # drawing is what takes long, and labels are weighed after it
    drawn, positives = _draw(context, name, changes), only_positives(changes)
    both = _evaluate(context, drawn, changes, weights)
    one = _evaluate(context, drawn.of_labels([1]), positives, None)
    return Tested(changes, both), Tested(positives, one)


def _draw(context: Context, name: str, changes: Changes) -> Drawn:
    """Draws of an attribute."""
    return draw(
        changes.tables,
        seed=context.options.seed,
        attribute=name,
        permutations=context.permutations,
        counted=changes.counted,
    )


def _evaluate(
    context: Context, drawn: Drawn, changes: Changes, weights: tuple[float, ...] | None
) -> GroupTest:
    """The test of drawn changes."""
    return evaluate(
        drawn,
        label_weights=weights,
        alpha=context.options.alpha,
        decisions=changes.decisions,
    )


def only_positives(changes: Changes) -> Changes:
    """The label 1 of changes of decisions: equal opportunity."""
    tables = changes.tables
    one = tables._replace(change=tables.change[:, :, 1:], images=tables.images[:, :, 1:])
    parts = {
        name: getattr(changes, name)[:, 1:]
        for name in ("original", "reconstructed", "images", "changed")
    }
    # the reason codes of a label do not depend on the other
    reason, patients, effective = (part[:, 1:] for part in changes.counted)
    return changes._replace(
        tables=one,
        before=changes.before[:, :, 1:],
        after=changes.after[:, :, 1:],
        counted=(reason, patients, effective),
        **parts,
    )


def run_tests(context: Context, batch: Batch, grouping: Grouping, found: Measured) -> Tests:
    """Tests of equal changes between the groups of an attribute, permutation nulls of both
    versions, and the published recipe.

    Args:
      context: options.
      batch: tasks.
      grouping: an attribute with at least one known group.
      found: what was measured of it.

    Returns:
      `Tests`.
    """
    options, name = context.options, grouping.name
    gaps: dict[str, Tested] = {}
    if batch.units.paired:
        if options.judges:
            weights = options.label_weights
            gaps["eodd"], gaps["eop"] = _compare_decisions(context, name, found.decisions, weights)
        if options.auroc_gaps:
            gaps["gap_auroc"] = compare_groups(context, name, found.aurocs)
        if options.scores:
            scores = score_changes(
                *batch.scores,
                batch.label,
                grouping.code,
                batch.patients,
                groups=len(grouping.groups),
                min_patients=options.min_patients,
                stratum=context.stratum(batch.units),
            )
            gaps["gap_score"] = compare_groups(context, name, scores, options.label_weights)
    return Tests(
        gaps, _nulls(context, batch, grouping, found), _published(context, batch, grouping)
    )


def _published(context: Context, batch: Batch, grouping: Grouping) -> Mapping[str, Published]:
    """The published recipe [K] by metric, where its convention is asked for."""
    if not batch.units.paired or "mean" not in context.options.conventions:
        return {}
    # a bootstrap by image of its own, which needs two replicates for an error
    found = published_tests(
        *batch.decisions,
        batch.label,
        grouping.code,
        context.options.seed,
        groups=len(grouping.groups),
        replicates=max(context.options.replicates, 2),
        empty=context.empty_rate,
    )
    return {str(metric): test for metric, test in found.items()}


def _nulls(
    context: Context, batch: Batch, grouping: Grouping, found: Measured
) -> tuple[dict[str, PermutationNull], dict[str, PermutationNull]]:
    """Permutation nulls [K] of originals and reconstructions; originals that are the same in all
    cells are permuted once.
    """
    # 4, alone in its label, is large enough; that there is no gap shows by itself
    judged = np.isin(found.decisions.counted[0], (0, 4))
    each = np.arange(len(judged))
    first = each // batch.cells * batch.cells  # the first cell of the same task
    # what is judged on originals may differ with the images that a cell lacks
    same = np.array_equal(batch.decisions[0], batch.decisions[0][first], equal_nan=True)
    first = first if same and np.array_equal(judged, judged[first]) else each
    rows, place = np.unique(first, return_inverse=True)
    if not batch.units.paired:
        rows = rows[:0]
    # in one call: what is drawn for a task's patients serves both versions
    some = np.concatenate([rows, each])
    drawn = permutation_null(
        np.concatenate([batch.decisions[0][rows], batch.decisions[1]]),
        batch.label[some],
        grouping.code,
        batch.patients,
        context.options.seed,
        groups=len(grouping.groups),
        attribute=grouping.name,
        permutations=context.options.null_draws,
        mask=judged[some],
    )

    def of(which: np.ndarray) -> dict[str, PermutationNull]:
        return {
            name: PermutationNull(*(np.asarray(part)[which] for part in null))
            for name, null in drawn.items()
        }

    return of(place) if len(rows) else {}, of(len(rows) + each)
