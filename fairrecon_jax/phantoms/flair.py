"""One FLAIR exam: head, tumour, coil sensitivity, Rician noise, and a scanner's integers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import ndimage

from fairrecon_jax.phantoms.brain import Head, build_block, sample_head
from fairrecon_jax.phantoms.options import BrainPhantomOptions
from fairrecon_jax.phantoms.population import Glioma, Person, stream
from fairrecon_jax.phantoms.tumour import (
    Tumour,
    describe_tumour,
    draw_tumour,
    mass_effect,
    sample_tumour,
)

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]
_SLICES_AT_ONCE = 6


def draw_exam(
    options: BrainPhantomOptions, person: Person, glioma: Glioma, exam: int
) -> tuple[np.ndarray, float, np.ndarray, dict[str, Any]]:
    """Draws exam 0 (first) or 1 (follow-up, the tumour has grown by a tenth).

    Returns:
      (stored int16 [X, Y, Z], scl_slope, mask uint8 [X, Y, Z], geometry, JSON-ready).
    """
    anatomy = stream(options, person.number, "anatomy")
    lesion, film = (
        stream(options, person.number, "lesion"),
        stream(options, person.number, "film", exam),
    )
    head = sample_head(anatomy, person.sex, person.age)
    tumour = sample_tumour(lesion, head, glioma, growth=1.0 + 0.1 * exam)
    spacing, axes = axes_mm(options.size, options.slices)
    # the tilt is the patient's, the rest of this exam
    turn = math.radians(head.tilt + float(np.clip(film.standard_normal(), -2, 2)))
    image, brain, mask = render(head, tumour, person.contrast, axes, turn)
    if options.skull_stripped:
        # before the blur, so that the skull does not bleed into the brain
        image = image * (brain > 0.5)
    image = acquire(image, axes, film)
    if options.skull_stripped:
        # and after it: noise makes the background positive, and it must be 0
        image = image * (brain > 0.5)
    # Scanners store integers with a slope and a gain of their own: readers must rescale.
    slope = round(0.4 + 0.8 * float(film.random()), 4)
    gain = 3.0 + 2.0 * float(film.random())
    # clipped before the cast, which would wrap round
    stored = np.clip(np.round(image * (gain / slope)), 0, 32767).astype(np.int16)
    geometry = describe_tumour(tumour, mask, spacing)
    geometry |= {
        "atrophy": round(head.atrophy, 4),
        "head_scale": round(head.scale, 4),
        "white_matter_lesions": round(head.lesions, 4),
    }
    return stored, slope, mask, geometry


def axes_mm(size: int, slices: int) -> tuple[tuple[float, float, float], Axes]:
    """Voxel size and the voxel centres along each axis of a field of view of 240 x 240 x 155 mm."""
    spacing = (240.0 / size, 240.0 / size, 155.0 / slices)
    x, y, z = (
        ((np.arange(n) + 0.5) * d - n * d / 2).astype(np.float32)
        for n, d in zip((size, size, slices), spacing)
    )
    return spacing, (x, y, z)


def render(
    head: Head, tumour: Tumour, contrast: float, axes: Axes, turn: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws a head with its tumour, a few slices at a time so that the work stays in the
    processor's cache.

    Returns:
      (intensity float32, brain membership float32, mask uint8), [X, Y, Z] each.
    """
    gx, gy, gz = (a - np.float32(o) for a, o in zip(axes, head.offset))
    c, s = math.cos(turn), math.sin(turn)
    flat = (
        (c * gx[:, None] + s * gy[None, :])[:, :, None],
        (c * gy[None, :] - s * gx[:, None])[:, :, None],
    )
    # an edge as wide as a voxel: a sharper one would show stairs
    soft = max(float(gx[1] - gx[0]), 1.0)
    shape = (len(gx), len(gy), len(gz))
    image, brain, mask = (
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, np.uint8),
    )
    for start in range(0, shape[2], _SLICES_AT_ONCE):
        part = slice(start, start + _SLICES_AT_ONCE)
        here = (axes[0], axes[1], axes[2][part])
        v = (flat[0], flat[1], gz[part][None, None, :])
        block = build_block(head, mass_effect(tumour, v), here, soft)
        mask[:, :, part] = draw_tumour(block, v, tumour, contrast, here, soft)
        image[:, :, part], brain[:, :, part] = block.image, block.brain
    return image, brain, mask


def acquire(image: np.ndarray, axes: Axes, rng: np.random.Generator) -> np.ndarray:
    """Blurs by the point spread, multiplies by a smooth coil sensitivity and adds Rician noise (2
    to 3.5 of white matter's 100).
    """
    n = np.clip(rng.standard_normal(7), -2, 2)
    # in voxels, as a scanner's point spread is
    image = ndimage.gaussian_filter(image, (0.45, 0.45, 0.3), truncate=2.5)
    x, y, z = (a / np.float32(100.0) for a in axes)
    field = 0.08 * (n[0] * x[:, None, None] + n[1] * y[None, :, None] + n[2] * z[None, None, :])
    field = field + (0.10 + 0.05 * n[3]) * (x[:, None, None] ** 2 + y[None, :, None] ** 2)
    sd = np.float32(2.7 + 0.4 * n[4])
    # The magnitude of a complex image: Rician, and not 0 in air.
    real = image * np.exp(field).astype(np.float32)
    real += sd * rng.standard_normal(image.shape, dtype=np.float32)
    other = sd * rng.standard_normal(image.shape, dtype=np.float32)
    return np.sqrt(real * real + other * other)
