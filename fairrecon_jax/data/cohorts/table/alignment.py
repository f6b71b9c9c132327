"""Whether two images show the same thing in the same place."""

from __future__ import annotations

import numpy as np

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


def misplaced(original: np.ndarray, other: np.ndarray) -> str:
    """How an image lies in relation to its original, "" where nothing fits better than as it is.

    Compared are correlations at 64 pixels: of the image as it is, turned and mirrored, and shifted
    along both axes (by the peak of their circular cross-correlation).

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
    spectrum = np.fft.rfft2(one) * np.conj(np.fft.rfft2(two))
    peaks = np.fft.irfft2(spectrum, (SIDE, SIDE)) / SIDE**2
    row, column = (int(i) for i in np.unravel_index(np.argmax(peaks), peaks.shape))
    if peaks[row, column] > needed:
        down, right = ((i + SIDE // 2) % SIDE - SIDE // 2 for i in (row, column))
        share = f"{100 * down / SIDE:.0f} % down and {100 * right / SIDE:.0f} % to the right"
        return (
            f"it fits better moved by {share} (correlation {peaks[row, column]:.2f} instead of "
            f"{here:.2f})"
        )
    return ""


def _standard(image: np.ndarray) -> np.ndarray | None:
    """At 64 pixels with mean 0 and standard deviation 1; None where it is constant."""
    small = resize(image, SIDE)
    deviation = float(small.std())
    return None if deviation == 0 else (small - small.mean()) / deviation
