"""Whole studies from their configurations at a tiny size, on phantom trees; resuming, skipping and
refusing.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.assessment import read_predictions
from fairrecon_jax.models.resnet import STAGES
from fairrecon_jax.study.bundled import configuration
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.run import run


def shrink(config: ConfigDict, size: int = 32) -> ConfigDict:
    """The same study at one level, with two steps of thin networks on small images."""
    config.cohort.image_size = size
    for block in [*config.reconstructors.values(), *config.diagnosers.values()]:
        if "train" not in block:
            continue
        block.train.update(
            steps=2, batch_size=4, eval_every=1, eval_batch_size=8, checkpoint_every=1
        )
        block.width = 8
        if block.kind == "pix2pix":
            block.width, block.downsamplings, block.disc_width, block.disc_layers = 4, 2, 4, 1
        elif block.kind == "classifier":
            block.backbone, block.input_size, block.hidden = "resnet18", 0, (8,)
        else:
            block.depth = 1
        if block.kind == "segmenter":
            block.backbone = "unet"
        if block.kind == "irsde":
            block.update(preset="ode2_5", eval_preset="ode2_5", attention=False)
    config.degradation.levels = (config.degradation.headline_level,)
    config.tandem.batch_size = 8
    config.assess.update(replicates=20, permutations=19, null_draws=10)
    config.report.update(examples=1, dpi=50, pdf=False)
    return config


def tiny(name: str, kind: str) -> ConfigDict:
    config = shrink(configuration(name))
    config.mitigations = {}
    config.phantom = ConfigDict(
        {"kind": kind, "patients": 40, "size": 32, "slices": 8}
        if kind == "brain"
        else {"kind": kind, "patients": 60, "size": 32}
    )
    if kind == "brain":
        config.cohort.evaluate_slices = (0, 7)
    return config.lock()


@pytest.fixture(scope="module", autouse=True)
def shallow() -> Iterator[None]:
    """Classifiers with one block a stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, 18, (1, 1, 1, 1))
        yield


@pytest.fixture(scope="module")
def xray(tmp_path_factory) -> tuple[ConfigDict, Path]:
    """The paper's CheXpert study on a phantom tree, run once."""
    config, workdir = tiny("chexpert", "xray").unlock(), tmp_path_factory.mktemp("xray")
    # figures of one attribute, and no panels: those of the quickstart show the rest
    config.cohort.attributes, config.report.examples = ("sex",), 0
    run(config.lock(), workdir)
    return config, workdir


@pytest.mark.slow
def test_the_paper_configuration_of_chexpert_runs_on_a_phantom_tree(xray):
    _, workdir = xray
    table, spec = read_predictions(workdir / "predictions.parquet")
    assert set(table["split"]) == {"val", "test"}
    assert set(table["reconstructor"]) == {"identity", "unet", "pix2pix", "irsde"}
    assert set(table["level"]) == {1e4}
    assert sorted(configuration("chexpert").degradation.levels) == [3e3, 1e4, 1e5]
    assert len(spec.tasks) == 12
    assert spec.title.startswith("Phantom radiographs")
    cells = table.groupby(["reconstructor", "level"]).size()
    assert cells.nunique() == 1
    scores = table[[c for c in table if c.endswith(("__original", "__reconstructed"))]]
    assert scores.min().min() >= 0
    assert scores.max().max() <= 1
    for name in ("performance", "fairness"):
        assert len(pd.read_csv(workdir / "results" / f"{name}.csv"))
    page = (workdir / "report" / "index.html").read_text()
    assert "Phantom radiographs" in page
    assert "patient00" not in page


@pytest.mark.slow
def test_reconstruction_and_diagnosis_share_no_training_patient(xray):
    config, workdir = xray
    context = Context(config, workdir)
    patients = context.cohort.table["patient_id"]
    parts = [
        set(patients.iloc[context.rows(part)])
        for part in ("train_reconstruction", "train_diagnosis", "val", "test")
    ]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts))


@pytest.mark.slow
def test_a_finished_study_does_nothing_and_a_lost_stage_comes_back_the_same(xray, capsys):
    config, workdir = xray
    before = (workdir / "results" / "fairness.csv").read_bytes()
    run(config, workdir)
    assert "left: nothing" in capsys.readouterr().out
    for stage in plan(Context(config, workdir)):
        if stage.title in ("train unet at 10000", "predict unet at 10000", "assess"):
            stage.record(workdir / "stages").unlink()
    (workdir / "predictions" / "unet__10000.parquet").unlink()
    shutil.rmtree(workdir / "reconstructors" / "unet" / "10000")
    run(config, workdir)
    out = capsys.readouterr().out
    assert "left: train unet at 10000, predict unet at 10000, assess, report\n" in out
    made = [line.split("] ")[1].split(" (")[0] for line in out.splitlines() if line[0] == "["]
    assert made == ["train unet at 10000", "predict unet at 10000", "assess"], (
        "the tables come out as before, so the report is up to date"
    )
    assert (workdir / "results" / "fairness.csv").read_bytes() == before


@pytest.mark.slow
def test_the_paper_configuration_of_ucsf_runs_on_a_phantom_tree(tmp_path):
    config = tiny("ucsf_pdgm", "brain").unlock()
    config.report.examples = 0
    # the radiographs above run all kinds of reconstructors
    for name in ("pix2pix", "irsde"):
        del config.reconstructors[name]
    page = run(config.lock(), tmp_path)
    table, spec = read_predictions(tmp_path / "predictions.parquet")
    assert {"grade__original", "type__original", "tumor__reconstructed", "tumor__label"} <= set(
        table
    )
    assert [task.aggregation for task in spec.tasks] == ["median", "median", "mean"]
    assert "Phantom brains" in page.read_text()
