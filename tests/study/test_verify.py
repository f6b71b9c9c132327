"""What a study made is compared with what it recorded when it made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fairrecon_jax.cli import main as cli
from fairrecon_jax.runtime import journal
from fairrecon_jax.study.run import run
from fairrecon_jax.study.stages import Stage, StageFilter, read_record
from fairrecon_jax.study.verify import verify
from fairrecon_jax.types import InputError
from tests.support import tiny_study

TINY = Path(tiny_study.__file__)


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


def test_every_byte_of_a_record_is_guarded(made):
    stage, folder, _ = made
    path, whole = stage.record(folder), stage.recorded(folder)
    content = path.read_bytes()
    for place in range(len(content)):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << (place % 8)
        path.write_bytes(spoilt)
        assert read_record(path) in ({}, whole), bytes(spoilt)
    path.write_bytes(content[:-9])
    assert stage.why(folder) == "never made"


def test_a_log_is_compared_and_nothing_made_again_for_it(tmp_path):
    log = tmp_path / "metrics.jsonl"
    stage = Stage("train", lambda: log.write_text("{}\n"), output=lambda: "", logs=lambda: [log])
    stage.make(tmp_path / "stages")
    log.write_text("{")
    assert stage.is_done(tmp_path / "stages")
    assert stage.damage(tmp_path / "stages", deep=True) == []
    told = stage.damage(tmp_path / "stages", deep=True, which="logs")
    assert told == ["metrics.jsonl has 1 bytes, not 3"]


def test_a_refused_making_leaves_the_record(made):
    stage, folder, _ = made

    def refuse() -> None:
        raise InputError("no")

    def fail() -> None:
        raise RuntimeError

    before = stage.recorded(folder)
    with pytest.raises(InputError, match="no"):
        dataclasses.replace(stage, run=refuse, inputs={"x": 2}).make(folder)
    assert stage.recorded(folder) == before
    assert stage.is_done(folder)
    with pytest.raises(RuntimeError):
        dataclasses.replace(stage, run=fail).make(folder)
    assert stage.why(folder) == "never made"


@pytest.fixture
def drawn(tmp_path):
    """A study of which only the phantom is drawn, and its folder."""
    config = tiny_study.get_config()
    config.phantom.patients = 3
    run(config, tmp_path, only="phantom")
    return config, tmp_path


def test_damage_of_the_configuration_is_found(drawn):
    config, folder = drawn
    path, whole = folder / "config.json", (folder / "config.json").read_bytes()
    assert verify(config, folder).damaged == []
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 1
    for content in (bytes(flipped), whole[:-1]):
        path.write_bytes(content)
        said = "configuration: config.json has another content than was written"
        assert verify(config, folder).damaged == [said]
    path.unlink()
    assert verify(config, folder).damaged == ["configuration: config.json is gone"]
    path.write_bytes(whole)
    record = folder / "stages" / "config.seal"
    record.write_bytes(record.read_bytes()[:-1])
    said = "configuration: its record config.seal is spoilt"
    assert verify(config, folder).damaged == [said]
    # of an earlier version
    record.unlink()
    assert verify(config, folder).damaged == []
    path.write_bytes(whole[:-1])
    assert verify(config, folder).damaged == ["configuration: config.json is spoilt"]


def test_a_study_that_is_not_whole_is_told(drawn, capsys):
    config, folder = drawn
    assert verify(config, folder).missing[:2] == ["cohort", "train tumor"]
    words = ["study", f"--config={TINY}", "--config.phantom.patients=3", "--verify"]
    assert cli.main([*words, f"--workdir={folder / 'none'}"]) == 2
    assert "none' is no folder: there is nothing to compare" in capsys.readouterr().err
    assert cli.main([*words, f"--workdir={folder}"]) == 2
    out, err = capsys.readouterr()
    assert "files are as they were written" in out
    assert "the study is not whole: 7 stages without a record, which `fairrecon study`" in err
    assert err.rstrip().endswith("predict unet at 8, assess, report")
    with pytest.raises(InputError, match="no folder"):
        verify(config, folder / "none")


def test_a_damaged_phantom_and_cohort_are_made_again_byte_by_byte(tmp_path):
    config = tiny_study.get_config()
    config.phantom.update(patients=4)
    config.splits.fractions = (0.5, 0.25, 0.25)
    config.assess.continuous = ("age_years",)
    config.lock()

    def prepare() -> dict[str, bytes]:
        run(config, tmp_path, only=StageFilter(("phantom", "cohort")))
        # times of the tree are in origin.json, and change with it; those of commands in the log
        return {
            path.relative_to(tmp_path).as_posix(): path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file()
            and "stages" not in path.parts
            and path.name not in ("origin.json", journal.NAME)
        }

    whole = prepare()
    assert verify(config, tmp_path)[1] == []
    record = tmp_path / "stages" / "phantom.json"
    kept = record.read_bytes()
    record.unlink()
    assert verify(config, tmp_path)[1] == ["phantom: its record phantom.json is gone or spoilt"]
    record.write_bytes(kept)
    image = next((tmp_path / "phantom").rglob("*.nii.gz"))
    table, origin = (next((tmp_path / "cohort").rglob(n)) for n in ("table.parquet", "origin.json"))
    image.unlink()
    table.write_bytes(table.read_bytes()[:-1])
    assert prepare() == whole
    flipped = bytearray(image.read_bytes())
    flipped[-1] ^= 4
    image.write_bytes(flipped)
    table.unlink()
    origin.write_text("[]")
    assert prepare() == whole


@pytest.fixture
def chained(tmp_path):
    """Runs a training and what reads its file, which keeps what it read."""
    file, read, made, out = tmp_path / "weights", [], ["1234"], []

    def run_training() -> None:
        file.write_text(made[0])
        out[:] = made

    train = Stage("train", run_training, output=lambda: out[0], files=lambda: [file])
    predict = Stage(
        "predict", lambda: read.append(file.read_text()), output=lambda: "", needs=(train,)
    )

    def again(only: str = "") -> list[str]:
        run(tiny_study.get_config(), tmp_path, only, lambda _: [train, predict])
        return read

    assert again() == ["1234"]
    return again, file, predict.record(tmp_path / "stages"), made


def test_what_is_read_again_is_compared_bit_for_bit_and_made_again(chained, capsys):
    again, file, record, _ = chained
    file.write_text("1235")
    assert again() == ["1234"], "nothing is left to be made, so nothing is read"
    record.unlink()
    with pytest.raises(InputError, match=r"^train: weights has another content .* train` first"):
        again("predict")
    assert again() == ["1234", "1234"]
    assert "train: weights has another content than was written; it is made" in (
        capsys.readouterr().out
    )


def test_what_comes_out_otherwise_when_it_is_made_again_is_told(chained):
    again, file, record, made = chained
    file.write_text("1235")
    record.unlink()
    made[0] = "1236"
    with pytest.raises(InputError, match="train came out otherwise than before"):
        again()
    assert again() == ["1234", "1236"]
