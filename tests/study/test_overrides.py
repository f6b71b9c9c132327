"""Fields set on the command line: what each text becomes, which fields there are, and what is
refused in which words.
"""

from __future__ import annotations

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.cli import main as cli
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study.bundled import configuration
from fairrecon_jax.study.overrides import literal, override, separate
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.types import ConfigError
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
        degradation__headline_level="8",
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
        ({"assess__label_weights": "(1, 3)"}, lambda s: s.assess.label_weights == (1, 3)),
        (
            {"assess__threshold_rule": "fixed", "assess__threshold_value": "0.5"},
            lambda s: s.assess.threshold_value == 0.5,
        ),
        ({"cohort__age_cut": "60.5"}, lambda s: s.cohort.age_cut == 60.5),
        ({"cohort__age_cut": "train median"}, lambda s: s.cohort.age_cut == "train median"),
        ({"cohort__slices": "(1,6)"}, lambda s: s.cohort.slices == (1, 6)),
        ({"cohort__evaluate_slices": "(2, 5)"}, lambda s: s.cohort.evaluate_slices == (2, 5)),
        (
            {"reconstructors__unet__levels": "8"},
            lambda s: s.reconstructors["unet"].levels == (8.0,),
        ),
        (
            {"reconstructors__unet__augment": "{'flip': True}"},
            lambda s: s.reconstructors["unet"].augment == Augmentation(flip=True),
        ),
        (
            {"reconstructors__unet__train__clip_norm": "1"},
            lambda s: s.reconstructors["unet"].train.clip_norm == 1,
        ),
        (
            {"reconstructors__unet__train__eval_every": "5"},
            lambda s: s.reconstructors["unet"].train.eval_every == 5,
        ),
        ({"diagnosers__tumor__tasks": "tumor"}, lambda s: s.diagnosers["tumor"].name == "tumor"),
    ],
)
def test_fields_that_the_file_does_not_give_can_be_set(fields, made):
    assert made(parse(changed(**fields)))


@pytest.mark.parametrize("old", ["fairness_level", "headline_level"])
def test_an_earlier_name_of_a_field_can_be_set_too(old, recwarn):
    config = changed(degradation__levels="(4, 8)", **{f"degradation__{old}": "8"})
    assert parse(config).degradation.headline_level == 8.0
    assert len(recwarn) == (old == "fairness_level")


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("(4, 8)", (4, 8)), (" 1e4", 1e4), ("None", None), ("all", "all"), ("a b", "a b")],
)
def test_a_literal_is_its_value_and_other_text_is_text(text, value):
    assert literal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "{[]: 1}",
        "{{}}",
        "(" * 5000 + ")" * 5000,
        "-" * 100_000 + "1",
        "[]" + "[0]" * 3000,
        "9" * 5000,
    ],
    ids=["list as key", "dictionary in a set", "deep", "deeper", "deep indices", "long number"],
)
def test_what_looks_like_a_literal_and_is_none_is_text(text):
    assert literal(text) == text


@pytest.mark.parametrize(
    ("name", "path", "text", "value"),
    [
        ("chexpert", "age_cut", "train median", "train median"),
        ("chexpert", "age_cut", "60.5", 60.5),
        ("ucsf_pdgm", "slices", "(50,140)", (50, 140)),
        ("ucsf_pdgm", "evaluate_slices", "(10, 20)", (10, 20)),
        ("ucsf_pdgm", "evaluate_slices", "all", "all"),
        ("phantom_xray", "tasks", "cardiomegaly", ("cardiomegaly",)),
    ],
)
def test_a_field_of_several_types_takes_each(name, path, text, value):
    config = configuration(name)
    override(config, {f"cohort.{path}": text})
    assert getattr(parse(config).cohort, path) == value


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
        (
            "splits",
            "{[]: 1}",
            "config.splits is a block, set its fields; config.splits has: diagnosis_fraction",
        ),
        (
            "reconstructors",
            "{'a': {'b.c': 2}}",
            "config.reconstructors: ConfigDict does not accept dots in field names",
        ),
    ],
)
def test_a_field_that_there_cannot_be_is_answered_with_those_there_are(path, text, message):
    with pytest.raises(ConfigError) as refused:
        override(tiny_study.get_config(), {path: text})
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "--config.assess.label_wieghts=1",
            "config.assess has no field label_wieghts; it takes adjustment, alpha,",
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
        ("--config.splits={1: 2}", "config.splits is a block of fields, got {1: 2}"),
        ("--config.diagnosers={1: 2}", "config.diagnosers is a block of fields, got {1: 2}"),
        (
            "--config.assess.label_weights={[]: 1}",
            "config.assess: label_weights takes tuple[float, float], got '{[]: 1}'",
        ),
    ],
)
def test_a_field_of_no_block_is_refused_in_one_line(word, message, capsys, tmp_path):
    assert (
        cli.main(
            ["study", "--config=configs/phantom_xray.py", word, f"--workdir={tmp_path / 'work'}"]
        )
        == 2
    )
    assert capsys.readouterr().err.startswith(f"fairrecon study: {message}")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "reconstructors.unet.train.learning_rate=True",
            "config.reconstructors.unet.train: learning_rate takes float, got True",
        ),
        (
            "reconstructors.unet.train.batch_size=True",
            "config.reconstructors.unet.train: batch_size takes int, got True",
        ),
        (
            "reconstructors.unet.train.learning_rate=inf",
            "config.reconstructors.unet.train: learning_rate must be finite, got inf",
        ),
        (
            "reconstructors.unet.train.learning_rate=-NaN",
            "config.reconstructors.unet.train: learning_rate must be finite, got nan",
        ),
        (
            "reconstructors.unet.train.clip_norm=inf",
            "config.reconstructors.unet.train: clip_norm must be finite, got inf",
        ),
        ("mitigations.eodd.weight=True", "field 'weight' takes float, got True"),
        ("mitigations.eodd.weight=nan", "weight must be a positive number, got nan"),
        ("degradation.levels=inf", "headline_level 8.0 is not one of the levels (inf,)"),
        ("assess.alpha=nan", "config.assess: alpha must be finite, got nan"),
        ("phantom.age_cut=True", "config.phantom: age_cut takes float, got True"),
        ("phantom.age_cut=inf", "age_cut is inf; it must be a finite number above 0"),
    ],
)
def test_truth_and_infinity_are_no_numbers(word, message):
    config = tiny_study.get_config()
    config.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3)
    config.mitigations.eodd.weight = 2.0
    path, _, text = word.partition("=")
    override(config, {path: text})
    with pytest.raises(ConfigError) as refused:
        parse(config)
    assert message in str(refused.value)


def test_infinity_stays_a_text_where_a_text_stands():
    config = changed(cohort__root="inf", report__title="nan")
    assert (config.cohort.root, parse(config).report.options.title) == ("inf", "nan")


def test_what_can_be_set_is_set_whatever_else_is_refused():
    config = tiny_study.get_config()
    with pytest.raises(ConfigError, match="2 fields of the configuration are refused"):
        override(config, {"asess.seed": "1", "seed": "5", "splitz": "1"})
    assert config.seed == 5
