"""Findings that make lung whiter: nodules, consolidation, pneumonia, hazy opacity, oedema and plate
atelectasis.

A painter changes a `Chest` in place: it replaces a share of the aerated lung by fluid or solid
tissue along the beam. Contrast is the multiplier of that share; 1 is what a reader sees at a
glance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from fairrecon_jax.phantoms.chest import LUNG_DENSITY, MU_TISSUE, Chest
from fairrecon_jax.phantoms.drawing import Plate, chord, edge, ellipse_radius, smoothstep, texture
from fairrecon_jax.phantoms.thorax import LEFT, SIGN, Thorax

SIDES = ("right", "left")
_FILL = MU_TISSUE * (1.0 - LUNG_DENSITY)
"""Attenuation gained per cm of lung that fills with fluid."""


def place(
    thorax: Thorax,
    rng: np.random.Generator,
    height: tuple[float, float],
    across: tuple[float, float],
) -> tuple[int, float, float]:
    """Draws a point in a lung.

    Args:
      thorax: the geometry.
      rng: the lesion's randomness.
      height: range between the apex (0) and the dome (1).
      across: range between mediastinum (0) and chest wall (1).

    Returns:
      (side, x, y), cm. On the left, low points are moved out of the heart's shadow.
    """
    side = int(rng.random() < 0.5)
    u, w = rng.random(2)
    part = height[0] + (height[1] - height[0]) * u
    y = thorax.apex + part * (thorax.dome[side] - thorax.apex)
    wall = float(thorax.wall(np.array(y), side))
    inside = thorax.pedicle + 0.6
    if side == LEFT and part > 0.5:
        inside = min(
            0.67
            * 2
            * thorax.half_width
            * thorax.ratio
            * smoothstep(0.35, 0.8, np.array(part)).item()
            + 1.0,
            wall - 3.0,
        )
    # again, as a large heart may leave less room than 3 cm from the wall
    inside = max(inside, thorax.pedicle + 0.6)
    return (
        side,
        SIGN[side] * (inside + (across[0] + (across[1] - across[0]) * w) * (wall - inside)),
        y,
    )


def fill(chest: Chest, side: int, share: np.ndarray) -> float:
    """Replaces a share of the lung along the beam by fluid; returns the greatest attenuation
    gained.
    """
    # Contrast above 1 may take more than the lung's air, up to a fifth.
    gained = _FILL * chest.air[side] * np.clip(share, 0.0, 1.2)
    chest.extra += gained
    return round(float(gained.max()), 4)


def _where(side: int, x: float, y: float, radius: float) -> dict[str, Any]:
    return {
        "side": SIDES[side],
        "centre_cm": [round(x, 2), round(y, 2)],
        "radius_cm": round(radius, 2),
    }


def paint_lesion(chest: Chest, rng: np.random.Generator, contrast: float) -> dict[str, Any]:
    """A round, slightly lobulated solid nodule of 0.9 to 1.8 cm radius, away from heart and
    diaphragm.
    """
    thorax = chest.thorax
    side, x, y = place(thorax, rng, (0.22, 0.80), (0.22, 0.72))
    radius = 0.9 + 0.9 * rng.random()
    dx, dy = chest.x - np.float32(x), chest.y - np.float32(y)
    angle = np.arctan2(dy, dx)
    phase, size = 2 * np.pi * rng.random(3), 0.02 + 0.035 * rng.random(3)
    outline = 1.0 + sum(s * np.cos(k * angle + p) for k, s, p in zip((2, 3, 5), size, phase))
    r2 = (dx * dx + dy * dy) / (radius * outline) ** 2
    spicules = (
        0.10
        * np.exp(-np.maximum(r2 - 1.0, 0.0) * 2.0)
        * np.maximum(np.cos(11 * angle + phase[0] * 3), 0.0) ** 3
        * (r2 > 0.8)
    )
    gained = (
        contrast
        * 1.25
        * _FILL
        * (2.0 * radius * np.asarray(chord(r2)) ** 0.8 + radius * spicules)
        * chest.region[side]
    )
    chest.extra += gained.astype(np.float32)
    return _where(side, x, y, radius) | {"gained": round(float(gained.max()), 4)}


def paint_consolidation(chest: Chest, rng: np.random.Generator, contrast: float) -> dict[str, Any]:
    """A dense lobar patch with fuzzy edges and dark branching bronchi running through it."""
    thorax = chest.thorax
    side, x, y = place(thorax, rng, (0.3, 0.88), (0.25, 0.6))
    axes = (3.4 + 1.2 * rng.random(), 2.9 + 1.2 * rng.random())
    r2 = ellipse_radius(chest.x, chest.y, (x, y), axes, 40.0 * (rng.random() - 0.5))
    ragged = texture(rng, thorax.frame, 3.2, 16)
    patch = smoothstep(-0.35, 0.35, 1.0 - np.sqrt(r2) + 0.16 * ragged)
    plate = Plate(thorax.frame)
    hilum = np.array([SIGN[side] * (thorax.pedicle + 0.6), thorax.apex + 10.4])
    target = np.array([x, y])
    for turn in (-0.45, -0.12, 0.2, 0.5):
        way = target - hilum
        c, s = np.cos(turn), np.sin(turn)
        way = np.array([c * way[0] - s * way[1], s * way[0] + c * way[1]])
        t = np.linspace(0.25, 1.25 + 0.3 * rng.random(), 14)[:, None]
        bow = (
            0.5
            * rng.standard_normal()
            * np.sin(np.pi * t)
            * np.array([-way[1], way[0]])
            # a patch at the hilum would bend its bronchi without limit
            / max(float(np.hypot(*way)), 1.0)
        )
        plate.line(hilum + way * t + bow, 1.0, 0.42)
    bronchi = np.clip(plate.map(0.08), 0.0, 1.0)
    gained = fill(
        chest, side, 0.62 * contrast * patch * (1.0 + 0.08 * ragged) * (1.0 - 0.38 * bronchi)
    )
    return _where(side, x, y, max(axes)) | {"gained": gained}


def paint_pneumonia(chest: Chest, rng: np.random.Generator, contrast: float) -> dict[str, Any]:
    """Several fluffy patches that run together within one lobe."""
    thorax = chest.thorax
    side, x, y = place(thorax, rng, (0.35, 0.85), (0.3, 0.6))
    share = np.zeros_like(chest.x)
    for _ in range(int(4 + 3 * rng.random())):
        turn, far = 2 * np.pi * rng.random(), 2.7 * np.sqrt(rng.random())
        centre = (x + far * np.cos(turn), y + far * np.sin(turn))
        radius = 1.2 + 1.1 * rng.random()
        # the larger, not the sum: patches that overlap are no denser
        share = np.maximum(
            share, np.exp(-1.2 * ellipse_radius(chest.x, chest.y, centre, (radius, radius)))
        )
    mottled = (
        1.0
        + 0.20 * texture(rng, thorax.frame, 1.3, 20)
        + 0.15 * texture(rng, thorax.frame, 2.6, 12)
    )
    return _where(side, x, y, 4.0) | {
        "gained": fill(chest, side, 0.46 * contrast * share * np.clip(mottled, 0.2, 1.8))
    }


def paint_opacity(chest: Chest, rng: np.random.Generator, contrast: float) -> dict[str, Any]:
    """One large hazy (ground-glass) opacity without sharp edges; vessels stay visible in it."""
    side, x, y = place(chest.thorax, rng, (0.2, 0.8), (0.3, 0.6))
    axes = (4.2 + 1.4 * rng.random(), 4.2 + 1.4 * rng.random())
    haze = np.exp(-1.3 * ellipse_radius(chest.x, chest.y, (x, y), axes) ** 1.4)
    return _where(side, x, y, max(axes)) | {"gained": fill(chest, side, 0.30 * contrast * haze)}


def paint_edema(chest: Chest, rng: np.random.Generator, contrast: float) -> dict[str, Any]:
    """Bilateral perihilar haze (bat's wing), blurred and widened vessels, septal lines at the
    lateral bases.
    """
    thorax = chest.thorax
    mottled = np.clip(1.0 + 0.22 * texture(rng, thorax.frame, 1.6, 20), 0.3, 1.7)
    plate = Plate(thorax.frame)
    gained = 0.0
    for side, sign in enumerate(SIGN):
        hilum_y = thorax.apex + 11.0
        r2 = ellipse_radius(chest.x, chest.y, (sign * (thorax.pedicle + 2.6), hilum_y), (4.6, 5.6))
        base = 0.35 * smoothstep(thorax.apex + 6.0, thorax.dome[side], chest.y)
        gained = max(
            gained, fill(chest, side, contrast * (0.42 * np.exp(-r2) + 0.26 * base) * mottled)
        )
        for row in range(9):
            y = thorax.dome[side] - 4.6 + 0.62 * row + 0.12 * rng.standard_normal()
            wall = float(thorax.wall(np.array(y), side))
            length = 1.1 + 0.7 * rng.random()
            plate.line(
                np.array([[sign * (wall - 0.1), y], [sign * (wall - length), y + 0.1]]), 0.11, 0.13
            )
    chest.extra += (contrast * plate.map(0.03) * (chest.region[0] + chest.region[1])).astype(
        np.float32
    )
    # Vessels lose their sharp borders first, and widen.
    swollen = ndimage.gaussian_filter(chest.vessels, 0.16 / thorax.frame.pixel, truncate=3.0)
    # added to the sharp ones: the border fades while the vessel widens
    chest.vessels += np.float32(0.9 * min(contrast, 1.5)) * swollen
    return {"side": "both", "gained": gained}


def paint_atelectasis(
    chest: Chest, rng: np.random.Generator, contrast: float, side: int
) -> dict[str, Any]:
    """Plates of collapsed lung: nearly level white bands above a raised dome."""
    thorax = chest.thorax
    plate = Plate(thorax.frame)
    count = 2 + int(rng.random() < 0.5)
    sign = SIGN[side]
    for i in range(count):
        y = thorax.dome[side] - 1.3 - 1.5 * i - 0.4 * rng.random()
        wall = float(thorax.wall(np.array(y), side))
        reach = 0.55 + 0.25 * rng.random()
        start = wall - 0.6 - 1.5 * rng.random()
        across = np.linspace(start, start - reach * 0.62 * wall, 16)
        tilt = 0.16 * rng.standard_normal()
        rise = tilt * (across - across.mean()) - 0.25 * np.sin(np.linspace(0, np.pi, 16))
        plate.line(
            np.stack([sign * across, y + rise], axis=1),
            0.34 + 0.12 * rng.random(),
            0.42 + 0.2 * rng.random(),
        )
    lines = plate.map(0.07) * np.maximum(chest.region[side], 0.0)
    crowded = edge(chest.y - thorax.dome[side] + 5.0, 5.0) * 0.10
    chest.extra += (contrast * lines).astype(np.float32)
    fill(chest, side, contrast * crowded)
    return {"side": SIDES[side], "bands": count, "gained": round(float(contrast * lines.max()), 4)}
