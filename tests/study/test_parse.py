"""From a configuration to a study: what files make, what is filled in, what earlier names mean."""

from __future__ import annotations

import dataclasses
import importlib
import json
import warnings
from pathlib import Path

import pytest

from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.defaults import study as start
from fairrecon_jax.keys import identity
from fairrecon_jax.physics import describe
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.study.blocks import SplitsConfig
from fairrecon_jax.study.config import ReportConfig, StudyConfig
from fairrecon_jax.study.overrides import override
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training.config import TrainConfig
from tests.support import tiny_study
from tests.support.study_fakes import SPEC, configured, phantom_xray, refusal

CONFIGS = (
    "paper.chexpert",
    "paper.ucsf_pdgm",
    "nih_chestxray14",
    "lgg_mri",
    "phantom_xray",
    "phantom_brain",
    "quickstart_xray",
    "quickstart_brain",
)


# -- what a configuration makes


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_is_a_study(name):
    study = parse(importlib.import_module(f"configs.{name}").get_config())
    assert isinstance(study, StudyConfig)
    assert study.degradation.headline_level in study.degradation.levels
    assert study.reconstructors["identity"].has_weights is False
    assert study.reconstructors["identity"].train is None
    json.dumps(identity(study, everything=True))
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.seed = 1  # type: ignore[misc]


def test_the_tiny_study_field_by_field():
    study = parse(tiny_study.get_config())
    assert (study.seed, study.root) == (0, None)
    assert (study.cohort.name, study.cohort.image_size) == ("ucsf_pdgm", 32)
    assert (study.cohort.tasks, study.cohort.attributes) == (("tumor",), ("sex",))
    assert study.phantom is not None
    assert (study.phantom.kind, study.phantom.patients) == ("brain", 24)
    assert study.splits == SplitsConfig(0, (0.4, 0.3, 0.3), 0.0)
    assert study.degradation.levels == (8.0,)
    assert study.degradation.physics.size == 32
    assert list(study.reconstructors) == ["identity", "unet"]
    assert study.diagnosers["tumor"].model.tasks == ("tumor",)
    assert study.mitigations == {}
    assert study.tandem.batch_size == 16
    options = study.assess
    assert (options.replicates, options.permutations, options.null_draws) == (20, 19, 10)
    assert study.report == ReportConfig(1, ReportOptions(dpi=50, pdf=False))


def test_what_is_left_out_has_the_defaults_of_the_dataclasses():
    study = parse(
        {
            "cohort": {"name": "lgg_mri"},
            "degradation": {"kind": "mri_radial", "levels": 8},
            "reconstructors": {"identity": {"kind": "identity"}},
        }
    )
    assert study.degradation.headline_level == 8.0, "the only level"
    assert (study.seed, study.root, study.phantom) == (0, None, None)
    assert study.cohort.image_size == 256
    assert study.splits == SplitsConfig(0, (0.7, 0.1, 0.2), 0.0)
    assert study.reconstructors["identity"].levels == (8.0,)
    assert (study.diagnosers, study.mitigations) == ({}, {})
    assert study.tandem.batch_size == 32
    assert (study.assess, study.report) == (AssessOptions(), ReportConfig(3, ReportOptions()))


def test_a_root_stands_in_for_the_phantom():
    study = parse(configured(cohort__root="data/real", cohort__evaluate_slices=(60, 130)))
    assert (study.root, study.phantom) == (Path("data/real"), None)
    moved = parse(configured(cohort__root="elsewhere", cohort__evaluate_slices=(60, 130)))
    assert identity(moved) == identity(study), "where a tree lies is no choice"


def test_the_specification_gets_the_studys_levels_and_says_where_the_images_are_from():
    phantom = parse(configured(degradation__levels=(8, 16))).spec(SPEC)
    assert phantom.degradation == describe("mri_radial", (8.0, 16.0), 8.0)
    assert (phantom.title, phantom.citation) == (
        "Phantom brains in the layout of Brains",
        "Drawn by fairrecon_jax; no patient data.",
    )
    assert parse(phantom_xray()).spec(SPEC).title == "Phantom radiographs in the layout of Brains"
    real = parse(configured(cohort__root="there", degradation__levels=(8, 16))).spec(SPEC)
    assert (real.title, real.citation) == ("Brains", "Someone.")
    assert real.degradation == phantom.degradation
    assert (real.tasks, real.attributes) == (SPEC.tasks, SPEC.attributes)


def test_the_depth_of_a_phantom():
    brains, radiographs = parse(tiny_study.get_config()).phantom, parse(phantom_xray()).phantom
    assert brains is not None
    assert radiographs is not None
    assert (brains.depth, radiographs.depth) == (8, None)


