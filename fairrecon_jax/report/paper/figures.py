"""The paper's figures 2 to 20: those that the report draws anyway under the paper's numbers, and
those that it draws for the paper alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from fairrecon_jax.report.figures import comparison, quality, style
from fairrecon_jax.report.figures.drawing import Drawing
from fairrecon_jax.report.paper import drawings
from fairrecon_jax.report.paper.items import Item, Part, Picture
from fairrecon_jax.report.paper.studies import MITIGATIONS, PaperStudy, first_of
from fairrecon_jax.report.paper.tables import NO_STUDY, lacking, of_changes

NAMES = {"xray": "radiographs", "mri": "MRI"}
NO_CHANGES = "fewer than 3 changes of gaps were estimated"
NO_MITIGATION = "nothing was mitigated (config.mitigations)"
NO_SWEEP = "no weight was swept (config.mitigations.<name>.weights)"
NO_LEVELS = "one level was studied (config.degradation.levels)"
NO_PICTURES = (
    "its report holds no such picture: run `fairrecon report` there with report.examples above 0"
)
PANELS = {
    6: ("xray", "degradation_levels", "Degradation at every level"),
    7: ("mri", "degradation_levels", "Degradation at every level"),
    8: ("xray", "example_", "Examples: reconstructions, errors and Grad-CAM"),
    9: ("mri", "example_", "Examples: reconstructions, errors and masks"),
}

READING = {
    "degradation_levels": "The first examples as the measurement leaves them, before any "
    "reconstruction; worse to the right, all on one grey scale.",
    "example_": "Top: the images the diagnosis saw, with its scores, and contours of the true and "
    "the predicted region where there is one. Below: reconstruction minus original, red is too "
    "bright, blue too dark. A last row, where there is one: what the score rests on (Grad-CAM).",
}
"""How to read the pictures of a study's report, by the stem of their files."""


def figures(studies: Sequence[PaperStudy]) -> list[Item]:
    """Figures 2 to 20.

    Args:
      studies: finished studies, at most one of radiographs and one of brain MRI.
    """
    changes = {
        4: ("xray", ("eodd",), "Change of EODD"),
        5: ("mri", ("eodd", "ser"), "Change of EODD and SER"),
        14: ("xray", ("eop",), "Change of equal opportunity"),
        15: ("mri", ("eop",), "Change of equal opportunity"),
        16: ("mri", ("delta_dice",), "Change of Delta-Dice"),
    }
    items = [
        of_each(studies, 2, "Quality and diagnosis against the level", quality.overview, "mean"),
        histogram(studies, 3, "attribute"),
        *(bias(studies, n, *changes[n]) for n in (4, 5)),
        *(pictures(studies, n, *PANELS[n]) for n in PANELS),
        of_each(studies, 10, "Every task against the level", quality.task_performance, "scores"),
        *(sweep(studies, n, m) for n, m in ((11, "xray"), (12, "mri"))),
        mitigated(studies),
        *(bias(studies, n, *changes[n]) for n in (14, 15, 16)),
        pooled_race(studies),
        *(image_quality(studies, n, m) for n, m in ((18, "xray"), (19, "mri"))),
        histogram(studies, 20, "method"),
    ]
    return sorted(items, key=lambda item: item.number)


def named(drawing: Drawing, number: int, study: PaperStudy | None = None) -> Drawing:
    """A drawing under a number of the paper."""
    if study is None:
        return dataclasses.replace(drawing, key=f"figure_{number}", folded=False)
    key, title = f"figure_{number}_{study.modality}", f"{drawing.title}: {study.title}"
    return dataclasses.replace(drawing, key=key, title=title, folded=False)


def of_each(
    studies: Sequence[PaperStudy],
    number: int,
    title: str,
    draw: Callable[..., Drawing | None],
    what: str,
) -> Item:
    """A figure of the report, once per study."""
    parts: list[Part] = []
    missing = list(lacking(studies))
    for study in studies:
        drawing = draw(study.findings)
        if drawing is None:
            missing.append(f"{study.title}: its results hold no row for it")
        else:
            # the caption is that of the study's report, whose sections are not on this page
            caption = drawing.caption.replace(quality.ELSEWHERE, "in figure 10")
            parts.append(named(dataclasses.replace(drawing, caption=caption), number, study))
    sources = tuple(
        s.source(
            "performance",
            metric=("psnr", "auroc", "dice") if what == "mean" else ("auroc", "dice"),
            attribute="(none)",
            version=("original", "reconstructed"),
        )
        for s in studies
    )
    return Item("figure", number, title, tuple(parts), sources, tuple(missing))


def histogram(studies: Sequence[PaperStudy], number: int, by: str) -> Item:
    """Figures 3 and 20: how the changes of all gaps are distributed."""
    title = f"Distribution of the changes of all gaps, by {by}"
    drawing = drawings.histogram(studies, by)
    missing = lacking(studies) + ((NO_CHANGES,) if drawing is None else ())
    parts = () if drawing is None else (named(drawing, number),)
    return Item("figure", number, title, parts, of_changes(studies, "none"), missing)


def bias(
    studies: Sequence[PaperStudy], number: int, modality: str, metrics: tuple[str, ...], title: str
) -> Item:
    """Figures 4, 5, 14, 15 and 16: change of a gap per task, attribute, method and mitigation."""
    title = f"{title} per task and attribute: {NAMES[modality]}"
    study = first_of(studies, modality)
    if study is None:
        return Item("figure", number, title, missing=(NO_STUDY[modality],))
    attributes = [a for a in study.findings.attributes if not a.startswith("race_")]
    return change_of(study, number, title, metrics, attributes)


