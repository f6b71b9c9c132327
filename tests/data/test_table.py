"""The cohort "table": anybody's CSV or Excel file and images."""

import json

import numpy as np
import openpyxl
import pandas as pd
import pydicom
import pytest
import tifffile
from PIL import Image

from fairrecon_jax.data import CohortConfig, make_splits, open_cohort, prepare
from fairrecon_jax.data.cohorts.nih_chestxray14.builder import FINDINGS
from fairrecon_jax.data.doctor import examine
from fairrecon_jax.data.images import resize
from fairrecon_jax.data.mapping import table_columns
from fairrecon_jax.data.splits import check_given
from fairrecon_jax.types import InputError
from tests.data.test_pixels import RAW, dicom
from tests.support.own_tree import COLUMNS, picture, region, write_own, write_table
from tests.support.trees import flair_volume, tumor_mask, write_nifti


def config(size=16, change=None, **fields):
    columns = table_columns({**COLUMNS, **(change or {})})
    return CohortConfig("table", image_size=size, columns=columns, **fields)


def opened(root, out, *, splits=None, **fields):
    chosen = config(**fields)
    prepare(chosen, root, out, progress=False)
    return open_cohort(chosen, out, splits)


def rewritten(root, change):
    """The tree with its table changed by a function of its rows."""
    table = pd.read_csv(root / "exams.csv", dtype=str, keep_default_na=False)
    write_table(root / "exams.csv", change(table).to_dict("records"))
    return root


