"""ROC and calibration curves of the scores before and after reconstruction, in all patients and in
each group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.assessment.arrays import Study, studies
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.assessment.precision import nan_is_an_answer
from fairrecon_jax.assessment.units import JudgedUnits, units
from fairrecon_jax.metrics import calibration_error, sensitivity_at
from fairrecon_jax.types import NO_MITIGATION, CohortSpec, Task

COLUMNS = (
    "cohort", "task", "attribute", "group", "reconstructor", "level", "seed", "curve", "version",
    "x", "y", "n", "n_pos", "n_neg",
)  # fmt: skip
RATES = np.array([0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
"""False-positive rates at which ROC curves are written: dense where decisions are made."""


@nan_is_an_answer
def score_curves(
    table: pd.DataFrame, spec: CohortSpec, options: AssessOptions | None = None
) -> pd.DataFrame:
    """ROC and calibration of every classification task at the headline level, without mitigation.

    Args:
      table: predictions, see `assess`.
      spec: the cohort's specification.
      options: choices; of them the crossed attributes are not used.

    Returns:
      Long table with the columns `COLUMNS`. `curve` is "roc" (x false-positive rate, y sensitivity)
        or "calibration" (x mean score, y share with the finding, one row per filled bin of tenths,
        n its size). Rows of originals carry no reconstructor. Tasks whose scores are decisions
        have none.

    Raises:
      InputError: as `assess`.

    Example:
      >>> from fairrecon_jax.assessment.on_arrays import predictions
      >>> y = np.arange(60) % 2
      >>> table, spec = predictions(label=y, original=0.2 + 0.6 * y, reconstructed=0.5 + 0 * y)
      >>> rows = score_curves(table, spec).query("curve == 'roc' and x == 0.2")
      >>> rows[["version", "y"]].values.tolist()
      [['original', 1.0], ['reconstructed', 0.0]]
    """
    options = options or AssessOptions()
    rows: list[dict[str, Any]] = []
    for study in studies(table, spec, (), options.strata):
        for task in spec.tasks:
            known = f"{task.name}__reconstructed" in study.columns
            if task.kind == "classification" and known:
                rows += _of_task(study, task, float(spec.degradation.headline_level))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_task(study: Study, task: Task, headline: float) -> Iterator[dict[str, Any]]:
    """Rows of one task: originals once, then every method."""
    judged = units(study, task, study.test)
    cells = [
        (k, cell)
        for k, cell in enumerate(study.cells)
        if cell.level == headline and cell.mitigation == NO_MITIGATION
    ]
    base = {"cohort": study.cohort, "seed": study.seed, "task": task.name, "level": headline}
    versions = [("reconstructed", cell.reconstructor, judged.reconstructed[k]) for k, cell in cells]
    if judged.paired and cells:
        # the same in every cell: one of them stands for all
        versions.insert(0, ("original", "", judged.original[cells[0][0]]))
    for version, reconstructor, score in versions:
        place = base | {"version": version, "reconstructor": reconstructor}
        yield from _of_groups(judged, score, place)


def _of_groups(
    judged: JudgedUnits, score: np.ndarray, place: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Both curves of one version, for everyone and for every group."""
    usable = np.isfinite(score) & np.isfinite(judged.label)
    if np.isin(score[usable], (0, 1)).all():
        # decisions have no curve
        return
    for grouping in judged.groupings:
        for number, group in enumerate(grouping.groups):
            members = usable & (grouping.code == number)
            label, own = judged.label[members], score[members]
            counts = {"n_pos": int((label == 1).sum()), "n_neg": int((label == 0).sum())}
            named = place | {"attribute": grouping.name, "group": group} | counts
            if not (counts["n_pos"] and counts["n_neg"]):
                continue
            for x, y in zip(RATES, sensitivity_at(label, own, RATES), strict=True):
                yield named | {"curve": "roc", "x": x, "y": y, "n": len(own)}
            bins = calibration_error(label, own)
            for x, y, n in zip(bins.score, bins.frequency, bins.weight, strict=True):
                if n:
                    yield named | {"curve": "calibration", "x": x, "y": y, "n": int(n)}
