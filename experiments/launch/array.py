"""Makes the stages of one study as jobs of their own, in one work directory: trainings x levels x
seeds at once, then what needs them, up to the report.

On this machine, two at a time, or one on each of four accelerators:

    python -m experiments.launch.array --workers=2 --config=FILE --workdir=DIR
    python -m experiments.launch.array --devices=0,1,2,3 --config=FILE --workdir=DIR

On a Slurm cluster (needs the extra "slurm"), as job arrays that depend on one another:

    python -m experiments.launch.array --slurm --minutes=1440 --gpus=1 --cpus=8 \\
        --set partition=gpu --set account=MINE --config=FILE --workdir=DIR

What is finished is not made again; flags that are not listed here go to `fairrecon study`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from fairrecon_jax.types import InputError, meant

Listed = Mapping[str, Any]
"""A stage as `fairrecon plan --json` lists it."""
STUDYS = ("config", "workdir", "verbose", "noverbose")
"""Flags that go on to `fairrecon plan` and `fairrecon study`."""
FIELD = re.compile(r"(no)?config\.")
# Slurm signals every process of a job that it is about to end; the child waits for SIGTERM
STUDY = """
import signal, sys
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
from fairrecon_jax.cli.main import main
sys.exit(main())
"""


class Make:
    """Makes one stage in a process of its own; as a job of submitit that is about to run out of
    time it saves its state and is queued again.
    """

    def __init__(self, arguments: Sequence[str], logs: Path | None = None) -> None:
        """Takes flags of `fairrecon study`, and where to write what the processes say (None: where
        this one does).
        """
        self.arguments, self.logs = list(arguments), logs
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self, title: str, environment: Mapping[str, str] | None = None) -> None:
        """Makes the stage.

        Raises:
          RuntimeError: it could not be made.
        """
        command = [sys.executable, "-c", STUDY, "study", *self.arguments, f"--only={title}"]
        log = None if self.logs is None else self.logs / f"{title.replace(' ', '_')}.log"
        with open(log or os.devnull, "ab") as file:
            out = None if log is None else file
            self._child = subprocess.Popen(
                command, env={**os.environ, **(environment or {})}, stdout=out, stderr=out
            )
            code = self._child.wait()
        if code:
            raise RuntimeError(f"{title} ended with code {code}" + (f", see {log}" if log else ""))

    def checkpoint(self, title: str) -> Any:
        """What submitit queues in place of a job that ran out of time."""
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            # a training saves its state on SIGTERM
            self._child.terminate()
            self._child.wait()
        return DelayedSubmission(Make(self.arguments, self.logs), title)


def listed(arguments: Sequence[str]) -> tuple[Path, list[Listed]]:
    """The work directory of a study and its stages that are not finished.

    Raises:
      InputError: the study is refused; it says why itself.
    """
    command = [sys.executable, "-c", STUDY, "plan", *arguments, "--json"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if told.returncode:
        raise InputError("the study was refused, as said above")
    found = json.loads(told.stdout)
    return Path(found["workdir"]), [s for s in found["stages"] if s["state"] != "finished"]


def groups(stages: Sequence[Listed]) -> list[list[Listed]]:
    """Stages that do the same to the same model, at all levels and seeds, in an order in which each
    group comes after those it needs.
    """

    def kind(stage: Listed) -> tuple[Any, ...]:
        return stage["wave"], stage["verb"], stage["model"], stage["mitigation"]

    return [list(group) for _, group in itertools.groupby(sorted(stages, key=kind), kind)]


def on_this_machine(
    stages: Sequence[Listed], make: Callable[..., None], workers: int, devices: Sequence[str] = ()
) -> None:
    """Makes stages, several at a time, each as soon as those it needs are there.

    Args:
      stages: from `listed`.
      make: makes one, by its title.
      workers: how many at a time.
      devices: accelerators, of which each worker sees one; () leaves that to the environment.

    Raises:
      RuntimeError: some could not be made; all others were that do not need them.
    """
    titles, free = {stage["stage"] for stage in stages}, queue.SimpleQueue[str]()
    for device in devices:
        free.put(device)

    def one(title: str) -> None:
        if not devices:
            return make(title)
        device = free.get()
        try:
            make(title, {"CUDA_VISIBLE_DEVICES": device})
        finally:
            free.put(device)

    left = {stage["stage"]: titles.intersection(stage["needs"]) for stage in stages}
    running: dict[Future[None], str] = {}
    failed: list[str] = []
    with ThreadPoolExecutor(len(devices) or workers) as pool:
        while True:
            for title in [title for title, needs in left.items() if not needs]:
                del left[title]
                running[pool.submit(one, title)] = title
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                title = running.pop(future)
                if error := future.exception():
                    failed.append(str(error))
                    continue
                print(f"made {title}; {len(running) + len(left)} left", flush=True)
                for needs in left.values():
                    needs.discard(title)
    if failed:
        rest = f"; not made: {', '.join(left)}" if left else ""
        raise RuntimeError("; ".join(failed) + rest)


def on_slurm(
    stages: Sequence[Listed],
    make: Callable[..., None],
    folder: Path,
    parameters: Mapping[str, Any],
    gpus: int,
) -> dict[str, str]:
    """Submits stages as job arrays, one a group, that start when the arrays they need have ended
    well.

    Args:
      stages: from `listed`.
      make: makes one, by its title.
      folder: for the files and logs of the jobs, on a disk that all nodes see.
      parameters: of `submitit.SlurmExecutor`, e.g. time (minutes), cpus_per_task, partition.
      gpus: a job whose stage runs networks.

    Returns:
      By title of a stage the number of its array.

    Raises:
      InputError: submitit is not installed.
    """
    try:
        from submitit import SlurmExecutor
    except ModuleNotFoundError as error:
        raise InputError(
            "job arrays need the package submitit: pip install 'fairrecon_jax[slurm]'"
        ) from error
    # long trainings run out of time many times
    executor, arrays = SlurmExecutor(folder, max_num_timeout=1000), {}
    for group in groups(stages):
        needs = sorted({arrays[need] for one in group for need in one["needs"] if need in arrays})
        executor.update_parameters(
            **parameters,
            job_name="_".join(filter(None, (group[0]["verb"], group[0]["model"]))),
            gpus_per_node=gpus if gpus and group[0]["accelerator"] else None,
            dependency=f"afterok:{':'.join(needs)}" if needs else None,
            additional_parameters={"kill-on-invalid-dep": "yes"},
        )
        jobs = executor.map_array(make, [one["stage"] for one in group])
        array = str(jobs[0].job_id).partition("_")[0]
        arrays |= {one["stage"]: array for one in group}
        after = f" after {', '.join(needs)}" if needs else ""
        print(f"{array}{after}: {'; '.join(one['stage'] for one in group)}", flush=True)
    return arrays


def check_flags(arguments: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Refuses flags that are neither of this program nor for `fairrecon study`.

    Raises:
      InputError: the message tells each of them, with the nearest name.
    """
    known = [f"--{name}" for name in (*vars(parser.parse_args([])), *STUDYS)]
    named = [word.lstrip("-").partition("=")[0] for word in arguments if word.startswith("-")]
    unknown = [f"--{one}" for one in named if one not in STUDYS and not FIELD.match(one)]
    if unknown:
        each = [f"{one}{meant(one, known)}" for one in unknown]
        raise InputError(f"{parser.prog}: there is no flag {', nor '.join(each)}")


