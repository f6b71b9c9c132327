"""Smooth random fields and simple solids in three dimensions, evaluated on blocks of a volume."""

from __future__ import annotations

import dataclasses

import numpy as np

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The x, y and z of every voxel, [X, Y, Z] float32 each (or shapes that broadcast to it)."""


@dataclasses.dataclass(frozen=True)
class Field:
    """An isotropic random field of unit variance: plane waves of nearly one wavelength.

    f(r) = sqrt(2 / n) * sum_i cos(k_i . r + p_i)

    Attributes:
      number: wave vectors k [n, 3].
      phase: phases p [n].
    """

    number: np.ndarray
    phase: np.ndarray

    def __call__(self, axes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        """The field on the grid spanned by three axes, [X, Y, Z] float32.

        cos(k.r + p) is the real part of a factor of x times a factor of (y, z), so that the whole
        sum is one matrix product.
        """
        k, count = self.number, len(self.phase)
        across = np.exp(1j * (axes[0][:, None] * k[:, 0] + self.phase)).astype(np.complex64)
        # [n, Y, 1] times [n, 1, Z], flattened to [n, Y Z]
        plane = np.exp(1j * k[:, 1, None] * axes[1]).astype(np.complex64)[:, :, None]
        plane = (
            plane * np.exp(1j * k[:, 2, None] * axes[2]).astype(np.complex64)[:, None, :]
        ).reshape(count, -1)
        # Re(ab) = Re a Re b - Im a Im b: the minus goes to the smaller factor
        left = np.concatenate([across.real, -across.imag], axis=1) * np.float32(
            np.sqrt(2.0 / count)
        )
        right = np.concatenate([plane.real, plane.imag], axis=0)
        return (left @ right).reshape(len(axes[0]), len(axes[1]), len(axes[2]))


def draw_field(
    rng: np.random.Generator, wavelength: float, count: int = 32, spread: float = 0.25
) -> Field:
    """Draws a field whose wavelengths lie within `spread` of `wavelength` (mm)."""
    direction = rng.standard_normal((count, 3))
    # normal components over their length: directions spread evenly over the sphere
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    number = 2 * np.pi / wavelength * (1.0 + spread * (2 * rng.random(count) - 1))
    return Field(direction * number[:, None], 2 * np.pi * rng.random(count))


def ball(
    v: Coordinates, centre: tuple[float, float, float], semi: tuple[float, float, float]
) -> np.ndarray:
    """Approximate signed depth in mm inside an ellipsoid: (1 - r) times the mean semi-axis."""
    # The distance to an ellipsoid has no closed form; this one is exact for a ball.
    r2 = sum(((a - float(c)) * (1.0 / float(s))) ** 2 for a, c, s in zip(v, centre, semi))
    return (1.0 - np.sqrt(r2)) * (sum(semi) / 3.0)


def tube(
    v: Coordinates, path: np.ndarray, radii: np.ndarray, flat: float, margin: float
) -> np.ndarray:
    """Signed depth in mm inside a tube along a polyline, mirrored in x; -margin far away.

    Args:
      v: coordinates; |x| is used.
      path: points [N, 3].
      radii: radius at each point [N].
      flat: widths in x are divided by this.
      margin: how far outside the tube the depth is still followed.
    """
    x, y, z = np.broadcast_arrays(np.abs(v[0]), v[1], v[2])
    depth = np.full(x.shape, -margin, np.float32)
    for a, b, ra, rb in zip(path[:-1], path[1:], radii[:-1], radii[1:]):
        # Only voxels within reach of the segment: a block has a hundred times as many.
        reach = max(ra, rb) + margin
        low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
        # a block is a few slices: most segments are not near it
        if z.max() < low[2] or z.min() > high[2]:
            continue
        near = (
            (x > low[0])
            & (x < high[0])
            & (y > low[1])
            & (y < high[1])
            & (z > low[2])
            & (z < high[2])
        )
        p = np.stack([x[near], y[near], z[near]], axis=1) - a.astype(np.float32)
        d = (b - a).astype(np.float32)
        # The nearest point of the segment, as its share of the length.
        t = np.clip((p * d).sum(1) / float((d * d).sum()), 0.0, 1.0)
        off = (p - t[:, None] * d) * np.array([flat, 1.0, 1.0], np.float32)
        depth[near] = np.maximum(depth[near], ra + (rb - ra) * t - np.sqrt((off**2).sum(1)))
    return depth
