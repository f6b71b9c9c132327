"""An opened study: its tree, its splits, its rows, its specification and its weights."""

from __future__ import annotations

import importlib
import json
import shutil

import jax
import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.physics import describe
from fairrecon_jax.study.cohort import draw_phantom, prepare_cohort
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training.checkpoints import save_variables
from fairrecon_jax.types import InputError
from tests.support import tiny_study
from tests.support.study_fakes import opened


def test_a_configuration_is_parsed_and_a_study_is_taken_as_it_is(tmp_path):
    study = parse(tiny_study.get_config())
    assert Context(study, tmp_path).study is study
    assert Context(tiny_study.get_config(), tmp_path).study == study
    assert str(Context(study, str(tmp_path))) == f"Context(ucsf_pdgm in {tmp_path})"


def test_the_tree_is_the_given_one_or_the_phantoms(tmp_path):
    config = tiny_study.get_config()
    assert Context(config, tmp_path).tree == tmp_path / "phantom"
    config.cohort.root = "data/real"
    assert Context(config, tmp_path).tree.as_posix() == "data/real"
    config = importlib.import_module("configs.lgg_mri").get_config()
    with pytest.raises(InputError, match=r"^config\.cohort\.root is empty: give the folder of"):
        _ = Context(config, tmp_path).tree


def test_the_specification_has_the_studys_levels(tmp_path):
    config = tiny_study.get_config()
    config.degradation.levels = (8, 16)
    spec = opened(tmp_path, pd.DataFrame({"sex": ["F"]}), config=config).spec
    assert spec.degradation == describe("mri_radial", (8.0, 16.0), 8.0)
    assert spec.title == "Phantom brains in the layout of Brains"


def test_evaluated_rows_are_those_the_cohort_names_in_order(tmp_path):
    patients = ["d", "a", "b", "c", "e"]
    parts = {"a": "val", "b": "train", "c": "test", "d": "test", "e": "val"}
    table = pd.DataFrame({"patient_id": patients, "evaluate": [True, False, True, True, True]})
    context = opened(tmp_path, table, parts)
    assert context.rows("val").tolist() == [1, 4]
    assert context.rows("val", "test").tolist() == [0, 1, 3, 4]
    assert context.evaluated_rows().tolist() == [0, 3, 4]
    assert opened(tmp_path, table[["patient_id"]], parts).evaluated_rows().tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": "train"}, r"^config\.splits\.fractions \(.*\) leave no image for validation and"),
        ({"a": "test"}, r"^config\.cohort\.evaluate_slices \(1, 5\) leave no slice of the vali"),
    ],
)
def test_a_study_that_leaves_nothing_to_evaluate_says_which_field_does(tmp_path, parts, message):
    table = pd.DataFrame({"patient_id": ["a"], "evaluate": [False]})
    with pytest.raises(InputError, match=message):
        opened(tmp_path, table, parts).evaluated_rows()


def test_weights_are_read_and_missing_ones_name_their_folder(tmp_path):
    context = Context(tiny_study.get_config(), tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match=rf"no weights in {tmp_path}/x: train the model first \(`fairrecon train`, or",
    ):
        context.weights(tmp_path / "x")
    made = {"params": {"net": {"w": np.arange(3.0)}}, "batch_stats": {}}
    save_variables(tmp_path / "x" / "final", made, {})
    found = context.weights(tmp_path / "x")
    jax.tree.map(np.testing.assert_array_equal, found["params"], made["params"])


def test_one_program_serves_all_levels_of_a_reconstructor(tmp_path):
    context = opened(tmp_path, pd.DataFrame({"sex": ["F"]}))
    tandem, step = context.tandem("unet")
    assert context.tandem("unet") == (tandem, step)
    assert context.tandem("identity")[0].reconstructor != tandem.reconstructor
    assert [one.tasks for one in tandem.diagnosers] == [("tumor",)]


def test_a_work_directory_keeps_its_phantoms_and_splits(tmp_path):
    """The message names what differs, and nothing of the work directory is overwritten."""
    config = tiny_study.get_config()
    config.phantom.patients, config.phantom.size = 12, 32
    first = Context(config, tmp_path)
    draw_phantom(first)
    prepare_cohort(first)
    written = (tmp_path / "splits.json").read_bytes()
    assert sum(map(len, json.loads(written)["parts"].values())) == 12
    assert Context(config, tmp_path).splits == first.splits

    config.phantom.seed = 5
    with pytest.raises(
        InputError,
        match=r"phantom was drawn with other options: seed was 0, now 5. Use another workdir",
    ):
        draw_phantom(Context(config, tmp_path))
    del config.phantom["seed"]
    config.splits.fractions = (0.5, 0.3, 0.2)
    with pytest.raises(
        InputError,
        match=r"splits.json was made with fractions and diagnosis_fraction \(0.4, 0.3, 0.3\) and "
        r"0.0, not \(0.5, 0.3, 0.2\) and 0.0: use another work directory",
    ):
        _ = Context(config, tmp_path).splits
    config.splits.update(fractions=(0.4, 0.3, 0.3), diagnosis_fraction=0.5)
    with pytest.raises(InputError, match=r"and 0.0, not \(0.4, 0.3, 0.3\) and 0.5"):
        _ = Context(config, tmp_path).splits
    config.splits.update(diagnosis_fraction=0.0, seed=1)
    with pytest.raises(InputError, match=r"splits.json was made with seed 0, not 1"):
        _ = Context(config, tmp_path).splits
    assert (tmp_path / "splits.json").read_bytes() == written

    shutil.rmtree(tmp_path / "phantom")
    (tmp_path / "phantom").mkdir()
    with pytest.raises(InputError, match="is not a phantom tree"):
        draw_phantom(Context(config, tmp_path))
    (tmp_path / "splits.json").write_text('{"parts": {}, "sha256": "", "seed": "x"}')
    with pytest.raises(InputError, match=r"splits\.json is not a splits file"):
        _ = Context(config, tmp_path).splits


def test_a_cohort_that_is_given_is_not_drawn(tmp_path):
    config = tiny_study.get_config()
    config.cohort.root = "data/real"
    draw_phantom(Context(config, tmp_path))
    assert not (tmp_path / "phantom").exists()
