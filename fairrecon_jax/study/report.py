"""What the report shows beside the tables: example panels, and the record of how the study was
made.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from fairrecon_jax.data.api import EXCLUSIONS, folder_of
from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.diagnosers import HasFeatureMaps, enlarged, grad_cam
from fairrecon_jax.report import ExamplePanel, build_report
from fairrecon_jax.study import config as settings
from fairrecon_jax.study.workdir import Workspace
from fairrecon_jax.tandem import DEGRADE, MASK_THRESHOLD, Tandem
from fairrecon_jax.types import Array, Batch

PACKAGES = (
    "fairrecon_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "pandas",
    "tensorflow-datasets",
    "grain",
)


def write_report(workspace: Workspace) -> Path:
    """Writes the report of a study whose results are there.

    Args:
      workspace: the study.

    Returns:
      The path of the page.

    Raises:
      FileNotFoundError: the study has no results yet.
    """
    performance, fairness = workspace.results()
    options = settings.report_options(workspace.config)
    table = workspace.cohort.table
    table = table.assign(split=table["patient_id"].map(workspace.splits.patients))
    panels = example_panels(workspace, workspace.config.report.examples, performance)
    return build_report(
        workspace.workdir,
        workspace.spec,
        performance,
        fairness,
        table,
        panels,
        provenance(workspace),
        options,
        *workspace.comparisons(),
    )


def example_rows(workspace: Workspace, count: int) -> np.ndarray:
    """Test rows to show, one patient each: those with a finding first, and spread over the
    attribute groups.

    Patients are taken in the order of their digest, so the choice does not depend on the results;
    of a volume the slice with the largest region is shown.
    """
    rows = np.intersect1d(workspace.evaluated_rows(), workspace.rows("test"))
    table = workspace.cohort.table.iloc[rows]
    regions = [task.name for task in workspace.spec.segmentation_tasks]
    findings = [task.name for task in workspace.spec.classification_tasks]
    burden = table[regions].sum(axis=1) if regions else table[findings].sum(axis=1)
    frame = pd.DataFrame(
        {"row": rows, "patient": table["patient_id"].to_numpy(), "burden": burden.to_numpy()}
    )
    frame["group"] = list(
        map(tuple, table[[a.name for a in workspace.spec.attributes]].astype(str).to_numpy())
    )
    frame["order"] = workspace.cohort.digests()[rows, 0]
    frame = frame.sort_values(
        ["burden", "order"], ascending=[False, True], kind="stable"
    ).drop_duplicates("patient")
    frame = frame.assign(without=frame["burden"] <= 0).sort_values("order", kind="stable")
    frame["turn"] = frame.groupby(["without", "group"]).cumcount()
    return frame.sort_values(["without", "turn", "order"], kind="stable")["row"].to_numpy()[:count]


def example_panels(
    workspace: Workspace, count: int, performance: pd.DataFrame
) -> list[ExamplePanel]:
    """Draws `count` test examples at the headline level through every reconstructor studied there,
    and degrades them at every level.
    """
    config, level = workspace.config, workspace.spec.degradation.headline_level
    rows = example_rows(workspace, count)
    names = [
        name
        for name in config.reconstructors
        if level in settings.reconstructor_levels(config, name)
    ]
    if not len(rows) or not names:
        return []
    batch = read_rows(workspace.cohort, rows)
    drawn: dict[str, Any] = {}
    for name in names:
        tandem, shared = workspace.tandem(name)[0], workspace.shared(name, level)
        readers = {"diagnosers": shared["diagnosers"]}
        degraded, reconstruction = jax.jit(tandem.reconstruct)(shared, batch)
        # the same diagnosers read the same originals beside every reconstructor: one program for
        # all images
        if not drawn:
            read = jax.jit(functools.partial(reading, tandem))
            original = read(readers, batch["image"])
        pictures = {"degraded": degraded, "reconstruction": reconstruction, "original": original}
        drawn[name] = jax.device_get(pictures | {"reconstructed": read(readers, reconstruction)})
    ladder = degraded_ladder(workspace, batch)
    thresholds = performance[(performance["metric"] == "threshold") & performance["group"].isna()]
    known = dict(zip(thresholds["task"], thresholds["value"].astype(float), strict=True))
    return [
        _panel(workspace, level, number, row, batch, drawn, known, ladder)
        for number, row in enumerate(rows)
    ]


def reading(tandem: Tandem, shared: dict[str, Any], images: Array) -> dict[str, dict[str, Array]]:
    """What the diagnosers of a tandem make of images [B, H, W, 1]: {"diagnosis": as
    `Tandem.diagnose`, "attention": as `attention`}.
    """
    return {
        "diagnosis": tandem.diagnose(shared, images),
        "attention": attention(tandem, shared, images),
    }


def attention(tandem: Tandem, shared: dict[str, Any], images: Array) -> dict[str, Array]:
    """Grad-CAM maps [B, H, W] by classification task, of the diagnosers that offer maps.

    Args:
      tandem: whose diagnosers read.
      shared: from `Tandem.shared`.
      images: [B, H, W, 1] in [0, 1].
    """
    found: dict[str, Array] = {}
    for diagnoser, variables in zip(tandem.diagnosers, shared["diagnosers"], strict=True):
        if isinstance(diagnoser, HasFeatureMaps):
            maps = grad_cam(
                functools.partial(diagnoser.head, variables), diagnoser.maps(variables, images)
            )
            maps = enlarged(maps, (images.shape[1], images.shape[2]))
            found |= {task: maps[:, column] for column, task in enumerate(diagnoser.tasks)}
    return found


def degraded_ladder(workspace: Workspace, batch: Batch) -> dict[float, np.ndarray]:
    """The batch degraded at every level of the study, [B, H, W] each, with the noise of the
    predictions.
    """
    degradation, key = (
        settings.degradation(workspace.config),
        jax.random.fold_in(jax.random.key(workspace.config.seed), DEGRADE),
    )
    levels = workspace.spec.degradation.levels
    images = jax.jit(degradation.at_levels)(
        degradation.operators(levels), batch["image"], batch["example_id"], key
    )
    return dict(zip(levels, np.asarray(images)[..., 0], strict=True))


def _panel(
    workspace: Workspace,
    level: float,
    number: int,
    row: int,
    batch: dict[str, np.ndarray],
    drawn: dict[str, Any],
    thresholds: dict[str, float],
    ladder: dict[float, np.ndarray],
) -> ExamplePanel:
    """Example `number` of the batch, which is row `row` of the cohort."""
    spec, record = workspace.spec, workspace.cohort.table.iloc[row]
    first = next(iter(drawn.values()))
    shown = {name: pictures for name, pictures in drawn.items() if name != "identity"} or drawn
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
    groups = [
        f"{a.name} {record[a.name] if isinstance(record[a.name], str) else 'unknown'}"
        for a in spec.attributes
    ]
    return ExamplePanel(
        level=level,
        original=batch["image"][number, ..., 0],
        degraded=first["degraded"][number, ..., 0],
        reconstructions={
            name: pictures["reconstruction"][number, ..., 0] for name, pictures in shown.items()
        },
        truth=None
        if region is None
        else batch["mask"][number, ..., [t.name for t in spec.segmentation_tasks].index(region)],
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
        caption=", ".join(groups),
        identifier=str(record["example_id"]),
    )


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
        return max(scores) >= thresholds.get(task, math.inf), max(
            abs(score - before[task]) for score in scores
        )

    return max(tasks, key=rank, default="")


def provenance(workspace: Workspace) -> dict[str, Any]:
    """How the study was made: configuration, seeds, versions, split hash, run times, exclusions."""
    config, processes = workspace.config, jax.process_count()
    exclusions = pd.read_csv(
        folder_of(settings.cohort_config(config), workspace.data_dir) / EXCLUSIONS,
        keep_default_na=False,
    )
    shown = {**settings.plain(config), "cohort": settings.without(config.cohort, "root")}
    times = {}
    for path in sorted(
        (workspace.workdir / "pieces").glob("*.json"), key=lambda p: p.stat().st_mtime
    ):
        times[path.stem.replace("_", " ")] = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    return {
        "config": shown,
        "seeds": {
            "study": config.seed,
            "splits": config.splits.seed,
            "assessment": config.assess.seed,
        },
        "versions": {"Python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "split_hash": workspace.splits.digest,
        "exclusions": exclusions.to_dict("records"),
        "run_times": times,
        "device": f"{jax.device_count()} x {jax.local_devices()[0].device_kind}"
        + (f" in {processes} processes" if processes > 1 else ""),
    }
