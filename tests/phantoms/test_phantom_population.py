from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fairrecon_jax.phantoms import (
    FINDINGS,
    BrainPhantomOptions,
    XrayPhantomOptions,
    phantom_options,
)
from fairrecon_jax.phantoms.population import (
    draw_glioma,
    draw_person,
    draw_studies,
    stream,
    true_labels,
)

N = 1500


def within(count: float, total: int, share: float) -> bool:
    """Whether a count is within four binomial standard deviations of its expectation."""
    return abs(count - total * share) <= 4 * np.sqrt(total * share * (1 - share)) + 1e-9


def people(kind="xray", n=N, **fields):
    options = phantom_options(kind, **fields)
    return options, [draw_person(options, i) for i in range(1, n + 1)]


def test_sex_and_race_shares_hold():
    races = {
        "White": 0.3,
        "Black": 0.3,
        "Asian": 0.2,
        "Native Hawaiian or Pacific Islander": 0.1,
        "American Indian or Alaska Native": 0.05,
        "Other": 0.05,
    }
    _, everyone = people(sex_shares={"Female": 0.3, "Male": 0.7}, race_shares=races)
    assert within(sum(p.sex == "Female" for p in everyone), N, 0.3)
    for race, share in races.items():
        assert within(sum(p.race == race for p in everyone), N, share), race


def test_sex_and_race_are_independent():
    _, everyone = people()
    women = [p for p in everyone if p.sex == "Female"]
    assert within(sum(p.race == "White" for p in women), len(women), 0.56)


def test_ages_follow_mean_and_spread_and_stay_adult():
    _, everyone = people(age_mean=55.0, age_sd=8.0)
    ages = np.array([p.age for p in everyone])
    assert abs(ages.mean() - 55.0) < 1.0
    assert abs(ages.std() - 8.0) < 0.8
    _, extreme = people(age_sd=60.0, n=300)
    assert min(p.age for p in extreme) == 18
    assert max(p.age for p in extreme) == 90


def test_brains_have_no_race():
    _, everyone = people("brain", n=20)
    assert {p.race for p in everyone} == {""}
    assert set(everyone[0].groups()) == {"sex", "age"}


def test_missing_demographics_are_recorded_per_attribute():
    _, everyone = people(missing_demographics=0.25)
    for attribute in ("sex", "age", "race"):
        assert within(sum(attribute in p.missing for p in everyone), N, 0.25), attribute
    assert all(p.sex in ("Female", "Male") for p in everyone), (
        "the truth is known even where the table will not say it"
    )


def test_nothing_is_missing_by_default():
    _, everyone = people(n=200)
    assert all(p.missing == () for p in everyone)


def test_the_planted_gap_multiplies_over_attributes():
    gap = {"sex": {"Female": 0.5}, "race": {"Black": 0.8}, "age": {"older": 0.9}}
    _, everyone = people(lesion_contrast=gap, contrast_mean=2.0, contrast_spread=0.0, n=400)
    for p in everyone:
        planted = (
            (0.5 if p.sex == "Female" else 1.0)
            * (0.8 if p.race == "Black" else 1.0)
            * (0.9 if p.age_group == "older" else 1.0)
        )
        assert np.isclose(p.planted, planted)
        assert np.isclose(p.contrast, 2.0 * planted)


def test_contrast_spreads_evenly_in_both_groups():
    _, everyone = people(lesion_contrast={"sex": {"Female": 0.5}}, contrast_spread=0.2)
    logs = {
        sex: np.log([p.contrast for p in everyone if p.sex == sex]) for sex in ("Female", "Male")
    }
    assert abs(logs["Male"].mean()) < 0.03
    assert abs(logs["Female"].mean() - np.log(0.5)) < 0.03
    assert abs(logs["Male"].std() - 0.19) < 0.02


