from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from fairrecon_jax.phantoms import BrainPhantomOptions
from fairrecon_jax.phantoms.brain import FLUID, GREY, WHITE, build_block, sample_head
from fairrecon_jax.phantoms.fields import ball, draw_field, tube
from fairrecon_jax.phantoms.flair import acquire, axes_mm, draw_exam, render
from fairrecon_jax.phantoms.population import Glioma
from fairrecon_jax.phantoms.tumour import (
    ENHANCING,
    NECROTIC,
    OEDEMA,
    describe_tumour,
    mass_effect,
    sample_tumour,
)
from tests.support.phantom_fakes import person_of

GBM, FOUR, THREE, TWO = (
    Glioma(g, t, g, t, False) for g, t in ((4, True), (4, False), (3, False), (2, False))
)
SPACING, AXES = axes_mm(64, 16)
OPTIONS = BrainPhantomOptions(size=64, slices=16)


def head_of(seed=0, sex="Male", age=55.0):
    return sample_head(np.random.default_rng(seed), sex, age)


def grid(axes=AXES):
    return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]


@functools.cache
def drawn(glioma, seed=0, contrast=1.0, age=55.0):
    head = dataclasses.replace(head_of(seed, age=age), offset=(0.0, 0.0, 0.0))
    tumour = sample_tumour(np.random.default_rng(seed), head, glioma)
    image, brain, mask = render(head, tumour, contrast, AXES, 0.0)
    return image, brain, mask, tumour


def test_axes_cover_the_field_of_view():
    spacing, (x, y, z) = axes_mm(240, 155)
    assert spacing == (1.0, 1.0, 1.0)
    assert (x[0], x[-1], z[0], z[-1]) == (-119.5, 119.5, -77.0, 77.0)
    assert len(y) == 240
    assert axes_mm(64, 24)[0] == pytest.approx((3.75, 3.75, 155 / 24))


def test_a_field_is_a_sum_of_plane_waves():
    field = draw_field(np.random.default_rng(0), 20.0, count=5)
    axes = (np.array([3.0, -7.0]), np.array([1.0]), np.array([4.0, 5.0, 6.0]))
    got = field(axes)
    assert got.shape == (2, 1, 3)
    r = np.array([-7.0, 1.0, 5.0])
    assert got[1, 0, 1] == pytest.approx(
        np.sqrt(2 / 5) * np.cos(field.number @ r + field.phase).sum(), abs=1e-5
    )


def test_fields_have_unit_variance_and_the_wavelength():
    fields = [draw_field(np.random.default_rng(s), 40.0)(AXES) for s in range(8)]
    assert np.mean([f.var() for f in fields]) == pytest.approx(1.0, abs=0.2)
    length = 2 * np.pi / np.linalg.norm(draw_field(np.random.default_rng(0), 40.0).number, axis=1)
    assert (30.0 < length).all()
    assert (length < 55.0).all()


def test_ball_is_positive_inside():
    v = tuple(np.array([a]) for a in (1.0, 2.0, 3.0))
    assert ball(v, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))[0] == 5.0
    assert ball(v, (1.0, 2.0, 20.0), (4.0, 5.0, 6.0))[0] < 0


def test_tube_follows_its_path_on_both_sides():
    x, y, z = (
        np.array([10.0, -10.0, 10.0, 10.0]),
        np.array([5.0, 5.0, 5.0, 5.0]),
        np.array([0.0, 0.0, 2.0, 9.0]),
    )
    depth = tube(
        (x, y, z), np.array([[10.0, 0, 0], [10.0, 10.0, 0]]), np.array([3.0, 3.0]), 1.0, 5.0
    )
    np.testing.assert_allclose(depth, [3.0, 3.0, 1.0, -5.0], atol=1e-5)


def test_a_tube_narrows_along_its_path():
    y = np.array([0.0, 10.0])
    depth = tube(
        (np.full(2, 10.0), y, np.zeros(2)),
        np.array([[10.0, 0, 0], [10.0, 10.0, 0]]),
        np.array([4.0, 1.0]),
        1.0,
        5.0,
    )
    np.testing.assert_allclose(depth, [4.0, 1.0], atol=1e-5)


