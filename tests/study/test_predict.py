"""Tables of predictions and images of the fused step: rows, names, weights, files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict
from PIL import Image

from fairrecon_jax.assessment import read_predictions
from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.predict import (
    merge_predictions,
    predict_cell,
    tandem_inputs,
    weights_cell,
    write_images,
)
from fairrecon_jax.training.checkpoints import save_variables
from fairrecon_jax.types import Cell, InputError
from tests.support import tiny_study
from tests.support.study_fakes import configured, opened, phantom_brain
from tests.support.tandem_fakes import COUNT, discs, rows_of


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return discs()


# -- a table


def test_names_attributes_and_unknown_labels_come_from_the_table(cohort):
    table = rows_of(cohort)
    assert list(table["example_id"]) == list(cohort.table["example_id"])
    assert table["sex"].isna().sum() == (cohort.table["sex"].isna()).sum() > 0
    assert np.flatnonzero(table["bright__label"].isna()).tolist() == [3]


def test_rows_do_not_depend_on_their_order(cohort):
    order = np.random.default_rng(1).permutation(COUNT)
    there = rows_of(cohort, "xray", 1e4).iloc[order].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows_of(cohort, "xray", 1e4, rows=order), there, rtol=1e-5)


def test_some_of_the_rows_are_as_among_all(cohort):
    rows = np.array([7, 2, 9])
    there = rows_of(cohort).iloc[rows].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows_of(cohort, rows=rows), there, rtol=1e-5)


def test_a_batch_that_does_not_divide_is_refused(cohort):
    with pytest.raises(InputError, match="batch_size 6 is not a multiple of the 4 devices"):
        rows_of(cohort, batch_size=6, devices=4)


def test_no_rows_are_refused(cohort):
    with pytest.raises(InputError, match=f"^predict: the cohort {cohort.spec.name} has no row to"):
        rows_of(cohort, rows=np.array([], int))


# -- weights


def fast() -> ConfigDict:
    """A study of brains without diagnosers, one of whose reconstructors uses another's weights."""
    return phantom_brain(
        reconstructors__fast=ConfigDict({"weights_of": "irsde", "preset": "ode2_5"}),
        diagnosers=ConfigDict(),
    )


def test_a_cell_has_the_weights_of_its_own_training_or_of_the_one_it_names(tmp_path):
    context = Context(fast(), tmp_path)
    assert weights_cell(context, Cell("unet", 8.0, seed=1)) == Cell("unet", 8.0, seed=1)
    assert weights_cell(context, Cell("fast", 8.0)) == Cell("irsde", 8.0)
    mitigated = Cell("unet", 8.0, "eodd", 0.1)
    assert weights_cell(context, mitigated) == mitigated


def test_the_weights_are_read_from_the_other_blocks_folder(tmp_path):
    context = opened(tmp_path, pd.DataFrame({"sex": ["F"]}), config=fast())
    model = context.study.reconstructors["irsde"].model
    image = np.zeros((1, 64, 64, 1), np.float32)
    made = jax.device_get(model.init(jax.random.key(0), {"image": image, "degraded": image}))
    save_variables(context.workdir.model(Cell("irsde", 8.0)) / "final", made, {})
    found = tandem_inputs(context, Cell("fast", 8.0)).reconstructor["params"]
    jax.tree.map(np.testing.assert_array_equal, found, made["params"])


def test_a_mitigated_cell_reads_its_own_folder(tmp_path):
    context = opened(tmp_path, pd.DataFrame({"sex": ["F"]}), config=fast())
    with pytest.raises(FileNotFoundError, match=r"no weights in .*mitigated/eodd@0\.1/unet/8: tr"):
        tandem_inputs(context, Cell("unet", 8.0, "eodd", 0.1))


def test_the_identity_needs_no_weights_and_the_key_is_the_studys_seed(tmp_path):
    config = configured(diagnosers=ConfigDict(), seed=5)
    found = tandem_inputs(opened(tmp_path, pd.DataFrame({"sex": ["F"]}), config=config), CELL)
    assert found.reconstructor == {"params": {}, "batch_stats": {}}
    assert jax.random.key_data(found.key).tolist() == [0, 5]


# -- files