def test_a_gap_does_not_change_who_the_patients_are():
    _, plain = people(n=50)
    _, gapped = people(n=50, lesion_contrast={"sex": {"Female": 0.5}})
    strip = lambda p: dataclasses.replace(p, contrast=1.0, planted=1.0)  # noqa: E731
    assert [strip(p) for p in plain] == [strip(p) for p in gapped]


def test_a_patient_depends_on_seed_and_number_alone():
    few, many = (
        XrayPhantomOptions(patients=3),
        XrayPhantomOptions(patients=999, workers=4),
    )
    other = XrayPhantomOptions(patients=3, seed=1)
    assert draw_person(few, 2) == draw_person(many, 2)
    assert draw_studies(few, draw_person(few, 2)) == draw_studies(many, draw_person(many, 2))
    assert [draw_person(few, n) for n in range(9)] != [draw_person(other, n) for n in range(9)]


def test_streams_differ_by_kind_patient_purpose_and_item():
    options = XrayPhantomOptions()
    first = [
        stream(options, 1, "film").random(),
        stream(BrainPhantomOptions(), 1, "film").random(),
        stream(options, 2, "film").random(),
        stream(options, 1, "lesion").random(),
        stream(options, 1, "film", 1).random(),
    ]
    assert len(set(first)) == 5
    assert stream(options, 1, "film").random() == first[0]


def studies_of(n=N, **fields):
    options, everyone = people(n=n, **fields)
    return everyone, [draw_studies(options, p) for p in everyone]


def test_prevalence_holds_for_every_finding():
    shares = {f: 0.05 + 0.05 * i for i, f in enumerate(FINDINGS)}
    _, studies = studies_of(prevalence=shares)
    for finding, share in shares.items():
        assert within(sum(finding in s[0].drawn for s in studies), N, share), finding


def test_later_studies_keep_the_prevalence_and_remember_the_findings():
    _, studies = studies_of(prevalence={"Edema": 0.3}, images_per_patient=(2, 2))
    first, second = (np.array(["Edema" in s[i].drawn for s in studies]) for i in (0, 1))
    assert within(second.sum(), N, 0.3)
    assert np.corrcoef(first, second)[0, 1] > 0.55


def test_findings_left_out_are_never_drawn():
    _, studies = studies_of(prevalence={"Edema": 1.0}, n=50)
    assert {s[0].drawn for s in studies} == {("Edema",)}


def test_prevalence_by_group_replaces_the_overall_share():
    everyone, studies = studies_of(
        prevalence={"Edema": 0.1}, prevalence_by_group={"sex": {"Female": {"Edema": 0.6}}}
    )
    for sex, share in (("Female", 0.6), ("Male", 0.1)):
        drawn = [("Edema" in s[0].drawn) for p, s in zip(everyone, studies) if p.sex == sex]
        assert within(sum(drawn), len(drawn), share), sex


def test_number_of_studies_covers_the_range_evenly():
    _, studies = studies_of(images_per_patient=(2, 4))
    counts = np.bincount([len(s) for s in studies], minlength=5)
    assert counts[:2].sum() == 0
    for k in (2, 3, 4):
        assert within(counts[k], N, 1 / 3)
    assert [s.number for s in studies[0]] == list(range(1, len(studies[0]) + 1))


def test_ages_never_fall_from_study_to_study():
    everyone, studies = studies_of(images_per_patient=(3, 3), n=100)
    assert all(p.age == s[0].age and s[0].age <= 90 for p, s in zip(everyone, studies))


def test_old_patients_are_more_often_filmed_lying():
    everyone, studies = studies_of()
    share = {
        old: np.mean(
            [s[0].projection == "AP" for p, s in zip(everyone, studies) if (p.age >= 60) == old]
        )
        for old in (False, True)
    }
    assert abs(share[False] - 0.2) < 0.06
    assert abs(share[True] - 0.6) < 0.06


def test_lateral_share_holds():
    _, studies = studies_of(lateral_share=0.3)
    assert within(sum(s[0].lateral for s in studies), N, 0.3)


