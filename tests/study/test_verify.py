"""What a study made is compared with what it recorded when it made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairrecon_jax.study.stages import Stage


@pytest.fixture
def made(tmp_path):
    """A stage that wrote two files, and its folder of records."""
    written = [tmp_path / "results" / name for name in ("a.csv", "b.csv")]

    def run() -> None:
        for path in written:
            path.parent.mkdir(exist_ok=True)
            path.write_text("1,2,3\n")

    stage = Stage("assess", run, {"x": 1}, output=lambda: "same", files=lambda: written)
    stage.make(tmp_path / "stages")
    return stage, tmp_path / "stages", written


def test_an_untouched_stage_is_done_and_whole(made):
    stage, folder, _ = made
    assert stage.is_done(folder)
    assert stage.damage(folder, deep=True) == []
    assert set(stage.recorded(folder)["files"]) == {"results/a.csv", "results/b.csv"}


def test_a_file_that_is_gone_or_cut_is_made_again(made):
    stage, folder, (first, second) = made
    first.unlink()
    assert stage.damage(folder) == ["results/a.csv is gone"]
    assert stage.why(folder) == "what it made is gone or changed"
    stage.make(folder)
    assert stage.is_done(folder)
    second.write_text("1,2")
    assert stage.damage(folder) == ["results/b.csv has 3 bytes, not 6"]
    assert not stage.is_done(folder)


def test_what_is_left_of_a_damaged_result_is_cleared_before_it_is_made_again(tmp_path):
    path, cleared = tmp_path / "final" / "weights", []

    def run() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text("1234")

    stage = Stage(
        "train", run, output=lambda: "same", files=lambda: [path], clear=lambda: cleared.append(1)
    )
    stage.make(tmp_path / "stages")
    stage.make(tmp_path / "stages")
    assert cleared == []
    path.write_text("12")
    stage.make(tmp_path / "stages")
    assert cleared == [1]


def test_a_flipped_bit_is_found(made):
    stage, folder, (first, _) = made
    content = bytearray(first.read_bytes())
    content[2] ^= 1
    first.write_bytes(content)
    # the size is all that is looked at each time
    assert stage.damage(folder) == []
    assert stage.damage(folder, deep=True) == ["results/a.csv has another content than was written"]


def test_a_moved_work_directory_stays_whole(made, tmp_path):
    stage, folder, _ = made
    other = tmp_path.with_name(f"{tmp_path.name}_moved")
    tmp_path.rename(other)
    assert stage.damage(Path(other, folder.name), deep=True) == []


def test_records_of_earlier_versions_know_no_files(tmp_path):
    stage = Stage("assess", lambda: None, output=lambda: "same")
    stage.make(tmp_path / "stages")
    assert stage.is_done(tmp_path / "stages")
