from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from fairrecon_jax.phantoms import (
    FINDINGS,
    BrainPhantomOptions,
    PhantomOptions,
    XrayPhantomOptions,
    phantom_options,
)
from fairrecon_jax.phantoms.checks import MOST
from fairrecon_jax.phantoms.options import DEFAULT_PREVALENCE, OPTIONS, RACES
from fairrecon_jax.types import MOST_VALUES


def class_of(field: str) -> type[PhantomOptions]:
    """The first class of options that has a field."""
    return next(c for c in OPTIONS.values() if field in {f.name for f in dataclasses.fields(c)})


def test_each_kind_has_its_own_defaults():
    xray, brain = XrayPhantomOptions(), BrainPhantomOptions()
    assert (xray.size, xray.age_cut, xray.first_id) == (320, 62.0, 1)
    assert (brain.size, brain.age_cut, brain.first_id) == (240, 58.0, 4)
    assert brain.slices == 155
    assert not hasattr(xray, "slices")
    assert not hasattr(brain, "race_shares")


def test_plain_fields_make_the_options_of_their_kind():
    assert phantom_options("xray", patients=3) == XrayPhantomOptions(patients=3)
    assert phantom_options("brain", slices=24) == BrainPhantomOptions(slices=24)


def test_a_value_of_the_wrong_type_is_named():
    with pytest.raises(TypeError, match="patients takes int, got 'many'"):
        phantom_options("brain", patients="many")
    with pytest.raises(TypeError, match="hierarchy takes bool, got 1"):
        phantom_options("xray", hierarchy=1)


def test_every_default_prevalence_names_a_finding():
    assert set(DEFAULT_PREVALENCE) == set(FINDINGS)
    assert len(FINDINGS) == 12
    assert "No Finding" not in FINDINGS
    assert "Support Devices" not in FINDINGS


def test_default_race_shares_cover_the_six_groups():
    shares = XrayPhantomOptions().race_shares
    assert tuple(shares) == RACES
    assert math.isclose(sum(shares.values()), 1.0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("patients", 0, "patients is 0; it must be a whole number of at least 1"),
        ("patients", 2.5, "patients is 2.5"),
        ("patients", True, "patients is True"),
        ("seed", -1, "seed is -1"),
        ("size", -64, "size is -64; it must be a whole number of at least 32"),
        ("size", 16, "size is 16"),
        ("workers", 0, "workers is 0"),
        ("slices", 4, "slices is 4"),
        ("valid_patients", -1, "valid_patients is -1"),
        ("first_id", 0, "first_id is 0"),
        ("images_per_patient", (0, 2), "images_per_patient"),
        ("images_per_patient", (3, 2), "1 <= smallest <= largest"),
        ("images_per_patient", (1, 2, 3), "images_per_patient"),
        ("contrast_mean", 0.0, "contrast_mean is 0.0; it must be a finite number above 0"),
        ("contrast_mean", math.nan, "contrast_mean is nan"),
        ("contrast_spread", -0.1, "contrast_spread is -0.1"),
        ("age_mean", -3.0, "age_mean"),
        ("age_sd", math.inf, "age_sd is inf"),
        ("age_cut", -1.0, "age_cut is -1.0"),
        ("release", "v4", 'release is \'v4\'; choose "v3" or "v5"'),
        (
            "prevalence",
            {"Cardiomegali": 0.2},
            "prevalence has 'Cardiomegali'; choose from Enlarged Cardiomediastinum",
        ),
        (
            "prevalence",
            {"Edema": 1.2},
            r"prevalence\['Edema'\] is 1.2; a share lies between 0 and 1",
        ),
    ],
)
def test_a_value_out_of_range_is_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        class_of(field)(**{field: value})


@pytest.mark.parametrize("name", [*MOST, "seed"])
def test_no_option_is_beyond_all_sense(name):
    most: Any = {**MOST, "seed": 2**32 - 1}[name]
    whole = isinstance(getattr(class_of(name)(), name), int)
    for value in (most + 1 if whole else most * 1.5, 2**40):
        given: Any = value
        if name == "images_per_patient":
            given = (1, value)
        elif name == "lesion_contrast":
            given = {"sex": {"Female": value}}
        with pytest.raises(ValueError, match=rf"{name}.* is .*; it must be at( |\n)most"):
            class_of(name)(**{name: given})


def test_no_volume_is_drawn_that_is_not_read():
    assert BrainPhantomOptions(size=2048, slices=128).depth == 128
    with pytest.raises(ValueError, match=r"size is 2048 and slices is 129: a volume of 541065216"):
        BrainPhantomOptions(size=2048, slices=129)
    # a film is smaller at any size
    assert XrayPhantomOptions(size=4096).size ** 2 < MOST_VALUES


