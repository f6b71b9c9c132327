import zipfile

import numpy as np
import pytest
from PIL import Image

from fairrecon_jax.data import CohortConfig, make_splits, open_cohort, prepare
from fairrecon_jax.data.cohorts.chexpert.builder import FINDINGS, column_of
from fairrecon_jax.data.cohorts.chexpert.demographics import read_demographics
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.registry import find
from tests.support.trees import chexpert_row, write_chexpert, write_demo

PEOPLE = [
    ("patient00001", "Female", "White, non-Hispanic"),
    ("patient00002", "Male", "Asian - Historical Conv"),
    ("patient00003", "Male", "Patient Refused"),
    ("patient00004", "Male", "Native Hawaiian or Other Pacific Islander"),
]


def rows():
    return [
        chexpert_row(1, **{"No Finding": "1.0", "Edema": "", "Support Devices": "1.0"}),
        chexpert_row(
            1, study=2, Age="0", **{"Cardiomegaly": "-1.0", "Edema": "0.0", "Pneumonia": "1.0"}
        ),
        chexpert_row(1, study=2, view="view2_lateral", **{"Cardiomegaly": "1.0"}),
        chexpert_row(2, Sex="Male", Age="40", **{"Cardiomegaly": "1.0"}),
        chexpert_row(3, Sex="Unknown", Age="90"),
        chexpert_row(4, Sex="Male", Age="62", prefix="CheXpert-v1.0/"),
        chexpert_row(5, Sex="Male", Age="62", prefix=""),
    ]


def opened(root, data_dir, **fields):
    config = CohortConfig("chexpert", image_size=16, **fields)
    prepare(config, root, data_dir, progress=False)
    cohort = open_cohort(config, data_dir)
    return cohort, cohort.table.set_index("example_id")


@pytest.fixture
def tree(tmp_path):
    return write_chexpert(tmp_path / "tree", rows(), PEOPLE)


def test_specification_is_the_paper_s():
    builder = find("chexpert")
    names = [task.name for task in builder.tasks]
    assert len(names) == 12
    assert "support_devices" not in names
    assert "no_finding" not in names
    assert all(task.aggregation == "none" for task in builder.tasks)
    assert builder.attribute_names == ("sex", "age", "race")
    assert builder.default_age_cut == 62


def test_table_of_a_small_tree(tree, tmp_path):
    cohort, table = opened(tree, tmp_path / "out")
    assert sorted(table.index) == [
        "patient00001/study1/view1_frontal",
        "patient00001/study2/view1_frontal",
        *(f"patient{n:05d}/study1/view1_frontal" for n in (2, 3, 4, 5)),
    ]
    assert cohort.spec.attributes[1].groups == ("under 62", "62 and over")
    first, second = (
        table.loc["patient00001/study1/view1_frontal"],
        table.loc["patient00001/study2/view1_frontal"],
    )
    assert first[[column_of(name) for name in FINDINGS]].tolist() == [0.0] * 12, (
        "No Finding makes every finding 0"
    )
    assert np.isnan(second["cardiomegaly"])
    assert (second["edema"], second["pneumonia"]) == (0.0, 1.0)
    assert np.isnan(second["fracture"])
    assert (first["age"], second["age"]) == ("62 and over", None)
    assert table["age"].loc["patient00004/study1/view1_frontal"] == "62 and over"
    assert table["sex"].loc["patient00003/study1/view1_frontal"] == "male", (
        "the demographics fill in what the row does not know"
    )
    races = table["race"].groupby(table["patient_id"]).first().to_dict()
    assert races["patient00001"] == "White"
    assert races["patient00002"] == "Asian"
    assert races["patient00004"] == "Native Hawaiian or Pacific Islander"
    assert table.loc[
        ["patient00003/study1/view1_frontal", "patient00005/study1/view1_frontal"], "race"
    ].tolist() == [None, None]
    assert table["evaluate"].all()
    assert set(table["view"]) == {"frontal"}


def test_images_belong_to_their_rows(tree, tmp_path):
    cohort, _ = opened(tree, tmp_path / "out")
    builder, notes, config = find("chexpert"), Notes(), CohortConfig("chexpert", image_size=16)
    expected = {
        s.example_id: s.image
        for s in builder.samples(tree, builder.records(tree, config, notes), config, notes)
    }
    assert len(cohort) == len(expected) == 6
    for i, name in enumerate(cohort.table["example_id"]):
        np.testing.assert_array_equal(cohort.source[i]["image"][..., 0], expected[name])
        assert cohort.source[i]["image"].dtype == np.uint8
        assert cohort.source[i]["mask"].shape == (16, 16, 0)


@pytest.mark.parametrize(("policy", "value"), [("zeros", 0.0), ("ones", 1.0), ("ignore", np.nan)])
def test_uncertainty_policy_is_applied_on_opening(tree, tmp_path, policy, value):
    _, table = opened(tree, tmp_path / "out", uncertainty=policy)
    np.testing.assert_equal(
        float(table.loc["patient00001/study2/view1_frontal", "cardiomegaly"]), value
    )


