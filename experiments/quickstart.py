"""Runs a phantom study with a planted harm, and says what was planted and whether it was found:
`python -m experiments.quickstart [--study=xray|brain] [--workdir=DIR]`.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from absl import logging
from ml_collections import ConfigDict

from fairrecon_jax.assessment import read_results
from fairrecon_jax.runtime.progress import duration, quiet
from fairrecon_jax.study.run import run

PLANTED = {"xray": ("consolidation", "eodd"), "brain": ("tumor", "ser")}
"""By study, the task in which the planted harm is plainest, and its gap."""
METHOD = "unet"


def planted(config: ConfigDict) -> tuple[str, str]:
    """(attribute, group) whose lesions are drawn faintest."""
    ((attribute, contrast),) = config.phantom.lesion_contrast.items()
    return attribute, min(contrast, key=contrast.get)


def found(fairness: pd.DataFrame, task: str, metric: str, attribute: str) -> pd.Series:
    """The verdict of the unmitigated U-Net on one task and attribute."""
    rows = fairness[
        (fairness["task"] == task)
        & (fairness["attribute"] == attribute)
        & (fairness["metric"] == metric)
        & (fairness["reconstructor"] == METHOD)
        & (fairness["mitigation"] == "none")
        & (fairness["version"] == "change")
        & (fairness["verdict"] != "")
    ]
    return rows.iloc[0]


def conclusion(config: ConfigDict, study: str, fairness: pd.DataFrame) -> list[str]:
    """What was planted, and what the assessment says about it."""
    (task, metric), (attribute, group) = PLANTED[study], planted(config)
    share = config.phantom.lesion_contrast[attribute][group]
    row = found(fairness, task, metric, attribute)
    named = row["verdict"] == "harmed" and row["group"].lower() == group.lower()
    return [
        f"planted: {attribute} {group} loses {task}: lesions drawn at {share:g} of the contrast",
        f"found:   {row['verdict']}{': ' + row['group'] if row['group'] else ''}; {row['reason']}",
        "the planted harm was found" if named else "the planted harm was NOT found",
    ]


def main(arguments: Sequence[str] | None = None) -> bool:
    """Runs the study.

    Args:
      arguments: command line without the program's name; the process's own if None.

    Returns:
      Whether the planted harm was found.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.quickstart", description=__doc__)
    parser.add_argument("--study", default="xray", choices=sorted(PLANTED), help="what to draw")
    parser.add_argument("--workdir", type=Path, help="folder; runs/quickstart/<study> if empty")
    chosen = parser.parse_args(arguments)
    quiet(logging.ERROR)
    started = time.monotonic()
    config = importlib.import_module(f"configs.quickstart_{chosen.study}").get_config().lock()
    workdir = chosen.workdir or Path("runs/quickstart") / chosen.study
    page = run(config, workdir)
    lines = conclusion(config, chosen.study, read_results(workdir, "fairness"))
    print(f"\nDone in {duration(time.monotonic() - started)}. Open {page} in a browser.\n")
    print("\n".join(lines))
    return lines[-1].endswith("was found")


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
