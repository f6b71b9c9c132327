"""A plain side view of the chest: CheXpert has them beside frontal films, and readers must tell
them apart.
"""

from __future__ import annotations

import numpy as np

from fairrecon_jax.phantoms.chest import MU_TISSUE
from fairrecon_jax.phantoms.drawing import Frame, Plate, chord, edge, ellipse_radius, smoothstep
from fairrecon_jax.phantoms.thorax import RIGHT, Thorax


def lateral_attenuation(thorax: Thorax) -> np.ndarray:
    """Line integrals of a left lateral view, [size, size]: breastbone on the left, spine on the
    right of the film.

    The heart lies on the front third of the dome, dark lung before and behind it; both domes and
    oblique ribs are seen.
    """
    frame = Frame(thorax.frame.size, thorax.frame.field, thorax.frame.degrees, thorax.frame.shift)
    x, y = frame.grid()
    depth = 0.5 * (thorax.depth + 6.5)
    front = -depth + 1.5 * smoothstep(-2.0, -13.0, y) + 3.0 * (1.0 - smoothstep(-14.0, -4.0, y))
    back = depth - 1.5 - 2.0 * (1.0 - smoothstep(-15.0, -8.0, y))
    middle, half = (front + back) / 2, (back - front) / 2
    body = 2.2 * thorax.half_width * chord(((x - middle) / (half + thorax.fat)) ** 4)
    body = body * (0.45 + 0.55 * smoothstep(thorax.apex - 6.0, thorax.apex + 7.0, y))
    dome = (
        thorax.dome[RIGHT]
        + 5.5 * np.clip((x + 1.0) / depth, 0.0, 1.0) ** 2.2
        + 2.0 * np.clip((-x - 2.0) / depth, 0.0, 1.0) ** 2
    )
    lung = (
        edge(np.minimum(x - front, back - x), 0.3)
        * edge(dome - y, 0.3)
        * edge(y - thorax.apex - 2.5, 5.0)
    )
    # outside the chest the difference is negative
    rounding = np.sqrt(np.clip(1.0 - ((x - middle) / half) ** 4, 0.0, 1.0))
    air = (
        1.45
        * thorax.half_width
        * lung
        * rounding
        * (0.3 + 0.7 * smoothstep(thorax.apex, thorax.apex + 10.0, y))
    )
    size = thorax.half_width * thorax.ratio
    heart = (
        11.0
        * np.maximum(
            1.0
            - ellipse_radius(
                x,
                y,
                (front.mean() + 6.6, thorax.dome[RIGHT] - 4.6),
                (0.95 * size, 0.80 * size),
                50.0,
            ),
            0.0,
        )
        ** 0.4
    )
    arch = (
        4.0
        * np.maximum(1.0 - ellipse_radius(x, y, (0.5, thorax.apex + 7.0), (2.6, 2.2)), 0.0) ** 0.5
    )
    # Heart and arch take the place of lung; 0.76 is what lung lacks of tissue's density.
    air = np.maximum(air - np.maximum(heart, arch), 0.0)
    trachea = (
        1.6
        * chord(((x - 0.8 - 0.10 * (y - thorax.apex)) / 0.85) ** 2)
        * edge(thorax.apex + 8.0 - y, 1.0)
    )
    total = MU_TISSUE * (body - 0.76 * air - trachea)
    return total + _bones(thorax, frame, x, y, depth) * smoothstep(0.0, 3.0, body)


def _bones(thorax: Thorax, frame: Frame, x: np.ndarray, y: np.ndarray, depth: float) -> np.ndarray:
    spine_x = depth - 3.2 - 1.4 * np.cos((y + 2.0) / 14.0)
    phase = np.mod((y - thorax.apex) / (thorax.rib_gap * 1.04), 1.0)
    disc = np.exp(-(((phase - 0.5) / 0.12) ** 2))
    spine = edge(1.7 - np.abs(x - spine_x), 0.3) * (0.5 - 0.3 * disc)
    plate = Plate(frame)
    t = np.linspace(0.0, 1.0, 16)
    for rib in range(9):
        start = thorax.apex + thorax.rib_gap * rib
        points = np.stack(
            [depth - 2.5 - t * (2 * depth - 5.0), start + 0.75 * thorax.rib_drop * t**1.2], axis=1
        )
        plate.line(points, 0.14, 0.8)
    sternum = np.stack(
        [-depth + 0.7 - 1.3 * t + 2.4 * (1 - t), thorax.apex + 4.0 + 14.0 * t], axis=1
    )
    plate.line(sternum, 0.45, 1.1)
    return thorax.bone * (spine + plate.map(0.08))