def test_age_widens_sulci_and_ventricles_and_brings_lesions():
    young, old = ([head_of(s, age=a) for s in range(30)] for a in (25.0, 85.0))
    assert np.mean([h.atrophy for h in old]) > np.mean([h.atrophy for h in young]) + 0.6
    assert np.mean([h.lesions for h in old]) > np.mean([h.lesions for h in young]) + 0.5


def test_mens_heads_are_larger():
    scale = {sex: np.mean([head_of(s, sex).scale for s in range(30)]) for sex in ("Male", "Female")}
    assert scale["Male"] / scale["Female"] == pytest.approx(1.0 / 0.955, abs=0.01)


def test_the_brain_has_a_plausible_volume_and_its_tissues():
    head = dataclasses.replace(head_of(), offset=(0.0, 0.0, 0.0))
    block = build_block(head, grid(), AXES, 3.75)
    ml = np.prod(SPACING) / 1000
    assert 1000 < (block.brain > 0.5).sum() * ml < 1900
    white = block.image[(block.white > 0.95)]
    assert abs(np.median(white) - WHITE) < 6
    assert FLUID < WHITE < GREY


def test_atrophy_makes_more_fluid():
    head = head_of()
    fluid = [
        build_block(dataclasses.replace(head, atrophy=a), grid(), AXES, 3.75).fluid.sum()
        for a in (0.1, 1.2)
    ]
    assert fluid[1] > 1.5 * fluid[0]


def test_blocks_of_slices_are_the_whole_cut_up():
    head = head_of()
    whole = build_block(head, grid(), AXES, 3.75).image
    part = (AXES[0], AXES[1], AXES[2][7:10])
    np.testing.assert_allclose(
        build_block(head, grid(part), part, 3.75).image, whole[:, :, 7:10], atol=0.05
    )


def test_the_head_is_skin_fat_bright_and_bone_dark():
    head = dataclasses.replace(head_of(), offset=(0.0, 0.0, 0.0))
    spacing, axes = axes_mm(120, 24)
    image = build_block(head, grid(axes), axes, 2.0).image
    middle = image[:, 60, 14]
    outside = np.flatnonzero(middle > 100)
    assert image[0, 0].max() < 5.0
    first = outside[0]
    assert middle[first : first + 4].max() > 150
    assert middle[first + 3 : first + 8].min() < 40
    assert spacing[0] == 2.0


@pytest.mark.parametrize(("glioma", "values"), [(GBM, {1, 2, 4}), (FOUR, {1, 2, 4}), (TWO, {2})])
def test_mask_values_follow_grade_and_type(glioma, values):
    actual = set()
    for seed in range(3):
        actual |= set(np.unique(drawn(glioma, seed)[2]))
    assert actual == values | {0}


def test_grade_three_has_no_necrosis_and_enhances_at_most_a_little():
    for seed in range(3):
        mask = drawn(THREE, seed)[2]
        assert not (mask == NECROTIC).any()
        assert (mask == ENHANCING).sum() < 0.3 * (mask > 0).sum()


def test_glioblastoma_has_the_widest_oedema_and_most_necrosis():
    share = {}
    for name, glioma in (("gbm", GBM), ("four", FOUR), ("two", TWO)):
        masks = [drawn(glioma, s)[2] for s in range(3)]
        share[name] = (
            np.mean([(m == OEDEMA).sum() for m in masks]),
            np.mean([(m == NECROTIC).sum() for m in masks]),
        )
    assert share["gbm"][0] > share["two"][0]
    assert share["gbm"][1] > share["four"][1] > share["two"][1] == 0


@pytest.mark.parametrize("glioma", [GBM, TWO])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_mask_lies_in_the_brain_on_one_side_mostly(glioma, seed):
    _, brain, mask, tumour = drawn(glioma, seed)
    assert (brain[mask > 0] > 0.4).all()
    side = np.sign(tumour.centre[0]) * AXES[0][np.nonzero(mask)[0]]
    assert (side > 0).mean() > 0.95


def test_necrosis_is_inside_the_rim_and_darker_than_oedema():
    image, _, mask, tumour = drawn(GBM, 1)
    assert image[mask == NECROTIC].mean() < 0.7 * image[mask == OEDEMA].mean()
    distance = np.sqrt(sum((a - c) ** 2 for a, c in zip(grid(), tumour.centre)))
    assert (
        distance[mask == NECROTIC].mean()
        < distance[mask == ENHANCING].mean()
        < distance[mask == OEDEMA].mean()
    )


