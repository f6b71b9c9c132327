"""Whole studies from their configurations at a tiny size, on phantom trees; resuming, skipping and
refusing.
"""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.assessment import read_predictions
from fairrecon_jax.models.resnet import STAGES
from fairrecon_jax.study import run as study
from fairrecon_jax.study.run import plan
from fairrecon_jax.study.workdir import Workspace
from tests.support import tiny_study

TRAIN = tiny_study.get_config().diagnosers.tumor.train
NAMES = (
    "chexpert",
    "ucsf_pdgm",
    "nih_chestxray14",
    "lgg_mri",
    "quickstart_xray",
    "quickstart_brain",
)


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
            block.groups = 4
        if block.kind == "irsde":
            block.update(preset="ode2_5", eval_preset="ode2_5", attention=False)
    config.degradation.levels = (config.degradation.headline_level,)
    config.tandem.batch_size = 8
    config.assess.update(replicates=20, flips=19, null_draws=10)
    config.report.examples = 1
    return config


def tiny(name: str, kind: str) -> ConfigDict:
    config = shrink(importlib.import_module(f"configs.{name}").get_config())
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
    config, workdir = tiny("chexpert", "xray"), tmp_path_factory.mktemp("xray")
    study.run(config, workdir)
    return config, workdir


@pytest.mark.slow
def test_the_paper_configuration_of_chexpert_runs_on_a_phantom_tree(xray):
    _, workdir = xray
    table, spec = read_predictions(workdir / "predictions.parquet")
    assert set(table["split"]) == {"val", "test"}
    assert set(table["reconstructor"]) == {"identity", "unet", "pix2pix", "irsde"}
    assert set(table["level"]) == {1e4}
    assert sorted(importlib.import_module("configs.chexpert").get_config().degradation.levels) == [
        3e3,
        1e4,
        1e5,
    ]
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
    workspace = Workspace(config, workdir)
    patients = workspace.cohort.table["patient_id"]
    parts = [
        set(patients.iloc[workspace.rows(part)])
        for part in ("train_reconstruction", "train_diagnosis", "val", "test")
    ]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts))


@pytest.mark.slow
def test_a_finished_study_does_nothing_and_a_lost_piece_comes_back_the_same(xray, capsys):
    config, workdir = xray
    before = (workdir / "results" / "fairness.csv").read_bytes()
    study.run(config, workdir)
    assert "left: nothing" in capsys.readouterr().out
    for piece in plan(Workspace(config, workdir)):
        if piece.name in ("predict unet at 10000", "assess"):
            piece.record(workdir).unlink()
    (workdir / "predictions" / "unet__10000.parquet").unlink()
    shutil.rmtree(workdir / "reconstructors" / "unet" / "10000")
    (workdir / "pieces" / "train_unet_at_10000.json").unlink()
    study.run(config, workdir)
    out = capsys.readouterr().out
    assert "train unet at 10000" in out
    assert "train findings" not in out.split("left:")[1]
    assert (workdir / "results" / "fairness.csv").read_bytes() == before


@pytest.mark.slow
def test_the_paper_configuration_of_ucsf_runs_on_a_phantom_tree(tmp_path):
    config = tiny("ucsf_pdgm", "brain").unlock()
    config.report.examples = 0
    page = study.run(config.lock(), tmp_path)
    table, spec = read_predictions(tmp_path / "predictions.parquet")
    assert {"grade__original", "type__original", "tumor__reconstructed", "tumor__label"} <= set(
        table
    )
    assert [task.aggregation for task in spec.tasks] == ["median", "median", "mean"]
    assert "Phantom brains" in page.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_builds_its_typed_objects(name, tmp_path):
    config = importlib.import_module(f"configs.{name}").get_config()
    if not config.phantom.kind:
        config.cohort.root = str(tmp_path)
    study.check(Workspace(config, tmp_path / "work"))
    names = [piece.name for piece in plan(Workspace(config, tmp_path / "work"))]
    assert names[-2:] == ["assess", "report"]
    assert len(names) == len(set(names))


