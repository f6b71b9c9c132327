"""The figures of an audit, for a notebook."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fairrecon_jax.report.figures import forest, groups, panels, verdicts
from fairrecon_jax.report.figures.drawing import Drawing
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings
from fairrecon_jax.types import InputError, meant


class Plots:
    """Figures of an audit, as Matplotlib figures.

    Args:
      findings: what they show.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def __repr__(self) -> str:
        return "Plots(panel(), forest(attribute), groups(attribute), examples(...))"

    def panel(self) -> Figure:
        """The figure to look at first: per finding and attribute the group that stands out.

        Raises:
          InputError: no comparison could be drawn.
        """
        drawing = forest.overview(self._findings)
        if drawing is None:
            maps = verdicts.verdict_maps(self._findings)
            drawing = maps[0] if maps else None
        return _figure([] if drawing is None else [drawing], "", "comparison of groups")

    def forest(self, attribute: str = "") -> Figure:
        """Gaps before and after over the permutation null, and the group that stands out with its
        interval and p-value.

        Args:
          attribute: whose groups; the first if empty.

        Raises:
          InputError: there is no such attribute, or nothing to draw.
        """
        return self._by_attribute(forest.gap_forest, attribute)

    def groups(self, attribute: str = "") -> Figure:
        """The change of every group, with intervals.

        Args:
          attribute: whose groups; the first if empty.

        Raises:
          InputError: there is no such attribute, or nothing to draw.
        """
        drawings = groups.group_changes(self._findings)
        return _figure(drawings, attribute, "change of a group")

    def examples(
        self, original: np.ndarray, degraded: np.ndarray, **reconstructions: np.ndarray
    ) -> Figure:
        """One image as original, degraded and reconstructed, with the error of each.

        Args:
          original: [H, W] in [0, 1].
          degraded: the same.
          **reconstructions: by reconstructor, the same.
        """
        panel = ExamplePanel(
            self._findings.headline_level, original, degraded, dict(reconstructions)
        )
        return _figure(list(panels.drawings(self._findings, [panel], ReportOptions())), "", "image")

    def _by_attribute(self, draw: Any, attribute: str) -> Figure:
        known_names = [*self._findings.attributes, *self._findings.intersections]
        if attribute and attribute not in known_names:
            raise InputError(
                f"no attribute {attribute!r}; there are {', '.join(known_names)}"
                f"{meant(attribute, known_names)}"
            )
        drawn = [draw(self._findings, one) for one in ([attribute] if attribute else known_names)]
        return _figure([one for one in drawn if one is not None], "", "comparison of groups")


def _figure(drawings: list[Drawing], attribute: str, what: str) -> Figure:
    """The first figure, of an attribute where one is named."""
    chosen = [
        one for one in drawings if not attribute or set(one.table["attribute"]) == {attribute}
    ]
    if not chosen:
        raise InputError(f"no {what} could be drawn" + (f" for {attribute!r}" if attribute else ""))
    return chosen[0].figure
