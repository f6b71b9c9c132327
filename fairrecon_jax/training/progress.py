"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from tqdm import tqdm

from fairrecon_jax import parallel


class Progress(Protocol):
    """What the loop tells."""

    def advance(self, steps: int) -> None:
        """So many steps are done since the last call."""
        ...

    def show(self, **values: float) -> None:
        """The latest values, e.g. loss."""
        ...

    def close(self) -> None:
        """The run ends."""
        ...


class Bar:
    """A tqdm bar: step, values, rate, remaining time."""

    def __init__(self, title: str, total: int, done: int, stream: TextIO):
        self._bar = tqdm(total=total, initial=done, desc=title, unit="step", file=stream, dynamic_ncols=True)

    def advance(self, steps: int) -> None:
        """Moves the bar."""
        self._bar.update(steps)

    def show(self, **values: float) -> None:
        """Shows values behind the bar."""
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()})

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._bar.close()


class Lines:
    """One line every `seconds`: step, values, rate, remaining time."""

    def __init__(self, title: str, total: int, done: int, stream: TextIO, seconds: float = 30.0):
        self._title, self._total, self._done, self._stream, self._seconds = title, total, done, stream, seconds
        self._start, self._first, self._printed = 0.0, done, time.monotonic()
        self._values: dict[str, float] = {}

    def advance(self, steps: int) -> None:
        """Counts steps; prints when it is time. The first step, which compiles, is left out of the rate."""
        self._done += steps
        if not self._start:
            self._start, self._first = time.monotonic(), self._done
        if time.monotonic() - self._printed >= self._seconds:
            self._print()

    def show(self, **values: float) -> None:
        """Keeps values for the next line."""
        self._values.update(values)

    def _print(self) -> None:
        self._printed = time.monotonic()
        rate = (self._done - self._first) / max(self._printed - self._start, 1e-9)
        left = f"{(self._total - self._done) / rate:.0f} s left" if rate else "starting"
        values = "".join(f", {name} {value:.4g}" for name, value in self._values.items())
        print(f"{self._title}: step {self._done}/{self._total}{values}, {rate:.3g} steps/s, {left}", file=self._stream, flush=True)

    def close(self) -> None:
        """Prints where the run ended."""
        self._print()


class Silence:
    """Tells nothing: for processes that are not the primary one."""

    def advance(self, steps: int) -> None:
        """Nothing."""

    def show(self, **values: float) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def progress(title: str, total: int, done: int = 0, stream: TextIO | None = None) -> Progress:
    """A bar where the stream is a terminal, lines otherwise; silence in processes that are not the primary one.

    Args:
      title: what is running.
      total: steps in all.
      done: steps done before.
      stream: standard error if None.
    """
    if not parallel.is_primary():
        return Silence()
    stream = stream or sys.stderr
    return (Bar if stream.isatty() else Lines)(title, total, done, stream)
