"""Whether two images show the same thing in the same place, in the same grey values."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fairrecon_jax.data.images import resize

SIDE = 64
"""Pixels along the side at which images are compared."""
LEFT = 0.5
"""Share of what lacks to a correlation of 1 that a turned or shifted image may leave at most to be
called misaligned.
"""
NEAR = 0.99
"""Correlation from which an image is in place: chests and brains resemble their mirror image."""
TURNS = {
    "mirrored left to right": lambda x: x[:, ::-1],
    "upside down": lambda x: x[::-1],
    "turned by 180 degrees": lambda x: x[::-1, ::-1],
    "turned by 90 degrees": lambda x: np.rot90(x),
    "turned by 270 degrees": lambda x: np.rot90(x, 3),
    "with rows and columns exchanged": lambda x: x.T,
    "with rows and columns exchanged and turned": lambda x: np.rot90(x, 2).T,
}

OTHER = 0.2
"""Correlation below which an image is of something else."""
ZOOMS = (1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.6, 2.0)
"""Magnifications that are tried, in both directions."""
OF_GREY, LARGE = 0.75, 0.05
"""Grey values lie on another scale where a gain and an offset take away such a share of the mean
squared error, and its root is such a share of the original's range.
"""


def misplaced(original: np.ndarray, other: np.ndarray) -> str:
    """How an image lies in relation to its original, "" where nothing fits better than as it is.

    Compared are correlations at 64 pixels: of the image as it is, turned and mirrored, shifted
    along both axes (by the peak of their circular cross-correlation), and magnified.

    Args:
      original: [H, H].
      other: [H, H].

    Returns:
      What would bring it onto its original, in words.

    Example:
      >>> ramp = np.add.outer(np.arange(64.0), 3 * np.arange(64.0) ** 1.5)
      >>> misplaced(ramp, ramp), misplaced(ramp, ramp[:, ::-1])
      ('', 'it fits better mirrored left to right (correlation 1.00 instead of -0.95)')
    """
    one, two = _standard(original), _standard(other)
    if one is None:
        return ""
    if two is None:
        return (
            "it is of one grey value: constant, or stored on another scale than its original (see "
            "the field scale)"
        )
    here = float((one * two).mean())
    if here > NEAR:
        return ""
    if here < -NEAR:
        return f"it is inverted, black for white (correlation {here:.2f})"
    needed = 1 - LEFT * (1 - here)
    turns = {words: float((one * turn(two)).mean()) for words, turn in TURNS.items()}
    words = max(turns, key=lambda name: turns[name])
    if turns[words] > needed:
        return f"it fits better {words} (correlation {turns[words]:.2f} instead of {here:.2f})"
    (down, right), peak = _shift(one, two)
    zoom, magnified = _zoom(one, two)
    if magnified > max(needed, peak):
        how = "is magnified" if zoom > 1 else "is reduced"
        return (
            f"it {how}, to about {100 * zoom:.0f} % of its original, as cropped or zoomed "
            f"(correlation {magnified:.2f} instead of {here:.2f})"
        )
    if peak > needed:
        share = f"{100 * down / SIDE:.0f} % down and {100 * right / SIDE:.0f} % to the right"
        return f"it fits better moved by {share} (correlation {peak:.2f} instead of {here:.2f})"
    if here < OTHER:
        return f"it does not show what its original shows (correlation {here:.2f})"
    return ""


def on_another_scale(original: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """How grey values relate to those of the original, where that is most of the difference.

    Args:
      original: [H, H] in [0, 1].
      other: [H, H] in the original's scale, not cut off to it.

    Returns:
      (gain, offset, root mean squared error) of other = gain x original + offset; all 0 where the
        error is small, or of another kind.

    Example:
      >>> ramp = np.linspace(0, 1, 64).reshape(8, 8)
      >>> [round(x, 2) for x in on_another_scale(ramp, 1.5 * ramp - 0.25)]
      [1.5, -0.25, 0.14]
      >>> on_another_scale(ramp, ramp + 0.01)
      (0.0, 0.0, 0.0)
    """
    # noise and blur leave the means of small patches
    one, two = resize(original, SIDE).astype(float), resize(other, SIDE).astype(float)
    error = float(np.mean((two - one) ** 2))
    gain = float(np.cov(one.ravel(), two.ravel(), bias=True)[0, 1]) / max(float(one.var()), 1e-12)
    offset = float(two.mean() - gain * one.mean())
    # of what the original would be from the other: a stretch that cuts off is no gain throughout
    back = float(np.corrcoef(one.ravel(), two.ravel())[0, 1]) if two.std() > 0 else 0.0
    left = float(one.var()) * (1 - back**2)
    if error**0.5 < LARGE or left > (1 - OF_GREY) * error or back <= 0:
        return 0.0, 0.0, 0.0
    return gain, offset, error**0.5


def _shift(one: np.ndarray, two: np.ndarray) -> tuple[tuple[int, int], float]:
    """((rows down, columns to the right), correlation) at which the second fits the first best."""
    spectrum = np.fft.rfft2(one) * np.conj(np.fft.rfft2(two))
    peaks = np.fft.irfft2(spectrum, (SIDE, SIDE)) / SIDE**2
    row, column = (int(i) for i in np.unravel_index(np.argmax(peaks), peaks.shape))
    down, right = ((i + SIDE // 2) % SIDE - SIDE // 2 for i in (row, column))
    return (down, right), float(peaks[row, column])


def _zoom(one: np.ndarray, two: np.ndarray) -> tuple[float, float]:
    """(magnification of the second, correlation) at which a part of the one fits the other best."""
    best = (1.0, 0.0)
    for zoom in ZOOMS:
        for whole, part, factor in ((one, two, zoom), (two, one, 1 / zoom)):
            side = SIDE / zoom
            middle = _part(whole, side, (SIDE - side) / 2, (SIDE - side) / 2)
            if middle is None:
                continue
            # the part may lie off the middle
            shift, _ = _shift(middle, part)
            top, left = ((SIDE - side) / 2 + moved / zoom for moved in shift)
            inside = max(0.0, min(SIDE - side, top)), max(0.0, min(SIDE - side, left))
            for place in (inside, ((SIDE - side) / 2,) * 2):
                cut = _part(whole, side, *place)
                if cut is not None and (found := float((cut * part).mean())) > best[1]:
                    best = (factor, found)
    return best


def _part(image: np.ndarray, side: float, top: float, left: float) -> np.ndarray | None:
    """A square part of an image, as `_standard` gives it."""
    picture = Image.fromarray(image.astype(np.float32))
    box = (left, top, left + side, top + side)
    return _standard(np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)))


def _standard(image: np.ndarray) -> np.ndarray | None:
    """At 64 pixels with mean 0 and standard deviation 1; None where it is constant."""
    small = resize(image, SIDE)
    deviation = float(small.std())
    return None if deviation == 0 else (small - small.mean()) / deviation
