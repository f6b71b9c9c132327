"""Foreign tables piece by piece: cells, columns, mappings, exclusions; and the same table in
several disguises is one table.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import equalized_odds_difference
from sklearn.metrics import roc_auc_score

from fairrecon_jax.assessment import AssessOptions, assess
from fairrecon_jax.external.cells import column_of, number, numbers, text
from fairrecon_jax.external.checks import Log, usable_attributes, usable_rows, usable_tasks
from fairrecon_jax.external.mapping import check_keys, fields_of, load, published
from fairrecon_jax.study.table import assess_table, options_of, read_table
from fairrecon_jax.types import Attribute, Task

MAPPING = {
    "example": "image",
    "patient": "who",
    "split": "part",
    "tasks": {"finding": {"label": "y", "original": "a", "reconstructed": "b"}},
    "attributes": {"sex": "sex"},
}
QUICK = AssessOptions(
    replicates=20,
    flips=19,
    null_draws=10,
    threshold_rule="fixed",
    threshold_value=0.5,
    auroc_gaps=False,
)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def frame(size=120, seed=0):
    r = np.random.default_rng(seed)
    y, index = r.integers(0, 2, size), np.arange(size)
    a = np.round(np.clip(0.25 + 0.5 * y + r.normal(0, 0.25, size), 0, 1), 3)
    b = np.round(np.clip(a + r.normal(0, 0.2, size), 0, 1), 3)
    columns = {
        "image": [f"i{i:03d}" for i in index],
        "who": [f"p{i:03d}" for i in index],
        "part": np.where(index % 4, "test", "valid"),
    }
    return pd.DataFrame(
        {
            **columns,
            "y": y,
            "a": a,
            "b": b,
            "sex": r.choice(["F", "M"], size),
            "age": 50 + index % 20,
        }
    )


def read(tmp_path, table, name="mine.csv", **change):
    path = tmp_path / name
    table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path)
    return read_table(path, {**MAPPING, **change})


def reasons(table):
    return {e["reason"]: e["count"] for e in table.attrs["exclusions"]}


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (1.0, "1"),
        ("tensor(1.)", "1"),
        ("tensor([2.5])", "2.5"),
        (" White ", "White"),
        (np.int64(3), "3"),
        (True, "1"),
        ("A 1", "A 1"),
        (1234567, "1234567"),
        (" ", None),
    ],
)
def test_names_of_groups(cell, name):
    assert text(cell) == name


@pytest.mark.parametrize("cell", [None, "  ", np.float32("nan"), "NaN"])
def test_blank_cells_are_not_numbers(cell):
    assert np.isnan(number(cell))


def test_columns_of_numbers():
    table = pd.DataFrame(
        {"whole": [1, 2, 3], "mixed": ["tensor(1.)", None, ".5"], "bad": ["1", "x", "y"]},
        index=[5, 6, 7],
    )
    assert numbers(table, "whole").dtype == float
    pd.testing.assert_series_equal(
        numbers(table, "mixed"), pd.Series([1.0, np.nan, 0.5], index=[5, 6, 7])
    )
    with pytest.raises(ValueError, match="column 'bad', row 2: 'x' is not a number"):
        numbers(table, "bad")
    with pytest.raises(
        ValueError,
        match=r"no column 'worse', .* names for worse; its columns are \['whole', 'mixed', 'bad'\]",
    ):
        numbers(table, "worse")
    with pytest.raises(ValueError, match="which the mapping names for patient"):
        column_of(table, "pid", "patient")


def test_unknown_keys_of_several_types_are_named():
    with pytest.raises(ValueError, match=r"here has unknown keys \[1, 'b'\]"):
        check_keys("here", {"b": 2, 1: "x"}, frozenset("a"))


def test_a_mapping_is_a_copy_and_its_entries_are_checked():
    given = {"name": "a"}
    loaded = load(given)
    loaded["name"] = "b"
    assert given == {"name": "a"}
    assert load(None) == {}
    with pytest.raises(ValueError, match=r"here has unknown keys \['b', 'c'\]; known are \['a'\]"):
        check_keys("here", {"c": 1, "b": 2, "a": 3}, frozenset("a"))
    with pytest.raises(ValueError, match=r"tasks.x must hold keys among \['a'\], got 'column'"):
        fields_of("tasks.x", "column", frozenset("a"))
    with pytest.raises(ValueError, match=r"AssessOptions.alpha must lie between 0 and 1"):
        options_of({"options": {"alpha": 2.0}})
    assert options_of({"options": None}) == options_of({}) == AssessOptions()
    assert options_of({"options": {"label_weights": [1.0, 2.0]}}).label_weights == (1.0, 2.0)


def test_the_published_columns_are_recognised_in_any_spelling(tmp_path):
    columns = ["Pleural Effusion", "Pleural Effusion_recon", "Edema", "Edema_class", "Edema_recon"]
    table = pd.DataFrame(columns=[*columns, "Gender", "AGE", "PRIMARY_RACE", "PatientID", "Split"])
    found = published(table, tmp_path / "run 1.csv")
    assert found["tasks"] == {
        "pleural_effusion": {
            "label": "Pleural Effusion",
            "reconstructed": "Pleural Effusion_recon",
            "title": "Pleural Effusion",
        },
        "edema": {
            "label": "Edema",
            "reconstructed": "Edema_recon",
            "title": "Edema",
            "original": "Edema_class",
        },
    }
    age = {"column": "AGE", "cut": 62.0, "per": "image"}
    assert found["attributes"] == {
        "sex": {"column": "Gender"},
        "age": age,
        "race": {"column": "PRIMARY_RACE"},
    }
    assert (found["patient"], found["split"], found["name"]) == ("PatientID", "Split", "run 1")
    assert (found["level"], found["reconstructor"]) == ({"value": 1e4}, {"value": "run 1"})
    bare = published(table[columns], tmp_path / "b.csv")
    assert not {"patient", "split"} & set(bare)
    assert bare["attributes"] == {}


def test_constants_and_columns_place_every_row(tmp_path):
    table = pd.concat(
        [
            frame().assign(dose=d, net=n, fix=f, run=s)
            for d, n, f, s in ((1e4, "u", "none", 0), (1e5, "v", "dro", 3))
        ]
    )
    found, spec = read(
        tmp_path,
        table,
        level="dose",
        reconstructor="net",
        mitigation="fix",
        seed="run",
        modality="xray",
        title="T",
    )
    cells = found[["level", "reconstructor", "mitigation", "seed"]].drop_duplicates()
    assert cells.to_numpy().tolist() == [[1e4, "u", "none", 0], [1e5, "v", "dro", 3]]
    assert (spec.degradation.levels, spec.degradation.headline_level, spec.title, spec.name) == (
        (1e5, 1e4),
        1e4,
        "T",
        "mine",
    )
    _, brain = read(
        tmp_path,
        table,
        level="dose",
        reconstructor="net",
        mitigation="fix",
        seed="run",
        modality="mri",
    )
    assert brain.degradation.levels == (1e4, 1e5)
    alone, _ = read(tmp_path, frame())
    assert alone[
        ["level", "reconstructor", "mitigation", "seed", "cohort"]
    ].drop_duplicates().to_numpy().tolist() == [[1.0, "mine", "none", 0, "mine"]]


def test_a_row_without_mitigation_has_none(tmp_path):
    table = pd.concat([frame().assign(fix=[None, "None"] * 60), frame().assign(fix="dro")])
    for name in ("mine.csv", "mine.parquet"):
        found, _ = read(tmp_path, table, name, mitigation="fix")
        assert found["mitigation"].value_counts().to_dict() == {"none": 120, "dro": 120}
    found, _ = read(tmp_path, frame(), mitigation={"value": None})
    assert set(found["mitigation"]) == {"none"}


def test_a_level_that_nobody_named_is_not_a_photon_count(tmp_path):
    frame().to_csv(tmp_path / "mine.csv", index=False)
    options = {
        "threshold_rule": "fixed",
        "threshold_value": 0.5,
        "replicates": 20,
        "flips": 19,
        "null_draws": 10,
        "auroc_gaps": False,
    }
    page = assess_table(
        tmp_path / "mine.csv", {**MAPPING, "options": options}, tmp_path / "out"
    ).read_text()
    assert "At a level not named, the AUROC went from" in page
    assert "hoton count 1" not in page
    _, spec = read_table(tmp_path / "out" / "predictions.parquet")
    assert spec.degradation.kind == "unnamed"


def test_patients_whose_images_disagree_are_in_no_group(tmp_path):
    table = frame().assign(who=[f"p{i // 8}" for i in range(120)], part="test")
    table["sex"] = np.array(["F", "M"])[np.arange(120) // 8 % 2]
    table.loc[[0, 9], "sex"] = ["M", None]
    found, _ = read(tmp_path, table)
    assert found.loc[found["patient_id"] == "p0", "sex"].isna().all()
    assert found["sex"].isna().sum() == 8 + 1
    assert reasons(found)["patients with images in several groups of sex count as unknown"] == 1
    found, _ = read(tmp_path, table, attributes={"sex": {"column": "sex", "per": "image"}})
    assert found["sex"].isna().sum() == 1


def test_a_patient_may_be_in_several_splits_that_are_not_judged(tmp_path):
    more = frame(8).assign(
        who="x", image=[f"x{i}" for i in range(8)], part=["train", "pretrain"] * 4
    )
    found, _ = read(tmp_path, pd.concat([frame(), more]))
    assert reasons(found) == {"rows of other splits than validation and test were left out": 8}
    with pytest.raises(
        ValueError, match=r"1 patients are in several splits, e.g. 'p001' in \['Train', 'test'\]"
    ):
        read(
            tmp_path,
            pd.concat([frame(), frame(8).assign(who="p001", image=list("abcdefgh"), part="Train")]),
        )
    other = frame().assign(
        part=np.where(np.arange(120) < 2, "test", "mine"), who=["p000"] + ["p001"] * 119
    )
    with pytest.raises(ValueError, match=r"e.g. 'p001' in \['mine', 'test'\]"):
        read(tmp_path, other, split={"column": "part", "test": "mine"})


def test_splits_that_are_numbers(tmp_path):
    table = frame().assign(part=(np.arange(120) % 4).astype(float))
    table.loc[0, "part"] = np.nan
    found, _ = read(tmp_path, table, split={"column": "part", "val": 3, "test": [1, 2]})
    assert found["split"].value_counts().to_dict() == {"test": 60, "val": 30}


def test_names_are_kept_as_they_are_written(tmp_path):
    table = frame().assign(who=[f"{i:020d}" for i in range(120)])
    table.loc[0, "who"] = None
    found, _ = read(tmp_path, table)
    assert (found["patient_id"].nunique(), found["patient_id"].iloc[0]) == (119, f"{1:020d}")
    table.loc[1, "who"] = " "
    found, _ = read(tmp_path, table)
    assert reasons(found) == {"rows without a patient were left out": 2}
    table.set_index("image").to_parquet(tmp_path / "indexed.parquet")
    assert (
        read_table(tmp_path / "indexed.parquet", MAPPING)[0]["example_id"].tolist()
        == found["example_id"].tolist()
    )


def test_findings_that_would_share_a_name_are_refused(tmp_path):
    table = pd.DataFrame(columns=["A b", "A b_recon", "A-b", "A-b_recon"])
    with pytest.raises(
        ValueError,
        match="the columns 'A b' and 'A-b' are both called 'a_b'; rename one or give a mapping",
    ):
        published(table, tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("entry", "sizes"),
    [(None, {"test": 120}), ("part", {"test": 90, "val": 30}), ({"column": "part"}, None)],
)
def test_splits(tmp_path, entry, sizes):
    found, _ = read(tmp_path, frame(), split=entry)
    assert found["split"].value_counts().to_dict() == (sizes or {"test": 90, "val": 30})


def test_splits_of_other_words(tmp_path):
    table = frame().assign(
        part=np.array(["TEST ", "Dev", "train", "Validation"])[np.arange(120) % 4]
    )
    found, _ = read(tmp_path, table)
    assert found["split"].value_counts().to_dict() == {"val": 60, "test": 30}
    assert reasons(found) == {"rows of other splits than validation and test were left out": 30}
    found, _ = read(
        tmp_path, table, split={"column": "part", "test": ["train", "Dev"], "val": "TEST"}
    )
    assert found["split"].value_counts().to_dict() == {"test": 60, "val": 30}
    found, _ = read(tmp_path, table, split={"column": "part", "val": "TEST", "test": "Validation"})
    assert found["split"].value_counts().to_dict() == {"val": 30, "test": 30}
    with pytest.raises(ValueError, match="no test row is left"):
        read(tmp_path, table, split={"column": "part", "val": "TEST"})
    found, _ = read(tmp_path, table, split={"column": "part", "test": "Validation"})
    assert found["split"].value_counts().to_dict() == {"val": 30, "test": 30}
    with pytest.raises(ValueError, match=r"mapping 'split' has unknown keys \['train'\]"):
        read(tmp_path, table, split={"column": "part", "train": "train"})


def test_an_age_exactly_at_the_cut_is_older(tmp_path):
    table = frame()
    table.loc[0, "age"] = np.nan
    found, spec = read(
        tmp_path,
        table,
        attributes={"age": {"cut": 60, "reference": "60 or older", "derivation": "years"}},
    )
    assert (found["age"] == "60 or older").to_numpy()[1:].tolist() == (table["age"] >= 60).tolist()[
        1:
    ]
    assert found["age"].isna().sum() == 1
    wanted = Attribute("age", ("under 60", "60 or older"), "years", "patient", "60 or older")
    assert spec.attributes == (wanted,)
    _, plain = read(tmp_path, frame(), attributes={"age": {"cut": 59.5}})
    assert (plain.attributes[0].groups[0], plain.attributes[0].derivation) == (
        "under 59.5",
        "age, cut at 59.5",
    )


def test_groups_that_are_not_named_are_unknown_and_all_values_are_groups_where_none_is(tmp_path):
    table = frame().assign(site=np.array([1.0, 2.0, 3.0])[np.arange(120) % 3])
    found, spec = read(
        tmp_path,
        table,
        attributes={"site": {"groups": {"big": [1, 2], "small": ["9"]}}, "sex": "sex"},
    )
    assert [a.name for a in spec.attributes] == ["sex"]
    assert (
        "attribute site was left out: its test rows hold ['big'], and a gap needs two"
        in reasons(found)
    )
    found, spec = read(tmp_path, table, attributes={"site": "site"})
    assert spec.attributes[0].groups == ("1", "2", "3")
    assert (found["site"] == table["site"].map("{:g}".format)).all()


def test_regions_image_metrics_and_aggregations(tmp_path):
    table = frame().assign(pixels=np.arange(120.0), psnr=31.0, similarity=0.9)
    tasks = {
        "region": {
            "kind": "segmentation",
            "original": "a",
            "reconstructed": "b",
            "label": "pixels",
            "original_pixels": "pixels",
        },
        "bare": {"kind": "segmentation", "reconstructed": "b"},
        "finding": {"label": "y", "reconstructed": "b", "aggregation": "median"},
    }
    found, spec = read(tmp_path, table, tasks=tasks, image_metrics={"ssim": "similarity"})
    assert [(t.name, t.kind, t.aggregation) for t in spec.tasks] == [
        ("region", "segmentation", "mean"),
        ("bare", "segmentation", "mean"),
        ("finding", "classification", "median"),
    ]
    assert (found["region__original_pixels"].max(), set(found["bare__label"])) == (119, {1.0})
    assert (set(found["psnr"]), set(found["ssim"])) == ({31.0}, {0.9})
    assert not {"lpips", "nrmse"} & set(found)
    with pytest.raises(
        ValueError, match=r"no column 'perceptual', which the mapping names for perceptual"
    ):
        read(tmp_path, table, image_metrics={"lpips": "perceptual"})


def test_what_cannot_be_used_one_by_one():
    place = {"level": 1.0, "reconstructor": "r", "mitigation": "none", "seed": 0}
    table = pd.DataFrame(
        {
            "example_id": list("abc"),
            "patient_id": list("abc"),
            "split": "test",
            "t__label": [1, 1, 1],
            **place,
        }
    )
    log = Log()
    with pytest.raises(
        ValueError,
        match=r"no task can be assessed: the test labels of \['t'\] are constant or missing",
    ):
        usable_tasks(table, [Task("t", "classification")], log)
    with pytest.raises(ValueError, match="no task can be assessed"):
        usable_tasks(table.assign(t__label=np.nan), [Task("t", "classification")], log)
    assert [e["reason"] for e in log.entries] == [
        "task t was left out: its test labels are all 1",
        "task t: no label",
    ]
    log = Log()
    assert usable_attributes(table.assign(g=None), [Attribute("g", ("x", "y"))], log) == ()
    assert log.entries == [
        {
            "reason": "attribute g was left out: its test rows hold no group, and a gap needs two",
            "count": 3,
        }
    ]
    log.add("nothing", 0)
    assert len(log.entries) == 1
    with pytest.raises(
        ValueError,
        match=r"1 rows repeat an example with other values, e.g. 'a'; keep one row of each",
    ):
        usable_rows(pd.concat([table, table.iloc[:1].assign(t__label=0)]), Log())
    assert len(usable_rows(pd.concat([table, table.iloc[:1].assign(seed=1)]), Log())) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Log().attach(table).attrs["exclusions"] == []


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    table, spec = read(tmp_path_factory.mktemp("plain"), frame())
    return assess(table, spec, QUICK)


def test_the_assessment_is_that_of_fairlearn_and_scikit_learn_on_the_file(judged):
    part = frame().query("part == 'test'")
    for version, column in (("original", "a"), ("reconstructed", "b")):
        rows = judged[1][
            (judged[1]["metric"] == "eodd")
            & (judged[1]["convention"] == "worst_case")
            & (judged[1]["version"] == version)
        ]
        wanted = equalized_odds_difference(
            part["y"], part[column] >= 0.5, sensitive_features=part["sex"]
        )
        assert rows["value"].tolist() == pytest.approx([wanted], abs=1e-9)
        rows = judged[0][
            (judged[0]["metric"] == "auroc")
            & (judged[0]["attribute"] == "")
            & (judged[0]["version"] == version)
        ]
        assert rows["value"].tolist() == pytest.approx(
            [roc_auc_score(part["y"], part[column])], abs=1e-12
        )


DISGUISES = {
    "parquet": ("mine.parquet", lambda t: t),
    "pq": ("mine.pq", lambda t: t),
    "other order": ("mine.csv", lambda t: t.sample(frac=1, random_state=1)),
    "printed tensors": (
        "mine.csv",
        lambda t: t.assign(
            b=t["b"].map("tensor([{}], device='cpu')".format), y=t["y"].map("[{}]".format)
        ),
    ),
    "further columns": ("mine.csv", lambda t: t.assign(note="n")),
    "repeated rows": ("mine.csv", lambda t: pd.concat([t, t.iloc[:7]])),
    "a train split": (
        "mine.csv",
        lambda t: pd.concat([t, t.iloc[:9].assign(part="train", image="x", who="x")]),
    ),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_one_table_in_several_disguises(tmp_path, judged, disguise):
    name, change = DISGUISES[disguise]
    table, spec = read(tmp_path, change(frame()), name)
    for found, wanted in zip(assess(table, spec, QUICK), judged):
        pd.testing.assert_frame_equal(found, wanted)


def test_given_options_are_used_instead_of_the_mappings(tmp_path):
    frame().to_csv(tmp_path / "mine.csv", index=False)
    mapping = {**MAPPING, "options": {"replicates": 0}}
    assert assess_table(tmp_path / "mine.csv", mapping, tmp_path / "out", QUICK).is_file()
    assert (tmp_path / "out" / "results" / "performance.csv").is_file()
    with pytest.raises(ValueError, match="replicates must be at least 1"):
        assess_table(tmp_path / "mine.csv", mapping, tmp_path / "other")
    assert not (tmp_path / "other").exists()
