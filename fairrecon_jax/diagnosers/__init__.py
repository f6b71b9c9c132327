"""Diagnosers: classifiers and segmenters behind one interface, and patient-level aggregation of
their scores.
"""

from __future__ import annotations

from fairrecon_jax.diagnosers.aggregation import aggregate
from fairrecon_jax.diagnosers.classifier import Classifier, inverse_prevalence, masked_cross_entropy
from fairrecon_jax.diagnosers.gradcam import enlarged, grad_cam
from fairrecon_jax.diagnosers.interface import (
    DIAGNOSERS,
    Diagnoser,
    HasFeatureMaps,
    HasFeatures,
    check_apart,
    make_diagnoser,
)
from fairrecon_jax.diagnosers.segmenter import Segmenter, dice_score, pooled_soft_dice, soft_dice

__all__ = [
    "DIAGNOSERS",
    "Classifier",
    "Diagnoser",
    "HasFeatureMaps",
    "HasFeatures",
    "Segmenter",
    "aggregate",
    "check_apart",
    "dice_score",
    "enlarged",
    "grad_cam",
    "inverse_prevalence",
    "make_diagnoser",
    "masked_cross_entropy",
    "pooled_soft_dice",
    "soft_dice",
]
