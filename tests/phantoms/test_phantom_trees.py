from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from typing import Any

import nibabel as nib
import numpy as np
import openpyxl
import pandas as pd
import pytest
from PIL import Image

from fairrecon_jax.phantoms import (
    FINDINGS,
    BrainPhantomOptions,
    XrayPhantomOptions,
    check_phantom,
    phantom_options,
    write_phantom,
)
from fairrecon_jax.phantoms.brain_tree import COLUMNS as BRAIN_COLUMNS
from fairrecon_jax.phantoms.brain_tree import FOLLOW_UPS_V3
from fairrecon_jax.phantoms.options import OPTIONS
from fairrecon_jax.phantoms.write import RECORDED
from fairrecon_jax.phantoms.xray_tree import FIRST_VALID
from fairrecon_jax.study.check import check
from fairrecon_jax.study.context import Context
from fairrecon_jax.types import ConfigError, InputError
from tests.support.phantom_fakes import BRAIN, XRAY, digests
from tests.support.study_fakes import configured

SMALL = XrayPhantomOptions(patients=3, size=32, seed=5)
SMALL_BRAIN = BrainPhantomOptions(patients=2, size=32, slices=8, seed=5)


def table(root, name="train"):
    return pd.read_csv(root / "CheXpert-v1.0-small" / f"{name}.csv")


def test_the_chexpert_table_has_its_nineteen_columns(xray_tree):
    for name in ("train", "valid"):
        header = (xray_tree / "CheXpert-v1.0-small" / f"{name}.csv").read_text().splitlines()[0]
        assert header == (
            "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged "
            "Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"
            "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural "
            "Other,Fracture,Support Devices"
        )


@pytest.mark.parametrize("name", ["train", "valid"])
def test_every_row_has_its_image_and_every_image_its_row(xray_tree, name):
    paths = table(xray_tree, name)["Path"]
    files = {
        str(p.relative_to(xray_tree))
        for p in (xray_tree / "CheXpert-v1.0-small" / name).rglob("*.jpg")
    }
    assert set(paths) == files
    assert paths.is_unique
    pattern = rf"CheXpert-v1\.0-small/{name}/patient\d{{5}}/study\d+/view(1_frontal|2_lateral)\.jpg"
    assert all(re.fullmatch(pattern, path) for path in paths)


def test_images_are_grey_jpegs_of_the_size_asked_for(xray_tree):
    for path in table(xray_tree)["Path"]:
        with Image.open(xray_tree / path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "L", (48, 48))


def test_the_values_are_those_of_chexpert(xray_tree):
    rows = table(xray_tree)
    assert set(rows["Sex"]) <= {"Male", "Female", "Unknown"}
    assert rows["Age"].between(18, 90).mean() < 1 or (rows["Age"] > 0).all()
    assert set(rows["Age"][rows["Age"] < 18]) <= {0}
    lateral = rows["Frontal/Lateral"] == "Lateral"
    assert lateral.any()
    assert rows["AP/PA"][lateral].isna().all()
    assert set(rows["AP/PA"][~lateral]) <= {"AP", "PA"}
    labels = rows[list(FINDINGS)].to_numpy()
    assert set(np.unique(labels[~np.isnan(labels)])) <= {-1.0, 0.0, 1.0}
    assert np.isnan(labels).any()
    assert (labels == -1.0).any()


def test_no_finding_is_written_where_nothing_is_positive_or_uncertain(xray_tree):
    rows = table(xray_tree)
    labels = rows[list(FINDINGS)].to_numpy()
    nothing = ~np.any((labels == 1) | (labels == -1), axis=1)
    np.testing.assert_array_equal(rows["No Finding"] == 1.0, nothing)


def test_validation_patients_have_numbers_of_their_own(xray_tree):
    valid = table(xray_tree, "valid")["Path"].str.extract(r"patient(\d+)")[0].astype(int)
    assert sorted(set(valid)) == list(range(FIRST_VALID, FIRST_VALID + 4))


def test_demographics_workbook(xray_tree):
    rows = pd.read_excel(xray_tree / "CHEXPERT DEMO.xlsx", keep_default_na=False)
    assert list(rows.columns) == ["PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY"]
    assert len(rows) == 14
    assert rows["PATIENT"].is_unique
    assert rows["PATIENT"].str.fullmatch(r"patient\d{5}").all()


