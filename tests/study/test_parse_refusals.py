"""Every refusal of a block of a configuration, by its text, which names the field; those of models
are in `test_models`.
"""

from __future__ import annotations

import importlib

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.study.parse import parse
from fairrecon_jax.types import ConfigError
from tests.support import tiny_study
from tests.support.study_fakes import configured, phantom_xray, refusal

NAN = float("nan")


@pytest.mark.parametrize("path", ["cohort.name", "degradation.kind", "degradation.levels"])
def test_a_field_without_a_default_is_asked_for(path):
    config = tiny_study.get_config()
    block, field = path.split(".")
    del config[block][field]
    assert refusal(config) == f"config.{path} is not given"
    del config[block]
    missing = {"cohort": "cohort.name", "degradation": "degradation.kind"}[block]
    assert refusal(config) == f"config.{missing} is not given"


def test_of_several_levels_the_headline_is_asked_for():
    config = configured(degradation__levels=(4.0, 8.0))
    del config.degradation["headline_level"]
    assert refusal(config) == (
        "config.degradation.headline_level is not given: name one of the levels"
    )


@pytest.mark.parametrize(
    "block",
    [
        "assess",
        "cohort",
        "degradation",
        "diagnosers",
        "mitigations",
        "phantom",
        "reconstructors",
        "report",
        "splits",
        "tandem",
    ],
)
def test_a_block_is_a_block_and_has_its_fields_alone(block):
    assert refusal(configured(**{block: 3})) == f"config.{block} is a block of fields, got 3"
    message = refusal(configured(**{f"{block}__colour": "red"}))
    if block in ("diagnosers", "mitigations", "reconstructors"):
        assert message == f"config.{block}.colour is a block of fields, got 'red'"
    elif block in ("degradation", "phantom"):
        kind = {"degradation": "degradation 'mri_radial' has no field 'colour'; its fields are "}
        words = kind.get(block, "brain phantoms have no option 'colour'; they take ")
        assert message.startswith(f"config.{block}: {words}")
    else:
        assert message.startswith(f"config.{block} has no field colour; it takes ")


def test_there_are_no_other_blocks():
    assert refusal(configured(splitz=3, extra=ConfigDict())) == (
        "config has no field extra, splitz; it takes assess, cohort, degradation, diagnosers, "
        "mitigations, phantom, reconstructors, report, seed, seed_diagnosers, seeds, splits, "
        "tandem; did you mean 'splits' for 'splitz'?"
    )


@pytest.mark.parametrize("field", ["seed", "splits__seed", "assess__seed"])
@pytest.mark.parametrize("value", [-1, 2**32, 1.0, True, "x", None])
def test_a_seed_is_a_whole_number_of_32_bits(field, value):
    message = refusal(configured(**{field: value}))
    path = field.replace("__", ".")
    if field == "seed" or (isinstance(value, int) and value is not True):
        assert message == (
            f"config.{path} must be a whole number from 0 to 2^32 - 1, got {value!r}"
        )
    else:
        assert message == f"config.{path.replace('.', ': ')} takes int, got {value!r}"


