"""Gliomas by grade and type: where the core, its enhancing rim and the oedema lie, and what they
look like on FLAIR.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fairrecon_jax.phantoms.brain import Block, Head
from fairrecon_jax.phantoms.drawing import edge, smoothstep
from fairrecon_jax.phantoms.fields import Coordinates, Field, draw_field
from fairrecon_jax.phantoms.population import Glioma

NECROTIC, OEDEMA, ENHANCING = 1, 2, 4


@dataclasses.dataclass(frozen=True)
class Tumour:
    """Shape of one tumour; lengths in mm, intensities with white matter = 100.

    Attributes:
      centre: in head coordinates.
      core: radius of the solid part (or of the whole tumour where nothing enhances).
      stretch: relative semi-axes.
      rim: thickness of the enhancing rim, 0 for none.
      necrosis: share of the core's radius that is dead, 0 for none.
      spread: how far oedema reaches beyond the core.
      ragged: unevenness of the outline, as a share of the radius.
      patchy: unevenness of the intensity inside.
      bright: intensity of oedema or homogeneous tumour, of the rim, of necrosis.
      fields: random fields of the outline, of the oedema's fingers and of the inside.
    """

    centre: tuple[float, float, float]
    core: float
    stretch: tuple[float, float, float]
    rim: float
    necrosis: float
    spread: float
    ragged: float
    patchy: float
    bright: tuple[float, float, float]
    fields: dict[str, Field]


def sample_tumour(
    rng: np.random.Generator, head: Head, glioma: Glioma, growth: float = 1.0
) -> Tumour:
    """Draws a tumour typical of grade and type.

    Glioblastoma: necrotic core, thick uneven rim, wide oedema. Other grade 4: small necrosis, thin
    rim. Grade 3: uneven, at most a small enhancing nodule. Grade 2: even, well outlined, nothing
    enhances.
    """
    u, n = (
        [float(v) for v in rng.random(8)],
        [float(v) for v in np.clip(rng.standard_normal(6), -2, 2)],
    )
    s = head.scale
    side = -1.0 if u[0] < 0.5 else 1.0
    centre = (side * s * (24.0 + 16.0 * u[1]), s * (-42.0 + 80.0 * u[2]), s * (4.0 + 28.0 * u[3]))
    stretch = (1.0 + 0.1 * n[0], 1.0 + 0.15 * n[1], 1.0 + 0.1 * n[2])
    size = growth * (1.0 + 0.15 * n[3])
    # core, rim, necrosis, spread, ragged, patchy and bright, see `Tumour`.
    if glioma.glioblastoma:
        look = (17.0, 4.5 + 2.0 * u[4], 0.75, 12.0 + 7.0 * u[5], 0.20, 0.10, (192.0, 168.0, 66.0))
    elif glioma.grade == 4:
        look = (17.0, 2.5 + 1.5 * u[4], 0.45, 6.0 + 4.0 * u[5], 0.16, 0.12, (188.0, 166.0, 80.0))
    elif glioma.grade == 3:
        look = (18.0, 3.5 * (u[4] < 0.5), 0.0, 3.0 + 2.0 * u[5], 0.16, 0.12, (182.0, 160.0, 90.0))
    else:
        look = (16.0, 0.0, 0.0, 0.0, 0.08, 0.03, (184.0, 160.0, 90.0))
    core, rim, necrosis, spread, ragged, patchy, bright = look
    wavelengths = {"uneven": 1.5 * core, "fingers": 22.0, "inner": 9.0}
    fields = {name: draw_field(rng, wavelength, 24) for name, wavelength in wavelengths.items()}
    return Tumour(
        centre, core * size, stretch, rim, necrosis, spread, ragged, patchy, bright, fields
    )


def mass_effect(tumour: Tumour, v: Coordinates) -> Coordinates:
    """Head coordinates with the tissue round the tumour pushed away from it (midline shift,
    compressed ventricle).
    """
    off = [a - c for a, c in zip(v, tumour.centre)]
    r2 = off[0] ** 2 + off[1] ** 2 + off[2] ** 2
    # necrotic tumours grow fast and push most
    push = (0.26 * (tumour.necrosis + 0.25)) * np.exp(r2 * (-1.5 / (2.6 * tumour.core) ** 2))
    return v[0] - off[0] * push, v[1] - off[1] * push, v[2] - off[2] * push


def draw_tumour(
    block: Block,
    v: Coordinates,
    tumour: Tumour,
    contrast: float,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    soft: float,
) -> np.ndarray:
    """Paints the part of a tumour that lies in a block into its image and returns its mask.

    Args:
      block: slices of the healthy head; `image` is changed.
      v: coordinates in which the tumour is round (before mass effect).
      tumour: the shape.
      contrast: multiplier of the difference to the tissue below.
      axes: voxel centres, for the random fields.
      soft: width of edges in mm.

    Returns:
      uint8 [X, Y, Z] in {0, 1, 2, 4}.
    """
    mask = np.zeros(block.image.shape, np.uint8)
    off = [(a - c) / t for a, c, t in zip(v, tumour.centre, tumour.stretch)]
    distance = np.sqrt(off[0] ** 2 + off[1] ** 2 + off[2] ** 2)
    # The block lies beyond all that the ragged outline and the oedema reach.
    if distance.min() > 2.0 * tumour.core + 2.0 * tumour.spread:
        return mask
    uneven, fingers, inner = (tumour.fields[name](axes) for name in ("uneven", "fingers", "inner"))
    depth = tumour.core * (1.0 + tumour.ragged * uneven) - distance
    # no tumour in fluid: a ventricle stays a ventricle
    core = edge(depth, 1.5 * soft) * block.brain * (1.0 - block.fluid)
    oedema = core
    if tumour.spread > 0:
        # Oedema follows white matter and stops at the midline.
        same_side = smoothstep(-1.0, 4.0, np.sign(tumour.centre[0]) * block.x)
        reach = edge(depth + tumour.spread * (0.9 + 0.22 * fingers), 3.0 + soft)
        oedema = np.maximum(core, reach * block.white * same_side)
    dead = np.zeros_like(core)
    if tumour.necrosis > 0:
        dead = (
            edge(depth - (1.0 - tumour.necrosis) * tumour.core * (1.0 + 0.25 * fingers), soft)
            * core
        )
    rim = _rim(tumour, depth, uneven, fingers, soft) * core * (1.0 - dead)
    bright, enhancing, necrotic = tumour.bright
    target = bright * (1.0 + 0.5 * tumour.patchy * (inner + uneven))
    target = target * (1.0 - rim) + enhancing * (1.0 + 0.06 * inner) * rim
    target = target * (1.0 - dead) + necrotic * (1.0 + 0.12 * inner) * dead
    # towards the look of the tumour: at contrast 0.5 it is half as different from the tissue below
    block.image += contrast * oedema * (target - block.image)
    # by shape alone, not by contrast: a faint tumour has the same truth
    mask[oedema > 0.5] = OEDEMA
    mask[(rim > 0.5) & (oedema > 0.5)] = ENHANCING
    # Painted in this order: necrosis lies inside the rim, the rim inside the oedema.
    mask[(dead > 0.5) & (oedema > 0.5)] = NECROTIC
    return mask


def describe_tumour(
    tumour: Tumour, mask: np.ndarray, spacing: tuple[float, float, float]
) -> dict[str, Any]:
    """Centre, size and the volume of each part in ml, JSON-ready."""
    ml = float(np.prod(spacing)) / 1000.0
    parts = (("necrotic", NECROTIC), ("oedema", OEDEMA), ("enhancing", ENHANCING))
    volumes = {name: round(float((mask == value).sum()) * ml, 3) for name, value in parts}
    return {
        "centre_mm": [round(float(c), 2) for c in tumour.centre],
        "core_mm": round(float(tumour.core), 2),
        "volume_ml": volumes,
    }


def _rim(
    tumour: Tumour, depth: np.ndarray, uneven: np.ndarray, fingers: np.ndarray, soft: float
) -> np.ndarray:
    if tumour.rim <= 0:
        return np.zeros_like(depth)
    if tumour.necrosis <= 0:
        return edge(depth - 0.5 * tumour.core, soft) * edge(fingers - 0.4, 0.3)
    outer = max((1.0 - tumour.necrosis) * tumour.core - tumour.rim, 0.0)
    return edge(depth - outer * (1.0 + 0.3 * uneven), soft)
