"""Fields set on the command line: what each text becomes, which fields there are, and what is
refused in which words.
"""

from __future__ import annotations

import importlib

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.cli import main as cli
from fairrecon_jax.study import config as settings
from fairrecon_jax.study.overrides import override, separate
from tests.support import tiny_study


def changed(**fields: str) -> ConfigDict:
    config = tiny_study.get_config().lock()
    override(config, {path.replace("__", "."): text for path, text in fields.items()})
    assert config.is_locked
    return config


def test_words_are_told_apart_and_the_last_of_a_field_counts():
    words = [
        "--config=a.py",
        "--config.a.b=1",
        "--config.a.b=x=y",
        "--config.c",
        "--noconfig.d",
        "-config.e=",
        "--workdir=w",
    ]
    assert separate(words) == (
        ["--config=a.py", "--workdir=w"],
        {"a.b": "x=y", "c": "True", "d": "False", "e": ""},
    )


def test_a_field_keeps_the_kind_of_value_it_has():
    config = changed(
        seed="3",
        cohort__root="2020",
        degradation__fairness_level="8",
        degradation__levels="8.0",
        report__identifiers="True",
    )
    found = (
        config.seed,
        config.cohort.root,
        config.degradation.headline_level,
        config.degradation.levels,
        config.report.identifiers,
    )
    assert found == (3, "2020", 8.0, (8.0,), True)
    assert isinstance(config.degradation.headline_level, float)
    assert changed(splits__fractions="[0.5, 0.2, 0.3]").splits.fractions == (0.5, 0.2, 0.3)
    assert dict(changed(mitigations="{}").mitigations) == {}


@pytest.mark.parametrize(
    ("fields", "made"),
    [
        (
            {"assess__label_weights": "(1, 3)"},
            lambda c: settings.assess_options(c).label_weights == (1, 3),
        ),
        (
            {"assess__threshold_rule": "fixed", "assess__threshold_value": "0.5"},
            lambda c: settings.assess_options(c).threshold_value == 0.5,
        ),
        ({"cohort__age_cut": "60.5"}, lambda c: settings.cohort_config(c).age_cut == 60.5),
        (
            {"cohort__age_cut": "train median"},
            lambda c: settings.cohort_config(c).age_cut == "train median",
        ),
        ({"cohort__slices": "(10,20)"}, lambda c: settings.cohort_config(c).slices == (10, 20)),
        (
            {"cohort__evaluate_slices": "(2, 5)"},
            lambda c: settings.cohort_config(c).evaluate_slices == (2, 5),
        ),
        (
            {"reconstructors__unet__levels": "8"},
            lambda c: settings.reconstructor_levels(c, "unet") == (8.0,),
        ),
        (
            {"reconstructors__unet__augment": "{'flip': True}"},
            lambda c: settings.augmentation(c, "unet").flip,
        ),
        (
            {"reconstructors__unet__train__clip_norm": "1"},
            lambda c: settings.train_config(c.reconstructors.unet, "x").clip_norm == 1,
        ),
    ],
)
def test_fields_that_the_file_does_not_give_can_be_set(fields, made):
    assert made(changed(**fields))


@pytest.mark.parametrize(
    ("name", "path", "text", "value"),
    [
        ("chexpert", "age_cut", "train median", "train median"),
        ("chexpert", "age_cut", "60.5", 60.5),
        ("ucsf_pdgm", "slices", "(10,20)", (10, 20)),
        ("ucsf_pdgm", "evaluate_slices", "(10, 20)", (10, 20)),
        ("ucsf_pdgm", "evaluate_slices", "all", "all"),
        ("quickstart_xray", "tasks", "cardiomegaly", ("cardiomegaly",)),
    ],
)
def test_a_field_of_several_types_takes_each(name, path, text, value):
    config = importlib.import_module(f"configs.{name}").get_config()
    override(config, {f"cohort.{path}": text})
    assert getattr(settings.cohort_config(config), path) == value


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("splitz", "1", "config has no field splitz; the configuration has: assess, cohort,"),
        (
            "splits.a.b",
            "1",
            "config has no field splits.a.b; config.splits has: diagnosis_fraction, "
            "fractions, seed",
        ),
        (
            "reconstructors.gan",
            "1",
            "config has no field reconstructors.gan; config.reconstructors has: identity, unet",
        ),
        (
            "reconstructors.unt.width",
            "1",
            "config has no field reconstructors.unt.width; config.reconstructors has: "
            "identity, unet",
        ),
        ("seed.x", "1", "config has no field seed.x; the configuration has: assess"),
        (
            "splits",
            "1",
            "config.splits is a block, set its fields; config.splits has: diagnosis_fraction",
        ),
    ],
)
def test_a_field_that_there_cannot_be_is_answered_with_those_there_are(path, text, message):
    with pytest.raises(ValueError) as refused:
        override(tiny_study.get_config(), {path: text})
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "--config.assess.label_wieghts=1",
            "config.assess has no field label_wieghts; it takes alpha,",
        ),
        (
            "--config.splits.sed=1",
            "config.splits has no field sed; it takes diagnosis_fraction, fractions, seed",
        ),
        ("--config.tandem.size=1", "config.tandem has no field size; it takes batch_size"),
        (
            "--config.reconstructors.unet.widht=1",
            "config.reconstructors.unet: reconstructor 'mse' has no field 'widht'",
        ),
        (
            "--config.assess.label_weights=abc",
            "config.assess: label_weights takes tuple[float, float], got 'abc'",
        ),
    ],
)
def test_a_field_of_no_block_is_refused_in_one_line(word, message, capsys, tmp_path):
    assert (
        cli.main(
            ["study", "--config=configs/quickstart_xray.py", word, f"--workdir={tmp_path / 'work'}"]
        )
        == 2
    )
    assert capsys.readouterr().err.startswith(f"fairrecon study: {message}")
    assert not (tmp_path / "work").exists()
