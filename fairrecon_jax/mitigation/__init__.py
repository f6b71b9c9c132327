"""Mitigations: one file per way of fine-tuning a reconstructor so that frozen diagnosers treat
groups more alike.
"""

from __future__ import annotations

from fairrecon_jax.mitigation.adversarial import Adversarial
from fairrecon_jax.mitigation.equalised_odds import EqualisedOdds
from fairrecon_jax.mitigation.group_dro import GroupDro
from fairrecon_jax.mitigation.interface import (
    MITIGATIONS,
    FrozenDiagnoser,
    Mitigation,
    MitigationContext,
    make_mitigation,
    register,
)
from fairrecon_jax.mitigation.reweighting import Reweighting
from fairrecon_jax.mitigation.sampling import Sampling, effective_size

__all__ = [
    "MITIGATIONS",
    "Adversarial",
    "EqualisedOdds",
    "FrozenDiagnoser",
    "GroupDro",
    "Mitigation",
    "MitigationContext",
    "Reweighting",
    "Sampling",
    "effective_size",
    "make_mitigation",
    "register",
]
