"""Words and codes for nothing, ages, and words for yes and no."""

import numpy as np
import pytest

from fairrecon_jax.data.vocabulary import label_words, sexes
from fairrecon_jax.runtime.nothing import far_codes, is_age, no_group, no_value, nobody


@pytest.mark.parametrize(
    "word",
    [
        *(
            "nan",
            "NaN",
            "N/A",
            "#N/A",
            "#REF!",
            "#DIV/0!",
            "<NA>",
            "null",
            "\\N",
            "(null)",
            ".",
            "-",
        ),
        *("Unknown", "?", "--", "race and ethnicity unknown", "unbekannt", "keine Angabe"),
    ],
)
def test_words_for_nothing_are_no_group_and_no_value(word):
    assert no_group(word)
    assert no_value(word)


@pytest.mark.parametrize("word", ["NA", "None", "na"])
def test_doubtful_words_are_groups_and_no_values(word):
    assert not no_group(word)
    assert no_value(word)


@pytest.mark.parametrize("word", ["Nancy", "0", "1", "Nil-Care", "A.", "nanometre", "Knowna"])
def test_other_words_are_something(word):
    assert not no_value(word)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *((n, True) for n in ("age", "Age", "ageAtScan", "age_at_exam", "PatientAge", "Alter")),
        *((n, True) for n in ("Patient Age", "patientage", "AgeYears", "ageatscan", "Âge", "ages")),
        *((n, False) for n in ("dosage", "image", "stage", "average", "language", "age_months")),
        *((n, False) for n in ("ageInDays", "Alter in Tagen", "page", "voltage")),
    ],
)
def test_columns_of_ages(name, is_one):
    assert is_age(name) == is_one


def test_patients_who_may_be_nobody():
    assert nobody({"unknown": 3, "7": 2}) == []
    assert nobody({"-9": 1, "7": 2}) == ["-9"]
    assert nobody({"0": 300, "7": 2, "999": 2}) == ["0"]
    assert nobody({"0": 4, "1": 3}) == []
    assert nobody({}) == []


def test_codes_that_stand_far():
    assert far_codes(np.array([20.0, 30.0, -9.0, 999.0, np.nan])) == [-9, 999]
    assert far_codes(np.array([-20.0, -9.0])) == []


def test_labels_in_other_languages_and_with_codes():
    assert label_words(["Ja", "Nein"]) == {"positive": ["Ja"], "negative": ["Nein"]}
    for pair in (("oui", "non"), ("si", "no"), ("sim", "não"), ("+", "-"), ("abnormal", "normal")):
        assert label_words(pair) == {"positive": [pair[0]], "negative": [pair[1]]}
    assert label_words(["0", "1", "-1", "9"]) == {"unknown": ["-1", "9"]}
    assert label_words(["yes", "no"]) == {}
    assert label_words(["1", "2"]) is None
    assert label_words(["yes"]) is None
    assert sexes(["weiblich", "männlich"]) == {"female": ["weiblich"], "male": ["männlich"]}
