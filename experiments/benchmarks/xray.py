"""Low-dose X-ray against scikit-image, and Poisson counts against `jax.random.poisson`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.harness import Comparison, benchmark
from fairrecon_jax import physics
from fairrecon_jax.keys import example_digest
from fairrecon_jax.physics.poisson import poisson

SIZE, BATCH, LEVELS = 256, 8, (1e5, 1e4, 3e3)
SHAPE = (len(LEVELS), BATCH, SIZE, SIZE)


def _images() -> np.ndarray:
    """Smooth images with edges, [BATCH, SIZE, SIZE] float32 in [0, 1]: two ellipses and a blob
    each.
    """
    x, y = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE))
    random = np.random.default_rng(0)
    images = []
    for _ in range(BATCH):
        image = 0.1 + 0.2 * np.exp(-4 * ((x - random.uniform(-0.5, 0.5)) ** 2 + y**2))
        for _ in range(2):
            centre, radius = random.uniform(-0.4, 0.4, 2), random.uniform(0.2, 0.5, 2)
            image += 0.3 * (
                ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1
            )
        images.append(image / image.max())
    return np.asarray(images, np.float32)


def _ours() -> Callable[[], jax.Array]:
    degradation = physics.LowDoseXray(SIZE)
    operators = degradation.operators(LEVELS)
    images = jnp.asarray(_images())[..., None]
    identities = np.stack([example_digest(f"image{index}") for index in range(BATCH)])
    simulate = jax.jit(degradation.at_levels)
    return lambda: simulate(operators, images, identities, jax.random.key(0))


def _published_noise(
    sinogram: np.ndarray, photons: float, random: np.random.Generator
) -> np.ndarray:
    rise = np.linspace(0.05, 1, sinogram.shape[1] // 2)
    filtered = sinogram * np.concatenate([rise[::-1], rise])
    scale = photons / filtered.max()
    return random.poisson(filtered * scale) / scale


def _scikit_image(share_sinogram: bool) -> Callable[[], np.ndarray]:
    from skimage.transform import iradon, radon

    angles = np.linspace(0, 180, SIZE, endpoint=False)
    random = np.random.default_rng(0)
    images = _images()

    def simulate() -> np.ndarray:
        results = np.empty(SHAPE)
        for row, image in enumerate(images):
            sinogram = None
            for level, photons in enumerate(LEVELS):
                if sinogram is None or not share_sinogram:
                    sinogram = radon(image, angles, circle=False)
                noisy = _published_noise(sinogram, photons, random)
                filled = iradon(noisy, angles, filter_name="hann", circle=False)
                # The published pipeline stretches every image to its own range.
                results[level, row] = (filled - filled.min()) / (filled.max() - filled.min())
        return results

    return simulate


@benchmark("xray_low_dose")
def low_dose() -> Comparison:
    """Three photon counts of eight images, the peer simulating each count from the image as the
    published pipeline does.
    """
    return Comparison(_ours(), _scikit_image(share_sinogram=False), SHAPE, repeats=3)


@benchmark("xray_low_dose_shared_sinogram")
def low_dose_shared_sinogram() -> Comparison:
    """The same, the peer computing one sinogram for all counts as we do."""
    return Comparison(_ours(), _scikit_image(share_sinogram=True), SHAPE, repeats=3)


@benchmark("xray_poisson")
def poisson_counts() -> Comparison:
    """Poisson counts of one sinogram per image, means up to 10,000."""
    beam = physics.parallel_beam(SIZE)
    shape = (BATCH, beam.detectors, beam.angles)
    mean = jnp.asarray(np.random.default_rng(0).uniform(0, 1e4, shape), jnp.float32)
    keys = jax.random.split(jax.random.key(0), BATCH)
    ours, peer = jax.jit(jax.vmap(poisson)), jax.jit(jax.vmap(jax.random.poisson))
    return Comparison(lambda: ours(keys, mean), lambda: peer(keys, mean), shape, repeats=9)
