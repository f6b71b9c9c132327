"""Radial MRI: transform against NumPy and its symmetries, masks against known accelerations,
zero-filled images on real slices.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics import mri
from tests.support.physics_images import noise

zero_filled = jax.jit(mri.zero_filled, static_argnums=2)

KNOWN_ACCELERATIONS = {148: 4.02, 140: 4.22, 70: 8.05, 60: 9.32, 34: 16.15, 22: 24.7}


def test_transform_matches_numpy_with_the_origin_in_the_middle():
    image = noise(16, 2) + 1j * noise(16, 2, seed=1)
    axes = (-2, -1)
    expected = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes), norm="ortho"), axes)
    np.testing.assert_allclose(mri.centred_fft2(jnp.asarray(image)), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (6, 10)])
def test_inverse_gives_back_the_image_and_energy_is_kept(shape):
    image = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    kspace = mri.centred_fft2(jnp.asarray(image))
    np.testing.assert_allclose(mri.centred_ifft2(kspace).real, image, atol=1e-6)
    np.testing.assert_allclose(jnp.sum(jnp.abs(kspace) ** 2), np.sum(image**2), rtol=1e-6)


def test_a_constant_image_is_one_point_in_the_middle_of_kspace():
    kspace = np.array(mri.centred_fft2(jnp.ones((8, 8))))
    assert kspace[4, 4] == pytest.approx(8)
    kspace[4, 4] = 0
    np.testing.assert_allclose(kspace, 0, atol=1e-6)


@pytest.mark.parametrize(("rays", "acceleration"), KNOWN_ACCELERATIONS.items())
def test_known_accelerations_at_256(rays, acceleration):
    assert mri.achieved_acceleration(mri.radial_mask(rays, 256)) == pytest.approx(
        acceleration, abs=0.006 if rays != 22 else 0.05
    )


@pytest.mark.parametrize(("acceleration", "rays"), [(4, 148), (8, 70), (16, 34)])
def test_closest_ray_counts_at_256(acceleration, rays):
    assert mri.rays_for_acceleration(acceleration, 256) == rays


@pytest.mark.parametrize("size", [64, 96, 128])
@pytest.mark.parametrize("acceleration", [2.5, 4.0, 8.0, 16.0])
def test_search_beats_every_other_count_of_rays(size, acceleration):
    actual = mri.rays_for_acceleration(acceleration, size)
    errors = {
        rays: abs(mri.achieved_acceleration(mri.radial_mask(rays, size)) - acceleration)
        for rays in range(1, 4 * size, 1)
    }
    assert errors[actual] == min(errors.values())


@pytest.mark.parametrize("at_once", [5, 512])
def test_a_mask_is_counted_without_being_made(monkeypatch, at_once):
    monkeypatch.setattr(mri, "RAYS_AT_ONCE", at_once)
    for rays in (1, 2, 17, 40, 300):
        whole = mri.achieved_acceleration(mri.radial_mask(rays, 64, 48))
        assert mri._acceleration(rays, 64, 48) == whole
        for enough in (whole * 0.9, whole, whole * 1.1):
            assert (mri._acceleration(rays, 64, 48, enough) > enough) == (whole > enough)


def test_the_largest_images_find_their_rays_in_seconds():
    started = time.process_time()
    rays = mri.rays_for_acceleration(16.0, 4096)
    assert time.process_time() - started < 15
    assert mri.achieved_acceleration(mri.radial_mask(rays, 4096)) == pytest.approx(16, rel=0.01)


def test_mask_by_hand():
    mask = mri.radial_mask(4, 8)
    expected = np.zeros((8, 8))
    expected[4, 4:8] = expected[4:8, 4] = expected[4, 1:5] = 1
    # int() cuts off, and the cosine of 3 pi / 2 comes out as -2e-16: from r = 2 on this ray lies
    # one column to the left
    expected[3, 4] = expected[2, 3] = expected[1, 3] = 1
    np.testing.assert_array_equal(mask, expected)


def test_mask_samples_the_centre_and_cannot_be_overwritten():
    mask = mri.radial_mask(5, 64, 32)
    assert mask.shape == (64, 32)
    assert mask[32, 16] == 1
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = 1


def test_more_rays_sample_more():
    counts = [mri.radial_mask(rays, 64).sum() for rays in (4, 16, 64, 256)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mri.radial_mask(0, 64), "needs at least 1 ray"),
        (lambda: mri.rays_for_acceleration(1000, 64), "acceleration 1000 cannot be had on 64 x 64"),
        (lambda: mri.rays_for_acceleration(0.5, 64), "cannot be had"),
        (lambda: mri.achieved_acceleration(np.zeros((4, 4))), r"shape \(4, 4\) samples no pixel"),
        (
            lambda: mri.zero_filled(jnp.zeros((1, 8, 8)), jnp.ones((4, 4))),
            r"does not fit the mask of shape \(4, 4\)",
        ),
        (
            lambda: mri.zero_filled(jnp.zeros((1, 8, 8)), jnp.ones((8, 8)), "phase"),
            "magnitude 'phase' must be one of",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("magnitude", ["magnitude", "real"])
def test_a_full_mask_changes_nothing(magnitude):
    image = noise(32, 2)
    np.testing.assert_allclose(
        zero_filled(jnp.asarray(image), jnp.ones((32, 32)), magnitude), image, atol=1e-6
    )


def test_magnitude_is_at_least_the_real_part_and_both_stay_in_range():
    image, mask = jnp.asarray(noise(64, 2)), jnp.asarray(mri.radial_mask(19, 64))
    magnitude, real = zero_filled(image, mask), zero_filled(image, mask, "real")
    assert bool(jnp.all(magnitude >= real))
    assert float(jnp.max(magnitude - real)) > 1e-3
    assert float(jnp.min(real)) >= 0
    assert float(jnp.max(magnitude)) <= 1


def test_linear_until_clipped_and_differentiable():
    image, mask = jnp.asarray(noise(32)), jnp.asarray(mri.radial_mask(9, 32))
    np.testing.assert_allclose(
        zero_filled(image / 4, mask), zero_filled(image / 2, mask) / 2, atol=1e-6
    )
    gradient = jax.jit(jax.grad(lambda x: zero_filled(x, mask).sum()))(image / 2)
    assert bool(jnp.all(jnp.isfinite(gradient)))
    assert float(jnp.abs(gradient).max()) > 0


def test_zero_filled_quality_of_real_flair_slices(samples):
    """The tenth part of the slices; within 0.3 dB of known values for another sample of 158 slices
    of the same patients.
    """
    tifffile = pytest.importorskip("tifffile")
    patients = sorted(path for path in (samples / "kaggle_3m").glob("TCGA_*") if path.is_dir())
    if not patients:
        pytest.skip(f"the FLAIR sample is not at {samples}")
    slices = [
        [file for file in patient.glob("*.tif") if not file.stem.endswith("_mask")]
        for patient in patients
    ]
    files = [
        file
        for one in slices
        for file in sorted(one, key=lambda file: int(file.stem.rsplit("_", 1)[1]))
    ]
    images = np.stack([tifffile.imread(file)[..., 1] for file in files[::10]]).astype(np.float32)
    low, high = (extreme(axis=(1, 2), keepdims=True) for extreme in (images.min, images.max))
    keep = (high > low)[:, 0, 0]
    images = ((images - low) / np.maximum(high - low, 1))[keep]
    known = {148: (30.95, 31.44), 70: (26.40, 26.89), 34: (23.22, 23.60)}
    for rays, expected in known.items():
        mask = jnp.asarray(mri.radial_mask(rays, 256))
        psnr = []
        for magnitude in ("magnitude", "real"):
            filled = zero_filled(images, mask, magnitude)
            psnr.append(
                float(-10 * jnp.log10(jnp.mean((filled - images) ** 2, axis=(1, 2))).mean())
            )
        np.testing.assert_allclose(psnr, expected, atol=0.3)
        assert psnr[1] - psnr[0] == pytest.approx(expected[1] - expected[0], abs=0.06)
