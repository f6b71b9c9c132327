"""Figures as bytes, pictures as data URIs."""

from __future__ import annotations

import base64
import io
import warnings

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from fairrecon_jax.report.figures.drawing import RC

NO_LETTERS = (
    "names hold letters that no font of this machine has: pictures show boxes in their place, page "
    "and tables have them; install a font such as Noto Sans CJK"
)


def figure_bytes(figure: Figure, kind: str, dpi: int) -> bytes:
    """Draws a figure as "png" or "pdf", without dates, so that equal figures are equal bytes; the
    first drawing settles the layout.
    """
    # again: how fonts go into a PDF, for one, is looked up when it is drawn
    with mpl.rc_context(RC), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        drawn = _drawn(figure, kind, dpi)
    for warning in said:
        if "missing from font" not in str(warning.message):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if any("missing from font" in str(warning.message) for warning in said):
        warnings.warn(NO_LETTERS, stacklevel=2)
    return drawn


def _drawn(figure: Figure, kind: str, dpi: int) -> bytes:
    """Draws a figure in the current settings."""
    stream = io.BytesIO()
    # before the layout, which measures text in pixels
    figure.set_dpi(dpi)
    if kind == "png":
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        figure.set_layout_engine("none")  # a second drawing would lay out anew, and differ
        Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(
            stream, format="PNG", dpi=(dpi, dpi)
        )
    elif kind == "pdf":
        # late: it brings a library of fonts, which a report without PDF never needs
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        # None leaves an entry out: a date would make every file a new one
        FigureCanvasPdf(figure).print_pdf(
            stream, metadata={"CreationDate": None, "Producer": None, "Creator": None}
        )
    else:
        raise ValueError(f"a figure is written as png or pdf, not {kind!r}")
    return stream.getvalue()


def data_uri(png: bytes) -> str:
    """A PNG as a data URI for an `img` element."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
