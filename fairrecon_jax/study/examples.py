"""Example panels of the report: a few test patients, degraded, reconstructed and diagnosed."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.diagnosers import HasFeatureMaps, enlarged, grad_cam
from fairrecon_jax.physics import Elsewhere
from fairrecon_jax.report import ExamplePanel
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.predict import tandem_inputs
from fairrecon_jax.tandem import DEGRADE, Tandem
from fairrecon_jax.types import MASK_THRESHOLD, Array, Batch, Cell, CohortSpec, Variables

SMALLEST_MAP = 8
"""Feature maps with fewer rows or columns say too little about where a finding lies."""


def example_rows(context: Context, count: int) -> np.ndarray:
    """Test rows to show, one patient each: those with a finding first, and spread over the
    attribute groups.

    Patients are taken in the order of their digest, so the choice does not depend on the results;
    of a volume the slice with the largest region is shown.
    """
    # only slices that are assessed: no example may show what the numbers leave out
    rows = np.intersect1d(context.evaluated_rows(), context.rows("test"))
    table = context.cohort.table.iloc[rows]
    regions = [task.name for task in context.spec.segmentation_tasks]
    findings = [task.name for task in context.spec.classification_tasks]
    # pixels of truth, or the number of findings; an unknown finding (NaN) adds nothing
    burden = table[regions].sum(axis=1) if regions else table[findings].sum(axis=1)
    frame = pd.DataFrame(
        {"row": rows, "patient": table["patient_id"].to_numpy(), "burden": burden.to_numpy()}
    )
    frame["group"] = list(
        map(tuple, table[[a.name for a in context.spec.attributes]].astype(str).to_numpy())
    )
    # 32 of the 64 bits do for an order; the sorts are stable where two agree
    frame["order"] = context.cohort.digests()[rows, 0]
    # drop_duplicates keeps the first row of a patient, which is the one of the largest burden
    frame = frame.sort_values(
        ["burden", "order"], ascending=[False, True], kind="stable"
    ).drop_duplicates("patient")
    frame = frame.assign(without=frame["burden"] <= 0).sort_values("order", kind="stable")
    # in rounds: the first patient of every group, then the second of every group
    frame["turn"] = frame.groupby(["without", "group"]).cumcount()
    return frame.sort_values(["without", "turn", "order"], kind="stable")["row"].to_numpy()[:count]


def example_panels(context: Context, count: int, performance: pd.DataFrame) -> list[ExamplePanel]:
    """Draws `count` test examples at the headline level through every reconstructor studied there,
    and degrades them at every level.
    """
    study, level = context.study, context.spec.degradation.headline_level
    rows = example_rows(context, count)
    shown = [one for one in study.reconstructors.values() if level in one.levels]
    if not len(rows) or not shown:
        return []
    batch = read_rows(context.cohort, rows)
    drawn: dict[str, Any] = {}
    for one in track(shown, "report, examples", "reconstructor"):
        tandem, _ = context.tandem(one.name)
        inputs = tandem_inputs(
            context, Cell(one.name, level, seed=study.seed, training=study.trainings(one.name)[0])
        )
        # the noise that was judged: it hangs on key and image, not on the batch
        degraded, reconstruction = jax.jit(tandem.reconstruct)(inputs, batch)
        # The same diagnosers read the same originals beside every reconstructor: one program for
        # all images.
        if not drawn:
            read = jax.jit(functools.partial(reading, tandem))
            original = read(inputs.diagnosers, batch["image"])
        pictures = {"degraded": degraded, "reconstruction": reconstruction, "original": original}
        seen = {"reconstructed": read(inputs.diagnosers, reconstruction)}
        drawn[one.name] = jax.device_get(pictures | seen)
    ladder = degraded_ladder(context, batch)
    thresholds = performance[(performance["metric"] == "threshold") & (performance["group"] == "")]
    known = dict(zip(thresholds["task"], thresholds["value"].astype(float), strict=True))
    return [
        _panel(context, level, number, row, batch, drawn, known, ladder)
        for number, row in enumerate(rows)
    ]


def reading(
    tandem: Tandem, weights: Sequence[Variables], images: Array
) -> dict[str, dict[str, Array]]:
    """What the diagnosers of a tandem make of images [B, H, W, 1]: {"diagnosis": as
    `Tandem.diagnose`, "attention": as `attention`}.
    """
    return {
        "diagnosis": tandem.diagnose(weights, images),
        "attention": attention(tandem, weights, images),
    }


def attention(tandem: Tandem, weights: Sequence[Variables], images: Array) -> dict[str, Array]:
    """Grad-CAM maps [B, H, W] by classification task, of the diagnosers that offer maps of at
    least 8x8.

    Args:
      tandem: whose diagnosers read.
      weights: of the diagnosers, in their order.
      images: [B, H, W, 1] in [0, 1].
    """
    by_task: dict[str, Array] = {}
    for diagnoser, variables in zip(tandem.diagnosers, weights, strict=True):
        if isinstance(diagnoser, HasFeatureMaps):
            features = diagnoser.maps(variables, images)
            # [B, H, W, C]; a map of 2x2 that is drawn over an image lights a corner of it
            if min(features.shape[1:3]) < SMALLEST_MAP:
                continue
            maps = grad_cam(functools.partial(diagnoser.head, variables), features)
            maps = enlarged(maps, (images.shape[1], images.shape[2]))
            by_task |= {task: maps[:, column] for column, task in enumerate(diagnoser.tasks)}
    return by_task


def degraded_ladder(context: Context, batch: Batch) -> dict[float, np.ndarray]:
    """The batch degraded at every level of the study, [B, H, W] each, with the noise of the
    predictions.
    """
    study = context.study
    physics, levels = study.degradation.physics, study.degradation.levels
    if isinstance(physics, Elsewhere):
        return {}
    # the fold of `Tandem.reconstruct`: the noise under which the images were judged
    key = jax.random.fold_in(jax.random.key(study.seed), DEGRADE)
    images = jax.jit(physics.at_levels)(
        physics.operators(levels), batch["image"], batch["example_id"], key
    )
    return dict(zip(levels, np.asarray(images)[..., 0], strict=True))


def _panel(
    context: Context,
    level: float,
    number: int,
    row: int,
    batch: dict[str, np.ndarray],
    drawn: dict[str, Any],
    thresholds: dict[str, float],
    ladder: dict[float, np.ndarray],
) -> ExamplePanel:
    """Example `number` of the batch, which is row `row` of the cohort."""
    spec, record = context.spec, context.cohort.table.iloc[row]
    first = next(iter(drawn.values()))
    studied = context.study.reconstructors
    # an identity would only repeat the degraded image; alone it is still shown
    methods = {name: d for name, d in drawn.items() if not studied[name].model.method.degraded}
    shown = methods or drawn
    region = next(
        (t.name for t in spec.segmentation_tasks if t.name in first["original"]["diagnosis"]), None
    )
    findings = [
        t.name for t in spec.classification_tasks if t.name in first["original"]["diagnosis"]
    ]

    def scores(diagnosis: dict[str, np.ndarray]) -> dict[str, float]:
        return {task: float(diagnosis[task][number]) for task in findings}

    def mask(diagnosis: dict[str, np.ndarray]) -> np.ndarray | None:
        return None if region is None else diagnosis[region][number] >= MASK_THRESHOLD

    masks = {name: mask(pictures["reconstructed"]["diagnosis"]) for name, pictures in shown.items()}
    before = scores(first["original"]["diagnosis"])
    after = {
        name: scores(pictures["reconstructed"]["diagnosis"]) for name, pictures in shown.items()
    }
    looked = most_moved(before, after, first["original"]["attention"], thresholds)
    return ExamplePanel(
        level=level,
        original=batch["image"][number, ..., 0],
        degraded=_degraded(drawn, number),
        reconstructions={
            name: pictures["reconstruction"][number, ..., 0] for name, pictures in shown.items()
        },
        truth=_truth(spec, batch["mask"][number], region),
        mask_original=mask(first["original"]["diagnosis"]),
        masks_reconstructed={name: found for name, found in masks.items() if found is not None},
        scores_original=before,
        scores_reconstructed=after,
        labels={task: float(record[task]) for task in findings},
        thresholds={task: thresholds[task] for task in findings if task in thresholds},
        attention_task=looked,
        attention_original=first["original"]["attention"][looked][number] if looked else None,
        attention_reconstructed={
            name: p["reconstructed"]["attention"][looked][number]
            for name, p in shown.items()
            if looked
        },
        degraded_levels={level: images[number] for level, images in ladder.items()},
        caption=_groups(spec, record),
        identifier=str(record["example_id"]),
    )


def _degraded(drawn: Mapping[str, Any], number: int) -> np.ndarray | None:
    """The degraded image [H, W] of an example; None where all images are from elsewhere and come
    without.
    """
    known = [one["degraded"] for one in drawn.values() if one["degraded"] is not None]
    return known[0][number, ..., 0] if known else None


def _truth(spec: CohortSpec, mask: np.ndarray, region: str | None) -> np.ndarray | None:
    """The channel of one region [H, W] of an example's mask [H, W, S]."""
    names = [task.name for task in spec.segmentation_tasks]
    return None if region is None else mask[..., names.index(region)]


def _groups(spec: CohortSpec, record: pd.Series) -> str:
    """The groups of an example's patient, for its caption."""
    values = {a.name: record[a.name] for a in spec.attributes}
    return ", ".join(f"{k} {v if isinstance(v, str) else 'unknown'}" for k, v in values.items())


def most_moved(
    before: Mapping[str, float],
    after: Mapping[str, Mapping[str, float]],
    tasks: Iterable[str],
    thresholds: Mapping[str, float],
) -> str:
    """The one of `tasks` whose score some reconstruction changed most, "" where there is none.

    Tasks whose score reaches the threshold in some version go first: of a low score nothing speaks
    for it.
    """

    def rank(task: str) -> tuple[bool, float]:
        scores = [version[task] for version in (before, *after.values())]
        # without a threshold no score reaches it, and the task goes last
        return max(scores) >= thresholds.get(task, math.inf), max(
            abs(score - before[task]) for score in scores
        )

    return max(tasks, key=rank, default="")
