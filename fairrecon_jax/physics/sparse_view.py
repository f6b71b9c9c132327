"""Sparse-view X-ray tomography: filtered back-projection from few projection angles.

The scan's full grid of angles is projected once; a level keeps some of them by weights over the
grid, so that every level runs the same program.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, get_args

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.physics import xray
from fairrecon_jax.physics.geometry import ParallelBeam, parallel_beam
from fairrecon_jax.physics.interface import BaseDegradation, Modality, Operator, Worse, register
from fairrecon_jax.types import Array, Key


@register("xray_sparse_view")
@dataclasses.dataclass(frozen=True)
class SparseViewXray(BaseDegradation):
    """Scans an image from n of N angles: f = pi / (2 N) sum over i of w_i B(p_i).

    p_i is the projection at angle i, B filters and back-projects it (see `xray`). w_i is the share
    of the half circle that is nearest to angle i, in steps of the full grid, and 0 for angles left
    out (see `angle_weights`). Intensities keep their units: f is cut off to [0, 1], not stretched
    to it, so that a streak does not change the contrast of the whole image.

    Fewer angles are worse only from about half as many as pixels on: above that the blur of the
    Hann filter is the larger error, and an image with anatomy up to its frame can even gain 1 dB.

    Attributes:
      size: image height and width in pixels, even.
      angles: N, number of angles of the full scan, divisible by 4; 0 for as many as pixels.
      method: form of the transforms: "auto" ("gather" on a CPU), "gather" or "matmul" (for
        derivatives).

    Example:
      >>> scan, image = SparseViewXray(256), np.full((2, 256, 256, 1), 0.5, np.float32)
      >>> ids, key = np.array([[0, 1], [0, 2]], np.uint32), jax.random.key(0)
      >>> jax.eval_shape(scan, scan.operator(32), image, ids, key).shape  # 32 of 256 angles
      (2, 256, 256, 1)

    Reference: Kak and Slaney, Principles of Computerized Tomographic Imaging, chapters 3 and 5
    (aliasing from few views).
    """

    angles: int = 0
    method: xray.Method = "auto"

    kind: ClassVar[str] = "xray_sparse_view"
    title: ClassVar[str] = "sparse-view X-ray tomography"
    unit: ClassVar[str] = "angle count"
    symbol: ClassVar[str] = " angles"
    worse: ClassVar[Worse] = "lower"
    modality: ClassVar[Modality] = "xray"

    def __post_init__(self) -> None:
        """Checks every field."""
        super().__post_init__()
        if self.method not in get_args(xray.Method):
            raise ValueError(f"method {self.method!r} must be one of {get_args(xray.Method)}")
        # Built for its checks: a bad number of angles is named here, not while compiling.
        _ = self.beam

    @property
    def beam(self) -> ParallelBeam:
        """The geometry of the full scan."""
        return parallel_beam(self.size, self.angles)

    def operator(self, level: float) -> dict[str, Array]:
        """Everything that depends on the level.

        Args:
          level: number of angles, whole, from 1 to that of the full scan.

        Returns:
          "weights" [N] float32, see `angle_weights`.

        Raises:
          ValueError: a number that cannot be had; the message names the nearest one that can.
        """
        self.positive(level)
        # A fraction is refused, not rounded: the report would show a level that was not run.
        nearest = min(max(int(np.floor(level + 0.5)), 1), self.beam.angles)
        if level != nearest:
            raise ValueError(
                f"level {level} of {self.kind} is not a whole number from 1 to the "
                f"{self.beam.angles} angles of the full scan; the nearest that can be had is "
                f"{nearest}"
            )
        return {"weights": angle_weights(nearest, self.beam.angles)}

    def _degrade(
        self, operators: Operator, image: jax.Array, example_id: Array, key: Key
    ) -> jax.Array:
        weights = jnp.asarray(operators["weights"])[:, None, None]  # [L, 1 (B), 1 (detectors), N]
        # Before the filter is as good as behind it: it acts on every angle alone.
        seen = xray.radon(image, self.beam, self.method)[None] * weights
        # [L, B, detectors, N] -> [L B, detectors, N]: levels are further rows of one batch.
        filled = xray.filtered_back_projection(
            seen.reshape(-1, *seen.shape[2:]), self.beam, self.method
        )
        return jnp.clip(filled, 0, 1).reshape(len(weights), *image.shape)


def angle_weights(count: int, angles: int) -> np.ndarray:
    """Which angles of a full grid are seen, and how much of the half circle each stands for.

    Kept are the grid's angles nearest to j * angles / count, j = 0 ... count - 1: equally spaced
    where `count` divides `angles`, within half a step of it elsewhere. A weight is half the way
    from the angle before to the angle after, around the half circle, in steps of the grid: the
    trapezoidal rule.

    Args:
      count: number of angles seen, from 1 to `angles`.
      angles: number of angles of the full grid.

    Returns:
      [angles] float32, `count` of them positive, of sum `angles`; all 1 where `count` is `angles`.
    """
    # Rounds j angles / count to the nearest in whole numbers; as count <= angles none comes twice.
    seen = (2 * np.arange(count) * angles + count) // (2 * count)
    # The gap behind the last angle runs over 180 degrees to the first one.
    after = np.diff(seen, append=seen[0] + angles)
    weights = np.zeros(angles, np.float32)
    weights[seen] = (after + np.roll(after, 1)) / 2
    return weights
