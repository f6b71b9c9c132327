"""NIH ChestX-ray14: frontal chest X-rays with 14 text-mined findings."""

from fairrecon_jax.data.cohorts.nih_chestxray14.builder import NihChestxray14

__all__ = ["NihChestxray14"]
