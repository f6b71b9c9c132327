import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fairrecon_jax.data import COHORTS, Cohort, CohortConfig, make_splits, open_cohort, prepare
from fairrecon_jax.data.api import folder_of
from fairrecon_jax.data.cohort import open_records
from fairrecon_jax.data.cohorts.lgg_mri import LggMri
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.registry import find
from fairrecon_jax.keys import example_digest
from tests.support.trees import (
    chexpert_row,
    lgg_row,
    nih_row,
    write_chexpert,
    write_lgg,
    write_nih,
    write_ucsf,
)

NAMED = sorted(set(COHORTS) - {"table"})
"""The cohorts whose columns the package knows."""
CONFIG = CohortConfig("lgg_mri", image_size=16)
PATIENTS = ["TCGA_CS_0001", "TCGA_CS_0002", "TCGA_CS_0003"]


@pytest.fixture
def tree(tmp_path):
    return write_lgg(tmp_path / "tree", PATIENTS)


@pytest.fixture
def cohort(tree, tmp_path) -> Cohort:
    prepare(CONFIG, tree, tmp_path / "out", progress=False)
    return open_cohort(CONFIG, tmp_path / "out")


def test_what_lies_on_disk(tree, tmp_path):
    place = prepare(CONFIG, tree, tmp_path / "out", progress=False)
    assert place == tmp_path / "out/lgg_mri/16px/1.0.0" == folder_of(CONFIG, tmp_path / "out")
    names = sorted(path.name for path in place.iterdir())
    assert [name for name in names if "array_record" not in name] == [
        "dataset_info.json",
        "exclusions.csv",
        "features.json",
        "origin.json",
        "table.parquet",
    ]
    assert any("array_record" in name for name in names)
    assert (place / "exclusions.csv").read_text().splitlines()[0] == "file,reason,kind,action"
    origin = json.loads((place / "origin.json").read_text())
    assert (origin["examples"], origin["patients"], origin["config"]["image_size"]) == (9, 3, 16)
    assert {path.name for path in (tmp_path / "out/lgg_mri").iterdir()} == {"16px", ".16px.lock"}


def test_a_second_call_does_nothing_and_policies_need_no_new_folder(tree, tmp_path):
    place = prepare(CONFIG, tree, tmp_path / "out", progress=False)
    before = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    other = CohortConfig(
        "lgg_mri", image_size=16, age_cut=30, race="pooled", tasks=("tumor",), evaluate_slices="all"
    )
    assert prepare(other, tree, tmp_path / "out", progress=False) == place
    assert {path.name: path.stat().st_mtime_ns for path in place.iterdir()} == before
    cohort = open_cohort(other, tmp_path / "out")
    assert cohort.labels().shape == (9, 0)
    assert cohort.spec.attributes[1].groups[0] == "under 30"


def test_an_unchanged_tree_is_not_scanned_again_and_a_changed_table_is_seen(
    tree, tmp_path, monkeypatch
):
    prepare(CONFIG, tree, tmp_path / "out", progress=False)
    plain, scans = LggMri.scan, []
    monkeypatch.setattr(
        LggMri, "scan", classmethod(lambda cls, *args: (scans.append(1), plain(*args))[1])
    )
    prepare(CONFIG, tree, tmp_path / "out", progress=False)
    assert scans == []
    os.utime(tree / "data.csv", (1, 1))
    prepare(CONFIG, tree, tmp_path / "out", progress=False)
    assert scans == [1], "touched, not changed"
    table = tree / "data.csv"
    table.write_text(table.read_text().replace("44.0", "45.0"))
    with pytest.raises(ValueError, match="was prepared from"):
        prepare(CONFIG, tree, tmp_path / "out", progress=False)


def test_a_tree_that_has_grown_or_was_repaired_is_refused_until_the_folder_is_deleted(tmp_path):
    config, rows = CohortConfig("nih_chestxray14", image_size=16), [nih_row(n) for n in range(1, 7)]
    tree, out = write_nih(tmp_path / "tree", rows, "images_001/images"), tmp_path / "out"
    late, broken = (tree / f"images_001/images/0000000{n}_000.png" for n in (1, 2))
    aside = late.rename(tmp_path / "late.png")
    whole = broken.read_bytes()
    broken.write_bytes(whole[:50])
    place = prepare(config, tree, out, progress=False)
    assert len(open_cohort(config, out)) == 4
    (tree / "notes.md").write_text("of no use to the reader")
    assert prepare(config, tree, out, progress=False) == place, (
        "what no record names does not matter"
    )
    for change in (lambda: broken.write_bytes(whole), lambda: aside.rename(late)):
        change()
        with pytest.raises(
            ValueError,
            match=f"{tree} has changed since {place} was prepared from it: delete {place} to "
            "read it again",
        ):
            prepare(config, tree, out, progress=False)
        shutil.rmtree(place)
        prepare(config, tree, out, progress=False)
    assert len(open_cohort(config, out)) == 6


