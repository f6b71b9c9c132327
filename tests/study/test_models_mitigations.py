"""Mitigations of a configuration: what their blocks make, and every refusal by its text."""

from __future__ import annotations

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.mitigation import EqualisedOdds, Reweighting
from fairrecon_jax.study.blocks import MitigationPlan
from fairrecon_jax.study.config import MitigationConfig
from fairrecon_jax.study.parse import parse
from fairrecon_jax.types import Cell
from tests.support.study_fakes import configured, phantom_xray, refusal

NAN = float("nan")


def mitigated(kind: str = "equalised_odds", name: str = "eodd", **fields) -> ConfigDict:
    """The tiny study at two levels with a mitigation."""
    config = configured(degradation__levels=(4.0, 8.0))
    config.mitigations[name] = mitigation(kind, 2, 8, 1e-3, **fields)
    return config


def test_a_plan_is_filled_in_with_what_is_trained_and_the_headline_level():
    one = parse(mitigated(weight=1.0)).mitigations["eodd"]
    assert one.plan == MitigationPlan(("unet",), (8.0,), (), "train", 1.0, 1.0, 0.02)
    assert one.methods == {None: EqualisedOdds(weight=1.0)}
    assert (one.train.steps, one.train.selection) == (2, "")
    for levels in ((4, 8), [4.0, 8.0]):
        assert parse(mitigated(levels=levels)).mitigations["eodd"].plan.levels == (4.0, 8.0)


def test_every_weight_to_try_is_a_training_of_its_own():
    one = parse(mitigated(weight=0.5, weights=(0.1, 10))).mitigations["eodd"]
    assert one.methods == {0.1: EqualisedOdds(weight=0.1), 10.0: EqualisedOdds(weight=10.0)}
    plain = Cell("unet", 8.0, seed=3)
    assert one.variants(plain) == [
        Cell("unet", 8.0, "eodd", 0.1, 3),
        Cell("unet", 8.0, "eodd", 10.0, 3),
    ]
    assert [cell.variant for cell in one.variants(plain)] == ["eodd@0.1", "eodd@10"]
    alone: MitigationConfig = parse(mitigated(weight=0.5)).mitigations["eodd"]
    assert alone.variants(Cell("unet", 8.0)) == [Cell("unet", 8.0, "eodd")]
    assert parse(mitigated(weights=0.1)).mitigations["eodd"].plan.weights == (0.1,)


def test_names_of_the_study_are_taken_one_or_several():
    for names in ("sex", ("sex",)):
        one = parse(mitigated(attributes=names, tasks="tumor")).mitigations["eodd"]
        assert one.methods == {None: EqualisedOdds(attributes=("sex",), tasks=("tumor",))}
    config = mitigated("reweighting", "again", outcome="tumor", reconstructors="unet")
    again = parse(config).mitigations["again"]
    assert again.methods == {None: Reweighting(outcome="tumor")}
    assert again.plan.reconstructors == ("unet",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fraction": 1.5}, ": fraction must lie in (0, 1], got 1.5"),
        ({"task_tolerance": -0.1}, ": task_tolerance must be a number of at least 0"),
        ({"psnr_tolerance": -1.0}, ": psnr_tolerance must be a number of at least 0"),
        ({"weights": (0.1, 0.1)}, ".weights must differ from one another, got (0.1, 0.1)"),
        ({"weights": "x"}, ".weights takes a list of numbers, got 'x'"),
        ({"weights": (1.0, -1.0)}, ": mitigation 'equalised_odds': weight must be a positive num"),
        ({"weights": (NAN,)}, ": weights must be finite, got (nan,)"),
        ({"levels": (5.0,)}, ".levels: 5 is not one of 4, 8"),
        (
            {"reconstructors": ("identity",)},
            ".reconstructors: 'identity' is not one of the trained reconstructors, which are unet",
        ),
        ({"reconstructors": 5}, ".reconstructors takes a list of texts, got 5"),
        ({"strength": 3}, ": mitigation 'equalised_odds' has no field 'strength'; its fields are"),
        ({"attributes": ("rce",)}, ".attributes: the study has no attribute 'rce'; it has sex"),
        ({"attributes": 5}, ".attributes takes a list of texts, got 5"),
        ({"tasks": ("grade",)}, ".tasks: the study has no diagnosed task 'grade'; it has tumor"),
        ({"train": 5}, ".train is a block of fields, got 5"),
        ({"train": ConfigDict({"steps": 2})}, ".train.batch_size is not given"),
    ],
)
def test_what_a_mitigation_refuses(fields, message):
    config = mitigated()
    with config.ignore_type():
        for name, value in fields.items():
            config.mitigations.eodd[name] = value
    assert refusal(config).startswith(f"config.mitigations.eodd{message}")


def test_more_that_mitigations_refuse():
    config = mitigated("reweighting", "again", outcome="tumour")
    message = "config.mitigations.again.outcome: the study has no task 'tumour'; it has tumor; "
    message += "did you mean 'tumor'?"
    assert refusal(config) == message
    assert refusal(mitigated("eod")).startswith("config.mitigations.eodd: unknown mitigation 'eod'")
    config = mitigated()
    config.mitigations.eodd.train.schedule = "step"
    assert refusal(config).startswith("config.mitigations.eodd.train: schedule takes Literal")
    config.mitigations.eodd.train.update(schedule="cosine", selection="dice")
    assert refusal(config).startswith("config.mitigations.eodd.train: selection 'dice' is none of")
    del config.mitigations.eodd["train"]
    assert refusal(config) == "config.mitigations.eodd needs a block train"
    assert refusal(configured(mitigated(), diagnosers=ConfigDict())) == (
        "config.mitigations.eodd needs diagnosers"
    )


@pytest.mark.parametrize("name", ["none", "two words", "a__b", "a/b", "a@b"])
def test_a_mitigations_name_must_serve_as_a_file_name(name):
    assert refusal(mitigated(name=name)) == (
        f"config.mitigations: {name!r} must be a word of letters, digits, '-', and single '_', "
        "and not 'none'"
    )


def test_a_mitigation_needs_a_reconstructor_that_is_trained_where_it_is_tried():
    config = mitigated(levels=(4.0, 8.0), reconstructors=("unet",))
    config.reconstructors.unet.levels = (8.0,)
    where = "config.mitigations.eodd"
    assert refusal(config) == f"{where}: unet is not trained at all of the levels (4.0, 8.0)"
    del config.mitigations.eodd["reconstructors"]
    assert refusal(config) == (
        f"{where}: no reconstructor is trained at all of the levels (4.0, 8.0)"
    )
    del config.reconstructors["unet"]
    assert refusal(config) == f"{where} fine-tunes, but no reconstructor of the study is trained"


def test_a_mitigation_leaves_out_what_is_not_trained_at_its_levels():
    config = phantom_xray(
        degradation__levels=(1e4, 1e5),
        mitigations__eodd__levels=(1e5,),
        mitigations__eodd__reconstructors=(),
        reconstructors__irsde__levels=(1e4,),
    )
    assert parse(config).mitigations["eodd"].plan.reconstructors == ("pix2pix", "unet")