@pytest.mark.parametrize("glioma", [GBM, TWO])
def test_contrast_scales_the_difference_to_healthy_tissue_and_not_the_mask(glioma):
    full, _, mask, _ = drawn(glioma, 2, 1.0)
    half, _, same, _ = drawn(glioma, 2, 0.5)
    none, _, _, _ = drawn(glioma, 2, 1e-6)
    np.testing.assert_array_equal(mask, same)
    np.testing.assert_allclose(half - none, 0.5 * (full - none), atol=0.02)
    assert np.abs(full - none)[mask > 0].mean() > 30


def test_mass_effect_pushes_away_and_fades():
    _, _, _, tumour = drawn(GBM, 0)
    centre = np.array(tumour.centre)
    near, far = centre + np.array([0, 0, tumour.core]), centre + np.array([0, 0, 12 * tumour.core])
    at = lambda p: np.array(mass_effect(tumour, tuple(np.array([v]) for v in p))).ravel()  # noqa: E731
    assert at(near)[2] < near[2] - 1.0, "what is seen at this point lay nearer to the centre before"
    np.testing.assert_allclose(at(far), far, atol=0.05)


def test_described_volumes_add_up():
    _, _, mask, tumour = drawn(GBM, 0)
    text = describe_tumour(tumour, mask, SPACING)
    assert sum(text["volume_ml"].values()) == pytest.approx(
        (mask > 0).sum() * np.prod(SPACING) / 1000, abs=0.01
    )
    assert text["core_mm"] == pytest.approx(tumour.core, abs=0.01)


def test_noise_is_rician_in_air_and_close_to_gaussian_in_tissue():
    image = np.zeros((64, 64, 16), np.float32)
    image[20:44, 20:44] = 100.0
    noisy = acquire(image, AXES, np.random.default_rng(0))
    air = noisy[:12]
    assert 1.5 < air.std() / 0.655 < 4.0
    assert air.mean() / air.std() == pytest.approx(1.253 / 0.655, rel=0.03), "a Rayleigh law"
    assert (noisy > 0).all()


def exam(person=None, options=OPTIONS, glioma=GBM, number=0):
    return draw_exam(options, person or person_of(4), glioma, number)


def test_stored_integers_and_slope():
    stored, slope, mask, geometry = exam()
    assert stored.dtype == np.int16
    assert stored.shape == mask.shape == (64, 64, 16)
    assert 0.4 <= slope <= 1.2
    assert stored.min() >= 0
    assert mask.dtype == np.uint8
    assert set(geometry) == {
        "centre_mm",
        "core_mm",
        "volume_ml",
        "atrophy",
        "head_scale",
        "white_matter_lesions",
    }


def test_the_same_patient_twice_is_the_same_and_another_is_not():
    np.testing.assert_array_equal(exam()[0], exam()[0])
    assert not np.array_equal(exam()[0], exam(person_of(5))[0])


def test_a_follow_up_is_the_same_head_with_a_grown_tumour():
    first, second = exam(number=0), exam(number=1)
    assert first[3]["head_scale"] == second[3]["head_scale"]
    assert first[3]["centre_mm"] == second[3]["centre_mm"]
    assert second[3]["core_mm"] == pytest.approx(1.1 * first[3]["core_mm"], abs=0.01)
    assert (second[2] > 0).sum() > (first[2] > 0).sum()


def test_skull_stripping_leaves_the_brain_alone():
    whole = exam()[0]
    stripped, _, mask, _ = exam(options=dataclasses.replace(OPTIONS, skull_stripped=True))
    assert (stripped[:, :, 0] == 0).mean() > 0.9
    assert 0.02 < (stripped > 0).mean() < 0.5 < (whole > 0).mean()
    assert (stripped[mask > 0] > 0).all()


def test_the_planted_gap_is_measurable_in_the_volumes():
    lesion = {}
    for contrast in (1.0, 0.5, 1e-6):
        stored, slope, mask, _ = exam(person_of(4, contrast=contrast), glioma=TWO)
        lesion[contrast] = np.median((stored * slope)[mask == OEDEMA])
    full, half = lesion[1.0] - lesion[1e-6], lesion[0.5] - lesion[1e-6]
    assert full > 0.4 * lesion[1e-6]
    assert half == pytest.approx(0.5 * full, rel=0.1)
