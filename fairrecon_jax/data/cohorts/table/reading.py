"""From the files of one record to examples: image, mask, and what others made of the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fairrecon_jax.data.builder import Sample
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.cohorts.table.alignment import misplaced, on_another_scale
from fairrecon_jax.data.columns import MaskColumn, StoredColumn, TableColumns
from fairrecon_jax.data.formats import (
    Picture,
    has_palette,
    orientation_of,
    read_mask,
    read_picture,
)
from fairrecon_jax.data.images import (
    MOST_NOT_FINITE,
    UnreadableImage,
    is_constant,
    resize,
    resize_mask,
    same_place,
    to_integers,
)
from fairrecon_jax.data.notes import Notes
from fairrecon_jax.data.records import SourceRecord

DEEP = np.iinfo(np.uint16).max


class _Region(NamedTuple):
    """Where a mask is inside, [N, H, W] bool, and the codes that its file holds."""

    inside: np.ndarray
    codes: tuple[float, ...] = ()


Pairs = dict[str, tuple[StoredColumn, Picture]]
"""What others made of an image, by name."""


def load_examples(
    root: Path,
    record: SourceRecord,
    columns: TableColumns,
    dtype: type,
    config: CohortConfig,
    notes: Notes,
) -> list[Sample]:
    """The example of an image, or one for each slice of a volume; what cannot be used is noted."""
    file = record.files[0]
    try:
        read = _read(root, record, columns, dtype, notes)
    except UnreadableImage as error:
        notes.skip(file, "unreadable", str(error))
        return []
    if read is None:
        return []
    image, mask, pairs = read
    count = len(image.values)
    first, last = (0, count - 1) if isinstance(config.slices, str) else config.slices
    samples = []
    for position in range(first, min(last, count - 1) + 1):
        where = f"{file}#slice={position}" if columns.volumes else file
        values = resize(image.values[position], config.image_size)
        if is_constant(values):
            notes.skip(where, "constant", f"one single value at {config.image_size} pixels")
            continue
        recorded: dict[str, Any] = dict(record.columns)
        if columns.volumes:
            recorded |= {"slice": position, "slices": count}
        small = None
        if mask is not None and columns.mask is not None:
            small = resize_mask(mask.inside[position], config.image_size)
            recorded[f"{columns.mask.task}_pixels"] = int(small.sum())
        stored = {}
        for name, (one, picture) in pairs.items():
            found = resize(picture.values[position], config.image_size).astype(np.float64)
            share = _share(found, picture.top, image.top, one.scale, values)
            stored[name] = np.rint(share.clip(0, 1) * DEEP).astype(np.uint16)
            if np.array_equal(stored[name], to_integers(values, np.uint16)):
                notes.keep(where, "pair_same", f"{name}: no pixel differs; is it the right folder?")
            elif reason := misplaced(values, stored[name]):
                notes.keep(where, "misaligned", f"{name}: {reason}")
            elif reason := _off_scale(found, picture.top, image.top, one.scale, values):
                notes.keep(where, "pair_scale", f"{name}: {reason}")
        example = f"{record.name}/{position:03d}" if columns.volumes else record.name
        pixels = to_integers(values, dtype)
        samples.append(
            Sample(
                example,
                record.patient_id,
                pixels,
                small,
                recorded,
                image.shape,
                stored,
                () if mask is None else mask.codes,
            )
        )
    return samples


def _read(
    root: Path, record: SourceRecord, columns: TableColumns, dtype: type, notes: Notes
) -> tuple[Picture, _Region | None, Pairs] | None:
    """(image, mask or None, pairs) of a record; None, with a note, if one does not fit.

    Raises:
      UnreadableImage: a file cannot be read.
    """
    file, *others = record.files
    image = _image(root, file, columns, dtype, notes)
    if image is None:
        return None
    places = iter(others)
    mask = None
    if columns.mask is not None:
        mask = _mask(root, file, next(places), image, columns.mask, notes)
        if mask is None:
            return None
    pairs: Pairs = {}
    for (name, one), other in zip(columns.pairs, places, strict=True):
        found = _pair(root, file, other, image, one, columns, notes)
        if found is None:
            return None
        pairs[name] = one, found
    return image, mask, pairs


def _image(
    root: Path, file: str, columns: TableColumns, dtype: type, notes: Notes
) -> Picture | None:
    """The original, every value finite."""
    image = read_picture(root / file, columns.window)
    if len(image.values) > 1 and not columns.volumes:
        text = f"{len(image.values)} slices or frames: set columns.volumes to take each of them"
        notes.skip(file, "wrong_shape", text)
        return None
    if not columns.volumes and is_constant(image.values[0]) and np.isfinite(image.values).all():
        notes.skip(file, "constant", "the image holds one single value")
        return None
    if dtype == np.uint8 and image.top != 255:
        notes.keep(file, "depth", "more than 8 bits, stored in 8; columns.bits = 16 keeps them")
    return _finite(root, file, image, notes)


def _finite(root: Path, file: str, image: Picture, notes: Notes) -> Picture:
    """An image whose values that are not finite have become its smallest, which is noted."""
    if image.top is not None:  # whole numbers
        return image
    finite = np.isfinite(image.values)
    strange = image.values.size - int(np.count_nonzero(finite))
    if not strange:
        return image
    text = f"{strange} of {image.values.size} values are not finite"
    if strange > MOST_NOT_FINITE * image.values.size:
        raise UnreadableImage(f"{root / file}: {text}")
    smallest = image.values[finite].min()
    notes.keep(file, "not_finite", f"{text}; they count as {smallest:g}, the smallest value")
    return Picture(np.where(finite, image.values, smallest), image.kind, image.top)


def _mask(
    root: Path, file: str, mask_file: str, image: Picture, one: MaskColumn, notes: Notes
) -> _Region | None:
    """The region of a mask, or None where it does not fit its image."""
    codes = not isinstance(one.inside, str)
    mask = read_mask(root / mask_file, codes)
    if mask.values.shape != image.values.shape:
        notes.skip(file, "mask_shape", f"mask {mask.shape}, image {image.shape}")
        return None
    if mask.kind == image.kind == "nifti" and not same_place(root, file, mask_file, notes):
        return None
    turns = [orientation_of(root / one) or "as stored" for one in (mask_file, file)]
    if turns[0] != turns[1]:
        reason = f"it is read {turns[0]}, its image {turns[1]}, as their tags say: do both fit?"
        notes.keep(mask_file, "turned", reason)
    if not isinstance(one.inside, str):
        return _coded(mask_file, mask, one.inside, notes)
    if one.inside == "half":
        top = mask.top or float(mask.values.max()) or 1.0
        return _Region(mask.values >= top / 2)
    if mask.kind == "image" and has_palette(root / mask_file):
        indices = read_mask(root / mask_file, codes=True).values
        if ((indices != 0) != (mask.values != 0)).any():
            reason = (
                "a palette whose colours and indices do not mean the same region: give its "
                "indices in columns.mask.inside; its colours that are not black count as inside"
            )
            notes.keep(mask_file, "mask_values", reason)
            return _Region(mask.values != 0)
    found = _values(mask.values)
    if len(found) > 2 or (len(found) == 2 and 0 not in found):
        listed = ", ".join(f"{value:g}" for value in found[:6])
        notes.keep(
            mask_file,
            "mask_values",
            f"{len(found)} values ({listed}) instead of 0 and one other; non-zero counts as "
            "inside: columns.mask.inside takes 'half' or the values that are meant",
        )
    return _Region(mask.values != 0)


def _coded(mask_file: str, mask: Picture, inside: tuple[int, ...], notes: Notes) -> _Region | None:
    """The region of a mask whose values are codes."""
    whole = np.rint(mask.values) if mask.values.dtype.kind == "f" else mask.values
    # scaling by a slope leaves 0.9999 of a code; 0.5 is none
    between = np.abs(np.subtract(mask.values, whole, dtype=float)) > 1e-3
    if between.any():
        reason = f"values such as {mask.values[between][0]:g} are no codes"
        notes.skip(mask_file, "mask_values", f"{reason}: columns.mask.inside takes 'half' for them")
        return None
    return _Region(np.isin(whole, inside), tuple(_values(whole)))


def _values(mask: np.ndarray) -> list[float]:
    """The different values of a mask."""
    if mask.dtype == bool:
        return [float(value) for value in (False, True) if (mask == value).any()]
    if mask.dtype == np.uint8:
        # by counting, as sorting a large mask takes longer than reading it
        return [float(value) for value in np.flatnonzero(np.bincount(mask.ravel()))]
    return [float(value) for value in np.unique(mask)]


def _pair(
    root: Path,
    file: str,
    other_file: str,
    image: Picture,
    one: StoredColumn,
    columns: TableColumns,
    notes: Notes,
) -> Picture | None:
    """What something else made of the image, None where it does not fit."""
    other = _finite(root, other_file, read_picture(root / other_file, columns.window), notes)
    reason = ""
    if other.values.shape != image.values.shape:
        reason = f"{other.shape}, the original is {image.shape}"
    elif one.scale == "full" and other.top is None:
        reason = "scale 'full' is for whole numbers, whose range is known"
    elif one.scale == "same" and (other.top is None) != (image.top is None):
        reason = "values in a unit of their own beside whole numbers: store both in one way"
    if reason:
        notes.skip(file, "pair_shape", f"{other_file}: {reason}")
        return None
    if other.kind == image.kind == "nifti" and not same_place(root, file, other_file, notes):
        return None
    return other


def _share(
    values: np.ndarray, top: float | None, own: float | None, scale: str, original: np.ndarray
) -> np.ndarray:
    """An image in the scale of its original, which goes from its smallest value, 0, to its
    largest, 1; not cut off to that range.

    Args:
      values: [size, size] of the image.
      top: the largest value that its file can hold.
      own: the same of the original's file.
      scale: see `StoredColumn`.
      original: [size, size].
    """
    if scale == "full":
        return values / (top or 1.0)
    # 8 and 16 bits are shares of their own range
    unit = 1.0 if top is None or own is None else own / top
    low, high = float(original.min()), float(original.max())
    return (values * unit - low) / (high - low)


def _off_scale(
    values: np.ndarray, top: float | None, own: float | None, scale: str, original: np.ndarray
) -> str:
    """Why an image is not in the scale of its original, and what to do; "" where it is."""
    low, high = float(original.min()), float(original.max())
    plain = (original - low) / (high - low)
    gain, offset, error = on_another_scale(plain, _share(values, top, own, scale, original))
    if not gain:
        return ""
    other = {"same": "full", "full": "same"}[scale]
    advice = "store it with its original's grey values, or assess it knowing that"
    # of values in a unit of their own no range is known
    if top is not None and own is not None:
        rest = _share(values, top, own, other, original) - plain
        if np.sqrt(np.mean(rest**2)) < error / 2:
            advice = f"set scale = {other!r} of its files in columns, which fits"
    return (
        f"its grey values are {gain:.2f} times those of the original {offset:+.2f} of its range, "
        f"an error of {error:.2f} on scale {scale!r}: {advice}"
    )
