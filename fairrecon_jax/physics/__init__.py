"""Image degradations: one file per kind behind one protocol, and the operators they are made of."""

from fairrecon_jax.physics.cartesian import CartesianMRI
from fairrecon_jax.physics.elsewhere import Elsewhere
from fairrecon_jax.physics.gaussian import GaussianNoise
from fairrecon_jax.physics.geometry import ParallelBeam, parallel_beam
from fairrecon_jax.physics.interface import DEGRADATIONS, Degradation, describe, make_degradation
from fairrecon_jax.physics.low_dose import LowDoseXray
from fairrecon_jax.physics.mri import (
    achieved_acceleration,
    radial_mask,
    rays_for_acceleration,
    zero_filled,
)
from fairrecon_jax.physics.photons import PhotonNoise
from fairrecon_jax.physics.radial import RadialMRI
from fairrecon_jax.physics.sparse_view import SparseViewXray
from fairrecon_jax.physics.xray import filtered_back_projection, radon

__all__ = [
    "DEGRADATIONS",
    "CartesianMRI",
    "Degradation",
    "Elsewhere",
    "GaussianNoise",
    "LowDoseXray",
    "ParallelBeam",
    "PhotonNoise",
    "RadialMRI",
    "SparseViewXray",
    "achieved_acceleration",
    "describe",
    "filtered_back_projection",
    "make_degradation",
    "parallel_beam",
    "radial_mask",
    "radon",
    "rays_for_acceleration",
    "zero_filled",
]
