"""What stands for nothing in tables: words, codes of numbers, names of nobody, impossible ages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

NOTHING = frozenset(
    "nan -nan <na> nat null (null) <null> [null] \\n nil n/a (blank) #n/a #null! #ref! #value! "
    "#div/0! #name? #num! #error! 1.#ind -1.#ind 1.#qnan".split()
)
"""Words that programs write for an empty cell, in small letters."""
DOUBTFUL = frozenset(("na", "none"))
"""Words that are groups (Native American, no smoking) and, in other tables, missing."""
UNSAID = re.compile(
    r"unspecified|undisclosed|missing|[?.\-–—_*]+|not (reported|available|recorded|specified|"
    r"known|stated|applicable)|.*\b(refused|declined to answer|unknown)|"
    r"prefer not to (say|answer)|n\.a\.|unk|unbekannt|keine angabe|k\. ?a\.|inconnue?|"
    r"non renseignée?|desconocid[oa]|sconosciut[oa]|onbekend",
    re.IGNORECASE,
)
"""Words by which a record says that it does not know."""
STANDINS = re.compile(r"-(?:1|[789]|[789]{2,}|9{2,})|[789]{3,}|9{3,}")
"""Numbers by which tables say that they have none."""
NOBODY = re.compile(rf"0+|{STANDINS.pattern}")
"""The same among names of patients."""
COMPOUND = re.compile(r"(?<=[a-z])(?=[A-Z])")
AGE = re.compile(
    r"(?:^|[^a-zà-ÿ])(?:ages?|alter|âge|edad|età|idade|leeftijd)(?:$|[^a-zà-ÿ])|"
    r"(?:patient|subject|donor|scan|study|exam)s?age(?:$|[^a-z])|(?:^|[^a-z])age(?:at|in|on)"
)
OTHER_UNIT = re.compile(
    r"(?:^|[^a-z])(?:days?|weeks?|months?|tagen?|wochen|monaten?|jours|mois|meses|d[ií]as)(?:$|[^a-z])"
)
"""Units of an age that is not in years."""
AGES = (0.0, 120.0)
"""Plausible years: 0 and values above 120 stand for a missing age."""
FAR = 3.0
"""How many times the largest of all others a value is that may be a code."""


def no_group(word: str) -> bool:
    """Whether a word says that no group is known.

    Example:
      >>> [no_group(word) for word in ("NaN", "#REF!", "Patient refused", ".", "NA", "Nancy")]
      [True, True, True, True, False, False]
    """
    return word.lower() in NOTHING or UNSAID.fullmatch(word) is not None


def no_value(word: str) -> bool:
    """Whether a word is no number, no label, no patient and no image; NA and None are none.

    Example:
      >>> no_value("NA"), no_value("-"), no_value("Naomi")
      (True, True, False)
    """
    return word.lower() in DOUBTFUL or no_group(word)


def is_standin(word: str) -> bool:
    """Whether a word is a number that often stands for no value.

    Example:
      >>> is_standin("-9"), is_standin("999"), is_standin("9")
      (True, True, False)
    """
    return STANDINS.fullmatch(word) is not None


def lonely_codes(groups: Iterable[str]) -> set[str]:
    """Among groups that are codes, a 9 (or 99, 8, 88) that does not go on from the others.

    Example:
      >>> lonely_codes(["1", "2", "9"]), lonely_codes(["7", "8", "9"]), lonely_codes(["F", "9"])
      ({'9'}, set(), set())
    """
    numbers = {word: int(word) for word in groups if re.fullmatch(r"\d{1,3}", word)}
    if len(numbers) < len(set(groups)):
        return set()
    return {
        word
        for word, number in numbers.items()
        if re.fullmatch(r"9+|8+", word)
        and all(other == number or other < number - 1 for other in numbers.values())
    }


def nobody(images: Mapping[str, int]) -> list[str]:
    """Names that may stand for a missing patient: negative codes, and others such as 0 or 999 that
    have more images than every patient beside them.

    Args:
      images: by patient the number of images.

    Example:
      >>> nobody({"0": 40, "7": 2, "8": 3}), nobody({"0": 2, "1": 2}), nobody({"-1": 1, "7": 2})
      (['0'], [], ['-1'])
    """
    coded = [name for name in images if NOBODY.fullmatch(name)]
    most = max((count for name, count in images.items() if name not in coded), default=0)
    return [name for name in coded if name.startswith("-") or images[name] > FAR * most > 0]


def is_age(*names: str) -> bool:
    """Whether one of the names of a number says that it is an age in years.

    Example:
      >>> [is_age(name) for name in ("ageAtScan", "PatientAge", "Alter", "dosage", "ageDays")]
      [True, True, True, False, False]
    """
    spelt = [COMPOUND.sub("_", name).lower() for name in names]
    return any(AGE.search(name) for name in spelt) and not any(map(OTHER_UNIT.search, spelt))


def impossible_ages(years: np.ndarray) -> np.ndarray:
    """Which numbers are no age in years; unknown ones are not among them."""
    return (years <= AGES[0]) | (years > AGES[1])


def far_codes(values: np.ndarray) -> list[float]:
    """Codes for "no value" that stand far from all other numbers.

    A value like the others needs no word: -9 among other negative numbers, 999 near 950.

    Example:
      >>> far_codes(np.array([22.5, 30.0, 999.0])), far_codes(np.array([950.0, 999.0]))
      ([999.0], [])
    """
    known = values[np.isfinite(values)]
    codes = [v for v in np.unique(known) if is_standin(f"{v:g}")]
    others = known[~np.isin(known, codes)]
    if not codes or not len(others):
        return []
    low, high = others.min(), max(others.max(), 0)
    return [float(v) for v in codes if (v < 0 <= low) or v > FAR * high]


def in_words(words: Mapping[Any, int]) -> str:
    """Words that stood for nothing, as they stand in a count; "" without any.

    Example:
      >>> in_words({"nan": 3, "-": 1})
      " ('nan' 3 times, '-' 1 times)"
    """
    shown = [f"{word!r} {count} times" for word, count in list(words.items())[:5]]
    return f" ({', '.join(shown)})" if shown else ""
