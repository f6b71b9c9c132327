from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fairrecon_jax.phantoms.drawing import (
    Frame,
    Plate,
    between,
    chord,
    edge,
    ellipse_radius,
    power,
    smoothstep,
    soft_blur,
    splat,
    texture,
)


def test_edge_is_a_ramp_of_the_given_width():
    at = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])
    np.testing.assert_allclose(edge(at, 2.0), [0.0, 0.0, 0.5, 0.75, 1.0, 1.0])


def test_smoothstep_ends_and_middle():
    np.testing.assert_allclose(
        smoothstep(1.0, 3.0, np.array([0.0, 1.0, 2.0, 3.0, 4.0])), [0, 0, 0.5, 1, 1]
    )
    assert smoothstep(3.0, 1.0, np.array([0.0]))[0] == 1.0, "reversed limits fall instead of rising"


def test_ellipse_radius_is_one_on_the_axes_and_turns():
    x, y = np.array([3.0, 0.0]), np.array([0.0, 2.0])
    np.testing.assert_allclose(ellipse_radius(x, y, (0.0, 0.0), (3.0, 2.0)), 1.0, rtol=1e-6)
    on_turned_axis = ellipse_radius(
        np.array([3.0 * np.cos(0.5)]),
        np.array([3.0 * np.sin(0.5)]),
        (0, 0),
        (3.0, 2.0),
        float(np.rad2deg(0.5)),
    )
    np.testing.assert_allclose(on_turned_axis, 1.0, rtol=1e-6)


def test_chord_is_a_half_circle():
    np.testing.assert_allclose(chord(np.array([0.0, 0.75, 1.0, 4.0])), [1.0, 0.5, 0.0, 0.0])


def test_power_is_zero_outside():
    np.testing.assert_allclose(power(np.array([-1.0, 0.0, 4.0], np.float32), 0.5), [0.0, 0.0, 2.0])


@pytest.mark.parametrize("degrees", [0.0, 7.0, -3.0])
def test_grid_and_pixels_invert_each_other(degrees):
    frame = Frame(40, 36.0, degrees, (0.7, -1.1))
    x, y = frame.grid()
    points = np.stack([x[11, 23], y[11, 23]]).reshape(1, 2).astype(float)
    np.testing.assert_allclose(frame.pixels(points)[0], [23.5, 11.5], atol=1e-4)


def test_frame_is_in_centimetres():
    frame = Frame(64, 32.0)
    x, y = frame.grid()
    assert frame.pixel == 0.5
    assert x[0, 0] == y[0, 0] == -15.75
    assert x[0, -1] == 15.75
    np.testing.assert_allclose(np.diff(x[0]), 0.5, rtol=1e-5)


def test_plate_fills_the_area_of_a_polygon():
    frame = Frame(128, 32.0)
    plate = Plate(frame)
    plate.polygon(np.array([[-4.0, -3.0], [4.0, -3.0], [4.0, 3.0], [-4.0, 3.0]]), 2.0)
    area = plate.map().sum() * frame.pixel**2 / 2.0
    assert abs(area - 48.0) < 3.0


def test_the_later_shape_of_a_plate_replaces_the_earlier_one():
    plate = Plate(Frame(32, 32.0))
    square = np.array([[-8.0, -8.0], [8.0, -8.0], [8.0, 8.0], [-8.0, 8.0]])
    plate.polygon(square, 2.0)
    plate.line(np.array([[-12.0, 0.0], [12.0, 0.0]]), 0.5, 4.0)
    drawn = plate.map()
    assert (drawn[10, 16], drawn[16, 16], drawn[16, 6]) == (2.0, 0.5, 0.5)


def test_plate_blur_keeps_the_mass():
    plate = Plate(Frame(64, 32.0))
    plate.polygon(np.array([[-4.0, -3.0], [4.0, -3.0], [4.0, 3.0]]), 1.0)
    np.testing.assert_allclose(plate.map(0.6).sum(), plate.map().sum(), rtol=1e-4)


@pytest.mark.parametrize("size", [32, 64, 256])
def test_a_thin_line_keeps_its_mass_at_any_resolution(size):
    frame = Frame(size, 32.0)
    plate = Plate(frame)
    plate.line(np.array([[-8.0, 0.05], [8.0, 0.05]]), 1.0, 0.3)
    assert abs(plate.map().sum() * frame.pixel**2 - 16.0 * 0.3) < 0.35 * 16.0 * 0.3


def test_splat_keeps_mass_and_centre():
    frame = Frame(32, 32.0)
    image = splat(frame, np.array([[3.3, -2.6]]), np.array([5.0]))
    x, y = frame.grid()
    assert image.sum() == pytest.approx(5.0)
    assert (image * x).sum() / 5.0 == pytest.approx(3.3, abs=1e-4)
    assert (image * y).sum() / 5.0 == pytest.approx(-2.6, abs=1e-4)


def test_splat_drops_what_is_off_the_film():
    assert splat(Frame(32, 32.0), np.array([[300.0, 0.0]]), np.array([5.0])).sum() == 0.0


def test_texture_has_unit_variance_and_its_wavelength():
    frame = Frame(128, 64.0)
    fields = [texture(np.random.default_rng(s), frame, 4.0) for s in range(12)]
    assert abs(np.mean([f.var() for f in fields]) - 1.0) < 0.15
    assert abs(np.mean(fields)) < 0.05
    spectrum = np.mean([np.abs(np.fft.fft2(f)) ** 2 for f in fields], axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128, 0.5), np.fft.fftfreq(128, 0.5)))
    assert abs((frequency * spectrum).sum() / spectrum.sum() - 0.25) < 0.05


def test_texture_is_fixed_to_the_patient_whatever_the_pixel_size():
    coarse = texture(np.random.default_rng(1), Frame(64, 32.0, 4.0, (0.5, 0.0)), 3.0)
    fine = texture(np.random.default_rng(1), Frame(192, 32.0, 4.0, (0.5, 0.0)), 3.0)
    np.testing.assert_allclose(coarse, fine[1::3, 1::3], atol=1e-4)


def test_texture_moves_with_the_patient():
    still = texture(np.random.default_rng(1), Frame(64, 32.0), 3.0)
    moved = texture(np.random.default_rng(1), Frame(64, 32.0, 0.0, (2.0, -1.0)), 3.0)
    np.testing.assert_allclose(moved[:-2, 4:], still[2:, :-4], atol=1e-4)


@pytest.mark.parametrize(("sigma", "tolerance"), [(1.0, 1e-6), (8.0, 0.03), (30.0, 0.03)])
def test_soft_blur_is_close_to_a_gaussian(sigma, tolerance):
    image = np.zeros((100, 100), np.float32)
    image[30:70, 40:60] = 1.0
    assert (
        np.abs(
            soft_blur(image, sigma) - ndimage.gaussian_filter(image, sigma, mode="nearest")
        ).max()
        <= tolerance
    )


def test_between_interpolates_linearly():
    small = np.add.outer(np.arange(4.0), 10 * np.arange(4.0))
    at = np.array([-1.0, 0.0, 0.5, 2.25, 3.0, 9.0])
    inside = np.clip(at, 0, 3)
    np.testing.assert_allclose(between(small, at), np.add.outer(inside, 10 * inside), rtol=1e-6)


def test_between_of_a_single_cell():
    np.testing.assert_allclose(between(np.full((1, 1), 7.0), np.array([-0.5, 0.0, 0.5])), 7.0)
