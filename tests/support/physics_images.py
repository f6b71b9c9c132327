"""Images the physics tests share."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest


def shepp_logan(size: int) -> np.ndarray:
    """The Shepp-Logan phantom, [size, size] float64 in [0, 1]."""
    skimage_data = pytest.importorskip("skimage.data")
    transform = pytest.importorskip("skimage.transform")
    image = transform.resize(skimage_data.shepp_logan_phantom(), (size, size))
    return (image - image.min()) / (image.max() - image.min())


def noise(size: int, count: int = 1, seed: int = 0) -> np.ndarray:
    """White noise, [count, size, size] float32 in [0, 1)."""
    return np.random.default_rng(seed).random((count, size, size), np.float32)


def chest_xrays(samples: Path, size: int, count: int) -> np.ndarray:
    """Real chest X-rays reduced to `size` pixels, [count, size, size] float32 in [0, 1]."""
    transform = pytest.importorskip("skimage.transform")
    from PIL import Image

    files = sorted((samples / "nih_chestxray14" / "images").glob("*.png"))
    if len(files) < count:
        pytest.skip(f"the chest X-ray sample is not at {samples}")
    images = [np.asarray(Image.open(file).convert("L")) / 255 for file in files[::14][:count]]
    return np.stack([transform.resize(image, (size, size)) for image in images]).astype(np.float32)


def relative_error(value: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """L2 error of each image relative to its truth, [B]."""
    value, truth = np.asarray(value, float), np.asarray(truth, float)
    return np.linalg.norm(value - truth, axis=(1, 2)) / np.linalg.norm(truth, axis=(1, 2))


def scan_angles(count: int) -> np.ndarray:
    """Angles of a scan in degrees."""
    return np.linspace(0, 180, count, endpoint=False)


@functools.cache
def phantom_scan(size: int, angles: int) -> tuple[np.ndarray, np.ndarray]:
    """Scikit-image's sinogram of the phantom [detectors, angles] and what it fills back from it
    [size, size]; seconds at full size.
    """
    transform = pytest.importorskip("skimage.transform")
    theta = scan_angles(angles)
    sinogram = transform.radon(shepp_logan(size), theta, circle=False)
    filled = transform.iradon(sinogram, theta, output_size=size, filter_name="hann", circle=False)
    return sinogram, filled
