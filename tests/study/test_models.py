"""Models of a configuration: what their blocks make, and every refusal by its text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.keys import identity
from fairrecon_jax.study.config import ReconstructorConfig
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training.augment import Augmentation
from tests.support import tiny_study
from tests.support.study_fakes import configured, importing, phantom_brain, refusal

NAN = float("nan")
TRAIN = tiny_study.get_config().diagnosers.tumor.train


def with_block(path: str, fields: Any) -> ConfigDict:
    """The tiny study with another block in one place."""
    group, name = path.split(".")
    config = tiny_study.get_config()
    with config.ignore_type():
        if name in config[group]:
            del config[group][name]
        config[group][name] = ConfigDict(fields) if isinstance(fields, dict) else fields
    return config


# -- reconstructors


def unet(**fields) -> ReconstructorConfig:
    """The U-Net of the tiny study with other fields."""
    named = {f"reconstructors__unet__{name}": value for name, value in fields.items()}
    return parse(configured(**named)).reconstructors["unet"]


def imported(files: Any) -> ReconstructorConfig:
    """The U-Net of the tiny study with weights from files."""
    return parse(importing(files)).reconstructors["unet"]


def test_what_is_around_a_network_is_no_part_of_it():
    plain = unet()
    around = unet(levels=(8.0,), augment=ConfigDict({"flip": True}))
    assert identity(around.model) == identity(plain.model)
    assert identity(imported("net.pth").model) == identity(plain.model)
    assert (plain.augment, around.augment) == (Augmentation(), Augmentation(flip=True))
    assert (plain.weights_of, plain.has_weights) == ("unet", True)
    assert not parse(tiny_study.get_config()).reconstructors["identity"].has_weights


def test_files_of_weights_may_carry_the_level_in_their_name():
    assert unet().files("8") == ()
    one = imported("runs/{level}/net_{level}.pth")
    assert one.files("8") == (Path("runs/8/net_8.pth"),)
    assert imported(("a.pth", "", "b.pth")).files("8") == (Path("a.pth"), Path("b.pth"))


def test_a_reconstructor_may_have_levels_of_its_own():
    config = phantom_brain(degradation__levels=(4.0, 8.0), reconstructors__irsde__levels=8)
    levels = {name: one.levels for name, one in parse(config).reconstructors.items()}
    assert levels["irsde"] == (8.0,)
    assert levels["unet"] == levels["identity"] == (4.0, 8.0)


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("unet", {"width": 8}, "config.reconstructors.unet has no field kind"),
        ("unet", None, "config.reconstructors.unet is a block of fields, got None"),
        ("unet", {"kind": "vnet"}, "config.reconstructors.unet: unknown reconstructor 'vnet'; "),
        (
            "unet",
            {"kind": "mse", "widht": 8},
            "config.reconstructors.unet: reconstructor 'mse' has no field 'widht'; its fields are ",
        ),
        (
            "unet",
            {"kind": "mse", "width": "8"},
            "config.reconstructors.unet: reconstructor 'mse': field 'width' takes int, got '8'",
        ),
        (
            "unet",
            {"kind": "mse", "width": 0},
            "config.reconstructors.unet: reconstructor 'mse': field 'width' must be at least 1, go",
        ),
        (
            "unet",
            {"kind": "mse", "depth": -1},
            "config.reconstructors.unet: reconstructor 'mse': field 'depth' must be at least 0, go",
        ),
        (
            "unet",
            {"kind": "mse", "dtype": "flaot32"},
            "config.reconstructors.unet: reconstructor 'mse': field 'dtype' takes Literal",
        ),
        (
            "unet",
            {"kind": "mse", "depth": 6},
            "config.reconstructors.unet: images of 32 pixels are too small for 6 halvings: lower d",
        ),
        (
            "unet",
            {"kind": "mse", "train": {"steps": 2, "batch_size": 8, "learning_rate": 0}},
            "config.reconstructors.unet.train.learning_rate is 0: nothing would be learned; give a",
        ),
        (
            "unet",
            {
                "kind": "mse",
                "train": {
                    **{"steps": 2, "batch_size": 8},
                    **{"selection": "psnr", "selection_mode": "min"},
                },
            },
            "config.reconstructors.unet.train: selection_mode 'min' would keep the worst variables",
        ),
        (
            "gan",
            {"kind": "pix2pix", "dropout": 1.0},
            "config.reconstructors.gan: pix2pix: dropout must lie in [0, 1), got 1.0",
        ),
        (
            "gan",
            {"kind": "pix2pix", "lambda_l1": -1.0},
            "config.reconstructors.gan: pix2pix: lambda_l1 must not be negative, got -1.0",
        ),
        (
            "gan",
            {"kind": "pix2pix", "downsamplings": 7},
            "config.reconstructors.gan: images of 32x32 pixels cannot be halved 7 times",
        ),
        (
            "gan",
            {"kind": "pix2pix", "downsamplings": 4, "disc_layers": 5},
            "config.reconstructors.gan: images of 32 pixels are too small for a discriminator of 5",
        ),
        ("a b", {"kind": "identity"}, "config.reconstructors: 'a b' must be a word of letters, "),
        ("none", {"kind": "identity"}, "config.reconstructors: 'none' must be a word of letters"),
        (
            "unet",
            {"kind": "mse", "levels": (8.0, 8)},
            "config.reconstructors.unet.levels must differ from one another, got (8.0, 8.0)",
        ),
        (
            "unet",
            {"kind": "mse", "levels": (16,)},
            "config.reconstructors.unet.levels: 16 is not one of 8",
        ),
        (
            "unet",
            {"kind": "mse", "levels": "x"},
            "config.reconstructors.unet.levels takes a list of numbers, got 'x'",
        ),
        (
            "unet",
            {"kind": "mse", "augment": {"flp": True}},
            "config.reconstructors.unet.augment has no field flp; it takes border, flip, gain",
        ),
        (
            "unet",
            {"kind": "mse", "augment": 3},
            "config.reconstructors.unet.augment is a block of fields, got 3",
        ),
        (
            "unet",
            {"kind": "mse", "weights": 5},
            "config.reconstructors.unet.weights takes a list of texts, got 5",
        ),
        (
            "unet",
            {"kind": "mse", "weights": "a.pth", "train": {**TRAIN, "selection": None}},
            "config.reconstructors.unet has weights and train: weights are used as they are; ",
        ),
        (
            "unet",
            {"kind": "mse", "weights": "a.pth", "augment": {"flip": True}},
            "config.reconstructors.unet.augment is for a training, and the block has no train",
        ),
        (
            "gan",
            {"kind": "pix2pix", "downsamplings": 4, "weights": "a.pth", "lambda_l1": 10.0},
            "config.reconstructors.gan.lambda_l1 is for a training, and the block has no train",
        ),
        (
            "sde",
            {"kind": "irsde", "width": 4, "depth": 1, "weights": "a.pth", "eval_preset": "ode2_5"},
            "config.reconstructors.sde.eval_preset is for a training, and the block has no train",
        ),
        (
            "unet",
            {"kind": "mse", "train": 5},
            "config.reconstructors.unet.train is a block of fields, got 5",
        ),
    ],
)
def test_what_a_reconstructor_refuses(path, fields, message):
    assert refusal(with_block(f"reconstructors.{path}", fields)).startswith(message)


def test_a_study_without_reconstructors_is_refused():
    message = "config.reconstructors is empty: name at least one, e.g. of kind identity"
    assert refusal(configured(reconstructors=ConfigDict())) == message


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("selection", "ssim", "selection 'ssim' is none of psnr, mse"),
        (
            "schedule",
            "step",
            "schedule takes Literal['constant', 'cosine', 'half_linear'], got 'step'",
        ),
        ("steps", 0, "steps must be at least 1, got 0"),
        ("steps", 1.5, "steps takes int, got 1.5"),
        ("learning_rate", NAN, "learning_rate must be finite, got nan"),
        ("warmup_steps", 2, "warmup_steps (2) must be fewer than steps (2)"),
        ("eval_every", 0, "selection 'psnr' needs eval_every > 0"),
    ],
)
def test_what_a_training_refuses(field, value, message):
    config = configured(**{f"reconstructors__unet__train__{field}": value})
    assert refusal(config).startswith(f"config.reconstructors.unet.train: {message}")


def test_fields_that_no_training_has_are_named_with_their_block():
    config = configured(reconstructors__unet__train__epochs=3)
    message = "config.reconstructors.unet.train has no field epochs; it takes accumulate, b1, b2, "
    assert refusal(config).startswith(message)
    config = configured(diagnosers__tumor__train=ConfigDict({"steps": 2}))
    assert refusal(config) == "config.diagnosers.tumor.train.batch_size is not given"


# -- weights of another reconstructor


def fast(**block) -> ConfigDict:
    """The quickstart of the brains with a reconstructor that uses the weights of "irsde"."""
    own = {"weights_of": "irsde", "preset": "ode2_5", **block}
    return phantom_brain(reconstructors__fast=ConfigDict(own))


def test_it_has_the_other_blocks_fields_with_its_own_in_their_place():
    models: dict[str, Any] = {
        name: one.model for name, one in parse(fast(samples=2)).reconstructors.items()
    }
    one, source = models["fast"], models["irsde"]
    assert one.network == source.network
    assert (one.samples, source.samples) == (2, 1)
    assert (one.sampler.steps, source.sampler.steps) == (5, 10)


def test_it_names_whose_weights_it_uses_and_is_not_trained():
    parsed = parse(fast()).reconstructors
    assert (parsed["fast"].weights_of, parsed["irsde"].weights_of) == ("irsde", "irsde")
    assert (parsed["fast"].train, parsed["fast"].weight_files) == (None, ())


def test_its_levels_are_among_those_of_the_other():
    config = configured(
        fast(), degradation__levels=(4.0, 8.0), reconstructors__irsde__levels=(8.0,)
    )
    assert parse(config).reconstructors["fast"].levels == (8.0,)
    config.reconstructors.fast.levels = (4.0,)
    assert refusal(config) == "config.reconstructors.fast.levels: 4 is not one of 8"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            {"weights_of": "sde"},
            "config.reconstructors.fast.weights_of: config.reconstructors has no 'sde'; it has "
            "fast, identity, irsde, pix2pix, unet",
        ),
        (
            {"weights_of": 5},
            "config.reconstructors.fast.weights_of: config.reconstructors has no 5; it has fast, "
            "identity, irsde, pix2pix, unet",
        ),
        (
            {"weights_of": "identity"},
            "config.reconstructors.fast.weights_of: 'identity' trains no network",
        ),
        (
            {"kind": "mse"},
            "config.reconstructors.fast is of kind 'mse', 'irsde' of kind 'irsde': weights serve "
            "one kind",
        ),
        (
            {"train": {"steps": 1}},
            "config.reconstructors.fast has weights_of and train: it has weights of its own, "
            "or it takes another block's weights",
        ),
        ({"preset": "quick"}, "config.reconstructors.fast: unknown sampling preset 'quick'"),
    ],
)
def test_weights_that_do_not_go_with_a_block_are_refused(block, message):
    made = fast(**{name: ConfigDict(v) if isinstance(v, dict) else v for name, v in block.items()})
    assert refusal(made).startswith(message)


# -- diagnosers


def test_a_diagnoser_reads_all_tasks_of_its_kind_or_those_it_names():
    config = phantom_brain()
    read = {name: one.model.tasks for name, one in parse(config).diagnosers.items()}
    assert read == {"grade_type": ("grade", "type"), "tumor": ("tumor",)}
    for tasks in (("type",), "type"):
        config.diagnosers.grade_type = ConfigDict({**config.diagnosers.grade_type, "tasks": tasks})
        assert parse(config).diagnosers["grade_type"].model.tasks == ("type",)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("tumor", {"train": TRAIN}, "config.diagnosers.tumor has no field kind"),
        ("tumor", {"kind": "segmentor"}, "config.diagnosers.tumor: unknown diagnoser 'segmentor'"),
        (
            "tumor",
            {"kind": "segmenter", "dtype": "half", "train": TRAIN},
            "config.diagnosers.tumor: diagnoser 'segmenter': field 'dtype' takes Literal",
        ),
        (
            "tumor",
            {"kind": "segmenter", "tasks": 5, "train": TRAIN},
            "config.diagnosers.tumor.tasks takes a list of texts, got 5",
        ),
        (
            "tumor",
            {"kind": "segmenter", "tasks": ("tumour",), "train": TRAIN},
            "config.diagnosers.tumor: 'tumour' is not a segmentation task of cohort 'ucsf_pdgm'; ",
        ),
        (
            "none",
            {"kind": "segmenter", "train": TRAIN},
            "config.diagnosers: 'none' must be a word of letters, digits, '-', '.', and single '_'",
        ),
        (
            "second",
            {"kind": "segmenter", "width": 8, "train": TRAIN},
            "config.diagnosers: task 'tumor' is read by the diagnosers second and tumor",
        ),
    ],
)
def test_what_a_diagnoser_refuses(name, fields, message):
    assert refusal(with_block(f"diagnosers.{name}", fields)).startswith(message)


def test_the_selection_of_a_diagnoser_is_one_of_its_metrics():
    config = configured(diagnosers__tumor__train__selection="auroc")
    assert refusal(config).startswith("config.diagnosers.tumor.train: selection 'auroc' is none of")
