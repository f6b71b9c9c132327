"""Low-dose X-ray: Radon transform, photon noise, filtered back-projection, for one or several
photon counts from a single sinogram.

Two forms of the transforms share one interface. "gather" interpolates like scikit-image and is the
exact and fast one on a CPU; "matmul" is made of Fourier transforms and matrix products, within 1e-3
of it, and the one for derivatives and accelerators.
"""

from __future__ import annotations

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from fairrecon_jax.physics import radon_gather, radon_matmul
from fairrecon_jax.physics.geometry import ParallelBeam
from fairrecon_jax.physics.photons import PhotonNoise

Method = Literal["auto", "gather", "matmul"]

_FORMS = {"gather": radon_gather, "matmul": radon_matmul}


def resolve_method(method: Method) -> Literal["gather", "matmul"]:
    """The form behind "auto": "gather" on a CPU, "matmul" elsewhere.

    Raises:
      ValueError: an unknown form.
    """
    if method not in get_args(Method):
        raise ValueError(f"method {method!r} must be one of {get_args(Method)}")
    if method == "auto":
        # Accelerators are slow at gathers and fast at the matrix products of the other form.
        return "gather" if jax.default_backend() == "cpu" else "matmul"
    return method


def radon(image: jax.Array, beam: ParallelBeam, method: Method = "auto") -> jax.Array:
    """Line integrals of images, as defined in `radon_gather.radon`.

    Args:
      image: [B, N, N] floating point.
      beam: the geometry.
      method: "auto", "gather" or "matmul".

    Returns:
      Sinogram [B, detectors, angles].

    Raises:
      ValueError: an image that does not fit the geometry, an unknown method.

    Example:
      >>> beam = fr.physics.parallel_beam(16)
      >>> sinogram = radon(np.ones((1, 16, 16), np.float32), beam)
      >>> sinogram.shape, float(sinogram[0, beam.centre, 0])  # a ray through 16 pixels of 1
      ((1, 23, 16), 16.0)
    """
    return _FORMS[resolve_method(method)].radon(image, beam)


def filtered_back_projection(
    sinogram: jax.Array, beam: ParallelBeam, method: Method = "auto"
) -> jax.Array:
    """Hann-filtered back-projection, as defined in `radon_gather.filtered_back_projection`.

    Args:
      sinogram: [B, detectors, angles] floating point.
      beam: the geometry.
      method: "auto", "gather" or "matmul".

    Returns:
      Image [B, N, N].

    Raises:
      ValueError: a sinogram that does not fit the geometry, an unknown method.

    Example:
      >>> beam, disc = fr.physics.parallel_beam(32), np.zeros((1, 32, 32), np.float32)
      >>> disc[0, 8:24, 8:24] = 1.0
      >>> found = filtered_back_projection(radon(disc, beam), beam)
      >>> found.shape, round(float(found[0, 16, 16]), 1)
      ((1, 32, 32), 1.0)
    """
    return _FORMS[resolve_method(method)].filtered_back_projection(sinogram, beam)


def unit_range(image: jax.Array) -> jax.Array:
    """Stretches each image to [0, 1] by its own minimum and maximum; a constant image becomes 0.

    Args:
      image: [..., N, N].

    Returns:
      [..., N, N] in [0, 1].
    """
    low = image.min(axis=(-2, -1), keepdims=True)
    span = image.max(axis=(-2, -1), keepdims=True) - low
    # Clipped because a compiler may round the image and its minimum differently.
    return jnp.clip((image - low) / jnp.where(span > 0, span, 1), 0, 1)


def low_dose(
    image: jax.Array,
    photons: jax.Array,
    keys: jax.Array,
    beam: ParallelBeam,
    noise: PhotonNoise,
    method: Method = "auto",
) -> jax.Array:
    """Scans images at several photon counts and reconstructs them; one sinogram serves all counts.

    image -> Radon -> bow-tie and Poisson counts -> Hann-filtered back-projection -> minimum and
    maximum to 0 and 1.

    Args:
      image: [B, N, N] float32 in [0, 1].
      photons: [L] float32 photon counts.
      keys: [L, B] typed keys, one per count and example.
      beam: the geometry.
      noise: conventions of bow-tie and counts.
      method: form of the two transforms.

    Returns:
      [L, B, N, N] float32 in [0, 1].

    Raises:
      ValueError: shapes that do not fit each other, an unknown method.
    """
    if keys.shape != (photons.shape[0], image.shape[0]):
        raise ValueError(
            f"keys have shape {keys.shape}, expected "
            f"{(photons.shape[0], image.shape[0])}: one per photon count and image"
        )
    sinogram = radon(image, beam, method)
    # Per image, because the scale of the noise is each sinogram's own maximum.
    per_image = jax.vmap(noise.measure, in_axes=(0, None, 0))
    noisy = jax.vmap(per_image, in_axes=(None, 0, 0))(sinogram, photons, keys)
    # [L, B, detectors, angles] -> [L B, detectors, angles]: levels are further rows of one batch.
    filled = filtered_back_projection(noisy.reshape(-1, *noisy.shape[2:]), beam, method)
    return unit_range(filled).reshape(*keys.shape, *image.shape[1:])
