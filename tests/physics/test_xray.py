"""The low-dose pipeline: the choice of form, several photon counts at once, and the published
pipeline step by step in NumPy.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics import radon_gather, radon_matmul, xray
from fairrecon_jax.physics.geometry import parallel_beam
from fairrecon_jax.physics.photons import PhotonNoise
from tests.support.physics_images import noise, relative_error, scan_angles, shepp_logan

LEVELS = jnp.asarray([1e5, 1e4, 3e3])
low_dose = jax.jit(xray.low_dose, static_argnums=(3, 4))
back_project = jax.jit(xray.filtered_back_projection, static_argnums=(1, 2))


def keys(levels: int, batch: int) -> jax.Array:
    return jax.random.split(jax.random.key(3), (levels, batch))


def test_auto_is_gather_on_a_cpu():
    assert xray.resolve_method("auto") == "gather"
    assert xray.resolve_method("matmul") == "matmul"


@pytest.mark.parametrize(("method", "module"), [("gather", radon_gather), ("matmul", radon_matmul)])
def test_method_chooses_the_form(method, module):
    beam = parallel_beam(16)
    image = jnp.asarray(noise(16))
    sinogram = jax.jit(module.radon, static_argnums=1)(image, beam)
    radon = jax.jit(xray.radon, static_argnums=(1, 2))
    np.testing.assert_array_equal(radon(image, beam, method), sinogram)
    np.testing.assert_array_equal(
        back_project(sinogram, beam, method),
        jax.jit(module.filtered_back_projection, static_argnums=1)(sinogram, beam),
    )


def test_unit_range_stretches_each_image_and_survives_a_constant_one():
    images = jnp.stack([jnp.asarray(noise(8)[0]) * 7 - 3, jnp.full((8, 8), 2.0)])
    stretched = xray.unit_range(images)
    assert (float(stretched[0].min()), float(stretched[0].max())) == (0, 1)
    np.testing.assert_array_equal(stretched[1], 0)


def test_noiseless_pipeline_is_scikit_images():
    transform = pytest.importorskip("skimage.transform")
    image = shepp_logan(64)
    rise = np.linspace(0.05, 1, 32)
    filtered = transform.radon(image, scan_angles(64), circle=False) * np.concatenate(
        [rise[::-1], rise]
    )
    filled = transform.iradon(filtered, scan_angles(64), filter_name="hann", circle=False)
    truth = (filled - filled.min()) / (filled.max() - filled.min())
    model = PhotonNoise(noise="none")
    ours = low_dose(
        jnp.asarray(image, jnp.float32)[None], LEVELS[:1], keys(1, 1), parallel_beam(64), model
    )
    assert relative_error(ours[0], truth[None])[0] < 1e-6


def test_noise_level_is_that_of_numpys_poisson():
    transform = pytest.importorskip("skimage.transform")
    image = shepp_logan(64)
    sinogram = transform.radon(image, scan_angles(64), circle=False)
    random = np.random.default_rng(0)
    scale = 3e3 / sinogram.max()

    def filled(values):
        return transform.iradon(values, scan_angles(64), filter_name="hann", circle=False)

    clean = filled(sinogram)
    theirs = np.mean(
        [np.std(filled(random.poisson(sinogram * scale) / scale) - clean) for _ in range(8)]
    )
    beam, model = parallel_beam(64), PhotonNoise("none")
    measure = jax.jit(jax.vmap(model.measure, in_axes=(0, None, 0)))
    noisy = measure(
        jnp.asarray(np.repeat(sinogram[None], 8, axis=0), jnp.float32),
        jnp.float32(3e3),
        keys(1, 8)[0],
    )
    ours = np.std(np.asarray(back_project(noisy, beam)) - clean, axis=(1, 2)).mean()
    assert ours == pytest.approx(theirs, rel=0.05)


def test_several_counts_at_once_equal_one_by_one():
    image = jnp.asarray(noise(32, 3))
    beam, model = parallel_beam(32), PhotonNoise()
    every = keys(3, 3)
    together = low_dose(image, LEVELS, every, beam, model)
    assert together.shape == (3, 3, 32, 32)
    for level in range(3):
        one = slice(level, level + 1)
        alone = low_dose(image, LEVELS[one], every[one], beam, model)[0]
        np.testing.assert_allclose(alone, together[level], atol=3e-4)  # a count may differ by one


def test_error_grows_as_photons_get_fewer():
    image = jnp.asarray(shepp_logan(64), jnp.float32)[None]
    out = np.asarray(
        low_dose(
            image, jnp.asarray([1e7, 1e5, 1e3]), keys(3, 1), parallel_beam(64), PhotonNoise("none")
        )
    )
    errors = np.sqrt(np.mean((out[1:] - out[:1]) ** 2, axis=(1, 2, 3)))
    assert 3 * errors[0] < errors[1]


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"keys have shape \(1, 2\), expected \(3, 2\)"):
        xray.low_dose(jnp.zeros((2, 16, 16)), LEVELS, keys(1, 2), parallel_beam(16), PhotonNoise())
    with pytest.raises(ValueError, match="method 'fourier' must be one of"):
        xray.radon(jnp.zeros((1, 16, 16)), parallel_beam(16), "fourier")
