"""What reporting guidelines (CLAIM, TRIPOD+AI) ask, answered where the study knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.select import Findings, known
from fairrecon_jax.report.tables.record import pairs
from fairrecon_jax.report.words import listing
from fairrecon_jax.types import CohortSpec, plural

AUTHORS = "for the authors to state"
"""What no software can know."""


def items(
    findings: Findings, table: pd.DataFrame, recorded: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """(what is asked, the answer or who has to give it)."""
    spec = findings.spec
    rows = findings.pick("performance", attribute="", metric=["auroc", "dice"], version="change")
    most = rows["n_patients"].max()
    tested = f"{plural(int(most), 'patient')} tested" if known(most) else AUTHORS
    methods = [findings.looks[r].name for r in findings.reconstructors]
    said = ", ".join(f"{name} {seed}" for name, seed in pairs(recorded.get("seeds"), "seed"))
    versions = recorded.get("versions") or {}
    parts = partition(table, recorded)
    return [
        ("Title", "title of this page"),
        ("Structured summary", "section Summary"),
        ("Background, intended use, known inequalities", AUTHORS),
        ("Objectives", "the question above the title"),
        ("Prospective or retrospective", AUTHORS),
        ("Sources of the data", spec.citation or AUTHORS),
        ("Who was eligible, where, when", AUTHORS),
        ("Preparation of the data", "Configuration, in the record"),
        ("Missing data", "unknown labels and groups take no part"),
        ("Acquisition of the images", degradation(spec)),
        ("Reference standard", reference_standard(spec)),
        ("Who annotated, how far they agreed", AUTHORS),
        ("Parts of the data, how they are disjoint", parts),
        ("Sample size", f"{tested}; see 'detectable' in the verdicts"),
        ("Models", listing(methods) or AUTHORS),
        ("Software", listing([f"{k} {v}" for k, v in versions.items()][:3]) or AUTHORS),
        ("Initialisation", f"seeds: {said}" if said else AUTHORS),
        ("Training, choice of the model", "Configuration, in the record"),
        ("Fairness: which groups", listing(findings.attributes) or "none"),
        ("Measures of performance", measures(findings)),
        ("Uncertainty", "Intervals and Tests, in section How every number was computed"),
        ("Explainability", "maps in section Examples, where there are any"),
        ("Tested on data from elsewhere", AUTHORS),
        ("Ethics; patients involved", AUTHORS),
        ("Flow of participants", "section The patients"),
        ("Who is in each part", "section The patients"),
        ("Results in all and in groups", "all sections"),
        ("Failures", "decisions lost and gained, in Look closer"),
        ("Interpretation, limitations", AUTHORS),
        ("Protocol, code, data", "section Record of this study"),
        ("Registration, funding", AUTHORS),
    ]


def degradation(spec: CohortSpec) -> str:
    """What was done to the images, as far as the tables know."""
    named = spec.degradation.title if spec.degradation.is_named else ""
    return f"{named} simulated; the originals: {AUTHORS}" if named else AUTHORS


def reference_standard(spec: CohortSpec) -> str:
    """Where the truth comes from, as far as the tables know."""
    kinds = {task.kind for task in spec.tasks}
    words = {"classification": "labels of the cohort", "segmentation": "masks of the cohort"}
    return f"{listing([words[k] for k in words if k in kinds])}; {AUTHORS}"


def partition(table: pd.DataFrame, recorded: Mapping[str, Any]) -> str:
    """How patients were parted."""
    digest = recorded.get("split_hash")
    by = "by patient" if "patient_id" in table.columns else AUTHORS
    return f"{by}, recorded under {str(digest)[:12]}" if digest else by


def measures(findings: Findings) -> str:
    """The metrics of the tables."""
    names = dict.fromkeys(
        style.metric_name(metric)
        for metric in [*findings.performance["metric"], *findings.gap_metrics.values()]
        if metric and metric != "threshold"
    )
    return listing(list(names)[:8])
