"""Registers benchmarks and times each against its peer in one run, turn by turn.

A benchmark module holds functions decorated with `@benchmark("name")`. Each prepares its data,
imports its peer and returns a `Comparison` (or a plain tuple of its four fields); preparation and
the first call of either side, which compiles, are not timed.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple, TextIO

import jax


class Comparison(NamedTuple):
    """What a benchmark function returns.

    Attributes:
      ours: does the work once; its result is waited for.
      peer: does the same work with the peer's tool.
      shape: what the work was done on, for the reader: a tuple of sizes or a sentence.
      repeats: number of timed calls of each side.
    """

    ours: Callable[[], Any]
    peer: Callable[[], Any]
    shape: tuple[int, ...] | str
    repeats: int


@dataclasses.dataclass(frozen=True)
class Result:
    """One line of the output; `ratio` is peer / ours: above 1, ours is faster. Times are medians in
    seconds.
    """

    name: str
    ours_s: float
    peer_s: float
    ratio: float
    shape: tuple[int, ...] | str

    def to_json(self) -> str:
        """The result as one line of JSON, times and ratio with four significant digits."""
        raw = dataclasses.asdict(self)
        return json.dumps(
            {
                key: float(f"{value:.4g}") if isinstance(value, float) else value
                for key, value in raw.items()
            }
        )


Factory = Callable[[], Comparison | tuple]

REGISTRY: dict[str, Factory] = {}


def benchmark(
    name: str, registry: dict[str, Factory] | None = None
) -> Callable[[Factory], Factory]:
    """Decorator that registers a function of no arguments returning (ours, peer, shape, repeats).

    Args:
      name: what `--only` selects.
      registry: where to register; the global registry if None.

    Returns:
      The decorator; it leaves the function as it is.

    Raises:
      ValueError: the name is taken by another function.
    """
    target = REGISTRY if registry is None else registry

    def register(function: Factory) -> Factory:
        if name in target and target[name].__qualname__ != function.__qualname__:
            raise ValueError(
                f"two benchmarks are called {name!r}: {target[name].__qualname__} and "
                f"{function.__qualname__}"
            )
        target[name] = function
        return function

    return register


def load_modules(package: ModuleType, errors: TextIO | None = None) -> list[str]:
    """Imports every benchmark module of a package, so that its functions register.

    A module that cannot be imported because an optional package is missing is reported and left
    out.

    Args:
      package: a package of benchmark modules.
      errors: where to report; standard error if None.

    Returns:
      Names of the modules imported.
    """
    loaded = []
    for module in pkgutil.iter_modules(package.__path__):
        if module.name in ("__main__", "harness"):
            continue
        try:
            importlib.import_module(f"{package.__name__}.{module.name}")
        except ImportError as error:
            _report(module.name, error, errors)
        else:
            loaded.append(module.name)
    return loaded


def measure(
    name: str, comparison: Comparison, clock: Callable[[], float] = time.perf_counter
) -> Result:
    """Times both sides turn by turn after one untimed call of each, so that a drifting machine
    slows both.

    Args:
      name: the benchmark's name.
      comparison: what to run.
      clock: seconds.

    Returns:
      The medians and their ratio.

    Raises:
      ValueError: no repeat is asked for.
    """
    if comparison.repeats < 1:
        raise ValueError(
            f"benchmark {name!r} asks for {comparison.repeats} repeats: needs at least 1"
        )

    def seconds(work: Callable[[], Any]) -> float:
        start = clock()
        jax.block_until_ready(work())
        return clock() - start

    seconds(comparison.ours)
    seconds(comparison.peer)
    # Turn by turn, so that a machine that slows down slows both.
    pairs = [
        (seconds(comparison.ours), seconds(comparison.peer)) for _ in range(comparison.repeats)
    ]
    ours, peer = (statistics.median(side) for side in zip(*pairs))
    return Result(name, ours, peer, peer / ours, comparison.shape)


def run(
    names: Iterable[str],
    registry: dict[str, Factory],
    output: TextIO | None = None,
    errors: TextIO | None = None,
) -> list[Result]:
    """Runs benchmarks and prints each result as a JSON line as soon as it is there.

    Args:
      names: names in the registry.
      registry: name to function.
      output: where results go; standard output if None.
      errors: where a benchmark with a missing peer is reported; standard error if None.

    Returns:
      The results.

    Raises:
      KeyError: a name that is not registered.
    """
    results = []
    for name in names:
        if name not in registry:
            raise KeyError(
                f"no benchmark is called {name!r}; there are: "
                f"{', '.join(sorted(registry)) or 'none'}"
            )
        try:
            comparison = Comparison(*registry[name]())
        except ImportError as error:
            _report(name, error, errors)
            continue
        results.append(measure(name, comparison))
        print(results[-1].to_json(), file=output or sys.stdout, flush=True)
    return results


def _report(name: str, error: ImportError, errors: TextIO | None) -> None:
    print(
        json.dumps({"name": name, "skipped": f"{type(error).__name__}: {error}"}),
        file=errors or sys.stderr,
        flush=True,
    )
