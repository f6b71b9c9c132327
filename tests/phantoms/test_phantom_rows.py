"""What the tables say about a patient."""

from __future__ import annotations

import dataclasses

import pytest

from fairrecon_jax.phantoms import FINDINGS, BrainPhantomOptions, XrayPhantomOptions
from fairrecon_jax.phantoms.brain_tree import COLUMNS as BRAIN_COLUMNS
from fairrecon_jax.phantoms.brain_tree import GLIOBLASTOMA, _exam_ids
from fairrecon_jax.phantoms.brain_tree import _row as brain_row
from fairrecon_jax.phantoms.population import Glioma
from fairrecon_jax.phantoms.radiograph import describe
from fairrecon_jax.phantoms.xray_tree import COLUMNS, _demo_row, person_truth
from fairrecon_jax.phantoms.xray_tree import _row as xray_row
from tests.support.phantom_fakes import person_of, study_of, thorax_of

XRAY = XrayPhantomOptions()
BRAIN = BrainPhantomOptions()


def xray_cells(person, study, view="Frontal"):
    return dict(zip(COLUMNS, xray_row("some/path.jpg", person, study, view)))


def brain_cells(person, glioma, options=BRAIN):
    return dict(zip(BRAIN_COLUMNS, brain_row(options, "UCSF-PDGM-004", person, glioma)))


def glioma_of(grade, glioblastoma=False, follow_up=False):
    return Glioma(grade, glioblastoma, grade, glioblastoma, follow_up)


def test_a_healthy_film_is_no_finding():
    person = person_of(1)
    cells = xray_cells(person, study_of(person))
    assert cells["No Finding"] == 1.0
    assert all(cells[f] == 0.0 for f in FINDINGS)
    assert cells["Support Devices"] is None


@pytest.mark.parametrize("finding", FINDINGS)
def test_any_finding_rules_out_no_finding(finding):
    person = person_of(1)
    cells = xray_cells(person, study_of(person, (finding,)))
    assert cells["No Finding"] is None
    assert cells[finding] == 1.0


@pytest.mark.parametrize(("value", "nothing"), [(-1.0, None), (None, 1.0), (0.0, 1.0)])
def test_uncertain_findings_rule_out_no_finding_and_blank_ones_do_not(value, nothing):
    person = person_of(1)
    study = study_of(person)
    study = dataclasses.replace(study, written={**study.written, "Edema": value})
    assert xray_cells(person, study)["No Finding"] == nothing


def test_the_projection_is_that_of_frontal_films_alone():
    person = person_of(1)
    study = study_of(person, projection="AP")
    assert xray_cells(person, study)["AP/PA"] == "AP"
    assert xray_cells(person, study, "Lateral")["AP/PA"] is None
    assert xray_cells(person, study, "Lateral")["Frontal/Lateral"] == "Lateral"


def test_missing_demographics_are_written_as_chexpert_does():
    person = person_of(1, missing=("sex", "age", "race"))
    cells = xray_cells(person, study_of(person))
    assert cells["Sex"] == "Unknown"
    assert cells["Age"] == 0
    _, sex, age, race, ethnicity = _demo_row(XRAY, person)
    assert (sex, age, ethnicity) == ("Unknown", None, "Unknown")
    assert race in ("Unknown", "Race and Ethnicity Unknown", "Patient Refused", None)


@pytest.mark.parametrize(
    "race",
    [
        "White",
        "Black",
        "Asian",
        "Native Hawaiian or Pacific Islander",
        "American Indian or Alaska Native",
        "Other",
    ],
)
def test_ethnicity_agrees_with_the_spelling_of_race(race):
    for number in range(1, 25):
        _, _, _, spelling, ethnicity = _demo_row(XRAY, person_of(number, race=race))
        assert (ethnicity == "Hispanic/Latino") == spelling.endswith(", Hispanic")


def test_each_race_has_several_spellings():
    for race in (
        "White",
        "Black",
        "Asian",
        "Native Hawaiian or Pacific Islander",
        "American Indian or Alaska Native",
        "Other",
    ):
        assert len({_demo_row(XRAY, person_of(n, race=race))[3] for n in range(1, 40)}) >= 3


def test_a_patients_truth_holds_no_race_of_its_own():
    truth = person_truth(person_of(1, contrast=0.5, planted=0.5, missing=("age",)))
    assert truth["lesion_contrast"] == truth["planted_multiplier"] == 0.5
    assert truth["not_recorded"] == ["age"]


@pytest.mark.parametrize("grade", [2, 3, 4])
def test_diagnoses_belong_to_their_grade(grade):
    names = {
        brain_cells(person_of(n), glioma_of(grade))["Final pathologic diagnosis (WHO 2021)"]
        for n in range(1, 30)
    }
    assert GLIOBLASTOMA not in names
    assert all(("Oligodendroglioma" not in name) or grade < 4 for name in names)
    assert len(names) == {2: 2, 3: 3, 4: 1}[grade]


def test_codeletion_and_mutation_follow_the_diagnosis():
    for number in range(1, 30):
        cells = brain_cells(person_of(number), glioma_of(2))
        name = cells["Final pathologic diagnosis (WHO 2021)"]
        assert (cells["1p/19q"] == "co-deletion") == ("1p/19q-codeleted" in name)
        assert cells["IDH"] == "IDH1 p.R132H"
    assert brain_cells(person_of(1), glioma_of(4, True))["IDH"] == "wildtype"


def test_the_written_grade_is_used_not_the_true_one():
    cells = brain_cells(person_of(1), Glioma(4, True, 2, False, False))
    assert cells["WHO CNS Grade"] == 2
    assert cells["Final pathologic diagnosis (WHO 2021)"] != GLIOBLASTOMA


def test_sex_is_one_letter_or_unknown():
    assert brain_cells(person_of(1, sex="Female"), glioma_of(2))["Sex"] == "F"
    assert brain_cells(person_of(1, sex="Male"), glioma_of(2))["Sex"] == "M"
    cells = brain_cells(person_of(1, missing=("sex", "age")), glioma_of(2))
    assert (cells["Sex"], cells["Age at MRI"]) == ("unknown", None)


@pytest.mark.parametrize(
    ("release", "number", "follow_up", "ids"),
    [
        ("v3", 20, True, [(20, "")]),
        ("v3", 315, True, [(315, ""), (433, "")]),
        ("v3", 315, False, [(315, "")]),
        ("v5", 20, True, [(20, ""), (20, "_FU027d")]),
        ("v5", 20, False, [(20, "")]),
    ],
)
def test_ids_of_exams(release, number, follow_up, ids):
    options = dataclasses.replace(BRAIN, release=release)
    assert _exam_ids(options, number, glioma_of(4, True, follow_up)) == ids


def test_geometry_is_rounded_and_plain():
    text = describe(thorax_of(), (), {})
    assert text["fractures"] == []
    assert all(
        type(text[k]) is float
        for k in (
            "cm_per_pixel",
            "degrees",
            "cardiothoracic_ratio",
            "thoracic_width_cm",
            "mediastinal_width_cm",
        )
    )
