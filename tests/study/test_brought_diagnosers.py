"""Diagnosers that a study does not train: weights from a file, programs outside of JAX, and a start
from weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.cli import main as cli
from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.metrics import lpips, read_lpips
from fairrecon_jax.study.check import check
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.load import load
from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.run import run
from fairrecon_jax.study.train import import_weights, start, train_diagnoser
from fairrecon_jax.types import ConfigError, InputError
from tests.metrics.test_perceptual import file as lpips_file  # noqa: F401  (fixtures)
from tests.metrics.test_perceptual import flat  # noqa: F401
from tests.support import tiny_study
from tests.support.study_fakes import configured, opened, refusal
from tests.support.torch_networks import (
    BasicBlock,
    DoubleConvUNet,
    TorchResNet,
    randomise,
    torch,
)

FIELDS = {"kind": "segmenter", "width": 4, "depth": 1}
TRAIN = {"steps": 2, "batch_size": 4}
PROGRAM = "def grade(images):\n    return images.mean((1, 2, 3))\n"


@pytest.fixture
def weights(tmp_path) -> Path:
    path = tmp_path / "tumor.pth"
    torch.save({"model": randomise(DoubleConvUNet(4, 1)).state_dict()}, path)
    return path


def study(**block) -> ConfigDict:
    """The tiny study with another block for its diagnoser."""
    return configured(diagnosers__tumor=ConfigDict({**FIELDS, **block}))


def titles(config: ConfigDict, workdir: Path) -> list[str]:
    return [stage.title for stage in plan(Context(config, workdir))]


def digest(config: ConfigDict, workdir: Path) -> str:
    return next(s for s in plan(Context(config, workdir)) if s.title == "import tumor").digest


def test_weights_in_a_block_are_imported_and_known_by_their_content(weights, tmp_path):
    config = study(weights=str(weights))
    made = titles(config, tmp_path / "work")
    assert "import tumor" in made
    assert "train tumor" not in made
    first = digest(config, tmp_path / "work")
    (tmp_path / "moved").mkdir()
    moved = weights.rename(tmp_path / "moved" / weights.name)
    assert digest(study(weights=str(moved)), tmp_path / "work") == first
    torch.save(randomise(DoubleConvUNet(4, 1), 1).state_dict(), weights)
    assert digest(config, tmp_path / "work") != first


def test_the_command_imports_and_the_study_then_trains_nothing(weights, tmp_path, capsys):
    words = [
        "import-weights",
        "--config=tests/support/tiny_study.py",
        f"--workdir={tmp_path / 'work'}",
        f"--weights={weights}",
    ]
    assert cli.main([*words, "--diagnoser=tumour"]) == 2
    assert "config.diagnosers has no 'tumour'; it has tumor" in capsys.readouterr().err
    assert cli.main([*words, "--diagnoser=tumor", "--model=unet"]) == 2
    assert "and --weights=FILE, or --diagnoser=NAME" in capsys.readouterr().err
    assert cli.main([*words, "--diagnoser=tumor"]) == 0
    folder = tmp_path / "work" / "diagnosers" / "tumor"
    assert f"wrote {folder}" in capsys.readouterr().out
    config = tiny_study.get_config()
    assert "import tumor" in titles(config, tmp_path / "work")
    context = Context(config, tmp_path / "work")
    with pytest.raises(InputError, match="holds imported weights: remove it to train"):
        train_diagnoser(context, "tumor")
    (folder / "run.json").write_text("{}")
    with pytest.raises(InputError, match="holds a training run"):
        import_weights(context, "tumor", [weights])


def test_weights_that_do_not_fit_are_refused_before_anything_is_made(weights, tmp_path):
    config = study(width=8, weights=str(weights))
    with pytest.raises(InputError, match=r"tumor\.pth: the state dict does not fit UNet"):
        run(config, tmp_path / "work")
    assert not (tmp_path / "work" / "cohort").exists()
    assert not (tmp_path / "work" / "phantom").exists()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            {"weights": "a.pth", "train": TRAIN},
            "has weights and train: weights are used as they",
        ),
        ({"init": "a.pth"}, "has init, which starts a training, but no block train"),
        ({"init": 3}, "init takes a file, got 3"),
        ({"weights": "a.pth", "init": "b.pth"}, "has weights and init: weights are used as they"),
        ({"weights": "a_{level}.pth"}, "'a_{level}.pth' names files by level, and one diagnoser"),
        ({"weights": "a.pth", "flip": True}, "flip is for a training, and the block has no train"),
        ({"weights": "a.pth", "smooth": 2.0}, "smooth is for a training, and the block has no"),
        ({"norm": None, "train": TRAIN}, "norm None is for weights from a file"),
        ({"train": TRAIN, "activation": "softmax", "classes": 2, "outputs": (1,)}, "'sigmoid'"),
        ({"weights": 3}, "weights takes a list of texts"),
        ({"levels": (8.0,)}, "has levels: a diagnoser reads the images of every level"),
        (
            {"augment": {"flip": True}},
            "has augment: write its fields, such as flip and shift, in",
        ),
        ({"balance": True, "train": TRAIN}, "balance is for the training of a classifier"),
        ({"balance": 1}, "balance is True or False, got 1"),
        ({"rare_first": True, "train": TRAIN}, "rare_first is for the training of a classifier"),
        (
            {"kind": "classifier", "backbone": "resnet18", "balance": True},
            "balance is for the training of a classifier",
        ),
        ({"weights_of": "unet"}, "has weights_of: only reconstructors share weights"),
        (
            {"kind": "classifier", "backbone": "resnet18", "op_norm": True, "train": TRAIN},
            "op_norm scales scores by the operating points of a file of weights",
        ),
        ({"kind": "callable", "call": "none.onnx"}, "call: there is no file none.onnx"),
    ],
)
def test_what_a_block_refuses(block, message):
    if block.get("kind") in ("callable", "classifier"):
        config = configured(diagnosers__tumor=ConfigDict({**block, "tasks": ("grade",)}))
        config.cohort.tasks = ("tumor", "grade")
    else:
        config = study(**block)
    said = refusal(config)
    assert said.startswith("config.diagnosers.tumor")
    assert message in said


def test_files_are_looked_for(tmp_path):
    for block, message in (
        ({"weights": "none.pth"}, r"diagnosers\.tumor\.weights: there is no file none\.pth"),
        ({}, r"diagnosers\.tumor has neither train nor weights, and none are imported"),
        (
            {"init": "none.pth", "train": tiny_study.get_config().diagnosers.tumor.train},
            r"diagnosers\.tumor\.init: there is no file none\.pth",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            check(Context(study(**block), tmp_path))


def test_the_package_of_imagenets_weights_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("fairrecon_jax.metrics.lpips_file.PACKAGE", "lpips_nowhere")
    monkeypatch.setattr("fairrecon_jax.study.config.PACKAGE", "lpips_nowhere")
    train = tiny_study.get_config().diagnosers.tumor.train
    with pytest.raises(
        ConfigError,
        match=r"config\.diagnosers\.tumor\.init: the package lpips_nowhere is not installed",
    ):
        check(Context(study(init="lpips_nowhere", train=train), tmp_path))


def test_a_training_starts_from_a_file(tmp_path):
    file = tmp_path / "imagenet.pth"
    module = randomise(TorchResNet(BasicBlock, (2, 2, 2, 2), 4, 1000))
    torch.save(module.state_dict(), file)
    train = tiny_study.get_config().diagnosers.tumor.train
    config = study(backbone="resnet18_unet", depth=4, init=str(file), train=train)
    context = opened(tmp_path / "work", pd.DataFrame({"sex": ["F", "M"]}), config=config)
    begun = start(context, "tumor")
    assert begun is not None
    np.testing.assert_allclose(
        begun["params"]["segmenter"]["conv1"]["kernel"],
        module.conv1.weight.detach().numpy().mean(1, keepdims=True).transpose(2, 3, 1, 0),
        rtol=1e-5,
    )
    plain = study(backbone="resnet18_unet", depth=4, train=train)
    digests = {
        next(s for s in plan(Context(c, tmp_path / "w")) if s.title == "train tumor").digest
        for c in (config, plain)
    }
    assert len(digests) == 2, "the start is part of the training"


@pytest.fixture
def whole(weights, tmp_path, lpips_file) -> ConfigDict:  # noqa: F811
    """Identity, an imported segmenter, a program of one's own, and LPIPS."""
    (tmp_path / "vendor.py").write_text(PROGRAM)
    config = study(weights=str(weights))
    config.cohort.tasks = ("tumor", "grade")
    call = f"{tmp_path / 'vendor.py'}:grade"
    config.diagnosers.grade = ConfigDict({"kind": "callable", "call": call, "tasks": ("grade",)})
    config.reconstructors = ConfigDict({"identity": {"kind": "identity"}})
    config.tandem.lpips = str(lpips_file)
    return config


