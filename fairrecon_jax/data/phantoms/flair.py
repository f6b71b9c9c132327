"""One FLAIR exam: head, tumour, coil sensitivity, Rician noise, and the integers a scanner writes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from fairrecon_jax.data.phantoms.brain import axes_mm, build_brain, sample_head
from fairrecon_jax.data.phantoms.options import PhantomOptions
from fairrecon_jax.data.phantoms.population import Glioma, Person, stream
from fairrecon_jax.data.phantoms.tumour import draw_tumour, mass_effect, sample_tumour


def draw_exam(options: PhantomOptions, person: Person, glioma: Glioma, exam: int) -> tuple[np.ndarray, float, np.ndarray, dict[str, Any]]:
    """Draws exam 0 (first) or 1 (follow-up, the tumour has grown by a tenth).

    Returns:
      (stored int16 [X, Y, Z], scl_slope, mask uint8 [X, Y, Z], geometry, JSON-ready).
    """
    anatomy = stream(options, "brain", person.number, "anatomy")
    lesion, film = stream(options, "brain", person.number, "lesion"), stream(options, "brain", person.number, "film", exam)
    head = sample_head(anatomy, person.sex, person.age)
    tumour = sample_tumour(lesion, head, glioma, growth=1.0 + 0.1 * exam)
    spacing, axes = axes_mm(options.size or 240, options.slices)
    pose = np.clip(film.standard_normal(4), -2, 2)
    turn = np.deg2rad(head.tilt + pose[0])
    gx, gy, gz = (a - np.float32(o) for a, o in zip(axes, head.offset))
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    shape = (len(gx), len(gy), len(gz))
    flat_x, flat_y = c * gx[:, None] + s * gy[None, :], c * gy[None, :] - s * gx[:, None]
    v = (
        np.broadcast_to(flat_x[:, :, None], shape),
        np.broadcast_to(flat_y[:, :, None], shape),
        np.broadcast_to(gz[None, None, :], shape),
    )
    volume = build_brain(head, mass_effect(tumour, v), axes, spacing, anatomy)
    mask, geometry = draw_tumour(volume, v, tumour, person.contrast, axes, lesion)
    image = volume.image * edge_brain(volume.brain) if options.skull_stripped else volume.image
    image = acquire(image, axes, film)
    if options.skull_stripped:
        image = np.where(volume.brain > 0.5, image, 0.0)
    slope = round(float(0.4 + 0.8 * film.random()), 4)
    gain = 3.0 + 2.0 * film.random()
    stored = np.clip(np.round(image * gain / slope), 0, 32767).astype(np.int16)
    geometry |= {
        "atrophy": round(head.atrophy, 4),
        "head_scale": round(float(head.scale), 4),
        "white_matter_lesions": round(head.lesions, 4),
    }
    return stored, slope, mask, geometry


def edge_brain(brain: np.ndarray) -> np.ndarray:
    """Membership that keeps the brain alone, 0 where it is less than half a voxel."""
    return np.where(brain > 0.5, 1.0, 0.0).astype(np.float32)


def acquire(image: np.ndarray, axes: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Blurs by the point spread, multiplies by a smooth coil sensitivity and adds Rician noise (2 to 3.5 of white matter's 100)."""
    n = np.clip(rng.standard_normal(7), -2, 2)
    image = ndimage.gaussian_filter(image, (0.45, 0.45, 0.3), truncate=2.5)
    x, y, z = (a / np.float32(100.0) for a in axes)
    field = 0.08 * (n[0] * x[:, None, None] + n[1] * y[None, :, None] + n[2] * z[None, None, :])
    field = field + (0.10 + 0.05 * n[3]) * (x[:, None, None] ** 2 + y[None, :, None] ** 2)
    sd = np.float32(2.7 + 0.4 * n[4])
    real = image * np.exp(field).astype(np.float32)
    real += sd * rng.standard_normal(image.shape, dtype=np.float32)
    other = sd * rng.standard_normal(image.shape, dtype=np.float32)
    return np.sqrt(real * real + other * other)
