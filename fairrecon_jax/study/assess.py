"""The results of a study: tables of performance, fairness and mitigation from its predictions."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import pandas as pd
from absl import logging

from fairrecon_jax.assessment import (
    assess,
    compare,
    dose_responses,
    read_results,
    score_curves,
    trends,
    write_results,
)
from fairrecon_jax.runtime.progress import track
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.mitigate import sweeps
from fairrecon_jax.study.predict import merge_predictions

TABLES = (
    "performance",
    "fairness",
    "curves",
    "trends",
    "doses",
    "mitigation",
    "mitigation_sweep",
)


def write_tables(context: Context) -> None:
    """Writes `results/` from the predictions; tables that this study does not have go."""
    started, study = time.monotonic(), context.study
    merged = merge_predictions(context)
    performance, fairness = assess(merged, context.spec, study.assess, shown=True)
    tables = {"performance": performance, "fairness": fairness}
    given = merged, context.spec, study.assess
    makers: dict[str, Callable[..., pd.DataFrame]] = {"curves": score_curves}
    if study.assess.continuous:
        makers["trends"] = trends
    makers["doses"] = dose_responses
    # from all predictions, not from the tables: pairs are formed image by image
    if study.mitigations:
        makers["mitigation"] = compare
    for name in track(makers, "assess, further tables", "table"):
        tables[name] = makers[name](*given)
    if tables["doses"].empty:
        del tables["doses"]
    points = sweeps(context)
    if points is not None:
        tables["mitigation_sweep"] = points
    # left by an earlier configuration: the report would print it beside today's results
    for name in set(TABLES) - set(tables):
        context.workdir.result(name).unlink(missing_ok=True)
    write_results(context.workdir.root, **tables)
    seconds = time.monotonic() - started
    logging.info("assessed %d + %d rows in %.1f s", len(performance), len(fairness), seconds)


def tables_output(context: Context) -> str:
    """The digest of the tables and of the predictions they were made from."""
    # the merged table is made by this stage too: where it is lost, the stage is not done
    total = hashlib.sha256(context.workdir.predictions.read_bytes())
    for name in TABLES:
        path = context.workdir.result(name)
        total.update(path.read_bytes() if path.exists() else b"")
    return total.hexdigest()[:16]


def read_tables(context: Context) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The performance and fairness tables, as written."""
    performance, fairness = (
        read_results(context.workdir.root, name) for name in ("performance", "fairness")
    )
    return performance, fairness


def read_comparisons(context: Context) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """The tables of mitigated against unmitigated reconstructions and of the sweeps, None where
    they were not written.
    """

    def read(name: str) -> pd.DataFrame | None:
        wanted = bool(context.study.mitigations) and context.workdir.result(name).exists()
        return read_results(context.workdir.root, name) if wanted else None

    return read("mitigation"), read("mitigation_sweep")


def read_curves(context: Context) -> pd.DataFrame | None:
    """ROC and calibration curves; None in a study that was assessed before there were any."""
    path = context.workdir.result("curves")
    return read_results(context.workdir.root, "curves") if path.exists() else None


def read_trends(context: Context) -> pd.DataFrame | None:
    """The curves along continuous attributes, None where the study looks at none."""
    wanted = bool(context.study.assess.continuous) and context.workdir.result("trends").exists()
    return read_results(context.workdir.root, "trends") if wanted else None


def read_doses(context: Context) -> pd.DataFrame | None:
    """Slopes along the level, None where no level can be compared with another."""
    path = context.workdir.result("doses")
    return read_results(context.workdir.root, "doses") if path.exists() else None