# -- trainings


def test_a_training_is_the_one_of_a_notebook():
    study = parse(tiny_study.get_config())
    notebook = TrainConfig(
        steps=2, batch_size=8, learning_rate=1e-3, selection="psnr", selection_mode="max"
    )
    assert study.reconstructors["unet"].train == notebook
    assert identity(study.reconstructors["unet"].train) == identity(notebook)
    implied = TrainConfig(steps=2, batch_size=8)
    metrics = study.reconstructors["unet"].model.validation_metrics
    assert identity(implied.resolve(metrics)) == identity(notebook.resolve(metrics))


def test_derived_fields_follow_an_overridden_number_of_steps():
    config = tiny_study.get_config().lock()
    override(config, {"reconstructors.unet.train.steps": "100"})
    train = parse(config).reconstructors["unet"].train
    assert train is not None
    assert (train.steps, train.eval_steps, train.checkpoint_steps) == (100, 12, 25)
    override(config, {"reconstructors.unet.train.eval_every": "7"})
    train = parse(config).reconstructors["unet"].train
    assert train is not None
    assert (train.eval_steps, train.checkpoint_steps) == (7, 25)


# -- earlier names


@pytest.mark.parametrize(
    ("fields", "found", "warning"),
    [
        (
            {"degradation__fairness_level": 8.0},
            lambda study: study.degradation.headline_level == 8.0,
            "config.degradation.fairness_level is now called headline_level",
        ),
        (
            {"assess__floor_draws": 7, "assess__null_draws": AssessOptions().null_draws},
            lambda study: study.assess.null_draws == 7,
            "config.assess.floor_draws is now called null_draws",
        ),
        (
            {"assess__flips": 19},
            lambda study: study.assess.permutations == 19,
            "config.assess.flips is now called permutations",
        ),
        (
            {"assess__conventions": ("paper", "mean", "estimable")},
            lambda study: (
                study.assess.conventions == ("worst_case", "mean", "worst_case_estimable")
            ),
            "config.assess.conventions: 'paper' is now called 'worst_case', 'estimable' is now "
            "called 'worst_case_estimable'",
        ),
        (
            {"assess__conventions": ("published",)},
            lambda study: study.assess.conventions == ("mean",),
            "config.assess.conventions: 'published' is now called 'mean'",
        ),
        (
            {"report__convention": "paper"},
            lambda study: study.report.options.convention == "worst_case",
            "config.report.convention: 'paper' is now called 'worst_case'",
        ),
    ],
)
def test_an_earlier_name_is_accepted_with_one_warning(fields, found, warning):
    config = configured(**fields)
    with pytest.warns(FutureWarning) as said:
        study = parse(config)
    assert found(study)
    assert [str(one.message) for one in said] == [warning]
    assert said[0].filename == __file__, "the warning is for the caller"


def test_todays_names_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse(tiny_study.get_config())


def test_an_earlier_name_stands_in_for_todays():
    config = configured(degradation__fairness_level=4.0, degradation__levels=(4.0, 8.0))
    assert refusal(config) == (
        "config.degradation.fairness_level is now called headline_level; both are given: 4.0 and "
        "8.0"
    )
    del config.degradation["headline_level"]
    with pytest.warns(FutureWarning, match="is now called headline_level"):
        assert parse(config).degradation.headline_level == 4.0


@pytest.mark.filterwarnings("ignore:config.assess.flips:FutureWarning")
def test_sign_flips_of_an_earlier_configuration_are_the_permutations_of_today():
    untouched = start()
    untouched.cohort.name = "lgg_mri"
    untouched.degradation.update(kind="mri_radial", levels=(8.0,))
    untouched.assess.flips = 39
    assert parse(untouched).assess.permutations == 39
    assert refusal(configured(assess__flips=39)) == (
        "config.assess.flips is now called permutations; both are given: 39 and 19"
    )
    assert "resample" in refusal(configured(assess__resample="image"))


@pytest.mark.filterwarnings("ignore:config.assess.floor_draws:FutureWarning")
def test_a_field_that_the_defaults_write_is_in_conflict_where_it_was_changed():
    config = configured(assess__floor_draws=7)
    assert refusal(config) == (
        "config.assess.floor_draws is now called null_draws; both are given: 7 and 10"
    )
    assert parse(configured(config, assess__null_draws=7)).assess.null_draws == 7


def test_the_start_of_every_configuration_lacks_the_cohort_alone():
    config = start()
    config.cohort.name = "lgg_mri"
    config.degradation.update(kind="mri_radial", levels=(8.0,))
    assert parse(config).cohort.name == "lgg_mri"
