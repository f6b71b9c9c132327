"""Diagnosers: classifiers and segmenters behind one interface."""

from __future__ import annotations

from fairrecon_jax.diagnosers.balance import class_balance, inverse_prevalence, rarity
from fairrecon_jax.diagnosers.callable import CallableDiagnoser, CallableSegmenter
from fairrecon_jax.diagnosers.classifier import Classifier, masked_cross_entropy
from fairrecon_jax.diagnosers.gradcam import enlarged, grad_cam
from fairrecon_jax.diagnosers.interface import (
    DIAGNOSERS,
    Diagnoser,
    HasFeatureMaps,
    HasFeatures,
    check_apart,
    make_diagnoser,
)
from fairrecon_jax.diagnosers.preprocessing import PRESETS, XRV_OUTPUTS, Outputs, Preprocessing
from fairrecon_jax.diagnosers.segmenter import Segmenter, pooled_soft_dice, soft_dice

__all__ = [
    "DIAGNOSERS",
    "PRESETS",
    "XRV_OUTPUTS",
    "CallableDiagnoser",
    "CallableSegmenter",
    "Classifier",
    "Diagnoser",
    "HasFeatureMaps",
    "HasFeatures",
    "Outputs",
    "Preprocessing",
    "Segmenter",
    "check_apart",
    "class_balance",
    "enlarged",
    "grad_cam",
    "inverse_prevalence",
    "make_diagnoser",
    "masked_cross_entropy",
    "pooled_soft_dice",
    "rarity",
    "soft_dice",
]
