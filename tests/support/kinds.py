"""The kinds of degradation behind the protocol, as the tests of what they share see them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import numpy as np

from fairrecon_jax.keys import example_digest
from fairrecon_jax.physics.cartesian import CartesianMRI
from fairrecon_jax.physics.gaussian import GaussianNoise
from fairrecon_jax.physics.interface import Degradation
from fairrecon_jax.physics.sparse_view import SparseViewXray
from tests.support.physics_images import noise

SIZE = 32
MILD_TO_HARSH = {
    CartesianMRI(SIZE): (1.5, 3.0, 8.0),
    CartesianMRI(SIZE, pattern="equispaced"): (1.2, 2.0, 8.0),
    GaussianNoise(SIZE): (0.02, 0.1, 0.4),
    SparseViewXray(SIZE): (16.0, 9.0, 4.0),
}


def digests(count: int, first: int = 0) -> np.ndarray:
    """Digests of the names of `count` examples, [count, 2] uint32."""
    names = (f"patient{index:05d}/study1/view1_frontal" for index in range(first, first + count))
    return np.stack([example_digest(name) for name in names])


@functools.cache
def compiled(degradation: Degradation) -> Callable[..., jax.Array]:
    """The compiled call at one level, shared by the tests of a file."""
    return jax.jit(lambda *arguments: degradation(*arguments))


def inputs(count: int = 4, size: int = SIZE) -> tuple[np.ndarray, np.ndarray, jax.Array]:
    """Images of white noise [count, size, size, 1], digests and a key."""
    return noise(size, count)[..., None], digests(count), jax.random.key(7)


def psnr(original: np.ndarray, image: jax.Array) -> np.ndarray:
    """Decibels per image, [B]."""
    return -10 * np.log10(np.mean((np.asarray(image) - original) ** 2, axis=(1, 2, 3)))
