"""A cohort in memory: its configuration, its table and its random-access images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fairrecon_jax.data.columns import TableColumns
from fairrecon_jax.data.words import QUANTILES, CutSide, check_side
from fairrecon_jax.keys import example_digest, free
from fairrecon_jax.runtime.choices import check_numbers
from fairrecon_jax.types import STORED, CohortSpec

TRAIN_MEDIAN = "train median"
SPLIT = "examples"
GIVEN_SPLIT = "given_split"
"""The column of a cohort's table that says to which part the data assign a patient."""
VIEWS = ("frontal", "lateral")
UNCERTAINTY = ("ignore", "zeros", "ones")
RACE = ("six", "pooled", "white_vs_rest")


@dataclasses.dataclass(frozen=True)
class CohortConfig:
    """Which cohort, and every choice that turns its files into examples, labels and groups.

    What lies on disk depends on name, image_size, views, slices, mask_values, patients, source and
    `columns.stored`; the other fields are applied on opening.

    Attributes:
      name: a key of `registry.COHORTS`.
      image_size: height and width in pixels after resizing.
      views: X-ray views to keep, of "frontal" and "lateral".
      slices: MRI slices to store: "all", or (first, last) counted from 0, both included.
      evaluate_slices: slices that count in evaluation: "default" (the cohort's), "all", (first,
        last) from 0, both included, or two fractions of the volume in [0, 1] (written as floats).
      uncertainty: what CheXpert's -1 becomes: "ignore" (unknown), "zeros" or "ones".
      race: grouping policy, "six", "pooled" or "white_vs_rest"; of several the first makes the
        attribute "race" and each of the others one of its own, e.g. "race_pooled".
      age_cut: years ("under c" against "c and over"), several of them ascending (one group more),
        "train median", "train tertiles", "train quartiles", or "default" (the paper's cut, else
        the train median).
      age_cut_side: the group of an age that equals a cut: "over" it ("62 and over", against "under
        62") or "under" it ("62 and under", against "over 62": the published code's).
      mask_values: values of the masks that make up the region, of a cohort whose masks have several
        (UCSF-PDGM: 1 necrotic, 2 oedema, 4 enhancing); () for all but 0.
      tasks: task names in order, empty for the cohort's default.
      attributes: attribute names in order, empty for all the cohort has.
      patients: keep only this many patients, chosen by the digest of their name; 0 for all.
      source: a word that tells two trees of the same layout apart in one folder of prepared
        cohorts, e.g. "phantom".
      columns: what the columns of the cohort "table" mean; None for every other cohort.
      module: imported first, as it registers a builder of one's own: a dotted name or a file.

    Example:
      >>> config = CohortConfig("chexpert", image_size=128, age_cut=(40, 60), tasks=["Edema"])
      >>> config.tasks, config.views
      (('Edema',), ('frontal',))
    """

    name: str
    image_size: int = 256
    views: tuple[str, ...] = ("frontal",)
    slices: str | tuple[int, int] = "all"
    evaluate_slices: str | tuple[float, float] = "default"
    uncertainty: Literal["ignore", "zeros", "ones"] = "ignore"
    race: str | tuple[str, ...] = "six"
    age_cut: float | str | tuple[float, ...] = "default"
    age_cut_side: CutSide = "over"
    mask_values: tuple[int, ...] = ()
    tasks: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    patients: int = 0
    source: str = ""
    columns: TableColumns | None = None
    module: str = free("")

    def __post_init__(self) -> None:
        """Turns lists into tuples and refuses values outside the choices above."""
        for field in (
            *("views", "slices", "evaluate_slices", "mask_values"),
            *("tasks", "attributes", "age_cut", "race"),
        ):
            value = getattr(self, field)
            if isinstance(value, Sequence) and not isinstance(value, str):
                # configurations give lists: the same choice must compare equal
                object.__setattr__(self, field, tuple(value))
        check_numbers(self)
        if not 8 <= self.image_size <= 4096:
            raise ValueError(f"image_size must lie in 8..4096, got {self.image_size}")
        if not self.views or set(self.views) - set(VIEWS):
            raise ValueError(f"views must be some of {VIEWS}, got {self.views}")
        if self.uncertainty not in UNCERTAINTY:
            raise ValueError(f"uncertainty must be one of {UNCERTAINTY}, got {self.uncertainty!r}")
        policies = (self.race,) if isinstance(self.race, str) else self.race
        if not policies or len(set(policies)) < len(policies) or set(policies) - set(RACE):
            raise ValueError(f"race must be one of {RACE}, or several of them, got {self.race!r}")
        self._check_age_cut()
        if len(set(self.mask_values)) < len(self.mask_values) or 0 in self.mask_values:
            raise ValueError(
                f"mask_values must be different values above 0, got {self.mask_values}"
            )
        check_side("age_cut_side", self.age_cut_side)
        if self.patients < 0:
            raise ValueError(f"patients must be 0 (all) or a positive number, got {self.patients}")
        # it ends a folder's name: nothing in it may act as a path
        if not all(c.isalnum() or c in "-_." for c in self.source) or ".." in self.source:
            raise ValueError(
                f"source must be one word of letters, digits, '-', '_' and '.', got {self.source!r}"
            )
        _check_range("slices", self.slices, ("all",))
        _check_range("evaluate_slices", self.evaluate_slices, ("all", "default"))

    def _check_age_cut(self) -> None:
        """Refuses cuts that are neither a name nor ascending years above 0."""
        cut = self.age_cut
        if isinstance(cut, str):
            fits = cut in ("default", *QUANTILES)
        else:
            cuts = cut if isinstance(cut, tuple) else (cut,)
            numbers = all(isinstance(c, int | float) and 0 < c < math.inf for c in cuts)
            fits = bool(cuts) and numbers and list(cuts) == sorted(set(cuts))
        if not fits:
            names = ", ".join(map(repr, ("default", *QUANTILES)))
            raise ValueError(
                "age_cut must be a number of years above 0, several of them ascending, or one of "
                f"{names}, got {cut!r}"
            )

    def check_depth(self, depth: int) -> None:
        """Refuses slices that a volume does not have.

        Args:
          depth: slices of a volume.

        Raises:
          ValueError: the last slice, counted from 0, is not one of them; the message names the
            field.
        """
        for field in ("slices", "evaluate_slices"):
            value = getattr(self, field)
            # fractions fit any depth
            if isinstance(value, str) or (field == "evaluate_slices" and are_fractions(value)):
                continue
            # the first is at most the last, so the last decides
            if value[1] >= depth:
                raise ValueError(
                    f"{field} must lie in 0..{depth - 1}, a volume has {depth} slices, got {value}"
                )
        judged, stored = self.evaluate_slices, self.slices
        if isinstance(judged, str) or isinstance(stored, str) or are_fractions(judged):
            return
        if judged[1] < stored[0] or judged[0] > stored[1]:
            raise ValueError(f"evaluate_slices {judged} are none of the slices {stored}")

    @property
    def races(self) -> dict[str, str]:
        """The policy of each attribute that is a coding of race, by the attribute's name.

        Example:
          >>> CohortConfig("chexpert", race=("six", "pooled")).races
          {'race': 'six', 'race_pooled': 'pooled'}
        """
        policies = (self.race,) if isinstance(self.race, str) else self.race
        return {f"race_{p}" if place else "race": p for place, p in enumerate(policies)}

    @property
    def stored_name(self) -> str:
        """The name of the folder on disk: whatever the stored examples depend on."""
        views = (
            ""
            if self.views == ("frontal",)
            # in the order of VIEWS: the same views in another order are the same files
            else "-" + "_".join(view for view in VIEWS if view in self.views)
        )
        slices = (
            "" if isinstance(self.slices, str) else f"-slices_{self.slices[0]}_{self.slices[1]}"
        )
        patients = f"-patients_{self.patients}" if self.patients else ""
        if self.mask_values:
            patients += "-mask_" + "_".join(map(str, sorted(self.mask_values)))
        columns = "" if self.columns is None else f"-{self.columns.digest[:10]}"
        return f"{self.image_size}px{views}{slices}{patients}{columns}" + (
            f"-{self.source}" if self.source else ""
        )


