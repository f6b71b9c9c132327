"""The mapping of a foreign table's columns: its keys, and how it is read. `SCHEMA` describes it; a
mapping is such a YAML file, or a dictionary of the same keys.

Every scalar of the file is text until a key says what it means: `no`, `012`, `1e3` and
`2024-01-31` are names of columns and groups like others.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml

from fairrecon_jax.assessment import IMAGE_METRICS, AssessOptions
from fairrecon_jax.assessment.options import RENAMED
from fairrecon_jax.data.cells import cell
from fairrecon_jax.data.mapping import read_yaml
from fairrecon_jax.runtime.gathered import Gathered, each
from fairrecon_jax.runtime.text import alike, normal
from fairrecon_jax.types import InputError
from fairrecon_jax.types import nearest as most_like

SCHEMA = """\
name: my_cohort          # of files and tables; the file's name otherwise
title: Knees, 2021       # of the cohort in the report; also citation
reconstructor: U-Net     # how the report calls the method, or the column that names several
patient: patient_id      # column; without it every row counts as a patient of its own
example: image_id        # column; may be left out where every row is an image of its own
split: {column: fold, val: [dev], test: [test]}
                         # or just a column; without it all rows are test rows
modality: mri            # or xray; needed with a level: acceleration factors (mri) or photon counts
level: 4                 # a number, or a column of numbers; likewise seed, mitigation
tasks:                   # by name; "label" and "reconstructed" are needed
  effusion:
    label: y             # 0 and 1, yes and no, true and false, positive and negative; -1 or blank
                         # = unknown; other words: positive: [malignant], negative: [benign],
                         # unknown: [9]
    original: p_full     # scores on the original images: probabilities, or 85% ; or decisions
    reconstructed: p_recon
    scale: probability   # or percent (0 to 100), or logit
    title: Effusion      # also aggregation: median or mean of a patient's images; kind:
                         # segmentation (original, reconstructed: Dice; original_pixels,
                         # reconstructed_pixels)
attributes:              # by name; one group per patient (several = unknown) unless per: image
  sex: Sex               # a column: its values are the groups
  race: {column: Race, groups: {White: [W, White], Black: B}, missing: [9], reference: White}
  age: {column: Age, cut: 62, range: [18, 110], per: image}
                         # 62 itself belongs to the older; to the younger with cut_side: under
image_metrics: {psnr: PSNR}    # columns of image metrics that have other names
options: {threshold_rule: fixed, threshold_value: 0.5}
                         # AssessOptions: threshold_rule (balanced, fitted on "val" rows; fixed;
                         # sensitivity; specificity), permutations, alpha, min_patients, seed,
                         # intersections: [[sex, race]], strata: site, continuous: [Age], ...
separator: ";"           # of a text file: told from the rows otherwise; also decimal: ",",
                         # encoding: cp1250, and sheet: Name of an Excel file
