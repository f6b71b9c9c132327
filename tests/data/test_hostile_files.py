"""Files that were made to fill the memory, to be waited for, or to run something."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import nibabel
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image

from fairrecon_jax.data import bounds
from fairrecon_jax.data.dicom import DEFLATED, MOST_DEFLATED, read_dicom
from fairrecon_jax.data.files import Finder, walk
from fairrecon_jax.data.formats import read_picture
from fairrecon_jax.data.images import UnreadableImage, open_image, read_grey, read_tiff, read_volume
from fairrecon_jax.data.mapping import read_mapping
from fairrecon_jax.data.sheets import read_sheet
from fairrecon_jax.external.mapping import load
from fairrecon_jax.runtime.csv_text import csv_text, read_csv
from fairrecon_jax.types import InputError

SIDE = 10**5


def png(path: Path, side: int, colour: int = 0) -> Path:
    """A PNG of which there is only the header."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return b"".join(
            (struct.pack(">I", len(content)), kind, content),
        ) + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    return path


def test_a_png_that_unpacks_to_ten_thousand_million_pixels_is_refused(tmp_path):
    path = png(tmp_path / "bomb.png", SIDE)
    said = r"bomb.png: 100000 x 100000 values; at most 536870912 are read"
    with pytest.raises(UnreadableImage, match=said):
        read_grey(path)
    with pytest.raises(UnreadableImage, match=said):
        read_picture(path)


def test_the_bound_of_pillow_is_ours_while_a_file_is_opened(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    with open_image(png(tmp_path / "large.png", 20_000)) as image:
        assert image.size == (20_000, 20_000)
    # three values a pixel
    with pytest.raises(ValueError, match=r"^20000 x 20000 x 3 values; at most"):
        open_image(png(tmp_path / "colour.png", 20_000, 2))
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_tiff_of_ten_thousand_million_pixels_is_refused(tmp_path):
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8))
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        places = [file.pages.first.tags[tag].offset for tag in (256, 257)]
    for place in places:
        # type, count and value behind the number of the tag
        content[place + 2 : place + 12] = struct.pack("<HII", 4, 1, SIDE)
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"bomb.tif: .*100000 x 100000 values; at most"):
        read_tiff(path)


def test_a_volume_of_ten_thousand_million_voxels_is_refused(tmp_path):
    header = nibabel.nifti1.Nifti1Header()
    header.set_data_shape((4000, 4000, 4000))
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)))
    with pytest.raises(UnreadableImage, match=r"bomb.nii.gz: .*4000 x 4000 x 4000 values"):
        read_volume(path)


def test_a_deflated_dicom_file_is_read_up_to_a_size(tmp_path):
    path = tmp_path / "bomb.dcm"
    path.write_bytes(bytes(128) + b"DICM" + DEFLATED + bytes(MOST_DEFLATED))
    with pytest.raises(UnreadableImage, match=r"bomb.dcm: .*deflated"):
        read_dicom(path)


@pytest.mark.parametrize("kind", ["gz", "xlsx"])
def test_a_table_that_unpacks_beyond_the_bound_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("fairrecon_jax.data.sheets.MOST_BYTES", 10**6)
    monkeypatch.setattr(bounds, "MOST_BYTES", 10**6)
    path, content = tmp_path / f"bomb.{kind}", b"id,a\n" + b"1,2\n" * 10**6
    if kind == "gz":
        path.write_bytes(gzip.compress(content))
    else:
        with ZipFile(path, "w", ZIP_DEFLATED) as packed:
            packed.writestr("xl/workbook.xml", content)
    with pytest.raises(InputError, match=rf"bomb.{kind} holds more than"):
        read_sheet(path)


def test_a_parquet_file_of_one_value_many_times_is_refused(tmp_path):
    path = tmp_path / "bomb.parquet"
    one = pa.RunEndEncodedArray.from_arrays(pa.array([10**6], pa.int32()), pa.array([1]))
    pq.write_table(pa.table({f"c{i}": one.to_numpy(zero_copy_only=False) for i in range(1)}), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "MOST_BYTES", 10**6)
        with pytest.raises(InputError, match=r"bomb.parquet holds more than"):
            read_sheet(path)


def test_a_table_of_too_many_columns_is_refused(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(20_000)) + "\n" + "1," * 19_999 + "1\n")
    with pytest.raises(InputError, match=r"wide.csv has 20000 columns; at most 16384"):
        read_sheet(path)


def test_a_cell_with_a_null_character_or_a_path_out_of_the_tree_names_no_file(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "secret.png").write_bytes(b"")
    finder = Finder(tmp_path / "tree")
    for written in ("../secret.png", str(tmp_path / "secret.png"), "..\\secret.png"):
        assert finder.find(written) == ("", f"{written} leaves the data folder")
    for written in ("a\0b.png", "x" * 5000):
        found, why = finder.find(written)
        assert (found, why[:8]) == ("", "no file ")


def test_pipes_and_links_to_themselves_are_passed_over(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "gone.png").symlink_to("nowhere")
    # what links nowhere is told of as unreadable
    assert list(walk(tmp_path)) == ["a.png", "gone.png", "loop"]


@pytest.mark.parametrize("read", [read_mapping, load])
def test_a_mapping_that_multiplies_itself_is_refused(read, tmp_path):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "laughs.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"laughs.yaml: write out what the alias \*a0"):
        read(path)
    path.write_text("a: " + "[" * 10**5)
    with pytest.raises(InputError, match=r"laughs.yaml.*nested more than 20 deep"):
        read(path)


def test_a_mapping_makes_no_objects(tmp_path):
    path = tmp_path / "code.yaml"
    path.write_text(f"a: !!python/object/apply:os.mkdir [{tmp_path}/made]")
    with pytest.raises(InputError, match=r"code.yaml"):
        load(path)
    assert read_mapping(path) == {"a": [f"{tmp_path}/made"]}
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("text", ["=cmd|'/C calc'!A0", "+1+1+cmd", "-2+3+cmd", "@SUM(A1)", "\tx"])
def test_a_formula_in_a_name_is_written_as_text_and_read_back(text, tmp_path):
    path = tmp_path / "rows.csv"
    frame = pd.DataFrame({"group": [text, "F", f"'{text}"], text: [-1.5, 2.0, 0.0]})
    path.write_text(csv_text(frame))
    cells = [cell for line in path.read_text().splitlines() for cell in line.split(",")]
    assert not any(cell.strip('"')[0] in "=+@\t" for cell in cells)
    pd.testing.assert_frame_equal(read_csv(path), frame)
    assert read_sheet(path).frame["group"].tolist() == [text.strip(), "F", f"'{text}"] or (
        text == "\tx"
    )


def test_numbers_and_intervals_need_no_apostrophe():
    frame = pd.DataFrame({"gap": ["-0.3 (-0.5, -0.1)", "+1.5", "-2e-05"]})
    assert "'" not in csv_text(frame)


def test_results_and_report_write_formulas_as_text(tmp_path):
    from fairrecon_jax.assessment.predictions import read_results, write_results
    from fairrecon_jax.report.tables import table

    rows = pd.DataFrame({"group": ["=1+1", "F"], "value": [0.5, 1.0]})
    write_results(tmp_path, fairness=rows)
    assert "'=1+1" in Path(tmp_path, "results", "fairness.csv").read_text()
    assert read_results(tmp_path, "fairness")["group"].tolist() == ["=1+1", "F"]
    assert "'=1+1" in table.csv_text(rows)
