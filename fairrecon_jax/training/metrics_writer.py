"""Metrics of a run as lines of JSON, continued without gap or repetition when the run is;
TensorBoard beside them where it is installed.
"""

from __future__ import annotations

import json
import math
import os
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

    def __init__(self, folder: Path, step: int = 0, tensorboard: bool = False):
        """Opens the log.

        Args:
          folder: where `metrics.jsonl` lies.
          step: steps done so far; later lines are dropped.
          tensorboard: also write TensorBoard events under `folder/tensorboard`.

        Raises:
          InputError: `tensorboard` without the package tensorboardX.
        """
        self.path = folder / "metrics.jsonl"
        # Steps past the checkpoint are done again, and logged again.
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self.path.open("a", encoding="utf-8")
        self._board = _open_board(folder, step) if tensorboard else None

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
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{split}/{name}", float(value), step)

    def sync(self) -> None:
        """Waits until everything written is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


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
