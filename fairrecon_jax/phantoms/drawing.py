"""Soft-edged shapes on a grid in centimetres (or millimetres): the primitives that radiographs and
brains are drawn with.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage


def edge(signed: np.ndarray, width: float) -> np.ndarray:
    """1 where `signed` is well above 0, 0 well below, a linear ramp of the given width between."""
    return np.clip(0.5 + signed / width, 0.0, 1.0)


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, 3u^2 - 2u^3 between."""
    u = np.clip((value - low) / (high - low), 0.0, 1.0)
    return u * u * (3.0 - 2.0 * u)


def ellipse_radius(
    x: np.ndarray,
    y: np.ndarray,
    centre: tuple[float, float],
    axes: tuple[float, float],
    degrees: float = 0.0,
) -> np.ndarray:
    """Squared elliptic radius: 0 at the centre, 1 on the ellipse whose first axis is turned by
    `degrees` (towards +y).
    """
    angle = np.deg2rad(degrees)
    # NumPy scalars of float64 would promote float32 maps.
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    return ((c * dx + s * dy) / np.float32(axes[0])) ** 2 + (
        (c * dy - s * dx) / np.float32(axes[1])
    ) ** 2


def chord(radius_squared: np.ndarray) -> np.ndarray:
    """Thickness of a unit ball along the beam at squared radius r^2: sqrt(1 - r^2), 0 outside."""
    return np.sqrt(np.maximum(1.0 - radius_squared, 0.0))


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where a patient lies on the film: pixel = centre + turn(cm) / cm_per_pixel.

    Attributes:
      size: pixels per side.
      field: side of the film in cm.
      degrees: in-plane rotation.
      shift: (x, y) of the patient's origin from the film's centre, in cm.
    """

    size: int
    field: float
    degrees: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def pixel(self) -> float:
        """Centimetres per pixel."""
        return self.field / self.size

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """The patient coordinates (x, y) in cm of every pixel centre, float32 [size, size] each."""
        axis = ((np.arange(self.size) + 0.5) * self.pixel - self.field / 2).astype(np.float32)
        u, v = axis[None, :] - np.float32(self.shift[0]), axis[:, None] - np.float32(self.shift[1])
        c, s = (
            np.float32(np.cos(np.deg2rad(self.degrees))),
            np.float32(np.sin(np.deg2rad(self.degrees))),
        )
        return c * u + s * v, c * v - s * u

    def pixels(self, points: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """Continuous pixel coordinates (column, row) [N, 2] of points in cm [N, 2], on a film
        magnified by `scale`.
        """
        c, s = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        turned = np.empty((len(points), 2))
        turned[:, 0] = c * points[:, 0] - s * points[:, 1] + (self.shift[0] + self.field / 2)
        turned[:, 1] = s * points[:, 0] + c * points[:, 1] + (self.shift[1] + self.field / 2)
        return turned * (scale / self.pixel)


class Plate:
    """Polygons and lines drawn at `oversample` times the resolution and averaged down; where shapes
    overlap the later one counts, as the shell of a bone over its marrow. What adds up along the
    beam takes a plate each.
    """

    def __init__(self, frame: Frame, oversample: int = 2) -> None:
        self.frame, self.oversample = frame, oversample
        side = frame.size * oversample
        self._image = Image.new("F", (side, side), 0.0)
        self._draw = ImageDraw.Draw(self._image)

    def _points(self, points: np.ndarray) -> list[float]:
        # Pillow's integer coordinates lie in the middle of a pixel, the frame's at its corner.
        return (self.frame.pixels(points, self.oversample) - 0.5).ravel().tolist()

    def polygon(self, points: np.ndarray, value: float) -> None:
        """Fills a polygon (points in cm [N, 2]) with a value."""
        self._draw.polygon(self._points(points), fill=float(value))

    def line(self, points: np.ndarray, value: float, width: float) -> None:
        """Draws a polyline of the given width in cm; lines thinner than a sample fade instead."""
        samples = width / self.frame.pixel * self.oversample
        # Pillow draws whole samples only: what is missing of the width is taken off the value
        whole = max(1, round(samples))
        self._draw.line(
            self._points(points),
            fill=float(value) * min(1.0, samples / whole),
            width=whole,
            joint="curve",
        )

    def map(self, blur: float = 0.0) -> np.ndarray:
        """The drawn values, float32 [size, size], blurred by `blur` cm (standard deviation)."""
        n = self.oversample
        fine = np.asarray(self._image, np.float32)
        image = np.zeros((self.frame.size, self.frame.size), np.float32)
        for i in range(n):
            for j in range(n):
                image += fine[i::n, j::n]
        image *= np.float32(1.0 / n**2)
        return (
            ndimage.gaussian_filter(image, blur / self.frame.pixel, truncate=3.0)
            if blur > 0
            else image
        )


def splat(frame: Frame, points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Adds `values` [N] at `points` [N, 2] (cm) to the four nearest pixels each; float32 [size,
    size].
    """
    # pixel centres lie at half numbers
    place = frame.pixels(points) - 0.5
    corner = np.floor(place).astype(int)
    part = place - corner
    flat = np.zeros(frame.size * frame.size)
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = corner[:, 0] + dx, corner[:, 1] + dy
            weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1]) * values
            inside = (column >= 0) & (row >= 0) & (column < frame.size) & (row < frame.size)
            # bincount adds points that share a pixel; an indexed += would keep one of them
            flat += np.bincount(
                row[inside] * frame.size + column[inside], weight[inside], minlength=flat.size
            )
    return flat.reshape(frame.size, frame.size).astype(np.float32)


