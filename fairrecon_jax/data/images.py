"""Reading, scaling and resizing of single images; errors name the file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tifffile
from nibabel.orientations import inv_ornt_aff, io_orientation
from PIL import Image, ImageFile, ImageOps

from fairrecon_jax.data.bounds import check_values
from fairrecon_jax.data.notes import Notes

# set explicitly: other libraries switch it on for the whole process
ImageFile.LOAD_TRUNCATED_IMAGES = False
MOST_NOT_FINITE = 0.9


_OPENING = threading.Lock()


class UnreadableImage(ValueError):
    """A file that is not a complete image; the message names the file."""


def open_image(path: Path) -> Image.Image:
    """A file that Pillow reads, opened up to our own bound instead of Pillow's.

    Args:
      path: PNG, JPEG, GIF, BMP or the like.

    Raises:
      ValueError: its header promises too many values, see `bounds.check_values`.
      OSError: it is not an image.
    """
    # the bound is one of the process, and is put back at once: nothing is unpacked here
    with _OPENING:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = before
    try:
        colours = len(image.getbands())
        check_values((*reversed(image.size), *([colours] if colours > 1 else [])))
    except ValueError:
        image.close()
        raise
    return image


def read_grey(path: Path) -> np.ndarray:
    """The values of `read_grey_range`."""
    return read_grey_range(path)[0]


def read_grey_range(path: Path) -> tuple[np.ndarray, float | None]:
    """An 8- or 16-bit PNG or JPEG as grey values, turned as its EXIF orientation says.

    Args:
      path: file; colour images become grey (ITU-R 601 luma), an alpha channel is dropped.

    Returns:
      ([H, W] float32 in the units of the file, the largest whole number that it can hold, None of
        fractions).

    Raises:
      UnreadableImage: truncated, not an image, or several images in one file.
    """
    try:
        with open_image(path) as image:
            # a JPEG may hold a preview beside its image, which is no second frame
            if image.format in ("GIF", "PNG", "WEBP") and getattr(image, "n_frames", 1) > 1:
                raise UnreadableImage(f"{path}: several images in one file")
            # as every viewer shows it: scanners and phones leave the pixels and write how to turn
            upright_image = ImageOps.exif_transpose(image)
            # These modes hold 16 bits and more, which converting to L would clip at 255.
            deep = image.mode.startswith(("I", "F"))
            top = None if image.mode == "F" else 65535.0 if deep else 255.0
            grey = upright_image if deep else upright_image.convert("L")
            return np.asarray(grey, dtype=np.float32), top
    except UnreadableImage:
        raise
    # SyntaxError is what Pillow raises for a broken PNG
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: {error}") from error


def read_tiff(path: Path, indices: bool = False) -> np.ndarray:
    """A TIFF file as its tags say: turned by its orientation, with colours in place of the indices
    of a palette, and "white is zero" inverted, so that what a viewer shows bright is large.

    Args:
      path: file.
      indices: keep the indices of a palette.

    Returns:
      [H, W], [H, W, channels] or, of several pages, [pages, ...], in the type of the file.

    Raises:
      UnreadableImage: truncated, or not a TIFF.
    """
    try:
        with tifffile.TiffFile(path) as file:
            page, series = file.pages.first, file.series[0]
            check_values(series.shape)
            try:
                values = np.asarray(series.asarray())
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise
                # Pillow brings decoders of its own for the usual compressions
                return _tiff_by_pillow(path, indices)
            axes = series.axes
            if "S" in axes and values.ndim == len(axes):
                # the planes of colours may be stored one after the other
                values, axes = np.moveaxis(values, axes.index("S"), -1), axes.replace("S", "") + "S"
            if not (indices and page.photometric == tifffile.PHOTOMETRIC.PALETTE):
                values = _shown(values, page)
            rows, columns = axes.index("Y"), axes.index("X")
            orientation = page.tags.get("Orientation")
            return turned(
                values, 1 if orientation is None else int(orientation.value), rows, columns
            )
    except Exception as error:
        raise UnreadableImage(f"{path}: {type(error).__name__}: {error}") from error


def _shown(values: np.ndarray, page: Any) -> np.ndarray:
    """Stored values of a TIFF as brightness, by their photometric meaning."""
    if values.dtype.kind == "c":
        return np.abs(values)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        if values.dtype == bool:
            return ~values
        # unsigned: the largest value that the bits hold; else only the order can be turned round
        top = 2**page.bitspersample - 1 if values.dtype.kind == "u" else 0
        return (top - values).astype(values.dtype)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        # colours of a palette have 16 bits whatever the indices have
        return np.moveaxis(np.asarray(page.colormap)[:, values], 0, -1)
    return values


def _tiff_by_pillow(path: Path, indices: bool) -> np.ndarray:
    with open_image(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError("several compressed pages in one file")
        white_is_zero = image.tag_v2.get(262) == 0  # type: ignore[attr-defined]
        upright_image = ImageOps.exif_transpose(image)
        if upright_image.mode == "P" and not indices:
            upright_image = upright_image.convert("RGB")
        values = np.asarray(upright_image)
        # Pillow itself turns round 1 and 8 bits only
        return (
            np.iinfo(values.dtype).max - values if white_is_zero and values.itemsize > 1 else values
        )


def turned(values: np.ndarray, orientation: int, rows: int = 0, columns: int = 1) -> np.ndarray:
    """An image turned as the orientation of TIFF and EXIF says (1 to 8; others leave it as it is).

    Args:
      values: an image.
      orientation: the tag's value: where the first stored row and column lie.
      rows: axis of the rows.
      columns: axis of the columns.
    """
    image = np.moveaxis(values, (rows, columns), (0, 1))
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.moveaxis(image, (0, 1), (rows, columns))


def read_volume(path: Path) -> np.ndarray:
    """A NIfTI volume with its scaling (slope and intercept) applied, turned to right, anterior,
    superior; of complex values the magnitude.

    Returns:
      [X, Y, Z] float32; slice z of it is axial, counted from inferior.

    Raises:
      UnreadableImage: truncated, not NIfTI, in colour, or not three-dimensional.
    """
    try:
        file: Any = nibabel.load(path)
        check_values(file.shape)
        if file.get_data_dtype().names:
            raise ValueError("a volume in colour")
        if np.issubdtype(file.get_data_dtype(), np.complexfloating):
            # the real part alone shows the fringes of the phase
            magnitude = np.abs(np.asanyarray(file.dataobj)).astype(np.float32)
            file = nibabel.Nifti1Image(magnitude, file.affine)
        # float32 and uncached: float64, kept by nibabel as well, takes four times as much
        volume = nibabel.as_closest_canonical(file).get_fdata(dtype=np.float32, caching="unchanged")
    except Exception as error:
        raise UnreadableImage(f"{path}: {type(error).__name__}: {error}") from error
    # Some exports append axes of length 1.
    while volume.ndim > 3 and volume.shape[-1] == 1:
        volume = volume[..., 0]
    if volume.ndim != 3:
        raise UnreadableImage(f"{path}: expected three dimensions, got {volume.shape}")
    return volume


def grids_apart(one: Path, other: Path) -> tuple[float, float]:
    """How far the voxels of two NIfTI volumes of one shape lie apart in the world, by their
    affines, once both are turned to right, anterior, superior.

    Returns:
      (the largest distance of two voxels of one place in the array, the shortest side of a voxel of
        the first), both in mm.
    """
    affines, shapes = [], []
    for path in (one, other):
        file: Any = nibabel.load(path)
        shape = file.shape[:3]
        order = io_orientation(file.affine)
        affines.append(file.affine @ inv_ornt_aff(order, shape))
        shapes.append(np.asarray(shape)[np.argsort(order[:, 0])])
    # a difference of two affine maps is largest at a corner
    corners = np.array(np.meshgrid(*([0, n - 1] for n in shapes[0]), [1])).reshape(4, -1)
    distance = np.linalg.norm(((affines[0] - affines[1]) @ corners)[:3], axis=0).max()
    return float(distance), float(np.linalg.norm(affines[0][:3, :3], axis=0).min())


def same_place(root: Path, image: str, mask: str, notes: Notes) -> bool:
    """Whether image and mask volume of one shape lie on one grid in the world, to half a voxel;
    where not, the image is noted as left out.
    """
    distance, side = grids_apart(root / image, root / mask)
    if distance <= side / 2:
        return True
    notes.skip(
        image,
        "mask_place",
        f"by their affines the voxels of {mask} lie up to {distance:.1f} mm from those of the "
        "image: bring the mask onto the image's grid, or give it the image's header",
    )
    return False


def load_volume(root: Path, file: str, notes: Notes) -> np.ndarray:
    """Reads a volume; voxels that are NaN or infinite, as the background is in some exports, get
    its smallest finite value and are noted.

    Raises:
      UnreadableImage: not a volume, or almost nothing in it is finite.
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


def load_mask_volume(root: Path, file: str, notes: Notes) -> np.ndarray:
    """Reads the volume of a mask; voxels that are NaN or infinite lie outside and are noted.

    Raises:
      UnreadableImage: not a volume.
    """
    volume = read_volume(root / file)
    strange = volume.size - int(np.count_nonzero(np.isfinite(volume)))
    if strange:
        # not the smallest value, as in images: of a mask that is 1 or NaN this would be 1
        reason = f"{strange} of {volume.size} voxels are not finite; they lie outside"
        notes.keep(file, "not_finite", reason)
    return np.nan_to_num(volume, nan=0.0, posinf=0.0, neginf=0.0)


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
      mask: [H, W], non-zero = inside; what is not finite is outside.
      size: target height and width in pixels.

    Returns:
      [size, size] uint8 in {0, 1}.
    """
    inner = np.isfinite(mask) & (np.asarray(mask) != 0)
    return (resize(inner.astype(np.float32), size) >= 0.5).astype(np.uint8)
