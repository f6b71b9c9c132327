"""Trainings under several seeds: cells, folders and identities, and a study of two of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.assessment import read_predictions, read_results
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study import inputs
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.grid import mitigated, unmitigated
from fairrecon_jax.study.load import load
from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.predict import table_seed
from fairrecon_jax.study.run import run
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import Cell, ConfigError
from tests.support import tiny_study


def config(seeds=(3, 5)):
    made = tiny_study.get_config()
    made.seeds = seeds
    return made


def test_what_is_trained_is_trained_once_per_seed():
    study = parse(config())
    assert unmitigated(study) == [
        Cell("identity", 8.0),
        Cell("unet", 8.0, training=3),
        Cell("unet", 8.0, training=5),
    ]
    assert parse(config(())).trainings("unet") == (None,)


def test_a_seed_changes_the_training_and_its_place_and_nothing_else(tmp_path):
    study, alone = parse(config()), parse(config(()))
    first, second = unmitigated(study)[1:]
    declared = [inputs.reconstructor(study, cell) for cell in (first, second)]
    assert [d["train"].seed for d in declared] == [3, 5]
    assert {k: v for k, v in declared[0].items() if k != "train"} == {
        k: v for k, v in declared[1].items() if k != "train"
    }
    plain = unmitigated(alone)[1]
    assert (
        inputs.reconstructor(alone, plain)["train"].seed == alone.reconstructors["unet"].train.seed
    )
    workdir = Workdir(tmp_path)
    folders = [workdir.model(cell) for cell in (plain, first, second)]
    assert len(set(folders)) == 3
    assert folders[1] == folders[0] / "training3"
    assert first.stem == "unet__8__training3"
    assert first.title == "unet at 8, training 3"


def test_mitigations_start_from_each_training():
    made = config()
    made.mitigations.dro = mitigation("group_dro", 2, 8, 1e-3)
    cells = mitigated(parse(made))
    assert [cell.training for cell in cells] == [3, 5]
    assert cells[0].plain == Cell("unet", 8.0, training=3)


def test_tables_say_which_training_and_what_is_not_trained_stands_with_the_first():
    study = parse(config())
    assert [table_seed(study, cell) for cell in unmitigated(study)] == [3, 3, 5]
    alone = parse(config(()))
    assert [table_seed(alone, cell) for cell in unmitigated(alone)] == [0, 0]


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (3, "config.seeds must list whole numbers, got 3"),
        ("12", "config.seeds must list whole numbers, got '12'"),
        ((1, 1), r"config.seeds names a seed twice: \(1, 1\)"),
        ((1.5,), r"config.seeds must be a whole number"),
        ((-1,), r"config.seeds must be a whole number"),
    ],
)
def test_seeds_that_are_none(seeds, message):
    made = tiny_study.get_config().to_dict() | {"seeds": seeds}
    with pytest.raises(ConfigError, match=message):
        parse(made)


@pytest.mark.slow
def test_a_study_of_two_trainings_has_rows_of_both(tmp_path):
    made = config()
    made.assess.continuous = ("age_years",)
    # after two steps images may lie below 0, where all are alike once they are cut off
    made.reconstructors.unet.finish = "as_is"
    run(made, tmp_path)
    table, _ = read_predictions(tmp_path / "predictions.parquet")
    unet = table[table["reconstructor"] == "unet"].sort_values("example_id")
    assert sorted(unet["seed"].unique()) == [3, 5]
    quality = [unet.loc[unet["seed"] == seed, "psnr"].to_numpy() for seed in (3, 5)]
    assert not np.array_equal(*quality), "other starts, other networks"
    originals = [unet.loc[unet["seed"] == seed, "tumor__original"].to_numpy() for seed in (3, 5)]
    np.testing.assert_array_equal(*originals)
    assert table["age_years"].notna().all()
    curves = read_results(tmp_path, "trends")
    assert set(curves["column"]) == {"age_years"}
    assert set(curves["verdict"]) == {"not estimable"}, "a handful of patients"
    rows = read_results(tmp_path, "performance")
    assert set(pd.to_numeric(rows.loc[rows["reconstructor"] == "unet", "seed"])) == {3, 5}


def test_diagnosers_are_trained_per_seed_on_request(tmp_path):
    made = config()
    made.seed_diagnosers = True
    context = Context(made, tmp_path)
    study, name = context.study, next(iter(context.study.diagnosers))
    assert unmitigated(study) == [
        Cell(method, 8.0, training=seed) for method in ("identity", "unet") for seed in (3, 5)
    ]
    assert [inputs.diagnoser(study, name, k)["train"].seed for k in (3, 5)] == [3, 5]
    stages = {stage.title: stage for stage in plan(context)}
    assert f"train {name}, training 3" in stages
    for title in ("predict identity at 8, training 5", "predict unet at 8, training 5"):
        needs = [stage.title for stage in stages[title].needs]
        assert f"train {name}, training 5" in needs
        assert f"train {name}, training 3" not in needs
    assert len({stage.stem for stage in stages.values()}) == len(stages)
    # without seeds there is nothing to repeat
    made.seeds = ()
    assert parse(made).diagnoser_trainings(name) == (None,)
    with pytest.raises(ConfigError, match=r"config.seed_diagnosers must be True or False, got 1"):
        parse({**made.to_dict(), "seed_diagnosers": 1})


@pytest.mark.slow
def test_a_study_of_two_diagnosers_reads_each_network_with_its_own(tmp_path):
    made = config()
    made.seed_diagnosers = True
    made.report.examples = 0
    run(made, tmp_path)
    table, _ = read_predictions(tmp_path / "predictions.parquet")
    for name in ("identity", "unet"):
        rows = table[table["reconstructor"] == name].sort_values("example_id")
        scores = [rows.loc[rows["seed"] == seed, "tumor__original"].to_numpy() for seed in (3, 5)]
        assert len(scores[0]) == len(scores[1]) > 0
        assert not np.array_equal(*scores), "other diagnosers, other scores of the same originals"
    again = load(tmp_path)
    assert sum("training5" in str(key) for key in again) == 1 + len(made.diagnosers)
