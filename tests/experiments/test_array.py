"""Stages as jobs of their own: their order, what is submitted, the same tables as of one run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest

from experiments.launch import array
from fairrecon_jax.defaults import mitigation
from fairrecon_jax.study.dry_run import dry_run, listing
from fairrecon_jax.study.run import run
from fairrecon_jax.study.stages import StageFilter
from fairrecon_jax.types import InputError
from tests.support import tiny_study

CONFIG = Path(tiny_study.__file__)


@pytest.fixture
def stages(tmp_path):
    """A study of two levels, two seeds and a mitigation."""
    config = tiny_study.get_config()
    config.degradation.levels, config.seeds = (4.0, 8.0), (0, 1)
    config.mitigations.dro = mitigation("group_dro", 2, 8, 1e-3)
    return listing(config, tmp_path)["stages"]


def test_groups_come_after_what_they_need_and_hold_all_levels_and_seeds(stages):
    groups = array.groups(stages)
    made: set[str] = set()
    for group in groups:
        assert all(set(stage["needs"]) <= made for stage in group)
        made |= {stage["stage"] for stage in group}
    assert len(made) == len(stages) == sum(map(len, groups))
    sizes = {(g[0]["verb"], g[0]["model"], g[0]["mitigation"]): len(g) for g in groups}
    assert sizes["train", "unet", ""] == 4
    assert sizes["mitigate", "unet", "dro"] == sizes["predict", "identity", ""] == 2
    assert sizes["train", "tumor", ""] == 1, "one diagnoser for all trainings"
    assert sizes["assess", "", ""] == 1


def test_workers_make_what_is_ready_and_nothing_that_failed_is_built_on(stages, capsys):
    log: list[str] = []
    at_once, most, lock = 0, 0, threading.Lock()

    def make(title: str) -> None:
        nonlocal at_once, most
        needs = {need for stage in stages if stage["stage"] == title for need in stage["needs"]}
        with lock:
            assert needs <= set(log), title
            at_once, most = at_once + 1, max(most, at_once + 1)
        threading.Event().wait(0.01)
        with lock:
            at_once -= 1
            if title == "train unet at 4, training 1":
                raise RuntimeError(f"{title} ended with code 1")
            log.append(title)

    with pytest.raises(RuntimeError) as failed:
        array.on_this_machine(stages, make, workers=2)
    assert most == 2
    assert str(failed.value).startswith("train unet at 4, training 1 ended with code 1; not made: ")
    lost = {title for title in (stage["stage"] for stage in stages) if title not in log}
    assert {"assess", "report", "train unet at 4, training 1"} < lost
    assert all("unet" in title and "training 1" in title for title in lost - {"assess", "report"})
    assert f"made {log[0]}; {len(stages) - 1} left\n" in capsys.readouterr().out


def test_a_flag_of_nobody_is_told_with_the_nearest(capsys):
    words = ["--wrkers=2", "--config=x.py", "--config.seed=1", "--workdir", "runs/x", "--dry_run"]
    assert array.main(words) == 2
    assert capsys.readouterr().err == (
        "python -m experiments.launch.array: there is no flag --wrkers; did you mean '--workers'?, "
        "nor --dry_run\n"
    )


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("--workers=0", "--workers must be at least 1, got 0"),
        ("--set=partition", "--set takes KEY=VALUE, got 'partition'"),
    ],
)
def test_values_of_its_own_flags_are_checked_first(word, says, capsys):
    assert array.main([word]) == 2
    assert capsys.readouterr().err == f"python -m experiments.launch.array: {says}\n"


def test_every_worker_has_a_device_of_its_own():
    titles = [{"stage": str(number), "needs": []} for number in range(8)]
    seen: list[str] = []
    used: set[str] = set()

    def make(title: str, environment: dict[str, str]) -> None:
        device = environment["CUDA_VISIBLE_DEVICES"]
        assert device not in used
        used.add(device)
        seen.append(device)
        threading.Event().wait(0.01)
        used.remove(device)

    array.on_this_machine(titles, make, workers=1, devices=["4", "7"])
    assert len(seen) == 8
    assert set(seen) == {"4", "7"}


def test_arrays_depend_on_the_arrays_they_need(stages, tmp_path, monkeypatch):
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    programs.mkdir()
    # sbatch of a cluster: numbers jobs from 100 and keeps their files
    sbatch = f"""#!{sys.executable}
