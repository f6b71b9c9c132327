"""From configuration to typed objects: every refusal by its text, what a digest depends on, and the
way to a file and back.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Literal

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.defaults import mitigation
from fairrecon_jax.physics import describe
from fairrecon_jax.study import config as settings
from fairrecon_jax.study.run import plan
from fairrecon_jax.study.workdir import Workspace
from fairrecon_jax.types import Attribute, CohortSpec, Task
from tests.support import tiny_study

TASKS = (
    Task("grade", "classification"),
    Task("tumor", "segmentation"),
    Task("type", "classification"),
)
SPEC = CohortSpec(
    "c",
    "Brains",
    "mri",
    TASKS,
    (Attribute("sex", ("F", "M")),),
    describe("mri_radial", (4.0, 8.0), 4.0),
    "Someone.",
)


@dataclasses.dataclass(frozen=True)
class Toy:
    """An options object with one rule."""

    size: int
    mode: Literal["a", "b"] = "a"
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.size % 2:
            raise ValueError(f"size must be even, got {self.size}")


def config() -> ConfigDict:
    return tiny_study.get_config()


def loose(**fields) -> ConfigDict:
    """The tiny study with fields "block__name" of any type."""
    made = config()
    with made.ignore_type():
        for path, value in fields.items():
            *outer, last = path.split("__")
            block = made
            for name in outer:
                block = block[name]
            block[last] = value
    return made


# -- plain values and digests
# ----------------------------------------------------------------------------------------------------


def test_plain_values_hold_no_configuration_objects_at_any_depth():
    made = settings.plain(ConfigDict({"a": {"b": [1, (2, [3])]}, "c": "text", "d": None}))
    assert made == {"a": {"b": (1, (2, (3,)))}, "c": "text", "d": None}
    assert type(made) is dict
    assert type(made["a"]) is dict
    assert settings.plain([{"x": [1]}]) == ({"x": (1,)},)


def test_without_leaves_the_block_itself_as_it_is():
    block = ConfigDict({"kind": "mse", "width": 4, "train": {"steps": 2}})
    assert settings.without(block, "train", "absent") == {"kind": "mse", "width": 4}
    assert settings.model_choices(ConfigDict({**block, "levels": (8.0,)})) == {
        "kind": "mse",
        "width": 4,
    }
    assert sorted(block) == ["kind", "train", "width"]


def test_a_digest_is_the_start_of_the_sha_256_of_sorted_json():
    text = '[{"a": [1, 2], "b": null}, "x"]'
    assert (
        settings.digest({"b": None, "a": (1, 2)}, "x")
        == hashlib.sha256(text.encode()).hexdigest()[:16]
    )


def test_digests_see_values_and_not_how_they_are_held():
    same = settings.digest(ConfigDict({"b": 1, "a": [1.0, 2.0]}))
    assert settings.digest({"a": (1.0, 2.0), "b": 1}) == same
    others = [
        {"a": (2.0, 1.0), "b": 1},
        {"a": (1.0, 2.0), "b": 2},
        {"a": (1.0, 2.0)},
        {"a": (1.0, 2.0), "c": 1},
    ]
    assert len({same, *map(settings.digest, others)}) == 5
    assert (
        len(
            {
                settings.digest("ab"),
                settings.digest("a", "b"),
                settings.digest(["a", "b"]),
                settings.digest("b", "a"),
            }
        )
        == 4
    )


def changed(change) -> set[str]:
    """Names of the pieces whose digest a change of the tiny study alters, and of pieces that come
    or go.
    """

    def digests(made: ConfigDict) -> set[tuple[str, str]]:
        return {(piece.name, piece.digest) for piece in plan(Workspace(made, "nowhere"))}

    other = config()
    change(other)
    return {name for name, _ in digests(other) ^ digests(config())}


LAST = {"assess", "report"}
PREDICTED = {"predict identity at 8", "predict unet at 8"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c.update(seed=1), PREDICTED | LAST),
        (lambda c: c.tandem.update(batch_size=8), set()),
        (lambda c: c.diagnosers.tumor.train.update(steps=3), {"train tumor", *PREDICTED, *LAST}),
        (
            lambda c: c.reconstructors.unet.train.update(seed=3),
            {"train unet at 8", "predict unet at 8", *LAST},
        ),
        (lambda c: c.assess.update(flips=39), LAST),
        (lambda c: c.report.update(identifiers=True), {"report"}),
        (
            lambda c: c.phantom.update(patients=25),
            {"phantom", "cohort", "train tumor", "train unet at 8", *PREDICTED, *LAST},
        ),
        (
            lambda c: c.cohort.update(image_size=48),
            {"cohort", "train tumor", "train unet at 8", *PREDICTED, *LAST},
        ),
        (
            lambda c: c.degradation.update(levels=(8.0, 16.0)),
            {"predict identity at 16", "train unet at 16", "predict unet at 16", *LAST},
        ),
    ],
)
def test_a_field_changes_the_digests_of_what_depends_on_it_and_no_others(change, expected):
    assert changed(change) == expected


def test_the_written_configuration_comes_back(tmp_path):
    made = config()
    settings.write_config(made, tmp_path / "config.json")
    found = json.loads((tmp_path / "config.json").read_text())
    assert settings.plain(found) == settings.plain(made)
    assert settings.digest(found) == settings.digest(made)


# -- options objects
# -------------------------------------------------------------------------------------------------------------


def test_an_options_object_takes_lists_as_tuples():
    assert settings.build(Toy, "toy", ConfigDict({"size": 2, "shares": [0.5, 1]})) == Toy(
        2, "a", (0.5, 1)
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"size": 2, "sise": 3, "mod": "a"},
            "config.toy has no field mod, sise; it takes mode, shares, size",
        ),
        ({"size": "2"}, "config.toy: size takes int, got '2'"),
        ({"size": True}, "config.toy: size takes int, got True"),
        ({"size": 2, "mode": "c"}, "config.toy: mode takes Literal['a', 'b'], got 'c'"),
        ({"size": 2, "shares": ("x",)}, "config.toy: shares takes tuple[float, ...], got ('x',)"),
        ({"size": 3}, "config.toy: size must be even, got 3"),
    ],
)
def test_what_an_options_object_refuses_is_named_with_its_block(fields, message):
    with pytest.raises(ValueError) as refused:
        settings.build(Toy, "toy", fields)
    assert str(refused.value) == message


def test_a_required_field_that_is_missing_is_named_with_its_block():
    with pytest.raises(
        ValueError, match=r"^config\.toy: .*missing 1 required positional argument: 'size'"
    ):
        settings.build(Toy, "toy", {})


@pytest.mark.parametrize("path", settings.REQUIRED)
def test_every_field_that_all_studies_read_is_asked_for(path):
    made = config()
    settings.check_fields(made)
    *outer, last = path.split(".")
    block = made
    for name in outer:
        block = block[name]
    del block[last]
    with pytest.raises(ValueError) as refused:
        settings.check_fields(made)
    assert (
        str(refused.value)
        == f"the configuration has no {path}: start from fairrecon_jax.defaults.study(), as "
        "configs/ do"
    )


def test_a_number_where_a_block_belongs_is_a_missing_field():
    with pytest.raises(ValueError, match=r"has no splits\.seed"):
        settings.check_fields(loose(splits=3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"report__examples": 1.5},
            "config.report: examples must be a whole number of at least 0, got 1.5",
        ),
        (
            {"report__examples": "two"},
            "config.report: examples must be a whole number of at least 0, got 'two'",
        ),
        ({"report__dpi": 20}, "config.report: ReportOptions.dpi must lie in 50..600, got 20"),
        (
            {"report__max_examples": -1},
            "config.report: ReportOptions.max_examples must not be negative, got -1",
        ),
        (
            {"report__colour": "red"},
            "config.report has no field colour; it takes convention, dpi, identifiers, "
            "max_examples, title",
        ),
    ],
)
def test_what_the_report_refuses(fields, message):
    with pytest.raises(ValueError) as refused:
        settings.report_options(loose(**fields))
    assert str(refused.value) == message


def test_blocks_become_options_without_the_fields_that_others_read():
    made = config()
    made.report.title = "Mine"
    assert (settings.report_options(made).title, settings.report_options(made).identifiers) == (
        "Mine",
        False,
    )
    assert (settings.phantom_options(made).patients, settings.phantom_options(made).slices) == (
        24,
        8,
    )
    assert settings.cohort_config(made).image_size == 32
    assert settings.assess_options(made).flips == 19
    assert settings.train_config(made.reconstructors.unet, "reconstructors.unet").steps == 2
    assert settings.splits_fractions(made) == ((0.4, 0.3, 0.3), 0.0)
    assert settings.degradation(made).size == 32


# -- batches
# ---------------------------------------------------------------------------------------------------------------------


def test_batches_must_divide_over_the_devices():
    made = config()
    made.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weight=1.0)
    for devices in (1, 2, 8):
        settings.check_batches(made, devices)
    with pytest.raises(
        ValueError,
        match=r"^config\.tandem\.batch_size is 16: it must be a multiple of the number of devices, 3$",
    ):
        settings.check_batches(made, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tandem__batch_size": 0}, "config.tandem.batch_size is 0"),
        ({"tandem__batch_size": 16.0}, "config.tandem.batch_size is 16.0"),
        (
            {"diagnosers__tumor__train__batch_size": 6},
            "config.diagnosers.tumor.train.batch_size is 6",
        ),
        (
            {"reconstructors__unet__train__eval_batch_size": 10},
            "config.reconstructors.unet.train.eval_batch_size is 10",
        ),
        (
            {"mitigations__eodd__train__batch_size": 7},
            "config.mitigations.eodd.train.batch_size is 7",
        ),
    ],
)
def test_the_batch_that_does_not_divide_is_named(fields, message):
    made = config()
    made.mitigations.eodd = mitigation("equalised_odds", 2, 8, 1e-3, weight=1.0)
    with made.ignore_type():
        made.update_from_flattened_dict(
            {path.replace("__", "."): value for path, value in fields.items()}
        )
    with pytest.raises(ValueError) as refused:
        settings.check_batches(made, 4)
    assert str(refused.value) == f"{message}: it must be a multiple of the number of devices, 4"


# -- levels
# ----------------------------------------------------------------------------------------------------------------------


def test_one_number_is_a_list_of_one():
    assert settings.numbers(8, "x") == settings.numbers([8.0], "x") == (8.0,)
    assert settings.numbers((), "x") == ()


@pytest.mark.parametrize("value", ["high", None, ((1.0, 2.0),), ("a",), {"a": 1}])
def test_what_is_no_list_of_numbers_is_shown(value):
    with pytest.raises(ValueError) as refused:
        settings.numbers(value, "degradation.levels")
    assert str(refused.value) == f"config.degradation.levels takes a list of numbers, got {value!r}"


@pytest.mark.parametrize(
    ("levels", "fairness"), [((), 8.0), ((4.0, 16.0), 8.0), ((4.0, 8.0), (4.0, 8.0))]
)
def test_the_fairness_level_is_one_of_the_levels(levels, fairness):
    made = loose(degradation__levels=levels, degradation__fairness_level=fairness)
    with pytest.raises(ValueError) as refused:
        settings.studied_levels(made)
    assert (
        str(refused.value)
        == f"config.degradation.headline_level {fairness} is not one of the levels {levels}"
    )


def test_the_specification_gets_the_studys_levels_and_says_where_the_images_are_from():
    made = config()
    made.degradation.levels = (8, 16)
    phantom = settings.studied_spec(SPEC, made)
    assert phantom.degradation == describe("mri_radial", (8.0, 16.0), 8.0)
    assert (phantom.title, phantom.citation) == (
        "Phantom brains in the layout of Brains",
        "Drawn by fairrecon_jax; no patient data.",
    )
    made.cohort.root = "somewhere"
    real = settings.studied_spec(SPEC, made)
    assert (real.title, real.citation, real.degradation) == (
        "Brains",
        "Someone.",
        phantom.degradation,
    )
    assert real.tasks == SPEC.tasks


# -- models
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda c: settings.reconstructor(c, "gan"),
            "config.reconstructors has no 'gan'; it has identity, unet",
        ),
        (
            lambda c: settings.augmentation(c, "gan"),
            "config.reconstructors has no 'gan'; it has identity, unet",
        ),
        (
            lambda c: settings.diagnoser(c, "lungs", SPEC),
            "config.diagnosers has no 'lungs'; it has tumor",
        ),
        (lambda c: settings.mitigation(c, "eodd"), "config.mitigations has no 'eodd'; it has none"),
        (
            lambda c: settings.mitigation_plan(c, "eodd"),
            "config.mitigations has no 'eodd'; it has none",
        ),
    ],
)
def test_a_block_that_is_not_there_is_answered_with_those_that_are(make, message):
    with pytest.raises(ValueError) as refused:
        make(config())
    assert str(refused.value) == message


def test_a_diagnoser_without_a_kind_is_named():
    made = config()
    del made.diagnosers.tumor["kind"]
    with pytest.raises(ValueError, match=r"^config\.diagnosers\.tumor has no field kind$"):
        settings.diagnoser(made, "tumor", SPEC)


def test_a_diagnoser_reads_all_tasks_of_its_kind_or_those_it_names():
    made = config()
    assert settings.diagnoser(made, "tumor", SPEC).tasks == ("tumor",)
    made.diagnosers.findings = ConfigDict(
        {"kind": "classifier", "backbone": "resnet18", "width": 4}
    )
    assert settings.diagnoser(made, "findings", SPEC).tasks == ("grade", "type")
    made.diagnosers.findings.tasks = ("type",)
    found = settings.diagnoser(made, "findings", SPEC)
    assert (found.tasks, found.columns) == (("type",), (1,))


def test_files_of_weights_may_carry_the_level_in_their_name():
    made = config()
    assert settings.weight_files(made, "unet", "8") == ()
    made.reconstructors.unet.weights = "runs/{level}/net_{level}.pth"
    assert settings.weight_files(made, "unet", "8") == ("runs/8/net_8.pth",)
    made.reconstructors.irsde = ConfigDict({"kind": "irsde", "weights": ("a.pth", "", "b.pth")})
    assert settings.weight_files(made, "irsde", "8") == ("a.pth", "b.pth")


# -- mitigations
# -----------------------------------------------------------------------------------------------------------------


def mitigated(name: str = "eodd", **fields) -> ConfigDict:
    made = config()
    made.degradation.levels = (4.0, 8.0)
    made.mitigations[name] = mitigation("equalised_odds", 2, 8, 1e-3, **fields)
    return made


def test_a_plan_is_filled_in_with_what_is_trained_and_the_fairness_level():
    found = settings.mitigation_plan(mitigated(weight=1.0), "eodd")
    assert (found.reconstructors, found.levels, found.weights, found.fraction) == (
        ("unet",),
        (8.0,),
        (),
        1.0,
    )
    assert settings.mitigation_plan(mitigated(levels=(4, 8)), "eodd").levels == (4.0, 8.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fraction": 1.5}, "config.mitigations.eodd: fraction must lie in (0, 1], got 1.5"),
        (
            {"task_tolerance": -0.1},
            "config.mitigations.eodd: psnr_tolerance and task_tolerance must not be negative",
        ),
        (
            {"weights": (0.1, 1.0, 0.1)},
            "config.mitigations.eodd: weights must differ, got (0.1, 1.0, 0.1)",
        ),
        ({"weights": 0.1}, "config.mitigations.eodd: weights takes tuple[float, ...], got 0.1"),
        (
            {"levels": (5.0,)},
            "config.mitigations.eodd: [5.0] is not among the trained reconstructors "
            "('unet',) or the levels (4.0, 8.0)",
        ),
    ],
)
def test_what_a_plan_refuses(fields, message):
    with pytest.raises(ValueError) as refused:
        settings.mitigation_plan(mitigated(**fields), "eodd")
    assert str(refused.value) == message


@pytest.mark.parametrize("name", ["none", "two words", "a__b", "a/b"])
def test_a_mitigations_name_must_serve_as_a_file_name(name):
    message = (
        f"config.mitigations: {name!r} must be a word of letters, digits, '-' and single '_', "
        "and not 'none'"
    )
    with pytest.raises(ValueError) as refused:
        settings.mitigation_plan(mitigated(name), name)
    assert str(refused.value) == message


def test_a_mitigation_needs_a_reconstructor_that_is_trained_where_it_is_tried():
    made = mitigated(levels=(4.0, 8.0), reconstructors=("unet",))
    made.reconstructors.unet.levels = (8.0,)
    with pytest.raises(
        ValueError,
        match=r"^config\.mitigations\.eodd: unet is not trained at all of the levels \(4\.0, 8\.0\)$",
    ):
        settings.mitigation_plan(made, "eodd")
    del made.mitigations.eodd["reconstructors"]
    with pytest.raises(
        ValueError,
        match=r"^config\.mitigations\.eodd: no reconstructor is trained at all of the levels \(4\.0, 8\.0\)$",
    ):
        settings.mitigation_plan(made, "eodd")
    del made.reconstructors["unet"]
    with pytest.raises(ValueError, match=r"is not among the trained reconstructors \(\)"):
        settings.mitigation_plan(made, "eodd")


def test_a_weight_to_try_stands_in_for_the_blocks_own():
    made = mitigated(weight=0.5, weights=(1.0, 2.0))
    assert settings.mitigation(made, "eodd").weight == 0.5
    assert settings.mitigation(made, "eodd", 2).weight == 2.0
    made.mitigations.eodd.strength = 3
    with pytest.raises(
        ValueError,
        match=r"^config\.mitigations\.eodd: mitigation 'equalised_odds' has no field 'strength'",
    ):
        settings.mitigation(made, "eodd")
