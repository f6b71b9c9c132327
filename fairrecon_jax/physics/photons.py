"""Photon noise of a low-dose scan: the bow-tie filter in front of the tube and the counts behind
the patient.

Two conventions each. "published" follows the paper's code, where the filter weights the angles and
counts are drawn from the line integrals themselves; "physical" follows the scanner, where the
filter shapes the fan of detectors and counts are drawn from the transmitted beam.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.physics.poisson import poisson

Bowtie = Literal["published", "physical", "none"]
Noise = Literal["published", "physical", "none"]

LOWEST = 0.05
"""Smallest transmission of the bow-tie filter."""


@dataclasses.dataclass(frozen=True)
class PhotonNoise:
    """How photon counts enter a sinogram.

    Attributes:
      bowtie: "published" (angle axis, not undone), "physical" (detector axis, undone after the
        noise) or "none".
      noise: "published" (counts are scaled line integrals), "physical" (Beer-Lambert transmitted
        counts) or "none".
      peak_attenuation: for "physical" noise, the optical depth of an image's longest line integral
        (4 transmits 1.8%).

    Example:
      >>> bowtie = PhotonNoise(bowtie="physical").profile(detectors=5, angles=4)
      >>> bowtie[:, 0].round(3).tolist()  # of the tube's light, along the detectors
      [0.05, 0.525, 1.0, 0.525, 0.05]
    """

    bowtie: Bowtie = "published"
    noise: Noise = "published"
    peak_attenuation: float = 4.0

    def __post_init__(self) -> None:
        """Checks the fields."""
        if self.bowtie not in get_args(Bowtie):
            raise ValueError(f"bowtie {self.bowtie!r} must be one of {get_args(Bowtie)}")
        if self.noise not in get_args(Noise):
            raise ValueError(f"noise {self.noise!r} must be one of {get_args(Noise)}")
        # Not `<= 0`: NaN is refused as well.
        if not self.peak_attenuation > 0:
            raise ValueError(f"peak_attenuation {self.peak_attenuation} must be positive")

    def measure(self, sinogram: jax.Array, photons: jax.Array, key: jax.Array) -> jax.Array:
        """One noisy measurement of one example's line integrals.

        published: p' = Poisson(w p k) / k with k = photons / max(w p); w also scales the result
        where it lies on the angle axis.
        physical:  n = Poisson(photons w exp(-d p / max p)); p' = -ln(max(n, 1) / (photons w)) max p
        / d, d the peak attenuation.

        Args:
          sinogram: [detectors, angles] float32 line integrals, not negative.
          photons: scalar, the largest expected count ("published") or the photons sent to an
            unattenuated detector ("physical").
          key: scalar typed key.

        Returns:
          Noisy line integrals [detectors, angles] in the same units.
        """
        weight = jnp.asarray(self.profile(*sinogram.shape), sinogram.dtype)
        if self.noise == "physical":
            return self._transmitted(sinogram, weight, photons, key)
        filtered = sinogram * weight
        if self.noise == "published":
            # A straight-through draw: the noise is added as a constant, so that the derivative is
            # that of the line integrals.
            scale = photons / _positive(jax.lax.stop_gradient(filtered.max()))
            # The matmul form rings a little below 0, where there is no Poisson mean.
            expected = jnp.maximum(jax.lax.stop_gradient(filtered), 0) * scale
            filtered = filtered + (poisson(key, expected) - expected) / scale
        # Undone behind the noise, which stays larger where fewer photons were sent.
        return filtered / weight if self.bowtie == "physical" else filtered

    def _transmitted(
        self, sinogram: jax.Array, weight: jax.Array, photons: jax.Array, key: jax.Array
    ) -> jax.Array:
        # Optical depth per line integral; constant like the noise: the gradient is the sinogram's.
        unit = jax.lax.stop_gradient(self.peak_attenuation / _positive(sinogram.max()))
        sent = photons * (weight if self.bowtie == "physical" else jnp.ones_like(weight))
        depth = unit * jax.lax.stop_gradient(sinogram)
        # A detector without a photon measures one: its line integral stays finite.
        counts = jnp.maximum(poisson(key, sent * jnp.exp(-depth)), 1)
        # Not the logarithm of measured over expected counts: the expected ones may underflow.
        noise = (jnp.log(sent / counts) - depth) / unit
        # The physical filter is in `sent` and gone already; the published one stays on the angles.
        return (sinogram + noise) * (
            weight if self.bowtie == "published" else jnp.ones_like(weight)
        )

    def profile(self, detectors: int, angles: int) -> np.ndarray:
        """The filter's transmission.

        published: falls from 1 at 0 degrees to 0.05 at 90 degrees and rises to 1 again, equal for
        all detectors. physical: 1 on the central detector, falling linearly to 0.05 on the
        outermost, equal for all angles.

        Args:
          detectors: number of detectors.
          angles: number of angles, even.

        Returns:
          float64 [detectors, 1] or [1, angles] broadcast to [detectors, angles], in [0.05, 1].
        """
        if self.bowtie == "published":
            # As published: 0.05 comes twice, at 90 degrees and at the angle before.
            rise = np.linspace(LOWEST, 1, angles // 2)
            return np.broadcast_to(np.concatenate([rise[::-1], rise]), (detectors, angles))
        if self.bowtie == "physical":
            distance = np.abs(np.arange(detectors) - detectors // 2) / (detectors // 2)
            return np.broadcast_to((1 - (1 - LOWEST) * distance)[:, None], (detectors, angles))
        return np.ones((detectors, angles))


def _positive(value: jax.Array) -> jax.Array:
    """The value, or 1 where it is not positive: an empty image has no line integral to scale by."""
    return jnp.where(value > 0, value, 1)
