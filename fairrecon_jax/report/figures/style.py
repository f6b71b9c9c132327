"""How things look throughout the report: one colour per reconstructor, one marker per mitigation,
names of metrics and levels.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from fairrecon_jax.inference import GAPS, MITIGATIONS, VERDICTS
from fairrecon_jax.metrics import IMAGE_METRICS
from fairrecon_jax.report.long_tables import DISAGREE
from fairrecon_jax.types import DegradationSpec, MethodTitle

INK = "#222222"
GREY = "#767676"
LIGHT = "#d9d9d9"
NULL = "#cfd6dd"

# colours that readers with any colour vision tell apart (Okabe and Ito); lines and fills repeat the
# distinction in grey
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))
FILLS = ("full", "none", "left", "bottom", "right", "top", "full")
KNOWN = {"unet": 0, "u-net": 0, "mse": 0, "pix2pix": 1, "gan": 1, "irsde": 2, "sde": 2}
MARKERS = {
    "none": "o",
    "reweighting": "s",
    "reweighted": "s",
    "eodd": "D",
    "equalised_odds": "D",
    "adversarial": "^",
    "group_dro": "v",
}
SPARE_MARKERS = ("P", "X", "<", ">", "p", "h")
NAMES = {
    "unet": "U-Net", "u-net": "U-Net", "mse": "U-Net", "pix2pix": "Pix2Pix", "gan": "Pix2Pix",
    "irsde": "IR-SDE", "sde": "SDE", "identity": "degraded image", "none": "no mitigation",
    "reweighting": "reweighting", "reweighted": "reweighting", "eodd": "equalised-odds loss",
    "equalised_odds": "equalised-odds loss", "adversarial": "adversarial",
    "group_dro": "group DRO",
}  # fmt: skip
PLACES = {NAMES[name]: place for name, place in KNOWN.items()}
"""Where a method stands among the known ones, by its title."""
METRICS = {
    "auroc": "AUROC", "dice": "Dice", "sensitivity": "sensitivity", "specificity": "specificity",
    "brier": "Brier score", "calibration_error": "calibration error",
    "threshold": "decision threshold", "eodd": "EODD", "eop": "EOP", "ser": "SER",
    "delta_dice": "Delta-Dice",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Look:
    """How one reconstructor is drawn."""

    color: str
    line: Any
    fill: str
    name: str


def looks(
    reconstructors: Iterable[str], methods: Mapping[str, MethodTitle] | None = None
) -> dict[str, Look]:
    """Assigns each reconstructor its colour, line and fill; known ones always get the same.

    Args:
      reconstructors: names in order of appearance.
      methods: what they are called, by name; the others are called as `method_of` knows.

    Returns:
      Name -> Look, in the same order.
    """
    names, methods = list(dict.fromkeys(reconstructors)), methods or {}
    titles = titles_of(names, methods)
    taken = {KNOWN[n.lower()] for n in names if n.lower() in KNOWN}
    free = [i for i in range(len(OKABE_ITO)) if i not in taken]
    # colours that no known method has come first, so that a variant never looks like an absent one
    spare = iter(sorted(free, key=lambda i: i in KNOWN.values()) * (1 + len(names)))
    used: set[int] = set()
    result = {}
    for name in names:
        # grey, as it is no method
        if is_degraded(name, methods):
            result[name] = Look(GREY, ":", "bottom", titles[name])
            continue
        index = KNOWN.get(name.lower(), -1)
        # two spellings of one method in a study: the second takes a colour of its own
        if index < 0 or index in used:
            index = next(spare)
        used.add(index)
        result[name] = Look(OKABE_ITO[index], LINES[index], FILLS[index], titles[name])
    return result


def method_of(name: str, methods: Mapping[str, MethodTitle]) -> MethodTitle:
    """What a reconstructor is called: as given, else as its usual name says, else by its name."""
    return methods.get(name) or MethodTitle(NAMES.get(name.lower(), name))


def is_degraded(name: str, methods: Mapping[str, MethodTitle]) -> bool:
    """Whether a reconstructor hands on the degraded image: as given, else where it is called
    "identity".
    """
    return methods[name].degraded if name in methods else name.lower() == "identity"


def titles_of(names: Iterable[str], methods: Mapping[str, MethodTitle]) -> dict[str, str]:
    """A title for each name: the method, with its detail where several share it, and with the name
    where that is shared too.
    """
    called = {name: method_of(name, methods) for name in names}
    count = collections.Counter(method.title for method in called.values())
    titles = {
        name: f"{method.title} ({method.detail})"
        if method.detail and count[method.title] > 1
        else method.title
        for name, method in called.items()
    }
    # again, with the details: two networks may agree in these too
    count = collections.Counter(titles.values())
    return {
        name: f"{title} [{name}]" if count[title] > 1 else title for name, title in titles.items()
    }


def rank(name: str, methods: Mapping[str, MethodTitle]) -> tuple[bool, int, bool]:
    """Order of a reconstructor: known methods first, each followed by its variants, then others;
    the degraded image last.
    """
    place = PLACES.get(method_of(name, methods).title, len(PLACES))
    return is_degraded(name, methods), place, name.lower() not in KNOWN


def markers(mitigations: Iterable[str]) -> dict[str, str]:
    """Assigns each mitigation its marker; "none" is a disc."""
    # markers repeat after six; the legend names them all the same
    spare = iter(SPARE_MARKERS * 9)
    return {m: MARKERS.get(m.lower()) or next(spare) for m in dict.fromkeys(mitigations)}


def metric_name(metric: str) -> str:
    """The name of a metric as a reader sees it."""
    if metric.startswith("gap_"):
        return f"gap in {metric_name(metric[4:])}"
    if metric.startswith("worst_group_"):
        return f"{metric_name(metric[12:])} of the worst-off group"
    if metric in IMAGE_METRICS:
        return IMAGE_METRICS[metric].title
    return METRICS.get(metric, metric.replace("_", " "))


def level_name(level: float, degradation: DegradationSpec) -> str:
    """A level short enough for a tick: "8×" for an acceleration, "10,000" for a photon count."""
    if not degradation.is_named:
        return "not named"
    if not math.isfinite(level):
        return "any level"
    number = f"{level:,.0f}" if level >= 1000 else f"{level:g}"
    # a symbol that begins with a blank is a word, too long for a tick
    return number + ("" if degradation.symbol.startswith(" ") else degradation.symbol)


def level_short(level: float, degradation: DegradationSpec) -> str:
    """A level short enough for a heading, yet with its unit: "8×", "10,000 photons"."""
    words = level_name(level, degradation)
    known = degradation.is_named and math.isfinite(level)
    return words + (degradation.symbol if known and degradation.symbol.startswith(" ") else "")


def level_phrase(level: float, degradation: DegradationSpec) -> str:
    """A level as it stands in a sentence."""
    return f"{degradation.unit} {level_name(level, degradation)}"


def mitigation_name(mitigation: str) -> str:
    """A mitigation as a reader sees it."""
    return NAMES.get(mitigation.lower(), mitigation)


VERDICT_SIGNS = {"harmed": "▼", "favoured": "△"}
"""Filled and hollow, so that they differ in print; no colour, which belongs to the methods."""
MITIGATION_SIGNS = {"helped": "△", "harmed": "▼", "favoured": "△"}
GAP_SIGNS = {"widened": "↔", "narrowed": "→←", "reversed": "⇄", "same": "="}
SIGNS = "▼ harmed, △ favoured"
OVERALL = {
    "lower": "in all patients together the value fell by more than chance explains",
    "higher": "in all patients together the value rose by more than chance explains",
}
"""Verdicts on the diagnosis in all patients together and what they say."""
SEEDS = {DISAGREE: "the seeds of the study gave different verdicts"}


def definitions() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every word that a verdict can be, as (heading, [(word with its sign, sentence)]); each once.

    A word that says of mitigations what it says elsewhere is not repeated.
    """
    mitigations = {w: s for w, s in MITIGATIONS.items() if VERDICTS.get(w) != s}
    lists: tuple[tuple[str, Mapping[str, str], Mapping[str, str]], ...] = (
        ("Verdicts on a group beside the others", VERDICTS, VERDICT_SIGNS),
        ("What became of the gap", GAPS, GAP_SIGNS),
        ("Verdicts on a mitigation", mitigations, MITIGATION_SIGNS),
        ("Verdicts on all patients together", OVERALL, {}),
        ("Over several seeds", SEEDS, {}),
    )
    return [
        (title, [(f"{signs.get(w, '')} {w}".strip(), says) for w, says in words.items()])
        for title, words, signs in lists
    ]


def verdict_sign(verdict: str) -> str:
    """The sign of a verdict in figures and tables: a filled triangle down for harmed, a hollow one
    up for favoured.
    """
    return VERDICT_SIGNS.get(verdict, "")


def gap_sign(gap: str) -> str:
    """The sign of what became of a gap: arrows apart, towards each other, crossing."""
    return GAP_SIGNS.get(gap, "")
