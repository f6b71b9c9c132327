"""What a mapping says of the whole cohort: modality, degradation, names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fairrecon_jax.data.cells import cell
from fairrecon_jax.external.mapping import one_of
from fairrecon_jax.physics import DEGRADATIONS, describe
from fairrecon_jax.types import Attribute, CohortSpec, DegradationSpec, InputError, Task


def kind_of(given: Mapping[str, Any]) -> tuple[Any, str]:
    """(modality, kind of degradation) of a mapping.

    Raises:
      InputError: one is unknown, or nothing says what levels are.
    """
    modality = one_of("mapping 'modality'", given.get("modality", "xray"), CohortSpec, "modality")
    if "level" in given and not {"modality", "degradation"} & set(given):
        raise InputError(
            "mapping has 'level' but no 'modality', which says what levels are: 'xray' "
            "(photon counts, lower is worse) or 'mri' (acceleration factors, higher is worse); "
            f"for other levels give 'degradation', one of {', '.join(sorted(DEGRADATIONS))}"
        )
    usual = {"xray": "xray_low_dose", "mri": "mri_radial"}[modality]
    kind = cell(given.get("degradation", usual))
    if kind not in DEGRADATIONS:
        raise InputError(
            f"mapping 'degradation' must be one of {', '.join(sorted(DEGRADATIONS))}, got {kind!r}"
        )
    return modality, kind


def spec_of(
    name: str,
    given: Mapping[str, Any],
    table: pd.DataFrame,
    tasks: tuple[Task, ...],
    attributes: tuple[Attribute, ...],
) -> CohortSpec:
    """The specification of a table; a level that nobody named has a kind of its own.

    Args:
      name: of the cohort.
      given: the mapping.
      table: with the level of every row.
      tasks: that can be assessed.
      attributes: that can be assessed.
    """
    modality, kind = kind_of(given)
    # mildest first, as the specification lists levels
    worst_last = DEGRADATIONS[kind].worse == "lower"
    levels = tuple(sorted((float(v) for v in table["level"].unique()), reverse=worst_last))
    # nobody named one: the middle level, or the worse of the two in the middle
    headline = levels[len(levels) // 2]
    unnamed = DegradationSpec("unnamed", levels, headline)
    degradation = describe(kind, levels, headline) if "level" in given else unnamed
    title = cell(given.get("title")) or name
    citation = cell(given.get("citation"))
    return CohortSpec(name, title, modality, tasks, attributes, degradation, citation)
