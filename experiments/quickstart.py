"""Runs the phantom X-ray and brain studies and says where their reports are: `python -m
experiments.quickstart --workdir=DIR`.
"""

import argparse
import importlib
import time
from pathlib import Path

from absl import logging

from fairrecon_jax.runtime.progress import duration, quiet
from fairrecon_jax.study.run import run


def main() -> None:
    """Runs both studies, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--workdir", default="runs/quickstart", type=Path, help="folder for both studies"
    )
    workdir = parser.parse_args().workdir
    quiet(logging.ERROR)
    started, pages = time.monotonic(), []
    for number, name in enumerate(("xray", "brain"), 1):
        print(f"\n== study {number} of 2: phantom {name} ==", flush=True)
        config = importlib.import_module(f"configs.quickstart_{name}").get_config()
        config.lock()
        pages.append(run(config, workdir / name))
    print(f"\nDone in {duration(time.monotonic() - started)}. Open in a browser:")
    for page in pages:
        print(f"  {page}")


if __name__ == "__main__":
    main()