@pytest.mark.parametrize(
    "child", ["Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis"]
)
def test_a_kind_of_opacity_implies_lung_opacity(child):
    assert true_labels((child,), hierarchy=True)["Lung Opacity"]
    assert not true_labels((child,), hierarchy=False)["Lung Opacity"]


def test_cardiomegaly_implies_a_large_cardiomediastinum_and_not_the_reverse():
    assert true_labels(("Cardiomegaly",), True)["Enlarged Cardiomediastinum"]
    assert not true_labels(("Enlarged Cardiomediastinum",), True)["Cardiomegaly"]
    assert not any(true_labels((), True).values())


def test_written_labels_are_the_truth_without_noise():
    _, studies = studies_of(n=100)
    for s in studies:
        assert {f: bool(v) for f, v in s[0].written.items()} == s[0].labels


def test_label_noise_flips_its_share_and_leaves_the_truth():
    _, clean = studies_of(n=400)
    _, noisy = studies_of(n=400, label_noise=0.1)
    assert [s[0].labels for s in clean] == [s[0].labels for s in noisy]
    flipped = sum(bool(s[0].written[f]) != s[0].labels[f] for s in noisy for f in FINDINGS)
    assert within(flipped, 400 * len(FINDINGS), 0.1)


def test_uncertain_and_blank_labels_have_their_rates():
    _, studies = studies_of(n=400, uncertain_rate=0.1, blank_rate=0.4)
    cells = [(s[0].written[f], s[0].labels[f]) for s in studies for f in FINDINGS]
    assert within(sum(w == -1.0 for w, _ in cells), len(cells), 0.1)
    negatives = [w for w, truth in cells if not truth and w != -1.0]
    assert within(sum(w is None for w in negatives), len(negatives), 0.4)
    assert all(w is not None for w, truth in cells if truth), "a positive label is never blank"


def gliomas(n=N, **fields):
    options, everyone = people("brain", n=n, **fields)
    return everyone, [draw_glioma(options, p) for p in everyone]


def test_grades_and_types_have_their_shares():
    _, tumours = gliomas(grade_shares={2: 0.3, 3: 0.2, 4: 0.5}, glioblastoma_share=0.8)
    for grade, share in ((2, 0.3), (3, 0.2), (4, 0.5)):
        assert within(sum(t.grade == grade for t in tumours), N, share), grade
    four = [t for t in tumours if t.grade == 4]
    assert within(sum(t.glioblastoma for t in four), len(four), 0.8)
    assert not any(t.glioblastoma for t in tumours if t.grade < 4)


def test_grade_share_by_group():
    everyone, tumours = gliomas(
        prevalence_by_group={"sex": {"Male": {"Grade 4": 0.9, "Glioblastoma": 1.0}}},
        grade_shares={2: 0.5, 4: 0.5},
    )
    men = [t for p, t in zip(everyone, tumours) if p.sex == "Male"]
    women = [t for p, t in zip(everyone, tumours) if p.sex == "Female"]
    assert within(sum(t.grade == 4 for t in men), len(men), 0.9)
    assert within(sum(t.grade == 4 for t in women), len(women), 0.5)
    assert all(t.glioblastoma for t in men if t.grade == 4)
    assert {t.grade for t in tumours} == {2, 4}


def test_all_of_one_grade():
    _, tumours = gliomas(n=100, grade_shares={4: 1.0})
    assert {t.grade for t in tumours} == {4}


def test_label_noise_moves_the_written_grade_across_the_task_border():
    _, tumours = gliomas(label_noise=0.2)
    wrong = [t for t in tumours if t.written_grade != t.grade]
    assert within(len(wrong), N, 0.2)
    assert all((t.grade == 4) != (t.written_grade == 4) for t in wrong)
    assert all(t.written_grade == 4 for t in tumours if t.written_glioblastoma)


def test_follow_up_share():
    _, tumours = gliomas(follow_up_share=0.4)
    assert within(sum(t.follow_up for t in tumours), N, 0.4)
