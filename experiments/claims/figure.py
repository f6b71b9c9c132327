"""One figure of the claims: image quality and diagnosis, spreads, gaps, mitigations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims.judge import gap_changes, interval, mitigated, plain
from experiments.claims.measure import Measured
from fairrecon_jax.report.figures import style

GREY = style.GREY


def figure(measured: Measured, path: Path) -> None:
    """Draws the figure as a PNG."""
    drawing = Figure(figsize=(9, 6.4), layout="constrained", dpi=110)
    panels = drawing.subplots(2, 2).ravel()
    _quality(panels[0], measured)
    _spread(panels[1], measured)
    _gaps(panels[2], measured)
    _mitigations(panels[3], measured)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path)


def _quality(axes: Axes, measured: Measured) -> None:
    """(a): PSNR against the change of AUROC, a mark per cell."""
    looks = style.looks(dict.fromkeys(cell.reconstructor for cell in measured.cells))
    change = np.nanmean(measured.auroc - measured.auroc_before[:, None], -1)
    for name, look in looks.items():
        own = [k for k in plain(measured) if measured.cells[k].reconstructor == name]
        x, y = measured.quality["psnr"][:, own], change[:, own]
        low, high = np.percentile(y[1:], (2.5, 97.5), 0)
        error = np.maximum([y[0] - low, high - y[0]], 0)
        axes.errorbar(x[0], y[0], error, fmt="o-", color=look.color, label=look.name, lw=0.9)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set(title="(a) image quality and diagnosis", xlabel="PSNR (dB)")
    axes.set_ylabel("change of the mean AUROC")
    axes.legend(frameon=False)


def _spread(axes: Axes, measured: Measured) -> None:
    """(b): all changes of AUROC and of EODD, and those of groups drawn at random."""
    cells = plain(measured)
    auroc = (measured.auroc[0] - measured.auroc_before[0])[cells]
    parts = {
        "AUROC": auroc,
        "EODD": gap_changes(measured)[0],
        "EODD, random groups": measured.shuffled[:20, cells],
    }
    values = [v[np.isfinite(v)] for v in parts.values()]
    axes.boxplot(values, orientation="horizontal", tick_labels=list(parts), widths=0.6)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set(title="(b) spread of the changes", xlabel="change from the original")


def _gaps(axes: Axes, measured: Measured) -> None:
    """(c): the gap on originals against the gap after reconstruction."""
    after = measured.eodd[0, plain(measured)]
    before = np.broadcast_to(measured.eodd_before[0], after.shape)
    for a, name in enumerate(measured.attributes):
        axes.plot(before[..., a].ravel(), after[..., a].ravel(), "os^D"[a % 4], label=name, ms=4)
    top = float(np.nanmax([np.nanmax(before), np.nanmax(after)])) * 1.05
    axes.plot((0, top), (0, top), color=GREY, lw=0.8)
    axes.set(title="(c) gap before and after", xlabel="EODD on originals")
    axes.set_ylabel("EODD on reconstructions")
    axes.legend(frameon=False)


def _mitigations(axes: Axes, measured: Measured) -> None:
    """(d): the mean gap that each mitigation leaves, less the unmitigated one."""
    pairs = mitigated(measured)
    axes.set(title="(d) mitigations", xlabel="change of the mean EODD")
    if not pairs:
        axes.text(0.5, 0.5, "none in this study", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    for place, (k, base) in enumerate(pairs):
        change = np.nanmean((measured.eodd[:, k] - measured.eodd[:, base]).reshape(
            len(measured.eodd), -1), 1)  # fmt: skip
        value, low, high = interval(change)
        axes.plot((low, high), (place, place), color=style.INK, lw=1)
        axes.plot(value, place, "o", color=style.INK)
    names = [f"{measured.cells[k].mitigation}, {measured.cells[k].reconstructor}" for k, _ in pairs]
    axes.set_yticks(range(len(pairs)), names)
    axes.axvline(0, color=GREY, lw=0.8)
