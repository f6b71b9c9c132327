"""Images and masks of any format by what the file itself is: PNG, JPEG, TIFF, DICOM, NIfTI."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fairrecon_jax.data.dicom import ENDINGS, LUMA, Window, read_dicom, turning
from fairrecon_jax.data.images import (
    UnreadableImage,
    open_image,
    read_grey_range,
    read_tiff,
    read_volume,
    upright,
)


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image file as it was read.

    Attributes:
      values: [N, H, W], slices or frames upright; N = 1 for an image.
      kind: "nifti", "dicom", "tiff" or "image".
      top: the largest value that the file's whole numbers can have; None where values have a unit
        of their own.
    """

    values: np.ndarray
    kind: str
    top: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns), with the slices where there are several."""
        count, *plane = self.values.shape
        return (*plane, count) if count > 1 else tuple(plane)


def kind_of(path: Path) -> str:
    """What a file is, by its first bytes and not by its ending, which people change."""
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return "nifti"
    try:
        with path.open("rb") as stream:
            head = stream.read(132)
    except OSError as error:
        raise UnreadableImage(f"{path}: {error}") from error
    if head[128:132] == b"DICM" or name.endswith(ENDINGS):
        return "dicom"
    return "tiff" if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else "image"


def read_picture(path: Path, window: Window = "file") -> Picture:
    """An image as grey values.

    Args:
      path: file.
      window: of DICOM, see `read_dicom`.

    Returns:
      float32 values in the units of the file.

    Raises:
      UnreadableImage: truncated, not an image, or several pages of a TIFF.
    """
    kind = kind_of(path)
    if kind == "nifti":
        return Picture(_slices(read_volume(path)), kind)
    if kind == "dicom":
        return Picture(read_dicom(path, window), kind)
    if kind == "tiff":
        stored = read_tiff(path)
        return Picture(_grey(path, stored)[None], kind, _top(stored))
    values, top = read_grey_range(path)
    return Picture(values[None], kind, top)


def read_mask(path: Path, codes: bool = False) -> Picture:
    """A mask as stored, without any rule for images: of colours the largest, transparent is
    outside, what is not finite is 0.

    Args:
      path: file.
      codes: whether values are codes: those of a palette are its indices, and not its colours.

    Raises:
      UnreadableImage: as `read_picture`, or codes in several colours.
    """
    kind = kind_of(path)
    top: float | None = None
    if kind == "nifti":
        values = _slices(read_volume(path))
    elif kind == "dicom":
        values = read_dicom(path, "none", mask=True, codes=codes)
    else:
        stored = read_tiff(path, indices=codes) if kind == "tiff" else _stored(path, codes)
        if codes and stored.ndim == 3 and np.ptp(stored[..., :3], axis=-1).any():
            raise UnreadableImage(
                f"{path}: a mask in colours has no codes; store one number a pixel"
            )
        top, values = _top(stored), _largest(path, stored)[None]
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return Picture(values, kind, top)


def orientation_of(path: Path) -> str:
    """How a PNG, JPEG or DICOM is turned on reading, in words; "" where it is not."""
    kind = kind_of(path)
    if kind == "dicom":
        return turning(path)
    if kind != "image":
        return ""
    with open_image(path) as image:
        orientation = int(image.getexif().get(274, 1))
    return "" if orientation == 1 else f"EXIF orientation {orientation}"


def _slices(volume: np.ndarray) -> np.ndarray:
    """[X, Y, Z] as [Z, rows, columns], each slice upright."""
    return np.moveaxis(upright(volume), 2, 0)


def has_palette(path: Path) -> bool:
    """Whether a PNG, GIF or BMP holds indices of a palette."""
    with open_image(path) as image:
        return image.mode in ("P", "PA")


def _stored(path: Path, indices: bool = False) -> np.ndarray:
    """The pixels of a PNG or the like: turned as EXIF says, of a palette the colours or the
    indices, transparent ones 0.
    """
    try:
        with open_image(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode in ("P", "PA") and not indices:
                image = image.convert("RGBA" if "transparency" in image.info else "RGB")
            values = np.asarray(image)
            if image.mode in ("RGBA", "LA", "PA"):
                seen = values[..., :-1] * (values[..., -1:] > 0)
                return seen[..., 0] if seen.shape[-1] == 1 else seen
            return values
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: {error}") from error


def _grey(path: Path, values: np.ndarray) -> np.ndarray:
    """[H, W] float32 of [H, W] or [H, W, colours]; alpha is dropped."""
    if values.ndim == 2:
        return values.astype(np.float32)
    if values.ndim == 3 and values.shape[-1] in (3, 4):
        return values[..., :3].astype(np.float32) @ LUMA
    raise UnreadableImage(f"{path}: expected one image of grey or colour, got {values.shape}")


def _largest(path: Path, values: np.ndarray) -> np.ndarray:
    """[H, W] of [H, W] or [H, W, colours]: the largest of the colours."""
    if values.ndim == 2:
        return values
    if values.ndim == 3 and values.shape[-1] <= 4:
        return values[..., :3].max(-1)
    raise UnreadableImage(f"{path}: expected one mask, got {values.shape}")


def _top(values: np.ndarray) -> float | None:
    """The largest value of a type of whole numbers."""
    if values.dtype == bool:
        return 1.0
    return float(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else None
