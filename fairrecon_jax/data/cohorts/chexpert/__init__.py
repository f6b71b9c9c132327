"""CheXpert: chest X-rays with findings that may be uncertain, and demographics in a table of their
own.
"""

from fairrecon_jax.data.cohorts.chexpert.builder import Chexpert

__all__ = ["Chexpert"]
