"""Keeps names of patients and files out of the report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

TOKEN = re.compile(r"[\w.\-]+")
WORD = re.compile(r"\w+")
SHORTEST = 5
"""Names shorter than this are ordinary words or numbers too often to be recognised in free text."""


def redactor(names: Iterable[object], keep: bool) -> Callable[[str], str]:
    """Makes the function that takes identifiers out of free text.

    Args:
      names: identifiers of patients and examples.
      keep: leave everything as it is.

    Returns:
      Text -> text in which every identifier of at least `SHORTEST` characters, and every path that
        holds one, reads "[withheld]".
    """
    secret = {str(n) for n in names if len(str(n)) >= SHORTEST}

    phrases = phrases_by_word(n for n in secret if not TOKEN.fullmatch(n))

    def hide(text: str) -> str:
        near = {
            phrase
            for word in WORD.findall(text)
            for phrase in phrases.get(word, ())
            if phrase in text
        }
        for phrase in sorted(near, key=len, reverse=True):
            text = text.replace(phrase, "[withheld]")
        return TOKEN.sub(
            lambda match: (
                "[withheld]"
                if match.group() in secret or stem(match.group()) in secret
                else match.group()
            ),
            text,
        )

    return (lambda text: text) if keep or not secret else hide


def phrases_by_word(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of several words under the rarest of their words, so that a text is searched for a few
    of many thousand names only.
    """
    words = {name: found for name in names if (found := WORD.findall(name))}
    often = Counter(word for found in words.values() for word in found)
    phrases: dict[str, list[str]] = {}
    for name, found in words.items():
        phrases.setdefault(min(found, key=often.__getitem__), []).append(name)
    return phrases


def stem(token: str) -> str:
    """A file name without its ending."""
    return token.split(".", 1)[0]
