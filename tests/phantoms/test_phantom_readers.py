"""The project's normal readers take the phantom trees as they take the real ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fairrecon_jax.data.api import CohortConfig, open_cohort, prepare
from fairrecon_jax.data.doctor import examine
from fairrecon_jax.phantoms import FINDINGS, phantom_options
from tests.support.phantom_fakes import BRAIN, XRAY


def column(finding: str) -> str:
    return finding.lower().replace(" ", "_")


@pytest.fixture(scope="module")
def xray_cohort(xray_tree, tmp_path_factory):
    config = CohortConfig(name="chexpert", image_size=32)
    data = str(tmp_path_factory.mktemp("prepared_xray"))
    prepare(config, str(xray_tree), data)
    return open_cohort(config, data, None)


@pytest.fixture(scope="module")
def brain_cohort(brain_tree, tmp_path_factory):
    config = CohortConfig(name="ucsf_pdgm", image_size=32)
    data = str(tmp_path_factory.mktemp("prepared_brain"))
    prepare(config, str(brain_tree), data)
    return open_cohort(config, data, None)


@pytest.fixture(scope="module")
def xray_studies(xray_truth):
    train = [p for p in xray_truth["patients"] if p["part"] == "train"]
    return {s["example_id"]: (p, s) for p in train for s in p["studies"]}


def test_every_frontal_film_of_the_training_tree_is_read(xray_cohort, xray_studies):
    assert set(xray_cohort.table["example_id"]) == set(xray_studies)


def test_read_demographics_are_the_truth_or_unknown(xray_cohort, xray_studies):
    for row in xray_cohort.table.itertuples():
        patient, study = xray_studies[row.example_id]
        missing = patient["not_recorded"]
        assert row.sex == (None if "sex" in missing else patient["sex"].lower())
        assert row.race == (None if "race" in missing else patient["race"])
        assert np.isnan(row.age_years) if "age" in missing else row.age_years == study["age"]


def test_read_labels_are_the_truth_or_unknown(xray_cohort, xray_studies):
    known = 0
    for row in xray_cohort.table.to_dict("records"):
        truth = xray_studies[row["example_id"]][1]["labels"]
        for finding in FINDINGS:
            value = row[column(finding)]
            assert np.isnan(value) or value == truth[finding], finding
            known += not np.isnan(value)
    assert known > 0.5 * len(xray_cohort.table) * len(FINDINGS)


def test_films_are_read_as_images_with_contrast(xray_cohort):
    example = xray_cohort.example(0)
    assert example["image"].shape == (32, 32, 1)
    assert 0.0 <= example["image"].min() < 0.3
    assert 0.7 < example["image"].max() <= 1.0


def test_the_doctor_finds_nothing_to_mend(xray_tree, brain_tree):
    for name, tree in (("chexpert", xray_tree), ("ucsf_pdgm", brain_tree)):
        report = examine(name, str(tree), CohortConfig(name=name, image_size=32))
        assert report.ok, report.text()


def test_exams_of_one_patient_are_merged(brain_cohort, brain_truth):
    assert set(brain_cohort.table["patient_id"]) == {
        p["patient_id"] for p in brain_truth["patients"]
    }
    exams = {e["exam_id"] for p in brain_truth["patients"] for e in p["exams"]}
    assert set(brain_cohort.table["exam"]) == exams
    assert len(exams) > len(brain_truth["patients"])


def test_read_grade_and_type_are_the_truth(brain_cohort, brain_truth):
    truth = {p["patient_id"]: p for p in brain_truth["patients"]}
    for row in brain_cohort.table.itertuples():
        assert row.grade == float(truth[row.patient_id]["grade"] == 4)
        assert row.type == float(truth[row.patient_id]["glioblastoma"])


def test_masks_are_read_where_the_tumour_is(brain_cohort):
    pixels = brain_cohort.table["tumor"].to_numpy()
    row = int(np.argmax(pixels))
    example = brain_cohort.source[row]
    assert example["mask"].sum() > 5
    assert (pixels == 0).any(), "some slices hold no tumour"
    inside = example["image"][..., 0][example["mask"][..., 0] > 0].astype(float)
    outside = example["image"][..., 0][example["mask"][..., 0] == 0].astype(float)
    assert inside.mean() > outside.mean()


def test_all_slices_are_read(brain_cohort, brain_truth):
    exams = sum(len(p["exams"]) for p in brain_truth["patients"])
    assert len(brain_cohort.table) == exams * BRAIN.slices


def test_the_truth_file_can_be_read_back_into_options(xray_truth):
    stored = xray_truth["options"]
    own = {f.name: stored[f.name] for f in dataclasses.fields(XRAY) if f.name != "workers"}
    own["images_per_patient"] = tuple(own["images_per_patient"])
    assert phantom_options(xray_truth["kind"], **own) == XRAY
