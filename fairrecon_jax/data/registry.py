"""All cohorts by name; a new cohort is one folder in `cohorts` and one line here."""

from __future__ import annotations

from fairrecon_jax.data.builder import CohortBuilder
from fairrecon_jax.data.cohorts.chexpert import Chexpert
from fairrecon_jax.data.cohorts.lgg_mri import LggMri
from fairrecon_jax.data.cohorts.nih_chestxray14 import NihChestxray14
from fairrecon_jax.data.cohorts.ucsf_pdgm import UcsfPdgm
from fairrecon_jax.types import InputError

COHORTS: dict[str, type[CohortBuilder]] = {
    builder.cohort: builder for builder in (Chexpert, UcsfPdgm, NihChestxray14, LggMri)
}


def find(name: str) -> type[CohortBuilder]:
    """The builder of a cohort.

    Raises:
      InputError: no such cohort; the message lists those there are.
    """
    if name not in COHORTS:
        raise InputError(f"no cohort {name!r}; there are {', '.join(sorted(COHORTS))}")
    return COHORTS[name]
