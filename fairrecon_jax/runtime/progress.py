"""Progress of long work: a bar on a terminal, a line now and then elsewhere; only process 0 of a
run prints.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from logging import LogRecord
from typing import ParamSpec, Protocol, TextIO, TypeVar

from absl import logging
from tqdm import tqdm

from fairrecon_jax.runtime import processes

T = TypeVar("T")
P = ParamSpec("P")


class Progress(Protocol):
    """What long work reports to."""

    def advance(self, steps: int) -> None:
        """Counts steps done since the last call."""
        ...

    def show(self, **values: float) -> None:
        """The latest values, e.g. loss."""
        ...

    def close(self) -> None:
        """The work ends."""
        ...


class Bar:
    """A tqdm bar: step, values, rate, remaining time."""

    def __init__(
        self, title: str, total: int | None, done: int, stream: TextIO, unit: str = "step"
    ):
        self._bar = tqdm(
            total=total, initial=done, desc=title, unit=unit, file=stream, dynamic_ncols=True
        )

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

    def __init__(
        self,
        title: str,
        total: int | None,
        done: int,
        stream: TextIO,
        unit: str = "step",
        seconds: float = 30.0,
    ):
        self._title, self._total, self._done, self._stream, self._unit, self._seconds = (
            title,
            total,
            done,
            stream,
            unit,
            seconds,
        )
        # 0.0 for a start that has not been: it is set by the first step
        self._start, self._first, self._printed = 0.0, done, time.monotonic()
        self._values: dict[str, float] = {}

    def advance(self, steps: int) -> None:
        """Counts steps; prints when it is time. The first step, which compiles, is left out of the
        rate.
        """
        self._done += steps
        if not self._start:
            self._start, self._first = time.monotonic(), self._done
        if time.monotonic() - self._printed >= self._seconds:
            self._print()

    def show(self, **values: float) -> None:
        """Keeps values for the next line."""
        self._values.update(values)

    def _print(self, ended: bool = False) -> None:
        self._printed = time.monotonic()
        # a clock may not have moved between two quick steps
        rate = (self._done - self._first) / max(self._printed - self._start, 1e-9)
        parts = [f"{self._unit} {self._done}" + ("" if self._total is None else f"/{self._total}")]
        parts += [f"{name} {value:.4g}" for name, value in self._values.items()]
        # no rate before a second step: the first one only compiled
        if rate or not ended:
            parts += [f"{rate:.3g} {self._unit}s/s"]
        if self._total is not None and rate:
            parts += [f"{duration((self._total - self._done) / rate)} left"]
        elif self._total is not None and not ended:
            parts += ["starting"]
        print(f"{self._title}: {', '.join(parts)}", file=self._stream, flush=True)

    def close(self) -> None:
        """Prints where the work ended."""
        self._print(ended=True)


class Silence:
    """Shows nothing: for processes other than process 0."""

    def advance(self, steps: int) -> None:
        """Nothing."""

    def show(self, **values: float) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def progress(
    title: str, total: int | None, done: int = 0, stream: TextIO | None = None, unit: str = "step"
) -> Progress:
    """A bar where the stream is a terminal, lines otherwise; silence in processes that are not the
    primary one.

    Args:
      title: what is running.
      total: steps in all; None where that is not known.
      done: steps done before.
      stream: standard error if None.
      unit: what a step is, in the singular.
    """
    if not processes.is_primary():
        return Silence()
    stream = stream or sys.stderr
    return (Bar if stream.isatty() else Lines)(title, total, done, stream, unit)


def track(
    items: Iterable[T], title: str, unit: str, total: int | None = None, shown: bool = True
) -> Iterator[T]:
    """Yields the items and shows progress.

    Args:
      items: what to go through.
      title: what is running.
      unit: what an item is, in the singular.
      total: number of items; their length if None and they have one.
      shown: False for silence.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    bar = progress(title, total, unit=unit) if shown else Silence()
    try:
        for item in items:
            yield item
            bar.advance(1)
    # also where the reader stops early or raises: a bar left open garbles the lines after it
    finally:
        bar.close()


def announced(function: Callable[P, T], title: str, after: float = 3.0) -> Callable[P, T]:
    """A compiled function whose first call, which compiles it, says so where it takes a while, and
    how long it took.

    Args:
      function: the first call of it compiles.
      title: what is running.
      after: seconds of silence.
    """
    lock, called = threading.Lock(), False

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        nonlocal called
        with lock:
            first, called = not called, True
        if not first or not processes.is_primary():
            return function(*arguments, **named)
        started, said = time.monotonic(), threading.Event()

        def tell() -> None:
            said.set()
            tqdm.write(f"{title}: compiling ...", file=sys.stderr)

        timer = threading.Timer(after, tell)
        timer.daemon = True
        timer.start()
        try:
            return function(*arguments, **named)
        finally:
            timer.cancel()
            if said.is_set():
                text = f"{title}: compiled in {duration(time.monotonic() - started)}"
                tqdm.write(text, file=sys.stderr)
                note(text)

    return call


def duration(seconds: float) -> str:
    """Seconds in words: "9.5 s", "8 min 32 s", "3 h 05 min"."""
    # as it would be printed: 59.96 s is not "60.0 s"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    # rounded before it is divided, so that 119.6 s is not "1 min 60 s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def say(text: str) -> None:
    """A line on standard output, from process 0 of a run."""
    if processes.is_primary():
        print(text, flush=True)
        note(text)


_listeners: list[Callable[[str], None]] = []


@contextmanager
def listen(hear: Callable[[str], None]) -> Iterator[None]:
    """Hands on what is said and noted within.

    Args:
      hear: takes each text.
    """
    _listeners.append(hear)
    try:
        yield
    finally:
        _listeners.remove(hear)


def note(text: str) -> None:
    """A line for those who listen alone, such as the log of a work directory."""
    for hear in _listeners:
        hear(text)


def quiet(verbosity: int) -> None:
    """Sets what absl's logger lets through (checkpoint and data set libraries log a lot)."""
    logging.set_verbosity(verbosity)
    # absl keeps a threshold of its own for standard error
    logging.set_stderrthreshold(verbosity)
    logger = logging.get_absl_logger()
    logger.removeFilter(_said_by_whoever_waits)
    if verbosity <= logging.ERROR:  # the less is said, the smaller absl's number
        logger.addFilter(_said_by_whoever_waits)


def _said_by_whoever_waits(record: LogRecord) -> bool:
    """Leaves out what Orbax logs on its threads, with a traceback each: the same error is raised
    where the checkpoint is waited for.
    """
    return "orbax" not in record.pathname