def main(words: Sequence[str] | None = None) -> int:
    """Parses the command line, makes or submits what is left of the study."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.launch.array",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--workers", type=int, default=1, help="stages at a time on this machine")
    parser.add_argument("--devices", default="", help="accelerators, one a worker, e.g. 0,1,2")
    parser.add_argument("--slurm", action="store_true", help="submit job arrays instead")
    parser.add_argument("--minutes", type=int, default=1440, help="time limit of a job")
    parser.add_argument("--gpus", type=int, default=1, help="a job that runs networks")
    parser.add_argument("--cpus", type=int, default=8, help="cores a job")
    parser.add_argument("--parallel", type=int, default=256, help="jobs of an array at a time")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of sbatch")
    chosen, arguments = parser.parse_known_args(words)
    try:
        check_flags(arguments, parser)
        if chosen.workers < 1:
            raise InputError(f"{parser.prog}: --workers must be at least 1, got {chosen.workers}")
        if unpaired := [pair for pair in chosen.set if "=" not in pair]:
            raise InputError(f"{parser.prog}: --set takes KEY=VALUE, got {unpaired[0]!r}")
        workdir, stages = listed(arguments)
        logs = workdir.absolute() / "jobs"
        logs.mkdir(parents=True, exist_ok=True)
        if not chosen.slurm:
            devices = [one for one in chosen.devices.split(",") if one]
            on_this_machine(stages, Make(arguments, logs), chosen.workers, devices)
            return 0
        given = dict(pair.split("=", 1) for pair in chosen.set)
        limits = {"time": chosen.minutes, "cpus_per_task": chosen.cpus}
        limits["array_parallelism"] = chosen.parallel
        on_slurm(stages, Make(arguments), logs, {**limits, **given}, chosen.gpus)
    except (InputError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
