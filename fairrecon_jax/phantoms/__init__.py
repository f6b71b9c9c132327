"""Phantom cohorts: radiographs and brains with a known truth, written in the layouts of CheXpert
and UCSF-PDGM.
"""

from fairrecon_jax.phantoms.options import FINDINGS, PhantomOptions
from fairrecon_jax.phantoms.presets import planted_gap
from fairrecon_jax.phantoms.write import GROUND_TRUTH, check_phantom, write_phantom

__all__ = [
    "FINDINGS",
    "GROUND_TRUTH",
    "PhantomOptions",
    "check_phantom",
    "planted_gap",
    "write_phantom",
]
