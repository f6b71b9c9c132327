import numpy as np
import pytest

from fairrecon_jax.data import CohortConfig, open_cohort, prepare
from fairrecon_jax.data.cohorts.ucsf_pdgm.identifiers import FOLLOW_UPS, Exam, parse_exam
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.registry import find
from tests.support.trees import (
    GLIOBLASTOMA,
    UCSF_COLUMNS,
    flair_volume,
    tumor_mask,
    ucsf_row,
    write_csv,
    write_exam,
    write_nifti,
    write_ucsf,
)

DIAGNOSIS = UCSF_COLUMNS[4]


def opened(root, data_dir, **fields):
    config = CohortConfig("ucsf_pdgm", image_size=16, **fields)
    place = prepare(config, root, data_dir, progress=False)
    return open_cohort(config, data_dir), (place / "exclusions.csv").read_text()


@pytest.mark.parametrize(
    ("text", "exam"),
    [
        ("UCSF-PDGM-004", Exam(4, "")),
        ("UCSF-PDGM-0004_nifti", Exam(4, "")),
        ("UCSF-PDGM-0138_FU007d_FLAIR.nii.gz", Exam(138, "FU007d")),
        ("UCSF-PDGM-138_FU007d", Exam(138, "FU007d")),
        ("ucsf-pdgm-541", Exam(541, "")),
        ("BraTS-0004", None),
        ("", None),
    ],
)
def test_ids_are_compared_as_numbers_and_keep_their_suffix(text, exam):
    assert parse_exam(text) == exam


def test_follow_ups_belong_to_the_patient_of_the_first_exam():
    assert Exam(433, "").patient_id == "UCSF-PDGM-0315"
    assert Exam(315, "").patient_id == "UCSF-PDGM-0315"
    assert Exam(138, "FU007d").patient_id == "UCSF-PDGM-0138"
    assert Exam(138, "FU007d").name == "UCSF-PDGM-0138_FU007d"
    assert FOLLOW_UPS == {433: 315, 431: 278, 396: 175, 429: 138, 409: 181, 391: 289}


@pytest.mark.parametrize(
    ("version", "exams"),
    [
        (
            "v2",
            [
                ("UCSF-PDGM-004", "UCSF-PDGM-0004"),
                ("UCSF-PDGM-315", "UCSF-PDGM-0315"),
                ("UCSF-PDGM-433", "UCSF-PDGM-0433"),
            ],
        ),
        (
            "v5",
            [
                ("UCSF-PDGM-004", "UCSF-PDGM-0004"),
                ("UCSF-PDGM-315", "UCSF-PDGM-0315"),
                ("UCSF-PDGM-315_FU007d", "UCSF-PDGM-0315_FU007d"),
            ],
        ),
    ],
)
def test_three_exams_are_two_patients_in_both_versions(tmp_path, version, exams):
    cohort, _ = opened(write_ucsf(tmp_path / "tree", exams, version=version), tmp_path / "out")
    assert set(cohort.table["patient_id"]) == {"UCSF-PDGM-0004", "UCSF-PDGM-0315"}
    assert set(cohort.table["exam"]) == {stem for _, stem in exams}
    assert cohort.table["sex"].notna().all(), "three-digit ids of the table meet four-digit folders"


