"""Gliomas by grade and type: where the core, its enhancing rim and the oedema lie, and what they look like on FLAIR."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fairrecon_jax.data.phantoms.brain import Head, Volume, waves
from fairrecon_jax.data.phantoms.drawing import edge, smoothstep
from fairrecon_jax.data.phantoms.population import Glioma

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


def sample_tumour(rng: np.random.Generator, head: Head, glioma: Glioma, growth: float = 1.0) -> Tumour:
    """Draws a tumour typical of grade and type.

    Glioblastoma: necrotic core, thick uneven rim, wide oedema. Other grade 4: small necrosis, thin rim. Grade 3: uneven, at most a
    small enhancing nodule. Grade 2: even, well outlined, nothing enhances.
    """
    u, n = rng.random(8), np.clip(rng.standard_normal(6), -2, 2)
    s = head.scale
    side = -1.0 if u[0] < 0.5 else 1.0
    centre = (side * s * (24.0 + 16.0 * u[1]), s * (-42.0 + 80.0 * u[2]), s * (4.0 + 28.0 * u[3]))
    stretch = (1.0 + 0.1 * n[0], 1.0 + 0.15 * n[1], 1.0 + 0.1 * n[2])
    size = growth * (1.0 + 0.15 * n[3])
    if glioma.glioblastoma:
        return Tumour(centre, 17.0 * size, stretch, 4.5 + 2.0 * u[4], 0.75, 12.0 + 8.0 * u[5], 0.22, 0.10, (192.0, 168.0, 66.0))
    if glioma.grade == 4:
        return Tumour(centre, 17.0 * size, stretch, 2.5 + 1.5 * u[4], 0.45, 6.0 + 5.0 * u[5], 0.18, 0.12, (188.0, 166.0, 80.0))
    if glioma.grade == 3:
        return Tumour(centre, 18.0 * size, stretch, 3.5 * (u[4] < 0.5), 0.0, 3.0 + 3.0 * u[5], 0.16, 0.12, (182.0, 160.0, 90.0))
    return Tumour(centre, 16.0 * size, stretch, 0.0, 0.0, 0.0, 0.08, 0.03, (184.0, 160.0, 90.0))


def mass_effect(tumour: Tumour, v: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Head coordinates with the tissue round the tumour pushed away from it (midline shift, compressed ventricle)."""
    off = [a - np.float32(c) for a, c in zip(v, tumour.centre)]
    r = np.sqrt(sum(o * o for o in off)) + 1e-3
    reach = tumour.core * 2.6
    push = (0.26 * tumour.core * (tumour.necrosis + 0.25)) * (r / tumour.core) * np.exp(-((r / reach) ** 2) * 1.5) / r
    return tuple(a - o * push for a, o in zip(v, off))


def draw_tumour(
    volume: Volume, v: tuple[np.ndarray, ...], tumour: Tumour, contrast: float, axes: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Paints the tumour into the volume's image and returns its mask.

    Args:
      volume: the healthy head; `image` is changed.
      v: coordinates in which the tumour is round (before mass effect).
      tumour: the shape.
      contrast: multiplier of the difference to the tissue below.
      axes: voxel centres, for random fields.
      rng: the lesion's randomness.

    Returns:
      (mask uint8 {0, 1, 2, 4}, voxel volumes in ml and the shape, JSON-ready).
    """
    soft = max(volume.spacing[0], 1.0)
    off = [(a - np.float32(c)) / np.float32(t) for a, c, t in zip(v, tumour.centre, tumour.stretch)]
    uneven = waves(rng, axes, 1.5 * tumour.core, 24)
    fingers = waves(rng, axes, 20.0, 24)
    depth = tumour.core * (1.0 + tumour.ragged * uneven) - np.sqrt(sum(o * o for o in off))
    tissue = volume.brain * (1.0 - volume.ventricles)
    core = edge(depth, 1.5 * soft) * tissue
    side = np.sign(tumour.centre[0]) * volume.x
    prefer = volume.white * smoothstep(-1.0, 4.0, side)
    oedema = np.maximum(edge(depth + tumour.spread * (0.8 + 0.35 * fingers), 3.0 + soft) * prefer if tumour.spread > 0 else 0.0, core)
    rim = _rim(tumour, depth, uneven, fingers, soft) * core
    dead = (
        edge(depth - (1.0 - tumour.necrosis) * tumour.core * (1.0 + 0.25 * fingers), soft) * core
        if tumour.necrosis > 0
        else np.zeros_like(core)
    )
    rim = rim * (1.0 - dead)
    bright, enhancing, necrotic = tumour.bright
    inner = waves(rng, axes, 9.0, 24)
    target = bright * (1.0 + tumour.patchy * 0.5 * (inner + uneven))
    target = target * (1.0 - rim) + enhancing * (1.0 + 0.06 * inner) * rim
    target = target * (1.0 - dead) + necrotic * (1.0 + 0.12 * inner) * dead
    volume.image += contrast * oedema * (target - volume.image)
    mask = np.zeros(core.shape, np.uint8)
    mask[oedema > 0.5] = OEDEMA
    mask[(rim > 0.5) & (oedema > 0.5)] = ENHANCING
    mask[(dead > 0.5) & (oedema > 0.5)] = NECROTIC
    ml = float(np.prod(volume.spacing)) / 1000.0
    volumes = {name: round(float((mask == value).sum()) * ml, 3) for name, value in (("necrotic", 1), ("oedema", 2), ("enhancing", 4))}
    return mask, {"centre_mm": [round(float(c), 2) for c in tumour.centre], "core_mm": round(float(tumour.core), 2), "volume_ml": volumes}


def _rim(tumour: Tumour, depth: np.ndarray, uneven: np.ndarray, fingers: np.ndarray, soft: float) -> np.ndarray:
    if tumour.rim <= 0:
        return np.zeros_like(depth)
    if tumour.necrosis <= 0:
        return edge(depth - 0.5 * tumour.core, soft) * edge(fingers - 0.4, 0.3)
    inside = tumour.necrosis * tumour.core
    thick = np.maximum(tumour.core - inside, tumour.rim)
    return edge(depth, soft) * edge(thick * (1.2 + 0.3 * uneven) - depth, soft)
