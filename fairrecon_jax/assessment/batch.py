"""Tests of several tasks at once: tasks that judge the same units share one call, one set of signs
and one compiled program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from fairrecon_jax.assessment.arrays import JudgedUnits
from fairrecon_jax.assessment.classification import Decisions
from fairrecon_jax.assessment.context import Context
from fairrecon_jax.assessment.thresholds import Thresholds
from fairrecon_jax.inference.did import did_test, did_test_auroc
from fairrecon_jax.inference.did_result import DidResult
from fairrecon_jax.inference.permutation import PermutationNull, permutation_null
from fairrecon_jax.inference.published import Published, published_test
from fairrecon_jax.inference.verdict import select
from fairrecon_jax.types import Task

LABELS = {"eodd": (0, 1), "eop": (1,)}
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


class Tests(NamedTuple):
    """Tests and permutation nulls of one task and attribute.

    Attributes:
      did: by metric ("eodd", "eop"), leading axis K; empty where there is nothing to pair or to
        judge.
      nulls: of originals and of reconstructions, by metric, [K].
      published: the published recipe, [K]; None where not asked for or nothing is paired.
      auroc: test of the AUROC, [K]; None where not asked for or nothing is paired.
    """

    did: dict[str, DidResult]
    nulls: tuple[dict[str, PermutationNull], dict[str, PermutationNull]]
    published: Published | None
    auroc: DidResult | None


def batches(tasks: Iterable[Judged]) -> Iterator[list[Judged]]:
    """Groups consecutive tasks that judge the same units, so many that a call stays within
    `BUDGET`.
    """
    batch: list[Judged] = []
    for task in tasks:
        # the largest grouping sets the size of a call, with two labels
        groups = max(len(g.groups) for g in task.units.groupings)
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


def _stack(members: list[Judged]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decisions [T, K, U] of both versions and labels [T, 1, U]."""
    original, reconstructed = (
        np.stack([getattr(m.decisions, v) for m in members]) for v in ("original", "reconstructed")
    )
    return original, reconstructed, np.stack([m.decisions.label for m in members])[:, None]


def _did(
    context: Context, members: list[Judged], code: np.ndarray, groups: int, labels: tuple[int, ...]
) -> DidResult:
    """One call of the sign-flip test for all members, leading axes [T, K]."""
    options, (original, reconstructed, label) = context.options, _stack(members)
    # one label alone has nothing to be weighed against
    return did_test(
        original,
        reconstructed,
        label,
        code,
        context.study.patient_names[members[0].units.patient],
        context.flip_key,
        groups=groups,
        flips=options.flips,
        min_patients=options.min_patients,
        labels=labels,
        label_weights=options.label_weights if labels == LABELS["eodd"] else None,
        alpha=options.alpha,
    )


def everyone(context: Context, members: list[Judged]) -> list[tuple[np.ndarray, ...]]:
    """Per task the sign-flip p-values [K] of "no rate changed for everyone together", among
    negatives and among positives.

    Args:
      context: options and key.
      members: tasks with originals and shared thresholds.

    Returns:
      Per task (negatives [K], positives [K]); NaN with fewer than `min_patients` patients.
    """
    code = np.zeros(len(members[0].units.patient), np.int32)
    # one label at a time: `overall_p` of both together would be the p of either
    negatives, positives = (
        np.asarray(_did(context, members, code, 1, (label,)).overall_p) for label in (0, 1)
    )
    return [(negatives[t], positives[t]) for t in range(len(members))]


def run_tests(
    context: Context,
    members: list[Judged],
    place: int,
    judged: bool,
    patients: Sequence[np.ndarray],
) -> list[Tests]:
    """Difference-in-differences tests of EODD (both labels) and EOP (positives), permutation nulls
    of both versions, and the published recipe.

    Args:
      context: options and keys.
      members: tasks of one batch.
      place: which of the units' groupings; it has at least one known group.
      judged: run the tests (the thresholds are shared and originals exist).
      patients: per task [K, G, 2] patients of each study cell and stratum (group x label).

    Returns:
      `Tests` per task.
    """
    grouping, options = members[0].units.groupings[place], context.options
    groups, paired = len(grouping.groups), members[0].units.paired
    did = (
        {m: _did(context, members, grouping.code, groups, labels) for m, labels in LABELS.items()}
        if judged
        else {}
    )
    recipe = None
    if paired and "mean" in options.conventions:
        # the recipe is a bootstrap by image of its own, and needs two replicates for an error
        key, replicates = jax.random.key(options.seed), max(options.replicates, 2)
        recipe = published_test(
            *_stack(members),
            grouping.code,
            key,
            groups=groups,
            replicates=replicates,
            empty=context.empty_rate,
        )
    aurocs = _auroc(context, members, place) if paired and options.auroc_gaps else None
    before, after = _nulls(context, members, place, patients)
    return [
        Tests(
            {m: select(result, (t,)) for m, result in did.items()},
            (_of_task(before, t), _of_task(after, t)),
            None if recipe is None else Published(*(np.asarray(field)[t] for field in recipe)),
            None if aurocs is None else select(aurocs, (t,)),
        )
        for t in range(len(members))
    ]


def _auroc(context: Context, members: list[Judged], place: int) -> DidResult:
    """The sign-flip test of within-group AUROCs, leading axes [T, K]; scores of incomplete units
    are unknown.
    """
    grouping, options = members[0].units.groupings[place], context.options
    known = np.stack([m.decisions.known for m in members])
    original, reconstructed = (
        np.where(known, np.stack([getattr(m.units, v) for m in members]), np.nan)
        for v in ("original", "reconstructed")
    )
    return did_test_auroc(
        original,
        reconstructed,
        np.stack([m.decisions.label for m in members])[:, None],
        grouping.code,
        context.study.patient_names[members[0].units.patient],
        context.flip_key,
        groups=len(grouping.groups),
        flips=options.flips,
        min_patients=options.min_patients,
        alpha=options.alpha,
    )


def _nulls(
    context: Context, members: list[Judged], place: int, patients: Sequence[np.ndarray]
) -> tuple[dict[str, PermutationNull], dict[str, PermutationNull]]:
    """Permutation nulls [T, K] of originals and reconstructions; originals that are the same in all
    cells are permuted once.
    """
    grouping, (original, reconstructed, label) = members[0].units.groupings[place], _stack(members)
    # cells that share their originals share those originals' null
    first = 1 if all(m.decisions.shared for m in members) else original.shape[1]
    # [T, K, G, labels] -> [T, K, labels, G], as `permutation_null` orders strata
    judged = np.moveaxis(np.stack(patients) >= context.options.min_patients, -1, -2)
    # both versions in one call: the same permuted groups serve them
    both = permutation_null(
        np.concatenate([original[:, :first], reconstructed], 1),
        label,
        grouping.code,
        context.study.patient_names[members[0].units.patient],
        context.options.seed,
        groups=len(grouping.groups),
        attribute=grouping.name,
        permutations=context.options.null_draws,
        mask=np.concatenate([judged[:, :first], judged], 1),
    )
    before = {
        name: PermutationNull(
            *(np.broadcast_to(np.asarray(f)[:, :first], original.shape[:2]) for f in null)
        )
        for name, null in both.items()
    }
    after = {
        name: PermutationNull(*(np.asarray(f)[:, first:] for f in null))
        for name, null in both.items()
    }
    return before, after


def _of_task(nulls: dict[str, PermutationNull], t: int) -> dict[str, PermutationNull]:
    """The nulls of one task."""
    return {name: PermutationNull(*(field[t] for field in null)) for name, null in nulls.items()}
