import numpy as np
import pytest
from PIL import Image

from fairrecon_jax.data import CohortConfig, make_splits, open_cohort, prepare
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.registry import find
from fairrecon_jax.data.tables import parse_age
from tests.support.trees import nih_row, write_nih


def opened(root, data_dir, **fields):
    config = CohortConfig("nih_chestxray14", image_size=16, **fields)
    place = prepare(config, root, data_dir, progress=False)
    cohort = open_cohort(config, data_dir)
    return cohort, cohort.table.set_index("example_id"), (place / "exclusions.csv").read_text()


def rows():
    return [
        nih_row(1, 0, **{"Finding Labels": "Cardiomegaly|Pleural_Thickening"}),
        nih_row(1, 1),
        nih_row(2, 0, **{"Patient Gender": "F", "Patient Age": "411"}),
        nih_row(3, 0, **{"Finding Labels": "Hernia", "Patient Age": "061Y", "View Position": "AP"}),
    ]


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("58", 58),
        ("058Y", 58),
        ("006M", 0.5),
        ("0", np.nan),
        ("121", np.nan),
        ("411", np.nan),
        ("", np.nan),
        ("old", np.nan),
        ("120", 120),
        ("-4", np.nan),
    ],
)
def test_ages(text, years):
    np.testing.assert_equal(parse_age(text), years)


@pytest.mark.parametrize("folder", ["images", "images_001/images"])
@pytest.mark.parametrize("table", ["Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"])
def test_small_tree_in_both_layouts(tmp_path, folder, table):
    cohort, frame, _ = opened(write_nih(tmp_path / "tree", rows(), folder, table), tmp_path / "out")
    assert sorted(frame.index) == ["00000001_000", "00000001_001", "00000002_000", "00000003_000"]
    assert frame.loc["00000001_000", ["cardiomegaly", "pleural_thickening", "hernia"]].tolist() == [
        1,
        1,
        0,
    ]
    assert frame.loc["00000001_001", [task.name for task in cohort.spec.tasks]].tolist() == [0] * 14
    assert frame.loc["00000002_000", "age"] is None
    assert frame.loc["00000002_000", "sex"] == "female"
    assert frame.loc["00000003_000", "projection"] == "AP"
    assert frame["patient_id"].tolist() == [name[:8] for name in frame.index]
    assert len(cohort.spec.tasks) == 14
    assert [attribute.name for attribute in cohort.spec.attributes] == ["sex", "age"]


def test_any_finding_must_be_asked_for(tmp_path):
    root = write_nih(tmp_path / "tree", rows())
    cohort, frame, _ = opened(root, tmp_path / "out", tasks=("any_finding", "hernia"))
    assert [task.name for task in cohort.spec.tasks] == ["any_finding", "hernia"]
    assert frame["any_finding"].sort_index().tolist() == [1, 0, 0, 1]
    with pytest.raises(ValueError, match="has no task finding; it has atelectasis"):
        open_cohort(
            CohortConfig("nih_chestxray14", image_size=16, tasks=("finding",)), tmp_path / "out"
        )
    with pytest.raises(ValueError, match="has no attribute race; it has sex, age"):
        open_cohort(
            CohortConfig("nih_chestxray14", image_size=16, attributes=("race",)), tmp_path / "out"
        )


def test_official_lists_are_recorded(tmp_path):
    root = write_nih(tmp_path / "tree", rows())
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    (root / "test_list.txt").write_text("00000003_000.png\n")
    _, frame, _ = opened(root, tmp_path / "out")
    assert frame["official_list"].sort_index().tolist() == ["train_val", "train_val", "", "test"]
    assert find("nih_chestxray14").lists(root) == {"train_val": {"00000001"}, "test": {"00000003"}}


