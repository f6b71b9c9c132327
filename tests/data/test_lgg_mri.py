import numpy as np
import pytest
import tifffile

from fairrecon_jax.data import CohortConfig, make_splits, open_cohort, prepare
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.registry import find
from tests.support.trees import LGG_COLUMNS, lgg_row, noise, write_csv, write_lgg, write_slice


def opened(root, data_dir, **fields):
    config = CohortConfig("lgg_mri", **{"image_size": 32, **fields})
    place = prepare(config, root, data_dir, progress=False)
    cohort = open_cohort(config, data_dir)
    return cohort, cohort.table.set_index("example_id"), (place / "exclusions.csv").read_text()


def test_flair_is_channel_one_and_slices_are_in_natural_order(tmp_path):
    root = write_lgg(tmp_path / "tree", ["TCGA_CS_4941"], slices=11)
    cohort, _, _ = opened(root, tmp_path / "out")
    by_slice = cohort.table.sort_values("slice")
    assert by_slice["example_id"].tolist() == [f"TCGA_CS_4941_19960909/{n}" for n in range(1, 12)]
    for i, name in enumerate(cohort.table["example_id"]):
        flair = tifffile.imread(root / "TCGA_CS_4941_19960909" / f"{name.replace('/', '_')}.tif")[
            ..., 1
        ].astype(float)
        scaled = (flair - flair.min()) / (flair.max() - flair.min())
        record = cohort.source[i]
        np.testing.assert_allclose(record["image"][..., 0] / 255, scaled, atol=0.5 / 255 + 1e-9)
        assert record["mask"].dtype == np.uint8
        assert record["mask"].sum() == cohort.table["tumor"].iloc[i] == 8 * 16


def test_labels_groups_and_the_patient_without_values(tmp_path):
    rows = [
        lgg_row("TCGA_CS_0001"),
        lgg_row(
            "TCGA_CS_0002",
            gender="2.0",
            race="2.0",
            neoplasm_histologic_grade="1.0",
            age_at_initial_pathologic="30",
        ),
        {"Patient": "TCGA_CS_0003"},
        lgg_row(
            "TCGA_CS_0004",
            race="1.0",
            neoplasm_histologic_grade="4.0",
            age_at_initial_pathologic="60",
        ),
        lgg_row("TCGA_CS_0001", gender="2.0"),
    ]
    root = write_lgg(
        tmp_path / "tree", [f"TCGA_CS_000{n}" for n in range(1, 6)], slices=2, rows=rows
    )
    cohort, table, exclusions = opened(root, tmp_path / "out")
    first = table.groupby("patient_id")[["sex", "race", "age", "grade"]].first()
    first = first.astype(object).where(first.notna(), None)
    assert first.loc["TCGA_CS_0001"].tolist() == ["female", "White", "44 and over", 1.0]
    assert first.loc["TCGA_CS_0002"].tolist() == ["male", "Black", "under 44", 0.0]
    assert first.loc["TCGA_CS_0003"].tolist() == [None, None, None, None]
    assert first.loc["TCGA_CS_0004"].tolist() == ["female", None, "44 and over", None]
    assert first.loc["TCGA_CS_0005"].tolist() == [None, None, None, None]
    for text in (
        "TCGA_CS_0003 has no grade,missing_label",
        "grade code 4 is neither 1 nor 2,unknown_label",
        "no row for TCGA_CS_0005,no_row",
    ):
        assert text in exclusions
    assert "data.csv#6,a second row for TCGA_CS_0001; the first counts,duplicate" in exclusions
    assert cohort.attributes()[table.index.get_loc("TCGA_CS_0003_19960909/1")].tolist() == [
        -1,
        -1,
        -1,
    ]
    assert [task.aggregation for task in cohort.spec.tasks] == ["median", "mean"]


def test_age_cut_is_the_median_of_the_training_patients(tmp_path):
    names = [f"TCGA_CS_00{n:02d}" for n in range(10)]
    rows = [
        lgg_row(name, age_at_initial_pathologic=str(30 + 3 * n)) for n, name in enumerate(names)
    ]
    cohort, _, _ = opened(
        write_lgg(tmp_path / "tree", names, slices=1, rows=rows), tmp_path / "out", image_size=8
    )
    assert "provisional" in cohort.spec.attributes[1].derivation
    splits = make_splits(cohort.table, cohort.spec, (0.5, 0.2, 0.3), seed=4)
    final = open_cohort(CohortConfig("lgg_mri", image_size=8), tmp_path / "out", splits)
    ages = final.table["age_years"].to_numpy()[splits.rows(final.table, "train")]
    assert final.spec.attributes[1].groups[0] == f"under {np.median(ages):g}"
    assert "median of the training patients" in final.spec.attributes[1].derivation
    given = open_cohort(CohortConfig("lgg_mri", image_size=8, age_cut=40), tmp_path / "out", splits)
    assert given.spec.attributes[1].groups == ("under 40", "40 and over")


