"""The scores of an example panel: which are printed, their text, and the table of all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from fairrecon_jax.report.figures import style
from fairrecon_jax.report.figures.drawing import wrap
from fairrecon_jax.report.options import ExamplePanel
from fairrecon_jax.report.select import Findings, known

DEGRADED = ""
"""The degraded image among the versions of an example: a name that no reconstructor has."""


def title(findings: Findings, name: str, panel: ExamplePanel) -> str:
    """The heading of one column."""
    if name == DEGRADED:
        if not findings.spec.degradation.is_named:
            return "degraded"
        return f"degraded, {style.level_short(panel.level, findings.spec.degradation)}"
    look = findings.looks.get(name)
    return name if look is None else look.name


def scores_of(panel: ExamplePanel, name: str) -> Mapping[str, float]:
    """Scores of the original or of a reconstruction by task; empty where there are none."""
    return panel.scores_original if name == "original" else panel.scores_reconstructed.get(name, {})


def shown_tasks(findings: Findings, panel: ExamplePanel, most: int = 4) -> list[str]:
    """The tasks whose scores are printed: those that any reconstruction moved most."""
    largest = {}
    for task in findings.spec.tasks:
        before = panel.scores_original.get(task.name, math.nan)
        after = [scores.get(task.name, math.nan) for scores in panel.scores_reconstructed.values()]
        changes = [abs(a - before) for a in after if known(a, before)]
        # a task without any score is not shown at all
        if changes or known(before):
            largest[task.name] = max(changes, default=0.0)
    # chosen by the change, but printed in the usual order, as readers compare examples
    # stable: of equal changes the first in the order of the study
    shown = sorted(largest, key=lambda name: -largest[name])[:most]
    return [t.name for t in findings.spec.tasks if t.name in shown]


def score_text(
    findings: Findings, panel: ExamplePanel, name: str, tasks: list[str], letters: int
) -> str:
    """The scores printed under one image, `letters` to a line; the original also states the truth,
    the degraded image was not diagnosed and has none.
    """
    if name == DEGRADED:
        return ""
    scores = scores_of(panel, name)
    lines = [
        f"{findings.task_title(task)}: "
        + one_score(findings, panel, task, scores.get(task, math.nan), name == "original")
        for task in tasks
    ]
    return "\n".join(wrap(line, letters) for line in lines)


def one_score(
    findings: Findings, panel: ExamplePanel, task: str, value: float, with_truth: bool
) -> str:
    """One score: "Dice 0.70"; of a finding with its decision and, where asked for, the truth."""
    number = f"{value:.2f}" if known(value) else "n.e."
    spec = findings.task(task)
    if spec is not None and spec.kind == "segmentation":
        return f"Dice {number}"
    if not known(value):
        return number
    threshold = panel.thresholds.get(task, math.nan)
    # at the threshold counts as positive, as in the assessment
    decision = (" +" if value >= threshold else " −") if known(threshold) else ""
    truths = {1.0: " (present)", 0.0: " (absent)"}
    truth = truths.get(panel.labels.get(task, math.nan), " (unknown)") if with_truth else ""
    return f"{number}{decision}{truth}"


def alt_text(findings: Findings, panel: ExamplePanel, tasks: list[str]) -> str:
    """The printed scores as an alternative text."""
    parts = []
    for task in tasks:
        before = panel.scores_original.get(task, math.nan)
        after = [
            f", {title(findings, name, panel)} {scores[task]:.2f}"
            for name, scores in panel.scores_reconstructed.items()
            if known(scores.get(task, math.nan))
        ]
        parts.append(f"{findings.task_title(task)}: original {before:.2f}" + "".join(after))
    return "; ".join(parts)


def score_table(findings: Findings, panel: ExamplePanel, number: int) -> pd.DataFrame:
    """All scores of one example, one row per task and version."""
    records: list[dict[str, Any]] = [
        {
            "example": number,
            "level": panel.level,
            "version": name,
            "task": task,
            "value": value,
            "label": panel.labels.get(task, math.nan),
            "threshold": panel.thresholds.get(task, math.nan),
        }
        for name in ("original", *panel.scores_reconstructed)
        for task, value in scores_of(panel, name).items()
    ]
    return pd.DataFrame(
        records, columns=["example", "level", "version", "task", "value", "label", "threshold"]
    )
