"""DICOM files as grey values: what their tags say of values, of black and white, and of up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fairrecon_jax.data.bounds import check_values
from fairrecon_jax.data.images import UnreadableImage

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey, ITU-R 601."""
Window = str | tuple[float, ...]
DEFLATED = b"1.2.840.10008.1.2.1.99"
"""The transfer syntax of files that are packed as a whole."""
MOST_DEFLATED = 2**22
"""Bytes of such a file, which unpacks to a thousand times as many at most."""
ENDINGS = (".dcm", ".dicom", ".ima")
_VALUES = ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence")
_WINDOWS = ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence")
_PIXELS = ("PhotometricInterpretation", "BitsStored", "PixelRepresentation")
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


def read_dicom(
    path: Path, window: Window = "file", mask: bool = False, codes: bool = False
) -> np.ndarray:
    """A DICOM file: rescaled, windowed, inverted where it is MONOCHROME1, so that more is brighter,
    and turned as its orientation says (see `turning`).

    Args:
      path: file.
      window: "file" (its VOI lookup table or first window, if it has one), "none", or (centre,
        width) in rescaled values.
      mask: whether it holds a mask, which is neither padded nor rescaled.
      codes: whether the values of a mask are codes: those of a palette are its indices.

    Returns:
      [N, H, W] float32, N > 1 for several frames; colours as grey.

    Raises:
      UnreadableImage: truncated, no DICOM image, contradicting itself, or compressed in a way that
        needs another package.

    Reference:
      DICOM PS3.3 C.11.1 (modality), C.11.2 (VOI), C.7.6.3.1.2 (photometric interpretation) and
      C.7.6.16 (values of single frames).
    """
    from pydicom.pixels import apply_color_lut, pixel_array

    try:
        file = _opened(path)
        sizes = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")
        check_values([int(file.get(name) or 1) for name in sizes])
        meaning = str(file.PhotometricInterpretation)
        if meaning == "MONOCHROME2" and file.get("PresentationLUTShape") == "INVERSE":
            raise ValueError("MONOCHROME2 contradicts the PresentationLUTShape INVERSE")
        pixels = pixel_array(file)
        palette = meaning == "PALETTE COLOR" and not (mask and codes)
        if palette:
            pixels = apply_color_lut(pixels, file)
        colour = palette or int(file.get("SamplesPerPixel", 1)) > 1
        if mask:
            values = pixels.max(-1) if colour else pixels
            # the largest stored value is what MONOCHROME1 shows black
            values = values.max() - values if meaning == "MONOCHROME1" else values
        elif colour:
            values = pixels[..., :3] @ LUMA
        else:
            pixels = _without_padding(file, pixels, meaning == "MONOCHROME1")
            values = _rescaled(file, pixels, window)
            values = -values if meaning == "MONOCHROME1" else values
        values = np.asarray(values, np.float32)
        return _turned(values[None] if values.ndim == 2 else values, _turns(file))
    except Exception as error:
        text = " ".join(str(error).split())
        raise UnreadableImage(f"{path}: {type(error).__name__}: {text}") from error


def turning(path: Path) -> str:
    """How a DICOM file is turned on reading, by its PatientOrientation or else its
    ImageOrientationPatient: "" where rows run to the patient's left and columns to the feet (in
    axial planes to the back), or nothing is said; else "transposed", "mirrored", "upside down" and
    combinations. Lateral views keep their side, and breasts seen from above lie as they are.
    """
    return " and ".join(_turns(_opened(path)))


def _opened(path: Path) -> Any:
    """The tags of a file, its pixels unread."""
    import pydicom

    # it is unpacked whole before any size is known
    if path.stat().st_size > MOST_DEFLATED and _is_deflated(path):
        raise ValueError(f"a deflated file of more than {MOST_DEFLATED} bytes is not read")
    return pydicom.dcmread(path, force=path.suffix.lower() in ENDINGS)


def _is_deflated(path: Path) -> bool:
    """Whether all of a file behind its first group is packed."""
    with path.open("rb") as stream:
        return DEFLATED in stream.read(4096)


def _directions(file: Any) -> tuple[str, str, bool] | None:
    """Where rows and columns run to, as letters, and whether by cosines; None where nothing says
    so.
    """
    told = file.get("PatientOrientation")
    letters = [str(part)[:1] for part in told] if told and not isinstance(told, str) else []
    if len(letters) == 2 and all(letter in _OPPOSITE for letter in letters):
        return letters[0], letters[1], False
    cosines = file.get("ImageOrientationPatient")
    if cosines is None and (shared := file.get("SharedFunctionalGroupsSequence")):
        planes = shared[0].get("PlaneOrientationSequence")
        cosines = planes[0].get("ImageOrientationPatient") if planes else None
    if cosines is None or len(cosines) != 6:
        return None
    both = np.asarray(cosines, float).reshape(2, 3)
    axes = np.abs(both).argmax(1)
    row, column = ("LPH"[a] if v[a] > 0 else "RAF"[a] for v, a in zip(both, axes, strict=True))
    return row, column, True


def _turns(file: Any) -> tuple[str, ...]:
    """What brings an image upright, in order."""
    found = _directions(file)
    if found is None:
        return ()
    row, column, cosines = found
    if row in (column, _OPPOSITE[column]):
        return ()
    turns = []
    # along the body, or in axial planes across it, columns run down; of breasts seen from above the
    # rows run across, which only cosines tell from a turned section
    if row in "HF" or (row in "AP" and column in "LR" and cosines):
        row, column = column, row
        turns.append("transposed")
    elif row in "AP" and column in "LR":
        return ()
    if row == "R":
        turns.append("mirrored")
    if column in "HA":
        turns.append("upside down")
    return tuple(turns)


def _turned(values: np.ndarray, turns: tuple[str, ...]) -> np.ndarray:
    """Images [N, H, W], turned."""
    if "transposed" in turns:
        values = values.swapaxes(1, 2)
    if "mirrored" in turns:
        values = values[:, :, ::-1]
    return values[:, ::-1] if "upside down" in turns else values


def _rescaled(file: Any, pixels: np.ndarray, window: Window) -> np.ndarray:
    """Stored pixels in their unit and window, frame by frame where frames differ."""
    if pixels.ndim == 2 or "PerFrameFunctionalGroupsSequence" not in file:
        return _windowed(_tags(file, 0), pixels, window)
    frames = [_windowed(_tags(file, n), frame, window) for n, frame in enumerate(pixels)]
    return np.stack(frames)


def _tags(file: Any, frame: int) -> Any:
    """What is said of the values of one frame, by the file, all frames together, or the frame."""
    import pydicom

    found, groups = pydicom.Dataset(), [file]
    for name, place in (
        ("SharedFunctionalGroupsSequence", 0),
        ("PerFrameFunctionalGroupsSequence", frame),
    ):
        listed = file.get(name) or ()
        for inner in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            groups += (listed[place].get(inner) or [])[:1] if place < len(listed) else []
    for group in groups:
        for name in (*_PIXELS, *_VALUES, *_WINDOWS):
            if name in group:
                found[name] = group[name]
    return found


def _windowed(tags: Any, pixels: np.ndarray, window: Window) -> np.ndarray:
    """Stored pixels in their unit and window."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(pixels, tags)
    if window == "file" and ("WindowWidth" in tags or "VOILUTSequence" in tags):
        values = apply_voi_lut(values, tags)
    elif not isinstance(window, str):
        low = window[0] - window[1] / 2
        values = np.clip(values, low, low + window[1])
    # as float: the negative of an unsigned number is a large one
    return np.asarray(values, np.float32)


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
