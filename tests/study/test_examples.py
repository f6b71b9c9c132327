"""Examples of the report: whom they show, what the diagnosers look at, every level with the noise
of the predictions.
"""

from __future__ import annotations

import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.diagnosers import Classifier
from fairrecon_jax.physics import make_degradation
from fairrecon_jax.reconstructors import Identity, make_reconstructor
from fairrecon_jax.study import examples
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.examples import (
    attention,
    degraded_ladder,
    example_panels,
    example_rows,
    most_moved,
)
from fairrecon_jax.tandem import DEGRADE, Tandem
from fairrecon_jax.training.checkpoints import save_variables
from fairrecon_jax.types import Cell
from tests.support.study_fakes import SPEC, configured, opened, phantom_xray

# -- whom they show


def people(
    monkeypatch: pytest.MonkeyPatch,
    workdir: Path,
    *rows: tuple[str, str, float, int],
    hidden: tuple[str, ...] = (),
) -> Context:
    """A cohort of (patient, sex, size of the region, digest) whose patients are all in the test
    part but for the hidden ones.
    """
    table = pd.DataFrame(rows, columns=["patient_id", "sex", "tumor", "order"])
    parts = {name: "train" if name in hidden else "test" for name in table["patient_id"]}
    context = opened(workdir, table, parts)
    digests = np.stack([table["order"].to_numpy(), np.zeros(len(table))], 1).astype(np.uint32)
    monkeypatch.setattr(type(context.cohort), "_digests", digests)
    return context


def test_examples_are_one_slice_a_patient_the_largest_region_first_and_alternate_between_groups(
    monkeypatch, tmp_path
):
    context = people(
        monkeypatch,
        tmp_path,
        ("a", "F", 5.0, 1),
        ("a", "F", 9.0, 2),
        ("b", "F", 4.0, 3),
        ("c", "M", 2.0, 9),
        ("d", "M", 3.0, 8),
        ("e", "M", 0.0, 0),
    )
    assert example_rows(context, 4).tolist() == [1, 4, 2, 3], (
        "in turns of groups, within a turn in the order of the digests"
    )
    assert example_rows(context, 2).tolist() == [1, 4]
    assert example_rows(context, 0).tolist() == []


def test_patients_without_a_region_are_shown_where_there_are_too_few_with_one(
    monkeypatch, tmp_path
):
    rows = ("a", "F", 5.0, 5), ("b", "F", 0.0, 1), ("c", "M", 0.0, 2)
    context = people(monkeypatch, tmp_path, *rows)
    assert example_rows(context, 1).tolist() == [0]
    assert example_rows(context, 2).tolist() == [0, 1], "the one with a region goes first"
    assert sorted(example_rows(context, 3).tolist()) == [0, 1, 2]
    without = people(monkeypatch, tmp_path, *rows, hidden=("a",))
    assert example_rows(without, 3).tolist() == [1, 2], "only evaluated test patients are shown"


# -- what the diagnosers look at


class Linear:
    """A diagnoser whose maps are the image and its complement and whose logits are weighted means
    of them.
    """

    tasks = ("grade", "type")
    weights = jnp.array([[1.0, 0.0], [-2.0, 0.5]])  # [tasks, maps]

    def maps(self, variables, image):
        return jnp.concatenate([image, variables["top"] - image], -1)

    def head(self, variables, maps):
        return maps.mean((1, 2)) @ self.weights.T


class Blind:
    """A diagnoser without maps."""

    tasks = ("tumor",)


def test_attention_of_a_linear_diagnoser_by_hand():
    image = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype(np.float32)
    tandem = Tandem(None, None, (Linear(),), SPEC)
    found = attention(tandem, ({"top": 3.0},), image)
    np.testing.assert_allclose(found["grade"], image[..., 0] / 64, rtol=1e-6)
    np.testing.assert_allclose(
        found["type"], np.maximum(-2 * image[..., 0] + 0.5 * (3 - image[..., 0]), 0) / 64, rtol=1e-5
    )
    assert attention(Tandem(None, None, (), SPEC), (), image) == {}
    # a map of fewer rows than eight says too little about where a finding lies
    assert attention(tandem, ({"top": 3.0},), image[:, :7]) == {}