@pytest.mark.parametrize(
    ("policy", "groups"),
    [("pooled", ("White", "Asian", "Other")), ("white_vs_rest", ("White", "not White"))],
)
def test_race_policy_is_applied_on_opening(tree, tmp_path, policy, groups):
    cohort, _ = opened(tree, tmp_path / "out", race=policy)
    assert cohort.spec.attributes[2].groups == groups


def test_lateral_views_and_extra_tasks(tree, tmp_path):
    cohort, table = opened(
        tree,
        tmp_path / "out",
        views=["frontal", "lateral"],
        tasks=["no_finding", "cardiomegaly", "support_devices"],
    )
    assert table.loc["patient00001/study2/view2_lateral", "cardiomegaly"] == 1
    assert cohort.labels().shape == (7, 3)
    assert table.loc[
        "patient00001/study1/view1_frontal", ["no_finding", "support_devices"]
    ].tolist() == [1, 1]
    _, lateral = opened(tree, tmp_path / "out", views=["lateral"])
    assert list(lateral.index) == ["patient00001/study2/view2_lateral"]


def test_views_left_out_are_counted(tree):
    notes = Notes()
    find("chexpert").records(tree, CohortConfig("chexpert"), notes)
    assert [(note.file, note.reason) for note in notes if note.kind == "view"] == [
        ("CheXpert-v1.0-small/train.csv", "1 lateral images left out, as views is frontal")
    ]


def test_root_may_be_the_inner_folder(tree):
    records = find("chexpert").records(
        tree / "CheXpert-v1.0-small", CohortConfig("chexpert"), Notes()
    )
    assert records[0].files == ("train/patient00001/study1/view1_frontal.jpg",)


def test_without_demographics_race_is_left_out_and_said(tmp_path):
    root = write_chexpert(tmp_path / "tree", rows())
    cohort, _ = opened(root, tmp_path / "out")
    assert [attribute.name for attribute in cohort.spec.attributes] == ["sex", "age"]
    path = prepare(CohortConfig("chexpert", image_size=16), root, tmp_path / "out")
    assert (
        "CHEXPERT DEMO.xlsx,absent: race of every patient is unknown,missing_table,kept"
        in (path / "exclusions.csv").read_text()
    )
    with pytest.raises(ValueError, match="race of no patient"):
        open_cohort(CohortConfig("chexpert", image_size=16, attributes=("race",)), tmp_path / "out")


def test_conflicting_sex_is_unknown_and_said(tmp_path):
    root = write_chexpert(
        tmp_path / "tree",
        [*rows(), chexpert_row(2, study=3, Sex="Female")],
        [*PEOPLE, ("patient00005", "Female", "Other")],
    )
    _, table = opened(root, tmp_path / "out")
    assert table.loc["patient00002/study1/view1_frontal", "sex"] is None, "two rows disagree"
    assert table.loc["patient00005/study1/view1_frontal", "sex"] is None, (
        "row and demographics disagree"
    )
    notes = Notes()
    find("chexpert").records(root, CohortConfig("chexpert"), notes)
    reasons = [note.reason for note in notes if note.kind == "conflict"]
    assert sorted(reasons) == [
        "patient patient00002: sex is 'Female' here and 'Male' elsewhere; it counts as unknown",
        "patient patient00005: sex is 'Female' here and 'Male' elsewhere; it counts as unknown",
    ]


def test_demographics_that_contradict_each_other_and_strange_races(tmp_path):
    people = [
        *PEOPLE,
        ("patient00001", "Female", "Black, Hispanic"),
        ("patient00002", "Male", "Asian - Historical Conv"),
        ("patient00005", "Male", "Martian"),
    ]
    root = write_chexpert(tmp_path / "tree", rows(), people)
    _, table = opened(root, tmp_path / "out")
    assert table.loc["patient00001/study1/view1_frontal", "race"] is None
    assert table.loc["patient00002/study1/view1_frontal", "race"] == "Asian"
    notes = Notes()
    find("chexpert").records(root, CohortConfig("chexpert"), notes)
    kinds = {(note.file, note.kind) for note in notes}
    assert ("CHEXPERT DEMO.xlsx#6", "conflict") in kinds
    assert ("CHEXPERT DEMO.xlsx#8", "unknown_label") in kinds


def test_spellings_of_one_group_agree_and_what_is_known_beats_what_is_not(tmp_path):
    write_demo(
        tmp_path / "CHEXPERT DEMO.xlsx",
        [
            ("a", "Male", "White"),
            ("a", "M", "White, non-Hispanic"),
            ("b", "Unknown", "Black or African American"),
            ("b", "Female", ""),
            ("c", "Male", "Patient Refused"),
            *(("d", "Male", race) for race in ("White", "Asian", "White")),
        ],
    )
    notes = Notes()
    people = read_demographics([tmp_path], notes)
    assert people == {
        "a": ("Male", "White"),
        "b": ("Female", "Black or African American"),
        "c": ("Male", "Patient Refused"),
        "d": ("Male", ""),
    }
    reason = "d: race is 'Asian' here and 'White' before; neither counts"
    assert [(note.file, note.reason) for note in notes] == [("CHEXPERT DEMO.xlsx#8", reason)]


