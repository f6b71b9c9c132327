import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.data import policies
from fairrecon_jax.data.cohort import CohortConfig

SPELLINGS = {
    "White": "White",
    "White, non-Hispanic": "White",
    "White, Hispanic": "White",
    "White or Caucasian": "White",
    "Black or African American": "Black",
    "Black, Hispanic": "Black",
    "Black, non-Hispanic": "Black",
    "Asian": "Asian",
    "Asian, non-Hispanic": "Asian",
    "Asian, Hispanic": "Asian",
    "Asian - Historical Conv": "Asian",
    "Native Hawaiian or Other Pacific Islander": "Native Hawaiian or Pacific Islander",
    "Pacific Islander, Hispanic": "Native Hawaiian or Pacific Islander",
    "Pacific Islander, non-Hispanic": "Native Hawaiian or Pacific Islander",
    "American Indian or Alaska Native": "American Indian or Alaska Native",
    "Native American, Hispanic": "American Indian or Alaska Native",
    "Native American, non-Hispanic": "American Indian or Alaska Native",
    "Other": "Other",
    "Other, Hispanic": "Other",
    "Other, non-Hispanic": "Other",
    "Unknown": None,
    "Race and Ethnicity Unknown": None,
    "Patient Refused": None,
    "": None,
    "nan": None,
    "Martian": None,
}


@pytest.mark.parametrize("recorded", SPELLINGS)
def test_every_known_spelling_of_race_has_its_group(recorded):
    assert policies.race_group(recorded) == SPELLINGS[recorded]
    assert policies.race_group(f"  {recorded.upper()} ") == SPELLINGS[recorded]


def test_a_refusal_is_told_from_a_spelling_that_is_not_understood():
    assert policies.race_is_refusal("Patient Refused")
    assert policies.race_is_refusal("")
    assert not policies.race_is_refusal("Martian")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("six", ["White", "Native Hawaiian or Pacific Islander", "Asian", "Other", None]),
        ("pooled", ["White", "Other", "Asian", "Other", None]),
        ("white_vs_rest", ["White", "not White", "not White", "not White", None]),
    ],
)
def test_race_policies_never_make_a_group_of_the_unknown(policy, expected):
    groups = ["White", "Native Hawaiian or Pacific Islander", "Asian", "Other", None]
    assert [policies.race_policy(group, policy) for group in groups] == expected


@pytest.mark.parametrize(
    ("recorded", "group"),
    [
        ("F", "female"),
        ("Female", "female"),
        ("m", "male"),
        ("MALE", "male"),
        ("Unknown", None),
        ("", None),
    ],
)
def test_sex_words(recorded, group):
    assert policies.sex_group(recorded) == group


@pytest.mark.parametrize(("policy", "filled"), [("ignore", np.nan), ("zeros", 0.0), ("ones", 1.0)])
def test_uncertain_policy_touches_minus_one_only(policy, filled):
    values = np.array([[1.0, 0.0], [-1.0, np.nan]], np.float32)
    result = policies.uncertain(values, policy)
    np.testing.assert_array_equal(result, np.array([[1.0, 0.0], [filled, np.nan]], np.float32))
    assert result.dtype == np.float32


def test_one_per_patient_makes_conflicts_unknown():
    patients = pd.Series(["a", "a", "b", "b", "c", "d", "d"])
    groups = pd.Series(["male", "male", "male", "female", None, None, "female"], dtype=object)
    result = policies.one_per_patient(patients, groups)
    assert result.tolist() == ["male", "male", None, None, None, "female", "female"]


def raw_table(**columns):
    base = {
        "patient_id": ["a", "a", "b", "c"],
        "sex_recorded": ["F", "F", "M", ""],
        "age_years": [40.0, 50.0, 62.0, np.nan],
    }
    return pd.DataFrame({**base, **columns})


def test_age_column_cuts_at_or_above():
    column, attribute = policies.age_column(raw_table(), (62.0,), "given")
    assert attribute.groups == ("under 62", "62 and over")
    assert attribute.per == "image"
    assert column.tolist() == ["under 62", "under 62", "62 and over", None]


def test_an_age_that_equals_a_cut_is_on_the_chosen_side():
    raw = pd.DataFrame({"age_years": [61.0, 62.0, 63.0, 70.0, 70.5, np.nan]})
    column, attribute = policies.age_column(raw, (62.0, 70.0), "given", "under")
    assert attribute.groups == ("62 and under", "over 62 to 70", "over 70")
    young, middle, old = attribute.groups
    assert column.tolist() == [young, young, middle, middle, old, None]


def test_several_cuts_make_one_group_more():
    raw = pd.DataFrame({"age_years": [39.0, 40.0, 59.9, 60.0, 85.0, np.nan]})
    column, attribute = policies.age_column(raw, (40.0, 60.0), "given")
    assert attribute.groups == ("under 40", "40 to under 60", "60 and over")
    middle, old = attribute.groups[1:]
    assert column.tolist() == ["under 40", middle, middle, old, old, None]
    assert "cut at 40 and 60 years (given)" in attribute.derivation


def test_age_cuts_are_quantiles_over_patients_not_images():
    assert policies.quantile_cuts(raw_table(), None, "train median") == ((45 + 62) / 2,)
    assert policies.quantile_cuts(raw_table(), np.array([0, 1]), "train median") == (45,)
    ages = pd.DataFrame({"patient_id": range(9), "age_years": np.arange(10.0, 100.0, 10)})
    assert policies.quantile_cuts(ages, None, "train quartiles") == (30, 50, 70)
    same = ages.assign(age_years=50.0)
    assert policies.quantile_cuts(same, None, "train tertiles") == (50,), "equal cuts are one"
    with pytest.raises(ValueError, match="no patient of the training part has age"):
        policies.quantile_cuts(raw_table(), np.array([3]), "train median")


def test_race_column_leaves_out_groups_that_nobody_is_in():
    raw = raw_table(race_recorded=["Black, Hispanic", "Black, Hispanic", "White", "Unknown"])
    column, attribute = policies.race_column(raw, "six")
    assert attribute.groups == ("White", "Black")
    assert attribute.reference_group == "White"
    assert column.tolist() == ["Black", "Black", "White", None]
    column, attribute = policies.race_column(raw, "white_vs_rest")
    assert attribute.groups == ("White", "not White")


def test_race_column_without_white_has_the_first_group_as_reference():
    _, attribute = policies.race_column(
        raw_table(race_recorded=["Asian", "Asian", "Other", ""]), "six"
    )
    assert attribute.reference_group == "Asian"


def test_evaluated_slices_by_number_fraction_and_default():
    raw = pd.DataFrame({"slice": np.arange(155), "slices": 155})
    default = (60 / 154, 130 / 154)
    for limits in ("default", (60, 130), default):
        rows = np.flatnonzero(
            policies.evaluated(raw, CohortConfig("x", evaluate_slices=limits), default)
        )
        assert (rows[0], rows[-1], len(rows)) == (60, 130, 71), limits
    assert policies.evaluated(raw, CohortConfig("x", evaluate_slices="all"), default).all()
    few = pd.DataFrame({"slice": np.arange(16), "slices": 16})
    assert np.flatnonzero(policies.evaluated(few, CohortConfig("x"), default)).tolist() == list(
        range(6, 13)
    )


def test_x_rays_are_all_evaluated():
    assert policies.evaluated(raw_table(), CohortConfig("x"), (0.4, 0.8)).all()
