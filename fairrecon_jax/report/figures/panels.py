"""Example panels: original, degraded and reconstructed images with masks, scores, error maps and
Grad-CAM; the levels of degradation.
"""

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

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import WIDTH, Drawing, canvas, signed, wrap
from fairrecon_jax.report.figures.panel_scores import (
    DEGRADED,
    alt_text,
    score_table,
    score_text,
    scores_of,
    shown_tasks,
    title,
)
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings, known

TRUTH = "#E69F00"
PREDICTED = "#56B4E9"
ERRORS = "RdBu_r"
HEAT = "inferno"
VEIL = 0.65
"""Opacity of a Grad-CAM map where it is strongest."""
LADDER = 3
"""Examples in the figure of the levels."""
GRAY_IMAGE: Any = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0, "interpolation": "nearest"}
ERROR_LABEL = "image − original\n(share of the full range)"


def drawings(
    findings: Findings, examples: Sequence[ExamplePanel], options: ReportOptions
) -> list[Drawing]:
    """The levels of degradation, then one figure per example, up to the number the options allow,
    all error maps on one scale.
    """
    chosen = list(examples)[: options.max_examples]
    reach = error_reach(chosen)
    levels = ladder(findings, chosen)
    figures = [draw(findings, panel, i + 1, reach, options) for i, panel in enumerate(chosen)]
    return figures if levels is None else [levels, *figures]


def flat(image: np.ndarray) -> np.ndarray:
    """[H, W] float of an image [H, W] or [H, W, 1]."""
    array = np.asarray(image, dtype=np.float64)
    return array[..., 0] if array.ndim == 3 else array


def error_reach(examples: Sequence[ExamplePanel]) -> float:
    """The symmetric range of all error maps: the 99.5th percentile of the absolute errors of the
    reconstructions, at least 0.01.
    """
    errors = [
        np.abs(flat(image) - flat(p.original)).ravel()
        for p in examples
        for image in p.reconstructions.values()
    ]
    # a percentile: single pixels at an edge would make all else pale
    return max(float(np.percentile(np.concatenate(errors), 99.5)), 0.01) if errors else 0.01


def versions_of(findings: Findings, panel: ExamplePanel) -> list[tuple[str, np.ndarray]]:
    """Original, degraded image where it is known, and reconstructions in the order of the
    report.
    """
    rank = {name: i for i, name in enumerate(findings.reconstructors)}
    reconstructions = sorted(
        panel.reconstructions.items(),
        key=lambda item: rank.get(item[0], len(rank)),
    )
    degraded = [] if panel.degraded is None else [(DEGRADED, panel.degraded)]
    return [("original", panel.original), *degraded, *reconstructions]


def draw(
    findings: Findings, panel: ExamplePanel, number: int, reach: float, options: ReportOptions
) -> Drawing:
    """The figure of one example."""
    versions = versions_of(findings, panel)
    height, width = flat(panel.original).shape
    # two or three images are not blown up to the width of the page
    column = WIDTH / max(len(versions), 4)
    tasks = shown_tasks(findings, panel)
    rows = 2 + bool(panel.attention_task)
    with canvas(
        0.75 + rows * (column * height / width + 0.05) + 0.14 * len(tasks),
        min(column * len(versions), WIDTH),
    ) as figure:
        grid = figure.subplots(rows, len(versions), squeeze=False)
        draw_images(grid, findings, panel, versions, tasks)
        for j, (_, image) in enumerate(versions):
            # under the original there is no error, and room for the scale
            error_map(grid[1, j], panel, image if j else None, reach)
        # symmetric, so that white means no error
        limits = (signed(-reach), "0", signed(reach))
        colour_bar(grid[1, 0], mpl.colors.Normalize(-reach, reach), ERRORS, limits, ERROR_LABEL)
        if panel.attention_task:
            draw_attention(grid, findings, panel, versions)
        legend_of_masks(figure, panel)
    level = style.level_phrase(panel.level, findings.spec.degradation)
    named = findings.spec.degradation.is_named
    measured = f"Degraded at {level}. " if named else ""
    who = [panel.caption, panel.identifier if options.identifiers else ""]
    about = "; ".join(filter(None, who))
    contours = (
        "; contours are the true and the predicted region where there is one"
        if findings.spec.segmentation_tasks
        else ""
    )
    caption = (
        f"{about[:1].upper() + about[1:] + '. ' if about else ''}{measured}Top: the images the "
        f"diagnosis saw, with its scores{contours}. Bottom: reconstruction minus original, on one "
        "scale for all examples: red is too bright, blue too dark."
        + (f" {attention_caption(findings, panel)}" if panel.attention_task else "")
    )
    alt = (
        f"Example {number}{f' at {level}' if named else ''}: original, "
        f"{'degraded ' if panel.degraded is not None else ''}and reconstructed image with error "
        "maps. " + alt_text(findings, panel, tasks)
    )
    table = score_table(findings, panel, number)
    return Drawing(f"example_{number:02d}", f"Example {number}", caption, alt, figure, table)


