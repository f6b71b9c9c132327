"""The cells of a study, in the order in which they are made."""

from __future__ import annotations

import importlib

from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study.grid import cells, mitigated, unmitigated
from fairrecon_jax.study.parse import parse
from fairrecon_jax.types import Cell
from tests.support import tiny_study


def config() -> ConfigDict:
    made = tiny_study.get_config()
    made.degradation.levels = (4.0, 8.0)
    made.seed = 3
    return made


def test_the_levels_of_a_reconstructor_stand_together():
    assert unmitigated(parse(config())) == [
        Cell("identity", 4.0, seed=3),
        Cell("identity", 8.0, seed=3),
        Cell("unet", 4.0, seed=3),
        Cell("unet", 8.0, seed=3),
    ]


def test_mitigations_come_last_whatever_weight_is_chosen():
    made = config()
    made.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weights=(0.1, 1.0))
    made.mitigations.dro = mitigation("group_dro", 2, 8, 1e-3, levels=(4.0, 8.0))
    study = parse(made)
    assert mitigated(study) == [
        Cell("unet", 4.0, "dro", seed=3),
        Cell("unet", 8.0, "dro", seed=3),
        Cell("unet", 8.0, "eodd", seed=3),
    ]
    assert cells(study) == unmitigated(study) + mitigated(study)


def test_a_reconstructor_is_studied_at_its_own_levels_and_one_with_its_weights_too():
    made = importlib.import_module("configs.phantom_brain").get_config()
    made.degradation.levels = (4.0, 8.0)
    made.reconstructors = ConfigDict(
        {"fast": {"weights_of": "irsde", "preset": "ode2_5"}, **made.reconstructors}
    )
    made.reconstructors.irsde.levels = (8.0,)
    grid = [(cell.reconstructor, cell.level) for cell in unmitigated(parse(made))]
    assert grid.index(("irsde", 8.0)) < grid.index(("fast", 8.0)), "the weights come first"
    assert {level for name, level in grid if name in ("irsde", "fast")} == {8.0}
    assert [level for name, level in grid if name == "unet"] == [4.0, 8.0]
