"""Keeps names of patients and files out of the report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

TOKEN = re.compile(r"[\w.\-]+")
SHORTEST = 5
"""Names shorter than this are ordinary words or numbers too often to be recognised in free text."""


def hider(names: Iterable[object], keep: bool) -> Callable[[str], str]:
    """Makes the function that takes identifiers out of free text.

    Args:
      names: identifiers of patients and examples.
      keep: leave everything as it is.

    Returns:
      Text -> text in which every identifier of at least `SHORTEST` characters, and every path that holds one, reads "[withheld]".
    """
    secret = {str(n) for n in names if len(str(n)) >= SHORTEST}

    def hide(text: str) -> str:
        return TOKEN.sub(lambda match: "[withheld]" if match.group() in secret or stem(match.group()) in secret else match.group(), text)

    return (lambda text: text) if keep or not secret else hide


def stem(token: str) -> str:
    """A file name without its ending."""
    return token.split(".", 1)[0]
