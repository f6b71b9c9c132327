"""What the words of a column mean: findings, groups, numbers that are cut, parts of the data."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np

from fairrecon_jax.data.cells import Column, numbers
from fairrecon_jax.data.sheets import OF_COLUMNS
from fairrecon_jax.data.tables import NUMERIC, parse_age
from fairrecon_jax.data.vocabulary import NEGATIVE, PARTS, POSITIVE
from fairrecon_jax.runtime.nothing import (
    DOUBTFUL,
    far_codes,
    impossible_ages,
    is_age,
    is_standin,
    no_group,
    no_value,
)
from fairrecon_jax.runtime.text import normal

T = TypeVar("T")
LABEL_HINT = "name it among positive, negative or unknown ('*' for every other word)"
SPLIT_HINT = "name it among train, val or test"
GROUP_HINT = "name it in a group or as unknown, or give all others a group with rest"
NUMBER_HINT = "it is no number; name it among unknown"
CODE_HINT = (
    "it stands far from all other numbers: name it among unknown if it stands for no value, "
    "otherwise give the range of what is believed"
)
REST = "*"
"""Among words: every word that is not named."""
QUANTILES = {
    "train median": (0.5,),
    "train tertiles": (1 / 3, 2 / 3),
    "train quartiles": (0.25, 0.5, 0.75),
}
"""Cuts of a number that follow from the training patients, by name."""


class Meant(NamedTuple):
    """What the cells of a column mean.

    Attributes:
      values: [N] labels or numbers with NaN for unknown, or groups with None.
      strange: words that mean nothing, sorted.
      gone: words that stand for nothing and that no declaration names, with their counts.
      doubtful: words that are taken for what they say although they may stand for nothing.
      outside: how many numbers lie outside the range.
    """

    values: Any
    strange: list[str]
    gone: dict[str, int]
    doubtful: dict[str, int]
    outside: int = 0


def looked_up(words: Mapping[str, str], text: str) -> str | None:
    """What a word stands for, in any capitals where that is not ambiguous; None for no word."""
    found = words.get(text)
    if found is None:
        same = {to for word, to in words.items() if word.casefold() == text.casefold()}
        found = same.pop() if len(same) == 1 else None
    return found


class _Dictionary:
    """Looks words up and remembers those that want a remark."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self.words = words
        self.strange = set[str]()
        self.gone, self.doubtful = Counter[str](), Counter[str]()
        self._times = 1

    def over(self, cells: Iterable[str], meaning: Callable[[str], T]) -> list[T]:
        """A function of every cell, asked once for each distinct one."""
        column, known = list(cells), {}
        for cell, self._times in Counter(column).items():
            known[cell] = meaning(cell)
        return [known[cell] for cell in column]

    def meaning(self, text: str, missing: bool, other: str | None) -> str | None:
        """What a word stands for; None where nothing is known.

        Args:
          text: in its normal form, not blank.
          missing: whether it stands for nothing where no declaration names it.
          other: what words that are not named stand for; None refuses them.
        """
        found = looked_up(self.words, text)
        if found is not None:
            return found
        if missing:
            self.gone[text] += self._times
            return None
        # a code for "no value" is none of the others unless somebody says so
        if other is None or (other and REST in self.words and is_standin(text)):
            self.strange.add(text)
            return None
        if text.lower() in DOUBTFUL or is_standin(text):
            self.doubtful[text] += self._times
        return other

    def meant(self, values: Any) -> Meant:
        """The values with everything that was remembered."""
        return Meant(values, sorted(self.strange), dict(self.gone), dict(self.doubtful))


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

    def read(self, cells: Iterable[str]) -> Meant:
        """[N] float32 in {0, 1, NaN}, see `Meant`.

        A word that stands for nothing is unknown where it is not named, also where every other
        word has a meaning; None alone is one of the others there, as in "no finding".
        """
        book = _Dictionary(self.words)
        rest = self.words.get(REST)

        def label(cell: str) -> float:
            parts = cell.split(self.separator) if self.separator else [cell]
            texts = [text for text in map(normal, parts) if text]
            meant = {
                book.meaning(text, no_value(text) and (not rest or text.lower() != "none"), rest)
                for text in texts
            }
            return 1.0 if "1" in meant else 0.0 if "0" in meant else math.nan

        return book.meant(np.array(book.over(cells, label), np.float32))


