"""Command line of the benchmarks: `python -m experiments.benchmarks [--only NAME] [--list]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import experiments.benchmarks
from experiments.benchmarks.harness import REGISTRY, load_modules, run
from fairrecon_jax.runtime.memory import keep_memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the chosen benchmarks.

    Args:
      arguments: command line without the program's name; the process's own if None.

    Returns:
      0, or 2 where `--only` names no benchmark or a module of benchmarks could not be imported.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="run this benchmark alone")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args(arguments)
    if arguments is None:
        keep_memory()
    load_modules(experiments.benchmarks)
    if options.list:
        print("\n".join(sorted(REGISTRY)))
        return 0
    try:
        run([options.only] if options.only else sorted(REGISTRY), REGISTRY)
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
