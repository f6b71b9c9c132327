"""Images and masks of any format by what the file itself is: PNG, JPEG, TIFF, DICOM, NIfTI."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from fairrecon_jax.data.images import (
    UnreadableImage,
    read_grey_range,
    read_tiff,
    read_volume,
    upright,
)

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey, ITU-R 601."""
Window = str | tuple[float, ...]


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
    if head[128:132] == b"DICM" or name.endswith((".dcm", ".dicom", ".ima")):
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


def read_mask(path: Path) -> Picture:
    """A mask as stored, without any rule for images: of colours the largest, transparent is
    outside, what is not finite is 0.

    Raises:
      UnreadableImage: as `read_picture`.
    """
    kind = kind_of(path)
    top: float | None = None
    if kind == "nifti":
        values = _slices(read_volume(path))
    elif kind == "dicom":
        values = read_dicom(path, "none", mask=True)
    elif kind == "tiff":
        stored = read_tiff(path)
        top, values = _top(stored), _largest(path, stored)[None]
    else:
        stored = _stored(path)
        top, values = _top(stored), _largest(path, stored)[None]
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return Picture(values, kind, top)


def orientation_of(path: Path) -> int:
    """The EXIF orientation of a PNG or JPEG, 1 where it has none."""
    with Image.open(path) as image:
        return int(image.getexif().get(274, 1))


def read_dicom(path: Path, window: Window = "file", mask: bool = False) -> np.ndarray:
    """A DICOM file: rescaled, windowed, and inverted where it is MONOCHROME1, so that more is
    brighter.

    Args:
      path: file.
      window: "file" (its VOI lookup table or first window, if it has one), "none", or (centre,
        width) in rescaled values.
      mask: whether it holds a mask, which is neither padded nor rescaled.

    Returns:
      [N, H, W] float32, N > 1 for several frames; colours as grey.

    Raises:
      UnreadableImage: truncated, no DICOM image, or compressed in a way that needs another package.

    Reference:
      DICOM PS3.3 C.11.1 (modality), C.11.2 (VOI) and C.7.6.3.1.2 (photometric interpretation).
    """
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

    try:
        file: Any = pydicom.dcmread(path, force=path.suffix.lower() in (".dcm", ".dicom", ".ima"))
        meaning = str(file.PhotometricInterpretation)
        pixels = pixel_array(file)
        if meaning == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, file)
        colour = meaning == "PALETTE COLOR" or int(file.get("SamplesPerPixel", 1)) > 1
        if mask:
            values = pixels.max(-1) if colour else pixels
            # the largest stored value is what MONOCHROME1 shows black
            inverted = values.max() - values
            values = inverted if meaning == "MONOCHROME1" else values
        elif colour:
            values = pixels[..., :3] @ LUMA
        else:
            pixels = _without_padding(file, pixels, meaning == "MONOCHROME1")
            values = apply_modality_lut(pixels, file)
            if window == "file" and ("WindowWidth" in file or "VOILUTSequence" in file):
                values = apply_voi_lut(values, file)
            elif not isinstance(window, str):
                low = window[0] - window[1] / 2
                values = np.clip(values, low, low + window[1])
            # as float: the negative of an unsigned number is a large one
            values = np.asarray(values, np.float32)
            values = -values if meaning == "MONOCHROME1" else values
    except Exception as error:
        text = " ".join(str(error).split())
        raise UnreadableImage(f"{path}: {type(error).__name__}: {text}") from error
    values = np.asarray(values, np.float32)
    return values[None] if values.ndim == 2 else values


def _without_padding(file: Any, pixels: np.ndarray, white: bool) -> np.ndarray:
    """Stored pixels with padding, which is no measurement, at the black end of all others."""
    padding = file.get("PixelPaddingValue")
    if padding is None:
        return pixels
    limit = file.get("PixelPaddingRangeLimit", padding)
    low, high = sorted((int(padding), int(limit)))
    padded = (pixels >= low) & (pixels <= high)
    if not padded.any() or padded.all():
        return pixels
    black = pixels[~padded].max() if white else pixels[~padded].min()
    return np.where(padded, black, pixels)


def _slices(volume: np.ndarray) -> np.ndarray:
    """[X, Y, Z] as [Z, rows, columns], each slice upright."""
    return np.moveaxis(upright(volume), 2, 0)


def _stored(path: Path) -> np.ndarray:
    """The pixels of a PNG or the like: turned as EXIF says, of a palette the colours, transparent
    ones 0.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode in ("P", "PA"):
                image = image.convert("RGBA" if "transparency" in image.info else "RGB")
            values = np.asarray(image)
            if image.mode in ("RGBA", "LA"):
                return values[..., :-1] * (values[..., -1:] > 0)
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
