"""From thickness maps to a film: beam, scatter, quantum noise, and the display curve that makes air
black and bone white.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from scipy import ndimage

from fairrecon_jax.phantoms.bones import Break, rib_map, shoulder_map, spine_map
from fairrecon_jax.phantoms.chest import build_chest
from fairrecon_jax.phantoms.drawing import Frame, Plate, smoothstep, soft_blur
from fairrecon_jax.phantoms.findings import broken_ribs, paint, reshape
from fairrecon_jax.phantoms.lateral import lateral_attenuation
from fairrecon_jax.phantoms.opacities import SIDES
from fairrecon_jax.phantoms.options import FINDINGS, XrayPhantomOptions
from fairrecon_jax.phantoms.population import Person, Study, stream
from fairrecon_jax.phantoms.thorax import Thorax, sample_thorax


def expose(attenuation: np.ndarray, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Turns line integrals into a displayed 8-bit film.

    Primary I = exp(-A); scatter S = 0.35 * blur(I) over 4 cm; quantum noise of relative size ~
    1/sqrt(counts); the display shows D = -log(I + S) with detail restored (unsharp over 1.2 cm)
    through a soft window.

    Args:
      attenuation: [H, W] line integrals.
      frame: pixel size.
      rng: noise and exposure of this film.

    Returns:
      uint8 [H, W], dense tissue bright.
    """
    n = np.clip(rng.standard_normal(4), -2, 2)
    primary = np.exp(-attenuation)
    # scatter comes from what passes nearby, hence the wide blur
    signal = primary + (0.32 + 0.05 * n[0]) * soft_blur(primary, 3.5 / frame.pixel)
    # Quanta per pixel grow with its area; 0.12 cm is the pixel the numbers were chosen at.
    counts = 9e4 * np.exp(0.25 * n[1]) * (frame.pixel / 0.12) ** 2
    quanta = ndimage.gaussian_filter(rng.standard_normal(signal.shape).astype(np.float32), 0.45)
    # 20 quanta keep the noise finite behind dense bone.
    signal = signal * (1.0 + 1.6 * quanta / np.sqrt(counts * signal + 20.0))
    # noise may take a pixel behind dense bone to 0 or below
    density = -np.log(np.maximum(signal, 1e-4))
    density = density + 0.45 * (density - soft_blur(density, 1.2 / frame.pixel))
    edge = frame.size // 8
    # The window comes from tissue: neither the film's margin nor air round the patient counts.
    core = density[edge:-edge, edge:-edge]
    dark, bright = np.percentile(core[attenuation[edge:-edge, edge:-edge] > 1.0], (4, 90))
    u = (density - dark) / (bright - dark)
    shown = 0.26 + 0.03 * n[2] + (0.60 + 0.02 * n[3]) * u
    # Toe and shoulder: both ends of the display curve flatten instead of clipping.
    film = np.where(shown < 0.25, 0.25 * np.exp((shown - 0.25) / 0.25 * 0.8), shown)
    film = np.where(film > 0.80, 0.80 + 0.18 * np.tanh((film - 0.80) / 0.18), film)
    return np.clip(np.round(255.0 * film), 0, 255).astype(np.uint8)


def marker(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """The radiographer's lead letter L beside the left shoulder, as attenuation [H, W]."""
    # not averaged down: lead has a hard edge
    plate = Plate(frame, oversample=1)
    u = rng.random(3)
    at = np.array([frame.field * (0.40 + 0.04 * u[0]), -frame.field * (0.40 + 0.05 * u[1])])
    plate.line(np.array([[0, -0.8], [0, 0.8], [0.9, 0.8]]) + at, 9.0, 0.28)
    return plate.map() * (u[2] < 0.8)


def draw_frontal(
    options: XrayPhantomOptions, person: Person, study: Study
) -> tuple[np.ndarray, dict[str, Any]]:
    """Draws the frontal film of a study.

    Returns:
      (uint8 [size, size], the geometry behind the labels, JSON-ready).
    """
    thorax, anatomy, film = _pose(options, person, study)
    lesion = functools.partial(_lesion_stream, options, person)
    breaks = broken_ribs(study.drawn, person.contrast, lesion)
    chest = build_chest(thorax, anatomy)
    lesions = paint(chest, study.drawn, person.contrast, lesion)
    bones = rib_map(thorax, breaks) + shoulder_map(thorax) + spine_map(thorax, chest.x, chest.y)
    total = (
        chest.attenuation() + bones * smoothstep(0.0, 3.0, chest.body) + marker(thorax.frame, film)
    )
    return expose(total, thorax.frame, film), describe(thorax, breaks, lesions)


def draw_lateral(options: XrayPhantomOptions, person: Person, study: Study) -> np.ndarray:
    """Draws the side view of a study (heart size alone of the findings shows in it), uint8 [size,
    size].
    """
    thorax, _, film = _pose(options, person, study)
    return expose(lateral_attenuation(thorax), thorax.frame, film)


def _lesion_stream(
    options: XrayPhantomOptions, person: Person, finding: str
) -> np.random.Generator:
    return stream(options, person.number, "lesion", FINDINGS.index(finding))


def _pose(
    options: XrayPhantomOptions, person: Person, study: Study
) -> tuple[Thorax, np.random.Generator, np.random.Generator]:
    anatomy, film = (
        stream(options, person.number, "anatomy"),
        stream(options, person.number, "film", study.number),
    )
    thorax = sample_thorax(anatomy, film, person.sex, study.age, study.projection, options.size)
    # before anything is drawn: lungs follow the heart and the domes
    thorax = reshape(
        thorax, study.drawn, person.contrast, functools.partial(_lesion_stream, options, person)
    )
    return thorax, anatomy, film


def describe(thorax: Thorax, breaks: tuple[Break, ...], lesions: dict[str, Any]) -> dict[str, Any]:
    """The geometry of a film as JSON: sizes in cm, and how to go from cm to pixels."""
    frame = thorax.frame
    return {
        "cm_per_pixel": round(frame.pixel, 5),
        "degrees": round(float(frame.degrees), 3),
        "shift_cm": [round(float(v), 3) for v in frame.shift],
        "cardiothoracic_ratio": round(float(thorax.ratio), 4),
        "thoracic_width_cm": round(float(2 * thorax.half_width), 2),
        "mediastinal_width_cm": round(float(2 * thorax.pedicle), 2),
        "fractures": [
            {"side": SIDES[b.side], "rib": b.rib + 1, "displaced_cm": round(float(b.displaced), 2)}
            for b in breaks
        ],
        "findings": lesions,
    }
