"""What every cohort builder shares: the walk over a tree, the TFDS features, and the way from recorded columns to a specification."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

from fairrecon_jax.data import policies
from fairrecon_jax.data.cohort import SPLIT, TRAIN_MEDIAN, CohortConfig
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.parallel import example_digest
from fairrecon_jax.types import Attribute, CohortSpec, DegradationSpec, Task

MRI_LEVELS = DegradationSpec("mri_radial", (4.0, 8.0, 16.0), 8.0)
XRAY_LEVELS = DegradationSpec("xray_low_dose", (1e5, 1e4, 3e3), 1e4)


@dataclasses.dataclass(frozen=True)
class Unit:
    """Files that are read together: one X-ray, one slice, or one volume.

    Attributes:
      name: unique name; the example's name where a unit holds one example.
      patient_id: the patient's name.
      files: paths inside the data folder, the image first.
      columns: recorded values, by column name.
    """

    name: str
    patient_id: str
    files: tuple[str, ...]
    columns: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One example as it is stored: image [H, W] unsigned integers, mask [H, W] uint8 or None, and its recorded columns."""

    example_id: str
    patient_id: str
    image: np.ndarray
    mask: np.ndarray | None
    columns: dict[str, Any]


class CohortBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Base of the cohorts: a subclass says what its files mean (`scan`, `load`, `labels`), the rest is here.

    Class attributes:
      title, modality, citation, degradation: for the specification.
      dtype: type of stored pixels.
      columns: recorded columns and their types (str, float or int).
      tasks: default tasks; extra_tasks: tasks that must be asked for.
      attribute_names: of "sex", "age", "race".
      default_age_cut: years or "train median".
      default_slices: slices that count in evaluation.
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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(skip_registration=True, **kwargs)

    def __init__(self, config: CohortConfig, data_dir: str, units: list[Unit], samples: Callable[[], Iterator[Sample]]) -> None:
        """Prepares to write `samples()` under `data_dir`."""
        self._cohort_config, self._units, self._samples = config, units, samples
        stored = tfds.core.BuilderConfig(name=config.stored_name, description=f"{self.title}, {config.stored_name}")
        super().__init__(data_dir=data_dir, config=stored, file_format="array_record")

    @classmethod
    def scan(cls, root: Path, config: CohortConfig, notes: Notes) -> list[Unit]:
        """Lists what can be read under `root`; raises where a table is missing or lacks a column."""
        raise TypeError(f"{cls.__name__} does not say how its tree is scanned")

    @classmethod
    def load(cls, root: Path, unit: Unit, config: CohortConfig, notes: Notes) -> list[Sample]:
        """Reads one unit; what cannot be used is noted."""
        raise TypeError(f"{cls.__name__} does not say how its files are read")

    @classmethod
    def labels(cls, raw: pd.DataFrame, config: CohortConfig) -> dict[str, np.ndarray]:
        """[N] float values in {0, 1, NaN} of every classification task by name."""
        raise TypeError(f"{cls.__name__} does not say what its labels are")

    @classmethod
    def segmentation(cls) -> tuple[Task, ...]:
        """The segmentation tasks, which fill the stored mask's channels."""
        return tuple(task for task in cls.tasks if task.kind == "segmentation")

    def _info(self) -> tfds.core.DatasetInfo:
        size = self._cohort_config.image_size
        kinds = {str: tfds.features.Text(), float: np.float32, int: np.int32}
        features: dict[str, Any] = {
            "image": tfds.features.Tensor(shape=(size, size, 1), dtype=self.dtype, encoding="bytes"),
            "example_id": tfds.features.Text(),
            "patient_id": tfds.features.Text(),
            **{name: kinds[kind] for name, kind in self.columns.items()},
        }
        if self.segmentation():
            features["mask"] = tfds.features.Tensor(shape=(size, size, len(self.segmentation())), dtype=np.uint8, encoding="bytes")
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), citation=self.citation)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for sample in self._samples():
            record = {"image": sample.image[..., None], "example_id": sample.example_id, "patient_id": sample.patient_id}
            if sample.mask is not None:
                record["mask"] = sample.mask[..., None]
            yield sample.example_id, {**record, **{name: sample.columns[name] for name in self.columns}}

    @classmethod
    def units(cls, root: Path, config: CohortConfig, notes: Notes) -> list[Unit]:
        """Scans, drops duplicates with a note, keeps the wanted number of patients, notes unknown attributes.

        Raises:
          FileNotFoundError: `root` is not a folder.
          ValueError: nothing usable is found.
        """
        if not root.is_dir():
            raise FileNotFoundError(f"no data folder {root}")
        found: dict[str, Unit] = {}
        for unit in cls.scan(root, config, notes):
            if unit.name in found:
                notes.skip(unit.files[0], "duplicate", f"{unit.name} is already there as {found[unit.name].files[0]}")
            else:
                found[unit.name] = unit
        kept = _limit(list(found.values()), config.patients)
        if not kept:
            reasons = ", ".join(f"{count} x {kind}" for (_, kind), count in notes.counts().items())
            raise ValueError(f"nothing usable for {cls.cohort} under {root}" + (f" ({reasons})" if reasons else ""))
        _note_attributes(cls, kept, notes)
        return kept

    @classmethod
    def samples(cls, root: Path, units: Iterable[Unit], config: CohortConfig, notes: Notes, workers: int = 0) -> Iterator[Sample]:
        """Reads units in order with a few threads ahead of the consumer."""
        threads = workers or min(8, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[list[Sample]]] = deque()
            for unit in units:
                waiting.append(pool.submit(cls.load, root, unit, config, notes))
                if len(waiting) > 2 * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    @classmethod
    def describe(cls, raw: pd.DataFrame, config: CohortConfig, train_rows: np.ndarray | None) -> tuple[pd.DataFrame, CohortSpec]:
        """Applies the policies to the recorded columns.

        Args:
          raw: the recorded columns, one row per example in stored order.
          config: the policies.
          train_rows: row numbers of the training patients, for the train median.

        Returns:
          The cohort's table (attributes, labels, then recorded columns) and its specification.

        Raises:
          ValueError: a task or attribute that the cohort does not have.
        """
        tasks = _choose_tasks(cls, config)
        labels = cls.labels(raw, config)
        table = raw[["example_id", "patient_id"]].copy()
        attributes = []
        for name in _choose_attributes(cls, config, raw):
            table[name], attribute = _attribute(cls, name, raw, config, train_rows)
            attributes.append(attribute)
        for task in tasks:
            table[task.name] = labels[task.name] if task.kind == "classification" else raw[f"{task.name}_pixels"].to_numpy()
        table["evaluate"] = policies.evaluated(raw, config, cls.default_slices)
        for name in raw.columns:
            if name not in table and not name.endswith("_pixels"):
                table[name] = raw[name]
        return table, CohortSpec(cls.cohort, cls.title, cls.modality, tasks, tuple(attributes), cls.degradation, cls.citation)


