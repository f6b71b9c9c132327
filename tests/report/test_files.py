"""Equal figures are equal bytes."""

from __future__ import annotations

import base64

import pytest

from fairrecon_jax.report import files
from fairrecon_jax.report.figures.drawing import canvas


def figure():
    with canvas(1.0, 2.0) as made:
        made.subplots().plot([0, 1], [1, 0])
    return made


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_equal_figures_are_equal_bytes(kind, start):
    first, second = (files.figure_bytes(figure(), kind, 60) for _ in range(2))
    assert first == second
    assert first.startswith(start)


def test_pdf_carries_no_date_and_embeds_its_type():
    content = files.figure_bytes(figure(), "pdf", 60)
    assert b"CreationDate" not in content
    assert b"/Type3" not in content


def test_the_png_has_the_asked_resolution():
    from PIL import Image

    content = files.figure_bytes(figure(), "png", 60)
    import io

    assert Image.open(io.BytesIO(content)).size == (120, 60)


def test_names_with_dollar_signs_are_not_mathematics():
    with canvas(1.0, 2.0) as made:
        axes = made.subplots()
        axes.set_title("costs $5_{ and ^")
        axes.set_xticks([0, 1], ["$a_{", "b$"])
    assert files.figure_bytes(made, "png", 60)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="png or pdf, not 'svg'"):
        files.figure_bytes(figure(), "svg", 60)


def test_data_uris_hold_the_picture():
    uri = files.data_uri(b"abc")
    assert uri.startswith("data:image/png;base64,")
    assert base64.b64decode(uri.split(",")[1]) == b"abc"
