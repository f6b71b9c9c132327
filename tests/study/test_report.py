"""What a study hands to the example panels: Grad-CAM maps of its classifiers, its images at every
level.
"""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.diagnosers import Classifier
from fairrecon_jax.physics import make_degradation
from fairrecon_jax.study import report as panels
from fairrecon_jax.tandem import DEGRADE, Tandem
from tests.support import report_fake as fake


class Blind:
    """A diagnoser without maps."""

    tasks = ("tumour",)


def test_classifiers_give_a_map_per_task_at_the_size_of_the_image():
    model = Classifier(("grade", "type"), (0, 1), "resnet18", width=4)
    image = jax.random.uniform(jax.random.key(0), (2, 40, 40, 1))
    variables = model.init(jax.random.key(1), {"image": image})
    tandem = Tandem(None, None, (Blind(), model), fake.mri_spec())
    found = panels.attention(tandem, {"diagnosers": ({}, variables)}, image)
    assert set(found) == {"grade", "type"}
    assert found["grade"].shape == (2, 40, 40)
    assert all(bool(jnp.all(m >= 0)) for m in found.values())


def test_every_level_has_the_noise_of_the_predictions():
    config = ConfigDict({"seed": 3, "cohort": {"image_size": 16}})
    config.degradation = {"kind": "xray_low_dose", "levels": (1e5, 1e4, 3e3), "headline_level": 1e4}
    image = np.random.default_rng(0).uniform(size=(2, 16, 16, 1)).astype(np.float32)
    batch = {"image": image, "example_id": np.array([[1, 2], [3, 4]], np.uint32)}
    ladder = panels.degraded_ladder(
        types.SimpleNamespace(config=config, spec=fake.xray_spec(1)), batch
    )
    assert list(ladder) == [1e5, 1e4, 3e3]
    degradation = make_degradation("xray_low_dose", size=16)
    key = jax.random.fold_in(jax.random.key(3), DEGRADE)
    single = degradation(degradation.operator(1e4), image, batch["example_id"], key)
    np.testing.assert_allclose(
        ladder[1e4], single[..., 0], atol=1e-5
    )  # one program or two: rounding


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
    assert panels.most_moved({"a": 0.5, "b": 0.6}, after, tasks, thresholds) == expected