@pytest.mark.parametrize("damage", ["no archive", "half a sheet", "encrypted"])
def test_damaged_demographics_are_an_error_with_their_name(tree, damage):
    path = tree / "CHEXPERT DEMO.xlsx"
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w") as book:
        for name, part in parts.items():
            book.writestr(
                name,
                part[: len(part) // 2] if "sheet1" in name and damage == "half a sheet" else part,
            )
    if damage == "no archive":
        path.write_bytes(b"PK no workbook")
    elif damage == "encrypted":
        content = path.read_bytes().replace(
            b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
        )
        path.write_bytes(content.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0"))
    with pytest.raises(ValueError, match=r"CHEXPERT DEMO\.xlsx: not a readable workbook"):
        find("chexpert").records(tree, CohortConfig("chexpert"), Notes())


def test_demographics_without_a_column_are_an_error(tree, monkeypatch):
    monkeypatch.setattr(
        "tests.support.trees.DEMO_COLUMNS", ("PATIENT", "GENDER", "AGE_AT_CXR", "RACE", "ETHNICITY")
    )
    write_demo(tree / "CHEXPERT DEMO.xlsx", PEOPLE)
    with pytest.raises(ValueError, match=r"CHEXPERT DEMO\.xlsx: no column PRIMARY_RACE"):
        find("chexpert").records(tree, CohortConfig("chexpert"), Notes())


def test_bad_rows_and_files_are_counted_with_their_reason(tmp_path):
    bad = [
        *rows(),
        chexpert_row(6),  # missing file
        chexpert_row(7),  # truncated
        chexpert_row(8),  # constant
        chexpert_row(2),  # duplicate
        {**chexpert_row(9), "Path": "CheXpert-v1.0-small/train/../../../etc/passwd.jpg"},
        {**chexpert_row(9), "Path": "somewhere/x.jpg"},
        {**chexpert_row(10), "Edema": "2.0", "Fracture": "yes"},
        {**chexpert_row(11), "Frontal/Lateral": "Oblique"},
        {**chexpert_row(12), "No Finding": "1.0", "Edema": "1.0"},
    ]
    root = write_chexpert(tmp_path / "tree", bad, PEOPLE)
    folder = root / "CheXpert-v1.0-small" / "train"
    (folder / "patient00006/study1/view1_frontal.jpg").unlink()
    path = folder / "patient00007/study1/view1_frontal.jpg"
    path.write_bytes(path.read_bytes()[:300])
    Image.new("L", (32, 32), 80).save(folder / "patient00008/study1/view1_frontal.jpg")
    cohort, table = opened(root, tmp_path / "out")
    assert len(cohort) == 8
    place = prepare(CohortConfig("chexpert", image_size=16), root, tmp_path / "out")
    text = (place / "exclusions.csv").read_text()
    for file, kind, action in [
        ("train/patient00006/study1/view1_frontal.jpg", "missing_file", "skipped"),
        ("train/patient00007/study1/view1_frontal.jpg", "unreadable", "skipped"),
        ("train/patient00008/study1/view1_frontal.jpg", "constant", "skipped"),
        ("train/patient00002/study1/view1_frontal.jpg", "duplicate", "skipped"),
        ("train.csv#13", "outside_root", "skipped"),
        ("train.csv#14", "unknown_name", "skipped"),
        ("train.csv#15", "unknown_label", "kept"),
        ("train.csv#16", "unknown_label", "skipped"),
        ("train.csv#17", "conflict", "kept"),
    ]:
        assert any(
            file in line and line.endswith(f"{kind},{action}") for line in text.splitlines()
        ), (file, kind, text)
    assert table.loc["patient00010/study1/view1_frontal", ["edema", "fracture"]].isna().all()
    assert table.loc["patient00012/study1/view1_frontal", "edema"] == 0


def test_missing_table_and_column_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="no data folder"):
        find("chexpert").records(tmp_path / "nowhere", CohortConfig("chexpert"), Notes())
    with pytest.raises(FileNotFoundError, match=r"expected one train\.csv"):
        find("chexpert").records(tmp_path, CohortConfig("chexpert"), Notes())
    root = write_chexpert(tmp_path / "tree", rows())
    table = root / "CheXpert-v1.0-small" / "train.csv"
    table.write_text(table.read_text().replace("Lung Lesion", "Lesion"))
    with pytest.raises(ValueError, match=r"train\.csv: no column Lung Lesion"):
        find("chexpert").records(root, CohortConfig("chexpert"), Notes())


def test_splits_with_a_diagnosis_part(tmp_path):
    many = [
        chexpert_row(
            n, Sex="Male" if n % 2 else "Female", Age=str(40 + n), **{"Edema": f"{n % 3 == 0:d}.0"}
        )
        for n in range(1, 41)
    ]
    cohort, _ = opened(write_chexpert(tmp_path / "tree", many), tmp_path / "out")
    splits = make_splits(cohort.table, cohort.spec, (0.7, 0.1, 0.2), diagnosis_fraction=0.3)
    assert splits.counts() == {
        "train_reconstruction": 20,
        "train_diagnosis": 8,
        "val": 4,
        "test": 8,
    }
