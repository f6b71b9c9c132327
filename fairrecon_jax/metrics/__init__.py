"""Metrics of images, diagnoses and group gaps: pure, vectorised, masked functions on arrays."""

from fairrecon_jax.metrics.classification import (
    CalibrationError,
    Confusion,
    auroc,
    balanced_threshold,
    brier,
    calibration_error,
    confusion,
    decide,
    threshold_at_sensitivity,
    threshold_at_specificity,
)
from fairrecon_jax.metrics.fairness import (
    CONVENTIONS,
    Convention,
    Gap,
    delta_dice,
    eodd,
    eop,
    gap,
    rates,
    ser,
    worst_group,
)
from fairrecon_jax.metrics.groups import (
    Intersection,
    estimable,
    group_counts,
    intersect,
    signed_difference,
)
from fairrecon_jax.metrics.image import mean_squared_error, nrmse, psnr, ssim
from fairrecon_jax.metrics.image_metric import IMAGE_METRICS, ImageMetric
from fairrecon_jax.metrics.multiscale import ms_ssim
from fairrecon_jax.metrics.segmentation import EmptyMask, dice, dice_from_counts, masked_mean
from fairrecon_jax.metrics.wavelet import haarpsi

__all__ = [
    "CONVENTIONS",
    "IMAGE_METRICS",
    "CalibrationError",
    "Confusion",
    "Convention",
    "EmptyMask",
    "Gap",
    "ImageMetric",
    "Intersection",
    "auroc",
    "balanced_threshold",
    "brier",
    "calibration_error",
    "confusion",
    "decide",
    "delta_dice",
    "dice",
    "dice_from_counts",
    "eodd",
    "eop",
    "estimable",
    "gap",
    "group_counts",
    "haarpsi",
    "intersect",
    "masked_mean",
    "mean_squared_error",
    "ms_ssim",
    "nrmse",
    "psnr",
    "rates",
    "ser",
    "signed_difference",
    "ssim",
    "threshold_at_sensitivity",
    "threshold_at_specificity",
    "worst_group",
]
from fairrecon_jax.metrics.fairness import delta_dice as delta_dice_from_means  # noqa
from fairrecon_jax.metrics.fairness import eodd as eodd_from_counts  # noqa
from fairrecon_jax.metrics.fairness import eop as eop_from_counts  # noqa
from fairrecon_jax.metrics.fairness import gap as gap_from_values  # noqa
from fairrecon_jax.metrics.fairness import ser as ser_from_means  # noqa
