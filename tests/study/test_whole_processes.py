"""A whole study by two processes: the same predictions as by one, and nothing written twice."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fairrecon_jax.assessment import read_predictions
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.run import run
from tests.support import tiny_study
from tests.support.processes import run_processes

CONFIG = Path(tiny_study.__file__)
# the collectives' library prints this piece by piece from several threads, mixing the lines
GLOO = (
    r"\[Gloo\] Rank |\d+| is connected to | peer ranks\. "
    r"|Expected number of connected peer ranks is : |\n"
)
COMMAND = ["-m", "fairrecon_jax.cli.main", "study", f"--config={CONFIG}"]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_processes_make_the_study_that_one_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    told = run_processes([*COMMAND, f"--workdir={two}"], devices=2)
    assert [process.code for process in told] == [0, 0], told[0].err[-2000:] + told[1].err[-2000:]
    assert f"report: {two / 'report' / 'index.html'}" in told[0].out
    assert "image" in told[0].err
    assert re.sub(GLOO, "", told[1].out) == ""
    assert told[1].err == ""

    config = tiny_study.get_config().lock()
    shutil.copytree(two, one)
    assert run(config, one) == one / "report" / "index.html"
    assert "left: nothing" in capsys.readouterr().out
    shutil.rmtree(one / "predictions")
    run(config, one, only="predict")
    for name in ("identity__8", "unet__8"):
        (shared, spec), (alone, _) = (
            read_predictions(folder / "predictions" / f"{name}.parquet") for folder in (two, one)
        )
        assert list(shared.columns) == list(alone.columns)
        assert len(shared) == len(Context(config, one).evaluated_rows())
        for column in alone:
            if alone[column].dtype.kind == "f" and not column.endswith(("__label", "_pixels")):
                np.testing.assert_allclose(
                    shared[column], alone[column], rtol=1e-5, atol=1e-5, err_msg=column
                )
            else:
                np.testing.assert_array_equal(shared[column], alone[column], err_msg=column)
        assert [task.name for task in spec.tasks] == ["tumor"]
    assert {stage.stem for stage in plan(Context(config, two))} == {
        path.stem for path in (two / "stages").glob("*.json")
    }
    assert {name for name in files(two) if ".partial" in name or ".tmp" in name} == set()


def test_what_is_refused_is_said_once(tmp_path: Path) -> None:
    told = run_processes(
        [*COMMAND, f"--workdir={tmp_path}", "--config.reconstructors.unet.kind=vnet"]
    )
    assert [process.code for process in told] == [2, 2]
    assert told[0].err.startswith(
        "fairrecon study: config.reconstructors.unet: unknown reconstructor 'vnet'"
    )
    assert told[1].err == ""
