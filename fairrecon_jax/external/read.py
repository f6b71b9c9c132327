"""Reads a foreign table into the form that `assess` takes."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.assessment import read_predictions
from fairrecon_jax.assessment.predictions import SPEC_KEY
from fairrecon_jax.data.cells import Column, cell, names, numbers
from fairrecon_jax.data.decimals import signs_of
from fairrecon_jax.data.sheets import read_sheet
from fairrecon_jax.external.checks import (
    Log,
    one_group,
    one_split,
    usable_attributes,
    usable_rows,
    usable_tasks,
)
from fairrecon_jax.external.columns import check, column_of, read_split, read_task
from fairrecon_jax.external.groups import quantity, read_attribute
from fairrecon_jax.external.mapping import (
    KEYS,
    METRICS,
    check_keys,
    check_names,
    chosen,
    entries,
    load,
    nearest,
    options_of,
    real,
    words_of,
)
from fairrecon_jax.external.published import published
from fairrecon_jax.external.specification import kind_of, spec_of
from fairrecon_jax.runtime.gathered import Gathered
from fairrecon_jax.runtime.nothing import in_words
from fairrecon_jax.types import NO_MITIGATION, CohortSpec, InputError

CELL = ("level", "reconstructor", "mitigation", "seed")
BOUNDED = {
    "ssim": (-1.0, 1.0),
    "ms_ssim": (-1.0, 1.0),
    "haarpsi": (0.0, 1.0),
    "nrmse": (0.0, np.inf),
}
"""What image metrics can be."""


def read_table(
    path: str | os.PathLike[str], mapping: Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> tuple[pd.DataFrame, CohortSpec]:
    """Reads a table of predictions made elsewhere into the form that `assess` takes.

    Every cell is text until the mapping says what it means. What cannot be used is either an error
    or a counted exclusion in `table.attrs["exclusions"]` (records of reason and count); sentences
    on what may be wrong are in `table.attrs["notes"]`. Both are given as warnings too. The
    mapping's options are in `table.attrs["options"]`. Entries such as `tensor(68.,
    dtype=torch.float64)` are read as numbers; nothing is evaluated.

    Args:
      path: CSV (any separator, UTF-8, UTF-16 or Latin-1, also packed), Excel or parquet file. A
        parquet file written by `write_predictions` needs no mapping.
      mapping: dictionary or path of a YAML file, see `fairrecon_jax.external.mapping`; None for the
        published code's CSV.

    Returns:
      (table, spec).

    Raises:
      FileNotFoundError: the table or the mapping does not exist.
      InputError: the mapping or the table cannot be used; the message names the file, the column,
        the row and what to do.

    Example:
      >>> from tempfile import mkdtemp
      >>> rows = [{"y": 0, "p": 0.2, "q": 0.3, "id": 7}, {"y": 1, "p": 0.9, "q": 0.7, "id": 8}]
      >>> pd.DataFrame(rows).to_csv(path := Path(mkdtemp(), "scores.csv"), index=False)
      >>> tasks = {"effusion": {"label": "y", "original": "p", "reconstructed": "q"}}
      >>> table, spec = read_table(path, {"patient": "id", "tasks": tasks})
      >>> table["effusion__reconstructed"].tolist(), spec.tasks[0].name
      ([0.3, 0.7], 'effusion')
    """
    source = Path(path)
    # a key that YAML leaves empty counts as not given
    given = {k: v for k, v in load(mapping).items() if v is not None}
    errors = Gathered()
    with errors.gather():
        check_keys("mapping", given, KEYS)
    given = {key: value for key, value in given.items() if key in KEYS}
    if "tasks" not in given:
        # a table without tasks is taken for the published code's, which it is not
        errors.tell(str(source))
    form = {key: str(given.get(key, "")) for key in ("separator", "encoding", "sheet")}
    form["separator"] = {"tab": "\t", "\\t": "\t"}.get(form["separator"], form["separator"])
    if len(form["separator"]) > 1:
        raise InputError(f"mapping 'separator' must be one character, got {form['separator']!r}")
    if not source.is_file():
        raise FileNotFoundError(f"no predictions table at {source}")
    sheet = read_sheet(source, form["separator"], form["encoding"], form["sheet"])
    # with a mapping the file is a table like any other
    if SPEC_KEY in sheet.metadata and mapping is None:
        return read_predictions(source)
    log = Log()
    for note in sheet.notes:
        log.say(note)
    decimal = ""
    with errors.gather():
        decimal = chosen("mapping 'decimal'", str(given.get("decimal", "")), ("", ".", ","))
    found = None
    with errors.gather():
        reader = _Reader(sheet.frame, given, source, log, decimal, sheet.separator, errors)
        found = reader.predictions()
    errors.tell(str(source))
    assert found is not None  # what is missing was told
    table, spec = found
    # as given: whoever assesses the table turns them into `AssessOptions`
    log.attach(table).attrs["options"] = reader.options
    return table, spec


class _Reader:
    """One table and its mapping."""

    def __init__(
        self,
        frame: pd.DataFrame,
        given: dict[str, Any],
        source: Path,
        log: Log,
        decimal: str,
        separator: str,
        errors: Gathered,
    ) -> None:
        self.frame, self.source, self.log, self.errors = frame, source, log, errors
        self.form = {
            "decimal": decimal,
            "separator": separator,
            # of a large table it takes a while, and most columns need no other
            "shown": functools.cache(lambda: signs_of(frame)),
        }
        # the given keys win: a name or a level may be set for the published CSV
        self.given = given if "tasks" in given else {**published(frame, source), **given}
        # for whoever assesses the table: a mapping of its own has options too
        self.options = self._entries("options")
        self.name = cell(self.given.get("name")) or source.stem

    def predictions(self) -> tuple[pd.DataFrame, CohortSpec] | None:
        """The frame as a predictions table, with its specification; None where something is
        refused.
        """
        frame, given, log, gather = self.frame, self.given, self.log, self.errors.gather
        task_entries = self._entries("tasks")
        attribute_entries = self._entries("attributes")
        if not task_entries and not self.errors:
            raise InputError(
                "mapping 'tasks' is empty: give each finding the columns of its 'label', "
                "'original' and 'reconstructed'"
            )
        with gather():
            check_names(task_entries, attribute_entries)
        images = self._entries("image_metrics")
        with gather():
            check_keys("mapping 'image_metrics'", images, METRICS)
        with gather(), warnings.catch_warnings():
            # whoever assesses the table reads them again, and hears of earlier names then
            warnings.simplefilter("ignore", FutureWarning)
            options_of({"options": given.get("options")})
        table = self._identified()
        tasks, attributes = [], []
        for name, entry in task_entries.items():
            with gather():
                tasks.append(read_task(frame, table, name, entry, log, self.form))
        for name, entry in attribute_entries.items():
            with gather():
                attributes.append(read_attribute(frame, table, name, entry, log, self.form))
        for metric in sorted(METRICS):
            # a column that another metric takes is not what it is called
            if metric in images or (metric in frame and metric not in images.values()):
                with gather():
                    table[metric] = self._metric(metric, images.get(metric, metric))
        with gather():
            self._carry(table, attribute_entries)
        with gather():
            kind_of(given)
        # what follows rests on all of it
        if self.errors:
            return None
        # in this order: rows that are left out contradict nobody, and are counted in no group
        table = one_group(usable_rows(table, log), attributes, log)
        kept = usable_tasks(table, tasks, log)
        groups = usable_attributes(table, attributes, log)
        return table.reset_index(drop=True), spec_of(self.name, given, table, kept, groups)

    def _entries(self, key: str) -> dict[str, Any]:
        """A part of the mapping by name, empty where it is refused."""
        with self.errors.gather():
            return entries(f"mapping {key!r}", self.given.get(key))
        return {}

    def _column(self, column: object, what: str) -> Column:
        return column_of(self.frame, column, what, self.form)

    def _metric(self, metric: str, name: object) -> np.ndarray:
        """An image metric."""
        column = self._column(name, f"image_metrics.{metric}")
        found = numbers(column, infinite=True)
        self.log.add(
            f"rows without {metric}{in_words(found.words)} were left out of it", found.blank
        )
        low, high = BOUNDED.get(metric, (-np.inf, np.inf))
        outside = (found.values < low) | (found.values > high)
        check(~outside, column.where, f"no {metric} is there, which lies in [{low:g}, {high:g}]")
        return found.values

    def _carry(self, table: pd.DataFrame, attributes: Mapping[str, Any]) -> None:
        """Takes over the columns that the options name: strata as text, continuous ones as
        numbers.
        """
        options = entries("mapping 'options'", self.given.get("options"))
        strata, along = cell(options.get("strata")), options.get("continuous")
        if strata and strata not in table:
            found = names(self._column(strata, "options.strata"))
            blank = int(found.isna().sum())
            self.log.add(f"rows without an entry of {strata} are a stratum of their own", blank)
            table[strata] = found
        of_column = {
            cell(entry.get("column", name)): entry
            for name, entry in attributes.items()
            if isinstance(entry, Mapping)
        }
        for name in words_of(along):
            if name in table:
                raise InputError(
                    f"mapping 'options' 'continuous' names {name!r}, which is a group; name the "
                    "column of numbers behind it"
                )
            column = self._column(name, "options.continuous")
            fields = of_column.get(name, {})
            table[name] = quantity(column, name, fields, Log() if "cut" in fields else self.log)

    def _constant(self, what: str, default: Any) -> tuple[str, str] | None:
        """A value for all rows and what an error is to call it; None where a column is named."""
        entry = self.given.get(what, {"value": default})
        if isinstance(entry, Mapping):
            if set(entry) != {"value"}:
                raise InputError(
                    f"mapping {what!r} must be a column name or {{value: constant}}, got "
                    f"{dict(entry)}"
                )
            return cell(entry["value"]), f"mapping {what!r}"
        text = cell(entry)
        if text in list(self.frame.columns):
            return None
        if what in ("level", "seed") and text.replace(".", "", 1).isdigit():
            return text, f"mapping {what!r}"
        near = nearest(text, [one for one in self.frame.columns if one])
        if what in ("reconstructor", "mitigation") and not near:
            return text, f"mapping {what!r}"
        return None

    def _text(self, what: str, default: Any = None) -> pd.Series:
        """A key of the mapping whose value is text in every row."""
        if constant := self._constant(what, default):
            text, where = constant
            values = pd.Series([text or None] * len(self.frame), dtype=object)
        else:
            column = self._column(self.given[what], what)
            where, values = column.where, names(column, identifiers=what == "example")
        check(values.notna(), where, f"the entry is empty; give every row its {what}")
        return values

    def _number(self, what: str, default: float) -> np.ndarray:
        """A key of the mapping whose value is a finite number in every row."""
        if constant := self._constant(what, default):
            text, where = constant
            values = np.full(len(self.frame), real(where, text) if text else np.nan)
        else:
            column = self._column(self.given[what], what)
            where, values = column.where, numbers(column).values
        check(
            np.isfinite(values), where, f"the entry is no finite number; give every row its {what}"
        )
        if what == "seed":
            # a seed of 0.5 would become 0 below, and meet the rows of seed 0
            check(values == values.round(), where, "a seed is a whole number")
        return values

    def _identified(self) -> pd.DataFrame:
        """Example, patient, split and study cell of every row."""
        frame, given = self.frame, self.given
        table = pd.DataFrame(index=frame.index)
        gather = self.errors.gather
        with gather():
            table["example_id"] = self._examples()
        if "patient" in given:
            with gather():
                table["patient_id"] = self._patients()
        else:
            self.log.add(
                "no patient column: every image counts as a patient of its own; rows", len(frame)
            )
            table["patient_id"] = table.get("example_id")
        # what is counted of the tasks is counted by split
        table["split"] = "test"
        with gather():
            table["split"], named = read_split(frame, given.get("split"))
            if "patient_id" in table:
                one_split(table["patient_id"], table["split"], named)
        with gather():
            table["level"] = self._number("level", 1.0)
        with gather():
            table["reconstructor"] = self._text("reconstructor", self.source.stem)
        with gather():
            table["mitigation"] = self._mitigation()
        with gather():
            table["seed"] = self._number("seed", 0).astype(int)
        table["cohort"] = self.name
        return table

    def _examples(self) -> pd.Series | list[str]:
        """The name of every row's image."""
        given = self.given
        varying = [what for what in CELL if what in given and self._constant(what, "") is None]
        if "example" in given:
            return self._text("example")
        if varying:
            raise InputError(
                f"mapping needs 'example' (the image's name) because {varying} are columns: "
                "rows of one image must be matched"
            )
        # padded, so that sorting keeps the order of the file
        return [f"row{i + 1:07d}" for i in range(len(self.frame))]

    def _patients(self) -> pd.Series:
        """The patient of every row, None where the table names none; those rows are counted."""
        column = self._column(self.given["patient"], "patient")
        found = names(column, identifiers=True)
        words = names(column)[found.isna()].value_counts().to_dict()
        if found.isna().all():
            raise InputError(
                f"{column.where} names no patient{in_words(words)}: name another column, or leave "
                "'patient' out of the mapping where every image is of another patient"
            )
        # many images of nobody are no patient of many images
        self.log.add(
            f"rows without a patient{in_words(words)} were left out",
            int(found.isna().sum()),
            loud=bool(words),
        )
        return found

    def _mitigation(self) -> pd.Series:
        """The mitigation of every row; None written by Python, or an empty cell, is none."""
        if constant := self._constant("mitigation", ""):
            found = pd.Series([constant[0] or None] * len(self.frame), dtype=object)
        else:
            found = names(self._column(self.given["mitigation"], "mitigation"))
        return found.fillna(NO_MITIGATION).replace("None", NO_MITIGATION)
