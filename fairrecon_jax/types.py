"""The words every room shares: arrays, batches, tasks, attributes, degradations and the cohort
specification.

A batch is a dictionary of arrays with a leading example axis B (see `Batch`). What the columns of
its arrays mean is said once, by the `CohortSpec` that travels with the cohort; everything
downstream reads tasks, groups and levels from it, so a new cohort is one builder and one
specification.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

Array = jax.Array | np.ndarray
"""Any dense array, on the host or on a device."""

Key = jax.Array
"""A typed pseudo-random key as made by `jax.random.key`."""

Variables = dict[str, Any]
"""Network variables: {"params": {network: tree}, "batch_stats": {network: tree}}."""

Batch = Mapping[str, Array]
"""Arrays of B examples, in this fixed set of fields:

image       [B, H, W, 1] float32 in [0, 1], the original image
mask        [B, H, W, S] float32 in {0, 1}, one channel per segmentation task of the spec (or S = 0)
labels      [B, T] float32 in {0, 1}, NaN = unknown, one column per classification task (or T = 0)
attributes  [B, A] int32 group index, -1 = unknown, one column per attribute of the spec
example_id  [B, 2] uint32, the 64-bit digest of the example's name (`example_digest`): keys all
            per-example randomness
index       [B] int32 row of the cohort table, -1 for padding
weight      [B] float32, 0 for padding, else the example's sampling weight

and, where a cohort comes with them, images that something else made of each:

