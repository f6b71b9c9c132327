"""The paper's configurations: the settings of its trainings, field by field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.data.registry import builder_of
from fairrecon_jax.diagnosers import Preprocessing
from fairrecon_jax.diffusion import SDE, make_sampler
from fairrecon_jax.study.bundled import configuration
from fairrecon_jax.study.overrides import override
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training.augment import Augmentation

LAMBDAS = (0.01, 0.316, 1.0, 3.16, 10.0)


@pytest.mark.parametrize("name", ["chexpert", "ucsf_pdgm"])
def test_reconstructors_and_mitigations(name):
    study = parse(configuration(name))
    unet, gan, sde = (study.reconstructors[n] for n in ("unet", "pix2pix", "irsde"))
    assert (unet.train.batch_size, unet.train.learning_rate, unet.train.patience) == (16, 1e-3, 5)
    # patience counts epochs
    assert unet.train.steps == pytest.approx(20 * unet.train.eval_every, rel=1e-3)
    assert (gan.model.dropout, gan.model.lambda_l1, gan.model.downsamplings) == (0.5, 1000, 7)
    assert (gan.train.schedule, gan.train.b1, gan.train.batch_size) == ("half_linear", 0.5, 32)
    assert gan.train.steps == 200 * gan.train.schedule_every
    assert (sde.train.b2, sde.train.learning_rate, sde.train.batch_size) == (0.99, 1e-4, 8)
    assert set(study.mitigations) == {"reweighting", "eodd", "adversarial"}
    for mitigation in study.mitigations.values():
        assert set(mitigation.plan.reconstructors) == {"unet", "pix2pix", "irsde"}
        assert mitigation.plan.levels == (study.degradation.headline_level,)
        assert mitigation.train.remat
    for kind in ("eodd", "adversarial"):
        assert study.mitigations[kind].plan.weights == LAMBDAS
    term = study.mitigations["eodd"].methods[1.0]
    assert (term.scale, term.temperature, term.threshold, term.decay) == ("loss", 0.3, 0.5, 0.9)
    assert (term.combine, term.task_weight) == ("max", 1)
    assert study.mitigations["reweighting"].methods[None].cap == 0
    assert study.splits.fractions == (0.7, 0.1, 0.2)
    assert (study.assess.replicates, study.assess.threshold_rule) == (1000, "balanced")


@pytest.mark.parametrize("name", ["chexpert", "ucsf_pdgm"])
def test_networks(name):
    study = parse(configuration(name))
    unet, gan, sde = (study.reconstructors[n] for n in ("unet", "pix2pix", "irsde"))
    assert (unet.model.width, unet.model.depth, unet.model.norm) == (64, 4, None)
    assert unet.train.optimizer == gan.train.optimizer == sde.train.optimizer == "adam"
    assert (gan.model.width, gan.model.gan, gan.model.norm, gan.model.tanh) == (
        *(64, "vanilla", "batch"),
        False,
    )
    assert (gan.model.disc_width, gan.model.disc_layers) == (64, 3)
    assert sde.model.sde == SDE("cosine", 100, 10 / 255, 0.005)
    assert (sde.model.width, sde.model.depth, sde.model.attention) == (64, 4, True)
    assert (sde.model.loss_norm, sde.model.start, sde.model.precondition) == ("l1", "torch", None)
    assert sde.model.sampler == make_sampler("paper")
    assert (sde.train.schedule, sde.train.ema > 0) == ("cosine", True)


def test_cohorts():
    chest, brain = (parse(configuration(name)) for name in ("chexpert", "ucsf_pdgm"))
    assert (chest.cohort.age_cut, brain.cohort.age_cut) == (62, 58)
    assert chest.cohort.age_cut_side == brain.cohort.age_cut_side == "under"
    assert len(builder_of(chest.cohort).outline(chest.cohort).tasks) == 12
    assert chest.cohort.race == ("six", "pooled")
    assert (chest.splits.diagnosis_fraction, brain.splits.diagnosis_fraction) == (0.3, 0)
    assert (chest.degradation.levels, brain.degradation.levels) == ((1e5, 1e4, 3e3), (4, 8, 16))
    assert chest.degradation.physics.beam.angles == 256
    assert (brain.cohort.slices, brain.cohort.evaluate_slices) == ("all", (60, 130))
    tasks = builder_of(brain.cohort).outline(brain.cohort).tasks
    assert [(t.name, t.aggregation) for t in tasks][:2] == [("grade", "median"), ("type", "median")]


def test_what_the_code_does_otherwise_is_a_choice():
    """Fields that a comment or a page names."""
    chest, brain = configuration("chexpert"), configuration("ucsf_pdgm")
    both = {
        "reconstructors.unet.finish": "as_is",
        "reconstructors.irsde.finish": "min_max",
        "reconstructors.irsde.train.ema": "0.0",
        "mitigations.eodd.divisor": "running",
        "mitigations.eodd.threshold": "running",
        "mitigations.eodd.decay": "0.0",
        "mitigations.eodd.min_count": "0.0",
        "mitigations.reweighting.tuned_on": "val",
        "assess.threshold_rule": "published",
        "assess.roc_points": "thinned",
        "assess.empty_mask": "published",
    }
    override(chest, {**both, "degradation.storage": "jpeg"})
    override(brain, {**both, "degradation.magnitude": "real", "cohort.mask_values": "(1, 2)"})
    study = parse(chest)
    term = study.mitigations["eodd"].methods[1.0]
    assert study.mitigations["reweighting"].plan.tuned_on == "val"
    assert (term.divisor, term.threshold) == ("running", "running")
    assert (term.decay, term.min_count) == (0, 0)
    assert parse(brain).degradation.physics.magnitude == "real"


def test_every_field_of_the_page_of_the_paper_is_taken():
    page = (Path(__file__).parents[2] / "docs" / "howto" / "paper.md").read_text(encoding="utf-8")
    blocks = "assess|cohort|degradation|reconstructors|mitigations"
    found = re.findall(rf"`((?:{blocks})\.[\w.<>]+) = ([^`]+)`", page)
    assert len(found) > 20
    for field, value in found:
        of_brains = field.startswith(("cohort.mask", "cohort.slices", "degradation.ma"))
        config = configuration("ucsf_pdgm" if of_brains else "chexpert")
        override(config, {field.replace("<name>", "reweighting"): value.strip('"')})
        parse(config)


def test_the_sigmoid_of_the_published_evaluation_is_another_block_of_the_same_weights():
    """One block alone would be trained with it too."""
    config = configuration("chexpert")
    block = {"kind": "mse", "weights_of": "unet", "output": "sigmoid"}
    config.reconstructors.published = ConfigDict(block)
    unet, published = (parse(config).reconstructors[name] for name in ("unet", "published"))
    assert (unet.model.output, published.model.output) == ("none", "sigmoid")
    assert (published.weights_of, published.train) == ("unet", None)
    assert (published.model.width, published.model.start) == (64, "torch")


def test_diagnosers():
    findings = parse(configuration("chexpert")).diagnosers["findings"]
    assert findings.model.augment == Augmentation(rotate=45, shift=0.15, zoom=0.15, border=0.5)
    assert (findings.train.optimizer, findings.train.weight_decay) == ("amsgrad", 1e-5)
    assert (findings.rare_first, findings.balance) == (True, False)
    assert (findings.model.backbone, findings.model.loss_mean) == ("densenet121", "tasks")
    assert findings.model.preprocessing == Preprocessing(224, input_low=-1024, input_high=1024)
    assert findings.train.steps == 50 * findings.train.eval_every
    assert (findings.train.selection, findings.train.patience) == ("auroc", 0)
    config = configuration("ucsf_pdgm")
    code = {
        "cohort.slices": "(60, 130)",
        "diagnosers.grade.backbone": "resnet18",
        "diagnosers.grade.balance": "True",
        "diagnosers.grade.init": "resnet18.pth",
    }
    override(config, code)
    study = parse(config)
    assert study.cohort.slices == (60, 130)
    grade = study.diagnosers["grade"]
    assert (grade.model.backbone, grade.balance, grade.init) == ("resnet18", True, "resnet18.pth")
    study = parse(configuration("ucsf_pdgm"))
    for name, batch, rate in (("grade", 16, 1e-4), ("type", 16, 1e-4), ("tumor", 8, 1e-3)):
        train = study.diagnosers[name].train
        assert (train.batch_size, train.learning_rate, train.schedule) == (batch, rate, "constant")
        assert train.steps == 20 * train.eval_every
    grade, tumor = study.diagnosers["type"].model, study.diagnosers["tumor"].model
    assert (grade.backbone, grade.hidden) == ("resnet50", (512, 256))
    assert (tumor.backbone, tumor.dice_weight) == ("resnet34_unet", 0.5)