def texture(
    rng: np.random.Generator, frame: Frame, wavelength: float, waves: int = 24
) -> np.ndarray:
    """A smooth random field of unit variance, [size, size]: a sum of plane waves around one
    wavelength, fixed to the patient.

    cos(k.r + p) is the real part of a factor per row times a factor per column, so that the whole
    sum is one matrix product (by einsum: threads of a BLAS cost more than they save at this size).

    Args:
      rng: where the waves come from; the field at a point of the patient does not depend on the
        pixel size.
      frame: the film.
      wavelength: typical wavelength in cm.
      waves: how many plane waves are summed.
    """
    angle, phase = rng.random((2, waves)) * 2 * np.pi
    # 0.6 to 1.4 times: waves of one length alone would look like a lattice
    number = (2 * np.pi / wavelength) * (0.6 + 0.8 * rng.random(waves))
    # The waves turn and move with the patient, not with the film.
    angle = angle + np.deg2rad(frame.degrees)
    kx, ky = number * np.cos(angle), number * np.sin(angle)
    axis = (np.arange(frame.size) + 0.5) * frame.pixel - frame.field / 2
    down = np.exp(1j * ((axis[:, None] - frame.shift[1]) * ky + phase))
    across = np.exp(1j * kx[:, None] * (axis[None, :] - frame.shift[0]))
    left = np.concatenate([down.real, -down.imag], axis=1).astype(np.float32)
    right = np.concatenate([across.real, across.imag], axis=0).astype(np.float32)
    return np.einsum("ik,kj->ij", left, right) * np.float32(np.sqrt(2.0 / waves))


def soft_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of a large standard deviation (pixels) of a square image, done on a reduced
    grid.
    """
    # Three grid points per standard deviation are enough to interpolate between.
    step = max(1, int(sigma // 3))
    if step == 1:
        return ndimage.gaussian_filter(image, sigma, mode="nearest")
    side = image.shape[0]
    extra = -side % step
    padded = np.pad(image, ((0, extra), (0, extra)), mode="edge")
    # The padding fills the last bin, so that all of them hold step^2 pixels.
    starts = np.arange(0, side + extra, step)
    small = np.add.reduceat(np.add.reduceat(padded, starts, axis=0), starts, axis=1) / step**2
    small = ndimage.gaussian_filter(small, sigma / step, mode="nearest")
    return between(small, ((np.arange(side) + 0.5) / step - 0.5))


def between(small: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A square grid read at the same fractional positions in rows and columns, linearly
    interpolated; float32 [len(at), len(at)].
    """
    last = small.shape[0] - 1
    # beyond the outer points the nearest one counts
    at = np.clip(at, 0, last)
    # The last interval is closed on both sides; a grid of one point has none.
    low = np.minimum(at.astype(int), max(last - 1, 0))
    part = (at - low).astype(np.float32)
    high = np.minimum(low + 1, last)
    rows = small[low] * (1 - part[:, None]) + small[high] * part[:, None]
    return (rows[:, low] * (1 - part) + rows[:, high] * part).astype(np.float32)


def power(base: np.ndarray, exponent: float) -> np.ndarray:
    """max(base, 0) ** exponent, computed only where the base is above 0."""
    out = np.zeros(base.shape, np.float32)
    inside = base > 0
    # a root of a negative number would be NaN, with a warning
    out[inside] = base[inside] ** np.float32(exponent)
    return out
