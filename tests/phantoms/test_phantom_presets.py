from __future__ import annotations

import pytest

from fairrecon_jax.phantoms import planted_gap
from fairrecon_jax.phantoms.population import draw_person


@pytest.mark.parametrize("kind", ["xray", "brain"])
def test_the_preset_halves_one_groups_contrast(kind):
    options = planted_gap(kind, patients=5)
    people = [draw_person(options, n) for n in range(1, 60)]
    assert {p.planted for p in people if p.sex == "Female"} == {0.5}
    assert {p.planted for p in people if p.sex == "Male"} == {1.0}


def test_another_group_and_other_options():
    options = planted_gap("xray", 0.4, "race", "Black", patients=7, size=64, seed=3)
    assert options.lesion_contrast == {"race": {"Black": 0.4}}
    assert (options.patients, options.size, options.seed) == (7, 64, 3)


def test_changes_replace_what_the_preset_chose():
    assert planted_gap("xray", contrast_mean=1.5).contrast_mean == 1.5
    assert planted_gap("brain", grade_shares={4: 1.0}).grade_shares == {4: 1.0}


def test_the_sexes_are_even_and_only_three_findings_occur():
    options = planted_gap("xray")
    assert options.sex_shares == {"Female": 0.5, "Male": 0.5}
    assert set(options.prevalence) == {"Pleural Effusion", "Pneumothorax", "Consolidation"}
    assert not options.hierarchy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("brain", 0.5, "race", "Black"), "lesion_contrast has 'race'"),
        (("xray", 0.5, "sex", "Woman"), "has 'Woman'"),
        (("xray", -1.0), "is -1.0; it must be a finite number above 0"),
    ],
)
def test_a_wrong_group_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        planted_gap(*arguments)


def test_an_option_of_the_other_kind_is_refused():
    with pytest.raises(ValueError, match="slices is an option of brain phantoms"):
        planted_gap("xray", slices=24)


def test_an_unknown_option_is_refused():
    with pytest.raises(ValueError, match="xray phantoms have no option 'patient_count'"):
        planted_gap("xray", patient_count=3)
