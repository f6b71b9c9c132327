"""Laws that start from rows of images, through the package's own tables: scores given the label,
AUROC, labels missing at random, attributes of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.calibration.laws import Cohorts, Draw, Law, Rng
from experiments.calibration.scores import Model, Scores, draw_scores
from fairrecon_jax.inference.changes import (
    Changes,
    auroc_changes,
    decision_changes,
    score_changes,
)


def _model(loss: Sequence[float], prevalence: float, images: int = 1) -> Model:
    """Two groups alike on originals; the finding is overlooked, and half as many false alarms."""
    alike = (0.0, 0.0)
    return Model((prevalence,) * 2, images, alike, loss, 0.5, (0.8, 0.8))


def _rows(found: Scores, group: np.ndarray) -> tuple[np.ndarray, ...]:
    """Scores [K, N] of originals and reconstructions, label, group and patient [N]."""
    taken = found.taken[:, 0]
    patient = np.broadcast_to(np.arange(len(group))[:, None], taken.shape)[taken]
    original, reconstructed = (
        np.moveaxis(v, 1, 0)[:, taken].astype(float) for v in (found.original, found.reconstructed)
    )
    return original, reconstructed, found.label[:, 0][taken] * 1.0, group[patient], patient


def _of_kind(kind: str, *rows: np.ndarray, groups: int) -> Changes:
    """Changes of decisions, scores or AUROCs."""
    original, reconstructed, *rest = rows
    if kind == "decisions":
        return decision_changes(
            (original > 0) * 1.0, (reconstructed > 0) * 1.0, *rest, groups=groups
        )
    function = score_changes if kind == "scores" else auroc_changes
    return function(original, reconstructed, *rest, groups=groups)


def of_rows(
    kind: str,
    model: Model,
    missing: float = 0.0,
    per_image: bool = False,
    digits: int | None = None,
) -> Draw:
    """Changes of one kind of a model of scores.

    Args:
      kind: "decisions", "scores" or "auroc".
      model: of the scores.
      missing: share of labels that are missing at random.
      per_image: the attribute is the image's: a patient has images in both groups.
      digits: scores are rounded.
    """

    def draw(rng: Rng, group: np.ndarray, cohorts: int) -> Cohorts:
        found = draw_scores(model, rng, group, cohorts)
        original, reconstructed, label, own, patient = _rows(found, group)
        if per_image:
            own = (rng.random(len(own)) < 0.4).astype(int)
        if digits is not None:
            original, reconstructed = np.round(original, digits), np.round(reconstructed, digits)
        if missing:
            label = np.where(rng.random(original.shape) < missing, np.nan, label)
        changes = _of_kind(kind, original, reconstructed, label, own, patient, groups=2)
        labels = changes.original.shape[1]
        known = model.change() if kind == "decisions" else np.nan
        # where both groups lose alike no change differs, of whatever
        alike = np.ptp(np.asarray(model.loss)) == 0
        truth = np.broadcast_to(0.0 if alike else known, (labels, 2))
        return Cohorts(changes, truth)

    return draw


def _pair(
    name: str, sizes: tuple[int, int], harm: float, kind: str, **options: object
) -> list[Law]:
    """A null and the law with harm to the second group."""
    prevalence = float(options.pop("prevalence", 0.2))  # type: ignore[arg-type]
    laws: list[Law] = []
    for loss, harmed in ((0.0, None), (harm, 1)):
        what = f"{harm} sd" if loss else "no harm"
        title = f"{kind}{name}, {sizes[0]} / {sizes[1]}, {what}"
        draw = of_rows(kind, _model((0.0, loss), prevalence), **options)  # type: ignore[arg-type]
        laws.append(Law(title, sizes, draw, harmed, (laws[0].name,) if laws else ()))
    return laws


def laws() -> list[Law]:
    """All laws of the section."""
    found = [
        law
        for sizes in ((150, 150), (1000, 1000))
        for kind in ("decisions", "scores")
        for law in _pair("", sizes, 0.25, kind)
    ]
    found += _pair(", 20% of labels missing", (300, 100), 0.8, "decisions", missing=0.2)
    found += _pair(", rounded", (150, 60), 0.6, "scores", digits=0)
    found += _pair(", 10% with the finding", (150, 150), 0.5, "auroc", prevalence=0.1)
    found += _pair(", 20% with the finding", (500, 100), 0.4, "auroc")
    for kind in ("decisions", "scores"):
        found.append(
            Law(
                f"{kind}, attribute of the image, 200 patients of 1-4 images, common loss",
                (200,),
                of_rows(kind, Model((0.2,), 4, (0.0,), (0.3,), 0.5, (0.8,)), per_image=True),
            )
        )
    return found