def test_classifiers_give_a_map_per_task_at_the_size_of_the_image():
    model = Classifier(("grade", "type"), (0, 1), "resnet18", width=4)
    image = jax.random.uniform(jax.random.key(0), (2, 250, 250, 1))
    variables = model.init(jax.random.key(1), {"image": image})
    found = attention(Tandem(None, None, (Blind(), model), SPEC), ({}, variables), image)
    assert set(found) == {"grade", "type"}
    assert found["grade"].shape == (2, 250, 250)
    assert all(bool(jnp.all(seen >= 0)) for seen in found.values())


@pytest.mark.parametrize(
    ("after", "tasks", "thresholds", "expected"),
    [
        ({"unet": {"a": 0.5, "b": 0.1}, "irsde": {"a": 0.2, "b": 0.5}}, ("a", "b"), {}, "b"),
        ({"unet": {"a": 0.5, "b": 0.1}}, ("a",), {}, "a"),
        ({"unet": {"a": 0.5, "b": 0.1}}, (), {}, ""),
        ({}, ("a", "b"), {}, "a"),
        ({"unet": {"a": 0.4, "b": 0.1}}, ("a", "b"), {"a": 0.5, "b": 0.7}, "a"),
        ({"unet": {"a": 0.4, "b": 0.1}}, ("a", "b"), {"a": 0.5, "b": 0.6}, "b"),
        ({"unet": {"a": 0.9, "b": 0.1}}, ("a", "b"), {"a": 0.8, "b": 0.7}, "a"),
    ],
)
def test_the_task_whose_score_moved_most(after, tasks, thresholds, expected):
    assert most_moved({"a": 0.5, "b": 0.6}, after, tasks, thresholds) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"m": {"a": 0.9, "b": 0.0}}, "b"),
        ({"m": {"a": 0.0, "b": 0.9}}, "a"),
        ({"m": {"a": 0.75, "b": 0.25}}, "a"),
        ({}, "a"),
    ],
)
def test_a_score_may_move_down_as_well_as_up_and_ties_go_to_the_first_task(after, expected):
    assert most_moved({"a": 0.5, "b": 0.5}, after, ("a", "b"), {}) == expected


# -- levels


def test_every_level_has_the_noise_of_the_predictions(tmp_path):
    config = phantom_xray(
        seed=3,
        cohort__image_size=16,
        degradation__levels=(1e5, 1e4, 3e3),
        reconstructors=ConfigDict({"identity": {"kind": "identity"}}),
        diagnosers=ConfigDict(),
        mitigations=ConfigDict(),
    )
    image = np.random.default_rng(0).uniform(size=(2, 16, 16, 1)).astype(np.float32)
    batch = {"image": image, "example_id": np.array([[1, 2], [3, 4]], np.uint32)}
    ladder = degraded_ladder(Context(config, tmp_path), batch)
    assert list(ladder) == [1e5, 1e4, 3e3]
    degradation = make_degradation("xray_low_dose", size=16)
    key = jax.random.fold_in(jax.random.key(3), DEGRADE)
    single = degradation(degradation.operator(1e4), image, batch["example_id"], key)
    # One program or two: rounding.
    np.testing.assert_allclose(ladder[1e4], single[..., 0], atol=1e-5)


