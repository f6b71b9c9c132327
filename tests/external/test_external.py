"""Foreign tables: mappings, the published code's CSV, and one clear error or counted exclusion per
defect.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import yaml

from fairrecon_jax.assessment import AssessOptions, assess, write_predictions
from fairrecon_jax.external.cells import number
from fairrecon_jax.physics import describe
from fairrecon_jax.study.table import assess_table, options_of, read_table
from fairrecon_jax.types import CohortSpec, Task

MAPPING = {
    "name": "mine",
    "example": "image",
    "patient": "pid",
    "split": {"column": "fold", "val": ["dev"]},
    "level": {"value": 8.0},
    "reconstructor": "model",
    "modality": "mri",
    "tasks": {
        "effusion": {"label": "y", "original": "p0", "reconstructed": "p1", "title": "Effusion"}
    },
    "attributes": {
        "sex": {"column": "Sex", "groups": {"Female": "F", "Male": ["M", "m"]}},
        "age": {"column": "Age", "cut": 62},
    },
}
QUICK = AssessOptions(
    replicates=50, flips=99, null_draws=20, threshold_rule="fixed", threshold_value=0.5
)


def frame(n=240, seed=0):
    r = np.random.default_rng(seed)
    y = r.integers(0, 2, n)
    p0 = np.clip(0.3 + 0.4 * y + r.normal(0, 0.2, n), 0, 1)
    columns = {
        "image": [f"i{i}" for i in range(n)],
        "pid": [f"p{i}" for i in range(n)],
        "fold": np.where(np.arange(n) < n // 3, "dev", "test"),
    }
    return pd.DataFrame(
        {
            **columns,
            "model": "unet",
            "y": y,
            "p0": p0,
            "p1": np.clip(p0 + r.normal(0, 0.05, n), 0, 1),
            "Sex": r.choice(["F", "M", "m"], n),
            "Age": r.integers(30, 90, n),
        }
    )


def saved(tmp_path, table, name="table.csv"):
    path = tmp_path / name
    if name.endswith("csv"):
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def reasons(table):
    return {e["reason"]: e["count"] for e in table.attrs["exclusions"]}


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_mapping_is_applied(tmp_path, name):
    mapping = tmp_path / "columns.yaml"
    mapping.write_text(yaml.safe_dump(MAPPING, sort_keys=False))
    source = frame()
    table, spec = read_table(saved(tmp_path, source, name), mapping)
    assert [t.name for t in spec.tasks] == ["effusion"]
    assert spec.degradation == describe("mri_radial", (8.0,), 8.0)
    assert [a.groups for a in spec.attributes] == [("Female", "Male"), ("under 62", "62 or older")]
    assert table["split"].value_counts().to_dict() == {"test": 160, "val": 80}
    assert (table["sex"] == source["Sex"].str.upper().map({"F": "Female", "M": "Male"})).all()
    assert ((table["age"] == "under 62") == (source["Age"] < 62)).all()
    np.testing.assert_allclose(table["effusion__reconstructed"], source["p1"])
    assert table.attrs["exclusions"] == []


def test_the_published_csv_is_recognised(tmp_path):
    source = frame()
    printed = pd.DataFrame(
        {
            "Lung Opacity": source["y"].map("tensor({}., dtype=torch.float64)".format),
            "Lung Opacity_class": source["p0"].map("tensor([{}])".format),
            "Lung Opacity_recon": source["p1"].map("tensor({}, device='cuda:0')".format),
            "sex": np.where(source["Sex"] == "F", "tensor(0.)", "tensor(1.)"),
            "Age": source["Age"].map("tensor({}., dtype=torch.float64)".format),
        }
    )
    table, spec = read_table(saved(tmp_path, printed, "preds_unet.csv"))
    assert spec.tasks == (Task("lung_opacity", "classification", "none", "Lung Opacity"),)
    np.testing.assert_allclose(table["lung_opacity__original"], source["p0"])
    assert [a.groups for a in spec.attributes] == [("0", "1"), ("under 62", "62 or older")]
    assert reasons(table) == {
        "no patient column: every image counts as a patient of its own; rows": 240
    }
    assert set(table["reconstructor"]) == {"preds_unet"}
    with pytest.raises(ValueError, match=r"needs validation patients.*threshold_rule='fixed'"):
        assess(table, spec)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tensor(68., dtype=torch.float64)", 68),
        ("tensor([0.25])", 0.25),
        ("1e-3", 0.001),
        ("[0.5]", 0.5),
        (" -1 ", -1),
        (3, 3),
        ("", np.nan),
        ("tensor(nan)", np.nan),
    ],
)
def test_numbers(text, value):
    np.testing.assert_equal(number(text), float(value))


@pytest.mark.parametrize(
    "text", ["__import__('os').getcwd()", "tensor(1., 2.)(", "0.5 0.6", "tensor(abs(1))"]
)
def test_nothing_is_evaluated(text):
    with pytest.raises(ValueError, match="is not a number"):
        number(text)


def test_without_originals_the_assessment_is_unpaired(tmp_path):
    tasks = {"effusion": {"label": "y", "reconstructed": "p1"}}
    table, spec = read_table(saved(tmp_path, frame()), {**MAPPING, "tasks": tasks})
    performance, fairness = assess(table, spec, QUICK)
    auroc = performance.query("metric == 'auroc' and attribute == ''").set_index("version")
    assert np.isfinite(auroc.loc["reconstructed", "value"])
    assert np.isnan(auroc.loc["change", "value"])
    assert "no predictions on original images" in auroc.loc["change", "reason"]
    change = fairness.query("metric == 'eodd' and version == 'change' and convention == 'paper'")
    assert set(change["verdict"]) == {"not estimable"}
    assert change["reason"].str.contains("no predictions on original images").all()
    assert np.isfinite(
        fairness.query("metric == 'eodd' and version == 'reconstructed'")["value"]
    ).all()
    with pytest.raises(ValueError, match="no predictions on original validation images"):
        assess(table, spec)


def test_assess_table_writes_results_and_report(tmp_path):
    options = {
        "threshold_rule": "per_version",
        "replicates": 50,
        "null_draws": 20,
        "auroc_gaps": False,
    }
    page = assess_table(saved(tmp_path, frame()), {**MAPPING, "options": options}, tmp_path / "run")
    assert page.is_file()
    assert (tmp_path / "run" / "predictions.parquet").is_file()
    written = pd.read_csv(tmp_path / "run" / "results" / "fairness.csv")
    assert {"eodd", "eop"} <= set(written["metric"])
    again, spec = read_table(tmp_path / "run" / "predictions.parquet")
    assert (len(again), spec.name) == (240, "mine")


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
        r"1 patients are in several splits, e.g. 'same' in \['dev', 'test'\]",
    ),
    "patients of train in test": (
        lambda: changed(
            pid=[f"p{i // 2}" for i in range(240)], fold=["train", "test", "train", "dev"] * 60
        ),
        {},
        r"table.csv: 120 patients are in several splits, e.g. 'p0' in \['test', 'train'\]; split by patient",
    ),
    "empty example": (
        lambda: changed(image=blank("image", 6)),
        {},
        r"column 'image', row 7: the cell is empty; give every row its example",
    ),
    "empty method": (
        lambda: changed(model=blank("model", 2, " ")),
        {},
        r"column 'model', row 3: the cell is empty; .* its reconstructor",
    ),
    "empty level": (
        lambda: changed(dose=8.0).assign(dose=lambda t: t["dose"].where(t.index != 4)),
        {"level": "dose"},
        r"column 'dose', row 5: the cell holds no finite number; give every row its level",
    ),
    "empty seed": (
        lambda: changed(run=[1.0, np.nan] * 120),
        {"seed": "run"},
        r"column 'run', row 2: .* no finite number.* its seed",
    ),
    "half a seed": (
        lambda: changed(run=1.5),
        {"seed": "run"},
        r"column 'run', row 1: a seed is a whole number",
    ),
    "empty constant": (
        frame,
        {"level": {"value": None}},
        r"mapping 'level', row 1: the cell holds no finite number",
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
        {"image_metrics": {"mse": "p0"}},
        r"mapping 'image_metrics' has unknown keys \['mse'\]",
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


def test_an_example_column_is_needed_where_cells_vary(tmp_path):
    mapping = {k: v for k, v in MAPPING.items() if k != "example"}
    with pytest.raises(ValueError, match=r"needs 'example'.*\['reconstructor'\]"):
        read_table(saved(tmp_path, frame()), mapping)


def test_exclusions_are_counted(tmp_path):
    table = frame()
    table.loc[0:4, "pid"] = None
    table.loc[5:6, "y"] = -1
    table.loc[230:239, "Sex"] = "unknown"
    table = pd.concat([table, table.iloc[100:103]])
    extra = {**MAPPING["tasks"], "rare": {"label": "zero", "original": "p0", "reconstructed": "p1"}}
    mapping = {**MAPPING, "tasks": extra, "attributes": {**MAPPING["attributes"], "site": "model"}}
    read, spec = read_table(saved(tmp_path, table.assign(zero=0)), mapping)
    assert reasons(read) == {
        "uncertain labels (-1) of effusion count as unknown": 2,
        "rows without a patient were left out": 5,
        "repeated identical rows were left out": 3,
        "task rare was left out: its test labels are all 0": 160,
        "test rows without a group of sex are left out of its gaps": 10,
        "attribute site was left out: its test rows hold ['unet'], and a gap needs two": 160,
    }
    assert ([t.name for t in spec.tasks], [a.name for a in spec.attributes]) == (
        ["effusion"],
        ["sex", "age"],
    )
    assert len(read) == 235


def test_exclusions_warn(tmp_path):
    with pytest.warns(
        UserWarning, match=r"uncertain labels \(-1\) of effusion count as unknown \(1\)"
    ):
        read_table(saved(tmp_path, changed(y=frame()["y"].where(frame().index != 0, -1))), MAPPING)


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
    with pytest.raises(ValueError, match=r"sheet.xlsx cannot be read as CSV"):
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


def test_options_of_a_mapping():
    assert options_of(
        {
            "options": {
                "threshold_rule": "fixed",
                "threshold_value": 0.4,
                "conventions": ["worst_case"],
            }
        }
    ).conventions == ("worst_case",)
    assert options_of({"options": {"intersections": [["sex", "age"]]}}).intersections == (
        ("sex", "age"),
    )
    with pytest.raises(ValueError, match=r"mapping 'options'.*'treshold'"):
        options_of({"options": {"treshold": 1}})
    with pytest.raises(ValueError, match="mapping 'options' must hold 'name: entry' pairs"):
        options_of({"options": ["threshold_rule"]})


def test_our_own_table_needs_no_mapping(tmp_path):
    spec = CohortSpec(
        "c",
        "C",
        "mri",
        (Task("a", "classification"),),
        (),
        describe("mri_radial", (8.0,), 8.0),
    )
    write_predictions(tmp_path / "own.parquet", pd.DataFrame({"example_id": ["b", "a"]}), spec)
    table, found = read_table(tmp_path / "own.parquet")
    assert (table["example_id"].tolist(), found) == (["a", "b"], spec)