def test_a_changed_field_changes_only_what_depends_on_it(tmp_path):
    def digests(change) -> dict[str, str]:
        config = importlib.import_module("configs.quickstart_xray").get_config()
        change(config)
        return {piece.name: piece.digest for piece in plan(Workspace(config, tmp_path))}

    def changed(change) -> set[str]:
        return {
            name
            for name, value in digests(change).items()
            if value != digests(lambda c: None)[name]
        }

    last = {"assess", "report"}
    assert changed(lambda c: c.report.update(examples=9)) == {"report"}
    assert changed(lambda c: c.assess.update(seed=9)) == last
    assert changed(lambda c: c.reconstructors.unet.update(width=9)) == {
        *(name for name in digests(lambda c: None) if " unet " in name),
        *last,
    }
    assert changed(lambda c: c.splits.update(seed=9)) == set(digests(lambda c: None)) - {"phantom"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cohort.image_size", 4, "config.cohort: image_size"),
        ("cohort.race", "two", "config.cohort: race"),
        ("degradation.levels", (0.0,), "headline_level|level"),
        ("reconstructors.unet.kind", "vnet", "unknown reconstructor 'vnet'"),
        (
            "reconstructors.pix2pix.downsamplings",
            7,
            "config.reconstructors.pix2pix: images of 64x64 pixels cannot be halved 7 times",
        ),
        (
            "reconstructors.pix2pix.disc_layers",
            5,
            "config.reconstructors.pix2pix: images of 64 pixels are too small",
        ),
        (
            "reconstructors.unet.train.schedule",
            "step",
            "config.reconstructors.unet.train: schedule",
        ),
        ("assess.replicates", 0, "config.assess: AssessOptions.replicates"),
        ("phantom.patients", -1, "config.phantom"),
        ("degradation.headline_level", 3.0, "config.degradation.headline_level 3.0 is not one of"),
        ("splits.fractions", (0.5, 0.6, 0.1), "config.splits: fractions must be three"),
        ("splits.fractions", ("a", "b", "c"), "config.splits: fractions must be three"),
        ("splits.diagnosis_fraction", 1.0, "config.splits: diagnosis_fraction"),
        (
            "splits.diagnosis_fraction",
            "a",
            "config.splits: diagnosis_fraction must be a number, got 'a'",
        ),
        ("cohort.name", "chexpart", "no cohort 'chexpart'"),
        ("cohort.tasks", ("edemma",), "chexpert has no task edemma; it has"),
        ("report.examples", -1, "config.report: examples must be a whole number"),
        (
            "tandem.batch_size",
            30,
            "config.tandem.batch_size is 30: it must be a multiple of the number of devices, 4",
        ),
        (
            "reconstructors.unet.train.batch_size",
            2,
            "config.reconstructors.unet.train.batch_size is 2: it must be a multiple",
        ),
        ("splits.seed", -1, "config.splits.seed must be a whole number from 0"),
        ("seed", 2**40, "config.seed must be a whole number from 0"),
        ("assess.seed", -1, "config.assess.seed must be a whole number from 0"),
        (
            "splits.fractions",
            (0.8, 0.0, 0.2),
            "config.splits: .*all three fractions must be above 0",
        ),
        ("degradation.levels", (1e4, 10000), "config.degradation.levels must differ"),
        ("cohort.tasks", ("cardiomegaly", "cardiomegaly"), "config.cohort.tasks must differ"),
        ("phantom.kind", "ct", "config.phantom: phantom kind is 'ct'; choose one of xray, brain"),
        ("phantom.kind", "brain", "config.phantom: .*prevalence"),
        (
            "reconstructors.unet.width",
            0,
            "config.reconstructors.unet: .* field 'width' must be at least 1, got 0",
        ),
        (
            "reconstructors.unet.depth",
            -1,
            "config.reconstructors.unet: .* field 'depth' must be at least 0, got -1",
        ),
    ],
)
def test_a_refused_field_is_named_before_anything_runs(field, value, message, tmp_path):
    config = importlib.import_module("configs.quickstart_xray").get_config()
    with config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        study.run(config, tmp_path / "work")
    assert not (tmp_path / "work" / "phantom").exists()


