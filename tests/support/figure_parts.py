"""What a drawn figure holds: its texts, marks, legend entries, and tick labels that touch."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fairrecon_jax.report.figures.drawing import Drawing


def texts(figure: Figure) -> list[str]:
    """All texts inside the panels."""
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def marks(figure: Figure, marker: str) -> np.ndarray:
    """Coordinates [N, 2] of all marks of one shape with unit-coloured faces."""
    lines = [line for axes in figure.axes for line in axes.lines if line.get_marker() == marker]
    return np.concatenate([line.get_xydata() for line in lines]) if lines else np.zeros((0, 2))


def labels(figure: Figure) -> list[str]:
    """All entries of the figure's legend."""
    return [t.get_text() for t in figure.legends[0].get_texts()]


def overlaps(drawing: Drawing) -> list[tuple[str, str]]:
    """Pairs of tick labels of one axis that touch."""
    FigureCanvasAgg(drawing.figure).draw()
    touching = []
    for axes in drawing.figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = [
                t
                for t in axis.get_ticklabels()
                if t.get_text() and t.get_visible() and axes.get_visible()
            ]
            boxes = [t.get_window_extent() for t in ticks]
            upright = [not t.get_rotation() for t in ticks]
            for i in range(len(boxes) - 1):
                if upright[i] and boxes[i].overlaps(boxes[i + 1]):
                    touching.append((ticks[i].get_text(), ticks[i + 1].get_text()))
    return touching
