"""Cartesian MRI: achieved acceleration, the centre, the law of random lines, k-space energy."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from fairrecon_jax.physics import cartesian, mri
from fairrecon_jax.physics.cartesian import CartesianMRI
from tests.support.kinds import compiled, digests, psnr
from tests.support.physics_images import noise, shepp_logan

PATTERNS = ["random", "equispaced"]
KEY = jax.random.key(3)


def masks(scan: CartesianMRI, levels: tuple[float, ...], count: int = 5) -> np.ndarray:
    """Lines kept, [L, count, H]."""
    return np.asarray(jax.jit(scan.masks)(scan.operators(levels), digests(count), KEY))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [32, 96, 250, 256])
def test_achieved_acceleration_is_the_closest_that_whole_lines_give(pattern, size):
    scan = CartesianMRI(size, pattern)
    levels = (1.0, 1.01, 1.5, 2.0, 3.3, 4.0, 6.0, 8.0, 12.0, 16.0)
    for level, kept in zip(levels, masks(scan, levels)):
        assert set(np.unique(kept)) <= {0, 1}
        counts = kept.sum(axis=1)
        assert set(counts) == {scan.lines(level)}
        assert abs(counts[0] - size / level) <= 0.5
        full = np.broadcast_to(kept[0][:, None], (size, size))
        achieved = mri.achieved_acceleration(full)
        assert size / (counts[0] + 0.5) <= level <= size / (counts[0] - 0.5)
        assert achieved == pytest.approx(size / scan.lines(level))


@pytest.mark.parametrize(("level", "lines"), [(1, 256), (4, 64), (8, 32), (16, 16), (24.9, 10)])
def test_known_numbers_of_lines_at_256(level, lines):
    assert CartesianMRI(256).lines(level) == lines


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    ("fraction", "first", "last"), [(0.0, 64, 64), (0.04, 62, 66), (0.1, 58, 70)]
)
def test_the_centre_is_fully_sampled(pattern, fraction, first, last):
    scan = CartesianMRI(128, pattern, centre_fraction=fraction)
    np.testing.assert_array_equal(np.flatnonzero(scan.centre), np.arange(first, last + 1))
    kept = masks(scan, (2.0, 8.0))
    assert kept[..., first : last + 1].all()
    assert not kept[1, :, first - 8 : last + 9].all()


def test_equispaced_lines_by_hand():
    mask = cartesian.equispaced_lines(4, cartesian.centre_lines(2, 8))
    np.testing.assert_array_equal(mask, [0, 1, 0, 1, 1, 0, 1, 0])
    centre = cartesian.centre_lines(3, 8)
    np.testing.assert_array_equal(centre, [0, 0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(cartesian.equispaced_lines(3, centre), centre)
    np.testing.assert_array_equal(cartesian.equispaced_lines(8, centre), np.ones(8))


@pytest.mark.parametrize("lines", range(10, 257, 7))
def test_equispaced_lines_have_gaps_that_differ_by_one_at_most(lines):
    centre = cartesian.centre_lines(10, 256)
    kept = np.flatnonzero(cartesian.equispaced_lines(lines, centre)[~centre])
    assert len(kept) == lines - 10
    gaps = np.diff(kept)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_equispaced_lines_are_those_of_all_examples_and_random_ones_are_not():
    for pattern, differ in (("equispaced", False), ("random", True)):
        kept = masks(CartesianMRI(64, pattern), (4.0,), 8)[0]
        assert (len(np.unique(kept, axis=0)) == 8) == differ
        assert (len(np.unique(kept, axis=0)) > 1) == differ


def test_random_lines_do_not_depend_on_the_batch():
    scan = CartesianMRI(64)
    operators, draw = scan.operators((2.0, 4.0)), jax.jit(scan.masks)
    whole = np.asarray(draw(operators, digests(6), KEY))
    order = np.array([4, 1, 0])
    np.testing.assert_array_equal(draw(operators, digests(6)[order], KEY), whole[:, order])
    alone = draw(scan.operators((4.0,)), digests(1, 5), KEY)
    np.testing.assert_array_equal(alone[0, 0], whole[1, 5])
    assert np.any(draw(operators, digests(6), jax.random.key(4)) != whole)


@functools.cache
def drawn(lines: int, power: float, count: int = 40_000) -> np.ndarray:
    """Random masks of 8 lines with 1 in the centre, [count, 8]."""
    centre = jnp.asarray(cartesian.centre_lines(1, 8))
    density = jnp.asarray(cartesian.line_density(8, power), jnp.float32)
    draw = jax.jit(jax.vmap(cartesian.random_lines, (0, None, None, None)))
    return np.asarray(draw(jax.random.split(KEY, count), jnp.int32(lines), centre, density))


def test_density_by_hand():
    expected = (np.array([1, 2, 3, 4, 5, 4, 3, 2]) / 5) ** 2
    np.testing.assert_allclose(cartesian.line_density(8, 2.0), expected, rtol=1e-12)
    np.testing.assert_array_equal(cartesian.line_density(8, 0.0), 1)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0, 4.0])
def test_the_first_random_line_follows_the_density(power):
    """Chi-square at 0.1%, for one fixed draw of 40,000."""
    kept = drawn(2, power)
    assert np.all(kept[:, 4] == 1)
    outer = np.delete(np.arange(8), 4)
    density = cartesian.line_density(8, power)[outer]
    observed = kept[:, outer].sum(axis=0)
    assert stats.chisquare(observed, density / density.sum() * len(kept)).pvalue > 1e-3


def test_the_second_random_line_follows_the_density_of_those_left():
    """P(i and j) = p_i p_j / (1 - p_i) + p_j p_i / (1 - p_j); bounds of five standard errors."""
    kept = np.delete(drawn(3, 2.0), 4, axis=1)
    density = np.delete(cartesian.line_density(8, 2.0), 4)
    p = density / density.sum()
    both = np.outer(p / (1 - p), p)
    expected = (both + both.T) * (1 - np.eye(7))
    observed = kept.T @ kept / len(kept) * (1 - np.eye(7))
    assert np.abs(observed - expected).max() < 5 * np.sqrt(0.25 / len(kept))


def test_density_falls_from_the_centre():
    chance = masks(CartesianMRI(64, power=2.0), (4.0,), 2000)[0].mean(axis=0)
    rings = [chance[32 - far - 8 : 32 - far].mean() for far in (2, 10, 18)]
    assert rings[0] > 1.5 * rings[1] > 2.25 * rings[2] > 0
    flat = masks(CartesianMRI(64, power=0.0), (4.0,), 2000)[0].mean(axis=0)
    outside = ~CartesianMRI(64).centre
    wanted = (16 - (~outside).sum()) / outside.sum()
    assert np.abs(flat[outside] - wanted).max() < 5 * np.sqrt(0.25 / 2000)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_energy_is_that_of_the_lines_kept(pattern):
    """Parseval: nothing is lost but the lines left out; a quarter of the range is never cut off."""
    image = noise(64, 3)[..., None] / 4
    scan = CartesianMRI(64, pattern)
    operator = scan.operator(3.0)
    out = compiled(scan)(operator, image, digests(3), KEY)
    shifted = np.fft.fftshift(np.fft.fft2(image[..., 0], norm="ortho"), axes=(1, 2))
    kept = masks(scan, (3.0,), 3)[0]
    expected = np.sum(np.abs(shifted) ** 2 * kept[:, :, None], axis=(1, 2))
    np.testing.assert_allclose(np.sum(np.asarray(out) ** 2, axis=(1, 2, 3)), expected, rtol=1e-5)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("magnitude", ["magnitude", "real"])
def test_all_lines_change_nothing(pattern, magnitude):
    image = noise(32, 2)[..., None]
    scan = CartesianMRI(32, pattern, magnitude=magnitude)
    out = compiled(scan)(scan.operator(1), image, digests(2), KEY)
    np.testing.assert_allclose(out, image, atol=1e-6)


def test_lines_are_rows_so_that_only_detail_down_the_image_is_lost():
    wave = np.broadcast_to(0.5 + 0.4 * np.cos(np.arange(64) * 1.5), (1, 64, 64))[..., None]
    wave = wave.astype(np.float32)
    scan = CartesianMRI(64)
    operator = scan.operator(8.0)
    across = compiled(scan)(operator, wave, digests(1), KEY)
    np.testing.assert_allclose(across, wave, atol=1e-5)
    down = compiled(scan)(operator, wave.transpose(0, 2, 1, 3), digests(1), KEY)
    assert np.abs(down - wave.transpose(0, 2, 1, 3)).max() > 0.1


def test_conventions_reach_the_physics():
    image = noise(32, 1)[..., None]
    out = {}
    for magnitude in ("magnitude", "real"):
        scan = CartesianMRI(32, magnitude=magnitude)
        out[magnitude] = np.asarray(compiled(scan)(scan.operator(4), image, digests(1), KEY))
    assert np.all(out["magnitude"] >= out["real"])
    assert np.abs(out["magnitude"] - out["real"]).max() > 1e-3


@pytest.mark.parametrize("pattern", PATTERNS)
def test_quality_falls_with_acceleration(pattern):
    image = np.repeat(shepp_logan(128).astype(np.float32)[None, :, :, None], 4, axis=0)
    scan = CartesianMRI(128, pattern)
    operators = scan.operators((1.5, 2.0, 4.0, 8.0, 16.0))
    out = jax.jit(scan.at_levels)(operators, image, digests(4), KEY)
    assert np.all(np.diff([psnr(image, one).mean() for one in out]) < -0.2)


def test_density_in_the_centre_is_worth_more_than_none():
    """At the same number of lines, a phantom is better off with lines near the centre."""
    image = np.repeat(shepp_logan(128).astype(np.float32)[None, :, :, None], 8, axis=0)
    quality = {}
    for power in (0.0, 4.0):
        scan = CartesianMRI(128, power=power)
        out = compiled(scan)(scan.operator(4), image, digests(8), KEY)
        quality[power] = psnr(image, out).mean()
    assert quality[4.0] > quality[0.0] + 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CartesianMRI(64, pattern="radial"), "pattern 'radial' must be one of"),
        (lambda: CartesianMRI(64, centre_fraction=1.0), "centre_fraction 1.0 must be in"),
        (lambda: CartesianMRI(64, centre_fraction=-0.1), "centre_fraction -0.1 must be in"),
        (lambda: CartesianMRI(64, power=-1.0), "power -1.0 must be a number of at least 0"),
        (lambda: CartesianMRI(64, power=float("nan")), "power nan must be a number of at least 0"),
        (lambda: CartesianMRI(64, magnitude="phase"), "magnitude 'phase' must be one of"),
        (lambda: CartesianMRI(64).operator(0.5), "level 0.5 of mri_cartesian .* at least 1"),
        (
            lambda: CartesianMRI(256).operator(32),
            "acceleration 32 cannot be had on 256 lines: it keeps 8, and the centre alone holds 10 "
            r"\(centre_fraction 0.04\); the largest that can be had is 25.6",
        ),
        (lambda: CartesianMRI(64, centre_fraction=0).operator(200), "it keeps 0"),
    ],
)
def test_bad_options_and_levels_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
