"""Phantom cohorts: radiographs and brains with a known truth, written in the layouts of CheXpert
and UCSF-PDGM.
"""

from fairrecon_jax.phantoms.in_memory import Radiographs, radiographs
from fairrecon_jax.phantoms.options import (
    FINDINGS,
    BrainPhantomOptions,
    PhantomOptions,
    XrayPhantomOptions,
    phantom_options,
)
from fairrecon_jax.phantoms.presets import planted_gap
from fairrecon_jax.phantoms.write import GROUND_TRUTH, check_disk, check_phantom, write_phantom

__all__ = [
    "FINDINGS",
    "GROUND_TRUTH",
    "BrainPhantomOptions",
    "PhantomOptions",
    "Radiographs",
    "XrayPhantomOptions",
    "check_disk",
    "check_phantom",
    "phantom_options",
    "planted_gap",
    "radiographs",
    "write_phantom",
]
