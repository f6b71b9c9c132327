"""Columns of foreign tables: constants, splits, names, attributes, tasks."""

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.study.table import read_table
from fairrecon_jax.types import Attribute
from tests.support.foreign_tables import PLAIN_MAPPING, plain_frame, read_plain, reasons


def test_constants_and_columns_place_every_row(tmp_path):
    table = pd.concat(
        [
            plain_frame().assign(dose=d, net=n, fix=f, run=s)
            for d, n, f, s in ((1e4, "u", "none", 0), (1e5, "v", "dro", 3))
        ]
    )
    predictions, spec = read_plain(
        tmp_path,
        table,
        level="dose",
        reconstructor="net",
        mitigation="fix",
        seed="run",
        modality="xray",
        title="T",
    )
    cells = predictions[["level", "reconstructor", "mitigation", "seed"]].drop_duplicates()
    assert cells.to_numpy().tolist() == [[1e4, "u", "none", 0], [1e5, "v", "dro", 3]]
    assert (spec.degradation.levels, spec.degradation.headline_level, spec.title, spec.name) == (
        (1e5, 1e4),
        1e4,
        "T",
        "mine",
    )
    _, brain = read_plain(
        tmp_path,
        table,
        level="dose",
        reconstructor="net",
        mitigation="fix",
        seed="run",
        modality="mri",
    )
    assert brain.degradation.levels == (1e4, 1e5)
    alone, _ = read_plain(tmp_path, plain_frame())
    assert alone[
        ["level", "reconstructor", "mitigation", "seed", "cohort"]
    ].drop_duplicates().to_numpy().tolist() == [[1.0, "mine", "none", 0, "mine"]]


def test_a_row_without_mitigation_has_none(tmp_path):
    table = pd.concat(
        [plain_frame().assign(fix=[None, "None"] * 60), plain_frame().assign(fix="dro")]
    )
    for name in ("mine.csv", "mine.parquet"):
        predictions, _ = read_plain(tmp_path, table, name, mitigation="fix")
        assert predictions["mitigation"].value_counts().to_dict() == {"none": 120, "dro": 120}
    predictions, _ = read_plain(tmp_path, plain_frame(), mitigation={"value": None})
    assert set(predictions["mitigation"]) == {"none"}


