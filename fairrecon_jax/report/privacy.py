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
    # names of one token are found by a look-up, which costs nothing per name
    phrases = phrases_by_word(n for n in secret if not TOKEN.fullmatch(n))

    def hide(text: str) -> str:
        candidates = {
            phrase
            for word in WORD.findall(text)
            for phrase in phrases.get(word, ())
            if phrase in text
        }
        # the longest first: a name may be part of another
        for phrase in sorted(candidates, key=len, reverse=True):
            text = text.replace(phrase, "[withheld]")
        return TOKEN.sub(
            lambda match: (
                "[withheld]"
                # stem: a file is named after its example
                if match.group() in secret or stem(match.group()) in secret
                else match.group()
            ),
            text,
        )

    return (lambda text: text) if keep or not secret else hide  # identity: nothing to look for


def phrases_by_word(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of several words under the rarest of their words, so that a text is searched for a few
    of many thousand names only.
    """
    words_of = {name: words for name in names if (words := WORD.findall(name))}
    frequency = Counter(word for words in words_of.values() for word in words)
    phrases: dict[str, list[str]] = {}
    for name, words in words_of.items():
        phrases.setdefault(min(words, key=frequency.__getitem__), []).append(name)
    return phrases


def stem(token: str) -> str:
    """A file name without its ending."""
    return token.split(".", 1)[0]