def are_fractions(limits: tuple[float, float]) -> bool:
    """Whether limits of slices are fractions of the volume: floats of at most 1."""
    # by type: (0, 1) are the first two slices, (0.0, 1.0) is the whole volume
    return all(isinstance(limit, float) for limit in limits) and limits[1] <= 1


def _check_range(field: str, value: Any, words: tuple[str, ...]) -> None:
    if isinstance(value, str):
        if value not in words:
            raise ValueError(f"{field} must be one of {words} or (first, last), got {value!r}")
    elif len(value) != 2 or not 0 <= value[0] <= value[1]:
        raise ValueError(f"{field} must be (first, last) with 0 <= first <= last, got {value}")
    elif not are_fractions(value) and any(int(limit) != limit for limit in value):
        raise ValueError(f"{field} must be whole numbers, or fractions of at most 1, got {value}")


class RecordSource:
    """Random access to the stored images of a cohort; opens its files on first use, so it travels
    to worker processes by its path.
    """

    def __init__(
        self, folder: str | Path, length: int, masks: int, stored: tuple[str, ...] = ()
    ) -> None:
        """Takes the folder of the prepared data set, its number of examples, its number of mask
        channels to hand out and the names of its further images.
        """
        self._folder, self._length, self._masks = str(folder), length, masks
        self._stored = stored
        self._source: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # Open files do not travel: another process opens its own.
        return {**self.__dict__, "_source": None}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """{"image": [H, W, 1] uint8 or uint16, "mask": [H, W, S] uint8} of one row of the table,
        and by STORED and their names its further images, [H, W, 1] uint16.
        """
        # checked here, as negative numbers would count from the end
        row = int(index)
        if not 0 <= row < self._length:
            raise IndexError(f"row {row} of a cohort of {self._length} examples")
        if self._source is None:
            masks = ("mask",) if self._masks else ()
            more = tuple(f"{STORED}{name}" for name in self._stored)
            self._source = open_records(self._folder, ("image", *masks, *more))
        record = self._source[row]
        image = record["image"]
        mask = record["mask"] if self._masks else np.zeros((*image.shape[:2], 0), np.uint8)
        stored = {f"{STORED}{name}": record[f"{STORED}{name}"] for name in self._stored}
        return {"image": image, "mask": mask, **stored}


