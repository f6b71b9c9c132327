"""A cohort in memory: anybody's arrays with their labels, masks, groups and patients."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.metrics.columns import binary, fitting, grouped, one_group
from fairrecon_jax.runtime.text import name_of
from fairrecon_jax.types import (
    UNNAMED,
    Array,
    Attribute,
    CohortSpec,
    InputError,
    Task,
)

Columns = Mapping[str, Any] | Array | Sequence[Any]
"""One column, or several by name."""


class ArraySource:
    """The images of a cohort in memory, row by row.

    Args:
      images: [N, H, W, 1] float32 in [0, 1], or whole numbers whose range is [0, 1].
      masks: [N, H, W, S] in {0, 1}, or None.
    """

    def __init__(self, images: np.ndarray, masks: np.ndarray | None = None) -> None:
        self.images, self.masks = images, masks

    def __len__(self) -> int:
        return len(self.images)

    @functools.cached_property
    def digest(self) -> str:
        """The digest of all pixels."""
        total = hashlib.sha256(str((self.images.shape, self.images.dtype)).encode())
        for pixels in (self.images, self.masks):
            if pixels is not None:
                total.update(np.ascontiguousarray(pixels).data)
        return total.hexdigest()[:16]

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """{"image": [H, W, 1], "mask": [H, W, S]} of one row."""
        image = self.images[index]
        none = np.zeros((*image.shape[:2], 0), np.uint8)
        return {"image": image, "mask": none if self.masks is None else self.masks[index]}


def arrays(
    image: Array,
    labels: Columns | None = None,
    *,
    masks: Columns | None = None,
    groups: Mapping[str, Any] | None = None,
    patient: Sequence[Any] | Array | None = None,
    ids: Sequence[str] | None = None,
    name: str = "arrays",
    title: str = "",
) -> Cohort:
    """A cohort of images in memory, for `fit` and `tandem`.

    Args:
      image: [N, H, W, 1] or [N, H, W], H = W; float in [0, 1], or uint8 or uint16, whose whole
        range becomes [0, 1].
      labels: by name of the finding, [N] in {0, 1}, NaN or None = unknown; one array alone is
        called "finding".
      masks: by name of the region, [N, H, W] in {0, 1}; one array alone is called "region".
      groups: by name of the attribute, [N] names or numbers of groups; None, NaN or -1 = unknown.
      patient: [N] names of patients; every image is a patient of its own if None.
      ids: [N] names of the images, which key their noise; "0", "1", ... if None.
      name: of the cohort, in tables.
      title: of the cohort, as a reader sees it.

    Returns:
      The cohort; its table has a row per image.

    Raises:
      InputError: an array of another length, shape or range; the message names it.

    Example:
      >>> x = np.zeros((4, 32, 32), np.float32)
      >>> arrays(x, labels=[0, 1, 1, 0], groups={"sex": ["f", "m", "f", "m"]})
      Cohort(arrays: 4 images of 4 patients, 32 x 32; finding; sex)
    """
    if groups is not None and not isinstance(groups, Mapping | pd.DataFrame):
        raise InputError('groups takes columns by name, e.g. groups={"sex": ...}')
    images = _images(image)
    count, size = images.shape[:2]
    names = list(map(str, range(count) if ids is None else ids))
    table = pd.DataFrame({"example_id": fitting("ids", names, count)})
    if table["example_id"].duplicated().any():
        twice = table.loc[table["example_id"].duplicated(), "example_id"].iloc[0]
        raise InputError(f"ids must be unique: {twice!r} names two images")
    who = table["example_id"] if patient is None else _people(patient)
    table["patient_id"] = fitting("patient", who, count)
    tasks: list[Task] = []
    for task, values in _named(labels, "finding").items():
        table[_free(task, table)] = binary(values, f"labels[{task!r}]", count)
        tasks.append(Task(task, "classification"))
    channels = []
    for task, values in _named(masks, "region").items():
        channels.append(_mask(values, task, count, size))
        table[_free(task, table)] = channels[-1].sum((1, 2))
        tasks.append(Task(task, "segmentation"))
    attributes = []
    for attribute, values in (groups or {}).items():
        column, known = grouped(values, f"groups[{attribute!r}]", count)
        if patient is not None:
            column = one_group(column, table["patient_id"].to_numpy(), attribute)
        table[_free(attribute, table)] = column
        attributes.append(
            Attribute(attribute, known, per="image" if patient is None else "patient")
        )
    spec = CohortSpec(name, title or name, "xray", tuple(tasks), tuple(attributes), UNNAMED, "")
    stacked = np.stack(channels, -1) if channels else None
    return Cohort(spec, table, ArraySource(images, stacked))


def _images(image: Array) -> np.ndarray:
    """Images [N, H, W, 1], checked."""
    images = np.asarray(image)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] != 1 or images.shape[1] != images.shape[2]:
        raise InputError(
            f"image has shape {np.shape(image)}, expected [N, H, W, 1] or [N, H, W] with H = W"
        )
    if images.dtype in (np.uint8, np.uint16):
        return images
    if images.dtype.kind != "f":
        raise InputError(f"image is {images.dtype}, expected float in [0, 1], uint8 or uint16")
    low, high = (float(np.min(images)), float(np.max(images))) if images.size else (0.0, 0.0)
    # not (inside), so that NaN is refused too
    if not (low >= 0 and high <= 1):
        raise InputError(f"image ranges from {low:g} to {high:g}, expected [0, 1]: scale it first")
    # a copy would double the memory of a large array, and read a mapped file into it
    return images.astype(np.float32, copy=False)


def _people(patient: Any) -> list[str]:
    """Names of patients in their normal form; whole numbers without a decimal point."""
    column = pd.Series(list(patient))
    if column.isna().any():
        raise InputError(f"patient: the entry of row {int(column.isna().argmax()) + 1} is empty")
    return [name_of(value) for value in column]


def _named(columns: Columns | None, alone: str) -> dict[str, Any]:
    """Columns by name; one alone gets a name."""
    if columns is None:
        return {}
    if isinstance(columns, pd.DataFrame):
        return {str(name): columns[name].to_numpy() for name in columns}
    return dict(columns) if isinstance(columns, Mapping) else {alone: columns}


def _free(name: str, table: pd.DataFrame) -> str:
    """A name, if no column of the table has it yet."""
    if not isinstance(name, str) or not name or name in table or "__" in name:
        raise InputError(f"the name {name!r} is taken or not usable: choose another, without '__'")
    return name


def _mask(values: Any, task: str, count: int, size: int) -> np.ndarray:
    """A mask [N, H, W] uint8 in {0, 1}."""
    mask = np.asarray(values)
    mask = mask[..., 0] if mask.ndim == 4 and mask.shape[3] == 1 else mask
    if mask.shape != (count, size, size):
        raise InputError(
            f"masks[{task!r}] has shape {np.shape(values)}, expected {(count, size, size)} like "
            "the images"
        )
    if not np.isin(mask, (0, 1)).all():
        raise InputError(f"masks[{task!r}] must hold 0 and 1, got other values")
    return mask.astype(np.uint8)