def test_a_table_becomes_a_cohort(tmp_path):
    cohort = opened(write_own(tmp_path / "tree"), tmp_path / "out", size=32)
    table = cohort.table.set_index("example_id")
    assert len(cohort) == 24
    assert [(t.name, t.kind, t.title) for t in cohort.spec.tasks] == [
        ("nodule", "classification", "Nodule"),
        ("lung", "segmentation", "Lung"),
    ]
    assert table.loc["000", ["patient_id", "sex", "age", "scanner", "nodule"]].tolist() == [
        "P00",
        "female",
        "under 45",
        "A",
        1.0,
    ]
    assert table.loc["005", ["age_years", "nodule", "scanner"]].tolist()[:2] == [36.0, 0.0]
    assert table.loc["005", "scanner"] is None
    assert np.isnan(table.loc["003", "nodule"])
    assert [a.groups for a in cohort.spec.attributes] == [
        ("female", "male"),
        ("under 45", "45 and over"),
        ("A", "B"),
    ]
    for row, name in enumerate(cohort.table["example_id"]):
        example, number = cohort.example(row), int(name)
        want = picture(number).astype(float)
        want = (want - want.min()) / np.ptp(want)
        np.testing.assert_allclose(example["image"][..., 0], want, atol=1 / 255)
        np.testing.assert_array_equal(example["mask"][..., 0], region(number) // 255)
    assert cohort.table["lung"].sum() == sum((region(n) > 0).sum() for n in range(24))


def test_words_change_on_opening_and_nothing_is_read_again(tmp_path):
    root, out = write_own(tmp_path / "tree"), tmp_path / "out"
    opened(root, out)
    for path in (root / "images").iterdir():
        path.write_bytes(b"")  # what is stored does not need them again
    other = config(change={"attributes": {"years": {"column": "Age", "cuts": [40, 50]}}})
    with pytest.raises(FileNotFoundError, match="is not prepared"):
        open_cohort(other, out)  # a column less is another folder
    attributes = {**COLUMNS["attributes"], "age": {"column": "Age", "quantiles": "train tertiles"}}
    cohort = open_cohort(config(change={"attributes": attributes}), out)
    assert len(cohort.spec.attributes[1].groups) == 3
    assert "provisional" in cohort.spec.attributes[1].derivation


@pytest.mark.parametrize("kind", ["csv", "xlsx", "outside"])
def test_the_same_table_in_other_files(tmp_path, kind):
    root = write_own(tmp_path / "tree")
    plain = opened(root, tmp_path / "a").table
    table = pd.read_csv(root / "exams.csv", dtype=str, keep_default_na=False)
    change = {"table": "exams.csv"}
    if kind == "xlsx":
        book = openpyxl.Workbook()
        for row in [list(table), *table.to_numpy().tolist()]:
            book.active.append([int(cell) if cell.isdigit() else cell for cell in row])
        book.save(root / "exams.xlsx")
        change = {"table": "exams.xlsx"}
    elif kind == "csv":
        table.to_csv(root / "german.csv", sep=";", index=False, encoding="utf-8-sig")
        change = {"table": "german.csv"}
    else:
        (root / "exams.csv").rename(tmp_path / "exams.csv")
        change = {"table": str(tmp_path / "exams.csv")}
    pd.testing.assert_frame_equal(plain, opened(root, tmp_path / "b", change=change).table)


def test_a_changed_table_is_seen(tmp_path):
    root, out = write_own(tmp_path / "tree"), tmp_path / "out"
    (root / "exams.csv").rename(tmp_path / "exams.csv")
    change = {"table": "../exams.csv"}
    opened(root, out, change=change)
    opened(root, out, change=change)
    text = (tmp_path / "exams.csv").read_text()
    (tmp_path / "exams.csv").write_text(text.replace(",30,", ",31,"))
    with pytest.raises(InputError, match="has changed since"):
        opened(root, out, change=change)


def test_words_that_nobody_explained_are_refused(tmp_path):
    root = rewritten(write_own(tmp_path / "tree"), lambda t: t.assign(Sex=["D", *t["Sex"][1:]]))
    with pytest.raises(InputError, match=r"columns\.attributes\.sex: the column 'Sex' .* has 'D'"):
        prepare(config(), root, tmp_path / "out", progress=False)
    report = examine("table", root, config(), progress=False)
    assert report.count("table") == 1


def test_all_that_is_wrong_with_a_table_is_told_at_once(tmp_path):
    root = write_own(tmp_path / "tree")
    rewritten(root, lambda t: t.assign(Sex=["D", *t["Sex"][1:]]).drop(columns="Age"))
    change = {"labels": {"nodule": {"column": "Scanner"}}}
    with pytest.raises(InputError) as refused:
        prepare(config(change=change), root, tmp_path / "out", progress=False)
    told = refused.value.refusals
    assert [line.split(": ")[0] for line in told] == [
        str(root / "exams.csv"),
        "columns.labels.nodule",
        "columns.attributes.sex",
    ]
    assert "no column Age; it has" in told[0]
    assert "the column 'Sex' of exams.csv has 'D'" in told[2]
    report = examine("table", root, config(change=change), progress=False)
    assert report.count("table") == 3


def test_what_is_missing_or_broken_is_noted_by_its_kind(tmp_path):
    root = write_own(tmp_path / "tree")
    (root / "images/000.png").unlink()
    (root / "images/002.png").write_bytes(b"no image")
    (root / "masks/004.png").unlink()
    Image.fromarray(region(0)[:, :20]).save(root / "masks/006.png")
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(root / "images/008.png")
    soft = np.asarray(Image.fromarray(region(10)).resize((8, 8), 2).resize((32, 32), 2))
    Image.fromarray(soft).save(root / "masks/010.png")
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(picture(18)).save(root / "images/018.png", exif=exif)
    (root / "images/extra.png").write_bytes((root / "images/012.png").read_bytes())

    def change(table):
        table.loc[table["File"] == "014.png", "Patient ID"] = ""
        table.loc[table["File"] == "016.png", "Age"] = "411"
        table.loc[table["File"] == "020.png", "Sex"] = "M"
        table.loc[table["File"] == "020.png", "Patient ID"] = "p09"
        table.loc[table["File"] == "022.png", "Sex"] = "F" if table["Sex"].iloc[22] == "M" else "M"
        return table

    report = examine("table", rewritten(root, change), config(size=32), progress=False)
    kinds = (
        "missing_file",
        "unreadable",
        "missing_mask",
        "mask_shape",
        "constant",
        "mask_values",
        "unknown_name",
        "out_of_range",
        "alike_patients",
        "conflict",
        "no_row",
        "missing_label",
        "turned",
    )
    assert {kind: report.count(kind) for kind in kinds} == dict.fromkeys(kinds, 1)
    assert report.images == 24 - 6


def test_given_parts_are_kept(tmp_path):
    root, out = write_own(tmp_path / "tree"), tmp_path / "out"
    cohort = opened(root, out, change={"split": "Fold"})
    splits = make_splits(cohort.table, cohort.spec, seed=1)
    fold = {f"P{n:02d}": ("train", "val", "test", "train")[n % 4] for n in range(12)}
    assert splits.patients == fold
    check_given(splits, cohort.table)
    drawn = make_splits(
        cohort.table.assign(given_split=cohort.table["given_split"].replace("val", "train")),
        cohort.spec,
        (0.6, 0.2, 0.2),
    )
    assert {p for p, part in drawn.patients.items() if part == "test"} == {"P02", "P06", "P10"}
    assert drawn.counts() == {"train": 7, "val": 2, "test": 3}
    with pytest.raises(InputError, match="in train, the table has val"):
        check_given(
            make_splits(cohort.table.drop(columns="given_split"), cohort.spec), cohort.table
        )
    leaking = cohort.table.copy()
    leaking.loc[0, "given_split"] = "test" if leaking.loc[0, "given_split"] != "test" else "val"
    with pytest.raises(InputError, match="puts 1 patient into two parts"):
        make_splits(leaking, cohort.spec)
    cohort.table["given_split"] = cohort.table["given_split"].replace("val", "")
    with pytest.raises(InputError, match=r"leaves out 3 patients, e\.g\. 'P01'"):
        make_splits(cohort.table, cohort.spec)


def test_a_patient_in_two_parts_is_an_error_before_anything_is_trained(tmp_path):
    def change(table):
        table.loc[0, "Fold"] = "test"
        return table

    root = rewritten(write_own(tmp_path / "tree"), change)
    report = examine("table", root, config(change={"split": "Fold"}), progress=False)
    assert report.count("leaking_lists") == 1
    with pytest.warns(UserWarning, match=r"leaking_lists x 1: .*patient P00 is in test and in tra"):
        prepare(config(change={"split": "Fold"}), root, tmp_path / "out", progress=False)


def test_zeros_in_front_of_patients_make_no_other_splits(tmp_path):
    cohort = opened(write_own(tmp_path / "tree"), tmp_path / "out")
    number = cohort.table["patient_id"].str[1:].astype(int) * 7
    plain = make_splits(cohort.table.assign(patient_id=number.map(str)), cohort.spec)
    padded = make_splits(cohort.table.assign(patient_id=number.map("{:05d}".format)), cohort.spec)
    assert {int(n): part for n, part in plain.patients.items()} == {
        int(n): part for n, part in padded.patients.items()
    }


@pytest.mark.parametrize("kind", ["tif", "dcm", "png16"])
def test_other_formats(tmp_path, kind):
    root = write_own(tmp_path / "tree")
    for number in range(24):
        path = root / f"images/{number:03d}"
        deep = picture(number).astype(np.uint16) * 16
        path.with_suffix(".png").unlink()
        if kind == "tif":
            tifffile.imwrite(path.with_suffix(".tif"), deep)
        elif kind == "dcm":
            dicom(path.with_suffix(".dcm"), deep, PhotometricInterpretation="MONOCHROME2")
        else:
            Image.fromarray(deep).save(path.with_suffix(".png"))
    if kind == "dcm":
        assert pydicom.dcmread(root / "images/000.dcm").pixel_array.shape == RAW[:32, :32].shape
    # the table still writes .png: without its ending the name is the same
    cohort = opened(root, tmp_path / "out", size=32, change={"bits": 16})
    row = list(cohort.table["example_id"]).index("007")
    want = picture(7).astype(float)
    want = (want - want.min()) / np.ptp(want)
    np.testing.assert_allclose(cohort.example(row)["image"][..., 0], want, atol=1e-4)
    report = examine("table", root, config(size=32), progress=False)
    assert report.count("depth") == 24


def test_volumes_are_cut_into_slices(tmp_path):
    root = tmp_path / "tree"
    rows = []
    for number in range(3):
        write_nifti(root / f"image/{number}.nii.gz", flair_volume(seed=number))
        write_nifti(root / f"mask/{number}.nii.gz", tumor_mask())
        rows.append({"file": f"{number}.nii.gz", "who": number, "grade": "24"[number % 2]})
    write_table(root / "t.csv", rows)
    block = {
        "table": "t.csv",
        "images": "image",
        "image": "file",
        "patient": "who",
        "mask": {"task": "tumor", "folder": "mask", "inside": (1, 2, 4)},
        "labels": {"high": {"column": "grade", "positive": ["4"], "negative": ["2"]}},
        "modality": "mri",
    }
    flat = CohortConfig("table", image_size=24, columns=table_columns(block))
    assert examine("table", root, flat, progress=False).count("wrong_shape") == 3
    columns = table_columns({**block, "volumes": True})
    whole = CohortConfig("table", image_size=24, columns=columns, evaluate_slices=(2, 4))
    prepare(whole, root, tmp_path / "out", progress=False)
    cohort = open_cohort(whole, tmp_path / "out")
    assert len(cohort) == 18, "six of the eight slices of each volume show something"
    assert cohort.spec.tasks[0].aggregation == "median"
    assert cohort.table["evaluate"].sum() == 9
    row = list(cohort.table["example_id"]).index("1/003")
    example = cohort.example(row)
    want = np.rot90(flair_volume(seed=1)[:, :, 3]).astype(float)
    np.testing.assert_allclose(
        example["image"][..., 0], (want - want.min()) / np.ptp(want), atol=1e-4
    )
    np.testing.assert_array_equal(example["mask"][..., 0], np.rot90(tumor_mask()[:, :, 3]) > 0)


def test_fields_that_the_columns_say_are_refused():
    for field, value in (("age_cut", 60), ("race", "pooled"), ("slices", (0, 3))):
        chosen = config(**{field: value})
        from fairrecon_jax.data.registry import builder_of

        with pytest.raises(InputError, match=field):
            builder_of(chosen).check(chosen)
    with pytest.raises(InputError, match="needs the block columns"):
        builder_of(CohortConfig("table"))
    with pytest.raises(InputError, match="columns describe the cohort 'table'"):
        builder_of(CohortConfig("lgg_mri", columns=config().columns))


def nih_columns(patient):
    return table_columns(
        {
            "table": "Data_Entry_2017_v2020.csv",
            "images": "images",
            "image": "Image Index",
            "patient": patient,
            "labels": {
                name.lower(): {
                    "column": "Finding Labels",
                    "separator": "|",
                    "positive": [name],
                    "negative": ["*"],
                }
                for name in FINDINGS
            },
            "attributes": {
                "sex": {"column": "Patient Gender", "groups": {"female": "F", "male": "M"}},
                "age": {"column": "Patient Age", "quantiles": "train median"},
            },
        }
    )


def test_the_real_nih_sample_read_as_a_plain_table_is_the_same_cohort(samples, tmp_path):
    root = samples / "nih_chestxray14"
    patient = {"column": "Image Index", "pattern": r"^(\d+)_"}
    cohorts = []
    for name, columns in (("nih_chestxray14", None), ("table", nih_columns(patient))):
        chosen = CohortConfig(name, image_size=32, columns=columns, patients=120)
        prepare(chosen, root, tmp_path, progress=False)
        first = open_cohort(chosen, tmp_path)
        splits = make_splits(first.table, first.spec, seed=3)
        cohorts.append((open_cohort(chosen, tmp_path, splits), splits))
    (one, parts), (two, same) = cohorts
    assert parts == same
    names = ["example_id", "patient_id", "sex", "age", *(task.name for task in one.spec.tasks)]
    pd.testing.assert_frame_equal(one.table[names], two.table[names])
    np.testing.assert_array_equal(one.table["age_years"], two.table["age_years"].astype("float32"))
    for row in range(len(one)):
        np.testing.assert_array_equal(one.source[row]["image"], two.source[row]["image"])
    assert [a.groups for a in one.spec.attributes] == [a.groups for a in two.spec.attributes]


def test_the_real_covid_lungs_are_a_cohort(samples):
    block = {
        "table": "metadata.csv",
        "images": "images",
        "image": "filename",
        "patient": "patientid",
        "mask": {"task": "lungs", "folder": "lung_masks"},
        "attributes": {
            "sex": {"column": "sex", "groups": {"female": ["F"], "male": ["M"]}},
            "age": {"column": "age", "quantiles": "train median"},
        },
    }
    chosen = CohortConfig("table", image_size=64, columns=table_columns(block))
    report = examine("table", samples / "covid_lungs", chosen, progress=False)
    assert (report.ok, report.images, report.patients) == (True, 116, 66)
    sexes = report.counts.set_index(["attribute", "group"])["patients"]
    assert (sexes["sex", "female"], sexes["sex", "male"]) == (22, 42)


def test_resizing_is_that_of_the_other_cohorts(tmp_path):
    cohort = opened(write_own(tmp_path / "tree"), tmp_path / "out", size=16)
    small = resize(picture(int(cohort.table["example_id"][0])), 16)
    want = (small - small.min()) / np.ptp(small)
    np.testing.assert_allclose(cohort.example(0)["image"][..., 0], want, atol=1 / 255)


def test_the_cells_are_stored_as_text(tmp_path):
    root, out = write_own(tmp_path / "tree"), tmp_path / "out"
    folder = prepare(config(), root, out, progress=False)
    raw = pd.read_parquet(folder / "table.parquet").set_index("example_id")
    assert json.loads(raw.loc["000", "cells"]) == {
        "Age": "30",
        "Finding": "nodule|edema",
        "Scanner": "A",
        "Sex": "F",
    }