def open_records(folder: str | Path, fields: tuple[str, ...] = ()) -> Any:
    """The records of a prepared folder: a sequence in their order on disk.

    Args:
      folder: of the data set.
      fields: what is read of a record; all if empty.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(folder))
    if not fields:
        return builder.as_data_source(SPLIT)
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    known = builder.info.features
    chosen = tfds.features.FeaturesDict({name: known[name] for name in fields})
    return _Records(builder.as_data_source(SPLIT, deserialize_method=raw), chosen)


@dataclasses.dataclass(frozen=True)
class _Records:
    """Records of which some fields are read: the columns of the table are in each of them too, and
    take longer to read than its image.
    """

    source: Any
    features: Any

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        return self.features.deserialize_example_np(self.source[row])


def unit_range(image: np.ndarray) -> np.ndarray:
    """An image as float32 in [0, 1]: whole numbers by their type's range, floats as they are."""
    if image.dtype.kind == "f":
        return image.astype(np.float32, copy=False)
    # a float64 divisor would promote the image
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


@dataclasses.dataclass(frozen=True, repr=False)
class Cohort:
    """Examples with their labels and groups.

    Attributes:
      spec: what the columns mean.
      table: one row per example, row i belongs to source[i]: example_id, patient_id, one column per
        attribute (group name or None), one per classification task (0, 1 or NaN), one per
        segmentation task (number of truth pixels), and the raw columns age_years, sex_recorded,
        race_recorded, view, slice, slices, evaluate where the cohort has them.
      source: source[i] -> {"image": [H, W, 1] uint8 or uint16, "mask": [H, W, S] uint8}.
      stored: names of further images of every example, which batches then hold as well.

    Example:
      >>> cohort = fr.arrays(np.zeros((2, 16, 16)), [1, 0], groups={"sex": ["m", None]})
      >>> cohort.labels().tolist(), cohort.attributes().tolist(), cohort.example(0)["image"].shape
      ([[1.0], [0.0]], [[0], [-1]], (16, 16, 1))
    """

    spec: CohortSpec
    table: pd.DataFrame
    source: Any
    stored: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        size = "no image"
        if len(self):
            size = " x ".join(map(str, self.source[0]["image"].shape[:2]))
        patients = self.table["patient_id"].nunique()
        parts = [
            f"{self.spec.name}: {len(self)} images of {patients} patients, {size}",
            ", ".join(task.name for task in self.spec.tasks),
            ", ".join(attribute.name for attribute in self.spec.attributes),
        ]
        return f"Cohort({'; '.join(filter(None, parts))})"

    @cached_property
    def _labels(self) -> np.ndarray:
        names = [task.name for task in self.spec.classification_tasks]
        # the reshape keeps two axes where there is no task
        return self.table[names].to_numpy(np.float32).reshape(len(self.table), len(names))

    @cached_property
    def _attributes(self) -> np.ndarray:
        # -1 is also the code that pandas gives to a group that is missing
        columns = np.full((len(self.table), len(self.spec.attributes)), -1, np.int32)
        for column, attribute in enumerate(self.spec.attributes):
            columns[:, column] = pd.Categorical(
                self.table[attribute.name], categories=list(attribute.groups)
            ).codes
        return columns

    @cached_property
    def _digests(self) -> np.ndarray:
        # once per cohort, not per batch: hashing text is slow in comparison
        return np.stack([example_digest(name) for name in self.table["example_id"]]).reshape(-1, 2)

    def originals(self) -> Cohort:
        """The same examples without the images that something else made of them."""
        return dataclasses.replace(self, stored=())

    def labels(self) -> np.ndarray:
        """[N, T] float32 in {0, 1}, NaN = unknown, columns as `spec.classification_tasks`."""
        return self._labels

    def attributes(self) -> np.ndarray:
        """[N, A] int32 group index, -1 = unknown, columns as `spec.attributes`."""
        return self._attributes

    def digests(self) -> np.ndarray:
        """[N, 2] uint32 digest of each example's name, which keys all randomness of the example."""
        return self._digests

    def example(self, i: int) -> dict[str, np.ndarray]:
        """Row i as one element of a batch: the fields of `types.Batch` without the leading axis,
        image float32 in [0, 1].
        """
        record = self.source[i]
        image = record["image"]
        return {
            "image": unit_range(image),
            "mask": record["mask"].astype(np.float32),
            "labels": self._labels[i],
            "attributes": self._attributes[i],
            "example_id": self._digests[i],
            "index": np.int32(i),
            "weight": np.float32(1),
            **{f"{STORED}{name}": unit_range(record[f"{STORED}{name}"]) for name in self.stored},
        }
