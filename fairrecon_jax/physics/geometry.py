"""The parallel-beam geometry shared by every form of the Radon transform, its Hann filter, and
batches cut into chunks.

Angles are theta_i = i * 180 / angles degrees. With c = cos(theta), s = sin(theta), and x (column)
and y (row) counted from the centre pixel size / 2, the detector at r sees the ray x = c r + s l, y
= -s r + c l. Because the number of angles divides by four, every angle is one of 0..45 degrees seen
by a reflected or transposed image: both transforms visit the first quarter of the angles, for four
images at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

CHUNK = 8
"""Images worked on together: more fall out of the CPU's caches."""


@dataclasses.dataclass(frozen=True)
class ParallelBeam:
    """A scan of a square image by parallel rays over half a circle.

    Attributes:
      size: image height and width in pixels, even.
      angles: number of equally spaced angles over 180 degrees, divisible by 4.

    Example:
      >>> beam = ParallelBeam(size=16, angles=12)
      >>> beam.detectors, beam.centre  # the diagonal of 16 pixels is 22.6 long
      (23, 11)
    """

    size: int
    angles: int

    def __post_init__(self) -> None:
        """Checks the two numbers."""
        if self.size < 4 or self.size % 2:
            raise ValueError(
                f"image size {self.size} must be an even number of at least 4 pixels: "
                "crop or pad the image"
            )
        if self.angles < 4 or self.angles % 4:
            raise ValueError(
                f"{self.angles} angles: the symmetric projectors need a number divisible by 4"
            )

    @property
    def detectors(self) -> int:
        """Number of detectors: the smallest integer that covers the image's diagonal."""
        # ceil(sqrt(2) N) in whole numbers: 2 N^2 is no square, and a float root may be off by 1.
        return math.isqrt(2 * self.size**2 - 1) + 1

    @property
    def centre(self) -> int:
        """Index of the detector at r = 0."""
        return self.detectors // 2

    @property
    def eighth(self) -> int:
        """Index of the angle of 45 degrees."""
        return self.angles // 4

    @property
    def first_eighth(self) -> np.ndarray:
        """The angles from 0 to 45 degrees inclusive, in radians, float64 [eighth + 1]."""
        return np.arange(self.eighth + 1) * np.pi / self.angles

    def check_image(self, image: jax.Array) -> None:
        """Raises ValueError unless `image` is [B, size, size]."""
        if image.ndim != 3 or image.shape[1:] != (self.size, self.size):
            raise ValueError(
                f"image has shape {image.shape}, expected [B, {self.size}, {self.size}]"
            )

    def check_sinogram(self, sinogram: jax.Array) -> None:
        """Raises ValueError unless `sinogram` is [B, detectors, angles]."""
        if sinogram.ndim != 3 or sinogram.shape[1:] != (self.detectors, self.angles):
            raise ValueError(
                f"sinogram has shape {sinogram.shape}, expected [B, {self.detectors}, "
                f"{self.angles}]"
            )


def parallel_beam(size: int, angles: int = 0) -> ParallelBeam:
    """The scan of a square image, with as many angles as pixels (rounded up to a multiple of 4)
    unless told otherwise.

    Args:
      size: image height and width in pixels, even.
      angles: number of angles over 180 degrees, divisible by 4; 0 for the default.

    Returns:
      The geometry.

    Raises:
      ValueError: an odd size or a number of angles that does not divide by 4.

    Example:
      >>> parallel_beam(30)
      ParallelBeam(size=30, angles=32)
    """
    return ParallelBeam(size, angles or 4 * math.ceil(size / 4))


def order_angles(rays: jax.Array, beam: ParallelBeam) -> jax.Array:
    """Puts the projections of four copies of an image at the angles a = 0..45 degrees in the order
    of the scan.

    Args:
      rays: [eighth + 1, 2 centre + 1 (r = -centre..centre), 4, B]; the copies are the image, its
        transpose, its transpose with columns reversed, and the image with rows reversed. They give
        the angles a, 90 - a, 90 + a and 180 - a.
      beam: the geometry.

    Returns:
      Sinogram [B, detectors, angles].
    """
    last = beam.eighth
    # A reflected copy sees the detectors in reverse; 0, 45 and 90 degrees are taken once.
    mirrored = rays[:, ::-1]
    by_angle = [
        rays[:, :, 0],
        mirrored[last - 1 :: -1, :, 1],
        rays[1:, :, 2],
        mirrored[last - 1 : 0 : -1, :, 3],
    ]
    # An even number of detectors lacks r = +centre; [angles, r, B] -> [B, detectors, angles].
    return jnp.concatenate(by_angle, axis=0)[:, : beam.detectors].transpose(2, 1, 0)