def test_races_are_spelt_in_many_ways_and_the_unknown_ones_say_so(tmp_path):
    root = tmp_path / "many"
    options = XrayPhantomOptions(
        patients=60,
        size=32,
        missing_demographics=0.3,
        race_shares={"White": 0.5, "Black": 0.5},
        valid_patients=0,
    )
    truth = write_phantom("xray", root, options)
    sheet = openpyxl.load_workbook(root / "CHEXPERT DEMO.xlsx").worksheets[0]
    spelt = {row[0]: row[3] for row in list(sheet.values)[1:]}
    for patient in truth["patients"]:
        race = spelt[patient["patient_id"]]
        if "race" in patient["not_recorded"]:
            assert race in ("Unknown", "Race and Ethnicity Unknown", "Patient Refused", None)
        else:
            assert race.split(",")[0].split(" ")[0] == patient["race"]
    assert len(set(spelt.values())) > 6


def test_the_truth_matches_the_table_where_nothing_was_changed(tmp_path):
    root = tmp_path / "clean"
    truth = write_phantom(
        "xray", root, XrayPhantomOptions(patients=6, size=32, prevalence={f: 0.4 for f in FINDINGS})
    )
    rows = table(root).set_index("Path")
    for patient in truth["patients"][:6]:
        row = rows.loc[patient["studies"][0]["path"]]
        assert row["Sex"] == patient["sex"]
        assert row["Age"] == patient["age"]
        assert {f: int(row[f]) for f in FINDINGS} == patient["studies"][0]["labels"]


def test_ground_truth_holds_labels_contrast_groups_and_geometry(xray_truth):
    assert xray_truth["kind"] == "xray"
    assert xray_truth["options"]["seed"] == 5
    assert "workers" not in xray_truth["options"]
    assert len(xray_truth["patients"]) == 14
    for patient in xray_truth["patients"]:
        assert {
            "patient_id",
            "part",
            "race",
            "sex",
            "age",
            "age_group",
            "lesion_contrast",
            "planted_multiplier",
            "studies",
        } <= set(patient)
        for study in patient["studies"]:
            assert set(study["labels"]) == set(FINDINGS)
            assert all(study["labels"][f] == 1 for f in study["drawn"])
            assert study["example_id"] in study["path"]
            assert 0.3 < study["geometry"]["cardiothoracic_ratio"] < 0.75


def test_cardiomegaly_labels_follow_the_geometry(tmp_path):
    truth = write_phantom(
        "xray",
        tmp_path / "hearts",
        XrayPhantomOptions(patients=12, size=32, prevalence={"Cardiomegaly": 0.5}),
    )
    ratio = {0: [], 1: []}
    for patient in truth["patients"]:
        for study in patient["studies"]:
            ratio[study["labels"]["Cardiomegaly"]].append(study["geometry"]["cardiothoracic_ratio"])
    assert max(ratio[0]) < 0.5 < min(ratio[1])


def test_every_exam_has_flair_and_mask_of_one_shape(brain_tree, brain_truth):
    exams = [exam["exam_id"] for patient in brain_truth["patients"] for exam in patient["exams"]]
    assert len(exams) > 4, "some patients have follow-ups"
    assert sorted(f"{e}_nifti" for e in exams) == sorted(
        p.name for p in (brain_tree / "UCSF-PDGM-v5").iterdir()
    )
    for name in exams:
        folder = brain_tree / "UCSF-PDGM-v5" / f"{name}_nifti"
        flair, mask = (
            nib.load(folder / f"{name}_FLAIR.nii.gz"),
            nib.load(folder / f"{name}_tumor_segmentation.nii.gz"),
        )
        assert flair.shape == mask.shape == (40, 40, 16)
        assert flair.get_data_dtype() == np.int16
        assert mask.get_data_dtype() == np.uint8
        assert flair.dataobj.slope != 1.0
        assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2, 4}
        np.testing.assert_array_equal(flair.affine, mask.affine)


