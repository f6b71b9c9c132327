"""Diagnosers: classifiers and segmenters behind one interface, and patient-level aggregation of their scores."""

from __future__ import annotations

from fairrecon_jax.diagnosers.aggregation import aggregate
from fairrecon_jax.diagnosers.classifier import Classifier, inverse_prevalence, masked_cross_entropy
from fairrecon_jax.diagnosers.interface import DIAGNOSERS, Diagnoser, Featured, make_diagnoser
from fairrecon_jax.diagnosers.segmenter import Segmenter, dice_score, pooled_soft_dice, soft_dice

__all__ = [
    "DIAGNOSERS",
    "Classifier",
    "Diagnoser",
    "Featured",
    "Segmenter",
    "aggregate",
    "dice_score",
    "inverse_prevalence",
    "make_diagnoser",
    "masked_cross_entropy",
    "pooled_soft_dice",
    "soft_dice",
]