CutSide = Literal["over", "under"]
"""On which side of a cut a number lies that equals it."""


def check_side(field: str, side: str) -> None:
    """Refuses a side that is none.

    Raises:
      ValueError: the message names the field.
    """
    if side not in get_args(CutSide):
        raise ValueError(f"{field} must be one of {get_args(CutSide)}, got {side!r}")


@dataclasses.dataclass(frozen=True)
class AttributeColumn:
    """An attribute whose groups are compared: words, or a number that is cut.

    Attributes:
      column: name of the column.
      groups: (group, its words) in order; () where every word is a group as it is written.
      rest: group of all words that `groups` does not name, "" for unknown; None refuses them.
      unknown: words for not known, beside the blank cell.
      cuts: of a number, ascending.
      cut_side: where a number belongs that equals a cut, "over" it or "under" it.
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
    cut_side: CutSide = "over"
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
        check_side("cut_side", self.cut_side)
        if not self.is_number and (self.range or self.unit or self.cut_side != "over"):
            raise ValueError("range, unit and cut_side are for numbers: give cuts or quantiles")
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

    @property
    def is_age(self) -> bool:
        """Whether the numbers are years of age."""
        return self.unit == "years" or (not self.unit and is_age(self.column))

    def read_words(self, cells: Iterable[str]) -> Meant:
        """[N] groups or None, see `Meant`."""
        words = {normal(word): group for group, listed in self.groups for word in listed}
        # a group's name is a word of its own
        words = {normal(group): group for group, _ in self.groups} | words
        if self.rest is not None:
            words[REST] = self.rest
        words |= {normal(word): "" for word in self.unknown}
        book = _Dictionary(words)

        def group(cell: str) -> str | None:
            text = normal(cell)
            if not text:
                return None
            other = words.get(REST, None if self.groups else text)
            # of words that nobody declares NA may be Namibia
            missing = no_value(text) if self.groups else no_group(text)
            return book.meaning(text, missing, other) or None

        return book.meant(book.over(cells, group))

    def read_numbers(self, cells: Iterable[str], decimal: str) -> Meant:
        """[N] float64 with NaN for unknown, see `Meant`.

        Raises:
          InputError: a sign may be a decimal one or stand between thousands.
        """
        unknown = {normal(word).casefold() for word in self.unknown}
        texts = [text if (text := normal(c)).casefold() not in unknown else "" for c in cells]
        if self.is_age and not self.range:
            # "058Y" is no number and an age all the same
            texts = [self._years(text) for text in texts]
        strange = {text for text in texts if not no_value(text) and not NUMERIC.fullmatch(text)}
        legible = np.array(["" if text in strange else text for text in texts], object)
        found = numbers(Column(legible, self.column, decimal, field=OF_COLUMNS.decimal))
        values = found.values
        low, high = self.range or (-math.inf, math.inf)
        outside = (values < low) | (values > high)
        if self.is_age and not self.range:
            outside = impossible_ages(values)
        kept = np.where(outside, math.nan, values)
        return Meant(kept, sorted(strange - {""}), found.words, {}, int(outside.sum()))

    @staticmethod
    def _years(text: str) -> str:
        """An age with its unit as a number of years, other text as it is."""
        return text if NUMERIC.fullmatch(text) or np.isnan(y := parse_age(text)) else repr(y)

    def codes(self, values: np.ndarray) -> list[float]:
        """Numbers that may stand for no value, where nothing says what numbers are believed."""
        return [] if self.range or self.is_age else far_codes(values)


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
        known = {text: self._part(words, text) for text in set(texts)}
        strange = sorted(text for text, part in known.items() if part is None)
        return [known[text] or "" for text in texts], strange

    @staticmethod
    def _part(words: Mapping[str, str], text: str) -> str | None:
        found = looked_up(words, text)
        return ("" if no_value(text) or not text else words.get(REST)) if found is None else found
