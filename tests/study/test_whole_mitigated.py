"""A whole study with mitigations at a tiny size: what is made, on whom, in which order, and again
after it was lost.
"""

import importlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.assessment import COLUMNS, read_predictions
from fairrecon_jax.cli import main as cli
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.models.resnet import STAGES
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.mitigate import training_rows
from fairrecon_jax.study.run import run
from fairrecon_jax.training.checkpoints import load_variables

FEW = {"eval_every": 2, "eval_batch_size": 8, "checkpoint_every": 1, "log_every": 1}


def few(steps: int = 3) -> ConfigDict:
    """A training of a few steps."""
    block = mitigation("reweighting", steps, 8, 1e-3).train
    block.update(**{key: value for key, value in FEW.items() if key in block})
    return block


def tiny() -> ConfigDict:
    """The quickstart's radiographs at 32 px, with two mitigations, one of them with two weights."""
    config = importlib.import_module("configs.phantom_xray").get_config()
    config.phantom.update(patients=70, size=32, workers=1)
    config.cohort.update(
        image_size=32, tasks=("cardiomegaly", "pleural_effusion"), attributes=("sex",)
    )
    for name in ("pix2pix", "irsde"):
        del config.reconstructors[name]
    config.reconstructors.unet.update(width=8, depth=1)
    config.diagnosers.findings.update(width=8)
    for block in (config.reconstructors.unet, config.diagnosers.findings):
        block.train = few()
    config.mitigations.eodd = ConfigDict(
        {
            "kind": "equalised_odds",
            "weights": (0.1, 3.0),
            "psnr_tolerance": 99.0,
            "task_tolerance": 1.0,
        }
    )
    config.mitigations.reweighting = ConfigDict(
        {"kind": "reweighting", "outcome": "cardiomegaly", "fraction": 0.5}
    )
    for block in config.mitigations.values():
        block.train = few()
    config.tandem.batch_size = 16
    config.assess.update(replicates=20, permutations=19, null_draws=10, auroc_gaps=False)
    config.report.examples = 0
    return config.lock()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study, run once on networks with one block a stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, 18, (1, 1, 1, 1))
        config, workdir = tiny(), tmp_path_factory.mktemp("mitigated")
        run(config, workdir)
        yield config, workdir


@pytest.mark.slow
def test_every_mitigation_is_trained_predicted_and_assessed(done):
    _, workdir = done
    table, _ = read_predictions(workdir / "predictions.parquet")
    assert table.groupby("mitigation")["reconstructor"].unique().map(sorted).to_dict() == {
        "none": ["identity", "unet"],
        "eodd": ["unet"],
        "reweighting": ["unet"],
    }
    for weight in ("0.1", "3"):
        folder = workdir / "mitigated" / f"eodd@{weight}" / "unet" / "10000"
        choices = json.loads((folder / "run.json").read_text())
        assert choices["objective.options.weight"] == float(weight)
        assert choices["choices.method.weight"] == float(weight)
        assert choices["initial"]
    plain, mitigated = (
        load_variables(workdir / p / "final")[0]
        for p in ("reconstructors/unet/10000", "mitigated/eodd@3/unet/10000")
    )
    kernels = [v["params"]["unet"]["down0"]["conv1"]["kernel"] for v in (plain, mitigated)]
    assert 0 < np.abs(kernels[0] - kernels[1]).max() < 0.02
    comparison = pd.read_csv(workdir / "results" / "mitigation.csv", keep_default_na=False)
    assert tuple(comparison.columns) == COLUMNS
    assert set(comparison["mitigation"]) == {"eodd", "reweighting"}
    assert set(comparison["version"]) == {"unmitigated", "mitigated", "change"}
    assert {"psnr", "auroc", "eodd"} <= set(comparison["metric"])
    sampling = json.loads(
        (workdir / "mitigated" / "reweighting" / "unet" / "10000" / "sampling.json").read_text()
    )
    assert 1 < sampling["effective_rows"] <= sampling["rows"]
    assert {cell["cardiomegaly"] for cell in sampling["cells"]} >= {"absent", "present"}


@pytest.mark.slow
def test_the_chosen_weight_is_that_of_the_smallest_validation_gap(done):
    _, workdir = done
    chosen = json.loads(
        (workdir / "mitigated" / "eodd" / "unet" / "10000" / "chosen.json").read_text()
    )
    gaps = {c["mitigation"]: c["gap"] for c in chosen["candidates"] if c["mitigation"] != "none"}
    assert set(gaps) == {"eodd@0.1", "eodd@3"}
    assert gaps[chosen["chosen"]] == min(gaps.values())
    sweep = pd.read_csv(workdir / "results" / "mitigation_sweep.csv", keep_default_na=False)
    assert set(sweep["part"]) == {"val", "test"}
    assert sorted(set(sweep["weight"])) == [0.0, 0.1, 3.0]
    ours, theirs = (
        read_predictions(workdir / "predictions" / f"unet__10000__{m}.parquet")[0]
        for m in ("eodd", chosen["chosen"])
    )
    pd.testing.assert_frame_equal(
        ours.drop(columns="mitigation"), theirs.drop(columns="mitigation")
    )


@pytest.mark.slow
def test_no_patient_crosses_from_training_to_validation_or_test(done):
    config, workdir = done
    context = Context(config, workdir)
    patients = context.cohort.table["patient_id"]
    others = set(patients.iloc[context.rows("val", "test")])
    everyone = set(patients.iloc[context.rows("train_reconstruction")])
    half = set(patients.iloc[training_rows(context, 0.5)])
    assert not (everyone & others)
    assert half < everyone
    assert len(half) == -(-len(everyone) // 2)
    assert set(patients.iloc[training_rows(context, 1.0)]) == everyone


@pytest.mark.slow
def test_a_lost_fine_tuning_comes_back_the_same(done, capsys):
    config, workdir = done
    folder = workdir / "mitigated" / "eodd@3" / "unet" / "10000"
    before = load_variables(folder / "final")[0]
    shutil.rmtree(folder)
    (workdir / "stages" / "mitigate__unet__10000__eodd@3.json").unlink()
    run(config, workdir)
    left = (
        "mitigate unet with eodd@3 at 10000",
        "predict unet with eodd@3 at 10000",
        "choose unet with eodd at 10000",
        "assess",
        "report",
    )
    out = capsys.readouterr().out
    assert f"left: {', '.join(left)}\n" in out
    assert "] mitigate unet with eodd@3 at 10000 (" in out
    assert "] predict unet with eodd@3 at 10000 (" not in out, "the weights came out the same"
    for a, b in zip(
        *(
            v["params"]["unet"]["head"].values()
            for v in (before, load_variables(folder / "final")[0])
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_the_command_names_what_there_is(capsys, tmp_path):
    words = ["mitigate", "--config=configs/phantom_xray.py", f"--workdir={tmp_path}"]
    assert cli.main([*words, "--mitigation=odds"]) == 2
    assert "config.mitigations has no 'odds'; it has eodd" in capsys.readouterr().err