def test_another_tree_is_refused_unless_told_apart(tree, tmp_path):
    prepare(CONFIG, tree, tmp_path / "out", progress=False)
    other = write_lgg(
        tmp_path / "other", PATIENTS, rows=[lgg_row(name, gender="2.0") for name in PATIENTS]
    )
    with pytest.raises(ValueError, match="set the field source to tell the two apart"):
        prepare(CONFIG, other, tmp_path / "out", progress=False)
    apart = CohortConfig("lgg_mri", image_size=16, source="other")
    prepare(apart, other, tmp_path / "out", progress=False)
    assert set(open_cohort(apart, tmp_path / "out").table["sex"]) == {"male"}
    assert set(open_cohort(CONFIG, tmp_path / "out").table["sex"]) == {"female"}
    os.rename(tree, tmp_path / "moved")
    assert prepare(CONFIG, tree, tmp_path / "out", progress=False).is_dir(), (
        "the prepared folder outlives its tree"
    )


def test_opening_what_was_not_prepared(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"lgg_mri is not prepared as '16px' .* run `fairrecon prepare` first",
    ):
        open_cohort(CONFIG, tmp_path)
    with pytest.raises(
        ValueError,
        match="no cohort 'mimic'; there are chexpert, lgg_mri, nih_chestxray14, table, ucsf_pdgm",
    ):
        open_cohort(CohortConfig("mimic"), tmp_path)


def test_a_tree_without_any_readable_file_leaves_nothing(tree, tmp_path):
    for path in tree.rglob("*.tif"):
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"could be used: 9 x unreadable"):
        prepare(CONFIG, tree, tmp_path / "out", progress=False)
    assert not folder_of(CONFIG, tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError):
        open_cohort(CONFIG, tmp_path / "out")


SCRIPT = """
import os, signal, sys
from fairrecon_jax.data import CohortConfig, api, prepare
from fairrecon_jax.data.cohorts.lgg_mri import LggMri
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
stage = sys.argv[3]
if stage == "load":
    plain, count = LggMri.load, []
    def load(cls, *args):
        count.append(1)
        return die() if len(count) > 5 else plain(*args)
    LggMri.load = classmethod(load)
elif stage == "table":
    api.pd.DataFrame.to_parquet = die
else:
    api.os.replace = die
prepare(CohortConfig("lgg_mri", image_size=16), sys.argv[1], sys.argv[2], progress=False)
"""


@pytest.mark.parametrize("stage", ["load", "table", "rename"])
def test_killed_at_any_time_leaves_nothing_half_written(tree, tmp_path, stage):
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tree), str(out), stage], capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr
    with pytest.raises(FileNotFoundError, match="is not prepared"):
        open_cohort(CONFIG, out)
    prepare(CONFIG, tree, out, progress=False)
    assert len(open_cohort(CONFIG, out)) == 9
    assert {path.name for path in (out / "lgg_mri").iterdir()} == {"16px", ".16px.lock"}


def test_tensorflow_is_never_imported(tree, tmp_path):
    code = (
        "import sys; from fairrecon_jax.data import CohortConfig, open_cohort, prepare; "
        "from fairrecon_jax.data.doctor import examine;"
        "c = CohortConfig('lgg_mri', image_size=16); prepare(c, sys.argv[1], "
        "sys.argv[2], progress=False);"
        "open_cohort(c, sys.argv[2]).example(0); examine('lgg_mri', sys.argv[1], c, "
        "progress=False);"
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'torch')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tree), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr.strip() == ""


def test_progress_shows_rate_and_remaining_time(tree, tmp_path, capfd):
    prepare(CONFIG, tree, tmp_path / "out")
    told = capfd.readouterr().err
    for title, record in (
        ("patients' folders", "folder"),
        ("read lgg_mri", "file"),
        ("check", "example"),
    ):
        assert re.search(
            rf"^{title}: {record} (\d+)/\1, .* {record}s/s, 0.0 s left$", told, re.MULTILINE
        ), told
    assert "putting the examples in their order" in told


@pytest.mark.parametrize("name", NAMED)
def test_listing_a_tree_shows_how_far_it_is(name, tmp_path, capfd):
    trees = {
        "chexpert": lambda: write_chexpert(tmp_path, [chexpert_row(n) for n in range(1, 4)]),
        "nih_chestxray14": lambda: write_nih(tmp_path, [nih_row(n) for n in range(1, 4)]),
        "ucsf_pdgm": lambda: write_ucsf(tmp_path, [("UCSF-PDGM-004", "UCSF-PDGM-0004")]),
        "lgg_mri": lambda: write_lgg(tmp_path, ["TCGA_CS_0001"]),
    }
    root = trees[name]()
    COHORTS[name].records(root, CohortConfig(name), Notes())
    assert capfd.readouterr().err == ""
    COHORTS[name].records(root, CohortConfig(name), Notes(), progress=True)
    told = capfd.readouterr().err
    expected = {
        "chexpert": ["rows of CheXpert-v1.0-small/train.csv: row 3/3"],
        "nih_chestxray14": [
            "files of images*/: file 3",
            "rows of Data_Entry_2017_v2020.csv: row 3/3",
        ],
        "ucsf_pdgm": ["files *_tumor_segmentation.nii*: file 1", "files *_FLAIR.nii*: file 1"],
        "lgg_mri": ["patients' folders: folder 1/1"],
    }
    assert all(text in told for text in expected[name]), told


