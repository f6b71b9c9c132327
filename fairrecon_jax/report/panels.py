"""Example panels: original, degraded and reconstructed images with masks as contours, scores, and signed error maps below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fairrecon_jax.report import style
from fairrecon_jax.report.drawing import WIDTH, Drawing, canvas, signed, wrap
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings, known

TRUTH = "#E69F00"
FOUND = "#56B4E9"
ERRORS = "RdBu_r"


def drawings(findings: Findings, examples: Sequence[ExamplePanel], options: ReportOptions) -> list[Drawing]:
    """One figure per example, up to the number the options allow, all error maps on one scale."""
    chosen = list(examples)[: options.max_examples]
    reach = error_reach(chosen)
    return [draw(findings, panel, i + 1, reach, options) for i, panel in enumerate(chosen)]


def flat(image: np.ndarray) -> np.ndarray:
    """[H, W] float of an image [H, W] or [H, W, 1]."""
    array = np.asarray(image, dtype=np.float64)
    return array[..., 0] if array.ndim == 3 else array


def error_reach(examples: Sequence[ExamplePanel]) -> float:
    """The symmetric range of all error maps: the 99.5th percentile of the absolute errors of the reconstructions, at least 0.01."""
    errors = [np.abs(flat(image) - flat(p.original)).ravel() for p in examples for image in p.reconstructions.values()]
    return max(float(np.percentile(np.concatenate(errors), 99.5)), 0.01) if errors else 0.01


def draw(findings: Findings, panel: ExamplePanel, number: int, reach: float, options: ReportOptions) -> Drawing:
    """The figure of one example."""
    versions: list[tuple[str, np.ndarray]] = [("original", panel.original), ("degraded", panel.degraded), *panel.reconstructions.items()]
    height, width = flat(panel.original).shape
    cell = WIDTH / max(len(versions), 4)
    letters = 150 // max(len(versions), 4)
    tasks = shown_tasks(findings, panel)
    with canvas(0.75 + 2 * cell * height / width + 0.14 * len(tasks), cell * len(versions) if len(versions) < 4 else WIDTH) as figure:
        grid = figure.subplots(2, len(versions), squeeze=False)
        for j, (name, image) in enumerate(versions):
            picture(grid[0, j], panel, name, image)
            grid[0, j].set_title(title(findings, name, panel), fontsize=8)
            grid[0, j].set_xlabel(score_words(findings, panel, name, tasks, letters), fontsize=6.4, linespacing=1.25)
            error_map(grid[1, j], panel, image if j else None, reach)
        colour_bar(grid[1, 0], reach)
        legend_of_masks(figure, panel)
    level = style.level_phrase(panel.level, findings.spec.degradation)
    who = [panel.caption] if panel.caption else []
    who += [panel.identifier] if options.identifiers and panel.identifier else []
    caption = (
        f"{'; '.join(who) + '. ' if who else ''}Degraded at {level}. Top: the images the diagnosis saw, with "
        "its scores; contours are the true and "
        "the found region where there is one. Bottom: reconstruction minus original, on one scale for "
        "all examples: red is too bright, blue "
        "too dark."
    )
    alt = f"Example {number} at {level}: original, degraded and reconstructed image with error maps. " + spoken(findings, panel, tasks)
    return Drawing(f"example_{number:02d}", f"Example {number}", caption, alt, figure, score_table(findings, panel, number))


def title(findings: Findings, name: str, panel: ExamplePanel) -> str:
    """The heading of one column."""
    if name == "degraded":
        return f"degraded, {style.level_name(panel.level, findings.spec.degradation)}"
    stem, _, mitigation = name.partition(" + ")
    look = findings.looks.get(stem)
    words = name if look is None else look.name + (f" + {style.mitigation_name(mitigation)}" if mitigation else "")
    return wrap(words, 24)


def picture(axes: Axes, panel: ExamplePanel, name: str, image: np.ndarray) -> None:
    """One image in grey over the range of the original, with contours of the true and the found mask."""
    axes.imshow(flat(image), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    found = panel.mask_original if name == "original" else panel.masks_reconstructed.get(name)
    for mask, color, line in ((panel.truth, TRUTH, "-"), (found, FOUND, "--")):
        if mask is not None and 0 < flat(mask).mean() < 1:
            axes.contour(flat(mask), levels=[0.5], colors=[color], linewidths=1.1, linestyles=[line])
    bare(axes)


def error_map(axes: Axes, panel: ExamplePanel, image: np.ndarray | None, reach: float) -> None:
    """The signed difference to the original; nothing under the original itself."""
    bare(axes)
    if image is None:
        return
    axes.imshow(flat(image) - flat(panel.original), cmap=ERRORS, vmin=-reach, vmax=reach, interpolation="nearest")
    error = float(np.mean((flat(image) - flat(panel.original)) ** 2))
    axes.set_xlabel("PSNR " + (f"{-10 * math.log10(error):.1f} dB" if error > 0 else "∞"), fontsize=6.4)


def bare(axes: Axes) -> None:
    """Takes ticks and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def colour_bar(axes: Axes, reach: float) -> None:
    """The scale of the error maps, in the empty cell under the original."""
    place = axes.inset_axes((0.04, 0.5, 0.92, 0.07))
    norm = mpl.colors.Normalize(-reach, reach)
    bar = axes.figure.colorbar(mpl.cm.ScalarMappable(norm, mpl.colormaps[ERRORS]), cax=place, orientation="horizontal")
    bar.set_ticks([-reach, 0.0, reach], labels=[signed(-reach), "0", signed(reach)])
    bar.ax.tick_params(labelsize=6.5)
    bar.outline.set_visible(False)
    axes.text(0.5, 0.64, "image − original\n(share of the full range)", transform=axes.transAxes, ha="center", va="bottom", fontsize=6.8)


