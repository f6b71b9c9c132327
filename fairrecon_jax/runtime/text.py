"""Names that users give: one normal form to compare them by, pairs that look alike, and file names
made from them.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

LONGEST = 60
"""Letters of a name that a file keeps; a digest of the whole name stands behind them."""
LONGEST_FILE = 150
"""Bytes of an image's name that its file keeps; file systems take 255 with everything around it."""
FORBIDDEN = frozenset('\\:*?"<>|')
KEPT = frozenset("\u200c\u200d")
"""Joiners, which change letters of Persian and of Indian scripts and are no decoration there."""
LETTERS = str.maketrans(
    "АВЕЅІЈКМНОРСТХаеѕіјорсухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",
    "ABESIJKMHOPCTXaesijopcyxABEZHIKMNOPTYXo",
)
"""Cyrillic and Greek letters that are drawn as Latin ones."""
MARKS = re.compile(r"(?<!\d)[ _]|[ _](?!\d)|(?<=[^\W\d])-(?=\w)|(?<=\w)-(?=[^\W\d])")
"""What stands between the words of a name; between two numbers it counts, as 1_11 is not 11_1."""
WHOLE = re.compile(r"([+-]?\d+)\.0*")


def normal(name: str) -> str:
    """The form by which names are compared: Unicode NFC, without invisible characters, every run of
    white space one blank, none around it.

    Example:
      >>> normal(" Zu\u0308rich\u00a0 West\ufeff ")
      'Zürich West'
    """
    # most names: nothing to do, and tables have many
    if name.isascii() and name.isprintable() and "  " not in name:
        return name.strip()
    composed = unicodedata.normalize("NFC", name)
    visible = (c for c in composed if c in KEPT or c.isspace() or not _is_invisible(c))
    return " ".join("".join(visible).split())


def _is_invisible(character: str) -> bool:
    """Control and format characters: zero-width spaces, direction marks, byte order marks."""
    return unicodedata.category(character) in ("Cc", "Cf")


def name_of(value: object) -> str:
    """A value as a name in its normal form; a whole number without a decimal point, written or not.

    Example:
      >>> name_of(12.0), name_of("12.0"), name_of(" p 1 "), name_of("2.1")
      ('12', '12', 'p 1', '2.1')
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    name = normal(str(value))
    whole = WHOLE.fullmatch(name)
    return whole[1] if whole else name


def alike(name: str) -> str:
    """What a reader sees of a name: without case, width, alphabet, blanks and hyphens of words, and
    without the zeros before and the `.0` behind a whole number. Names of one look may be one thing
    twice.

    Example:
      >>> alike("white") == alike("White"), alike("007") == alike("7.0"), alike("2.1") == alike("2")
      (True, True, False)
      >>> alike("P-07") == alike("p07"), alike("1-2") == alike("12")
      (True, False)
    """
    if not name.isascii():
        name = unicodedata.normalize("NFKC", normal(name)).translate(LETTERS)
    name = MARKS.sub("", name.casefold())
    number = name[: -len(ending[0]) + len(ending[1])] if (ending := WHOLE.fullmatch(name)) else name
    return number.lstrip("0") or "0" if number.isdigit() else name


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ and look alike, see `alike`; in order.

    Example:
      >>> look_alikes(["F", "M", "f"])
      [('F', 'f')]
    """
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        found.setdefault(alike(name), []).append(name)
    return [tuple(same) for same in found.values() if len(same) > 1]


def file_stem(name: str) -> str:
    """A name as part of a file's name: small letters of any alphabet, digits, underscores.

    Two names may share a stem; `Stems` tells them apart.

    Example:
      >>> file_stem("sex x Größe & <b>"), file_stem("性别"), file_stem("")
      ('sex_x_größe____b', '性别', 'unnamed')
    """
    lower = unicodedata.normalize("NFC", normal(name).lower())
    short = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else "_" for c in lower)
    short = short.strip("_") or "unnamed"
    if len(short) <= LONGEST:
        return short
    return f"{short[:LONGEST]}_{hashlib.sha256(lower.encode()).hexdigest()[:8]}"


def file_of(name: str) -> str:
    """A name of an image as the name of its file, without ending; "/" becomes "__".

    A digest stands behind it where another name could give the same file, where a file system has
    no such name, or where it is too long for one.

    Example:
      >>> file_of("exam 1/003"), file_of("exam 1__003")
      ('exam 1__003', 'exam 1__003-f7f06599')
    """
    flat = normal(name).replace("/", "__")
    shown = "".join("_" if c in FORBIDDEN else c for c in flat).strip(". ")
    short = shown.encode()[:LONGEST_FILE].decode(errors="ignore")
    # only what is written back as it was given keeps its name bare
    if short.replace("__", "/") == name:
        return short
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class Stems:
    """File names of one folder, none twice: what would be written over another file gets a number.

    Example:
      >>> stems = Stems()
      >>> stems.of("groups_m_nnlich"), stems.of("groups_m_nnlich"), stems.of("Groups_M_nnlich")
      ('groups_m_nnlich', 'groups_m_nnlich_2', 'Groups_M_nnlich_3')
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, key: str) -> str:
        """The key, with a number behind it where an earlier one was the same to a file system."""
        number, name = 1, key
        while self._seen(name) in self._taken:
            number += 1
            name = f"{key}_{number}"
        self._taken.add(self._seen(name))
        return name

    @staticmethod
    def _seen(name: str) -> str:
        """A name as file systems without case, or with letters in parts, tell it from others."""
        return unicodedata.normalize("NFKC", name).casefold()