def test_table_is_aligned_with_the_records_although_disk_order_is_shuffled(cohort):
    assert cohort.table["example_id"].tolist() != sorted(cohort.table["example_id"])
    assert list(cohort.table.index) == list(range(9))
    records = open_records(cohort.source._folder)
    for i in range(9):
        assert records[i]["example_id"].decode() == cohort.table["example_id"].iloc[i]
        assert cohort.source[i]["mask"].sum() == cohort.table["tumor"].iloc[i]


def test_example_is_one_row_of_a_batch(cohort):
    row = cohort.example(4)
    assert {name: (value.shape, value.dtype.name) for name, value in row.items()} == {
        "image": ((16, 16, 1), "float32"),
        "mask": ((16, 16, 1), "float32"),
        "labels": ((1,), "float32"),
        "attributes": ((3,), "int32"),
        "example_id": ((2,), "uint32"),
        "index": ((), "int32"),
        "weight": ((), "float32"),
    }
    assert (row["image"].min(), row["image"].max()) == (0, 1)
    np.testing.assert_array_equal(
        row["example_id"], example_digest(cohort.table["example_id"].iloc[4])
    )
    np.testing.assert_array_equal(row["labels"], cohort.labels()[4])
    assert (int(row["index"]), float(row["weight"])) == (4, 1.0)
    for i in (-1, 9):
        with pytest.raises(IndexError, match=f"row {i} of a cohort of 9"):
            cohort.example(i)


def test_attribute_codes_follow_the_specification(cohort):
    for column, attribute in enumerate(cohort.spec.attributes):
        names = [
            attribute.groups[code] if code >= 0 else None for code in cohort.attributes()[:, column]
        ]
        assert names == cohort.table[attribute.name].tolist()
    assert cohort.digests().shape == (9, 2)
    assert cohort.digests().dtype == np.uint32


def test_cohort_travels_without_its_open_files(cohort):
    here = [cohort.example(i)["image"] for i in range(3)]
    parcel = pickle.dumps(cohort)
    assert cohort.source._source is not None
    copy = pickle.loads(parcel)
    assert copy.source._source is None
    np.testing.assert_array_equal(here, [copy.example(i)["image"] for i in range(3)])


def test_two_at_once_prepare_the_same_cohort_once(tree, tmp_path, monkeypatch):
    reads = []
    plain = LggMri.load
    monkeypatch.setattr(
        LggMri, "load", classmethod(lambda cls, *args: (reads.append(1), plain(*args))[1])
    )
    with ThreadPoolExecutor(2) as pool:
        places = list(
            pool.map(lambda _: prepare(CONFIG, tree, tmp_path / "out", progress=False), range(2))
        )
    assert places[0] == places[1]
    assert len(reads) == 9


def test_number_of_reading_threads_does_not_matter(tree, tmp_path):
    tables = []
    for workers in (1, 4):
        prepare(CONFIG, tree, tmp_path / str(workers), workers=workers, progress=False)
        tables.append(open_cohort(CONFIG, tmp_path / str(workers)).table)
    assert tables[0].equals(tables[1])


def test_train_median_uses_the_training_patients_of_the_splits(tmp_path):
    rows = [
        nih_row(n, **{"Patient Age": 20 + n, "Patient Gender": "MF"[n % 2]}) for n in range(1, 31)
    ]
    root = write_nih(tmp_path / "tree", rows)
    config = CohortConfig("nih_chestxray14", image_size=8, age_cut="train median")
    prepare(config, root, tmp_path / "out", progress=False)
    first = open_cohort(config, tmp_path / "out")
    splits = make_splits(first.table, first.spec, seed=1)
    cohort = open_cohort(config, tmp_path / "out", splits)
    train = cohort.table.iloc[splits.rows(cohort.table, "train")]
    assert cohort.spec.attributes[1].groups[0] == f"under {train['age_years'].median():g}"
    assert make_splits(first.table, first.spec, seed=1) == splits


@pytest.mark.parametrize("name", NAMED)
def test_every_builder_says_what_the_specification_needs(name):
    builder = find(name)
    assert builder.cohort == name
    assert builder.name == name, "the name TFDS derives from the class"
    assert {"sex_recorded", "age_years"} <= set(builder.columns)
    assert "." in builder.citation
    assert builder.degradation.headline_level in builder.degradation.levels
    assert all(f"{task.name}_pixels" in builder.columns for task in builder.segmentation())
    assert Path(sys.modules[builder.__module__].__file__).parent.name == name
