"""Reading, scaling and resizing of single images; errors name the file."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import nibabel
import numpy as np
import tifffile
from PIL import Image, ImageFile

from fairrecon_jax.data.notes import Notes

# set explicitly: other libraries switch it on for the whole process
ImageFile.LOAD_TRUNCATED_IMAGES = False
MOST_NOT_FINITE = 0.9


class UnreadableImage(ValueError):
    """A file that is not a complete image; the message names the file."""


def inside(path: str) -> bool:
    """Whether a path written in a table stays in the data folder: not absolute and without "..".

    Args:
      path: path with "/" or "\\" between its parts.
    """
    parts = PurePosixPath(path.replace("\\", "/"))
    return not parts.is_absolute() and ".." not in parts.parts


def read_grey(path: Path) -> np.ndarray:
    """An 8- or 16-bit PNG or JPEG as grey values.

    Args:
      path: file; colour images become grey (ITU-R 601 luma), an alpha channel is dropped.

    Returns:
      [H, W] float32 in the units of the file.

    Raises:
      UnreadableImage: truncated, or not an image.
    """
    try:
        with Image.open(path) as image:
            # These modes hold 16 bits and more, which converting to L would clip at 255.
            deep = image.mode.startswith(("I", "F"))
            return np.asarray(image if deep else image.convert("L"), dtype=np.float32)
    # SyntaxError is what Pillow raises for a broken PNG
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: {error}") from error


def read_tiff(path: Path) -> np.ndarray:
    """A TIFF file as stored.

    Raises:
      UnreadableImage: truncated, or not a TIFF.
    """
    try:
        return np.asarray(tifffile.imread(path))
    except Exception as error:
        raise UnreadableImage(f"{path}: {type(error).__name__}: {error}") from error


def read_volume(path: Path) -> np.ndarray:
    """A NIfTI volume with its scaling (slope and intercept) applied, turned to right, anterior,
    superior.

    Returns:
      [X, Y, Z] float32; slice z of it is axial, counted from inferior.

    Raises:
      UnreadableImage: truncated, not NIfTI, or not three-dimensional.
    """
    try:
        # float32 and uncached: float64, kept by nibabel as well, takes four times as much
        volume = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata(
            dtype=np.float32, caching="unchanged"
        )  # type: ignore[attr-defined]
    except Exception as error:
        raise UnreadableImage(f"{path}: {type(error).__name__}: {error}") from error
    # Some exports append axes of length 1.
    while volume.ndim > 3 and volume.shape[-1] == 1:
        volume = volume[..., 0]
    if volume.ndim != 3:
        raise UnreadableImage(f"{path}: expected three dimensions, got {volume.shape}")
    return volume


def load_volume(root: Path, file: str, notes: Notes) -> np.ndarray:
    """Reads a volume; voxels that are NaN or infinite, as the background is in some exports, get
    its smallest finite value and are noted.

    Returns:
      [X, Y, Z] finite float32, as `read_volume`.

    Raises:
      UnreadableImage: as `read_volume`, or more than nine voxels in ten (`MOST_NOT_FINITE`) are not
        finite.
    """
    volume = read_volume(root / file)
    finite = np.isfinite(volume)
    strange = volume.size - int(np.count_nonzero(finite))
    if not strange:
        return volume
    text = f"{strange} of {volume.size} voxels are not finite"
    if strange > MOST_NOT_FINITE * volume.size:
        raise UnreadableImage(f"{root / file}: {text}")
    smallest = volume[finite].min()
    notes.keep(file, "not_finite", f"{text}; they count as {smallest:g}, the smallest value")
    # not 0: a background of 0 would be bright where values are negative
    return np.where(finite, volume, smallest)


def upright(axial: np.ndarray) -> np.ndarray:
    """Turns [X, Y] (right, anterior) into an image [rows, columns] with anterior up and the
    patient's left on the left.
    """
    # rows then count from anterior to posterior
    return np.rot90(axial)


def load_grey(root: Path, file: str, notes: Notes) -> np.ndarray | None:
    """Reads one X-ray; None where there is nothing to see in it, which is noted with file and
    reason.
    """
    if not (root / file).is_file():
        notes.skip(file, "missing_file", "named in the table, not there")
        return None
    try:
        image = read_grey(root / file)
    except UnreadableImage as error:
        notes.skip(file, "unreadable", str(error))
        return None
    if is_constant(image):
        notes.skip(file, "constant", "the image holds one single value")
        return None
    return image


def is_constant(image: np.ndarray) -> bool:
    """Whether an image holds one single value or no finite contrast."""
    low, high = float(np.min(image)), float(np.max(image))
    # NaN anywhere makes both NaN, so that such an image never reaches the scaling
    return not np.isfinite(low) or not np.isfinite(high) or high <= low


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear resize with antialiasing (Pillow's filter widens when it shrinks); a rectangle is
    stretched to a square.

    Args:
      image: [H, W] any real type.
      size: target height and width in pixels.

    Returns:
      [size, size] float32.
    """
    # slices of a volume are strided, and mode "F" of Pillow is float32
    values = np.ascontiguousarray(image, dtype=np.float32)
    if values.shape == (size, size):
        return values
    return np.asarray(
        Image.fromarray(values).resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32
    )


def to_integers(image: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Min-max scaling of one image to the full range of an unsigned integer type: round(max (x -
    min x) / (max x - min x)).

    Args:
      image: [H, W] not constant.
      dtype: uint8 or uint16.

    Returns:
      [H, W] of `dtype`, spanning 0 to the type's largest value; divided by it, this is the paper's
        min-max image in [0, 1].

    Raises:
      ValueError: the image is constant.
    """
    if is_constant(image):
        raise ValueError("a constant image cannot be scaled to [0, 1]")
    values = np.asarray(image, dtype=np.float64)
    low, high = values.min(), values.max()
    # in float64: the rounding of float32 could move a value to the next of 65535 steps
    return np.rint((values - low) / (high - low) * np.iinfo(dtype).max).astype(dtype)


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Resizes a binary mask with the filter of the image and cuts at one half, so that both stay
    aligned.

    Args:
      mask: [H, W], non-zero = inside.
      size: target height and width in pixels.

    Returns:
      [size, size] uint8 in {0, 1}.
    """
    return (resize((np.asarray(mask) != 0).astype(np.float32), size) >= 0.5).astype(np.uint8)
