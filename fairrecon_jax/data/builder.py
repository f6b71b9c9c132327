"""What every cohort builder shares: the walk over a tree, the TFDS features, and the way from
recorded columns to a specification.
"""

from __future__ import annotations

import abc
import dataclasses
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

from fairrecon_jax.data.cohort import SPLIT, TRAIN_MEDIAN, CohortConfig
from fairrecon_jax.data.images import is_constant, resize, to_integers
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.policies import (
    attribute_column,
    check_attributes,
    choose_attributes,
    choose_tasks,
    evaluated,
    recoded,
)
from fairrecon_jax.data.records import SourceRecord, limit, note_attributes, unique
from fairrecon_jax.physics import describe
from fairrecon_jax.types import STORED, CohortSpec, DegradationSpec, InputError, Task

MRI_LEVELS = describe("mri_radial", (4.0, 8.0, 16.0), 8.0)
XRAY_LEVELS = describe("xray_low_dose", (1e5, 1e4, 3e3), 1e4)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One example as it is stored.

    Attributes:
      example_id: unique name.
      patient_id: the patient's name.
      image: [H, W] unsigned integers.
      mask: [H, W] uint8 in {0, 1}, or None where the cohort has no segmentation.
      columns: recorded values, by column name.
      shape: (rows, columns, ...) of the file before resizing.
      stored: further images of the example by name, [H, W] uint16: what others made of it.
      codes: the different values of the mask's file, where some are declared to be inside.
    """

    example_id: str
    patient_id: str
    image: np.ndarray
    mask: np.ndarray | None
    columns: dict[str, Any]
    shape: tuple[int, ...] = ()
    stored: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    codes: tuple[float, ...] = ()


class CohortBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Base of the cohorts: a subclass says what its files mean (`scan`, `load`, `labels`), the rest
    is here.

    Class attributes:
      title, modality, citation, degradation: for the specification.
      dtype: type of stored pixels.
      columns: recorded columns and their types (str, float or int).
      tasks: default tasks; extra_tasks: tasks that must be asked for.
      attribute_names: of "sex", "age", "race".
      default_age_cut: years or "train median".
      default_slices: slices that count in evaluation.
      depth: slices of every volume; None where they differ, or there are none.
      stored: names of further images of every example.
      mask_values: values other than 0 that masks have, where a configuration may choose among them.
      inside: values of masks that are declared to lie in the region; () where words say which do,
        None where the layout is known.
    """

    VERSION = tfds.core.Version("1.0.0")
    cohort: ClassVar[str]
    title: ClassVar[str]
    modality: ClassVar[Any]
    citation: ClassVar[str]
    degradation: ClassVar[DegradationSpec]
    dtype: ClassVar[type]
    columns: ClassVar[dict[str, type]]
    tasks: ClassVar[tuple[Task, ...]]
    extra_tasks: ClassVar[tuple[Task, ...]] = ()
    attribute_names: ClassVar[tuple[str, ...]]
    default_age_cut: ClassVar[float | str] = TRAIN_MEDIAN
    default_slices: ClassVar[str | tuple[float, float]] = "all"
    depth: ClassVar[int | None] = None
    stored: ClassVar[tuple[str, ...]] = ()
    mask_values: ClassVar[tuple[int, ...]] = ()
    inside: ClassVar[tuple[float, ...] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # TFDS would look for texts beside the file of the class, which may be anywhere.
        cls.pkg_dir_path = tfds.core.Path(__file__).parent
        # TFDS would enter every subclass in its global list.
        super().__init_subclass__(skip_registration=True, **kwargs)

    def __init__(self, config: CohortConfig, data_dir: str, samples: Iterator[Sample]) -> None:
        """Prepares to write `samples`, once, under `data_dir`."""
        self._cohort_config, self._samples = config, samples
        stored = tfds.core.BuilderConfig(
            name=config.stored_name, description=f"{self.title}, {config.stored_name}"
        )
        super().__init__(data_dir=data_dir, config=stored, file_format="array_record")

    @classmethod
    def of(cls, config: CohortConfig) -> type[CohortBuilder]:
        """The builder for a configuration; itself, unless the configuration describes the cohort.

        Raises:
          InputError: the configuration describes columns, and the cohort has its own.
        """
        if config.columns is not None:
            raise InputError(f"columns describe the cohort 'table', not {cls.cohort!r}")
        return cls

    @classmethod
    @abc.abstractmethod
    def scan(
        cls, root: Path, config: CohortConfig, notes: Notes, progress: bool = False
    ) -> list[SourceRecord]:
        """Lists what can be read under `root`, with progress bars if wanted; raises where a table
        is missing or lacks a column.
        """

    @classmethod
    @abc.abstractmethod
    def load(
        cls, root: Path, record: SourceRecord, config: CohortConfig, notes: Notes
    ) -> list[Sample]:
        """Reads one record; what cannot be used is noted."""

    @classmethod
    @abc.abstractmethod
    def labels(cls, raw: pd.DataFrame, config: CohortConfig) -> dict[str, np.ndarray]:
        """[N] float values in {0, 1, NaN} of every classification task by name."""

    @classmethod
    def lists(cls, root: Path) -> dict[str, set[str]]:
        """Patients of each official list or set that comes with the data; empty where there are
        none.
        """
        return {}

    @classmethod
    def segmentation(cls) -> tuple[Task, ...]:
        """The segmentation tasks, which fill the stored mask's channels."""
        return tuple(task for task in cls.tasks if task.kind == "segmentation")

    def _info(self) -> tfds.core.DatasetInfo:
        size = self._cohort_config.image_size
        kinds = {str: tfds.features.Text(), float: np.float32, int: np.int32}
        # encoding "bytes": a PNG would have to be decoded for every example of every epoch
        features: dict[str, Any] = {
            "image": tfds.features.Tensor(
                shape=(size, size, 1), dtype=self.dtype, encoding="bytes"
            ),
            "example_id": tfds.features.Text(),
            "patient_id": tfds.features.Text(),
            **{name: kinds[kind] for name, kind in self.columns.items()},
            **{
                f"{STORED}{name}": tfds.features.Tensor(
                    shape=(size, size, 1), dtype=np.uint16, encoding="bytes"
                )
                for name in self.stored
            },
        }
        if self.segmentation():
            features["mask"] = tfds.features.Tensor(
                shape=(size, size, len(self.segmentation())), dtype=np.uint8, encoding="bytes"
            )
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), citation=self.citation
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        # one split on disk: the parts are by patient and change without preparing again
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for sample in self._samples:
            record = {
                "image": sample.image[..., None],
                "example_id": sample.example_id,
                "patient_id": sample.patient_id,
            }
            # [H, W] -> [H, W, 1]: one channel, as no cohort has two regions
            if sample.mask is not None:
                record["mask"] = sample.mask[..., None]
            record |= {f"{STORED}{name}": sample.stored[name][..., None] for name in self.stored}
            yield (
                sample.example_id,
                {**record, **{name: sample.columns[name] for name in self.columns}},
            )

    @classmethod
    def records(
        cls, root: Path, config: CohortConfig, notes: Notes, progress: bool = False
    ) -> list[SourceRecord]:
        """Scans, drops duplicates with a note, keeps the wanted number of patients, notes unknown
        attributes.

        Raises:
          FileNotFoundError: `root` is not a folder.
          InputError: nothing usable is found.
        """
        if not root.is_dir():
            raise FileNotFoundError(f"no data folder {root}")
        kept = limit(unique(cls.scan(root, config, notes, progress), notes), config.patients)
        if not kept:
            reasons = notes.left_out()
            raise InputError(
                f"nothing usable for {cls.cohort} under {root}"
                + (f": {reasons}" if reasons else "")
            )
        cls.note(kept, notes)
        return kept

    @classmethod
    def note(cls, records: list[SourceRecord], notes: Notes) -> None:
        """Notes what is unknown or in conflict about the attributes of patients."""
        note_attributes(records, cls.modality == "xray", notes)

    @classmethod
    def tables(cls, root: Path) -> list[Path]:
        """Tables outside of the tree that the records depend on."""
        return []

    @classmethod
    def samples(
        cls,
        root: Path,
        records: Iterable[SourceRecord],
        config: CohortConfig,
        notes: Notes,
        workers: int = 0,
    ) -> Iterator[Sample]:
        """Reads records in order with a few threads ahead of the consumer."""
        # more than 8 would only hold more images: one writer takes them in their order
        threads = workers or min(8, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[list[Sample]]] = deque()
            for record in records:
                waiting.append(pool.submit(cls.load, root, record, config, notes))
                # Results are taken in the order of the records: threads change no cohort.
                if len(waiting) > 2 * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    @classmethod
    def check(cls, config: CohortConfig) -> None:
        """Raises InputError where the configuration asks for a task, attribute or value of masks
        that the cohort does not have.
        """
        if unknown := sorted(set(config.mask_values) - set(cls.mask_values)):
            known = ", ".join(map(str, cls.mask_values)) or "no values to choose among"
            raise InputError(
                f"mask_values has {unknown[0]}; the masks of {cls.cohort} have {known}"
            )
        cls.outline(config)
        check_attributes(cls.cohort, cls.attribute_names, config)

    @classmethod
    def chosen_attributes(cls, config: CohortConfig) -> tuple[str, ...]:
        """Names of the attributes that the configuration asks for, all where it asks for none."""
        return config.attributes or recoded(cls.attribute_names, config)

    @classmethod
    def outline(cls, config: CohortConfig) -> CohortSpec:
        """The specification without attributes, whose groups follow from the data.

        Raises:
          InputError: a task that the cohort does not have.
        """
        tasks = choose_tasks(cls.cohort, cls.tasks, cls.extra_tasks, config)
        return CohortSpec(
            cls.cohort, cls.title, cls.modality, tasks, (), cls.degradation, cls.citation
        )

    @classmethod
    def describe(
        cls, raw: pd.DataFrame, config: CohortConfig, train_rows: np.ndarray | None
    ) -> tuple[pd.DataFrame, CohortSpec]:
        """Applies the policies to the recorded columns.

        Args:
          raw: the recorded columns, one row per example in stored order.
          config: the policies.
          train_rows: row numbers of the training patients, for the train median.

        Returns:
          The cohort's table (attributes, labels, then recorded columns) and its specification.

        Raises:
          InputError: a task or attribute that the cohort does not have.
        """
        outline = cls.outline(config)
        labels = cls.labels(raw, config)
        table = raw[["example_id", "patient_id"]].copy()
        attributes = []
        for name in choose_attributes(cls.cohort, cls.attribute_names, config, raw):
            table[name], attribute = attribute_column(
                name, raw, config, cls.default_age_cut, train_rows
            )
            attributes.append(attribute)
        table = table.assign(**task_columns(outline, labels, raw))
        table["evaluate"] = evaluated(raw, config, cls.default_slices)
        for name in raw.columns:
            # pixels are in the table already, under the task's name
            if name not in table and not name.endswith("_pixels"):
                table[name] = raw[name]
        return table, dataclasses.replace(outline, attributes=tuple(attributes))


def task_columns(
    spec: CohortSpec, labels: dict[str, np.ndarray], raw: pd.DataFrame
) -> dict[str, np.ndarray]:
    """[N] labels, or pixels of the region, of every task by name.

    Args:
      spec: names the tasks.
      labels: of the classification tasks.
      raw: the recorded columns.
    """
    return {
        task.name: labels[task.name]
        if task.kind == "classification"
        else raw[f"{task.name}_pixels"].to_numpy()
        for task in spec.tasks
    }


def whole_image(
    record: SourceRecord, image: np.ndarray, size: int, dtype: type, notes: Notes
) -> list[Sample]:
    """The one example of a record without a mask; none, with a note, where resizing leaves no
    contrast.
    """
    small = resize(image, size)
    # a few bright pixels in a large image average away
    if is_constant(small):
        notes.skip(record.files[0], "constant", f"nothing is left of the image at {size} pixels")
        return []
    return [
        Sample(
            record.name,
            record.patient_id,
            to_integers(small, dtype),
            None,
            record.columns,
            image.shape,
        )
    ]
