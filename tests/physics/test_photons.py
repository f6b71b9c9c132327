"""Bow-tie and photon counts: profiles by hand, the law of the noise, limits and derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics.photons import PhotonNoise

CONVENTIONS = [
    (bowtie, noise)
    for bowtie in ("published", "physical", "none")
    for noise in ("published", "physical")
]


def sinogram(detectors: int = 91, angles: int = 64) -> jax.Array:
    """Half an ellipse per angle: 0 at the edges, 20 in the middle."""
    r = np.linspace(-1.2, 1.2, detectors)[:, None]
    return jnp.asarray(
        np.broadcast_to(20 * np.sqrt(np.maximum(1 - r**2, 0)), (detectors, angles)), jnp.float32
    )


@functools.cache
def compiled(model: PhotonNoise) -> Callable[..., jax.Array]:
    return jax.jit(jax.vmap(model.measure, in_axes=(None, None, 0)))


def draws(
    model: PhotonNoise, photons: float, line_integrals: jax.Array | None = None
) -> np.ndarray:
    """4,000 independent measurements of line integrals [31, 8]."""
    values = sinogram(31, 8) if line_integrals is None else line_integrals
    return np.asarray(
        compiled(model)(values, jnp.float32(photons), jax.random.split(jax.random.key(0), 4000))
    )


def test_published_profile_dips_at_90_degrees():
    profile = PhotonNoise().profile(363, 256)
    rise = np.linspace(0.05, 1, 128)
    np.testing.assert_allclose(profile[17], np.concatenate([rise[::-1], rise]))
    assert profile[0, 0] == profile[0, 255] == 1
    assert profile[0, 127] == profile[0, 128] == pytest.approx(0.05)
    np.testing.assert_array_equal(profile, profile[:1].repeat(363, axis=0))


@pytest.mark.parametrize("detectors", [91, 182])
def test_physical_profile_peaks_on_the_central_detector(detectors):
    profile = PhotonNoise(bowtie="physical").profile(detectors, 4)
    assert profile[detectors // 2, 0] == 1
    assert profile[0, 0] == pytest.approx(0.05)
    assert profile.min() >= 0.05 - 1e-12
    np.testing.assert_array_equal(profile, profile[:, :1].repeat(4, axis=1))
    assert np.all(PhotonNoise(bowtie="none").profile(5, 4) == 1)


@pytest.mark.parametrize(("bowtie", "noise"), CONVENTIONS)
def test_unbiased_with_many_photons(bowtie, noise):
    model = PhotonNoise(bowtie, noise)
    mean = draws(model, 1e7).mean(axis=0)
    weight = model.profile(31, 8) if bowtie == "published" else 1
    np.testing.assert_allclose(mean, np.asarray(sinogram(31, 8)) * weight, atol=0.03)


@pytest.mark.parametrize("bowtie", ["published", "none"])
def test_published_noise_is_poisson_in_the_line_integrals(bowtie):
    model = PhotonNoise(bowtie)
    filtered = np.asarray(sinogram(31, 8)) * model.profile(31, 8)
    scale = 500 / filtered.max()
    noisy = draws(model, 500.0) * scale
    np.testing.assert_allclose(noisy, np.round(noisy), atol=2e-3)  # whole counts, up to float32
    large = filtered * scale > 50
    np.testing.assert_allclose(noisy.var(axis=0)[large] / (filtered * scale)[large], 1, atol=0.12)


def test_physical_bowtie_is_undone_and_costs_photons_at_the_edge():
    flat = jnp.full((31, 8), 5.0)
    noisy = draws(PhotonNoise("physical", "published"), 1000.0, flat)
    np.testing.assert_allclose(noisy.mean(axis=0), 5, atol=0.2)
    deviation = noisy.std(axis=(0, 2))
    assert deviation[0] / deviation[15] == pytest.approx(np.sqrt(1 / 0.05), rel=0.1)


def test_physical_noise_follows_beer_and_lambert():
    """Error propagation: the variance of -ln(n / n0) is 1 / n for n expected counts."""
    model = PhotonNoise("none", "physical", peak_attenuation=2.0)
    values = np.asarray(sinogram(31, 8))
    unit = 2.0 / values.max()
    variance = draws(model, 1e4).var(axis=0) * unit**2
    np.testing.assert_allclose(variance * 1e4 * np.exp(-unit * values), 1, atol=0.15)


def test_no_photon_at_all_stays_finite():
    noisy = draws(PhotonNoise("physical", "physical"), 0.01)
    assert np.all(np.isfinite(noisy))


def test_a_patient_that_no_photon_passes_stays_finite():
    """Expected counts of 0 in float32: one photon is counted, whose depth is ln(photons sent)."""
    model = PhotonNoise("none", "physical", peak_attenuation=200.0)
    noisy = draws(model, 1e4)
    thickest = np.asarray(sinogram(31, 8)).argmax(axis=0)[0]
    np.testing.assert_allclose(
        noisy[:, thickest], np.log(1e4) * float(sinogram(31, 8).max()) / 200, rtol=1e-5
    )
    assert np.all(np.isfinite(noisy))


@pytest.mark.parametrize(("bowtie", "noise"), CONVENTIONS)
def test_an_empty_image_stays_finite(bowtie, noise):
    noisy = draws(PhotonNoise(bowtie, noise), 1e4, jnp.zeros((31, 8)))
    assert np.all(np.isfinite(noisy))
    if noise == "published":
        np.testing.assert_array_equal(noisy, 0)


@pytest.mark.parametrize("noise", ["published", "physical"])
def test_fewer_photons_are_noisier(noise):
    truth = np.asarray(sinogram(31, 8))
    errors = [
        np.abs(draws(PhotonNoise("none", noise), photons) - truth).mean()
        for photons in (1e5, 1e4, 3e3)
    ]
    assert errors[0] < errors[1] < errors[2]
    assert errors[2] / errors[0] == pytest.approx(np.sqrt(1e5 / 3e3), rel=0.15)


@pytest.mark.parametrize("bowtie", ["published", "physical", "none"])
def test_without_noise_only_the_bowtie_remains(bowtie):
    model = PhotonNoise(bowtie, "none")
    weight = model.profile(91, 64) if bowtie == "published" else 1
    np.testing.assert_allclose(
        jax.jit(model.measure)(sinogram(), jnp.float32(1), jax.random.key(0)),
        np.asarray(sinogram()) * weight,
        rtol=1e-6,
    )


@pytest.mark.parametrize(("bowtie", "noise"), CONVENTIONS)
def test_derivative_passes_the_noise_by(bowtie, noise):
    model = PhotonNoise(bowtie, noise)
    values = sinogram(15, 8) + 1
    slope = jax.grad(lambda x: model.measure(x, jnp.float32(1e4), jax.random.key(0)).sum())
    gradient = jax.jit(slope)(values)
    expected = model.profile(15, 8) if bowtie == "published" else np.ones((15, 8))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bowtie": "butterfly"}, "bowtie 'butterfly' must be one of"),
        ({"noise": "gaussian"}, "noise 'gaussian' must be one of"),
        ({"peak_attenuation": 0.0}, "peak_attenuation 0.0 must be positive"),
    ],
)
def test_unknown_conventions_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PhotonNoise(**fields)
