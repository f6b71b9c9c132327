"""Small pieces of sentences."""

from __future__ import annotations


def listing(names: list[str]) -> str:
    """Names as they stand in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def plural(count: int, word: str) -> str:
    """A count with its noun: "1 gap", "3 gaps"."""
    if count == 1:
        return f"1 {word}"
    return f"{count:,} {word[:-1] + 'ies' if word.endswith('y') else word + 's'}"
