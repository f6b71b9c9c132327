"""Cartesian undersampling in single-coil MRI: some lines of k-space are kept, the rest is 0.

A line is a row of k-space: phase encoding runs along the image's height H, readout along its width,
so every kept line is sampled in full. A band of lines around the centre is always kept. The
acceleration of a mask is what it achieves, H / (lines kept), the centre included, not the factor
outside the centre.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.physics import mri
from fairrecon_jax.physics.interface import (
    BaseDegradation,
    Modality,
    Operator,
    Worse,
    level_word,
    noise_keys,
    register,
)
from fairrecon_jax.types import Array, Key

Pattern = Literal["random", "equispaced"]


@register("mri_cartesian")
@dataclasses.dataclass(frozen=True)
class CartesianMRI(BaseDegradation):
    """Keeps round(size / acceleration) lines of k-space: |z| or |Re z| of z = F^-1 (M F x).

    Attributes:
      size: image height and width in pixels, even.
      pattern: lines outside the centre: "random" (their density falls from the centre, see
        `line_density`; another draw for each example and level) or "equispaced" (the same lines for
        all images).
      centre_fraction: share of the lines that is kept around the centre, in [0, 1); at least the
        central line is.
      power: for "random", how fast the density falls, at least 0 (all lines alike).
      magnitude: "magnitude" or "real", see `mri.zero_filled`.

    Example:
      >>> scan, image = CartesianMRI(256), np.full((2, 256, 256, 1), 0.5, np.float32)
      >>> ids, key = np.array([[0, 1], [0, 2]], np.uint32), jax.random.key(0)
      >>> jax.eval_shape(scan, scan.operator(8), image, ids, key).shape
      (2, 256, 256, 1)
      >>> scan.lines(8), int(scan.centre.sum())  # of 256 lines, and of those in the centre
      (32, 10)

    Reference: Lustig, Donoho and Pauly 2007, doi:10.1002/mrm.21391 (density falling as a power of
    the distance).
    """

    pattern: Pattern = "random"
    centre_fraction: float = 0.04
    power: float = 2.0
    magnitude: mri.Magnitude = "magnitude"

    kind: ClassVar[str] = "mri_cartesian"
    title: ClassVar[str] = "Cartesian undersampled MRI"
    unit: ClassVar[str] = "acceleration factor"
    symbol: ClassVar[str] = "×"
    worse: ClassVar[Worse] = "higher"
    modality: ClassVar[Modality] = "mri"

    def __post_init__(self) -> None:
        """Checks every field."""
        super().__post_init__()
        if self.pattern not in get_args(Pattern):
            raise ValueError(f"pattern {self.pattern!r} must be one of {get_args(Pattern)}")
        # Comparisons with NaN are false: in this form the ranges refuse it too.
        if not 0 <= self.centre_fraction < 1:
            raise ValueError(f"centre_fraction {self.centre_fraction} must be in [0, 1)")
        if not 0 <= self.power < np.inf:
            raise ValueError(f"power {self.power} must be a number of at least 0")
        if self.magnitude not in get_args(mri.Magnitude):
            raise ValueError(
                f"magnitude {self.magnitude!r} must be one of {get_args(mri.Magnitude)}"
            )

    @property
    def centre(self) -> np.ndarray:
        """Lines that are always kept, [H] bool: a band around line H / 2."""
        # The line of frequency 0 holds the mean of the image: no level may lose it.
        return centre_lines(max(1, _rounded(self.centre_fraction * self.size)), self.size)

    def lines(self, level: float) -> int:
        """How many lines are kept: round(H / level); the achieved acceleration is H over this.

        Args:
          level: acceleration factor, at least 1.

        Returns:
          Number of lines.

        Raises:
          ValueError: a factor below 1, or one that leaves fewer lines than the centre holds.
        """
        if self.positive(level) < 1:
            raise ValueError(
                f"level {level} of {self.kind} is an acceleration factor and must be at least 1"
            )
        # Checked on the host: in the traced draw a centre too large would be cut off in silence.
        lines, centre = _rounded(self.size / level), int(self.centre.sum())
        if lines < centre:
            raise ValueError(
                f"acceleration {level} cannot be had on {self.size} lines: it keeps {lines}, and "
                f"the centre alone holds {centre} (centre_fraction {self.centre_fraction}); the "
                f"largest that can be had is {self.size / centre:.4g}"
            )
        return lines

    def operator(self, level: float) -> dict[str, Array]:
        """Everything that depends on the level.

        Args:
          level: acceleration factor, at least 1.

        Returns:
          "lines", int32 scalar, and "level_word", uint32 scalar ("random"), or "mask" [H] float32
          ("equispaced").

        Raises:
          ValueError: see `lines`.
        """
        lines = self.lines(level)
        if self.pattern == "equispaced":
            # Nothing is drawn, hence no level_word.
            return {"mask": equispaced_lines(lines, self.centre)}
        # An array, not an int: the count is an argument of the program, so all levels share it.
        return {"lines": np.asarray(lines, np.int32), "level_word": level_word(level)}

    def masks(self, operators: Operator, example_id: Array, key: Key) -> jax.Array:
        """The lines kept for each level and example.

        Args:
          operators: from `operators(levels)`.
          example_id: [B, 2] uint32 digests of the examples' names.
          key: scalar typed key of the study.

        Returns:
          [L, B, H] float32 in {0, 1}.
        """
        if self.pattern == "equispaced":
            # [L, H] -> [L, B, H]: the same lines for every image.
            mask = jnp.asarray(operators["mask"])[:, None]
            return jnp.broadcast_to(mask, (len(mask), len(example_id), self.size))
        density = line_density(self.size, self.power)
        keys = noise_keys(operators["level_word"], example_id, key)
        # Outer map: levels, each with its own count; inner map: examples, each with its own key.
        draw = jax.vmap(jax.vmap(random_lines, (0, None, None, None)), (0, 0, None, None))
        return draw(
            keys,
            jnp.asarray(operators["lines"]),
            jnp.asarray(self.centre),
            jnp.asarray(density, jnp.float32),
        )

    def _degrade(
        self, operators: Operator, image: jax.Array, example_id: Array, key: Key
    ) -> jax.Array:
        def fill(one: jax.Array, mask: jax.Array) -> jax.Array:
            # [H] -> [H, W]: a kept line is sampled along the whole readout.
            return mri.zero_filled(one, jnp.broadcast_to(mask[:, None], one.shape), self.magnitude)

        # Not mapped over levels: the image's Fourier transform is computed once for all of them.
        return jax.vmap(jax.vmap(fill), (None, 0))(image, self.masks(operators, example_id, key))


def centre_lines(count: int, height: int) -> np.ndarray:
    """A band of lines around the centre of k-space, H / 2 - floor(count / 2) and the following.

    Args:
      count: number of lines, at most `height`.
      height: H.

    Returns:
      [H] bool.
    """
    start = height // 2 - count // 2
    line = np.arange(height)
    return (line >= start) & (line < start + count)


def equispaced_lines(lines: int, centre: np.ndarray) -> np.ndarray:
    """The centre and equally spaced lines of the others.

    Of the n other lines, in their order, m are kept: numbers floor((j + 1/2) n / m), j = 0, 1, ...

    Args:
      lines: how many to keep, from the centre's number to H.
      centre: [H] bool, lines that are kept in any case.

    Returns:
      [H] float32 in {0, 1} with exactly `lines` ones.
    """
    outer = np.flatnonzero(~centre)
    wanted = lines - int(centre.sum())
    # In whole numbers, where a float could land on the wrong side of one; `wanted` may be 0.
    chosen = (2 * np.arange(wanted) + 1) * len(outer) // (2 * max(wanted, 1))
    mask = centre.astype(np.float32)
    mask[outer[chosen]] = 1
    return mask


def line_density(height: int, power: float) -> np.ndarray:
    """Weights with which lines are drawn: (1 - d)^power, d = |line - H / 2| / (H / 2 + 1).

    Args:
      height: H, even.
      power: at least 0.

    Returns:
      float64 [H] in (0, 1], 1 at the centre.
    """
    # The + 1 keeps the outermost line above 0: its logarithm is taken.
    distance = np.abs(np.arange(height) - height // 2) / (height // 2 + 1)
    return (1 - distance) ** power


def random_lines(key: Key, lines: jax.Array, centre: jax.Array, density: jax.Array) -> jax.Array:
    """The centre and lines drawn by their density, one after the other and none twice.

    Each draw takes one of the lines left with a probability in proportion to its density. The lines
    with the largest ln(density) + Gumbel noise are such a sample, and their number may be traced.

    Args:
      key: scalar typed key.
      lines: int32 scalar, how many to keep, from the centre's number to H.
      centre: [H] bool, lines that are kept in any case.
      density: [H] float32, positive.

    Returns:
      [H] float32 in {0, 1} with exactly `lines` ones.

    Reference: Kool, van Hoof and Welling 2019, arXiv 1903.06059.
    """
    # Infinite scores rank first; there are never more of them than `lines`.
    score = jnp.where(
        centre, jnp.inf, jnp.log(density) + jax.random.gumbel(key, density.shape, density.dtype)
    )
    # By rank, not by a threshold: the number is exact also where two scores tie.
    rank = jnp.argsort(jnp.argsort(-score))
    return (rank < lines).astype(jnp.float32)


def _rounded(value: float) -> int:
    """The nearest whole number, the larger one of two."""
    # Not `round`, which takes a half to the even neighbour: 2.5 to 2, but 3.5 to 4.
    return int(np.floor(value + 0.5))
