"""What the words of a column mean: findings, groups, numbers that are cut, parts of the data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from fairrecon_jax.data.tables import number, parse_age
from fairrecon_jax.runtime.text import normal

POSITIVE = ("1", "1.0", "yes", "y", "true", "positive", "pos", "present")
NEGATIVE = ("0", "0.0", "no", "n", "false", "negative", "neg", "absent")
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
LABEL_HINT = "name it among positive, negative or unknown ('*' for every other word)"
SPLIT_HINT = "name it among train, val or test"
GROUP_HINT = "name it in a group or as unknown, or give all others a group with rest"
NUMBER_HINT = "it is no number; name it among unknown"
REST = "*"
"""Among words: every word that is not named."""
QUANTILES = {
    "train median": (0.5,),
    "train tertiles": (1 / 3, 2 / 3),
    "train quartiles": (0.25, 0.5, 0.75),
}
"""Cuts of a number that follow from the training patients, by name."""


def looked_up(words: Mapping[str, str], text: str) -> str | None:
    """What a word stands for, in any capitals where that is not ambiguous; None for no word."""
    found = words.get(text)
    if found is None:
        same = {to for word, to in words.items() if word.casefold() == text.casefold()}
        found = same.pop() if len(same) == 1 else None
    return words.get(REST) if found is None else found


@dataclasses.dataclass(frozen=True)
class LabelColumn:
    """A finding.

    Attributes:
      column: name of the column.
      positive: words for 1; () for those of `POSITIVE`, "*" for every other word.
      negative: words for 0; () for those of `NEGATIVE`, "*" for every other word.
      unknown: words for not known, beside the blank cell.
      separator: between several words of one cell, e.g. "|"; the finding is there if one of them is
        positive.
      title: the finding as a reader sees it.
      aggregation: of slices to patients, see `Task`; "" for the median of volumes, else "none".
    """

    column: str
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    separator: str = ""
    title: str = ""
    aggregation: Literal["", "none", "median", "mean"] = ""

    def __post_init__(self) -> None:
        if REST in self.positive and REST in self.negative:
            raise ValueError("only one of positive and negative can be '*', every other word")
        # one side alone that is every other word leaves nothing for the other's usual words
        if bool(self.positive) != bool(self.negative):
            raise ValueError("name the words of both, positive and negative; '*' for all others")
        listed = [w.casefold() for w in (*self.positive, *self.negative, *self.unknown)]
        if twice := {word for word in listed if listed.count(word) > 1}:
            raise ValueError(f"{sorted(twice)[0]!r} has two meanings")

    @property
    def words(self) -> dict[str, str]:
        """Meaning by word."""
        named = {
            "1": self.positive or POSITIVE,
            "0": self.negative or NEGATIVE,
            "": self.unknown,
        }
        return {normal(word): to for to, words in named.items() for word in words}

    def read(self, cells: Iterable[str]) -> tuple[np.ndarray, list[str]]:
        """[N] float32 in {0, 1, NaN}, and the words that mean nothing."""
        words, known, strange = self.words, {"": math.nan}, set[str]()
        column = []
        for cell in cells:
            if cell not in known:
                parts = cell.split(self.separator) if self.separator else [cell]
                texts = [text for text in map(normal, parts) if text]
                meant = [looked_up(words, text) for text in texts]
                strange |= {text for text, to in zip(texts, meant, strict=True) if to is None}
                known[cell] = 1.0 if "1" in meant else 0.0 if "0" in meant else math.nan
            column.append(known[cell])
        return np.array(column, np.float32), sorted(strange)


@dataclasses.dataclass(frozen=True)
class AttributeColumn:
    """An attribute whose groups are compared: words, or a number that is cut.

    Attributes:
      column: name of the column.
      groups: (group, its words) in order; () where every word is a group as it is written.
      rest: group of all words that `groups` does not name, "" for unknown; None refuses them.
      unknown: words for not known, beside the blank cell.
      cuts: of a number, ascending: a number equal to a cut belongs above it.
      quantiles: "train median", "train tertiles" or "train quartiles" in place of cuts.
      range: smallest and largest number that is believed; others count as unknown.
      unit: of a number, e.g. "years"; years are believed above 0 up to 120, also as "058Y".
      per: "patient" (rows that disagree are unknown) or "image"; "" for patients, but images where
        it is a number.
      reference: group that signed differences refer to; "" for the first.
    """

    column: str
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rest: str | None = None
    unknown: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()
    quantiles: str = ""
    range: tuple[float, ...] = ()
    unit: str = ""
    per: Literal["", "patient", "image"] = ""
    reference: str = ""

    def __post_init__(self) -> None:
        if self.quantiles and (self.cuts or self.quantiles not in QUANTILES):
            raise ValueError(
                f"quantiles must be one of {', '.join(map(repr, QUANTILES))} and stands without "
                f"cuts, got {self.quantiles!r}"
            )
        if self.is_number and (self.groups or self.rest is not None):
            raise ValueError("has cuts, as a number, and groups of words: it is one of them")
        if list(self.cuts) != sorted(set(self.cuts)):
            raise ValueError(f"cuts must ascend, got {self.cuts}")
        if not self.is_number and (self.range or self.unit):
            raise ValueError("range and unit are for numbers: give cuts or quantiles")
        if self.range and (len(self.range) != 2 or not self.range[0] <= self.range[1]):
            raise ValueError(f"range must be (smallest, largest), got {self.range}")
        words = [w.casefold() for _, listed in self.groups for w in listed]
        if twice := {word for word in words if words.count(word) > 1}:
            raise ValueError(f"the word {sorted(twice)[0]!r} is in two groups")
        if self.reference and self.groups and self.reference not in dict(self.groups):
            raise ValueError(f"reference {self.reference!r} is not one of the groups")

    @property
    def is_number(self) -> bool:
        """Whether the cells are numbers."""
        return bool(self.cuts or self.quantiles)

    def read_words(self, cells: Iterable[str]) -> tuple[list[str | None], list[str]]:
        """[N] groups or None, and the words that mean nothing."""
        words = {normal(word): group for group, listed in self.groups for word in listed}
        # a group's name is a word of its own
        words = {normal(group): group for group, _ in self.groups} | words
        if self.rest is not None:
            words[REST] = self.rest
        words |= {normal(word): "" for word in self.unknown}
        known: dict[str, str | None] = {"": None}
        strange, column = set[str](), []
        for cell in cells:
            if cell not in known:
                text = normal(cell)
                found = looked_up(words, text)
                if found is None and not self.groups:
                    found = text
                if found is None:
                    strange.add(text)
                known[cell] = found or None
            column.append(known[cell])
        return column, sorted(strange)

    def read_numbers(self, cells: Iterable[str], decimal: str) -> tuple[np.ndarray, list[str], int]:
        """[N] float64 with NaN for unknown, the cells that are no number, and how many lie outside
        the range.
        """
        strange, outside, column = set[str](), 0, []
        unknown = {normal(word).casefold() for word in self.unknown}
        for cell in map(normal, cells):
            text = cell.replace(decimal, ".") if decimal != "." and "." not in cell else cell
            value = math.nan
            if cell and cell.casefold() not in unknown:
                value = number(text)
                if self.unit == "years" and not self.range:
                    believed = parse_age(text)
                    # "058Y" is no number and an age all the same
                    legible = not math.isnan(value) or not math.isnan(believed)
                else:
                    legible = not math.isnan(value)
                    low, high = self.range or (-math.inf, math.inf)
                    believed = value if low <= value <= high else math.nan
                if not legible:
                    strange.add(cell)
                outside += legible and math.isnan(believed)
                value = believed
            column.append(value)
        return np.array(column, np.float64), sorted(strange), outside


@dataclasses.dataclass(frozen=True)
class SplitColumn:
    """The part of the data that a table assigns a patient to.

    Attributes:
      column: name of the column.
      train: words for training; () for the usual ones.
      val: words for validation; where no row has one, validation patients are drawn from training.
      test: words for test.
    """

    column: str
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def read(self, cells: Iterable[str]) -> tuple[list[str], list[str]]:
        """[N] "train", "val", "test" or "" (blank), and the words that mean nothing."""
        words = {
            normal(word): part
            for part, usual in PARTS.items()
            for word in getattr(self, part) or usual
        }
        texts = [normal(cell) for cell in cells]
        known = {text: looked_up(words, text) if text else "" for text in set(texts)}
        strange = sorted(text for text, part in known.items() if part is None)
        return [known[text] or "" for text in texts], strange
