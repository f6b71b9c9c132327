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
from fairrecon_jax.report.options import ExamplePanel, ReportOptions
from fairrecon_jax.report.select import Findings, known

TRUTH = "#E69F00"
FOUND = "#56B4E9"
ERRORS = "RdBu_r"
HEAT = "inferno"
VEIL = 0.65  # opacity of a Grad-CAM map where it is strongest
LADDER = 3  # examples in the figure of the levels


def drawings(
    findings: Findings, examples: Sequence[ExamplePanel], options: ReportOptions
) -> list[Drawing]:
    """The levels of degradation, then one figure per example, up to the number the options allow,
    all error maps on one scale.
    """
    chosen = list(examples)[: options.max_examples]
    reach = error_reach(chosen)
    found = [d for d in (ladder(findings, chosen),) if d is not None]
    return found + [draw(findings, panel, i + 1, reach, options) for i, panel in enumerate(chosen)]


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
    return max(float(np.percentile(np.concatenate(errors), 99.5)), 0.01) if errors else 0.01


def draw(
    findings: Findings, panel: ExamplePanel, number: int, reach: float, options: ReportOptions
) -> Drawing:
    """The figure of one example."""
    place = {name: i for i, name in enumerate(findings.reconstructors)}
    made = sorted(
        panel.reconstructions.items(),
        key=lambda item: place.get(item[0].partition(" + ")[0], len(place)),
    )
    versions: list[tuple[str, np.ndarray]] = [
        ("original", panel.original),
        ("degraded", panel.degraded),
        *made,
    ]
    height, width = flat(panel.original).shape
    cell = WIDTH / max(len(versions), 4)
    letters = 150 // max(len(versions), 4)
    tasks = shown_tasks(findings, panel)
    rows = 2 + bool(panel.attention_task)
    with canvas(
        0.75 + rows * (cell * height / width + 0.05) + 0.14 * len(tasks),
        min(cell * len(versions), WIDTH),
    ) as figure:
        grid = figure.subplots(rows, len(versions), squeeze=False)
        for j, (name, image) in enumerate(versions):
            picture(grid[0, j], panel, name, image)
            grid[0, j].set_title(wrap(title(findings, name, panel), 2 * letters // 3), fontsize=8)
            grid[0, j].set_xlabel(
                score_words(findings, panel, name, tasks, letters), fontsize=6.4, linespacing=1.25
            )
            error_map(grid[1, j], panel, image if j else None, reach)
            if panel.attention_task:
                attention(grid[2, j], findings, panel, name, image)
        colour_bar(
            grid[1, 0],
            mpl.colors.Normalize(-reach, reach),
            ERRORS,
            (signed(-reach), "0", signed(reach)),
            ERROR_WORDS,
        )
        if panel.attention_task:
            words = (
                f"Grad-CAM: what speaks for\n{wrap(findings.task_title(panel.attention_task), 24)}"
            )
            colour_bar(grid[2, 1], mpl.colors.Normalize(0, 1), HEAT, ("none", "", "most"), words)
        legend_of_masks(figure, panel)
    level = style.level_phrase(panel.level, findings.spec.degradation)
    who = [panel.caption] if panel.caption else []
    who += [panel.identifier] if options.identifiers and panel.identifier else []
    caption = (
        f"{'; '.join(who) + '. ' if who else ''}Degraded at {level}. Top: the images the "
        "diagnosis saw, with "
        "its scores; contours are the true and "
        "the found region where there is one. Bottom: reconstruction minus original, on "
        "one scale for "
        "all examples: red is too bright, blue "
        "too dark." + (f" {attention_words(findings, panel)}" if panel.attention_task else "")
    )
    alt = (
        f"Example {number} at {level}: original, degraded and reconstructed image with error maps. "
        + spoken(findings, panel, tasks)
    )
    return Drawing(
        f"example_{number:02d}",
        f"Example {number}",
        caption,
        alt,
        figure,
        score_table(findings, panel, number),
    )


def title(findings: Findings, name: str, panel: ExamplePanel) -> str:
    """The heading of one column."""
    if name == "degraded":
        return f"degraded, {style.level_short(panel.level, findings.spec.degradation)}"
    stem, _, mitigation = name.partition(" + ")
    look = findings.looks.get(stem)
    return (
        name
        if look is None
        else look.name + (f" + {style.mitigation_name(mitigation)}" if mitigation else "")
    )


def picture(axes: Axes, panel: ExamplePanel, name: str, image: np.ndarray) -> None:
    """One image in grey over the range of the original, with contours of the true and the found
    mask.
    """
    axes.imshow(flat(image), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    found = panel.mask_original if name == "original" else panel.masks_reconstructed.get(name)
    for mask, color, line in ((panel.truth, TRUTH, "-"), (found, FOUND, "--")):
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
    axes.imshow(
        flat(image) - flat(panel.original),
        cmap=ERRORS,
        vmin=-reach,
        vmax=reach,
        interpolation="nearest",
    )
    axes.set_xlabel(f"PSNR {psnr_words(panel, image)}", fontsize=6.4)


def bare(axes: Axes) -> None:
    """Takes ticks and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def attention(
    axes: Axes, findings: Findings, panel: ExamplePanel, name: str, image: np.ndarray
) -> None:
    """The Grad-CAM map of one version over its image; nothing under the degraded image, which was
    not diagnosed.
    """
    bare(axes)
    heat = (
        panel.attention_original if name == "original" else panel.attention_reconstructed.get(name)
    )
    if heat is None:
        return
    axes.imshow(flat(image), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    strength = np.clip(flat(heat) / (attention_reach(panel) or 1.0), 0, 1)
    axes.imshow(
        strength, cmap=HEAT, vmin=0.0, vmax=1.0, alpha=VEIL * strength, interpolation="bilinear"
    )
    scores = (
        panel.scores_original if name == "original" else panel.scores_reconstructed.get(name, {})
    )
    value = scores.get(panel.attention_task, math.nan)
    score = f"score {value:.2f}" if known(value) else "score n.e."
    axes.set_xlabel(
        score if flat(heat).max() > 0 else f"{score},\nnothing speaks for it", fontsize=6.4
    )


def attention_reach(panel: ExamplePanel) -> float:
    """The largest value of an example's Grad-CAM maps."""
    maps = [
        m
        for m in (panel.attention_original, *panel.attention_reconstructed.values())
        if m is not None
    ]
    return max((float(flat(m).max()) for m in maps), default=0.0)


def attention_words(findings: Findings, panel: ExamplePanel) -> str:
    """How to read the Grad-CAM maps, as the end of a caption."""
    return (
        "Last row: where the classifier finds what speaks for "
        f"{findings.task_title(panel.attention_task)}, the diagnosis whose score "
        "moved most, made in at least one image if any is (Grad-CAM), on one scale for "
        "the example and as coarse as its last layer. "
        "It shows what the score rests on, not where disease is."
    )


def ladder(findings: Findings, examples: Sequence[ExamplePanel]) -> Drawing | None:
    """The first examples at every level of degradation, mildest first (paper: figures 6 and 7)."""
    chosen = [panel for panel in examples if panel.degraded_levels][:LADDER]
    levels = [
        v
        for v in findings.spec.degradation.levels
        if any(v in panel.degraded_levels for panel in chosen)
    ]
    if len(levels) < 2:
        return None
    cell = WIDTH / max(1 + len(levels), 4)
    records: list[dict[str, Any]] = []
    with canvas(0.3 + len(chosen) * (cell + 0.15), cell * (1 + len(levels))) as figure:
        grid = figure.subplots(len(chosen), 1 + len(levels), squeeze=False)
        for i, (line, panel) in enumerate(zip(grid, chosen, strict=True), 1):
            line[0].imshow(
                flat(panel.original), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest"
            )
            for axes, level in zip(line[1:], levels, strict=True):
                if (image := panel.degraded_levels.get(level)) is not None:
                    axes.imshow(
                        flat(image), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest"
                    )
                    axes.set_xlabel(f"PSNR {psnr_words(panel, image)}", fontsize=6.4)
                    records.append(
                        {
                            "example": i,
                            "level": level,
                            "psnr": psnr_words(panel, image).removesuffix(" dB"),
                        }
                    )
            for axes in line:
                bare(axes)
        for axes, words in zip(
            grid[0],
            ["original", *(style.level_phrase(v, findings.spec.degradation) for v in levels)],
            strict=True,
        ):
            axes.set_title(wrap(words, 26), fontsize=8)
    caption = (
        "The first examples as the measurement leaves them, before any reconstruction; worse "
        "to the right, all on one grey scale."
    )
    alt = f"{len(chosen)} test images, each as original and degraded at " + ", ".join(
        style.level_phrase(v, findings.spec.degradation) for v in levels
    )
    return Drawing(
        "degradation_levels",
        "What degradation does to an image",
        caption,
        f"{alt}.",
        figure,
        pd.DataFrame(records),
    )


def psnr_words(panel: ExamplePanel, image: np.ndarray) -> str:
    """PSNR of an image against the original of its panel: "31.2 dB", "∞" where they are equal."""
    error = float(np.mean((flat(image) - flat(panel.original)) ** 2))
    return f"{-10 * math.log10(error):.1f} dB" if error > 0 else "∞"


ERROR_WORDS = "image − original\n(share of the full range)"


def colour_bar(
    axes: Axes, norm: mpl.colors.Normalize, colours: str, ticks: tuple[str, str, str], words: str
) -> None:
    """A scale in an empty cell, with its ends and middle named and words above it."""
    bare(axes)
    place = axes.inset_axes((0.04, 0.5, 0.92, 0.07))
    bar = axes.figure.colorbar(
        mpl.cm.ScalarMappable(norm, mpl.colormaps[colours]), cax=place, orientation="horizontal"
    )
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    bar.set_ticks([low, (low + high) / 2, high], labels=list(ticks))
    bar.ax.tick_params(labelsize=6.5, length=0 if "" in ticks else 2.5)
    bar.outline.set_visible(False)
    axes.text(0.5, 0.64, words, transform=axes.transAxes, ha="center", va="bottom", fontsize=6.8)


def legend_of_masks(figure: Figure, panel: ExamplePanel) -> None:
    """Names the contours where there are any."""
    handles = []
    if panel.truth is not None:
        handles.append(Line2D([], [], color=TRUTH, label="true region"))
    if panel.mask_original is not None or panel.masks_reconstructed:
        handles.append(
            Line2D([], [], color=FOUND, linestyle="--", label="region found in this image")
        )
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


def score_words(
    findings: Findings, panel: ExamplePanel, name: str, tasks: list[str], letters: int
) -> str:
    """The scores printed under one image, `letters` to a line; the original also says what is true,
    the degraded image has none.
    """
    if name == "degraded":
        return ""
    scores = (
        panel.scores_original if name == "original" else panel.scores_reconstructed.get(name, {})
    )
    lines = []
    for task in tasks:
        value = scores.get(task, math.nan)
        spec = findings.task(task)
        if spec is not None and spec.kind == "segmentation":
            lines.append(
                f"{findings.task_title(task)}: Dice {value:.2f}"
                if known(value)
                else f"{findings.task_title(task)}: Dice n.e."
            )
            continue
        truth = (
            {1.0: " (present)", 0.0: " (absent)"}.get(
                panel.labels.get(task, math.nan), " (unknown)"
            )
            if name == "original"
            else ""
        )
        cut = panel.thresholds.get(task, math.nan)
        call = (" +" if value >= cut else " −") if known(value, cut) else ""
        lines.append(
            f"{findings.task_title(task)}: {value:.2f}{call}{truth}"
            if known(value)
            else f"{findings.task_title(task)}: n.e."
        )
    return "\n".join(wrap(line, letters) for line in lines)


def spoken(findings: Findings, panel: ExamplePanel, tasks: list[str]) -> str:
    """The printed scores in words."""
    parts = []
    for task in tasks:
        before = panel.scores_original.get(task, math.nan)
        after = [
            f"{title(findings, name, panel)} {scores[task]:.2f}"
            for name, scores in panel.scores_reconstructed.items()
            if known(scores.get(task, math.nan))
        ]
        parts.append(
            f"{findings.task_title(task)}: original {before:.2f}" + "".join(f", {a}" for a in after)
        )
    return "; ".join(parts)


def score_table(findings: Findings, panel: ExamplePanel, number: int) -> pd.DataFrame:
    """All scores of one example, one row per task and version."""
    records: list[dict[str, Any]] = []
    for name, scores in {"original": panel.scores_original, **panel.scores_reconstructed}.items():
        for task, value in scores.items():
            common = {
                "example": number,
                "level": panel.level,
                "version": name,
                "task": task,
                "value": value,
            }
            records.append(
                {
                    **common,
                    "label": panel.labels.get(task, math.nan),
                    "threshold": panel.thresholds.get(task, math.nan),
                }
            )
    return pd.DataFrame(
        records, columns=["example", "level", "version", "task", "value", "label", "threshold"]
    )