def test_patients_whose_images_disagree_are_in_no_group(tmp_path):
    table = plain_frame().assign(who=[f"p{i // 8}" for i in range(120)], part="test")
    table["sex"] = np.array(["F", "M"])[np.arange(120) // 8 % 2]
    table.loc[[0, 9], "sex"] = ["M", None]
    predictions, _ = read_plain(tmp_path, table)
    assert predictions.loc[predictions["patient_id"] == "p0", "sex"].isna().all()
    assert predictions["sex"].isna().sum() == 8 + 1
    (reason,) = (r for r in reasons(predictions) if "several groups of sex" in r)
    assert "1 of 15 patients, 8 of 120 images (8 of them test images)" in reason
    assert "'per: image'" in reason
    assert reasons(predictions)[reason] == 1
    # at the top of the report too
    assert predictions.attrs["notes"] == [f"1 {reason}."]
    predictions, _ = read_plain(
        tmp_path, table, attributes={"sex": {"column": "sex", "per": "image"}}
    )
    assert predictions["sex"].isna().sum() == 1


def test_a_patient_may_be_in_several_splits_that_are_not_judged(tmp_path):
    more = plain_frame(8).assign(
        who="x", image=[f"x{i}" for i in range(8)], part=["train", "pretrain"] * 4
    )
    predictions, _ = read_plain(tmp_path, pd.concat([plain_frame(), more]))
    assert reasons(predictions) == {
        "rows of other splits than validation and test were left out": 8
    }
    with pytest.raises(
        ValueError, match=r"1 patient is in several splits, e.g. 'p001' in \['Train', 'test'\]"
    ):
        read_plain(
            tmp_path,
            pd.concat(
                [
                    plain_frame(),
                    plain_frame(8).assign(who="p001", image=list("abcdefgh"), part="Train"),
                ]
            ),
        )
    other = plain_frame().assign(
        part=np.where(np.arange(120) < 2, "test", "mine"), who=["p000"] + ["p001"] * 119
    )
    with pytest.raises(ValueError, match=r"e.g. 'p001' in \['mine', 'test'\]"):
        read_plain(tmp_path, other, split={"column": "part", "test": "mine"})


def test_splits_that_are_numbers(tmp_path):
    table = plain_frame().assign(part=(np.arange(120) % 4).astype(float))
    table.loc[0, "part"] = np.nan
    predictions, _ = read_plain(tmp_path, table, split={"column": "part", "val": 3, "test": [1, 2]})
    assert predictions["split"].value_counts().to_dict() == {"test": 60, "val": 30}


def test_names_are_kept_as_they_are_written(tmp_path):
    table = plain_frame().assign(who=[f"{i:020d}" for i in range(120)])
    table.loc[0, "who"] = None
    predictions, _ = read_plain(tmp_path, table)
    assert (predictions["patient_id"].nunique(), predictions["patient_id"].iloc[0]) == (
        119,
        f"{1:020d}",
    )
    table.loc[1, "who"] = " "
    predictions, _ = read_plain(tmp_path, table)
    assert reasons(predictions) == {"rows without a patient were left out": 2}
    table.set_index("image").to_parquet(tmp_path / "indexed.parquet")
    assert (
        read_table(tmp_path / "indexed.parquet", PLAIN_MAPPING)[0]["example_id"].tolist()
        == predictions["example_id"].tolist()
    )


@pytest.mark.parametrize(
    ("entry", "sizes"),
    [(None, {"test": 120}), ("part", {"test": 90, "val": 30}), ({"column": "part"}, None)],
)
def test_splits(tmp_path, entry, sizes):
    predictions, _ = read_plain(tmp_path, plain_frame(), split=entry)
    assert predictions["split"].value_counts().to_dict() == (sizes or {"test": 90, "val": 30})


def test_splits_of_other_words(tmp_path):
    table = plain_frame().assign(
        part=np.array(["TEST ", "Dev", "train", "Validation"])[np.arange(120) % 4]
    )
    predictions, _ = read_plain(tmp_path, table)
    assert predictions["split"].value_counts().to_dict() == {"val": 60, "test": 30}
    assert reasons(predictions) == {
        "rows of other splits than validation and test were left out": 30
    }
    predictions, _ = read_plain(
        tmp_path, table, split={"column": "part", "test": ["train", "Dev"], "val": "TEST"}
    )
    assert predictions["split"].value_counts().to_dict() == {"test": 60, "val": 30}
    predictions, _ = read_plain(
        tmp_path, table, split={"column": "part", "val": "TEST", "test": "Validation"}
    )
    assert predictions["split"].value_counts().to_dict() == {"val": 30, "test": 30}
    with pytest.raises(ValueError, match="no test row is left"):
        read_plain(tmp_path, table, split={"column": "part", "val": "TEST"})
    predictions, _ = read_plain(tmp_path, table, split={"column": "part", "test": "Validation"})
    assert predictions["split"].value_counts().to_dict() == {"val": 30, "test": 30}
    with pytest.raises(ValueError, match=r"mapping 'split' has unknown keys \['train'\]"):
        read_plain(tmp_path, table, split={"column": "part", "train": "train"})


def test_an_age_exactly_at_the_cut_is_older(tmp_path):
    table = plain_frame()
    table.loc[0, "age"] = np.nan
    predictions, spec = read_plain(
        tmp_path,
        table,
        attributes={"age": {"cut": 60, "reference": "60 or older", "derivation": "years"}},
    )
    assert (predictions["age"] == "60 or older").to_numpy()[1:].tolist() == (
        table["age"] >= 60
    ).tolist()[1:]
    assert predictions["age"].isna().sum() == 1
    wanted = Attribute("age", ("under 60", "60 or older"), "years", "patient", "60 or older")
    assert spec.attributes == (wanted,)
    _, plain = read_plain(tmp_path, plain_frame(), attributes={"age": {"cut": 59.5}})
    assert (plain.attributes[0].groups[0], plain.attributes[0].derivation) == (
        "under 59.5",
        "age, cut at 59.5",
    )


def test_groups_that_are_not_named_are_unknown_and_all_values_are_groups_where_none_is(tmp_path):
    table = plain_frame().assign(site=np.array([1.0, 2.0, 3.0])[np.arange(120) % 3])
    predictions, spec = read_plain(
        tmp_path,
        table,
        attributes={"site": {"groups": {"big": [1, 2], "small": ["9"]}}, "sex": "sex"},
    )
    assert [a.name for a in spec.attributes] == ["sex"]
    assert (
        "attribute site was left out: its test rows hold ['big'], and a gap needs two"
        in reasons(predictions)
    )
    predictions, spec = read_plain(tmp_path, table, attributes={"site": "site"})
    assert spec.attributes[0].groups == ("1", "2", "3")
    assert (predictions["site"] == table["site"].map("{:g}".format)).all()


def test_regions_image_metrics_and_aggregations(tmp_path):
    table = plain_frame().assign(pixels=np.arange(120.0), psnr=31.0, similarity=0.9)
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
    predictions, spec = read_plain(
        tmp_path, table, tasks=tasks, image_metrics={"ssim": "similarity"}
    )
    assert [(t.name, t.kind, t.aggregation) for t in spec.tasks] == [
        ("region", "segmentation", "mean"),
        ("bare", "segmentation", "mean"),
        ("finding", "classification", "median"),
    ]
    assert (predictions["region__original_pixels"].max(), set(predictions["bare__label"])) == (
        119,
        {1.0},
    )
    assert (set(predictions["psnr"]), set(predictions["ssim"])) == ({31.0}, {0.9})
    assert not {"lpips", "nrmse"} & set(predictions)
    with pytest.raises(
        ValueError, match=r"no column 'perceptual', which the mapping names for image_metrics.lpips"
    ):
        read_plain(tmp_path, table, image_metrics={"lpips": "perceptual"})


def test_splits_that_read_like_those_of_the_mapping(tmp_path):
    with pytest.raises(
        ValueError, match=r"val is \['Valid'\], which no row is; did you mean 'valid'"
    ):
        read_plain(tmp_path, plain_frame(), split={"column": "part", "val": "Valid"})
    predictions, _ = read_plain(tmp_path, plain_frame(), split={"column": "part", "val": "dev"})
    assert predictions["split"].value_counts().to_dict() == {"test": 90}
