"""One clear error per defect of a foreign table, its mapping or its file."""

import numpy as np
import pytest

from fairrecon_jax.study.table import read_table
from fairrecon_jax.types import InputError
from tests.support.foreign_tables import MAPPING, frame, saved


def changed(**columns):
    return frame().assign(**columns)


def blank(column, row, cell=None):
    return frame()[column].where(frame().index != row, cell)


ERRORS = {
    "missing column": (
        lambda: frame().drop(columns="p1"),
        {},
        r"no column 'p1', which the mapping names for tasks.effusion.reconstructed",
    ),
    "scores outside": (
        lambda: changed(p1=frame()["p1"].where(frame().index != 4, 1.7)),
        {},
        r"'p1' holds 1 scores outside \[0, 1\] \(row 5: 1.7\)",
    ),
    "text for a score": (
        lambda: changed(p1=["high"] * 240),
        {},
        r"column 'p1', row 1: 'high' is not a number",
    ),
    "a third label": (
        lambda: changed(y=2),
        {},
        r"'y', row 1: label 2 of task 'effusion' is not 0, 1, -1 or blank",
    ),
    "patient in two splits": (
        lambda: changed(pid=["same"] * 240),
        {},
        r"1 patient is in several splits, e.g. 'same' in \['dev', 'test'\]",
    ),
    "patients of train in test": (
        lambda: changed(
            pid=[f"p{i // 2}" for i in range(240)], fold=["train", "test", "train", "dev"] * 60
        ),
        {},
        r"table.csv: 120 patients are in several splits, e.g. 'p0' in \['test', 'train'\]; split",
    ),
    "empty example": (
        lambda: changed(image=blank("image", 6)),
        {},
        r"column 'image', row 7: the entry is empty; give every row its example",
    ),
    "empty method": (
        lambda: changed(model=blank("model", 2, " ")),
        {},
        r"column 'model', row 3: the entry is empty; .* its reconstructor",
    ),
    "empty level": (
        lambda: changed(dose=8.0).assign(dose=lambda t: t["dose"].where(t.index != 4)),
        {"level": "dose"},
        r"column 'dose', row 5: the entry is no finite number; give every row its level",
    ),
    "empty seed": (
        lambda: changed(run=[1.0, np.nan] * 120),
        {"seed": "run"},
        r"column 'run', row 2: .* is no finite number.* its seed",
    ),
    "half a seed": (
        lambda: changed(run=1.5),
        {"seed": "run"},
        r"column 'run', row 1: a seed is a whole number",
    ),
    "empty constant": (
        frame,
        {"level": {"value": None}},
        r"mapping 'level', row 1: the entry is no finite number",
    ),
    "tasks as a list": (
        frame,
        {"tasks": ["effusion"]},
        r"mapping 'tasks' must hold 'name: entry' pairs, got \['effusion'\]",
    ),
    "attributes as a list": (
        frame,
        {"attributes": ["Sex"]},
        r"mapping 'attributes' must hold 'name: entry' pairs",
    ),
    "groups as a list": (
        frame,
        {"attributes": {"sex": {"column": "Sex", "groups": ["F"]}}},
        r"attributes.sex.groups must hold 'name: entry'",
    ),
    "one value in two groups": (
        frame,
        {"attributes": {"sex": {"column": "Sex", "groups": {"Female": "F", "Male": ["M", "F"]}}}},
        r"attributes.sex.groups puts one value into two groups",
    ),
    "a column as a list": (
        frame,
        {"split": ["fold"]},
        r"no column \['fold'\], which the mapping names for split",
    ),
    "number for a name": (
        frame,
        {"attributes": {1: "Sex"}},
        r"mapping 'attributes' has the name 1; names are text",
    ),
    "attribute named split": (
        frame,
        {"attributes": {"split": "Sex"}},
        r"attributes.split: this name is taken; choose one",
    ),
    "attribute named level": (
        frame,
        {"attributes": {"level": "Sex"}},
        r"attributes.level: this name is taken",
    ),
    "attribute named as a task": (
        frame,
        {"attributes": {"effusion": "Sex"}},
        r"attributes.effusion: this name is taken",
    ),
    "attribute named as a task's column": (
        frame,
        {"attributes": {"a__b": "Sex"}},
        r"attributes.a__b: .* choose one without '__'",
    ),
    "task named split": (
        frame,
        {"tasks": {"split": MAPPING["tasks"]["effusion"]}},
        r"tasks.split: this name is taken",
    ),
    "bad aggregation": (
        frame,
        {"tasks": {"a": {**MAPPING["tasks"]["effusion"], "aggregation": "medain"}}},
        r"tasks.a.aggregation must be 'none' or 'median' or 'mean', got 'medain'",
    ),
    "bad per": (
        frame,
        {"attributes": {"sex": {"column": "Sex", "per": "foo"}}},
        r"attributes.sex.per must be 'patient' or 'image', got 'foo'",
    ),
    "bad reference": (
        frame,
        {"attributes": {"sex": {"column": "Sex", "reference": "W"}}},
        r"attributes.sex.reference must be among its groups \('F', 'M', 'm'\), got 'W'",
    ),
    "bad cut": (
        frame,
        {"attributes": {"age": {"column": "Age", "cut": "old"}}},
        r"attributes.age.cut must be a number",
    ),
    "bad image metric": (
        frame,
        {"image_metrics": {"sharpness": "p0"}},
        r"mapping 'image_metrics' has unknown keys \['sharpness'\]",
    ),
    "contradicting rows": (
        lambda: changed(image=["one"] * 240),
        {},
        r"239 rows repeat an example with other values, e.g. 'one'",
    ),
    "constant label": (
        lambda: changed(y=1),
        {},
        r"no task can be assessed: the test labels of \['effusion'\] are constant",
    ),
    "no test rows": (lambda: changed(fold="dev"), {}, r"no test row is left"),
    "unknown key": (frame, {"task": {}}, r"mapping has unknown keys \['task'\]"),
    "unknown task key": (
        frame,
        {"tasks": {"a": {"lable": "y"}}},
        r"tasks.a has unknown keys \['lable'\]",
    ),
    "task without columns": (
        frame,
        {"tasks": {"a": {"label": "y"}}},
        r"tasks.a lacks \['reconstructed'\]",
    ),
    "bad kind": (
        frame,
        {"tasks": {"a": {"label": "y", "reconstructed": "p1", "kind": "regression"}}},
        r"tasks.a.kind must be",
    ),
    "bad constant": (
        frame,
        {"level": {"constant": 8}},
        r"mapping 'level' must be a column name or \{value: constant\}",
    ),
    "level of no modality": (
        frame,
        {"modality": None},
        r"mapping has 'level' but no 'modality', which says what levels are",
    ),
    "bad modality": (frame, {"modality": "ct"}, r"'modality' must be 'xray' or 'mri', got 'ct'"),
    "one split twice": (
        frame,
        {"split": {"column": "fold", "val": "dev", "test": ["dev", "test"]}},
        r"takes 'dev' for val and for test",
    ),
    "split without column": (frame, {"split": {"val": ["dev"]}}, r"mapping 'split' needs 'column'"),
}