def test_the_brain_table_has_sixteen_columns_and_three_digit_ids(brain_tree, brain_truth):
    rows = pd.read_csv(brain_tree / "UCSF-PDGM-metadata_v5.csv", keep_default_na=False)
    assert list(rows.columns) == list(BRAIN_COLUMNS)
    assert len(BRAIN_COLUMNS) == 16
    assert rows["ID"].str.fullmatch(r"UCSF-PDGM-\d{3}(_FU\d{3}d)?").all()
    exams = {exam["exam_id"] for patient in brain_truth["patients"] for exam in patient["exams"]}
    assert {re.sub(r"PDGM-(\d{3})", r"PDGM-0\1", identifier) for identifier in rows["ID"]} == exams
    assert set(rows["Sex"]) <= {"M", "F", "unknown"}
    assert set(rows["WHO CNS Grade"]) <= {2, 3, 4}


def test_the_diagnosis_agrees_with_the_grade(brain_tree):
    rows = pd.read_csv(brain_tree / "UCSF-PDGM-metadata_v5.csv")
    glioblastoma = rows["Final pathologic diagnosis (WHO 2021)"] == "Glioblastoma, IDH-wildtype"
    assert (rows["WHO CNS Grade"][glioblastoma] == 4).all()
    assert (rows["IDH"][glioblastoma] == "wildtype").all()


def test_release_v3_gives_known_follow_ups_numbers_of_their_own(tmp_path):
    root = tmp_path / "v3"
    options = dataclasses.replace(SMALL_BRAIN, first_id=315, patients=1, follow_up_share=1.0)
    truth = write_phantom("brain", root, options)
    assert sorted(p.name for p in (root / "UCSF-PDGM-v3").iterdir()) == [
        "UCSF-PDGM-0315_nifti",
        "UCSF-PDGM-0433_nifti",
    ]
    rows = pd.read_csv(root / "UCSF-PDGM-metadata_v2.csv")
    assert list(rows["ID"]) == ["UCSF-PDGM-315", "UCSF-PDGM-433"]
    assert rows["Sex"].nunique() == rows["Age at MRI"].nunique() == 1
    assert [e["exam_id"] for e in truth["patients"][0]["exams"]] == [
        "UCSF-PDGM-0315",
        "UCSF-PDGM-0433",
    ]


def test_numbers_of_follow_ups_are_skipped_in_release_v3(tmp_path):
    truth = write_phantom("brain", tmp_path / "v3", dataclasses.replace(SMALL_BRAIN, first_id=390))
    assert 391 in FOLLOW_UPS_V3.values()
    assert [p["patient_id"] for p in truth["patients"]] == ["UCSF-PDGM-0390", "UCSF-PDGM-0392"]


def test_missing_demographics_of_brains_are_written_as_in_the_data_set(tmp_path):
    root = tmp_path / "missing"
    write_phantom("brain", root, dataclasses.replace(SMALL_BRAIN, missing_demographics=1.0))
    rows = pd.read_csv(root / "UCSF-PDGM-metadata_v2.csv")
    assert set(rows["Sex"]) == {"unknown"}
    assert rows["Age at MRI"].isna().all()


def test_the_same_seed_gives_the_same_bytes(tmp_path, xray_tree, brain_tree):
    write_phantom("xray", tmp_path / "x", XRAY)
    write_phantom("brain", tmp_path / "b", BRAIN)
    assert digests(tmp_path / "x") == digests(xray_tree)
    assert digests(tmp_path / "b") == digests(brain_tree)


def test_another_seed_gives_other_images(tmp_path, xray_tree):
    write_phantom(
        "xray", tmp_path / "x", dataclasses.replace(XRAY, seed=6, patients=2, valid_patients=0)
    )
    name = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    assert digests(tmp_path / "x")[name] != digests(xray_tree)[name]


def test_workers_change_no_byte(tmp_path):
    write_phantom("xray", tmp_path / "one", SMALL)
    write_phantom("xray", tmp_path / "two", dataclasses.replace(SMALL, workers=2))
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@pytest.mark.parametrize(("kind", "options"), [("xray", SMALL), ("brain", SMALL_BRAIN)])
def test_more_patients_change_no_file_of_the_others(tmp_path, kind, options):
    write_phantom(kind, tmp_path / "few", dataclasses.replace(options, patients=1))
    write_phantom(kind, tmp_path / "more", options)
    few, more = digests(tmp_path / "few"), digests(tmp_path / "more")
    images = {name for name in few if name.endswith((".jpg", ".nii.gz"))}
    assert images
    assert all(few[name] == more[name] for name in images)
    assert len(more) > len(few)


