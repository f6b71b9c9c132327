"""Where everything of a study lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.types import Cell

CELLS = (
    Cell("unet", 4.0),
    Cell("unet", 8.0),
    Cell("unet", 8.0, "eodd"),
    Cell("unet", 8.0, "eodd", 0.1),
    Cell("unet", 1e5, "eodd", 10.0),
)


@pytest.fixture
def workdir() -> Workdir:
    return Workdir(Path("runs/mine"))


def test_every_model_has_a_place_of_its_own(workdir):
    assert [workdir.model(cell).as_posix() for cell in CELLS] == [
        "runs/mine/reconstructors/unet/4",
        "runs/mine/reconstructors/unet/8",
        "runs/mine/mitigated/eodd/unet/8",
        "runs/mine/mitigated/eodd@0.1/unet/8",
        "runs/mine/mitigated/eodd@10/unet/100000",
    ]
    assert workdir.diagnoser("tumor").as_posix() == "runs/mine/diagnosers/tumor"


def test_every_prediction_has_a_file_of_its_own(workdir):
    assert [workdir.prediction(cell).as_posix() for cell in CELLS] == [
        f"runs/mine/predictions/unet__{end}.parquet"
        for end in ("4", "8", "8__eodd", "8__eodd@0.1", "100000__eodd@10")
    ]


def test_the_seed_of_a_cell_is_no_part_of_a_place(workdir):
    one, other = Cell("unet", 8.0, seed=1), Cell("unet", 8.0, seed=2)
    assert workdir.model(one) == workdir.model(other)
    assert workdir.prediction(one) == workdir.prediction(other)


def test_what_the_study_has_once_lies_at_the_top(workdir):
    places = {
        workdir.config: "config.json",
        workdir.splits: "splits.json",
        workdir.phantom: "phantom",
        workdir.cohort: "cohort",
        workdir.stages: "stages",
        workdir.predictions: "predictions.parquet",
        workdir.page: "report/index.html",
        workdir.result("fairness"): "results/fairness.csv",
        workdir.reconstructions(Cell("unet", 8.0)): "reconstructions/unet/8",
    }
    assert all(path == workdir.root / name for path, name in places.items())


def test_asking_for_a_place_makes_nothing(tmp_path):
    workdir = Workdir(tmp_path / "work")
    assert not workdir.model(CELLS[0]).exists()
    assert not workdir.root.exists()