REFUSED = [
    # the cohort
    ("cohort__name", "chexpart", "config.cohort: no cohort 'chexpart'; there are chexpert, "),
    ("cohort__name", 5, "config.cohort: name takes str, got 5"),
    ("cohort__root", 5, "config.cohort.root takes a folder, got 5"),
    ("cohort__image_size", 4, "config.cohort: image_size must lie in 8..4096, got 4"),
    ("cohort__image_size", "big", "config.cohort: image_size takes int, got 'big'"),
    (
        "cohort__race",
        "two",
        "config.cohort: race must be one of ('six', 'pooled', 'white_vs_rest')",
    ),
    ("cohort__tasks", ("edemma",), "config.cohort: ucsf_pdgm has no task edemma; it has grade, "),
    ("cohort__tasks", ("tumor", "tumor"), "config.cohort.tasks must differ from one another"),
    ("cohort__attributes", ("race",), "config.cohort: ucsf_pdgm has no attribute race; it has "),
    ("cohort__attributes", ("sex", "sex"), "config.cohort.attributes must differ from one another"),
    ("cohort__patients", -1, "config.cohort: patients must be 0 (all) or a positive number"),
    ("cohort__source", "../x", "config.cohort: source must be one word of letters, digits, "),
    # its age cut
    *(
        (
            "cohort__age_cut",
            value,
            "config.cohort: age_cut must be a number of years above 0, several of them ascending, "
            "or one of 'default', 'train median', 'train tertiles', 'train quartiles', got "
            f"{value!r}",
        )
        for value in (NAN, float("inf"), -58.0, 0, "median")
    ),
    # its slices: the phantom's volumes have 8
    (
        "cohort__slices",
        (0, 8),
        "config.cohort: slices must lie in 0..7, a volume has 8 slices, got (0, 8)",
    ),
    (
        "cohort__evaluate_slices",
        (2, 9),
        "config.cohort: evaluate_slices must lie in 0..7, a volume has 8 slices, got (2, 9)",
    ),
    ("cohort__evaluate_slices", (5, 2), "config.cohort: evaluate_slices must be (first, last) "),
    ("cohort__slices", "some", "config.cohort: slices must be one of ('all',) or (first, last)"),
    # the phantom
    ("phantom__kind", "ct", "config.phantom: phantom kind is 'ct'; choose one of xray, brain"),
    ("phantom__kind", "xray", "config.phantom: slices is an option of brain phantoms; xra"),
    ("phantom__patients", -1, "config.phantom: patients is -1; it must be a whole number of at "),
    ("phantom__patients", "many", "config.phantom: patients takes int, got 'many'"),
    ("phantom__slices", 4, "config.phantom: slices is 4; it must be a whole number of at least 8"),
    (
        "phantom__patients",
        1,
        "config.phantom.patients is 1, too few for the parts of splits.fractions (0",
    ),
    ("cohort__patients", 2, "config.cohort.patients is 2, too few for the parts of splits.fract"),
    # the splits
    ("splits__fractions", (1e-300, 0.5, 0.5), "config.splits.fractions must be at least 1e-06, "),
    ("splits__fractions", (0.5, 0.5, 1e-300), "config.splits.fractions must be at least 1e-06, "),
    ("splits__fractions", (0.5, 0.6, 0.1), "config.splits: fractions must be three non-negative"),
    ("splits__fractions", ("a", "b", "c"), "config.splits: fractions must be three non-negative"),
    ("splits__fractions", (NAN, 0.5, 0.5), "config.splits: fractions must be three non-negative"),
    ("splits__fractions", 0.5, "config.splits: fractions must be three non-negative numbers"),
    (
        "splits__fractions",
        (0.8, 0.0, 0.2),
        "config.splits: a study trains, selects and tests: all three fractions must be above 0, "
        "got (0.8, 0.0, 0.2)",
    ),
    ("splits__diagnosis_fraction", 1.0, "config.splits: diagnosis_fraction must lie in [0, 1)"),
    ("splits__diagnosis_fraction", "a", "config.splits: diagnosis_fraction must be a number, got"),
    # the degradation
    ("degradation__kind", "ct", "config.degradation: unknown degradation 'ct'; choose one of "),
    ("degradation__kind", 5, "config.degradation.kind takes the name of a kind, got 5"),
    (
        "degradation__magnitude",
        "x",
        "config.degradation: degradation 'mri_radial': field 'magnitude' takes Literal['magnitude'",
    ),
    ("degradation__size", 16, "config.degradation has no field size; config.cohort.image_size is"),
    ("degradation__levels", (), "config.degradation.levels is empty: give at least one level"),
    ("degradation__levels", "x", "config.degradation.levels takes a list of numbers, got 'x'"),
    ("degradation__levels", (8.0, 8), "config.degradation.levels must differ from one another"),
    (
        "degradation__levels",
        (8.0, 0.0),
        "config.degradation: level 0.0 of mri_radial must be a pos",
    ),
    (
        "degradation__levels",
        (8.0, NAN),
        "config.degradation: level nan of mri_radial must be a pos",
    ),
    (
        "degradation__levels",
        (4.0, 16.0),
        "config.degradation.headline_level 8.0 is not one of the levels (4.0, 16.0)",
    ),
    (
        "degradation__headline_level",
        (8.0, 4.0),
        "config.degradation.headline_level (8.0, 4.0) is not one of the levels (8.0,)",
    ),
    ("degradation__headline_level", "x", "config.degradation.headline_level takes a list of num"),
    # sizes of networks whose power of two would take for ever
    ("reconstructors__unet__depth", 999, "config.reconstructors.unet: images of 32 pixels are "),
    ("diagnosers__tumor__depth", 10**30, "config.diagnosers.tumor.depth must be at most 1000"),
    ("diagnosers__tumor__kind", {}, "config.diagnosers.tumor"),
    ("reconstructors__unet__kind", {}, "config.reconstructors.unet"),
    ("degradation__kind", {}, "config.degradation"),
    # the fused step
    ("tandem__batch_size", 0, "config.tandem: batch_size must be at least 1, got 0"),
    ("tandem__batch_size", 16.0, "config.tandem: batch_size takes int, got 16.0"),
    ("tandem__image_metrics", ("psnr", "x"), "config.tandem: no image metric 'x'; choose among "),
    ("tandem__image_metrics", "psnr", "config.tandem: image_metrics takes tuple[str, ...], got "),
    # the assessment
    ("assess__replicates", 0, "config.assess: replicates must be at least 1, got 0"),
    ("assess__conventions", ("best",), "config.assess: conventions takes tuple[Literal["),
    (
        "assess__intersections",
        (("sex", "rce"),),
        "config.assess.intersections: the study has no attribute 'rce'; it has sex",
    ),
    ("assess__intersections", ("sex",), "config.assess: intersections takes tuple[tuple[str"),
    ("assess__threshold_rule", "best", "config.assess: threshold_rule takes Literal['balanced', "),
    ("assess__threshold_rule", "fixed", "config.assess: threshold_rule 'fixed' need"),
    # the report
    ("report__examples", 1.5, "config.report: examples must be a whole number of at least 0, got"),
    ("report__examples", "two", "config.report: examples must be a whole number of at least 0"),
    (
        "report__examples",
        -1,
        "config.report: examples must be a whole number of at least 0, got -1",
    ),
    (
        "report__examples",
        True,
        "config.report: examples must be a whole number of at least 0, got ",
    ),
    ("report__dpi", 20, "config.report: dpi must lie in 50..600, got 20"),
    ("report__dpi", "big", "config.report: dpi takes int, got 'big'"),
    ("report__max_examples", -1, "config.report: max_examples must not be negative"),
    ("report__convention", "best", "config.report: convention must be one of ('wo"),
    (
        "report__colour",
        "red",
        "config.report has no field colour; it takes appendix, convention, dpi, identifiers, "
        "max_examples, min_cell, pdf, title",
    ),
]


