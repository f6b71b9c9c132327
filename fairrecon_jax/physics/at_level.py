"""Degradations at one level, for arrays in a notebook: the size follows from the images, and the
names of examples from their positions.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.keys import example_digest
from fairrecon_jax.physics.interface import DEGRADATIONS, Degradation, make_degradation
from fairrecon_jax.types import Array, Batch, InputError, Key

Prepare = Callable[[Batch, Key], Batch]
"""What training asks of a degradation: adds "degraded" to a batch."""
TOLERANCE = 1e-6
"""How far rounding may carry an image out of [0, 1]."""


class AtLevel:
    """A kind of degradation at one level: a function of images, whatever their size.

    Args:
      kind: a name in `physics.DEGRADATIONS`.
      level: in the kind's unit.
      **fields: further fields of the kind.

    Raises:
      InputError: the kind, a field or the level is refused; the message says what is allowed.

    Example:
      >>> blur = AtLevel("gaussian_noise", 0.1)
      >>> blur(np.full((2, 16, 16), 0.5, np.float32), key=jax.random.key(0)).shape
      (2, 16, 16)
    """

    parameter = "level"

    def __init__(self, kind: str, level: float, **fields: Any) -> None:
        self.kind, self.level, self.fields = kind, level, fields
        # 64 pixels hold every kind: what is refused here is the kind, a field or the level
        with _refusals():
            if isinstance(level, bool) or not isinstance(level, int | float | np.number):
                raise ValueError(f"{self.parameter} must be a number, got {level!r}")
            make_degradation(kind, size=64, **fields).describe((level,), level)
            if not np.isfinite(level) or level <= 0:
                raise ValueError(f"{self.parameter} must be a positive number, got {level}")

    def __repr__(self) -> str:
        parts = {self.parameter: f"{self.level:g}"} | {k: repr(v) for k, v in self.fields.items()}
        kind = DEGRADATIONS[self.kind] if type(self) is AtLevel else type(self)
        return f"{kind.__name__}({', '.join(f'{k}={value}' for k, value in parts.items())})"

    def sized(self, size: int) -> Degradation:
        """The degradation itself, for square images of a size.

        Raises:
          InputError: the size is odd or too small.
        """
        with _refusals():
            return make_degradation(self.kind, size=size, **self.fields)

    def operator(self, size: int) -> dict[str, Array]:
        """The operator of the level, for square images of a size.

        Raises:
          InputError: the level cannot be had at this size.
        """
        with _refusals():
            return self.sized(size).operator(self.level)

    def __call__(
        self, image: Array, *, key: Key | int, ids: Sequence[str] | None = None
    ) -> jax.Array:
        """Degrades images; the noise of an image follows from the key and its name alone.

        Args:
          image: [B, H, W, 1], [B, H, W] or [H, W] float in [0, 1], H = W even.
          key: typed key of `jax.random.key`, or a seed.
          ids: names of the B images; their positions "0", "1", ... if None.

        Returns:
          Float32 of the image's shape, in [0, 1].

        Raises:
          InputError: an image of another shape or range, or a wrong number of names.

        Example:
          >>> x = np.full((3, 32, 32, 1), 0.5, np.float32)
          >>> y = LowDoseXray(photons=1e4)(x, key=jax.random.key(0))
          >>> y.shape, bool(jnp.all(y == LowDoseXray(photons=1e4)(x, key=0)))
          ((3, 32, 32, 1), True)
        """
        batch = as_images(image)
        digests = digests_of(ids, len(batch))
        physics: Any = self.sized(batch.shape[1])
        degrade = _compiled(physics)
        degraded = degrade(self.operator(batch.shape[1]), batch, digests, as_key(key))
        return degraded.reshape(np.shape(image))

    def prepare(self, size: int) -> Prepare:
        """What a training step runs on each batch: adds "degraded", with noise by key and example.

        Args:
          size: of the images in pixels.
        """
        physics, operator = self.sized(size), self.operator(size)

        def degrade(batch: Batch, key: Key) -> Batch:
            degraded = physics(operator, batch["image"], batch["example_id"], key)
            return {**batch, "degraded": degraded}

        return degrade


class RadialMRI(AtLevel):
    """`physics.RadialMRI` at one acceleration: golden-angle radial sampling, zero-filled.

    Example:
      >>> RadialMRI(acceleration=8)
      RadialMRI(acceleration=8)
    """

    parameter = "acceleration"

    def __init__(self, acceleration: float, **fields: Any) -> None:
        super().__init__("mri_radial", acceleration, **fields)


class CartesianMRI(AtLevel):
    """`physics.CartesianMRI` at one acceleration: lines of k-space, a full centre, zero-filled.

    Example:
      >>> CartesianMRI(acceleration=4, pattern="equispaced")
      CartesianMRI(acceleration=4, pattern='equispaced')
    """

    parameter = "acceleration"

    def __init__(self, acceleration: float, **fields: Any) -> None:
        super().__init__("mri_cartesian", acceleration, **fields)


class LowDoseXray(AtLevel):
    """`physics.LowDoseXray` at one photon count: Poisson noise in the sinogram, filtered back
    projection.

    Example:
      >>> LowDoseXray(photons=1e4)
      LowDoseXray(photons=10000)
    """

    parameter = "photons"

    def __init__(self, photons: float, **fields: Any) -> None:
        super().__init__("xray_low_dose", photons, **fields)


class SparseViewXray(AtLevel):
    """`physics.SparseViewXray` at one number of angles, filtered back projection.

    Example:
      >>> SparseViewXray(angles=60)
      SparseViewXray(angles=60)
    """

    parameter = "angles"

    def __init__(self, angles: int, **fields: Any) -> None:
        super().__init__("xray_sparse_view", angles, **fields)


class GaussianNoise(AtLevel):
    """`physics.GaussianNoise` of one standard deviation in the image.

    Example:
      >>> GaussianNoise(sd=0.1)
      GaussianNoise(sd=0.1)
    """

    parameter = "sd"

    def __init__(self, sd: float, **fields: Any) -> None:
        super().__init__("gaussian_noise", sd, **fields)


@functools.lru_cache(maxsize=16)
def _compiled(physics: Degradation) -> Callable[..., jax.Array]:
    """One program per degradation and size; level, names and key are arguments."""
    return jax.jit(physics)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What a kind refuses was given by the user: it is said as such."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from error


def as_key(key: Key | int) -> Key:
    """A typed key from a typed key, a seed, or a raw key of `jax.random.PRNGKey`."""
    if isinstance(key, int | np.integer):
        return jax.random.key(int(key))
    if not hasattr(key, "dtype"):
        raise InputError(f"key must be a seed or a key of jax.random.key, got {key!r}")
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(key)
    return key


def as_images(image: Array) -> jax.Array:
    """Images as a batch [B, H, W, 1] float32.

    Args:
      image: [B, H, W, 1], [B, H, W] or [H, W]; float in [0, 1], or uint8 or uint16, whose whole
        range becomes [0, 1].

    Raises:
      InputError: another shape or type, a value outside [0, 1] or none at all.
    """
    if not isinstance(image, jax.core.Tracer):
        try:
            image = np.asarray(image)
        except ValueError as error:
            raise InputError("images have rows or shapes of different lengths") from error
    if image.ndim == 2:
        image = image[None]
    if image.ndim == 3:
        image = image[..., None]
    if image.ndim != 4 or image.shape[3] != 1 or image.shape[1] != image.shape[2]:
        raise InputError(
            f"images have shape {tuple(image.shape)}, expected [B, H, W, 1], [B, H, W] or [H, W] "
            "with H = W and one channel"
        )
    if image.dtype in (np.uint8, np.uint16):
        return jnp.asarray(image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max))
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise InputError(
            f"images are {image.dtype}, expected float in [0, 1], uint8 or uint16 (by their range)"
        )
    # a traced image has no values to look at
    if isinstance(image, np.ndarray) and image.size:
        low, high = float(np.min(image)), float(np.max(image))
        # not (inside), so that NaN is refused too
        if not (-TOLERANCE <= low and high <= 1 + TOLERANCE):
            raise InputError(
                f"images range from {low:g} to {high:g}, expected [0, 1]: scale them first"
            )
    return jnp.asarray(image, jnp.float32)


def digests_of(ids: Sequence[str] | None, count: int) -> np.ndarray:
    """Digests [B, 2] of the images' names, which key their noise.

    Raises:
      InputError: there are more or fewer names than images.
    """
    if ids is not None and (isinstance(ids, str) or not hasattr(ids, "__iter__")):
        raise InputError(f"ids takes a list of names, got {ids!r}")
    names = list(map(str, range(count) if ids is None else ids))
    if len(names) != count:
        raise InputError(f"{len(names)} ids for {count} images")
    if not names:
        raise InputError("there is no image")
    return np.stack([example_digest(name) for name in names]).reshape(-1, 2)