import shutil, sys
from pathlib import Path
here = Path(__file__).parent
number = 100 + len(list(here.glob("*.sbatch")))
shutil.copy(sys.argv[-1], here / f"{{number}}.sbatch")
print(f"Submitted batch job {{number}}")
"""
    for name, text in (("sbatch", sbatch), ("srun", "")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    parameters = {"time": 90, "cpus_per_task": 4, "partition": "gpu"}
    arrays = array.on_slurm(stages, array.Make(["--workdir=w"]), jobs, parameters, gpus=1)
    text = {path.stem: path.read_text() for path in programs.glob("*.sbatch")}
    assert set(arrays.values()) == set(text)
    for stage in stages:
        told = text[arrays[stage["stage"]]]
        found = re.search(r"--dependency=afterok:([\d:]+)", told)
        needed = {arrays[need] for need in stage["needs"]}
        # those of the others in the array too
        assert needed <= set(found.group(1).split(":") if found else [])
        assert ("--gpus-per-node=1" in told) == stage["accelerator"]
        assert "--partition=gpu" in told
        assert "--kill-on-invalid-dep=yes" in told
    training = text[arrays["train unet at 4, training 0"]]
    assert "--array=0-3%4" in training
    assert "--time=90" in training
    assert len(list(jobs.rglob("*.pkl"))) == len(stages)


def test_slurm_asks_for_its_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"fairrecon_jax\[slurm\]"):
        array.on_slurm([], print, tmp_path, {}, 1)


def test_a_job_out_of_time_ends_its_child_and_is_queued_again(monkeypatch):
    # a study that saves its state on SIGTERM, and is not moved by the signal before
    code = "import signal, sys, time; signal.signal(signal.SIGUSR2, signal.SIG_IGN); time.sleep(60)"
    monkeypatch.setattr(array, "STUDY", code)
    make, ended = array.Make(["--workdir=w"]), []

    def work() -> None:
        with pytest.raises(RuntimeError, match=r"^train unet ended with code -15$"):
            make("train unet")
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    while make._child is None:
        threading.Event().wait(0.01)
    again = make.checkpoint("train unet")
    thread.join(30)
    assert ended == [True]
    assert make._child.returncode == -signal.SIGTERM
    assert again.args == ("train unet",)
    assert again.function.arguments == ["--workdir=w"]


def test_a_refused_study_is_said_by_the_study_itself(capsys, monkeypatch):
    monkeypatch.setattr(array, "STUDY", "import sys; sys.exit(2)")
    assert array.main(["--config=x", "--workers=2"]) == 2
    assert capsys.readouterr().err == "the study was refused, as said above\n"


@pytest.mark.slow
def test_two_workers_make_the_tables_that_one_process_makes(tmp_path, capfd):
    one, two = tmp_path / "one", tmp_path / "two"
    config = tiny_study.get_config().lock()
    run(config, one, only=StageFilter(("phantom", "cohort")))
    # each stage is a process that starts: without these two that take no part in the numbers
    shutil.copytree(one, two)
    assert array.main([f"--config={CONFIG}", f"--workdir={two}", "--workers=2"]) == 0, (
        capfd.readouterr()
    )
    assert "made report; 0 left\n" in capfd.readouterr().out
    run(config, one)
    names = {path.name for path in (one / "results").glob("*.csv")}
    assert {"performance.csv", "fairness.csv", "curves.csv"} <= names
    for name in names:
        assert (two / "results" / name).read_bytes() == (one / "results" / name).read_bytes(), name
    assert dry_run(config, two)[0].endswith("done")
    assert dry_run(config, two)[-2].startswith("0 of ")
