"""Radial undersampling in single-coil MRI: k-space is kept on rays through its centre."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import jax

from fairrecon_jax.physics import mri
from fairrecon_jax.physics.interface import (
    BaseDegradation,
    Modality,
    Operator,
    Worse,
    register,
)
from fairrecon_jax.types import Array, DegradationSpec, Key


@register("mri_radial")
@dataclasses.dataclass(frozen=True)
class RadialMRI(BaseDegradation):
    """Zero-filled reconstruction from rays of k-space: |z| or |Re z| of z = F^-1 (M F x), with the
    mask M of `mri.radial_mask`.

    Attributes:
      size: image height and width in pixels, even.
      mask_by: what a level counts: "acceleration" (the closest achieved one) or "rays".
      magnitude: "magnitude" or "real", see `mri.zero_filled`.

    Example:
      >>> scan, image = RadialMRI(256), np.full((2, 256, 256, 1), 0.5, np.float32)
      >>> ids, key = np.array([[0, 1], [0, 2]], np.uint32), jax.random.key(0)
      >>> jax.eval_shape(scan, scan.operator(8), image, ids, key).shape
      (2, 256, 256, 1)
      >>> round(float(scan.operator(8)["mask"].size / scan.operator(8)["mask"].sum()), 2)  # 70 rays
      8.05
    """

    mask_by: Literal["acceleration", "rays"] = "acceleration"
    magnitude: mri.Magnitude = "magnitude"

    kind: ClassVar[str] = "mri_radial"
    title: ClassVar[str] = "radially undersampled MRI"
    unit: ClassVar[str] = "acceleration factor"
    symbol: ClassVar[str] = "×"
    worse: ClassVar[Worse] = "higher"
    modality: ClassVar[Modality] = "mri"

    def __post_init__(self) -> None:
        """Checks every field."""
        super().__post_init__()
        if self.mask_by not in ("acceleration", "rays"):
            raise ValueError(f"mask_by {self.mask_by!r} must be 'acceleration' or 'rays'")
        if self.magnitude not in get_args(mri.Magnitude):
            raise ValueError(
                f"magnitude {self.magnitude!r} must be one of {get_args(mri.Magnitude)}"
            )

    def operator(self, level: float) -> dict[str, Array]:
        """Everything that depends on the level.

        Args:
          level: acceleration factor, or number of rays.

        Returns:
          "mask" [H, W] float32 in {0, 1}.

        Raises:
          ValueError: a level that is not positive or cannot be had at this size.
        """
        self.positive(level)
        # int() alone would run 70.5 as 70 rays.
        if self.mask_by == "rays" and level != int(level):
            raise ValueError(f"level {level} counts rays and must be a whole number")
        by_rays = self.mask_by == "rays"
        rays = int(level) if by_rays else mri.rays_for_acceleration(float(level), self.size)
        # Nothing is drawn, hence no level_word.
        return {"mask": mri.radial_mask(rays, self.size)}

    def describe(self, levels: Sequence[float], headline_level: float) -> DegradationSpec:
        """The kind's words beside the levels of a study; rays are counted the other way round."""
        spec = super().describe(levels, headline_level)
        if self.mask_by == "acceleration":
            return spec
        return dataclasses.replace(spec, unit="number of rays", symbol=" rays", worse="lower")

    def _degrade(
        self, operators: Operator, image: jax.Array, example_id: Array, key: Key
    ) -> jax.Array:
        # Mapped over the masks only: the images' Fourier transform is computed once for all levels.
        return jax.vmap(lambda mask: mri.zero_filled(image, mask, self.magnitude))(
            operators["mask"]
        )
