"""Findings between lung and chest wall: effusion, pneumothorax, thickening and plaques."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairrecon_jax.phantoms.chest import LUNG_DENSITY, MU_TISSUE, Chest
from fairrecon_jax.phantoms.drawing import edge, ellipse_radius, smoothstep, texture
from fairrecon_jax.phantoms.opacities import SIDES, fill
from fairrecon_jax.phantoms.thorax import SIGN, pleural_depth


def paint_effusion(chest: Chest, rng: np.random.Generator, contrast: float) -> dict[str, Any]:
    """Free fluid: the costophrenic angle is gone and the upper edge climbs along the wall
    (meniscus).
    """
    thorax = chest.thorax
    u = rng.random(4)
    sides = (0, 1) if u[0] < 0.3 else (int(u[1] < 0.5),)
    heights = []
    gained = 0.0
    for side in sides:
        # the second side holds less, as a rule
        height = 6.2 + 5.5 * u[2] ** 1.5 if side == sides[0] else 5.6 + 2.5 * u[3]
        across = np.maximum(SIGN[side] * chest.x, 0.0)
        # the lung's border is never near 0, but a division must not depend on that
        q = np.clip(across / np.maximum(thorax.wall(chest.y, side), 1.0), 0.0, 1.0)
        top = thorax.angle[side] - height * (0.50 + 0.50 * q**2.5)
        depth = chest.y - top
        # Hardly more than all of the lung: contrast above 1 makes no denser fluid.
        share = 0.95 * smoothstep(-0.5, 2.6, depth) * min(contrast, 1.05)
        gained = max(gained, fill(chest, side, share))
        chest.vessels *= 1.0 - 0.9 * smoothstep(0.0, 2.0, depth) * chest.region[side] * min(
            contrast, 1.0
        )
        heights.append(round(height, 2))
    return {
        "side": "both" if len(sides) == 2 else SIDES[sides[0]],
        "height_cm": heights,
        "gained": gained,
    }


def paint_pneumothorax(chest: Chest, rng: np.random.Generator, contrast: float) -> dict[str, Any]:
    """Air round a lung that has shrunk towards its hilum: a lucent rim without vessels, edged by
    the visceral pleura.
    """
    thorax = chest.thorax
    side = int(rng.random() < 0.5)
    keep = 0.88 - 0.12 * rng.random()
    anchor_x, anchor_y = SIGN[side] * 3.0, thorax.dome[side] - 1.0
    # A pixel of the shrunken lung shows what lay further from the anchor in the full one.
    x = anchor_x + (chest.x - anchor_x) / keep
    y = anchor_y + (chest.y - anchor_y) / keep
    # no edge narrower than a pixel
    inside = edge(pleural_depth(thorax, x, y, side), max(0.15, thorax.frame.pixel))
    rim = chest.region[side] * (1.0 - inside)
    strength = min(contrast, 1.15)
    chest.density = chest.density - np.float32(LUNG_DENSITY * 0.86 * strength) * rim
    chest.density += np.float32(0.05 * strength) * chest.region[side] * inside
    chest.vessels *= 1.0 - min(strength, 1.0) * rim
    # p (1 - p) is a line along a soft edge; 4 makes its peak 1
    pleura = 4.0 * inside * (1.0 - inside) * chest.region[side]
    # A line of 0.12 cm keeps its integral where a pixel is wider.
    width = max(thorax.frame.pixel, 0.12)
    chest.extra += (MU_TISSUE * 0.85 * contrast * pleura * (0.12 / width)).astype(np.float32)
    area = float(rim.sum()) * thorax.frame.pixel**2
    return {
        "side": SIDES[side],
        "rim_cm": round((1 - keep) * thorax.half_width, 2),
        "area_cm2": round(area, 2),
    }


def paint_thickening(chest: Chest, rng: np.random.Generator, contrast: float) -> dict[str, Any]:
    """Pleural thickening along the side wall with an apical cap, or flat calcified plaques."""
    thorax = chest.thorax
    side = int(rng.random() < 0.5)
    uneven = texture(rng, thorax.frame, 3.0, 12)
    across = SIGN[side] * chest.x
    to_wall = thorax.wall(chest.y, side) - across
    if rng.random() < 0.55:
        thick = (1.0 + 0.6 * rng.random()) * (1.0 + 0.25 * uneven)
        top = thorax.apex + 2.0 + 6.0 * rng.random()
        along = edge(chest.y - top, 3.0) * edge(thorax.angle[side] + 1.0 - chest.y, 1.0)
        cap = edge(thorax.apex + 2.8 + 0.3 * uneven - chest.y, 0.5)
        band = np.maximum(edge(thick - to_wall, 0.3) * along, cap)
        gained = contrast * 0.55 * band * chest.region[side]
        kind = "thickening"
    else:
        gained = np.zeros_like(chest.x)
        for _ in range(3):
            y = thorax.apex + (0.35 + 0.5 * rng.random()) * (thorax.dome[side] - thorax.apex)
            wall = float(thorax.wall(np.array(y), side))
            centre = (SIGN[side] * (wall - 1.0 - 3.0 * rng.random()), y)
            r2 = ellipse_radius(
                chest.x,
                chest.y,
                centre,
                (1.7 + 0.8 * rng.random(), 0.6 + 0.4 * rng.random()),
                30.0 * rng.standard_normal(),
            )
            gained = np.maximum(gained, edge(1.0 - np.sqrt(r2) + 0.13 * uneven, 0.3))
        gained = (
            contrast
            * 0.30
            * gained
            * (1.0 + 0.25 * texture(rng, thorax.frame, 0.9, 12))
            * chest.region[side]
        )
        kind = "plaques"
    chest.extra += gained.astype(np.float32)
    return {"side": SIDES[side], "kind": kind, "gained": round(float(gained.max()), 4)}
