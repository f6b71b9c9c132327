"""Image degradation: radially undersampled MRI and low-dose X-ray."""

from fairrecon_jax.physics.degrade import Degradation
from fairrecon_jax.physics.geometry import ParallelBeam, parallel_beam
from fairrecon_jax.physics.mri import (
    achieved_acceleration,
    radial_mask,
    rays_for_acceleration,
    zero_filled,
)
from fairrecon_jax.physics.photons import PhotonNoise
from fairrecon_jax.physics.xray import filtered_back_projection, low_dose, radon

__all__ = [
    "Degradation",
    "ParallelBeam",
    "PhotonNoise",
    "achieved_acceleration",
    "filtered_back_projection",
    "low_dose",
    "parallel_beam",
    "radial_mask",
    "radon",
    "rays_for_acceleration",
    "zero_filled",
]
