"""A run that is killed at any moment and started again ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from fairrecon_jax.training.checkpoints import load_variables
from fairrecon_jax.training.metrics_writer import read_metrics
from fairrecon_jax.training.run import Run, _termination
from tests.support import resumable
from tests.support.resumable import CONFIG, run

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("straight")
    run(workdir)
    return workdir


def launch(workdir: Path, pause: float, checkpoint_every: int = 5) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        resumable.__file__,
        str(workdir),
        str(pause),
        str(checkpoint_every),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parents[1]),
        "XLA_FLAGS": "",
    }
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def lines(workdir: Path) -> list[dict[str, Any]]:
    actual = read_metrics(workdir / "metrics.jsonl")
    return [
        {name: value for name, value in line.items() if name != "steps_per_second"}
        for line in actual
    ]


def assert_same(workdir: Path, straight: Path) -> None:
    (ours, meta), (wanted, wanted_meta) = (
        load_variables(workdir / "final"),
        load_variables(straight / "final"),
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (meta["digest"], meta["best"], meta["best_step"]) == (
        wanted_meta["digest"],
        wanted_meta["best"],
        wanted_meta["best_step"],
    )
    assert lines(workdir) == lines(straight)
    assert not (workdir / "checkpoints").exists()


def wait_for_line(workdir: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not any(line["step"] >= step for line in read_metrics(workdir / "metrics.jsonl")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.01)


def test_the_straight_run_has_every_line_once(straight: Path) -> None:
    steps = [line["step"] for line in lines(straight) if line["split"] == "train"]
    assert steps == list(range(3, CONFIG.steps + 1, 3))
    assert [line["step"] for line in lines(straight) if line["split"] == "val"] == [
        13,
        26,
        39,
        52,
        60,
    ]


def test_killed_and_killed_again(straight: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(os.getpid())
    for step in (6, 30):  # somewhere after a step, at a moment nobody chose
        process = launch(tmp_path, pause=0.03)
        wait_for_line(tmp_path, step, process)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "final").exists()
    run(tmp_path)
    assert_same(tmp_path, straight)


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (signal.SIGTERM, 143, "stopped by SIGTERM; step"),
        (signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_told_to_stop_it_saves_where_it_stands(
    straight: Path, tmp_path: Path, sent: int, code: int, said: str
) -> None:
    process = launch(tmp_path, pause=0.03, checkpoint_every=1000)
    wait_for_line(tmp_path, 9, process)
    process.send_signal(sent)
    _, told = process.communicate(timeout=300)
    assert process.returncode == code
    assert said in told
    saved = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert saved >= 9
    run(tmp_path)
    assert_same(tmp_path, straight)


@pytest.mark.parametrize(
    ("sent", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_told_to_stop_during_the_last_step_it_does(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: int, raised: type
) -> None:
    between = Run._between_steps

    def told(self: Run, state: Any, record: Any, stopping: bool) -> None:
        between(self, state, record, stopping)
        if record.step == CONFIG.steps:
            signal.raise_signal(sent)

    monkeypatch.setattr(Run, "_between_steps", told)
    with pytest.raises(raised):
        run(tmp_path)
    run(tmp_path)
    assert_same(tmp_path, straight)


def test_a_signal_after_the_last_question_reaches_whoever_handles_it() -> None:
    # a process in the background may have been started to ignore it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), _termination():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