"""
"""What a mapping may hold, as `fairrecon assess --help` shows it."""

KEYS = frozenset(
    "name title modality degradation citation example patient split level reconstructor mitigation "
    "seed tasks attributes image_metrics options separator decimal encoding sheet".split()
)
METRICS = frozenset(IMAGE_METRICS)
RESERVED = METRICS | frozenset(
    "example_id patient_id split level reconstructor mitigation seed cohort".split()
)


class TextLoader(yaml.SafeLoader):
    """Reads YAML with every scalar as text, but for the empty one and `null`."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are text, none twice.

        Raises:
          ConstructorError: a key stands twice, where YAML would take the last.
        """
        self.flatten_mapping(node)
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            # a key called null, as text
            key = key_node.value if key is None else key
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is no text", key_node.start_mark
                )
            if key in found:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            found[key] = self.construct_object(value_node, deep=True)
        return found


# a copy without the types that YAML guesses; "<<" is no type but takes over another mapping
TextLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag.rsplit(":", 1)[1] in ("null", "merge")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(mapping: Mapping[str, Any] | str | os.PathLike[str] | None) -> dict[str, Any]:
    """The mapping as a dictionary.

    Args:
      mapping: dictionary, path of a YAML file, or None for an empty mapping.

    Returns:
      A new dictionary; of a file with text alone.

    Raises:
      FileNotFoundError: there is no such file.
      InputError: the file is not YAML, holds no keys, or one twice.
    """
    if mapping is None:
        return {}
    if isinstance(mapping, Mapping):
        return dict(mapping)
    if not isinstance(mapping, str | os.PathLike):
        raise InputError(
            f"a mapping is a dictionary or the path of a YAML file, got {type(mapping).__name__}"
        )
    source = Path(mapping)
    if not source.is_file():
        raise FileNotFoundError(f"no mapping at {source}")
    try:
        # safe: a mapping that came with a table must not run code
        loaded = read_yaml(source, TextLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{source} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{source} must hold keys and values, got {type(loaded).__name__}")
    return loaded


def options_of(mapping: Mapping[str, Any]) -> AssessOptions:
    """The mapping's `options` as `AssessOptions`.

    Raises:
      InputError: an option is unknown or out of range; the message names it.

    Example:
      >>> given = {"threshold_rule": "fixed", "threshold_value": 0.5}
      >>> options_of({"tasks": {}, "options": given}).threshold_value
      0.5
    """
    where = "mapping 'options'"
    given = _of_today(where, entries(where, mapping.get("options")))
    fields = {field.name: field.default for field in dataclasses.fields(AssessOptions)}
    errors = Gathered()
    values: dict[str, Any] = {}
    with errors.gather():
        check_keys(f"{where} (those of AssessOptions)", given, frozenset(fields))
    for key in [key for key in given if key in fields]:
        with errors.gather():
            values[key] = _option(f"{where} {key!r}", given[key], fields[key])

    def make(**values: Any) -> AssessOptions:
        try:
            return AssessOptions(**values)
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: {error}; the options are those of AssessOptions") from error

    options = each(make, values, errors, where, {*given} - {*values})
    errors.tell()
    assert options is not None  # otherwise its refusal was told
    return options


def _of_today(where: str, given: dict[str, Any]) -> dict[str, Any]:
    """Options with the names of today in place of earlier ones."""
    for old in RENAMED.keys() & given.keys():
        new = RENAMED[old]
        if new in given:
            raise InputError(f"{where} {old!r} is now called {new!r}; both are given")
        warnings.warn(f"{where} {old!r} is now called {new!r}", FutureWarning, stacklevel=3)
        given[new] = given.pop(old)
    return given


def _option(where: str, value: Any, default: Any) -> Any:
    """The value of an option in the type of its default; lists as tuples, as options are frozen."""
    if isinstance(value, Mapping):
        return {normal(str(task)): real(f"{where}.{task}", v) for task, v in value.items()}
    if isinstance(value, list | tuple) or isinstance(default, tuple):
        parts = value if isinstance(value, list | tuple) else [value]
        if default and isinstance(default[0], float):
            return tuple(real(where, part) for part in parts)
        return tuple(
            tuple(map(cell, part)) if isinstance(part, list | tuple) else cell(part)
            for part in parts
        )
    if isinstance(default, bool):
        return flag(where, value)
    if isinstance(default, str):
        return cell(value)
    found = None if value is None else real(where, value)
    if isinstance(default, int) and found is not None:
        if not found.is_integer():
            raise InputError(f"{where} is a whole number, got {value!r}")
        return int(found)
    return found


def real(where: str, value: Any) -> float:
    """A number of the mapping.

    Raises:
      InputError: it is none.
    """
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(str(value))
    except ValueError as error:
        raise InputError(f"{where} must be a number, got {value!r}") from error


def flag(where: str, value: Any) -> bool:
    """A yes or no of the mapping."""
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    word = str(value).lower()
    if word not in words:
        raise InputError(f"{where} must be true or false, got {value!r}")
    return words[word]


def nearest(name: Any, known: Iterable[str]) -> str:
    """The known name that is most like a given one, "" where none is."""
    text, names = str(name), [str(one) for one in known]
    same = [one for one in names if alike(one) == alike(text)]
    return same[0] if same else most_like(text, names)


def check_keys(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raises for keys that nothing reads, with the nearest that something does."""
    # key=str: a dictionary may have keys of other types
    unknown = sorted(set(given) - known, key=str)
    if unknown:
        hints = [f"{near!r} for {key!r}" for key in unknown if (near := nearest(key, known))]
        meant = f", did you mean {', '.join(hints)}?" if hints else ""
        raise InputError(f"{where} has unknown keys {unknown}{meant}; known are {sorted(known)}")


def fields_of(
    where: str, entry: Any, known: frozenset[str], errors: Gathered | None = None
) -> dict[str, Any]:
    """An entry of the mapping with checked keys; one that is left empty counts as not given.

    Args:
      where: the entry.
      entry: as the mapping has it.
      known: keys.
      errors: takes what is said of unknown keys, which are left out; None raises it.

    Raises:
      InputError: the entry holds no keys, or unknown ones.
    """
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} must hold keys among {sorted(known)}, got {entry!r}")
    with nullcontext() if errors is None else errors.gather():
        check_keys(where, entry, known)
    return {key: value for key, value in entry.items() if value is not None and key in known}


def entries(where: str, given: Any) -> dict[str, Any]:
    """A part of the mapping that holds entries by name; empty where it is missing."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError(f"{where} must hold 'name: entry' pairs, got {given!r}")
    unnamed = [name for name in given if not isinstance(name, str) or not name.strip()]
    if unnamed:
        raise InputError(
            f"{where} has the name {unnamed[0]!r}; names are text, in quotes where Python "
            "reads something else"
        )
    named = {normal(name): entry for name, entry in given.items()}
    if len(named) < len(given):
        raise InputError(f"{where} has one name twice, in two spellings: {list(given)}")
    return named


def words_of(given: Any) -> list[str]:
    """An entry of the mapping that is a word or a list of words, in their normal form."""
    parts = given if isinstance(given, list | tuple) else [given]
    return [cell(part) for part in parts if cell(part)]


def check_names(tasks: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
    """Raises for names of tasks and attributes that would overwrite a column of the table."""
    for kind, names, taken in (
        ("tasks", tasks, RESERVED),
        ("attributes", attributes, RESERVED | set(tasks)),
    ):
        for name in names:
            # "__" stands between a task and the version of its score
            if name in taken or (kind == "attributes" and "__" in name):
                raise InputError(
                    f"{kind}.{name}: this name is taken; choose one without '__' that is "
                    f"not among {sorted(taken)}"
                )


def one_of(where: str, value: Any, owner: type, field: str) -> Any:
    """The value, if it is among those that a field of the specification's class allows.

    Raises:
      ValueError: it is not; the message lists them.
    """
    return chosen(where, value, get_args(get_type_hints(owner)[field]))


def chosen(where: str, value: Any, known: Iterable[str]) -> Any:
    """The value, if it is known.

    Raises:
      InputError: it is not; the message lists the known ones and names the nearest.
    """
    names = tuple(known)
    if value not in names:
        near = nearest(value, names)
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(f"{where} must be {' or '.join(map(repr, names))}, got {value!r}{hint}")
    return value