def test_slices_labels_and_masks(tmp_path):
    rows = [
        ucsf_row("UCSF-PDGM-004", Sex="F", **{"Age at MRI": "58"}),
        ucsf_row(
            "UCSF-PDGM-005",
            **{"WHO CNS Grade": "2", DIAGNOSIS: "Astrocytoma, IDH-mutant", "Age at MRI": "57"},
        ),
        ucsf_row(
            "UCSF-PDGM-006",
            **{"WHO CNS Grade": "3", DIAGNOSIS: "unknown", "Age at MRI": "", "Sex": ""},
        ),
        ucsf_row(
            "UCSF-PDGM-007", **{"WHO CNS Grade": "unknown", DIAGNOSIS: "Glioblastoma, IDH-wildtype"}
        ),
        ucsf_row("UCSF-PDGM-008", **{"WHO CNS Grade": "7"}),
    ]
    exams = [(row["ID"], f"UCSF-PDGM-{int(row['ID'][-3:]):04d}") for row in rows]
    cohort, exclusions = opened(write_ucsf(tmp_path / "tree", exams, rows), tmp_path / "out")
    table = cohort.table
    assert [task.name for task in cohort.spec.tasks] == ["grade", "type", "tumor"]
    assert [task.aggregation for task in cohort.spec.tasks] == ["median", "median", "mean"]
    first = table.groupby("patient_id").first()
    np.testing.assert_array_equal(first["grade"].to_numpy(float), [1, 0, 0, np.nan, np.nan])
    np.testing.assert_array_equal(first["type"].to_numpy(float), [1, 0, np.nan, 1, 1])
    assert first["age"].where(first["age"].notna(), None).tolist() == [
        "58 and over",
        "under 58",
        None,
        "58 and over",
        "58 and over",
    ]
    assert table.groupby("patient_id").size().tolist() == [6] * 5, (
        "the first and the last of 8 slices are empty"
    )
    assert sorted(table.loc[table["patient_id"] == "UCSF-PDGM-0004", "slice"]) == [1, 2, 3, 4, 5, 6]
    assert set(table["slices"]) == {8}
    assert (
        "UCSF-PDGM-0004_FLAIR.nii.gz#slice=0,the slice holds one single value,constant,skipped"
        in exclusions
    )
    assert "grade '7', which is none of 2, 3, 4,unknown_label,kept" in exclusions.replace('"', "")
    for kind in ("missing_label", "missing_age", "missing_sex"):
        assert f"{kind},kept" in exclusions
    assert cohort.labels().shape == (30, 2)


def test_pixels_are_min_max_scaled_sixteen_bit_slices_anterior_up(tmp_path):
    volume, mask = flair_volume((16, 16, 8), 3), tumor_mask()[4:20, 4:20]
    root = tmp_path / "tree"
    write_exam(root, "UCSF-PDGM-0004", volume=volume, mask=mask)
    write_csv(root / "UCSF-PDGM-metadata_v2.csv", UCSF_COLUMNS, [ucsf_row("UCSF-PDGM-004")])
    cohort, _ = opened(root, tmp_path / "out")
    for i, row in cohort.table.iterrows():
        plane = np.rot90(volume[:, :, row["slice"]].astype(float))
        record = cohort.source[i]
        assert record["image"].dtype == np.uint16
        np.testing.assert_allclose(
            record["image"][..., 0] / 65535,
            (plane - plane.min()) / (plane.max() - plane.min()),
            atol=1e-5,
        )
        truth = np.rot90(mask[:, :, row["slice"]]) > 0
        np.testing.assert_array_equal(record["mask"][..., 0], truth)
        assert row["tumor"] == truth.sum()


def test_evaluated_slices_and_stored_slices(tmp_path):
    root = tmp_path / "tree"
    volume = np.random.default_rng(0).integers(1, 900, (8, 8, 155)).astype(np.int16)
    write_exam(root, "UCSF-PDGM-0004", volume=volume, mask=np.zeros(volume.shape, np.uint8))
    write_csv(root / "UCSF-PDGM-metadata_v2.csv", UCSF_COLUMNS, [ucsf_row("UCSF-PDGM-004")])
    cohort, _ = opened(root, tmp_path / "out")
    chosen = sorted(cohort.table.loc[cohort.table["evaluate"], "slice"])
    assert (len(cohort), chosen[0], chosen[-1], len(chosen)) == (155, 60, 130, 71)
    few, _ = opened(root, tmp_path / "out", slices=[60, 62], evaluate_slices=[61, 200])
    assert sorted(few.table["slice"]) == [60, 61, 62]
    assert few.table.sort_values("slice")["evaluate"].tolist() == [False, True, True]
    assert few.table.sort_values("slice")["example_id"].tolist() == [
        f"UCSF-PDGM-0004/{n:03d}" for n in (60, 61, 62)
    ]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nested_mirrors_are_found(tmp_path, suffix):
    root = tmp_path / "tree"
    write_exam(root / "some mirror", "UCSF-PDGM-0004", nested=True, suffix=suffix)
    write_csv(root / "UCSF-PDGM-metadata_v5.csv", UCSF_COLUMNS, [ucsf_row("UCSF-PDGM-004")])
    cohort, _ = opened(root, tmp_path / "out")
    assert len(cohort) == 6


