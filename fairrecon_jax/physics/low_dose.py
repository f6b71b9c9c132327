"""Low-dose X-ray: projections, photon noise, filtered back-projection."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, get_args

import jax
import numpy as np

from fairrecon_jax.physics import xray
from fairrecon_jax.physics.geometry import ParallelBeam, parallel_beam
from fairrecon_jax.physics.interface import (
    BaseDegradation,
    Modality,
    Operator,
    Worse,
    level_word,
    noise_keys,
    register,
)
from fairrecon_jax.physics.jpeg import jpeg_round_trip
from fairrecon_jax.physics.photons import Bowtie, Noise, PhotonNoise
from fairrecon_jax.types import Array, Key

Storage = Literal["float", "jpeg"]


@register("xray_low_dose")
@dataclasses.dataclass(frozen=True)
class LowDoseXray(BaseDegradation):
    """Projects the image, draws photons and reconstructs: B(noise(R x)), stretched to [0, 1].

    R is the Radon transform, B filtered back-projection (see `xray`); one sinogram serves all
    levels.

    Attributes:
      size: image height and width in pixels, even.
      angles: number of projection angles, divisible by 4; 0 for as many as pixels.
      bowtie: see `photons.PhotonNoise`.
      noise: see `photons.PhotonNoise`.
      peak_attenuation: see `photons.PhotonNoise`.
      storage: "float", or "jpeg" for images that pass through 8-bit JPEG files of quality 75 and
        are stretched to [0, 1] again, as in the published code; see `jpeg.jpeg_round_trip`.
      method: form of the transforms: "auto" ("gather" on a CPU), "gather" or "matmul" (for
        derivatives).

    Example:
      >>> scan, image = LowDoseXray(256), np.full((2, 256, 256, 1), 0.5, np.float32)
      >>> ids, key = np.array([[0, 1], [0, 2]], np.uint32), jax.random.key(0)
      >>> jax.eval_shape(scan, scan.operator(1e4), image, ids, key).shape
      (2, 256, 256, 1)
      >>> scan.beam.detectors, scan.beam.angles
      (363, 256)
    """

    angles: int = 0
    bowtie: Bowtie = "published"
    noise: Noise = "published"
    peak_attenuation: float = 4.0
    storage: Storage = "float"
    method: xray.Method = "auto"

    kind: ClassVar[str] = "xray_low_dose"
    title: ClassVar[str] = "low-dose X-ray"
    unit: ClassVar[str] = "photon count"
    symbol: ClassVar[str] = " photons"
    worse: ClassVar[Worse] = "lower"
    modality: ClassVar[Modality] = "xray"

    def __post_init__(self) -> None:
        """Checks every field."""
        super().__post_init__()
        if self.method not in get_args(xray.Method):
            raise ValueError(f"method {self.method!r} must be one of {get_args(xray.Method)}")
        if self.storage not in get_args(Storage):
            raise ValueError(f"storage {self.storage!r} must be one of {get_args(Storage)}")
        # Built for their checks: a bad number of angles is named here, not while compiling.
        _ = self.beam, self.photon_noise

    @property
    def beam(self) -> ParallelBeam:
        """The geometry of the scan."""
        return parallel_beam(self.size, self.angles)

    @property
    def photon_noise(self) -> PhotonNoise:
        """The conventions of bow-tie and photon counts."""
        return PhotonNoise(self.bowtie, self.noise, self.peak_attenuation)

    def operator(self, level: float) -> dict[str, Array]:
        """Everything that depends on the level.

        Args:
          level: photon count.

        Returns:
          "photons", float32 scalar, and "level_word", uint32 scalar.

        Raises:
          ValueError: a level that is not positive.
        """
        # An array, so that the count is an argument of the program and not a constant in it.
        photons = np.asarray(self.positive(level), np.float32)
        return {"photons": photons, "level_word": level_word(level)}

    def _degrade(
        self, operators: Operator, image: jax.Array, example_id: Array, key: Key
    ) -> jax.Array:
        keys = noise_keys(operators["level_word"], example_id, key)
        photons = jax.numpy.asarray(operators["photons"])
        degraded = xray.low_dose(image, photons, keys, self.beam, self.photon_noise, self.method)
        if self.storage == "float":
            return degraded
        return xray.unit_range(jpeg_round_trip(degraded))
