"""One entry for every degradation: what a level means is prepared on the host, what happens to an
image is pure and compiled once.

The level enters compiled code only as traced arrays of fixed shape (`Degradation.operator`), so a
study over levels compiles one program. Noise is a function of the key, the example's digest and the
level: the same image comes out whatever the batch size, order or device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.keys import example_keys
from fairrecon_jax.physics import mri, xray
from fairrecon_jax.physics.geometry import ParallelBeam, parallel_beam
from fairrecon_jax.physics.photons import Bowtie, Noise, PhotonNoise
from fairrecon_jax.types import Array, Key

Kind = Literal["mri_radial", "xray_low_dose"]
Operator = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Degradation:
    """A degradation of images, hashable and without a level.

    Attributes:
      kind: "mri_radial" (levels are acceleration factors) or "xray_low_dose" (levels are photon
        counts).
      size: image height and width in pixels, even.
      mask_by: for MRI, what a level counts: "acceleration" (the closest achieved one) or "rays".
      magnitude: for MRI, "magnitude" or "real", see `mri.zero_filled`.
      angles: for X-ray, number of projection angles, divisible by 4; 0 for as many as pixels.
      bowtie: for X-ray, see `photons.PhotonNoise`.
      noise: for X-ray, see `photons.PhotonNoise`.
      peak_attenuation: for X-ray, see `photons.PhotonNoise`.
      method: for X-ray, form of the transforms: "auto" ("gather" on a CPU), "gather" or "matmul"
        (for derivatives).
    """

    kind: Kind
    size: int
    mask_by: Literal["acceleration", "rays"] = "acceleration"
    magnitude: mri.Magnitude = "magnitude"
    angles: int = 0
    bowtie: Bowtie = "published"
    noise: Noise = "published"
    peak_attenuation: float = 4.0
    method: xray.Method = "auto"

    def __post_init__(self) -> None:
        """Checks every field, also those that this kind does not use."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind {self.kind!r} must be one of {get_args(Kind)}")
        if self.mask_by not in ("acceleration", "rays"):
            raise ValueError(f"mask_by {self.mask_by!r} must be 'acceleration' or 'rays'")
        if self.magnitude not in get_args(mri.Magnitude):
            raise ValueError(
                f"magnitude {self.magnitude!r} must be one of {get_args(mri.Magnitude)}"
            )
        if self.method not in get_args(xray.Method):
            raise ValueError(f"method {self.method!r} must be one of {get_args(xray.Method)}")
        _ = self.beam, self.photon_noise

    @property
    def beam(self) -> ParallelBeam:
        """The X-ray geometry."""
        return parallel_beam(self.size, self.angles)

    @property
    def photon_noise(self) -> PhotonNoise:
        """The conventions of bow-tie and photon counts."""
        return PhotonNoise(self.bowtie, self.noise, self.peak_attenuation)

    def operator(self, level: float) -> dict[str, Array]:
        """Everything that depends on the level, as arrays whose shapes do not; made on the host,
        passed to `__call__` as an argument.

        Args:
          level: acceleration factor or number of rays (MRI), photon count (X-ray).

        Returns:
          "level_word", uint32 scalar, the bits of the level as float32; "mask" [H, W] float32 (MRI)
            or "photons" float32 scalar (X-ray).

        Raises:
          ValueError: a level that is not positive or cannot be had at this size.
        """
        if not np.isfinite(level) or level <= 0:
            raise ValueError(f"level {level} of {self.kind} must be a positive number")
        photons = np.asarray(level, np.float32)
        word = photons.view(np.uint32)
        if self.kind == "xray_low_dose":
            return {"photons": photons, "level_word": word}
        if self.mask_by == "rays" and level != int(level):
            raise ValueError(f"level {level} counts rays and must be a whole number")
        rays = (
            int(level)
            if self.mask_by == "rays"
            else mri.rays_for_acceleration(float(level), self.size)
        )
        return {"mask": mri.radial_mask(rays, self.size), "level_word": word}

    def operators(self, levels: tuple[float, ...]) -> dict[str, Array]:
        """The operators of several levels stacked along a new leading axis, for `at_levels`.

        Args:
          levels: L levels.

        Returns:
          The fields of `operator`, each with a leading axis L.

        Raises:
          ValueError: no level, or one that cannot be had.
        """
        if not levels:
            raise ValueError("no level given")
        every = [self.operator(level) for level in levels]
        return {name: np.stack([np.asarray(one[name]) for one in every]) for name in every[0]}

    def __call__(self, operator: Operator, image: Array, example_id: Array, key: Key) -> jax.Array:
        """Degrades a batch of images at one level; pure, and differentiable with respect to the
        image.

        Args:
          operator: from `operator(level)`.
          image: [B, H, W, 1] float32 in [0, 1].
          example_id: [B, 2] uint32 digests of the examples' names.
          key: scalar typed key of the study.

        Returns:
          [B, H, W, 1] float32 in [0, 1].

        Raises:
          ValueError: an image or digest of another shape.
        """
        return self.at_levels(
            {name: jnp.asarray(value)[None] for name, value in operator.items()},
            image,
            example_id,
            key,
        )[0]

    def at_levels(
        self, operators: Operator, image: Array, example_id: Array, key: Key
    ) -> jax.Array:
        """Degrades a batch of images at several levels; Fourier transform or sinogram are computed
        once.

        Args:
          operators: from `operators(levels)`.
          image: [B, H, W, 1] float32 in [0, 1].
          example_id: [B, 2] uint32 digests of the examples' names.
          key: scalar typed key of the study.

        Returns:
          [L, B, H, W, 1] float32 in [0, 1]; row l equals the call at level l.

        Raises:
          ValueError: an image or digest of another shape.
        """
        image = jnp.asarray(image)
        if image.ndim != 4 or image.shape[1:] != (self.size, self.size, 1):
            raise ValueError(
                f"image has shape {image.shape}, expected [B, {self.size}, {self.size}, 1]"
            )
        if example_id.shape != (image.shape[0], 2):
            raise ValueError(
                f"example_id has shape {example_id.shape}, expected {(image.shape[0], 2)}"
            )
        flat = image[..., 0]
        if self.kind == "mri_radial":
            return jax.vmap(lambda mask: mri.zero_filled(flat, mask, self.magnitude))(
                operators["mask"]
            )[..., None]

        def keys(word: jax.Array) -> jax.Array:
            return example_keys(jax.random.fold_in(key, word), example_id)

        noise_keys = jax.vmap(keys)(jnp.asarray(operators["level_word"]))
        photons = jnp.asarray(operators["photons"])
        return xray.low_dose(flat, photons, noise_keys, self.beam, self.photon_noise, self.method)[
            ..., None
        ]