def test_scaled_values_are_read_through_the_slope(tmp_path):
    volume = flair_volume((16, 16, 8), 5)
    for name, slope in (("plain", None), ("scaled", 0.25)):
        root = tmp_path / name
        folder = write_exam(
            root, "UCSF-PDGM-0004", volume=volume, mask=np.zeros(volume.shape, np.uint8)
        )
        write_nifti(folder / "UCSF-PDGM-0004_FLAIR.nii.gz", volume, slope)
        write_csv(root / "UCSF-PDGM-metadata_v2.csv", UCSF_COLUMNS, [ucsf_row("UCSF-PDGM-004")])
    one, two = (
        opened(tmp_path / name, tmp_path / f"out {name}")[0] for name in ("plain", "scaled")
    )
    for i in range(len(one)):
        np.testing.assert_allclose(
            one.source[i]["image"].astype(float), two.source[i]["image"], atol=3
        )


def test_later_metadata_wins_and_tables_are_joined(tmp_path):
    root = write_ucsf(
        tmp_path / "tree",
        [("UCSF-PDGM-004", "UCSF-PDGM-0004"), ("UCSF-PDGM-005", "UCSF-PDGM-0005")],
    )
    write_csv(
        root / "UCSF-PDGM-metadata_v5.csv", UCSF_COLUMNS, [ucsf_row("UCSF-PDGM-004", Sex="F")]
    )
    cohort, _ = opened(root, tmp_path / "out")
    assert cohort.table.groupby("patient_id")["sex"].first().tolist() == ["female", "male"]


def test_bad_files_and_rows_are_counted_with_their_reason(tmp_path):
    exams = [(f"UCSF-PDGM-{n:03d}", f"UCSF-PDGM-{n:04d}") for n in range(1, 8)]
    rows = [ucsf_row(name) for name, _ in exams if name != "UCSF-PDGM-006"]
    rows += [ucsf_row("UCSF-PDGM-001", Sex="F"), ucsf_row("nonsense"), ucsf_row("UCSF-PDGM-099")]
    root = write_ucsf(tmp_path / "tree", exams, rows)
    folder = root / "UCSF-PDGM-v3"
    (folder / "UCSF-PDGM-0002_nifti/UCSF-PDGM-0002_tumor_segmentation.nii.gz").unlink()
    path = folder / "UCSF-PDGM-0003_nifti/UCSF-PDGM-0003_FLAIR.nii.gz"
    path.write_bytes(path.read_bytes()[:1000])
    write_nifti(
        folder / "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_tumor_segmentation.nii.gz",
        np.zeros((24, 24, 7), np.uint8),
    )
    odd = tumor_mask()
    odd[0, 0, 3] = 9
    write_nifti(folder / "UCSF-PDGM-0005_nifti/UCSF-PDGM-0005_tumor_segmentation.nii.gz", odd)
    write_nifti(
        folder / "UCSF-PDGM-0007_nifti/UCSF-PDGM-0007_FLAIR.nii.gz",
        np.full((24, 24, 8), 5, np.int16),
    )
    write_nifti(folder / "UCSF-PDGM-0001_nifti/UCSF-PDGM-0001_FLAIR.nii", flair_volume())
    write_nifti(folder / "other_FLAIR.nii.gz", flair_volume())
    cohort, exclusions = opened(root, tmp_path / "out")
    assert set(cohort.table["patient_id"]) == {"UCSF-PDGM-0001", "UCSF-PDGM-0005", "UCSF-PDGM-0006"}
    assert cohort.table.set_index("patient_id").loc["UCSF-PDGM-0006", "sex"].isna().all()
    for file, kind in [
        ("UCSF-PDGM-0002_FLAIR.nii.gz", "missing_mask,skipped"),
        ("UCSF-PDGM-0003_FLAIR.nii.gz", "unreadable,skipped"),
        ("UCSF-PDGM-0004_FLAIR.nii.gz", "mask_shape,skipped"),
        ("UCSF-PDGM-0005_tumor_segmentation.nii.gz", "mask_values,kept"),
        ("UCSF-PDGM-0006_FLAIR.nii.gz", "no_row,kept"),
        ("UCSF-PDGM-0007_FLAIR.nii.gz#slice=3", "constant,skipped"),
        ("UCSF-PDGM-0001_FLAIR.nii.gz", "duplicate,skipped"),
        ("other_FLAIR.nii.gz", "unknown_name,skipped"),
        ("UCSF-PDGM-metadata_v2.csv#8", "duplicate,skipped"),
        ("UCSF-PDGM-metadata_v2.csv#9", "unknown_name,skipped"),
        ("UCSF-PDGM-metadata#UCSF-PDGM-0099", "missing_file,skipped"),
    ]:
        assert any(file in line and line.endswith(kind) for line in exclusions.splitlines()), (
            file,
            kind,
            exclusions,
        )


