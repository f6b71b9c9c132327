"""UCSF-PDGM: FLAIR volumes of diffuse gliomas with tumour masks."""

from fairrecon_jax.data.cohorts.ucsf_pdgm.builder import UcsfPdgm

__all__ = ["UcsfPdgm"]