stored_NAME [B, H, W, 1] float32 in [0, 1], in the scale of the original
"""

Precision = Literal["float32", "bfloat16"]
"""The type a network computes in."""


class InputError(ValueError):
    """Something that a user gave is not usable: a file, a table, a tree, a field. The message names
    it and says what to do; the console script prints it in one line.
    """


class ConfigError(InputError):
    """Fields of a configuration are refused; the message begins with the name of the field, or
    numbers one line for each.

    Args:
      *refusals: what is said of each field.

    Example:
      >>> print(ConfigError("config.seed is -1", "config.splits.seed is -2"))
      2 fields of the configuration are refused:
        1. config.seed is -1
        2. config.splits.seed is -2
    """

    def __init__(self, *refusals: str) -> None:
        refusals = tuple(map(_short, refusals))
        lines = [f"  {number}. {one}" for number, one in enumerate(refusals, 1)]
        head = f"{len(lines)} fields of the configuration are refused:"
        super().__init__("\n".join([head, *lines]) if len(lines) > 1 else "".join(refusals))
        self.refusals = refusals


def plural(count: int, word: str, verb: str = "") -> str:
    """A count with its noun, and the verb behind it.

    Example:
      >>> plural(1, "gap"), plural(3000, "family"), plural(1, "image", "are")
      ('1 gap', '3,000 families', '1 image is')
    """
    one = {"are": "is", "have": "has"}
    noun = word[:-1] + "ies" if word.endswith("y") else f"{word}s"
    words = f"1 {word} {one.get(verb, verb)}" if count == 1 else f"{count:,} {noun} {verb}"
    return words.rstrip()


def nearest(name: object, known: Iterable[object]) -> str:
    """The known name that is most like a given one, "" where none is.

    Example:
      >>> nearest("Age-Years", ["sex", "age_years"]), nearest("xyz", ["sex", "age_years"])
      ('age_years', '')
    """
    # the beginning alone: the comparison takes the square of the length
    text, names = str(name)[:100], [str(one) for one in known if one is not None]
    by_look = {_letters(one): one for one in names}
    return by_look.get(_letters(text)) or next(
        iter(difflib.get_close_matches(text, names, 1, 0.6)), ""
    )


def meant(name: object, known: Iterable[object]) -> str:
    """Words behind a message that refuses a name: the one that is most like it, if any.

    Example:
      >>> meant("steps_", ["steps", "seed"]), meant("xyz", ["steps", "seed"])
      ("; did you mean 'steps'?", '')
    """
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def all_meant(names: Iterable[object], known: Iterable[object]) -> str:
    """The same for several names.

    Example:
      >>> all_meant(["sed"], ["steps", "seed"]), all_meant(["sed", "stps"], ["steps", "seed"])
      ("; did you mean 'seed'?", "; did you mean 'seed' for 'sed', 'steps' for 'stps'?")
    """
    listed, given = list(known), list(names)
    if len(given) == 1:
        return meant(given[0], listed)
    found = [f"{near!r} for {name!r}" for name in given if (near := nearest(name, listed))]
    return f"; did you mean {', '.join(found)}?" if found else ""


LONGEST = 300
"""Characters of one word of a message, such as a value that was given."""


def _short(message: str) -> str:
    """A message whose long words have their beginning and end alone; neither is it ever a page."""
    message = re.sub(rf"\S{{{LONGEST},}}", lambda word: _ends(word[0], LONGEST // 4), message)
    return _ends(message, 1000) if len(message) > 2000 else message


def _ends(text: str, most: int) -> str:
    return f"{text[:most]}...{text[-most:]}"


def _letters(name: str) -> str:
    """What of a name counts where it is compared: letters and digits, small."""
    return "".join(c for c in name.casefold() if c.isalnum())


class TrainingDiverged(ArithmeticError):
    """The loss, a parameter or the selection metric of a training is not finite."""


STORED = "stored_"
"""Before the name of an image that something else made of an example, in records and batches."""


TaskKind = Literal["classification", "segmentation"]
Aggregation = Literal["none", "median", "mean"]
MASK_THRESHOLD = 0.5
"""Probability from which a pixel is in a mask: in validation, studies and pictures alike."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A diagnosis: a binary finding (classification) or a region (segmentation).

    Attributes:
      name: column stem in tables, e.g. "cardiomegaly".
      kind: "classification" (score in [0, 1]) or "segmentation" (mask probability in [0, 1]).
      aggregation: how the images or slices of one patient become one score: "none" (each image is
        judged), "median" or "mean".
      title: the name as a reader sees it.
    """

    name: str
    kind: TaskKind
    aggregation: Aggregation = "none"
    title: str = ""


@dataclasses.dataclass(frozen=True)
class Attribute:
    """A patient attribute whose groups are compared.

    Attributes:
      name: column name in tables, e.g. "sex".
      groups: names of the groups; a batch holds the index into this tuple, -1 for unknown.
      derivation: one sentence that says how the group follows from the source data, for the report.
      per: "patient" (one value per patient; conflicts are unknown) or "image" (age at the time of
        the image).
      reference: the group that signed differences refer to; the first group if empty.
    """

    name: str
    groups: tuple[str, ...]
    derivation: str = ""
    per: Literal["patient", "image"] = "patient"
    reference: str = ""

    @property
    def reference_group(self) -> str:
        """The group that signed differences refer to."""
        return self.reference or self.groups[0]


@dataclasses.dataclass(frozen=True)
class DegradationSpec:
    """Which degradation a cohort is studied under, in the words of its kind.

    Attributes:
      kind: a kind of `fairrecon_jax.physics`, or "unnamed" (predictions from elsewhere that do not
        say: one level, whose number means nothing).
      levels: the levels of the study, mildest first.
      headline_level: the level at which group gaps are the headline.
      title: the degradation as a reader sees it, as it stands within a sentence.
      unit: what a level counts, as an axis label.
      symbol: what stands behind a level in a short text, e.g. "×" or " photons".
      worse: whether a "higher" or a "lower" level degrades more.
      modality: images it is made for: "mri", "xray" or "any".
    """

    kind: str
    levels: tuple[float, ...]
    headline_level: float
    title: str = "degradation"
    unit: str = "a level"
    symbol: str = ""
    worse: Literal["higher", "lower"] = "higher"
    modality: Literal["mri", "xray", "any"] = "any"

    @property
    def is_named(self) -> bool:
        """Whether it is known what a level means."""
        return self.kind != "unnamed"


UNNAMED = DegradationSpec("unnamed", (1.0,), 1.0)
"""What is studied where nobody says what a level means."""


class MethodTitle(NamedTuple):
    """What a report calls a reconstructor.

    Attributes:
      title: the method, e.g. "IR-SDE".
      detail: what tells it from others of its method, e.g. "ODE, order 2, 10 steps"; "" for
        nothing. A report prints it where two reconstructors share a title.
      degraded: whether it hands on the degraded image as it is, which is no method.
    """

    title: str
    detail: str = ""
    degraded: bool = False


@dataclasses.dataclass(frozen=True)
class CohortSpec:
    """What a cohort holds and how it is studied; stored as JSON beside every table made from it.

    Attributes:
      name: the builder's name, e.g. "lgg_mri".
      title: the name as a reader sees it.
      modality: "xray" or "mri".
      tasks: diagnoses in column order (classification and segmentation share one tuple).
      attributes: patient attributes in column order.
      degradation: kind and levels.
      citation: the data set's reference and terms, for the report.
    """

    name: str
    title: str
    modality: Literal["xray", "mri"]
    tasks: tuple[Task, ...]
    attributes: tuple[Attribute, ...]
    degradation: DegradationSpec
    citation: str = ""

    @property
    def classification_tasks(self) -> tuple[Task, ...]:
        """Tasks that fill the columns of `labels`, in order."""
        return tuple(t for t in self.tasks if t.kind == "classification")

    @property
    def segmentation_tasks(self) -> tuple[Task, ...]:
        """Tasks that fill the channels of `mask`, in order."""
        return tuple(t for t in self.tasks if t.kind == "segmentation")

    def to_json(self) -> str:
        """The specification as a JSON string; `from_json` inverts it."""
        # The symbol of a level, such as ×, stays readable.
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> CohortSpec:
        """Rebuilds a specification written by `to_json`.

        Raises:
          ValueError: a field is missing or unknown; the message names it.
        """
        raw = json.loads(text)
        try:
            # Tuples, which JSON does not know: specifications are compared and hashed.
            raw["tasks"] = tuple(Task(**t) for t in raw["tasks"])
            raw["attributes"] = tuple(
                Attribute(**{**a, "groups": tuple(a["groups"])}) for a in raw["attributes"]
            )
            d = raw["degradation"]
            raw["degradation"] = DegradationSpec(**{**d, "levels": tuple(d["levels"])})
            return cls(**raw)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a cohort specification: {error}") from error


NO_MITIGATION = "none"


def level_name(level: float) -> str:
    """The text of a level in names of folders and columns, e.g. 8.0 -> "8", 1e5 -> "100000"."""
    # 15 digits bring back what was written; 17 would show 0.1 as 0.10000000000000001.
    return f"{level:.15g}"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a study's grid: a reconstructor at a level, with or without a mitigation.

    Attributes:
      reconstructor: name in the configuration.
      level: of the degradation.
      mitigation: name in the configuration, "none" without one.
      weight: of the mitigation's term, where several are tried; else None.
      seed: of the evaluation's noise.
      training: seed of the training, where a reconstructor is trained several times; else None.
    """

    reconstructor: str
    level: float
    mitigation: str = NO_MITIGATION
    weight: float | None = None
    seed: int = 0
    training: int | None = None

    @property
    def plain(self) -> Cell:
        """The same reconstruction without mitigation."""
        return dataclasses.replace(self, mitigation=NO_MITIGATION, weight=None)

    @property
    def is_mitigated(self) -> bool:
        """Whether a mitigation takes part."""
        return self.mitigation != NO_MITIGATION

    @property
    def variant(self) -> str:
        """The mitigation as tables name it: "none", "eodd", or "eodd@0.1" where it is one of
        several weights.
        """
        # 0.0 is a weight too.
        if self.weight is None:
            return self.mitigation
        return f"{self.mitigation}@{level_name(self.weight)}"

    @property
    def title(self) -> str:
        """The cell in words, e.g. "unet with eodd@0.1 at 8" or "unet at 8, training 1"."""
        method = f" with {self.variant}" if self.is_mitigated else ""
        training = "" if self.training is None else f", training {self.training}"
        return f"{self.reconstructor}{method} at {level_name(self.level)}{training}"

    @property
    def stem(self) -> str:
        """The cell as the stem of file names, e.g. "unet__8__eodd@0.1"."""
        method = f"__{self.variant}" if self.is_mitigated else ""
        training = "" if self.training is None else f"__training{self.training}"
        return f"{self.reconstructor}__{level_name(self.level)}{method}{training}"


MOST_VALUES = 2**29
"""Values of one image or volume, 2 GiB as float32: what reads files reads no more, and what draws
images draws no more.
"""
PRIMARY = "primary"
"""How the family of tests is named whose verdicts are the study's."""
CROSS = " x "
"""Between the attributes, and between the groups, of an intersection."""