def test_slice_range_and_patient_limit(tmp_path):
    root = write_lgg(tmp_path / "tree", ["TCGA_CS_0001", "TCGA_CS_0002", "TCGA_CS_0003"], slices=10)
    cohort, _, _ = opened(root, tmp_path / "out", slices=[2, 4], patients=2)
    assert cohort.table["patient_id"].nunique() == 2
    assert sorted(cohort.table["slice"].unique()) == [2, 3, 4]
    assert set(cohort.table["slices"]) == {10}


def test_bad_files_are_counted_with_their_reason(tmp_path):
    root = write_lgg(tmp_path / "tree", ["TCGA_CS_0001"], slices=8)
    folder = root / "TCGA_CS_0001_19960909"
    stem = str(folder / "TCGA_CS_0001_19960909_")
    (folder / "TCGA_CS_0001_19960909_1_mask.tif").unlink()
    with open(stem + "2.tif", "r+b") as handle:
        handle.truncate(700)
    tifffile.imwrite(stem + "3_mask.tif", np.zeros((16, 32), np.uint8))
    tifffile.imwrite(stem + "4_mask.tif", np.full((32, 32), 7, np.uint8))
    tifffile.imwrite(stem + "5.tif", noise((32, 32)))
    image = noise((32, 32, 3))
    image[..., 1] = 4
    tifffile.imwrite(stem + "6.tif", image)
    (folder / "TCGA_CS_0001_19960909_7.tif").unlink()
    (folder / "notes.txt").write_text("x")
    (root / "misc").mkdir()
    cohort, _, exclusions = opened(root, tmp_path / "out")
    assert sorted(cohort.table["example_id"]) == [f"TCGA_CS_0001_19960909/{n}" for n in (4, 8)]
    for file, kind in [
        ("_1.tif", "missing_mask,skipped"),
        ("_2.tif", "unreadable,skipped"),
        ("_3.tif", "mask_shape,skipped"),
        ("_4_mask.tif", "mask_values,kept"),
        ("_5.tif", "wrong_shape,skipped"),
        ("_6.tif", "constant,skipped"),
        ("slices [7] of 1 to 8", "missing_file,kept"),
        ("notes.txt", "unknown_name,skipped"),
        ("misc", "unknown_name,skipped"),
    ]:
        assert any(file in line and line.endswith(kind) for line in exclusions.splitlines()), (
            file,
            kind,
            exclusions,
        )


def test_missing_table_and_column_are_errors(tmp_path):
    write_slice(tmp_path / "TCGA_CS_0001_19960909", 1, 0)
    with pytest.raises(FileNotFoundError, match=r"data\.csv"):
        find("lgg_mri").records(tmp_path, CohortConfig("lgg_mri"), Notes())
    others = [name for name in LGG_COLUMNS if name != "gender"]
    write_csv(tmp_path / "data.csv", others, [dict.fromkeys(others, "1")])
    with pytest.raises(ValueError, match=r"data\.csv: no column gender"):
        find("lgg_mri").records(tmp_path, CohortConfig("lgg_mri"), Notes())


def test_real_sample(samples, tmp_path):
    cohort, table, exclusions = opened(
        samples / "kaggle_3m", tmp_path / "out", image_size=16, slices=[8, 12]
    )
    assert cohort.table["patient_id"].nunique() == 40
    assert table["sex"].isna().groupby(table["patient_id"]).all().sum() == 1
    assert "TCGA_HT_A61B has no grade" in exclusions
    splits = make_splits(cohort.table, cohort.spec, (0.5, 0.2, 0.3))
    assert splits.counts() == {"train": 20, "val": 8, "test": 12}
    for part in ("train", "val", "test"):
        labels = cohort.table.iloc[splits.rows(cohort.table, part)].drop_duplicates("patient_id")
        assert set(labels["grade"].dropna()) == {0.0, 1.0}
        assert set(labels["sex"].dropna()) == {"female", "male"}
        assert set(labels["race"].dropna()) == {"White", "Black"}
