"""From thickness maps to a film: beam, scatter, quantum noise, and the display curve that makes air black and bone white."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from fairrecon_jax.data.phantoms.bones import rib_map, shoulder_map, spine_map
from fairrecon_jax.data.phantoms.chest import build_chest
from fairrecon_jax.data.phantoms.drawing import Frame, Plate, smoothstep, soft_blur
from fairrecon_jax.data.phantoms.options import FINDINGS, PhantomOptions
from fairrecon_jax.data.phantoms.population import Person, Study, stream
from fairrecon_jax.data.phantoms.thorax import heart_ellipses, sample_thorax


def expose(attenuation: np.ndarray, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Turns line integrals into a displayed 8-bit film.

    Primary I = exp(-A); scatter S = 0.35 * blur(I) over 4 cm; quantum noise of relative size ~ 1/sqrt(counts); the display shows
    D = -log(I + S) with detail restored (unsharp over 1.2 cm) through a soft window.

    Args:
      attenuation: [H, W] line integrals.
      frame: pixel size.
      rng: noise and exposure of this film.

    Returns:
      uint8 [H, W], dense tissue bright.
    """
    n = np.clip(rng.standard_normal(4), -2, 2)
    primary = np.exp(-attenuation)
    signal = primary + (0.32 + 0.05 * n[0]) * soft_blur(primary, 3.5 / frame.pixel)
    counts = 9e4 * np.exp(0.25 * n[1]) * (frame.pixel / 0.12) ** 2
    quanta = ndimage.gaussian_filter(rng.standard_normal(signal.shape).astype(np.float32), 0.45)
    signal = signal * (1.0 + 1.6 * quanta / np.sqrt(counts * signal + 20.0))
    density = -np.log(np.maximum(signal, 1e-4))
    density = density + 0.45 * (density - soft_blur(density, 1.2 / frame.pixel))
    side = frame.size
    core = density[side // 8 : -side // 8, side // 8 : -side // 8]
    dark, bright = np.percentile(core, (4, 97))
    u = (density - dark) / (bright - dark)
    shown = 0.10 + 0.02 * n[2] + 0.80 * u
    film = np.where(shown < 0.2, 0.2 * np.exp((shown - 0.2) / 0.2 * 1.3), shown)
    film = np.where(film > 0.85, 0.85 + 0.15 * np.tanh((film - 0.85) / 0.15), film)
    film = film ** (0.88 - 0.05 * n[3])
    return np.clip(np.round(255.0 * film), 0, 255).astype(np.uint8)


def marker(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """The radiographer's lead letter L beside the patient's left shoulder, as attenuation [H, W]."""
    plate = Plate(frame)
    u = rng.random(3)
    at = np.array([frame.field * (0.40 + 0.04 * u[0]), -frame.field * (0.40 + 0.05 * u[1])])
    plate.line(np.array([[0, -0.8], [0, 0.8], [0.9, 0.8]]) + at, 2.5, 0.28)
    return plate.map() * (u[2] < 0.8)


def draw_frontal(options: PhantomOptions, person: Person, study: Study) -> tuple[np.ndarray, dict[str, Any]]:
    """Draws the frontal film of a study.

    Returns:
      (uint8 [size, size], the geometry behind the labels, JSON-ready).
    """
    anatomy, film = stream(options, "xray", person.number, "anatomy"), stream(options, "xray", person.number, "film", study.number)
    thorax = sample_thorax(anatomy, film, person.sex, study.age, study.projection, options.size or 320)
    chest = build_chest(thorax, anatomy)
    bones = rib_map(thorax) + shoulder_map(thorax) + spine_map(thorax, chest.x, chest.y)
    total = chest.attenuation() + bones * smoothstep(0.0, 3.0, chest.body) + marker(thorax.frame, film)
    geometry = {"cardiothoracic_ratio": round(float(thorax.ratio), 4)}
    return expose(total, thorax.frame, film), geometry