@pytest.mark.parametrize(
    ("block", "fields", "message"),
    [
        (
            "reconstructors.unet",
            {"kind": "mse", "width": "8"},
            "config.reconstructors.unet: .* field 'width' takes int, got '8'",
        ),
        ("reconstructors.unet", {"width": 8}, "config.reconstructors.unet has no field kind"),
        (
            "reconstructors.unet",
            {"kind": "mse", "dtype": "flaot32"},
            r"config.reconstructors.unet: .* takes Literal.*, got 'flaot32'",
        ),
        (
            "reconstructors.unet",
            {"kind": "pix2pix", "dropout": 1.0},
            r"config.reconstructors.unet: pix2pix: dropout must lie in \[0, 1\)",
        ),
        (
            "reconstructors.unet",
            {"kind": "pix2pix", "lambda_l1": -1.0},
            "config.reconstructors.unet: pix2pix: lambda_l1 must not be negative",
        ),
        (
            "diagnosers.tumor",
            {"kind": "segmenter", "dtype": "half", "train": TRAIN},
            "config.diagnosers.tumor: .* field 'dtype' takes Literal",
        ),
        (
            "diagnosers.tumor",
            {"kind": "segmenter", "width": 4, "depth": 1},
            "config.diagnosers.tumor needs a block train",
        ),
        (
            "assess",
            {"seed": "x"},
            "config.assess.seed must be a whole number from 0 to 2.32 - 1, got 'x'",
        ),
        (
            "phantom",
            {"kind": "brain", "patients": "many"},
            "config.phantom: patients takes int, got 'many'",
        ),
        ("report", {"examples": 1, "dpi": "big"}, "config.report: dpi takes int, got 'big'"),
        ("splits", {"seed": 0}, "the configuration has no splits.fractions"),
        (
            "phantom",
            {"kind": "xray"},
            "config.phantom.kind 'xray' draws the tree of chexpert, but "
            "config.cohort.name is 'ucsf_pdgm'",
        ),
        (
            "assess",
            {"seed": 0, "intersections": (("sex", "rce"),)},
            "intersections: the study has no attribute 'rce'; it has sex",
        ),
        (
            "reconstructors.identity",
            {"kind": "identity", "augment": {"flp": True}},
            "identity.augment has no field flp",
        ),
        ("reconstructors.a b", {"kind": "identity"}, "config.reconstructors: 'a b' must be a word"),
        (
            "reconstructors.identity",
            {"kind": "identity", "levels": (8.0, 8)},
            "reconstructors.identity.levels must differ",
        ),
    ],
)
def test_a_field_of_the_wrong_type_is_named_before_anything_runs(block, fields, message, tmp_path):
    config = tiny_study.get_config()
    *outer, last = block.split(".")
    place = config
    for name in outer:
        place = place[name]
    if last in place:
        del place[last]
    place[last] = ConfigDict(fields)
    with pytest.raises(ValueError, match=message):
        study.run(config, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_two_diagnosers_of_one_task_are_refused_before_anything_runs(tmp_path):
    config = tiny_study.get_config()
    config.diagnosers.second = ConfigDict({**config.diagnosers.tumor, "width": 8})
    with pytest.raises(
        ValueError,
        match=r"config\.diagnosers: task 'tumor' is read by the diagnosers second and tumor",
    ):
        study.run(config, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_work_directory_keeps_its_phantoms_and_splits(tmp_path):
    config = tiny_study.get_config()
    for piece in ("phantom", "cohort"):
        study.run(config, tmp_path, only=piece)
    config.phantom.seed = 5
    with pytest.raises(
        ValueError,
        match=r"phantom was drawn with other options: seed was 0, now 5. Use another workdir",
    ):
        study.run(config, tmp_path)
    del config.phantom["seed"]
    config.splits.fractions = (0.5, 0.3, 0.2)
    with pytest.raises(
        ValueError,
        match=r"splits.json was made with fractions .*\(0.4, 0.3, 0.3\).*, not \(0.5, 0.3, 0.2\)",
    ):
        study.run(config, tmp_path)
    shutil.rmtree(tmp_path / "phantom")
    (tmp_path / "phantom").mkdir()
    with pytest.raises(ValueError, match="is not a phantom tree"):
        study.run(config, tmp_path, only="phantom")


def test_a_spoilt_record_counts_as_none(tmp_path):
    workspace = Workspace(tiny_study.get_config(), tmp_path)
    piece = plan(workspace)[0]
    piece.record(tmp_path).parent.mkdir()
    for text in ("", "[1]", '{"digest": 3}'):
        piece.record(tmp_path).write_text(text)
        assert piece.done(tmp_path) is None
        assert piece.recorded(tmp_path) == {}


def test_a_root_that_is_missing_is_named(tmp_path):
    config = importlib.import_module("configs.lgg_mri").get_config()
    with pytest.raises(ValueError, match=r"config\.cohort\.root is empty"):
        study.run(config, tmp_path)
    config.cohort.root = str(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"nowhere.* is not a folder"):
        study.run(config, tmp_path)
