"""The real table of the paper's MRI cohort through the reader, with one small volume that stands
for all exams: the counts of the paper.
"""

from __future__ import annotations

import os
import shutil

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.data import CohortConfig, open_cohort, prepare
from fairrecon_jax.data.cohorts.ucsf_pdgm.identifiers import parse_exam
from fairrecon_jax.data.splits import make_splits
from tests.support.trees import write_nifti


@pytest.fixture(scope="module")
def opened(tmp_path_factory, samples):
    """The cohort under a side of the age cut."""
    table = samples / "ucsf_pdgm_metadata" / "UCSF-PDGM-metadata_v2.csv"
    if not table.is_file():
        pytest.skip(f"no {table}")
    folder = tmp_path_factory.mktemp("ucsf")
    root = folder / "tree"
    root.mkdir()
    shutil.copy(table, root)
    volume = np.arange(16 * 16 * 4, dtype=np.int16).reshape(16, 16, 4)
    mask = np.zeros(volume.shape, np.uint8)
    mask[4:12, 4:12, 1] = 2
    write_nifti(folder / "FLAIR.nii", volume)
    write_nifti(folder / "tumor_segmentation.nii", mask)
    for name in pd.read_csv(table)["ID"]:
        exam = parse_exam(name)
        place = root / f"{exam.name}_nifti"
        place.mkdir()
        for kind in ("FLAIR", "tumor_segmentation"):
            os.link(folder / f"{kind}.nii", place / f"{exam.name}_{kind}.nii")
    config = CohortConfig("ucsf_pdgm", image_size=8, slices=(1, 1))
    with pytest.warns(UserWarning, match="leaking_images x 1: identical images"):
        prepare(config, root, folder / "data", progress=False)

    def under(**fields):
        chosen = CohortConfig("ucsf_pdgm", image_size=8, slices=(1, 1), **fields)
        return open_cohort(chosen, folder / "data")

    return under


def test_exams_patients_sex_and_grade_are_those_of_the_paper(opened):
    table = opened().table
    assert (len(table), table["patient_id"].nunique()) == (501, 495)
    assert table["sex"].value_counts().to_dict() == {"male": 299, "female": 202}
    grades = table["grade_recorded"].value_counts().to_dict()
    assert grades == {2.0: 56, 3.0: 43, 4.0: 402}
    assert table["grade"].value_counts().to_dict() == {1.0: 402, 0.0: 99}
    assert table["type"].value_counts().to_dict() == {1.0: 374, 0.0: 127}


def test_ages_of_58_change_sides_with_the_cut(opened):
    over, under = (opened(age_cut_side=side).table for side in ("over", "under"))
    exact = int((over["age_years"] == 58).sum())
    assert exact == 16
    assert over["age"].value_counts().to_dict() == {"under 58": 231, "58 and over": 270}
    assert under["age"].value_counts().to_dict() == {"58 and under": 247, "over 58": 254}
    moved = (over["age"] == "58 and over") & (under["age"] == "58 and under")
    assert set(over.loc[moved, "age_years"]) == {58.0}


def test_splits_are_of_495_patients(opened):
    cohort = opened()
    splits = make_splits(cohort.table, cohort.spec, (0.7, 0.1, 0.2), 0)
    assert splits.counts() == {"train": 347, "val": 49, "test": 99}
    by_exam = cohort.table["patient_id"].map(splits.patients)
    assert by_exam.groupby(cohort.table["patient_id"]).nunique().max() == 1
    # every part has its share of both sexes and of the rare grades
    share = (cohort.table["sex"] == "female").groupby(by_exam).mean()
    assert (abs(share - 202 / 501) < 0.05).all()
