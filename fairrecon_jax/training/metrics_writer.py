"""Metrics of a run as lines of JSON, continued without gap or repetition when the run is;
TensorBoard and Weights & Biases beside them where they are asked for.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.types import InputError


class MetricsWriter:
    """Appends one JSON object a line to `metrics.jsonl`: {"step": int, "split": str, metric: float,
    ...}.

    Opened at step n it first drops every line past n and a line cut short by a crash: those steps
    are about to be done again.
    """

    def __init__(self, folder: Path, step: int = 0, tensorboard: bool = False, wandb: bool = False):
        """Opens the log.

        Args:
          folder: where `metrics.jsonl` lies.
          step: steps done so far; later lines are dropped.
          tensorboard: also write TensorBoard events under `folder/tensorboard`.
          wandb: also log to Weights & Biases, as the environment says (WANDB_MODE, WANDB_PROJECT,
            ...); its files lie under `folder/wandb`.

        Raises:
          InputError: a package that is asked for is not installed.
        """
        self.path = folder / "metrics.jsonl"
        # Steps past the checkpoint are done again, and logged again.
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self.path.open("a", encoding="utf-8")
        wanted = ((tensorboard, _open_board), (wandb, _WandbBoard))
        self._boards = [opened(folder, step) for asked, opened in wanted if asked]

    def write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """Appends one line.

        Args:
          step: steps done.
          split: "train" or "val".
          values: numbers by metric name; one that is not finite is written as null.
        """
        line = {
            "step": int(step),
            "split": split,
            **{name: _number(value) for name, value in values.items()},
        }
        self._file.write(json.dumps(line) + "\n")
        # Line by line: who follows the file sees whole lines.
        self._file.flush()
        for board in self._boards:
            for name, value in values.items():
                board.add_scalar(f"{split}/{name}", float(value), step)

    def sync(self) -> None:
        """Waits until everything written is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        for board in self._boards:
            board.close()


class NoWriter:
    """Stands for the writer in processes that are not the primary one."""

    def write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """Drops the line."""

    def sync(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to close."""


def _number(value: Any) -> float | None:
    """A JSON number, or null."""
    # NaN and Infinity are not JSON; Python would write them.
    return float(value) if math.isfinite(float(value)) else None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file in order; [] if there is none. A last line cut short by a crash
    is left out.

    Raises:
      ValueError: a line before the last is not JSON; the message names file and line.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
    return records


def _open_board(folder: Path, step: int) -> Any:
    """A TensorBoard writer that hides events past `step`."""
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as error:
        raise InputError(
            "TensorBoard events need the package tensorboardX: pip install "
            "'fairrecon_jax[tensorboard]'"
        ) from error
    # Events cannot be cut from a file, as lines can: the viewer hides them.
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


class _WandbBoard:
    """A run of Weights & Biases that goes on under its name where a training does; what it has
    already of the steps that are done again stays.
    """

    def __init__(self, folder: Path, step: int):
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise InputError(
                "Weights & Biases needs the package wandb: pip install 'fairrecon_jax[wandb]'"
            ) from error
        name = folder / "wandb_id"
        # a training from its first step is a new run
        if step == 0 or not name.exists():
            write_atomic(name, uuid.uuid4().hex)
        self._run = wandb.init(
            dir=str(folder),
            id=name.read_text(encoding="utf-8"),
            name="/".join(folder.absolute().parts[-3:]),
            project=os.environ.get("WANDB_PROJECT", "fairrecon_jax"),
            resume="allow",
        )

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Logs a number of a step; those of one step join."""
        self._run.log({name: value}, step=step)

    def close(self) -> None:
        """Ends the run: what is not sent yet is."""
        self._run.finish()
