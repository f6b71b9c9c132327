"""Writing files aside and moving them into place; pictures as data URIs."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Writes a file under a temporary name in its own folder, then moves it into place.

    Args:
      path: the file to write; its folder is made.
      content: bytes, or text that is stored as UTF-8.

    Returns:
      The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def figure_bytes(figure: Figure, kind: str, dpi: int) -> bytes:
    """Draws a figure as "png" or "pdf", without dates, so that equal figures are equal bytes."""
    stream = io.BytesIO()
    if kind == "png":
        FigureCanvasAgg(figure).print_figure(stream, format="png", dpi=dpi, metadata={"Software": None})
        figure.set_layout_engine("none")
    elif kind == "pdf":
        FigureCanvasPdf(figure).print_figure(
            stream, format="pdf", dpi=dpi, metadata={"CreationDate": None, "Producer": None, "Creator": None}
        )
    else:
        raise ValueError(f"a figure is written as png or pdf, not {kind!r}")
    return stream.getvalue()


def data_uri(png: bytes) -> str:
    """A PNG as a data URI for an `img` element."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
