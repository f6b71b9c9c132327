from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import openpyxl
import pytest
from PIL import Image

from fairrecon_jax.phantoms import writing


def square(value: int) -> int:
    return value * value


def fail(value: int) -> int:
    raise RuntimeError(f"cannot draw {value}")


def test_a_tree_appears_whole(tmp_path):
    root = tmp_path / "deep" / "tree"
    with writing.new_tree(root) as stage:
        (stage / "file").write_text("x")
        assert not root.exists()
        assert stage.parent == root.parent
    assert (root / "file").read_text() == "x"
    assert os.listdir(root.parent) == ["tree"]


def test_a_failed_tree_leaves_nothing(tmp_path):
    def half_a_tree() -> None:
        with writing.new_tree(tmp_path / "tree") as stage:
            (stage / "file").write_text("x")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        half_a_tree()
    assert os.listdir(tmp_path) == []


LEFT = """
import os, signal, sys
from pathlib import Path
from fairrecon_jax.phantoms.writing import new_tree
with new_tree(Path(sys.argv[1])) as stage:
    (stage / "file").write_text("x")
    os.kill(os.getpid(), signal.SIGTERM)
"""


KILLED = """
import os, sys, time
from pathlib import Path
from fairrecon_jax.phantoms.writing import map_patients

def work(task):
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(0.1)

if __name__ == "__main__":
    map_patients(work, list(range(3000)), 2, "")
"""


def test_no_worker_outlives_a_killed_process(tmp_path):
    script, pids = tmp_path / "killed.py", tmp_path / "pids"
    script.write_text(KILLED)
    pids.mkdir()
    root = str(Path(writing.__file__).parents[2])
    command = [sys.executable, str(script), str(pids)]
    parent = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": root}, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 60
    while len(list(pids.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    workers = [int(path.name) for path in pids.iterdir()]
    assert len(workers) == 2
    end = time.monotonic() + 60
    while any(writing._runs(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(writing._runs(pid) for pid in workers)


def test_what_a_killed_process_left_is_removed_and_that_of_a_living_one_is_kept(tmp_path):
    root = tmp_path / "tree"
    assert (
        subprocess.run([sys.executable, "-c", LEFT, str(root)], check=False).returncode
        == -signal.SIGTERM
    )
    (left,) = tmp_path.iterdir()
    alive = left.with_name(left.name.rpartition("-")[0] + f"-{os.getppid()}")
    others = [
        alive,
        left.with_name(left.name.replace(".partial-", ".partial-elsewhere-")),
        tmp_path / ".tree.partial-x",
    ]
    for other in others:
        other.mkdir()
    with writing.new_tree(root):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([root, *others])


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "tree").mkdir()
    with writing.new_tree(tmp_path / "tree") as stage:
        (stage / "file").write_text("x")
    assert os.listdir(tmp_path / "tree") == ["file"]


def test_a_full_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with (
        pytest.raises(FileExistsError, match=f"{tmp_path} is not an empty folder"),
        writing.new_tree(tmp_path),
    ):
        pass
    assert (tmp_path / "mine").read_text() == "keep"


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("keep")
    with (
        pytest.raises(FileExistsError, match="remove it or give another path"),
        writing.new_tree(tmp_path / "file"),
    ):
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_patients_keep_their_order(workers):
    assert writing.map_patients(square, list(range(7)), workers, "squares") == [
        i * i for i in range(7)
    ]


def test_an_error_in_a_worker_is_raised():
    with pytest.raises(RuntimeError, match="cannot draw 1"):
        writing.map_patients(fail, [1, 2], 1, "fails")


def test_jpeg_is_grey_and_close_to_what_was_given(tmp_path):
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    writing.write_jpeg(tmp_path / "a" / "b.jpg", ramp)
    with Image.open(tmp_path / "a" / "b.jpg") as image:
        assert image.mode == "L"
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - ramp).max() <= 4


def test_csv_writes_none_as_an_empty_cell(tmp_path):
    writing.write_csv(tmp_path / "t.csv", ["a", "b"], [[1.0, None], ["x, y", -1.0]])
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n1.0,\n"x, y",-1.0\n'


def test_json_round_trip(tmp_path):
    value = {"kind": "xray", "patients": [{"n": 1, "name": "Ä"}]}
    writing.write_json(tmp_path / "t.json", value)
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8")) == value


def test_workbook_reads_back(tmp_path):
    writing.write_xlsx(
        tmp_path / "t.xlsx", ["PATIENT", "AGE"], [["patient00001", 61], ["patient00002", None]]
    )
    sheet = openpyxl.load_workbook(tmp_path / "t.xlsx").worksheets[0]
    assert [list(row) for row in sheet.values] == [
        ["PATIENT", "AGE"],
        ["patient00001", 61],
        ["patient00002", None],
    ]


def test_workbook_bytes_do_not_depend_on_the_time(tmp_path, monkeypatch):
    import datetime

    import openpyxl.packaging.core as core

    writing.write_xlsx(tmp_path / "a.xlsx", ["A"], [["x"]])

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 5, 6, 7, 8, 9, tzinfo=tz)

    monkeypatch.setattr(core.datetime, "datetime", Later)
    writing.write_xlsx(tmp_path / "b.xlsx", ["A"], [["x"]])
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_workbook_has_fixed_times_inside(tmp_path):
    writing.write_xlsx(tmp_path / "a.xlsx", ["A"], [["x"]])
    with zipfile.ZipFile(io.BytesIO((tmp_path / "a.xlsx").read_bytes())) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("docProps/core.xml").count(b"1980-01-01T00:00:00Z") == 2


def test_nifti_reads_back_scaled(tmp_path):
    stored = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4)
    writing.write_nifti(tmp_path / "v.nii.gz", stored, (1.0, 1.5, 2.0), slope=0.5)
    image = nib.load(tmp_path / "v.nii.gz")
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.get_fdata(), stored * 0.5)
    np.testing.assert_array_equal(np.asarray(image.dataobj.get_unscaled()), stored)
    assert image.header.get_zooms() == (1.0, 1.5, 2.0)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")


def test_nifti_without_slope_is_unscaled(tmp_path):
    mask = np.zeros((4, 4, 3), np.uint8)
    mask[1, 2, 1] = 4
    writing.write_nifti(tmp_path / "m.nii.gz", mask, (1.0, 1.0, 1.0))
    image = nib.load(tmp_path / "m.nii.gz")
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask)


def test_nifti_bytes_hold_no_time(tmp_path, monkeypatch):
    volume = np.ones((4, 4, 3), np.int16)
    writing.write_nifti(tmp_path / "a.nii.gz", volume, (1.0, 1.0, 1.0), 0.3)
    monkeypatch.setattr("time.time", lambda: 2e9)
    writing.write_nifti(tmp_path / "b.nii.gz", volume, (1.0, 1.0, 1.0), 0.3)
    first = (tmp_path / "a.nii.gz").read_bytes()
    assert first == (tmp_path / "b.nii.gz").read_bytes()
    assert first[4:8] == b"\0\0\0\0"