def test_a_study_predicts_with_them(whole, tmp_path, lpips_file):  # noqa: F811
    wanted = ("phantom", "cohort", "import", "predict")
    run(whole, tmp_path / "work", only=lambda stage: stage.verb in wanted)
    context = Context(whole, tmp_path / "work")
    (path,) = (tmp_path / "work" / "predictions").glob("*.parquet")
    table = pd.read_parquet(path)
    row = table.iloc[0]
    index = int(np.flatnonzero(context.cohort.table["example_id"] == row["example_id"])[0])
    image = read_rows(context.cohort, np.array([index]))["image"]
    np.testing.assert_allclose(row["grade__original"], image.mean(), rtol=1e-4)
    assert table["tumor__original_pixels"].notna().all()
    assert (table["lpips"] > 0).all()
    assert lpips(image, image, read_lpips(lpips_file))[0] == 0
    networks = load(tmp_path / "work")
    np.testing.assert_allclose(networks["grade"](image)[0, 0], row["grade__original"], rtol=1e-4)
    assert networks["tumor"](image).shape == (1, 32, 32, 1)


def test_a_mitigation_that_looks_through_a_program_is_refused(whole):
    whole.reconstructors = tiny_study.get_config().reconstructors
    for kind, refused in (("equalised_odds", True), ("reweighting", False)):
        whole.mitigations = ConfigDict({kind: mitigation(kind, 2, 8, 1e-3)})
        if refused:
            assert "runs outside of JAX: no gradient passes" in refusal(whole)
        else:
            parse(whole)
    whole.mitigations = ConfigDict(
        {"eodd": mitigation("equalised_odds", 2, 8, 1e-3, tasks=("tumor",))}
    )
    parse(whole)