CELL = Cell("identity", 8.0)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Six patients of all parts, degraded images alone."""
    config = configured(diagnosers=ConfigDict(), tandem__batch_size=4, seed=5)
    parts = {"a": "test", "b": "train", "c": "val", "d": "test", "e": "val", "f": "test"}
    table = pd.DataFrame({"patient_id": list(parts), "example_id": [f"{p}/0" for p in parts]})
    return opened(tmp_path, table, parts, config)


def test_predictions_of_a_cell_are_those_of_validation_and_test(context):
    predict_cell(context, CELL)
    table, spec = read_predictions(context.workdir.prediction(CELL))
    assert dict(zip(table["example_id"], table["split"], strict=True)) == {
        "a/0": "test",
        "c/0": "val",
        "d/0": "test",
        "e/0": "val",
        "f/0": "test",
    }
    columns = ("cohort", "level", "reconstructor", "mitigation", "seed")
    for column, value in zip(columns, ("c", 8.0, "identity", "none", 5), strict=True):
        assert set(table[column]) == {value}
    assert table["psnr"].between(1, 60).all()
    # groups are no part of it: they are those of the day of the assessment
    assert spec == dataclasses.replace(context.spec, attributes=())
    assert "sex" not in table


def test_a_mitigated_cell_is_called_by_its_weight(context):
    cell = Cell("identity", 8.0, "eodd", 0.1)
    save_variables(context.workdir.model(cell) / "final", {"params": {}, "batch_stats": {}}, {})
    predict_cell(context, cell)
    table, _ = read_predictions(context.workdir.prediction(cell))
    assert set(table["mitigation"]) == {"eodd@0.1"}


def test_the_cells_that_are_assessed_are_stacked(tmp_path):
    config = tiny_study.get_config()
    config.degradation.levels = (4.0, 8.0)
    config.diagnosers = ConfigDict()
    del config.reconstructors["unet"]
    parts = {"a": "test", "b": "val"}
    context = opened(tmp_path, pd.DataFrame({"patient_id": ["a", "b"]}), parts, config)
    for level in (4.0, 8.0, 16.0):
        predict_cell(context, Cell("identity", level))
    merged = merge_predictions(context)
    assert sorted(zip(merged["level"], merged["patient_id"], strict=True)) == [
        (4.0, "a"),
        (4.0, "b"),
        (8.0, "a"),
        (8.0, "b"),
    ]
    pd.testing.assert_frame_equal(
        read_predictions(context.workdir.predictions)[0],
        merged.sort_values(["level", "patient_id"]).reset_index(drop=True),
        check_like=True,
    )


def test_columns_of_the_cohort_travel_with_the_predictions(tmp_path):
    config = tiny_study.get_config()
    config.diagnosers = ConfigDict()
    del config.reconstructors["unet"]
    config.assess.update(strata="scanner", continuous=("age_years",))
    table = pd.DataFrame({"patient_id": list("abc"), "scanner": ["x", None, "y"]})
    table["age_years"] = [40.0, 50.0, 60.0]
    context = opened(tmp_path, table, "test", config)
    predict_cell(context, Cell("identity", 8.0))
    merged = merge_predictions(context).set_index("patient_id")
    assert merged["age_years"].to_dict() == {"a": 40, "b": 50, "c": 60}
    assert merged["scanner"].fillna("").to_dict() == {"a": "x", "b": "", "c": "y"}
    # an attribute is there already, and stays as it was
    config.assess.strata = "sex"
    again = merge_predictions(opened(tmp_path, table, "test", config))
    assert set(again["sex"]) == {"F"}


def test_images_are_written_as_png_of_16_bits(context):
    write_images(context, CELL, "test")
    folder = context.workdir.reconstructions(CELL)
    for version in ("degraded", "reconstructed"):
        names = {path.name for path in (folder / version).iterdir()}
        assert names == {"a__0.png", "d__0.png", "f__0.png"}
    with Image.open(folder / "degraded" / "d__0.png") as picture:
        pixels = np.asarray(picture)
    assert (pixels.dtype, pixels.shape) == (np.uint16, (32, 32))
    tandem, _ = context.tandem("identity")
    batch = {"image": context.cohort.example(3)["image"][None]}
    batch["example_id"] = context.cohort.digests()[3:4]
    degraded, same = jax.jit(tandem.reconstruct)(tandem_inputs(context, CELL), batch)
    np.testing.assert_array_equal(degraded.clip(0, 1), same)
    np.testing.assert_allclose(pixels / 65535, degraded[0, ..., 0].clip(0, 1), atol=1e-5)
