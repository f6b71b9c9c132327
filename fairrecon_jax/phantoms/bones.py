"""Ribs, clavicles, scapulae, upper arms and spine as extra attenuation, with the shell of cortical
bone brighter than the marrow.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from fairrecon_jax.phantoms.drawing import Plate, edge, smoothstep
from fairrecon_jax.phantoms.thorax import SIGN, Thorax

RIBS = 10


@dataclasses.dataclass(frozen=True)
class Break:
    """A broken rib.

    Attributes:
      side: 0 right, 1 left.
      rib: 0 is the first.
      at: radians along the rib, from the spine.
      gap: cm between the ends.
      displaced: cm by which the outer end lies lower.
      callus: attenuation of new bone round the break, 0 for none.
    """

    side: int
    rib: int
    at: float
    gap: float
    displaced: float
    callus: float


def rib_centre(thorax: Thorax, side: int, rib: int, angle: np.ndarray) -> np.ndarray:
    """Points [N, 2] (cm) on a rib: a tilted ring seen from the front, from the spine (angle 0)
    round to the cartilage (2.6).
    """
    # the gaps between ribs grow downwards
    start = thorax.apex - 0.4 + thorax.rib_gap * rib * (1.0 + 0.012 * rib)
    drop = thorax.rib_drop * (0.62 + 0.075 * min(rib, 8))
    y = (
        start
        # Nearly level at the back, steep at the side; the back arcs below the first rise before
        # they fall.
        + drop * (1.0 - np.cos(angle)) / 2.0
        - 1.1 * np.sin(angle) ** 2 * np.exp(-((angle / 1.1) ** 2)) * min(rib + 1, 4) / 4.0
    )
    # The ring is as wide as the chest wall half-way down the rib, 0.25 cm outside the pleura.
    girth_y = start + 0.5 * drop
    wall = float(thorax.wall(np.array(girth_y), side)) + 0.25
    front = smoothstep(1.2, 2.6, angle)
    x = (
        wall * np.sin(angle)
        + 1.6 * np.cos(np.minimum(angle, np.pi / 2))
        + thorax.rotation * front * SIGN[side]
    )
    return np.stack([SIGN[side] * x, y], axis=1)


def _ribbon(points: np.ndarray, width: np.ndarray) -> np.ndarray:
    step = np.empty_like(points)
    # central differences, one-sided at both ends; only the direction counts
    step[1:-1] = points[2:] - points[:-2]
    step[0], step[-1] = points[1] - points[0], points[-1] - points[-2]
    # Points that coincide have no direction: the ribbon has no width there.
    half = width / (2.0 * np.maximum(np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2), 1e-9))
    normal = np.empty_like(points)
    normal[:, 0], normal[:, 1] = -step[:, 1] * half, step[:, 0] * half
    # back along the other side, so that the outline is one closed polygon
    return np.concatenate([points + normal, (points - normal)[::-1]])


def _bone(
    plate: Plate,
    points: np.ndarray,
    width: np.ndarray,
    marrow: float,
    shell: float,
    shell_width: float,
) -> None:
    outline = _ribbon(points, width)
    plate.polygon(outline, marrow)
    # the ribbon's two sides; its open ends get no shell
    half = len(points)
    plate.line(outline[:half], shell, shell_width)
    plate.line(outline[half:], shell, shell_width)


def _pieces(angle: np.ndarray, broken: Break | None) -> list[tuple[np.ndarray, bool]]:
    if broken is None:
        return [(angle, False)]
    half = broken.gap / 2 / 11.0  # a radian along a rib is about 11 cm
    return [(angle[angle < broken.at - half], False), (angle[angle > broken.at + half], True)]


def rib_map(thorax: Thorax, breaks: tuple[Break, ...] = ()) -> np.ndarray:
    """Attenuation of all ribs: the nearly level back arcs over the steep front arcs, [H, W]."""
    # a plate each: within one a later shape replaces, the two add up where arcs cross
    back, front = Plate(thorax.frame), Plate(thorax.frame)
    broken = {(b.side, b.rib): b for b in breaks}
    for side in (0, 1):
        for rib in range(RIBS):
            fracture = broken.get((side, rib))
            for plate, low, high, marrow, shell in (
                (back, 0.06, 1.66, 0.20, 0.36),
                (front, 1.62, 2.25 + 0.03 * rib, 0.12, 0.22),
            ):
                whole = np.linspace(low, high, 28)
                hit = fracture if fracture is not None and low < fracture.at < high else None
                for angle, beyond in _pieces(whole, hit):
                    # a break near an end leaves a piece without a direction
                    if len(angle) < 2:
                        continue
                    points = rib_centre(thorax, side, rib, angle)
                    if hit is not None and beyond:
                        points = points + np.array([0.0, hit.displaced])
                    width = np.full(len(angle), 0.95 if plate is back else 1.15) * (
                        0.75 if rib == 0 else 1.0
                    )
                    _bone(plate, points, width, marrow, shell, 0.14)
            if fracture is not None and fracture.callus > 0:
                knot = rib_centre(
                    thorax, side, rib, np.linspace(fracture.at - 0.05, fracture.at + 0.05, 5)
                )
                # The arcs overlap from 1.62 to 1.66: the callus is drawn with one of them.
                plate = back if fracture.at < 1.64 else front
                plate.line(knot, fracture.callus, 1.5)
    return thorax.bone * (back.map(0.05) + front.map(0.07))


def shoulder_map(thorax: Thorax) -> np.ndarray:
    """Attenuation of clavicles, scapulae and the heads of the upper arms, [H, W]."""
    plate, faint = Plate(thorax.frame), Plate(thorax.frame)
    u = np.linspace(0.0, 1.0, 24)
    # lying patients lift their shoulders
    lift = 1.3 if thorax.supine else 0.0
    for sign in SIGN:
        reach = thorax.half_width + 2.6
        x = 1.9 + (reach - 1.9) * u
        y = thorax.apex + 4.9 - lift - 1.9 * u - 0.75 * np.sin(2 * np.pi * u) * (1 - 0.3 * u)
        points = np.stack([sign * x + thorax.rotation * (1 - u), y], axis=1)
        _bone(plate, points, 1.25 + 0.5 * (1 - u) ** 3 + 0.3 * u**3, 0.30, 0.42, 0.16)
        shoulder = np.array([sign * (thorax.half_width + 3.6), thorax.apex + 4.2])
        turn = np.linspace(0, 2 * np.pi, 30)
        head = shoulder + 2.3 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        faint.polygon(head, 0.30)
        shaft = np.stack(
            [
                shoulder[0] + sign * np.linspace(0.6, 3.4, 12),
                shoulder[1] + np.linspace(0.5, 12.0, 12),
            ],
            axis=1,
        )
        _bone(faint, shaft, np.full(12, 2.2), 0.20, 0.30, 0.4)
        # standing patients turn the blades out of the lungs, lying ones cannot
        inside = thorax.half_width - (3.2 if thorax.supine else 0.9)
        blade = np.array(
            [
                [inside + 2.8, -9.6],
                [inside + 0.4, -8.0],
                [inside - 0.2, -2.5],
                [inside + 1.2, 3.2],
                [inside + 2.0, 2.0],
                [inside + 4.0, -5.0],
            ]
        )
        blade = blade * [sign, 1.0] + [0.0, thorax.apex + 14.0]
        faint.polygon(blade, 0.07)
        faint.line(blade[1:4], 0.16, 0.25)
        faint.line(blade[3:], 0.22, 0.5)
    return thorax.bone * (plate.map(0.05) + faint.map(0.12))


def spine_map(thorax: Thorax, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Attenuation of the vertebral bodies with darker discs, pedicles and spinous processes, [H,
    W].
    """
    gap = thorax.rib_gap * 1.04
    # One vertebra per turn of the phase: 0.5 is the middle of a disc, 0.35 and 0.65 its end plates.
    phase = np.mod((y - thorax.apex) / gap, 1.0)
    half = 1.75 + 0.25 * smoothstep(-10, 15, y) - 0.12 * np.cos(2 * np.pi * phase)
    body = edge(half - np.abs(x), 0.35)
    disc = np.exp(-(((phase - 0.5) / 0.10) ** 2))
    plates = np.exp(-(((np.abs(phase - 0.5) - 0.15) / 0.05) ** 2))
    vertebra = body * (0.17 - 0.11 * disc + 0.06 * plates)
    pedicles = 0.10 * np.exp(-(((np.abs(x) - 1.1) / 0.32) ** 2) - ((phase - 0.88) / 0.14) ** 2)
    spinous = 0.11 * np.exp(-((x / 0.28) ** 2) - ((phase - 0.2) / 0.16) ** 2)
    return thorax.bone * (vertebra + pedicles + spinous)
