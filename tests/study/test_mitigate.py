"""Mitigation in a study: on which rows and outcomes, and which of the weights is chosen."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import read_predictions, write_predictions
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.mitigation.on_arrays import outcomes
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.mitigate import choose, sweep_points, sweeps, training_rows
from fairrecon_jax.types import Cell
from tests.support.study_fakes import SPEC, configured, opened


@pytest.mark.parametrize(("fraction", "patients"), [(1.0, 10), (0.5, 5), (0.41, 5), (0.01, 1)])
def test_a_share_of_the_patients_is_fine_tuned_on_with_all_their_rows(tmp_path, fraction, patients):
    table = pd.DataFrame({"patient_id": [f"p{i // 3:02}" for i in range(36)]})
    parts = {f"p{i:02}": "test" if i < 2 else "train_reconstruction" for i in range(12)}
    context = opened(tmp_path, table, parts)
    rows = np.arange(6, 36)
    found = training_rows(context, fraction)
    assert len(found) == 3 * patients
    assert set(found) <= set(rows)
    assert table["patient_id"].iloc[found].nunique() == patients
    np.testing.assert_array_equal(training_rows(context, 1.0), rows)
    larger = training_rows(context, min(fraction + 0.3, 1.0))
    assert set(found) <= set(larger), "a larger share adds patients and drops none"
    if fraction == 0.5:
        other = opened(tmp_path, table, parts, configured(splits__seed=1))
        assert set(training_rows(other, fraction)) != set(found)


def test_as_published_validation_patients_are_fine_tuned_on(tmp_path):
    table = pd.DataFrame({"patient_id": [f"p{i // 3:02}" for i in range(36)]})
    parts = {f"p{i:02}": ("test", "val", "train_reconstruction")[i % 3] for i in range(12)}
    context = opened(tmp_path, table, parts)
    held = table["patient_id"].iloc[training_rows(context, 1.0, "val")]
    assert set(held) == {"p01", "p04", "p07", "p10"}
    assert len(held) == 12
    assert len(training_rows(context, 0.5, "val")) == 6


def test_outcomes_are_labels_and_whether_there_is_a_region():
    table = pd.DataFrame({"grade": [1.0, np.nan, 0.0], "tumor": [0.0, 12.0, 3.0]})
    np.testing.assert_array_equal(outcomes(table, SPEC), [[1, 0], [np.nan, 1], [0, 1]])
    nothing = dataclasses.replace(SPEC, tasks=())
    assert outcomes(table, nothing).shape == (3, 0)


# -- the choice of a weight

PLAIN = Cell("unet", 8.0)
WEIGHTS = {"eodd@0.1": 0.2, "eodd@1": 0.05, "eodd@10": 0.0}
"""By variant, the share of women whose finding is missed."""


def sweep(workdir: Path, psnr_tolerance: float = 1.0) -> Context:
    """Predictions of a reconstruction and of three weights: the larger the smaller the gap; the
    largest costs 3 dB.
    """
    left_open = {
        f"diagnosers__tumor__train__{name}": None for name in ("selection", "selection_mode")
    }
    config = configured(cohort__tasks=("grade",), **left_open)
    config.diagnosers.tumor.kind = "classifier"
    del config.diagnosers.tumor["depth"]
    config.mitigations.eodd = mitigation(
        "equalised_odds",
        2,
        8,
        1e-3,
        weights=(0.1, 1.0, 10.0),
        task_tolerance=1.0,
        psnr_tolerance=psnr_tolerance,
    )
    spec = dataclasses.replace(SPEC, tasks=SPEC.tasks[:1])
    people = predictions(PLAIN, 0.3, 30.0)[["example_id", "patient_id", "sex"]]
    context = opened(workdir, people, config=config, spec=spec)
    one = context.study.mitigations["eodd"]
    for cell in (PLAIN, *one.variants(PLAIN)):
        missed = WEIGHTS.get(cell.variant, 0.3)
        psnr = 27.0 if cell.variant == "eodd@10" else 30.0
        write_predictions(
            context.workdir.prediction(cell), predictions(cell, missed, psnr), context.spec
        )
    return context


def predictions(cell: Cell, missed: float, psnr: float) -> pd.DataFrame:
    """120 men and 120 women a part, half of them with the finding, perfectly told on the originals;
    on the reconstructions a share of the women's findings is missed.
    """
    count = 240
    label = np.arange(count) % 2
    female = np.arange(count) < count // 2
    found = label * 0.9 + (1 - label) * 0.1
    positive = np.flatnonzero(female & (label == 1))
    worse = found.copy()
    worse[positive[: round(missed * len(positive))]] = 0.05
    parts = []
    for part in ("val", "test"):
        parts.append(
            pd.DataFrame(
                {
                    "example_id": [f"{part}{i}" for i in range(count)],
                    "patient_id": [f"{part}{i}" for i in range(count)],
                    "split": part,
                    "sex": np.where(female, "F", "M"),
                    "grade__label": label.astype(float),
                    "grade__original": found,
                    "grade__reconstructed": worse,
                    "psnr": psnr,
                    "ssim": 0.9,
                    "nrmse": 0.1,
                    "cohort": "c",
                    "level": cell.level,
                    "reconstructor": cell.reconstructor,
                    "mitigation": cell.variant,
                    "seed": 0,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_the_points_of_a_sweep_are_of_every_weight_and_of_both_parts(tmp_path):
    found = sweep_points(sweep(tmp_path), Cell("unet", 8.0, "eodd"))
    assert set(found["sweep"]) == {"eodd"}
    assert set(found["part"]) == {"val", "test"}
    assert dict(zip(found["mitigation"], found["weight"], strict=True)) == {
        "none": 0.0,
        "eodd@0.1": 0.1,
        "eodd@1": 1.0,
        "eodd@10": 10.0,
    }


def test_the_smallest_gap_within_the_tolerances_is_chosen_and_handed_out(tmp_path):
    swept, cell = sweep(tmp_path), Cell("unet", 8.0, "eodd")
    assert choose(swept, cell).mitigation == "eodd@1", "the largest weight costs 3 dB"
    folder = swept.workdir.model(cell)
    record = json.loads((folder / "chosen.json").read_text())
    assert record["chosen"] == "eodd@1"
    assert {one["mitigation"] for one in record["candidates"]} == {"none", *WEIGHTS}
    ours, spec = read_predictions(swept.workdir.prediction(cell))
    theirs, _ = read_predictions(swept.workdir.prediction(Cell("unet", 8.0, "eodd", 1.0)))
    assert set(ours["mitigation"]) == {"eodd"}
    pd.testing.assert_frame_equal(
        ours.drop(columns="mitigation"), theirs.drop(columns="mitigation")
    )
    assert spec == swept.spec
    told = sweeps(swept)
    assert told is not None
    assert set(told["chosen"]) == {"eodd@1"}
    assert set(told["mitigation"]) == {"none", *WEIGHTS}
    assert len(told) == len(sweep_points(swept, cell))


def test_a_tolerance_decides(tmp_path):
    assert (
        choose(sweep(tmp_path, psnr_tolerance=5.0), Cell("unet", 8.0, "eodd")).mitigation
        == "eodd@10"
    )


def test_a_study_without_weights_to_try_has_no_sweep(tmp_path):
    config = configured()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3)
    assert sweeps(opened(tmp_path, pd.DataFrame({"sex": ["F"]}), config=config)) is None
