"""The twelve findings: those that change the chest's shape come first, those that are painted into
its maps after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fairrecon_jax.phantoms import opacities, pleura
from fairrecon_jax.phantoms.bones import Break
from fairrecon_jax.phantoms.chest import Chest
from fairrecon_jax.phantoms.options import FINDINGS
from fairrecon_jax.phantoms.thorax import Thorax

Streams = Callable[[str], np.random.Generator]
"""Gives each finding its own random numbers, so that one finding does not move another."""

Geometry = dict[str, Any]
_Painter = Callable[[Chest, np.random.Generator, float], Geometry]

PAINTERS: Mapping[str, _Painter] = {
    "Lung Lesion": opacities.paint_lesion,
    "Consolidation": opacities.paint_consolidation,
    "Pneumonia": opacities.paint_pneumonia,
    "Lung Opacity": opacities.paint_opacity,
    "Edema": opacities.paint_edema,
    "Pleural Effusion": pleura.paint_effusion,
    "Pneumothorax": pleura.paint_pneumothorax,
    "Pleural Other": pleura.paint_thickening,
}


def reshape(thorax: Thorax, drawn: tuple[str, ...], contrast: float, streams: Streams) -> Thorax:
    """The chest's geometry with heart size, mediastinal width and volume loss as the findings make
    them.

    Contrast scales how far a size goes beyond normal: a cardiothoracic ratio of 0.5 + 0.1 *
    contrast, say.

    Args:
      thorax: the healthy geometry.
      drawn: findings of the study.
      contrast: the patient's lesion contrast.
      streams: random numbers per finding.
    """
    # A heart is larger than normal only where cardiomegaly is drawn.
    thorax = dataclasses.replace(thorax, ratio=min(thorax.ratio, 0.49))
    if "Cardiomegaly" in drawn:
        excess = 0.07 + 0.08 * streams("Cardiomegaly").random()
        # 0.72 at most, so that lung is left beside the heart
        thorax = dataclasses.replace(thorax, ratio=min(0.5 + excess * contrast, 0.72))
    if "Enlarged Cardiomediastinum" in drawn:
        excess = 0.55 + 0.35 * streams("Enlarged Cardiomediastinum").random()
        thorax = dataclasses.replace(
            thorax,
            pedicle=thorax.pedicle * (1.0 + min(excess * contrast, 1.2)),
            knob=thorax.knob * (1.0 + 0.25 * contrast),
        )
    if "Atelectasis" in drawn:
        side = collapsed_side(streams)
        # capped, so that the dome stays below the hilum
        raised = 1.9 * min(contrast, 1.5)
        move = tuple(raised * (i == side) for i in (0, 1))
        thorax = dataclasses.replace(
            thorax,
            dome=(thorax.dome[0] - move[0], thorax.dome[1] - move[1]),
            angle=(thorax.angle[0] - 0.5 * move[0], thorax.angle[1] - 0.5 * move[1]),
            # towards the side that lost volume
            shift=thorax.shift + (0.5 if side == 1 else -0.5) * min(contrast, 1.5),
        )
    return thorax


def collapsed_side(streams: Streams) -> int:
    """The lung that atelectasis affects: 0 right, 1 left."""
    return int(streams("Atelectasis").random() < 0.5)


def broken_ribs(drawn: tuple[str, ...], contrast: float, streams: Streams) -> tuple[Break, ...]:
    """Two to four neighbouring displaced rib fractures, or none."""
    if "Fracture" not in drawn:
        return ()
    rng = streams("Fracture")
    side, first, count = (
        int(rng.random() < 0.5),
        3 + int(3 * rng.random()),
        2 + int(3 * rng.random()),
    )
    at = 0.75 + 0.35 * rng.random()
    breaks = []
    for rib in range(first, min(first + count, 9)):
        # as many numbers for each rib, whatever the contrast
        jitter = rng.random(3)
        strength = min(contrast, 1.6)
        breaks.append(
            Break(
                side,
                rib,
                at + 0.10 * (jitter[0] - 0.5),
                (0.5 + 0.3 * jitter[1]) * strength,
                (0.8 + 0.5 * jitter[2]) * strength,
                0.16 * strength,
            )
        )
    return tuple(breaks)


def paint(
    chest: Chest, drawn: tuple[str, ...], contrast: float, streams: Streams
) -> dict[str, Geometry]:
    """Paints the findings into the chest's maps and returns where each of them is."""
    geometry: dict[str, Geometry] = {}
    # in a fixed order: later painters see what earlier ones changed
    for finding in FINDINGS:
        if finding not in drawn:
            continue
        if finding == "Atelectasis":
            rng = streams(finding)
            # The stream's first number, as in `collapsed_side`: the plates lie in the lung that
            # shrank.
            side = int(rng.random() < 0.5)
            geometry[finding] = opacities.paint_atelectasis(chest, rng, contrast, side)
        elif finding in PAINTERS:
            geometry[finding] = PAINTERS[finding](chest, streams(finding), contrast)
    return geometry