def test_the_first_number_can_be_chosen_and_keeps_the_patient(tmp_path):
    write_phantom("xray", tmp_path / "all", SMALL)
    write_phantom(
        "xray",
        tmp_path / "third",
        dataclasses.replace(SMALL, first_id=3, patients=1, valid_patients=0),
    )
    name = "CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg"
    assert digests(tmp_path / "third")[name] == digests(tmp_path / "all")[name]


def test_validation_numbers_must_not_be_reached(tmp_path):
    with pytest.raises(
        ValueError,
        match="validation patients start at 64541: set valid_patients=0 or lower first_id",
    ):
        write_phantom("xray", tmp_path / "x", dataclasses.replace(SMALL, first_id=64540))
    assert os.listdir(tmp_path) == []


def test_a_full_folder_is_refused(tmp_path, xray_tree):
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        write_phantom("xray", xray_tree, SMALL)


@pytest.mark.parametrize(("kind", "options"), [("ct", SMALL), ("xray", SMALL_BRAIN)])
def test_bad_options_write_nothing(tmp_path, kind, options):
    with pytest.raises(
        InputError, match=r"phantom kind is|xray phantoms take XrayPhantomOptions, got Brain"
    ):
        write_phantom(kind, tmp_path / "x", options)
    assert os.listdir(tmp_path) == []


def test_what_is_returned_is_what_was_written(tmp_path):
    truth = write_phantom(
        "xray", tmp_path / "x", dataclasses.replace(SMALL, patients=1, valid_patients=0)
    )
    written = json.loads((tmp_path / "x" / "ground_truth.json").read_text())
    assert written["patients"] == truth["patients"]


def test_the_defaults_are_used_without_options(tmp_path, monkeypatch):
    monkeypatch.setattr("fairrecon_jax.phantoms.write.phantom_options", lambda kind: SMALL)
    assert (
        len(write_phantom("xray", tmp_path / "x")["patients"])
        == SMALL.patients + SMALL.valid_patients
    )


def test_an_option_that_a_tree_has_no_record_of_had_its_default(tmp_path):
    truth = {"kind": "xray", "options": {"patients": 3, "seed": 5, "size": 32}}
    (tmp_path / "ground_truth.json").write_text(json.dumps(truth))
    check_phantom("xray", tmp_path, SMALL)
    with pytest.raises(InputError, match=r"options: hierarchy was True, now False\. Use another"):
        check_phantom("xray", tmp_path, dataclasses.replace(SMALL, hierarchy=False))


def test_the_truth_lists_every_option_but_the_workers():
    options = set().union(*(dict(vars(cls())) for cls in OPTIONS.values()))
    assert set(RECORDED) == options - {"workers"}
    assert len(RECORDED) == len(set(RECORDED))


@pytest.mark.parametrize("kind", ["xray", "brain"])
def test_images_take_more_of_the_disk_than_is_said_and_not_much_more(tmp_path, kind):
    given: dict[str, Any] = {"xray": {"valid_patients": 0}, "brain": {"slices": 8}}[kind]
    options = phantom_options(kind, patients=2, size=256, **given)
    write_phantom(kind, tmp_path / "tree", options)
    images = [p for p in (tmp_path / "tree").rglob("*") if p.suffix in (".jpg", ".gz")]
    taken = sum(path.stat().st_size for path in images)
    assert options.least_bytes < taken < 12 * options.least_bytes


def test_what_the_disk_has_no_room_for_is_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    options = phantom_options("xray", patients=10**6, size=4096)
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    message = r"patients is 1000000 and size 4096: the images take at least 1,678 GB of disk, and 1"
    with pytest.raises(InputError, match=message):
        write_phantom("xray", tmp_path / "tree", options)
    assert not any(tmp_path.iterdir())
    config = configured(
        phantom__patients=10**6, phantom__size=1024, cohort__image_size=1024, phantom__slices=155
    )
    with pytest.raises(ConfigError, match=r"^config\.phantom: patients is 1000000 and size 1024"):
        check(Context(config, tmp_path / "work"))