def fingerprint(root: Path, units: list[Unit]) -> str:
    """SHA-256 over the units' names, patients and recorded values, and the sizes of some of their files."""
    digest = hashlib.sha256()
    step = max(1, len(units) // 256)
    for number, unit in enumerate(sorted(units, key=lambda unit: unit.name)):
        digest.update(repr((unit.name, unit.patient_id, sorted(unit.columns.items()))).encode())
        if number % step == 0:
            paths = [root / file for file in unit.files]
            digest.update(repr([path.stat().st_size if path.is_file() else -1 for path in paths]).encode())
    return digest.hexdigest()


def _limit(units: list[Unit], patients: int) -> list[Unit]:
    if not patients:
        return units
    names = sorted({unit.patient_id for unit in units}, key=lambda name: tuple(example_digest(name)))
    chosen = set(names[:patients])
    return [unit for unit in units if unit.patient_id in chosen]


def _note_attributes(cls: type[CohortBuilder], units: list[Unit], notes: Notes) -> None:
    """Notes, once per patient, what is unknown or in conflict; for X-rays, age is noted once per image."""
    seen: set[tuple[str, str]] = set()
    first: dict[tuple[str, str], tuple[str, str]] = {}

    def once(key: str, unit: Unit, kind: str, reason: str) -> None:
        if (kind, key) not in seen:
            seen.add((kind, key))
            notes.keep(unit.files[0], kind, reason)

    readers = {"sex": policies.sex_group, "race": policies.race_group}
    for unit in units:
        if np.isnan(unit.columns["age_years"]):
            once(
                unit.name if cls.modality == "xray" else unit.patient_id,
                unit,
                "missing_age",
                f"patient {unit.patient_id}: no plausible age",
            )
        for name, reader in readers.items():
            column = f"{name}_recorded"
            if column not in unit.columns:
                continue
            recorded = unit.columns[column]
            group = reader(recorded)
            if group is None:
                once(unit.patient_id, unit, f"missing_{name}", f"patient {unit.patient_id}: {name} is {recorded!r}")
            elif first.setdefault((name, unit.patient_id), (group, recorded))[0] != group:
                other = first[name, unit.patient_id][1]
                once(unit.patient_id, unit, "conflict", f"patient {unit.patient_id}: {name} is {recorded!r} here and {other!r} elsewhere")


def _choose_tasks(cls: type[CohortBuilder], config: CohortConfig) -> tuple[Task, ...]:
    known = {task.name: task for task in (*cls.tasks, *cls.extra_tasks)}
    unknown = [name for name in config.tasks if name not in known]
    if unknown:
        raise ValueError(f"{cls.cohort} has no task {', '.join(unknown)}; it has {', '.join(known)}")
    return tuple(known[name] for name in config.tasks) or cls.tasks


def _choose_attributes(cls: type[CohortBuilder], config: CohortConfig, raw: pd.DataFrame) -> tuple[str, ...]:
    unknown = [name for name in config.attributes if name not in cls.attribute_names]
    if unknown:
        raise ValueError(f"{cls.cohort} has no attribute {', '.join(unknown)}; it has {', '.join(cls.attribute_names)}")
    empty = {"race"} if "race_recorded" in raw and not raw["race_recorded"].map(policies.race_group).notna().any() else set()
    if empty & set(config.attributes):
        raise ValueError(f"race of no patient of this {cls.cohort} is known: exclusions.csv says why")
    return tuple(name for name in (config.attributes or cls.attribute_names) if name not in empty)


def _attribute(
    cls: type[CohortBuilder], name: str, raw: pd.DataFrame, config: CohortConfig, train_rows: np.ndarray | None
) -> tuple[pd.Series, Attribute]:
    if name == "sex":
        return policies.sex_column(raw)
    if name == "race":
        return policies.race_column(raw, config.race)
    cut = cls.default_age_cut if config.age_cut == "default" else config.age_cut
    if not isinstance(cut, str):
        return policies.age_column(raw, float(cut), "given")
    origin = "provisional: median of all patients, as no splits were given" if train_rows is None else "median of the training patients"
    return policies.age_column(raw, policies.age_cut(raw, train_rows), origin)
