"""The soft tissue and air of a chest as thickness maps, ready for findings to change and for the
beam to cross.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from fairrecon_jax.phantoms.drawing import (
    chord,
    edge,
    ellipse_radius,
    power,
    smoothstep,
    splat,
    texture,
)
from fairrecon_jax.phantoms.thorax import (
    SIGN,
    Thorax,
    heart_thickness,
    lung_region,
    vessels_thickness,
)

MU_TISSUE = 0.19
"""Attenuation of soft tissue per cm at the mean energy of a chest film (about 70 keV)."""
LUNG_DENSITY = 0.24
"""Density of inflated lung relative to soft tissue."""


@dataclasses.dataclass
class Chest:
    """Maps of one film, [H, W] float32; findings change them in place.

    Attributes:
      thorax: the geometry they were made from.
      x: patient coordinate in cm.
      y: patient coordinate in cm.
      region: membership of each lung's projection (right, left), in [0, 1].
      air: thickness of aerated lung in cm (right, left), heart and vessels taken out.
      body: thickness of the body in cm, lungs included.
      density: density of the lung tissue relative to soft tissue.
      vessels: thickness of lung vessels in cm.
      extra: attenuation added by findings.
    """

    thorax: Thorax
    x: np.ndarray
    y: np.ndarray
    region: tuple[np.ndarray, np.ndarray]
    air: list[np.ndarray]
    body: np.ndarray
    density: np.ndarray
    vessels: np.ndarray
    extra: np.ndarray

    def attenuation(self) -> np.ndarray:
        """Line integral of the attenuation along the beam, without bone."""
        # Vessel trees are drawn in the plane of the film and know no border of the lung: they fade
        # out where little lung is crossed.
        lung = self.air[0] + self.air[1]
        tissue = (
            self.body
            # findings may push the density out of what tissue can have
            - lung * (1.0 - np.clip(self.density, 0.0, 1.0))
            + self.vessels * np.minimum(lung / 7.0, 1.0)
        )
        return MU_TISSUE * tissue + self.extra


def build_chest(thorax: Thorax, rng: np.random.Generator) -> Chest:
    """Makes the maps of a healthy chest.

    Args:
      thorax: the geometry.
      rng: the patient's vessels and lung texture.
    """
    x, y = thorax.frame.grid()
    # Heart and great vessels lie one behind the other in part: the thicker of the two counts.
    middle = np.maximum(heart_thickness(thorax, x, y), vessels_thickness(thorax, x, y))
    parts = [lung_region(thorax, x, y, side) for side in (0, 1)]
    # times region again: at a soft edge what heart and vessels leave fades as well
    air = [np.maximum(region * thickness - middle, 0.0) * region for region, thickness in parts]
    regions = (parts[0][0], parts[1][0])
    density = np.full_like(x, LUNG_DENSITY) + 0.02 * texture(rng, thorax.frame, 1.1)
    vessels = vessel_map(thorax, rng) * np.maximum(*regions)
    body = body_thickness(thorax, x, y) - airway_map(thorax, x, y)
    return Chest(thorax, x, y, regions, air, body, density, vessels, stomach_map(thorax, rng, x, y))


def body_thickness(thorax: Thorax, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Thickness of trunk, neck, shoulders, arms and breasts in cm."""
    across = np.abs(x)
    side = thorax.half_width + thorax.fat
    flank = (
        side
        - 0.7 * smoothstep(-8.0, 2.0, y)
        + 0.9 * smoothstep(8.0, 18.0, y)
        + 1.6 * (1.0 - smoothstep(-12.0, -5.0, y))
    )
    trunk_top = thorax.apex - 3.6 + 5.2 * power((across - 4.5) / (side - 2.0), 1.5)
    deep = (thorax.depth + thorax.body) * (
        0.70 + 0.30 * smoothstep(thorax.apex - 3.0, thorax.apex + 11.0, y)
    )
    reach = (across / flank) ** 2
    trunk = (
        deep
        * np.sqrt(np.clip(1.0 - reach * reach, 0.0, 1.0))
        * np.sqrt(np.clip((y - trunk_top) / 3.0, 0.0, 1.0))
    )
    belly = 2.5 * smoothstep(thorax.dome[0] + 3.0, thorax.angle[0] + 5.0, y) * chord(reach)
    neck = 11.5 * chord((across / 5.8) ** 2) * edge(thorax.apex + 2.0 - y, 5.0)
    total = np.maximum(trunk + belly, neck)
    shoulder_x, shoulder_y = thorax.half_width + 2.8, thorax.apex + 4.2
    along = np.clip((y - shoulder_y) / 13.0, 0.0, 2.0)
    off = (across - (shoulder_x + 4.2 * along)) / 4.4
    above = np.minimum(y - shoulder_y, 0.0) / 4.4
    total = np.maximum(total, 8.5 * chord(off**2 + above**2))
    return total + breast_map(thorax, x, y)