@pytest.mark.parametrize(
    ("levels", "shown"),
    [((8.0,), {"unet"}), ((4.0,), set())],
)
def test_the_examples_show_the_reconstructors_of_the_headline_level(tmp_path, levels, shown):
    """No weights are asked for at a level that a reconstructor leaves out."""
    config = configured(
        degradation__levels=(4.0, 8.0),
        diagnosers=ConfigDict(),
        reconstructors__identity__levels=(4.0,),
        reconstructors__unet__levels=levels,
    )
    context = opened(tmp_path, pd.DataFrame({"tumor": [3]}), "test", config)
    model, image = context.study.reconstructors["unet"].model, np.zeros((1, 32, 32, 1), np.float32)
    variables = model.init(jax.random.key(0), {"image": image, "degraded": image})
    save_variables(context.workdir.model(Cell("unet", 8.0)) / "final", variables, {})
    performance = pd.DataFrame({"metric": [], "group": [], "task": [], "value": []})
    panels = example_panels(context, 1, performance)
    assert [set(panel.reconstructions) for panel in panels] == ([shown] if shown else [])
    for panel in panels:
        assert panel.level == 8.0
        assert set(panel.degraded_levels) == {4.0, 8.0}
        np.testing.assert_allclose(panel.degraded_levels[8.0], panel.degraded, atol=1e-5)
        np.testing.assert_array_equal(panel.original, context.cohort.example(0)["image"][..., 0])


# -- one example


def test_one_example_is_cut_out_of_the_batch_with_what_is_known_of_it():
    pixels = np.arange(2 * 4, dtype=np.float32).reshape(2, 2, 2, 1) / 8
    mask = np.stack([np.zeros((2, 2, 1)), np.ones((2, 2, 1))])
    table = pd.DataFrame({"example_id": ["x", "y"], "sex": ["F", None], "grade": [0.0, 1.0]})
    diagnosis = {
        "grade": np.array([0.1, 0.2]),
        "tumor": np.stack([np.full((2, 2), 0.49), np.full((2, 2), 0.5)]),
    }
    moved = {**diagnosis, "grade": np.array([0.1, 0.9])}
    common = {
        "degraded": pixels / 2,
        "original": {"diagnosis": diagnosis, "attention": {"grade": np.zeros((2, 2, 2))}},
    }
    common |= {"reconstructed": {"diagnosis": moved, "attention": {"grade": np.ones((2, 2, 2))}}}
    drawn = {
        "degraded": {**common, "reconstruction": pixels / 2},
        "identity": {**common, "reconstruction": pixels / 4},
    }
    ladder = {4.0: pixels[..., 0] / 3, 8.0: pixels[..., 0] / 2}
    studied = {
        "degraded": types.SimpleNamespace(model=Identity("degraded")),
        "identity": types.SimpleNamespace(model=make_reconstructor("mse", name="identity")),
    }
    context = types.SimpleNamespace(
        spec=SPEC,
        cohort=types.SimpleNamespace(table=table),
        study=types.SimpleNamespace(reconstructors=studied),
    )
    batch = {"image": pixels, "mask": mask}
    thresholds = {"grade": 0.3, "other": 0.1}
    panel = examples._panel(context, 8.0, 1, 1, batch, drawn, thresholds, ladder)
    np.testing.assert_array_equal(panel.original, pixels[1, ..., 0])
    np.testing.assert_array_equal(panel.reconstructions["identity"], pixels[1, ..., 0] / 4)
    assert set(panel.reconstructions) == {"identity"}, "the degraded image is shown anyway"
    assert panel.truth.all()
    assert panel.mask_original.all(), "a mask probability of one half is inside"
    assert panel.scores_original == {"grade": 0.2}
    assert panel.scores_reconstructed == {"identity": {"grade": 0.9}}
    assert (panel.labels, panel.thresholds) == ({"grade": 1.0}, {"grade": 0.3})
    assert panel.attention_task == "grade"
    assert panel.attention_reconstructed["identity"].all()
    assert (panel.caption, panel.identifier) == ("sex unknown", "y")
    np.testing.assert_array_equal(panel.degraded_levels[4.0], pixels[1, ..., 0] / 3)
    only = {"degraded": drawn["degraded"]}
    alone = examples._panel(context, 8.0, 0, 0, batch, only, {}, ladder)
    assert set(alone.reconstructions) == {"degraded"}, "unless it is all there is"
    assert not alone.mask_original.any()
    assert (alone.caption, alone.thresholds) == ("sex F", {})