@pytest.mark.parametrize("defect", ERRORS)
def test_each_defect_is_one_clear_error(tmp_path, defect):
    make, change, message = ERRORS[defect]
    with pytest.raises(ValueError, match=message):
        read_table(saved(tmp_path, make()), {**MAPPING, **change})


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no predictions table at"):
        read_table(tmp_path / "absent.csv", MAPPING)
    with pytest.raises(FileNotFoundError, match="no mapping at"):
        read_table(saved(tmp_path, frame()), tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("- a list")
    with pytest.raises(ValueError, match="must hold keys and values, got list"):
        read_table(saved(tmp_path, frame()), tmp_path / "bad.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="is not YAML"):
        read_table(saved(tmp_path, frame()), tmp_path / "broken.yaml")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        read_table(tmp_path / "bad.parquet", MAPPING)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match="cannot be read as CSV"):
        read_table(tmp_path / "empty.csv", MAPPING)
    (tmp_path / "sheet.xlsx").write_bytes(b"PK\xff\xfe")
    with pytest.raises(ValueError, match=r"sheet.xlsx cannot be read as Excel"):
        read_table(tmp_path / "sheet.xlsx", MAPPING)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ValueError, match=r"latin.yaml is not YAML"):
        read_table(saved(tmp_path, frame()), tmp_path / "latin.yaml")
    with pytest.raises(
        ValueError, match="a mapping is a dictionary or the path of a YAML file, got list"
    ):
        read_table(saved(tmp_path, frame()), ["tasks"])
    with pytest.raises(ValueError, match=r"rowless.parquet holds no rows"):
        read_table(saved(tmp_path, frame().iloc[:0], "rowless.parquet"), MAPPING)
    (tmp_path / "rowless.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="holds no rows"):
        read_table(tmp_path / "rowless.csv", MAPPING)
    with pytest.raises(ValueError, match="not the published code's CSV"):
        read_table(saved(tmp_path, frame()))


def test_an_example_column_is_needed_where_cells_vary(tmp_path):
    mapping = {k: v for k, v in MAPPING.items() if k != "example"}
    with pytest.raises(ValueError, match=r"needs 'example'.*\['reconstructor'\]"):
        read_table(saved(tmp_path, frame()), mapping)


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    mapping = {
        **MAPPING,
        "titel": "Knees",
        "patient": "who",
        "split": {"column": "part"},
        "tasks": {
            "effusion": {"label": "y", "original": "p0", "reconstructed": "q1"},
            "edema": {"label": "y"},
            "fine": {"label": "y", "reconstructed": "p1"},
        },
        "attributes": {"sex": {"column": "Gender"}, "age": {"column": "Age", "cut": 62}},
        "image_metrics": {"psnr": "PSNR"},
        "options": {"permutation": 19},
    }
    with pytest.raises(InputError) as refused:
        read_table(saved(tmp_path, frame()), mapping)
    starts = [
        "mapping has unknown keys ['titel'], did you mean 'title' for 'titel'?",
        "mapping 'options' (those of AssessOptions) has unknown keys ['permutation']",
        "the table has no column 'who', which the mapping names for patient",
        "the table has no column 'part', which the mapping names for split",
        "the table has no column 'q1', which the mapping names for tasks.effusion.reconstructed",
        "tasks.edema lacks ['reconstructed']",
        "the table has no column 'Gender', which the mapping names for attributes.sex",
        "the table has no column 'PSNR', which the mapping names for image_metrics.psnr",
    ]
    told = refused.value.refusals
    assert len(told) == len(starts)
    for line, start in zip(told, starts, strict=True):
        assert line.startswith(start), line
    text = str(refused.value).splitlines()
    assert text[0] == f"{tmp_path / 'table.csv'}: 8 errors:"
    assert text[3].startswith("  3. the table has no column 'who'")


def test_a_misspelt_tasks_is_not_taken_for_the_published_table(tmp_path):
    mapping = {"task": MAPPING["tasks"]}
    with pytest.raises(InputError, match=r"table\.csv: mapping has unknown keys \['task'\]") as one:
        read_table(saved(tmp_path, frame()), mapping)
    assert "published" not in str(one.value)


def test_an_unknown_key_hides_no_missing_column(tmp_path):
    mapping = {
        **MAPPING,
        "tasks": {
            "effusion": {"lable": "y", "original": "q0", "reconstructed": "q1", "scale": "x"},
            "edema": {"label": "y", "reconstructd": "p1", "kind": "regression"},
        },
        "attributes": {"sex": {"column": "Gender", "pre": "image", "per": "eye"}},
    }
    with pytest.raises(InputError) as refused:
        read_table(saved(tmp_path, frame()), mapping)
    starts = [
        "tasks.effusion has unknown keys ['lable'], did you mean 'label' for 'lable'?",
        "tasks.effusion.scale must be",
        "the table has no column 'q0', which the mapping names for tasks.effusion.original",
        "the table has no column 'q1', which the mapping names for tasks.effusion.reconstructed",
        "tasks.edema has unknown keys ['reconstructd'], did you mean 'reconstructed'",
        "tasks.edema.kind must be",
        "attributes.sex has unknown keys ['pre'], did you mean 'per' for 'pre'?",
        "the table has no column 'Gender', which the mapping names for attributes.sex",
        "attributes.sex.per must be 'patient' or 'image', got 'eye'",
    ]
    told = refused.value.refusals
    assert len(told) == len(starts), told
    for line, start in zip(told, starts, strict=True):
        assert line.startswith(start), line