def draw_images(
    grid: np.ndarray,
    findings: Findings,
    panel: ExamplePanel,
    versions: list[tuple[str, np.ndarray]],
    tasks: list[str],
) -> None:
    """The images of the first line with headings and scores."""
    letters = 150 // max(len(versions), 4)  # that fit under one image
    for axes, (name, image) in zip(grid[0], versions, strict=True):
        picture(axes, panel, name, image)
        axes.set_title(wrap(title(findings, name, panel), 2 * letters // 3), fontsize=8)
        axes.set_xlabel(
            score_text(findings, panel, name, tasks, letters), fontsize=6.4, linespacing=1.25
        )


def picture(axes: Axes, panel: ExamplePanel, name: str, image: np.ndarray) -> None:
    """One image in grey over the range of the original, with contours of the true and the predicted
    mask.
    """
    axes.imshow(flat(image), **GRAY_IMAGE)
    predicted = panel.mask_original if name == "original" else panel.masks_reconstructed.get(name)
    for mask, color, line in ((panel.truth, TRUTH, "-"), (predicted, PREDICTED, "--")):
        # a mask of one value has no contour, and Matplotlib would warn
        if mask is not None and 0 < flat(mask).mean() < 1:
            axes.contour(
                flat(mask), levels=[0.5], colors=[color], linewidths=1.1, linestyles=[line]
            )
    bare(axes)


def error_map(axes: Axes, panel: ExamplePanel, image: np.ndarray | None, reach: float) -> None:
    """The signed difference to the original; nothing under the original itself."""
    bare(axes)
    if image is None:
        return
    error = flat(image) - flat(panel.original)
    # nearest: blurring would cancel errors of opposite sign
    axes.imshow(error, cmap=ERRORS, vmin=-reach, vmax=reach, interpolation="nearest")
    axes.set_xlabel(f"PSNR {psnr_text(panel, image)}", fontsize=6.4)


def bare(axes: Axes) -> None:
    """Takes ticks and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def draw_attention(
    grid: np.ndarray,
    findings: Findings,
    panel: ExamplePanel,
    versions: list[tuple[str, np.ndarray]],
) -> None:
    """The Grad-CAM maps of all versions in the last line, with their scale under the degraded
    image; where there is none, below the other scale.
    """
    for axes, (name, image) in zip(grid[2], versions, strict=True):
        attention(axes, panel, name, image)
    task = wrap(findings.task_title(panel.attention_task), 24)
    label = f"Grad-CAM: evidence for\n{task}"
    place, at = (grid[1, 0], 0.08) if panel.degraded is None else (grid[2, 1], 0.5)
    colour_bar(place, mpl.colors.Normalize(0, 1), HEAT, ("none", "", "most"), label, at)


def attention(axes: Axes, panel: ExamplePanel, name: str, image: np.ndarray) -> None:
    """The Grad-CAM map of one version over its image; nothing under the degraded image, which was
    not diagnosed.
    """
    bare(axes)
    heat = (
        panel.attention_original if name == "original" else panel.attention_reconstructed.get(name)
    )
    if heat is None:
        return
    axes.imshow(flat(image), **GRAY_IMAGE)
    # no evidence anywhere: 0 / 1 instead of 0 / 0
    strength = np.clip(flat(heat) / (attention_reach(panel) or 1.0), 0, 1)
    axes.imshow(
        strength, cmap=HEAT, vmin=0.0, vmax=1.0, alpha=VEIL * strength, interpolation="bilinear"
    )
    value = scores_of(panel, name).get(panel.attention_task, math.nan)
    score = f"score {value:.2f}" if known(value) else "score n.e."
    axes.set_xlabel(
        score if flat(heat).max() > 0 else f"{score},\nno evidence for it", fontsize=6.4
    )


def attention_reach(panel: ExamplePanel) -> float:
    """The largest value of an example's Grad-CAM maps."""
    maps = [panel.attention_original, *panel.attention_reconstructed.values()]
    return max((float(flat(m).max()) for m in maps if m is not None), default=0.0)


def attention_caption(findings: Findings, panel: ExamplePanel) -> str:
    """How to read the Grad-CAM maps, as the end of a caption."""
    return (
        "Last row: where the classifier finds evidence for "
        f"{findings.task_title(panel.attention_task)}, the diagnosis whose score "
        "moved most, made in at least one image if any is (Grad-CAM), on one scale for "
        "the example and as coarse as its last layer. It shows what the score rests on, not "
        "where disease is."
    )


def ladder(findings: Findings, examples: Sequence[ExamplePanel]) -> Drawing | None:
    """The first examples at every level of degradation, mildest first (paper: figures 6 and 7)."""
    chosen = [panel for panel in examples if panel.degraded_levels][:LADDER]
    degradation = findings.spec.degradation
    levels = [v for v in degradation.levels if any(v in p.degraded_levels for p in chosen)]
    if len(levels) < 2:
        return None
    names = [style.level_phrase(v, degradation) for v in levels]
    column = WIDTH / max(1 + len(levels), 4)
    records: list[dict[str, Any]] = []
    with canvas(0.3 + len(chosen) * (column + 0.15), column * (1 + len(levels))) as figure:
        grid = figure.subplots(len(chosen), 1 + len(levels), squeeze=False)
        for i, (line, panel) in enumerate(zip(grid, chosen, strict=True), 1):
            line[0].imshow(flat(panel.original), **GRAY_IMAGE)
            for axes, level in zip(line[1:], levels, strict=True):
                if (image := panel.degraded_levels.get(level)) is not None:
                    psnr = psnr_text(panel, image)
                    axes.imshow(flat(image), **GRAY_IMAGE)
                    axes.set_xlabel(f"PSNR {psnr}", fontsize=6.4)
                    records.append({"example": i, "level": level, "psnr": psnr.removesuffix(" dB")})
            for axes in line:
                bare(axes)
        for axes, heading in zip(grid[0], ["original", *names], strict=True):
            axes.set_title(wrap(heading, 26), fontsize=8)
    caption = (
        "The first examples as the measurement leaves them, before any reconstruction; worse "
        "to the right, all on one grey scale."
    )
    return Drawing(
        "degradation_levels",
        "What degradation does to an image",
        caption,
        f"{len(chosen)} test images, each as original and degraded at {', '.join(names)}.",
        figure,
        pd.DataFrame(records),
    )


def psnr_text(panel: ExamplePanel, image: np.ndarray) -> str:
    """PSNR of an image against the original of its panel: "31.2 dB", "∞" where they are equal."""
    error = float(np.mean((flat(image) - flat(panel.original)) ** 2))
    # the range is 1, so that PSNR is the error alone
    return f"{-10 * math.log10(error):.1f} dB" if error > 0 else "∞"


def colour_bar(
    axes: Axes,
    norm: mpl.colors.Normalize,
    colours: str,
    ticks: tuple[str, str, str],
    label: str,
    at: float = 0.5,
) -> None:
    """A scale in a panel without image, at a height in [0, 1], its ends and middle named, the label
    above it.
    """
    bare(axes)
    place = axes.inset_axes((0.04, at, 0.92, 0.07))
    bar = axes.figure.colorbar(
        mpl.cm.ScalarMappable(norm, mpl.colormaps[colours]), cax=place, orientation="horizontal"
    )
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    bar.set_ticks([low, (low + high) / 2, high], labels=list(ticks))
    bar.ax.tick_params(labelsize=6.5, length=0 if "" in ticks else 2.5)
    bar.outline.set_visible(False)
    axes.text(
        0.5, at + 0.14, label, transform=axes.transAxes, ha="center", va="bottom", fontsize=6.8
    )


def legend_of_masks(figure: Figure, panel: ExamplePanel) -> None:
    """Names the contours where there are any."""
    handles = []
    if panel.truth is not None:
        handles.append(Line2D([], [], color=TRUTH, label="true region"))
    if panel.mask_original is not None or panel.masks_reconstructed:
        handles.append(
            Line2D([], [], color=PREDICTED, linestyle="--", label="region predicted in this image")
        )
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=2)
