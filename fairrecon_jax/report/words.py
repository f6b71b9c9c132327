"""Small pieces of sentences."""

from __future__ import annotations


def listing(names: list[str]) -> str:
    """Names as they stand in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