def test_bad_rows_and_files_are_counted_with_their_reason(tmp_path):
    bad = [
        *rows(),
        nih_row(4),  # missing
        nih_row(5),  # text
        nih_row(6),  # constant
        nih_row(1),  # duplicate
        nih_row(7, **{"Image Index": "../secret/00000007_000.png"}),
        nih_row(8, **{"Finding Labels": "Hernia|Dragon"}),
        nih_row(9, **{"Finding Labels": "No Finding|Hernia"}),
        nih_row(10, **{"Finding Labels": ""}),
        nih_row(11, **{"Patient ID": "12"}),
    ]
    root = write_nih(tmp_path / "tree", bad)
    (root / "images/00000004_000.png").unlink()
    (root / "images/00000005_000.png").write_text("hello")
    Image.new("L", (32, 32), 9).save(root / "images/00000006_000.png")
    Image.new("L", (32, 32), 9).save(root / "images/00000099_000.png")
    cohort, frame, exclusions = opened(root, tmp_path / "out")
    assert len(cohort) == 8
    for file, kind in [
        ("00000004_000.png", "missing_file,skipped"),
        ("00000005_000.png", "unreadable,skipped"),
        ("00000006_000.png", "constant,skipped"),
        ("00000001_000.png", "duplicate,skipped"),
        ("Data_Entry_2017_v2020.csv#10", "outside_root,skipped"),
        ("Data_Entry_2017_v2020.csv#11", "unknown_label,kept"),
        ("Data_Entry_2017_v2020.csv#12", "conflict,kept"),
        ("Data_Entry_2017_v2020.csv#13", "missing_label,kept"),
        ("Data_Entry_2017_v2020.csv#14", "conflict,kept"),
        ("images/00000099_000.png", "no_row,skipped"),
        ("00000002_000.png", "missing_age,kept"),
    ]:
        assert any(file in line and line.endswith(kind) for line in exclusions.splitlines()), (
            file,
            kind,
            exclusions,
        )
    names = [task.name for task in cohort.spec.tasks]
    for name in ("00000008_000", "00000009_000", "00000010_000"):
        assert frame.loc[name, names].isna().all()
    assert frame.loc["00000011_000", "patient_id"] == "00000011", "the file name counts"


def test_one_image_name_in_two_folders_is_noted(tmp_path):
    root = write_nih(tmp_path / "tree", rows(), "images_001/images")
    (root / "images_002").mkdir()
    Image.new("L", (32, 32), 9).save(root / "images_002/00000001_000.png")
    notes = Notes()
    records = find("nih_chestxray14").records(root, CohortConfig("nih_chestxray14"), notes)
    assert records[0].files == ("images_001/images/00000001_000.png",)
    reason = "00000001_000.png is already there as images_001/images/00000001_000.png"
    assert [(note.file, note.reason) for note in notes if note.kind == "duplicate"] == [
        ("images_002/00000001_000.png", reason)
    ]


def test_errors_of_the_tree(tmp_path):
    builder, config = find("nih_chestxray14"), CohortConfig("nih_chestxray14")
    tmp_path.joinpath("empty").mkdir()
    with pytest.raises(FileNotFoundError, match="Data_Entry_2017"):
        builder.records(tmp_path / "empty", config, Notes())
    root = write_nih(tmp_path / "tree", rows())
    with pytest.raises(ValueError, match="frontal views only"):
        builder.records(root, CohortConfig("nih_chestxray14", views=("lateral",)), Notes())
    for file in (root / "images").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"nothing usable .*: 4 x missing_file \(e\.g\. 0"):
        builder.records(root, config, Notes())
    (root / "test_list.txt").write_bytes(b"\xff\xfe00000001_000.png\n")
    with pytest.raises(ValueError, match=r"test_list\.txt: not a readable list"):
        builder.records(root, config, Notes())
    table = root / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("Patient Gender", "Gender"))
    with pytest.raises(ValueError, match=r"v2020\.csv: no column Patient Gender"):
        builder.records(root, config, Notes())


def test_real_sample(samples, tmp_path):
    cohort, frame, exclusions = opened(
        samples / "nih_chestxray14", tmp_path / "out", tasks=("any_finding", "cardiomegaly")
    )
    assert len(cohort) == 456
    assert exclusions.count("\n") == 1
    assert int(frame["cardiomegaly"].sum()) == 41
    assert int((frame["any_finding"] == 0).sum()) == 74
    splits = make_splits(cohort.table, cohort.spec, (0.5, 0.2, 0.3))
    shares = [
        frame["cardiomegaly"].to_numpy()[splits.rows(cohort.table, part)].mean()
        for part in ("train", "val", "test")
    ]
    assert np.ptp(shares) < 0.02
    row = cohort.example(7)
    assert row["image"].shape == (16, 16, 1)
    assert (row["image"].min(), row["image"].max()) == (0, 1)
