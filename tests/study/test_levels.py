"""Reconstructors that are studied at some of the study's levels."""

from __future__ import annotations

import importlib
import types

import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study import config as settings
from fairrecon_jax.study import report as panels
from fairrecon_jax.study.run import plan
from fairrecon_jax.study.workdir import Workspace


def configuration(**levels: tuple[float, ...]) -> ConfigDict:
    config = importlib.import_module("configs.quickstart_brain").get_config()
    config.degradation.levels = (4.0, 8.0)
    config.reconstructors = ConfigDict(
        {**config.reconstructors, "fast": ConfigDict({"weights_of": "irsde"})}
    )
    for name, own in levels.items():
        config.reconstructors[name].levels = own
    return config


def digests(config: ConfigDict, workdir) -> dict[str, str]:
    return {piece.name: piece.digest for piece in plan(Workspace(config, workdir))}


def test_a_reconstructor_is_studied_at_its_own_levels_and_one_with_its_weights_too(tmp_path):
    config = configuration(irsde=(8.0,))
    cells = set(Workspace(config, tmp_path).grid())
    assert {level for name, level in cells if name == "unet"} == {4.0, 8.0}
    assert {(name, level) for name, level in cells if name in ("irsde", "fast")} == {
        ("irsde", 8.0),
        ("fast", 8.0),
    }
    assert "train irsde at 4" not in digests(config, tmp_path)


def test_more_levels_leave_what_is_trained_as_it_is(tmp_path):
    few, all_of_them = (
        digests(configuration(irsde=(8.0,)), tmp_path),
        digests(configuration(), tmp_path),
    )
    for piece in ("train irsde at 8", "predict irsde at 8", "predict fast at 8"):
        assert few[piece] == all_of_them[piece]
    assert few["assess"] != all_of_them["assess"]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"irsde": (16.0,)}, "config.reconstructors.irsde.levels: 16 is not one of 4, 8"),
        ({"irsde": (8.0,), "fast": (4.0,)}, "config.reconstructors.fast.levels: 4 is not one of 8"),
    ],
)
def test_a_level_that_is_not_there_is_named(levels, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plan(Workspace(configuration(**levels), tmp_path))


def test_a_mitigation_is_tried_where_the_reconstructor_is_trained():
    config = configuration(irsde=(8.0,))
    config.mitigations = ConfigDict(
        {"odds": mitigation("equalised_odds", 1, 8, 1e-3, levels=(4.0,))}
    )
    assert "irsde" not in settings.mitigation_plan(config, "odds").reconstructors
    config.mitigations.odds.reconstructors = ("irsde",)
    with pytest.raises(ValueError, match="irsde is not trained at all of the levels"):
        settings.mitigation_plan(config, "odds")


@pytest.mark.parametrize(("unet", "drawn"), [((8.0,), [{"unet"}]), ((4.0,), [])])
def test_the_examples_show_the_reconstructors_of_the_fairness_level(monkeypatch, unet, drawn):
    """No weights are asked for at a level that a reconstructor leaves out."""
    config = configuration(irsde=(4.0,), unet=unet)
    config.reconstructors = ConfigDict(
        {name: config.reconstructors[name] for name in ("irsde", "unet")}
    )
    image = np.zeros((1, 2, 2, 1), np.float32)
    tandem = types.SimpleNamespace(diagnosers=(), diagnose=lambda shared, images: {})
    tandem.reconstruct = lambda shared, batch: (batch["image"], batch["image"])
    workspace = types.SimpleNamespace(
        config=config, cohort=None, tandem=lambda name: (tandem, None)
    )
    workspace.spec = types.SimpleNamespace(degradation=types.SimpleNamespace(headline_level=8.0))
    workspace.shared = lambda name, level: {"diagnosers": {("unet", 8.0): ()}[name, level]}
    monkeypatch.setattr(panels, "example_rows", lambda workspace, count: np.arange(count))
    monkeypatch.setattr(panels, "read_rows", lambda cohort, rows: {"image": image})
    monkeypatch.setattr(panels, "degraded_ladder", lambda workspace, batch: {})
    monkeypatch.setattr(
        panels,
        "_panel",
        lambda workspace, level, number, row, batch, drawn, known, ladder: set(drawn),
    )
    performance = pd.DataFrame({"metric": [], "group": [], "task": [], "value": []})
    assert panels.example_panels(workspace, 1, performance) == drawn