@pytest.mark.parametrize(("field", "value", "message"), REFUSED)
def test_a_refused_field_is_named(field, value, message):
    assert refusal(configured(**{field: value})).startswith(message)


def test_a_phantom_draws_the_tree_of_its_cohort():
    config = configured(phantom=ConfigDict({"kind": "xray"}))
    assert refusal(config) == (
        "config.phantom.kind 'xray' draws the tree of chexpert, but config.cohort.name is "
        "'ucsf_pdgm'"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"cardiomegaly": 0.5}, "config.assess: threshold_value has no entry for "),
        ({"cardiomegaly": 2.0}, "config.assess: threshold_value must be a number in [0, 1]"),
        ("half", "config.assess: threshold_value takes "),
    ],
)
def test_thresholds_by_task_name_every_finding_that_is_diagnosed(value, message):
    fields = {"assess__threshold_rule": "fixed", "assess__threshold_value": value}
    assert refusal(phantom_xray(**fields)).startswith(message)
    by_task = {"cardiomegaly": 0.5, "consolidation": 0.4, "pleural_effusion": 0.3}
    study = parse(phantom_xray(**{**fields, "assess__threshold_value": by_task}))
    assert study.assess.value_for("consolidation") == 0.4


@pytest.mark.parametrize(
    ("field", "value", "refused"),
    [
        ("slices", (0, 154), False),
        ("slices", (60, 155), True),
        ("evaluate_slices", (154, 154), False),
        ("evaluate_slices", (200, 300), True),
        ("evaluate_slices", (0.0, 1.0), False),
        ("evaluate_slices", "all", False),
    ],
)
def test_the_volumes_of_ucsf_pdgm_have_155_slices(field, value, refused):
    config = configured(cohort__root="there", **{f"cohort__{field}": value})
    if refused:
        assert refusal(config).startswith(
            f"config.cohort: {field} must lie in 0..154, a volume has 155 slices, got "
        )
    else:
        assert getattr(parse(config).cohort, field) == value


def test_volumes_of_different_depth_are_not_looked_at():
    config = importlib.import_module("configs.lgg_mri").get_config()
    assert parse(configured(config, cohort__slices=(0, 900))).cohort.slices == (0, 900)


def test_both_trainings_of_a_cut_part_need_a_patient():
    four = {"phantom__patients": 4, "splits__fractions": (0.2, 0.4, 0.4)}
    assert parse(configured(**four)).phantom.patients == 4
    assert refusal(configured(**four, splits__diagnosis_fraction=0.5)) == (
        "config.phantom.patients is 4, too few for the parts of splits.fractions (0.2, 0.4, 0.4) "
        "and splits.diagnosis_fraction 0.5"
    )


def test_everything_wrong_within_a_block_is_told():
    config = configured(
        splits__fractions=(1, 2, 3),
        splits__seed=-1,
        splits__diagnosis_fraction="a",
        report__examples=-1,
        report__dpi=20,
        assess__alpha=7.0,
        assess__seed=-1,
        cohort__root=5,
        cohort__image_size="big",
        degradation__magnitude="x",
        degradation__levels="y",
        reconstructors__unet__train__batch_size=True,
        reconstructors__unet__train__learning_rate=-1.0,
        reconstructors__unet__train__selection="nope",
    )
    with pytest.raises(ConfigError) as refused:
        parse(config)
    text = str(refused.value)
    for part in (
        "splits: diagnosis_fraction must be a number",
        "splits: fractions must be three",
        "splits.seed must be",
        "report: examples must be",
        "report: dpi must lie",
        "alpha must",
        "assess.seed must be",
        "cohort.root takes a folder",
        "image_size takes int",
        "field 'magnitude' takes",
        "degradation.levels takes a list",
        "unet.train: batch_size takes int",
        "unet.train: learning_rate must be at least 0",
        "unet.train: selection 'nope' is none of",
    ):
        assert part in text, part
    assert len(refused.value.refusals) == 14
