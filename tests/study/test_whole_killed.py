"""A study killed with SIGKILL while it predicts and while it reports ends as one that was left
alone, and so does one whose files were damaged. `python -m experiments.faults` does both at length.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.faults.damage import damaged
from experiments.faults.runs import tables
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.run import run
from tests.support import tiny_study

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys
from fairrecon_jax.study.run import run
from tests.support import tiny_study
place, when = sys.argv[2].split(":")
real, seen = os.replace, []

def replace(source, target, **more):
    if place in str(target):
        seen.append(target)
        if len(seen) == int(when):
            os.kill(os.getpid(), signal.SIGKILL)
    return real(source, target, **more)

os.replace = replace
run(tiny_study.get_config().lock(), sys.argv[1])
"""


def killed(workdir: Path, place: str) -> None:
    """Runs the study until it is about to put in place the n-th file whose path holds a word."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(workdir), place],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def undone(workdir: Path) -> list[str]:
    """Titles of the stages that are not up to date."""
    stages = plan(Context(tiny_study.get_config(), workdir))
    return [stage.title for stage in stages if not stage.is_done(workdir / "stages")]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> Path:
    """Where the study is killed, and then damaged."""
    return tmp_path_factory.mktemp("killed") / "work"


@pytest.mark.slow
def test_a_study_killed_while_it_predicts_and_reports_ends_in_the_same_results(workdir, capsys):
    config = tiny_study.get_config().lock()
    killed(workdir, "predictions/unet:1")
    assert not any(
        (workdir / "stages" / f"{n}.json").exists() for n in ("predict__unet__8", "assess")
    )
    assert undone(workdir) == ["predict unet at 8", "assess", "report"]
    killed(workdir, "report/:3")
    assert undone(workdir) == ["report"]
    assert not (workdir / "report" / "index.html").exists()
    page = run(config, workdir)
    assert "left: report\n" in capsys.readouterr().out
    results = [
        (workdir / "results" / f"{name}.csv").read_bytes() for name in ("performance", "fairness")
    ]
    figures = {path.name for path in (workdir / "report" / "figures").iterdir()}
    for name in ("stages", "predictions", "results", "report"):
        shutil.rmtree(workdir / name)
    assert run(config, workdir) == page
    assert [
        (workdir / "results" / f"{name}.csv").read_bytes() for name in ("performance", "fairness")
    ] == results
    assert {path.name for path in (workdir / "report" / "figures").iterdir()} == figures


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "how", "used", "outcome"),
    [
        ("weights", "bit flipped", True, "made anew"),
        ("cohort table", "bit flipped", True, "made anew"),
        ("predictions", "cut", False, "made anew"),
        ("record", "bit flipped", False, "made anew"),
        ("table of the report", "bit flipped", False, "made anew"),
        ("choices of a training", "deleted", False, "not read"),
        ("splits", "bit flipped", False, "refused by name"),
    ],
)
def test_damage_is_named_and_ends_in_the_same_tables(workdir, kind, how, used, outcome):
    config = tiny_study.get_config().lock()
    if not (workdir / "report" / "index.html").exists():
        run(config, workdir)
    whole, file = tables(workdir), Path(tiny_study.__file__)
    rng = np.random.default_rng(0)
    row = damaged(workdir, config, whole, kind, how, used, rng, file)
    assert (row["outcome"], row["end"]) == (outcome, "same tables"), row