def legend_of_masks(figure: Figure, panel: ExamplePanel) -> None:
    """Names the contours where there are any."""
    handles = []
    if panel.truth is not None:
        handles.append(Line2D([], [], color=TRUTH, label="true region"))
    if panel.mask_original is not None or panel.masks_reconstructed:
        handles.append(Line2D([], [], color=FOUND, linestyle="--", label="region found in this image"))
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=2)


def shown_tasks(findings: Findings, panel: ExamplePanel, most: int = 4) -> list[str]:
    """The tasks whose scores are printed: those that any reconstruction moved most."""
    moved = {}
    for task in findings.spec.tasks:
        before = panel.scores_original.get(task.name, math.nan)
        after = [scores.get(task.name, math.nan) for scores in panel.scores_reconstructed.values()]
        changes = [abs(a - before) for a in after if known(a, before)]
        if changes or known(before):
            moved[task.name] = max(changes, default=0.0)
    best = sorted(moved, key=lambda name: -moved[name])[:most]
    return [t.name for t in findings.spec.tasks if t.name in best]


def score_words(findings: Findings, panel: ExamplePanel, name: str, tasks: list[str], letters: int) -> str:
    """The scores printed under one image, `letters` to a line; the original also says what is true, the degraded image has none."""
    if name == "degraded":
        return ""
    scores = panel.scores_original if name == "original" else panel.scores_reconstructed.get(name, {})
    lines = []
    for task in tasks:
        value = scores.get(task, math.nan)
        spec = findings.task(task)
        if spec is not None and spec.kind == "segmentation":
            lines.append(f"{findings.task_title(task)}: Dice {value:.2f}" if known(value) else f"{findings.task_title(task)}: Dice n.e.")
            continue
        truth = {1.0: " (present)", 0.0: " (absent)"}.get(panel.labels.get(task, math.nan), " (unknown)") if name == "original" else ""
        cut = panel.thresholds.get(task, math.nan)
        call = (" +" if value >= cut else " −") if known(value, cut) else ""
        lines.append(f"{findings.task_title(task)}: {value:.2f}{call}{truth}" if known(value) else f"{findings.task_title(task)}: n.e.")
    return "\n".join(wrap(line, letters) for line in lines)


def spoken(findings: Findings, panel: ExamplePanel, tasks: list[str]) -> str:
    """The printed scores in words."""
    parts = []
    for task in tasks:
        before = panel.scores_original.get(task, math.nan)
        after = [f"{name} {scores[task]:.2f}" for name, scores in panel.scores_reconstructed.items() if known(scores.get(task, math.nan))]
        parts.append(f"{findings.task_title(task)}: original {before:.2f}" + "".join(f", {a}" for a in after))
    return "; ".join(parts)


def score_table(findings: Findings, panel: ExamplePanel, number: int) -> pd.DataFrame:
    """All scores of one example, one row per task and version."""
    records: list[dict[str, Any]] = []
    for name, scores in {"original": panel.scores_original, **panel.scores_reconstructed}.items():
        for task, value in scores.items():
            common = {"example": number, "level": panel.level, "version": name, "task": task, "value": value}
            records.append({**common, "label": panel.labels.get(task, math.nan), "threshold": panel.thresholds.get(task, math.nan)})
    return pd.DataFrame(records, columns=["example", "level", "version", "task", "value", "label", "threshold"])
