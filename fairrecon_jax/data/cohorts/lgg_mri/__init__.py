"""Lower-grade glioma FLAIR slices with tumour masks (kaggle_3m)."""

from fairrecon_jax.data.cohorts.lgg_mri.builder import LggMri

__all__ = ["LggMri"]
