"""Vega-Lite charts of the page; the page fills their data, called "rows"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fairrecon_jax.report.figures import style

COLOURS = {"range": list(style.OKABE_ITO)}
UNIT = {
    "scale": {"domain": [0, 1]},
    "axis": {"values": [0, 0.2, 0.4, 0.6, 0.8, 1], "format": ".1f"},
}
"""From 0 to 1, with labels that find room at any width."""
SCHEMA = {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "data": {"name": "rows"}}


def charts() -> dict[str, Mapping[str, Any]]:
    """The Vega-Lite charts by name; the page fills their data "rows"."""
    return {
        "groups": _groups(), "levels": _levels(), "roc": _roc(), "calibration": _calibration(),
    }  # fmt: skip


def _axis(field: str, title: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, **more}


def _tooltip(*fields: tuple[str, str, str]) -> list[dict[str, str]]:
    types = {"": "nominal", ".3f": "quantitative", ",d": "quantitative"}
    return [
        {"field": field, "title": title, "type": types[form], **({"format": form} if form else {})}
        for field, title, form in fields
    ]


def _layered(width: Any, height: Any, layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {**SCHEMA, "width": width, "height": height, "layer": list(layers)}


def _groups() -> dict[str, Any]:
    """Every group before and after."""
    y = {"field": "group", "type": "nominal", "title": None, "sort": None}
    tip = _tooltip(
        ("group", "group", ""), ("before", "original", ".3f"), ("after", "reconstructed", ".3f"),
        ("low", "from", ".3f"), ("high", "to", ".3f"), ("n", "patients or images", ",d"),
    )  # fmt: skip
    change: dict[str, Any] = {"mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.35}}
    x2 = {"x": _axis("before", "", **UNIT), "x2": {"field": "after"}, "y": y}
    band = {"x": _axis("low", "", **UNIT), "x2": {"field": "high"}, "y": y}
    marks: list[dict[str, Any]] = [
        change | {"encoding": x2},
        {"mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": band},
        {
            "mark": {"type": "tick", "thickness": 3, "size": 18},
            "encoding": {"x": _axis("before", "", **UNIT), "y": y, "tooltip": tip},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
            "encoding": {
                "x": _axis("after", "", **UNIT),
                "y": y,
                "tooltip": tip,
                "color": {"value": COLOURS["range"][0]},
            },
        },
    ]
    return _layered("container", {"step": 34}, marks)


def _levels() -> dict[str, Any]:
    """Every group against the level."""
    x = {"field": "level", "type": "ordinal", "title": None, "sort": None}
    color = {"field": "group", "type": "nominal", "title": None, "scale": COLOURS}
    shape = {"field": "group", "type": "nominal", "title": None}
    tip = _tooltip(
        ("group", "group", ""), ("level", "level", ""), ("after", "rate", ".3f"),
        ("low", "from", ".3f"), ("high", "to", ".3f"), ("n", "patients or images", ",d"),
    )  # fmt: skip
    ends = {"x": x, "y": _axis("low", "", **UNIT), "y2": {"field": "high"}, "color": color}
    y = _axis("after", "", **UNIT)
    return _layered(
        "container",
        190,
        [
            {"mark": {"type": "area", "opacity": 0.12}, "encoding": ends},
            {"mark": {"type": "line"}, "encoding": {"x": x, "y": y, "color": color}},
            {
                "mark": {"type": "point", "filled": True, "size": 60},
                "encoding": {"x": x, "y": y, "color": color, "shape": shape, "tooltip": tip},
            },
        ],
    )


def _curve(x: str, y: str, order: str, tip: list[dict[str, str]]) -> dict[str, Any]:
    """Lines of groups, originals dashed."""
    dash = {
        "field": "version",
        "type": "nominal",
        "title": None,
        # without width and fill the symbols of lines that carry points stay empty
        "legend": {
            "symbolType": "stroke",
            "symbolStrokeColor": style.GREY,
            "symbolStrokeWidth": 2,
            "symbolFillColor": style.GREY,
        },
        "scale": {"domain": ["original", "reconstructed"], "range": [[4, 3], [1, 0]]},
    }
    color = {"field": "group", "type": "nominal", "title": None, "scale": COLOURS}
    line = {
        "mark": {"type": "line", "interpolate": order, "point": {"size": 28}},
        "encoding": {
            "x": _axis("x", x, **UNIT),
            "y": _axis("y", y, **UNIT),
            "color": color,
            "strokeDash": dash,
            "tooltip": tip,
        },
    }
    diagonal = {
        "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        "mark": {"type": "line", "color": "#888", "strokeWidth": 0.8},
        "encoding": {"x": _axis("x", x), "y": _axis("y", y)},
    }
    return _layered("container", 260, [diagonal, line])


def _roc() -> dict[str, Any]:
    """ROC before and after."""
    tip = _tooltip(
        ("group", "group", ""), ("version", "image", ""), ("x", "false-positive rate", ".3f"),
        ("y", "sensitivity", ".3f"),
    )  # fmt: skip
    return _curve("false-positive rate", "sensitivity", "step-after", tip)


def _calibration() -> dict[str, Any]:
    """Calibration before and after."""
    tip = _tooltip(
        ("group", "group", ""), ("version", "image", ""), ("x", "mean score", ".3f"),
        ("y", "share with the finding", ".3f"), ("n", "patients or images", ",d"),
    )  # fmt: skip
    return _curve("mean score", "share with the finding", "linear", tip)
