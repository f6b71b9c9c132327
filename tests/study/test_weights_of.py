"""A reconstructor block that uses the weights another block trains."""

from __future__ import annotations

import importlib

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.study import config as settings
from fairrecon_jax.study.run import plan
from fairrecon_jax.study.workdir import Workspace
from fairrecon_jax.training.checkpoints import save_variables


def configuration(**block) -> ConfigDict:
    config = importlib.import_module("configs.quickstart_brain").get_config()
    blocks = {"fast": ConfigDict({"weights_of": "irsde", "preset": "ode2_5", **block})}
    config.reconstructors = ConfigDict({**blocks, **config.reconstructors})
    return config


def test_it_has_the_other_blocks_fields_with_its_own_in_their_place():
    config = configuration(samples=2)
    fast, source = (settings.reconstructor(config, name) for name in ("fast", "irsde"))
    assert fast.network == source.network
    assert (fast.sampler.steps, fast.samples, source.sampler.steps, source.samples) == (5, 2, 10, 1)
    assert (settings.weights_of(config, "fast"), settings.weights_of(config, "irsde")) == (
        "irsde",
        "irsde",
    )


def test_it_is_not_trained_and_comes_after_the_one_that_is(tmp_path):
    names = [piece.name for piece in plan(Workspace(configuration(), tmp_path))]
    assert "train fast at 8" not in names
    assert names.index("train irsde at 8") < names.index("predict fast at 8")


def test_its_digest_follows_the_training_it_depends_on(tmp_path):
    def digests(config) -> dict[str, str]:
        return {piece.name: piece.digest for piece in plan(Workspace(config, tmp_path))}

    before, other = digests(configuration()), configuration()
    other.reconstructors.irsde.train.steps = 7
    after = digests(other)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        "train irsde at 8",
        "predict irsde at 8",
        "predict fast at 8",
        "assess",
        "report",
    }
    assert digests(configuration(samples=2))["predict irsde at 8"] == before["predict irsde at 8"]


def test_the_weights_are_read_from_the_other_blocks_folder(tmp_path):
    config = configuration()
    config.diagnosers = ConfigDict()
    workspace = Workspace(config, tmp_path)
    workspace.__dict__["spec"] = None
    model = settings.reconstructor(config, "irsde")
    made = jax.device_get(
        model.init(jax.random.key(0), {"image": np.zeros((1, 64, 64, 1), np.float32)})
    )
    save_variables(workspace.folder("irsde", 8.0) / "final", made, {})
    found = workspace.shared("fast", 8.0)["reconstructor"]["params"]
    jax.tree.map(np.testing.assert_array_equal, found, made["params"])


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"weights_of": "sde"}, "config.reconstructors has no 'sde'"),
        ({"weights_of": "identity"}, "weights_of: 'identity' trains no network"),
        ({"kind": "mse"}, "is of kind 'mse', 'irsde' of kind 'irsde'"),
        ({"train": ConfigDict({"steps": 1})}, "has weights_of and train"),
        ({"preset": "quick"}, "unknown sampling preset 'quick'"),
    ],
)
def test_what_does_not_go_together_is_named(block, message):
    with pytest.raises(ValueError, match=message):
        settings.reconstructor(configuration(**block), "fast").check(64)
