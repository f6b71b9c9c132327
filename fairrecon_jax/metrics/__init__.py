"""Metrics of images, diagnoses and group gaps: pure, vectorised, masked functions; NumPy computes
them unless they are given JAX arrays.
"""

from fairrecon_jax.metrics.array_gaps import delta_dice, eodd, eop, gap, group_codes, ser
from fairrecon_jax.metrics.backend import array_module
from fairrecon_jax.metrics.classification import (
    CalibrationError,
    Confusion,
    auroc,
    brier,
    calibration_bin,
    calibration_error,
    calibration_error_from_sums,
    confusion,
    decide,
)
from fairrecon_jax.metrics.conventions import CONVENTIONS, Convention
from fairrecon_jax.metrics.fairness import (
    Gap,
    delta_dice_from_means,
    eodd_from_counts,
    eop_from_counts,
    error_ratio,
    gap_from_values,
    over_labels,
    rates,
    ser_from_means,
    spread,
    worst_group,
)
from fairrecon_jax.metrics.groups import (
    Intersection,
    estimable,
    group_counts,
    intersect,
    signed_difference,
    standardised_difference,
)
from fairrecon_jax.metrics.image import mean_squared_error, mse, nrmse, psnr, ssim
from fairrecon_jax.metrics.image_metric import IMAGE_METRICS, ImageMetric
from fairrecon_jax.metrics.multiscale import ms_ssim
from fairrecon_jax.metrics.patients import aggregate, aggregate_rows
from fairrecon_jax.metrics.perceptual import lpips, read_lpips
from fairrecon_jax.metrics.roc import sensitivity_at
from fairrecon_jax.metrics.segmentation import EmptyMask, dice, dice_from_counts, masked_mean
from fairrecon_jax.metrics.thresholds import (
    balanced_threshold,
    thinned_balanced_threshold,
    threshold_at_sensitivity,
    threshold_at_specificity,
)
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
    "aggregate",
    "aggregate_rows",
    "array_module",
    "auroc",
    "balanced_threshold",
    "brier",
    "calibration_bin",
    "calibration_error",
    "calibration_error_from_sums",
    "confusion",
    "decide",
    "delta_dice",
    "delta_dice_from_means",
    "dice",
    "dice_from_counts",
    "eodd",
    "eodd_from_counts",
    "eop",
    "eop_from_counts",
    "error_ratio",
    "estimable",
    "gap",
    "gap_from_values",
    "group_codes",
    "group_counts",
    "haarpsi",
    "intersect",
    "lpips",
    "masked_mean",
    "mean_squared_error",
    "ms_ssim",
    "mse",
    "nrmse",
    "over_labels",
    "psnr",
    "rates",
    "read_lpips",
    "sensitivity_at",
    "ser",
    "ser_from_means",
    "signed_difference",
    "spread",
    "ssim",
    "standardised_difference",
    "thinned_balanced_threshold",
    "threshold_at_sensitivity",
    "threshold_at_specificity",
    "worst_group",
]