def breast_map(thorax: Thorax, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Thickness of the breasts in cm: a cap whose lower border is the denser and sharper one."""
    # men: the pectoral muscle, on both sides
    if thorax.breast == 0.0:
        pectoral = sum(
            chord(ellipse_radius(x, y, (s * 7.5, thorax.breast_height - 8.0), (6.5, 4.5), s * 25.0))
            for s in SIGN
        )
        return 1.3 * np.asarray(pectoral)
    total = np.zeros_like(x)
    for sign in SIGN:
        r2 = ellipse_radius(
            x,
            y,
            (sign * 0.62 * thorax.half_width + sign * 1.0, thorax.breast_height),
            (thorax.breast, 0.95 * thorax.breast),
            0.0,
        )
        low = smoothstep(-1.0, 1.0, (y - thorax.breast_height) / thorax.breast)
        total += thorax.breast_depth * (0.35 + 0.75 * low) * power(1.0 - r2, 0.42)
    return total


def airway_map(thorax: Thorax, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Thickness of air in trachea and main bronchi in cm."""
    carina = thorax.apex + 8.6
    centre = thorax.shift + 0.25 * smoothstep(-12.0, -6.0, y) + thorax.rotation * 0.2
    trachea = 1.7 * chord(((x - centre) / 0.9) ** 2) * edge(carina - y, 1.0)
    down = np.clip(y - carina, 0.0, 5.0)
    fade = edge(y - carina, 0.6) * edge(carina + 4.2 - y, 2.0)
    right = 1.2 * chord(((x - centre + 0.35 + 0.75 * down) / 0.75) ** 2)
    left = 1.1 * chord(((x - centre - 0.45 - 1.0 * down) / 0.7) ** 2)
    return trachea + fade * np.maximum(right, left)


def stomach_map(
    thorax: Thorax, rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Attenuation taken away by gas in the stomach, under the left dome (not in every patient)."""
    u = rng.random(4)
    centre = (5.5 + 2.0 * u[1], thorax.dome[1] + 2.6 + 0.8 * u[2])
    wide = 1.6 + 1.8 * u[3]
    r2 = ellipse_radius(x, y, centre, (wide, 1.5), -8.0)
    # flat below: gas lies on fluid
    gas = chord(r2) * edge(centre[1] + 0.8 - y, 0.25) * (u[0] < 0.75)
    return (-MU_TISSUE * 4.2 * gas).astype(np.float32)


def vessel_map(thorax: Thorax, rng: np.random.Generator) -> np.ndarray:
    """Thickness of the branching lung vessels in cm: trees from both hila, thinner with every
    generation.
    """
    points, radii = [], []
    for side, sign in enumerate(SIGN):
        hilum = np.array(
            [
                sign * (thorax.pedicle + 0.7) + thorax.shift,
                thorax.apex + 10.4 + (0.5 if side == 0 else -0.6),
            ]
        )
        first = np.deg2rad(
            np.array([-80, -52, -24, 4, 30, 52, 72, 88.0]) + 9 * rng.standard_normal(8)
        )
        place, heading = np.tile(hilum, (8, 1)), first
        radius = np.array([0.36, 0.4, 0.42, 0.42, 0.5, 0.66, 0.74, 0.5]) * (
            1.0 + 0.12 * rng.standard_normal(8)
        )
        # Every branch of one generation at once: [branches, steps, 2].
        for generation in range(6):
            steps = 9
            length = 2.6 * 0.84**generation * (0.7 + 0.6 * rng.random(len(place)))
            bend = (
                np.cumsum(0.10 * rng.standard_normal((len(place), steps)), axis=1)
                + heading[:, None]
            )
            move = (
                np.stack([sign * np.cos(bend), np.sin(bend)], axis=2)
                * (length / steps)[:, None, None]
            )
            path = place[:, None, :] + np.cumsum(move, axis=1)
            taper = np.linspace(1.0, 0.85, steps)
            points.append(
                np.concatenate(
                    [path, (length / steps)[:, None, None] * np.ones((1, steps, 1))], axis=2
                ).reshape(-1, 3)
            )
            radii.append((radius[:, None] * taper).ravel())
            # each branch forks: its copies are neighbours, and the tiled signs send them apart
            place = np.repeat(path[:, -1], 2, axis=0)
            fork = (0.22 + 0.3 * rng.random(len(place))) * np.tile([-1.0, 1.0], len(path))
            heading = np.repeat(bend[:, -1], 2) + fork
            radius = np.repeat(radius, 2) * (0.62 + 0.22 * rng.random(len(place)))
    where, r = np.concatenate(points), np.concatenate(radii)
    # The volume of a piece over the area of a pixel: a thickness in cm.
    mass = np.pi * r**2 * where[:, 2] / thorax.frame.pixel**2
    total = np.zeros((thorax.frame.size, thorax.frame.size), np.float32)
    # Three classes of radius, each blurred by its own, instead of one blur per piece.
    for low, high in ((0.0, 0.09), (0.09, 0.18), (0.18, 9.0)):
        chosen = (r >= low) & (r < high)
        # The projected disc of radius r has standard deviation r / 2 along an axis.
        sigma = float(np.sqrt(np.mean((0.5 * r[chosen]) ** 2) + 0.04**2)) if chosen.any() else 0.1
        total += ndimage.gaussian_filter(
            splat(thorax.frame, where[chosen, :2], mass[chosen]),
            sigma / thorax.frame.pixel,
            truncate=3.0,
        )
    return total