@pytest.mark.parametrize(
    "field",
    [
        "label_noise",
        "missing_demographics",
        "uncertain_rate",
        "blank_rate",
        "lateral_share",
        "glioblastoma_share",
        "follow_up_share",
    ],
)
@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_rates_lie_between_zero_and_one(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}; a share lies between 0 and 1"):
        class_of(field)(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "sex_shares",
            {"Female": 0.5, "Male": 0.4},
            "sex_shares sums to 0.9; shares must sum to 1",
        ),
        ("sex_shares", {"F": 0.5, "M": 0.5}, "sex_shares has 'F'; choose from Female, Male"),
        ("sex_shares", {"Female": 1.5, "Male": -0.5}, "sex_shares"),
        ("race_shares", {"White": 0.9}, "race_shares sums to 0.9"),
        ("race_shares", {"Martian": 1.0}, "race_shares has 'Martian'"),
        ("grade_shares", {2: 0.5, 3: 0.1}, "grade_shares sums to 0.6"),
        ("grade_shares", {1: 1.0}, "grade_shares has 1; choose from 2, 3, 4"),
        ("grade_shares", {"four": 1.0}, "grade_shares has 'four'"),
    ],
)
def test_shares_must_name_groups_and_sum_to_one(field, value, message):
    with pytest.raises(ValueError, match=message):
        class_of(field)(**{field: value})


def test_a_share_of_one_group_alone_is_allowed():
    assert XrayPhantomOptions(sex_shares={"Female": 1.0}).sex_shares == {"Female": 1.0}


def test_grades_may_come_as_text_from_a_config_file():
    assert BrainPhantomOptions(grade_shares={"2": 0.5, "4": 0.5}).grade_shares == {2: 0.5, 4: 0.5}


def test_unknown_kind():
    with pytest.raises(ValueError, match="phantom kind is 'ct'; choose one of xray, brain"):
        phantom_options("ct")


@pytest.mark.parametrize(
    ("kind", "changes", "name"),
    [
        ("xray", {"slices": 24}, "slices is an option of brain phantoms"),
        ("xray", {"grade_shares": {4: 1.0}}, "grade_shares is an option of brain phantoms"),
        ("xray", {"skull_stripped": True}, "skull_stripped is an option of brain"),
        ("brain", {"prevalence": {"Edema": 0.5}}, "prevalence is an option of xray phantoms"),
        ("brain", {"lateral_share": 0.5}, "lateral_share is an option of xray"),
        ("brain", {"race_shares": {"White": 1.0}}, "race_shares is an option of xray"),
    ],
)
def test_an_option_of_the_other_kind_is_refused(kind, changes, name):
    with pytest.raises(ValueError, match=name):
        phantom_options(kind, **changes)


@pytest.mark.parametrize(
    ("kind", "gap", "message"),
    [
        (
            "xray",
            {"gender": {"Female": 0.5}},
            "lesion_contrast has 'gender'; choose from sex, age, race",
        ),
        ("xray", {"sex": {"F": 0.5}}, r"lesion_contrast\['sex'\] has 'F'"),
        ("xray", {"sex": {"Female": 0.0}}, r"lesion_contrast\['sex'\]\['Female'\] is 0.0"),
        ("brain", {"race": {"White": 0.5}}, "lesion_contrast has 'race'; choose from sex, age"),
    ],
)
def test_the_planted_gap_must_name_groups(kind, gap, message):
    with pytest.raises(ValueError, match=message):
        phantom_options(kind, lesion_contrast=gap)


@pytest.mark.parametrize(
    ("kind", "by_group", "message"),
    [
        ("xray", {"sex": {"Female": {"Grade 4": 0.5}}}, "has 'Grade 4'"),
        (
            "brain",
            {"sex": {"Female": {"Edema": 0.5}}},
            "has 'Edema'; choose from Grade 4, Glioblastoma",
        ),
        ("xray", {"sex": {"Female": {"Edema": 2.0}}}, "'Edema'.* is 2.0"),
        (
            "xray",
            {"sex": {"Female": {"Edema": 0.5}}, "race": {"White": {"Edema": 0.1}}},
            "sets 'Edema' for both 'sex' and 'race'",
        ),
    ],
)
def test_prevalence_by_group_is_checked(kind, by_group, message):
    with pytest.raises(ValueError, match=message):
        phantom_options(kind, prevalence_by_group=by_group)


def test_age_groups_follow_the_cut():
    options = XrayPhantomOptions(age_cut=50.0)
    assert options.age_group(49) == "younger"
    assert options.age_group(50) == "older"


def test_an_unknown_option_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="brain phantoms have no option 'colour'; they take size"):
        phantom_options("brain", colour="red")


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        XrayPhantomOptions().patients = 3