def split_angles(projections: jax.Array, beam: ParallelBeam) -> jax.Array:
    """Sorts projections by a = 0..45 degrees and the quarter of the half circle that they lie in;
    the way back of `order_angles`.

    Args:
      projections: [B, angles, detectors].
      beam: the geometry.

    Returns:
      [eighth + 1, detectors, 4, B]: the projections at a, 90 - a, 90 + a and 180 - a, each angle
        once, 0 where a quarter has no such angle.
    """
    last = beam.eighth
    by_angle = projections.transpose(1, 2, 0)
    # 45 degrees is in the first quarter, 90 in the second, 135 in the third; 180 is 0 again.
    none = jnp.zeros_like(by_angle[:1])
    second = jnp.concatenate([by_angle[2 * last : last : -1], none])
    third = jnp.concatenate([none, by_angle[2 * last + 1 : 3 * last + 1]])
    fourth = jnp.concatenate([none, by_angle[: 3 * last : -1], none])
    return jnp.stack([by_angle[: last + 1], second, third, fourth], axis=2)


def padded_length(detectors: int) -> int:
    """Length of the filter's Fourier transform: a power of two of at least twice the detectors, and
    at least 64.
    """
    # Twice the length keeps the circular convolution from wrapping round; 64 as in scikit-image.
    return max(64, 2 ** math.ceil(math.log2(2 * detectors)))


def hann_ramp(detectors: int) -> np.ndarray:
    """The ramp filter times a Hann window, in the frequency domain.

    H[k] = 2 Re FFT(h)[k] * w[k] with the band-limited ramp h[0] = 1/4, h[n odd] = -1/(pi n)^2, h[n
    even] = 0. The window w is NumPy's symmetric Hann shifted to frequency 0, as in scikit-image,
    which leaves it half a bin off centre; taking the real part of the inverse transform keeps its
    even part (H[k] + H[-k]) / 2, which is what is returned.

    Args:
      detectors: length of the projections.

    Returns:
      float64 [padded_length / 2 + 1], for `rfft` of projections padded to
        `padded_length(detectors)`.

    Reference: Kak and Slaney, Principles of Computerized Tomographic Imaging, chapter 3.
    """
    length = padded_length(detectors)
    distance = np.minimum(np.arange(length), length - np.arange(length))
    # Sampled in space: a ramp sampled in frequency is 0 at frequency 0 and darkens the image.
    kernel = np.zeros(length)
    odd = distance % 2 == 1
    kernel[odd] = -1 / (np.pi * distance[odd]) ** 2
    kernel[0] = 0.25
    # The window is symmetric, not periodic: off centre by half a bin, like scikit-image's.
    response = 2 * np.real(np.fft.fft(kernel)) * np.fft.fftshift(np.hanning(length))
    # Reversed and rolled by one: H[-k], with frequency 0 in its place.
    even = (response + np.roll(response[::-1], 1)) / 2
    return even[: length // 2 + 1]


def filter_projections(
    sinogram: jax.Array, beam: ParallelBeam, reach: int | None = None
) -> jax.Array:
    """Applies the Hann ramp along the detectors.

    Args:
      sinogram: [B, detectors, angles] floating point.
      beam: the geometry.
      reach: keep the filtered values at r = -reach..reach, also beyond the detectors; those on the
        detectors if None.

    Returns:
      [B, angles, detectors] or [B, angles, 2 reach + 1].
    """
    length = padded_length(beam.detectors)
    response = jnp.asarray(hann_ramp(beam.detectors), sinogram.dtype)[None, None]
    # The FFT runs along the last axis: [B, detectors, angles] -> [B, angles, detectors].
    filtered = jnp.fft.irfft(
        jnp.fft.rfft(sinogram.transpose(0, 2, 1), n=length, axis=-1) * response, n=length, axis=-1
    )
    if reach is None:
        return filtered[..., : beam.detectors]
    start = beam.centre - reach
    # The padded transform is periodic: places left of the first detector are at its end.
    return jnp.roll(filtered, -start, axis=-1)[..., : 2 * reach + 1]


def map_chunks(
    function: Callable[[jax.Array], jax.Array], batch: jax.Array, limit: int = CHUNK
) -> jax.Array:
    """Applies a function of a batch to equal chunks of at most `limit` examples, one after the
    other.

    Args:
      function: maps [b, ...] to [b, ...], each example on its own.
      batch: [B, ...].
      limit: largest b.

    Returns:
      [B, ...], the same as `function(batch)`.
    """
    # An empty batch is one chunk, which nothing divides by 0.
    count = batch.shape[0]
    # Equal chunks of ceil(B / chunks) pad less than full ones and a rest.
    chunks = max(1, math.ceil(count / limit))
    rows = math.ceil(count / chunks)
    if chunks == 1:
        return function(batch)
    padding = [(0, chunks * rows - count)] + [(0, 0)] * (batch.ndim - 1)
    parts = jnp.pad(batch, padding).reshape(chunks, rows, *batch.shape[1:])
    # A loop, not a vmap: only one chunk's intermediates are alive at a time.
    done = jax.lax.map(function, parts)
    return done.reshape(chunks * rows, *done.shape[2:])[:count]
