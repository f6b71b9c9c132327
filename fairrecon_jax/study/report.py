"""The report of a study: its tables and examples, and the record of how the study was made."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import jax
import pandas as pd

from fairrecon_jax.data.api import EXCLUSIONS, folder_of
from fairrecon_jax.data.notes import KINDS
from fairrecon_jax.keys import identity
from fairrecon_jax.report import build_report
from fairrecon_jax.study.assess import read_comparisons, read_tables, read_trends
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.examples import example_panels
from fairrecon_jax.study.stages import read_record

PACKAGES = (
    "fairrecon_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "pandas",
    "tensorflow-datasets",
    "grain",
)


def write_report(context: Context) -> Path:
    """Writes the report of a study whose results are there.

    Returns:
      The path of the page.

    Raises:
      FileNotFoundError: the study has no results yet.
    """
    performance, fairness = read_tables(context)
    table = context.cohort.table
    table = table.assign(split=table["patient_id"].map(context.splits.patients))
    panels = example_panels(context, context.study.report.examples, performance)
    return build_report(
        context.workdir.root,
        context.spec,
        performance,
        fairness,
        table,
        panels,
        provenance(context),
        context.study.report.options,
        *read_comparisons(context),
        {name: one.model.method for name, one in context.study.reconstructors.items()},
        read_trends(context),
    )


def page_output(context: Context) -> str:
    """The digest of the page."""
    return hashlib.sha256(context.workdir.page.read_bytes()).hexdigest()[:16]


def provenance(context: Context) -> dict[str, Any]:
    """How the study was made: configuration, seeds, versions, split hash, run times, exclusions."""
    study, processes = context.study, jax.process_count()
    prepared = folder_of(study.cohort, context.workdir.cohort)
    # all text: a file may be called "NA"
    exclusions = pd.read_csv(prepared / EXCLUSIONS, keep_default_na=False)
    meanings = [KINDS.get(kind, kind) for kind in exclusions["kind"]]
    paths = sorted(context.workdir.stages.glob("*.json"), key=lambda path: path.stat().st_mtime)
    # a record that was spoilt reads as {}
    records = [record for record in map(read_record, paths) if "title" in record]
    versions = {name: _version(name) for name in PACKAGES}
    device = f"{jax.device_count()} x {jax.local_devices()[0].device_kind}"
    return {
        "config": identity(study),
        "seeds": {
            "study": study.seed,
            "splits": study.splits.seed,
            "assessment": study.assess.seed,
        },
        "versions": {"Python": platform.python_version(), **versions},
        "split_hash": context.splits.digest,
        "exclusions": exclusions.assign(meaning=meanings).to_dict("records"),
        "run_times": {record["title"]: record["seconds"] for record in records},
        "device": device + (f" in {processes} processes" if processes > 1 else ""),
    }


def _version(package: str) -> str:
    """The version of a package, "not installed" where only its folder is on the path."""
    try:
        return importlib.metadata.version(package)
    # a checkout that was never installed has no metadata
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
