"""Findings of made-up studies, whole or of a few chosen rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from fairrecon_jax.report.long_tables import NUMBERS, TEXT
from fairrecon_jax.report.select import Findings
from fairrecon_jax.types import CohortSpec, MethodTitle
from tests.support import report_fake as fake

NAMED_OTHERWISE = {
    "degraded": MethodTitle("degraded image", degraded=True),
    "identity": MethodTitle("Pix2Pix"),
}
"""What two blocks are called, one of which is of kind identity and not called so."""
ESTIMATES = [
    "value", "original", "reconstructed", "change", "ci_low", "ci_high", "p_value", "p_adjusted",
]  # fmt: skip


def findings_of(
    spec: CohortSpec,
    reconstructors: tuple[str, ...] = ("unet", "irsde"),
    mitigations: tuple[str, ...] = ("none",),
    **more: Any,
) -> Findings:
    """A study with every combination of reconstructor, level and mitigation."""
    cells = fake.cells(spec, reconstructors, mitigations)
    return Findings.of(spec, fake.performance(spec, cells), fake.fairness(spec, cells), **more)


def no_findings(spec: CohortSpec) -> Findings:
    """A study whose tables hold no row."""
    empty = pd.DataFrame(columns=[*TEXT, *NUMBERS])
    return Findings.of(spec, empty, empty)


def findings_of_rows(
    performance: Iterable[dict[str, Any]] = (),
    fairness: Iterable[dict[str, Any]] = (),
    spec: CohortSpec | None = None,
) -> Findings:
    """Findings of rows given as partial dictionaries at the brain study's headline level."""
    base = {
        "cohort": "ucsf_pdgm",
        "reconstructor": "unet",
        "level": 8.0,
        "mitigation": "none",
        "seed": 0,
        "convention": "worst_case_estimable",
    }
    tables = (
        pd.DataFrame([fake.row(**{**base, **row}) for row in rows], columns=[*TEXT, *NUMBERS])
        for rows in (performance, fairness)
    )
    return Findings.of(spec or fake.mri_spec(), *tables)


def not_estimated(findings: Findings, **wanted: str) -> Findings:
    """The findings with every matching change of a gap made not estimable."""
    rows = findings.fairness.copy()
    matching = rows["version"] == "change"
    for column, value in wanted.items():
        matching &= rows[column] == value
    rows.loc[matching, ESTIMATES] = math.nan
    rows.loc[matching, ["verdict", "reason"]] = ["not estimable", "too few"]
    return dataclasses.replace(findings, fairness=rows)