def pooled_race(studies: Sequence[PaperStudy]) -> Item:
    """Figure 17: change of EODD between pooled groups of race."""
    title = f"Change of EODD between pooled groups of race: {NAMES['xray']}"
    study = first_of(studies, "xray")
    if study is None:
        return Item("figure", 17, title, missing=(NO_STUDY["xray"],))
    codings = [a for a in study.findings.attributes if a.startswith("race_")]
    if not codings:
        why = 'race has one coding: set config.cohort.race = ("six", "pooled"), assess again'
        return Item("figure", 17, title, missing=(why,))
    return change_of(study, 17, title, ("eodd",), codings)


def change_of(
    study: PaperStudy,
    number: int,
    title: str,
    metrics: tuple[str, ...],
    attributes: Sequence[str],
) -> Item:
    """Changes of some gaps by some attributes of one study."""
    source = study.source(
        "fairness",
        version="change",
        metric=metrics,
        attribute=tuple(attributes),
        convention=study.findings.convention,
        level=f"{study.findings.headline_level:g}",
    )
    drawing = drawings.bias_change(study, metrics, attributes)
    if drawing is None:
        names = " and ".join(map(style.metric_name, metrics))
        return Item("figure", number, title, missing=(f"{study.title} has no change of {names}",))
    return Item("figure", number, title, (named(drawing, number),), (source,))


def pictures(
    studies: Sequence[PaperStudy], number: int, modality: str, stem: str, title: str
) -> Item:
    """Figures 6 to 9: pictures that the study's own report has drawn."""
    title = f"{title}: {NAMES[modality]}"
    study = first_of(studies, modality)
    if study is None:
        return Item("figure", number, title, missing=(NO_STUDY[modality],))
    files: list[Path] = sorted((study.folder / "report" / "figures").glob(f"{stem}*.png"))
    if not files and stem == "degradation_levels" and len(study.findings.levels) < 2:
        return Item("figure", number, title, missing=(f"{study.title}: {NO_LEVELS}",))
    if not files:
        return Item("figure", number, title, missing=(f"{study.title}: {NO_PICTURES}",))
    parts = tuple(
        Picture(
            file,
            f"figure_{number}_{place}",
            title,
            f"{READING[stem]} The report of the study says who is shown ({file.name}).",
            f"Picture {file.name} of the report of {study.title}.",
        )
        for place, file in enumerate(files, start=1)
    )
    sources = tuple(str(file) for file in files)
    return Item("figure", number, title, parts, sources)


def sweep(studies: Sequence[PaperStudy], number: int, modality: str) -> Item:
    """Figures 11 and 12: the weight of the term against gap, score and PSNR."""
    title = f"Weight of the equalised-odds term: {NAMES[modality]}"
    study = first_of(studies, modality)
    if study is None:
        return Item("figure", number, title, missing=(NO_STUDY[modality],))
    findings, rows = study.findings, "all rows"
    if (swept := findings.sweep) is not None:
        # other terms may have been swept as well: the names that the paper's tables know
        of_term = swept[swept["sweep"].map(MITIGATIONS) == "EODD"]
        if len(of_term):
            findings = dataclasses.replace(findings, sweep=of_term)
            rows = f"sweep = {' | '.join(of_term['sweep'].unique())}"
        else:
            title = f"Weight of the mitigation's term: {NAMES[modality]}"
    drawing = None if findings.sweep is None else comparison.sweep(findings)
    if drawing is None:
        return Item("figure", number, title, missing=(f"{study.title}: {NO_SWEEP}",))
    source = f"{study.folder / 'results' / 'mitigation_sweep'}.csv: {rows}"
    return Item("figure", number, title, (named(drawing, number, study),), (source,))


def mitigated(studies: Sequence[PaperStudy]) -> Item:
    """Figure 13: change of the diagnosis under mitigation."""
    title = "Change of performance under mitigation, in %"
    drawing = drawings.performance_change(studies)
    plain = [study for study in studies if drawings.costs(study).empty]
    missing = lacking(studies) + tuple(f"{study.title}: {NO_MITIGATION}" for study in plain)
    sources = tuple(
        s.source(
            "performance",
            metric=("psnr", "auroc", "dice"),
            attribute="(none)",
            version="reconstructed",
            level=f"{s.findings.headline_level:g}",
        )
        for s in studies
        if s not in plain
    )
    parts = () if drawing is None else (named(drawing, 13),)
    return Item("figure", 13, title, parts, sources, missing)


def image_quality(studies: Sequence[PaperStudy], number: int, modality: str) -> Item:
    """Figures 18 and 19: PSNR, SSIM and LPIPS against the level."""
    title = f"Image quality against the level: {NAMES[modality]}"
    study = first_of(studies, modality)
    if study is None:
        return Item("figure", number, title, missing=(NO_STUDY[modality],))
    drawing = quality.image_quality(study.findings)
    if drawing is None:
        return Item("figure", number, title, missing=(f"{study.title} has no image metric",))
    source = study.source(
        "performance", metric="all image metrics", attribute="(none)", version="reconstructed"
    )
    return Item("figure", number, title, (named(drawing, number, study),), (source,))
