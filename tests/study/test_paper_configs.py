"""The paper's configurations: the settings of its trainings, field by field."""

from __future__ import annotations

import pytest

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
    assert (sde.train.b2, sde.train.learning_rate, sde.train.batch_size) == (0.99, 1e-4, 8)
    assert set(study.mitigations) == {"reweighting", "eodd", "adversarial"}
    for mitigation in study.mitigations.values():
        assert set(mitigation.plan.reconstructors) == {"unet", "pix2pix", "irsde"}
        assert mitigation.plan.levels == (study.degradation.headline_level,)
    for kind in ("eodd", "adversarial"):
        assert study.mitigations[kind].plan.weights == LAMBDAS
    term = study.mitigations["eodd"].methods[1.0]
    assert (term.scale, term.temperature, term.threshold, term.decay) == ("loss", 0.3, 0.5, 0.9)
    assert study.mitigations["reweighting"].methods[None].cap == 0


def test_diagnosers():
    findings = parse(configuration("chexpert")).diagnosers["findings"]
    assert findings.model.augment == Augmentation(rotate=45, shift=0.15, zoom=0.15)
    assert (findings.train.optimizer, findings.train.weight_decay) == ("amsgrad", 1e-5)
    assert (findings.rare_first, findings.balance) == (True, False)
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
    assert parse(configuration("ucsf_pdgm")).diagnosers["type"].model.backbone == "resnet50"