def test_missing_metadata_and_column_are_errors(tmp_path):
    write_exam(tmp_path / "tree", "UCSF-PDGM-0004")
    with pytest.raises(FileNotFoundError, match=r"no UCSF-PDGM-metadata\*\.csv"):
        find("ucsf_pdgm").records(tmp_path / "tree", CohortConfig("ucsf_pdgm"), Notes())
    (tmp_path / "tree" / "UCSF-PDGM-metadata_v2.csv").write_text("ID,Sex\nUCSF-PDGM-004,M\n")
    with pytest.raises(ValueError, match=r"metadata_v2\.csv: no column Age at MRI"):
        find("ucsf_pdgm").records(tmp_path / "tree", CohortConfig("ucsf_pdgm"), Notes())


def test_default_diagnosis_in_these_trees_is_the_data_set_s():
    assert GLIOBLASTOMA == "Glioblastoma, IDH-wildtype"


def test_the_tumour_is_what_the_chosen_values_of_the_mask_hold(tmp_path):
    mask = np.zeros((24, 24, 8), np.uint8)
    mask[2:6, 2:6, 3], mask[8:12, 8:12, 3], mask[16:20, 16:20, 3] = 1, 2, 4
    write_exam(tmp_path / "tree", "UCSF-PDGM-0004", volume=flair_volume(), mask=mask)
    write_csv(
        tmp_path / "tree/UCSF-PDGM-metadata_v2.csv", UCSF_COLUMNS, [ucsf_row("UCSF-PDGM-004")]
    )
    pixels = {}
    for values in ((), (1, 2), (4, 2, 1)):
        config = CohortConfig("ucsf_pdgm", image_size=24, slices=(3, 3), mask_values=values)
        prepare(config, tmp_path / "tree", tmp_path / "out", progress=False)
        pixels[values] = open_cohort(config, tmp_path / "out").table["tumor"].item()
    assert pixels == {(): 48, (1, 2): 32, (4, 2, 1): 48}
    with pytest.raises(ValueError, match="mask_values has 3; the masks of ucsf_pdgm have 1, 2, 4"):
        find("ucsf_pdgm").check(CohortConfig("ucsf_pdgm", mask_values=(1, 3)))
    with pytest.raises(ValueError, match="mask_values has 1; the masks of lgg_mri have no values"):
        find("lgg_mri").check(CohortConfig("lgg_mri", mask_values=(1,)))
