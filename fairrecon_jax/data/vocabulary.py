"""Words for yes and no, for the parts of the data and for the sexes, in the languages of tables."""

from __future__ import annotations

from collections.abc import Iterable

from fairrecon_jax.runtime.nothing import is_standin

POSITIVE = frozenset("1 1.0 yes y true t positive pos present +".split())
NEGATIVE = frozenset("0 0.0 no n false f negative neg absent".split())
"""Words for a label that need no declaration, in small letters."""
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
PAIRS = (
    ("ja", "nein"),
    ("j", "n"),
    ("ja", "nee"),
    ("ja", "nej"),
    ("oui", "non"),
    ("o", "n"),
    ("si", "no"),
    ("sí", "no"),
    ("sì", "no"),
    ("s", "n"),
    ("sim", "não"),
    ("sim", "nao"),
    ("tak", "nie"),
    ("evet", "hayır"),
    ("да", "нет"),
    ("有", "无"),
    ("是", "否"),
    ("positiv", "negativ"),
    ("positif", "négatif"),
    ("positif", "negatif"),
    ("positivo", "negativo"),
    ("wahr", "falsch"),
    ("vrai", "faux"),
    ("verdadero", "falso"),
    ("vero", "falso"),
    ("vorhanden", "nicht vorhanden"),
    ("auffällig", "unauffällig"),
    ("pathologisch", "unauffällig"),
    ("krank", "gesund"),
    ("abnormal", "normal"),
    ("malignant", "benign"),
    ("diseased", "healthy"),
    ("+", "-"),
)
"""Words for positive and negative that mean it where nothing else stands in a column."""
SEXES = {
    "female": ("f", "female", "w", "weiblich", "femme", "féminin", "mujer", "donna", "vrouw"),
    "male": ("m", "male", "männlich", "maennlich", "homme", "masculin", "hombre", "uomo", "man"),
}


def yes_and_no(words: Iterable[str]) -> tuple[list[str], list[str]] | None:
    """The words of a column as (positive, negative) where they say yes and no; None elsewhere.

    Args:
      words: the distinct ones, as they are written.

    Example:
      >>> yes_and_no(["Ja", "nein"]), yes_and_no(["0", "1"]), yes_and_no(["M", "F"])
      ((['Ja'], ['nein']), (['1'], ['0']), None)
    """
    written = sorted(words)
    lower = {word.casefold() for word in written}
    sides: tuple[frozenset[str], frozenset[str]] | None = None
    if lower <= POSITIVE | NEGATIVE and lower & POSITIVE and lower & NEGATIVE:
        sides = POSITIVE, NEGATIVE
    else:
        pair = next((pair for pair in PAIRS if lower == set(pair)), None)
        sides = None if pair is None else (frozenset(pair[:1]), frozenset(pair[1:]))
    if sides is None:
        return None
    positive, negative = ([word for word in written if word.casefold() in one] for one in sides)
    return positive, negative


def label_words(words: Iterable[str]) -> dict[str, list[str]] | None:
    """What a label's entry declares of the words of a column of yes and no; None elsewhere.

    Example:
      >>> label_words(["No", "Yes"]), label_words(["ja", "nein", "9"]), label_words(["a", "b"])
      ({}, {'positive': ['ja'], 'negative': ['nein'], 'unknown': ['9']}, None)
    """
    written = sorted(words)
    codes = [word for word in written if no_label(word)]
    sides = yes_and_no(word for word in written if word not in codes)
    if sides is None:
        return None
    usual = {word.casefold() for side in sides for word in side} <= POSITIVE | NEGATIVE
    found = {} if usual else dict(zip(("positive", "negative"), sides, strict=True))
    return {**found, "unknown": codes} if codes else found


def no_label(word: str) -> bool:
    """Whether a word beside yes and no is a code for neither."""
    return is_standin(word) or word in ("9", "99")


def sexes(words: Iterable[str]) -> dict[str, list[str]]:
    """The words of women and of men; empty where one of the two is missing.

    Example:
      >>> sexes(["m", "w", "d"]), sexes(["a", "m"])
      ({'female': ['w'], 'male': ['m']}, {})
    """
    written = sorted(words)
    found = {
        sex: [word for word in written if word.casefold() in known] for sex, known in SEXES.items()
    }
    return found if all(found.values()) else {}
