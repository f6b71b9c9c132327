from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fairrecon_jax.phantoms.bones import RIBS, Break, rib_centre, rib_map, shoulder_map, spine_map
from fairrecon_jax.phantoms.chest import (
    LUNG_DENSITY,
    MU_TISSUE,
    airway_map,
    body_thickness,
    breast_map,
    build_chest,
    vessel_map,
)
from fairrecon_jax.phantoms.lateral import lateral_attenuation
from fairrecon_jax.phantoms.thorax import (
    SIGN,
    heart_thickness,
    lung_region,
    mediastinal_borders,
    pleural_depth,
    vessels_thickness,
)
from tests.support.phantom_fakes import thorax_of


def mean_of(field, n=40, **who):
    return np.mean([getattr(thorax_of(seed, **who), field) for seed in range(n)])


def test_the_same_numbers_give_the_same_chest():
    assert thorax_of(3) == thorax_of(3)
    assert thorax_of(3) != thorax_of(4)


def test_sizes_are_plain_floats():
    values = dataclasses.asdict(thorax_of())
    assert all(type(values[name]) is float for name in ("half_width", "ratio", "pedicle", "bone"))


def test_women_have_smaller_chests_and_breasts():
    assert mean_of("half_width", sex="Female") < 0.94 * mean_of("half_width", sex="Male")
    assert mean_of("breast", sex="Female") > 5.0
    assert mean_of("breast", sex="Male") == 0.0


def test_age_shows_in_bone_aorta_and_depth():
    young, old = {"age": 25.0}, {"age": 85.0}
    assert mean_of("bone", **old) < 0.75 * mean_of("bone", **young)
    assert mean_of("knob", **old) > 1.3 * mean_of("knob", **young)
    assert mean_of("unfold", **young) == 0.0 < mean_of("unfold", **old)
    assert mean_of("depth", **old) > mean_of("depth", **young)


def test_lying_films_have_high_domes_and_wide_hearts():
    assert mean_of("ratio", projection="AP") > mean_of("ratio", projection="PA") + 0.02
    domes = {p: np.mean([thorax_of(s, projection=p).dome for s in range(40)]) for p in ("AP", "PA")}
    assert domes["AP"] < domes["PA"] - 1.0, (
        "y grows downwards: a shallow breath leaves the domes high"
    )


def test_healthy_ratio_and_dimensions_are_those_of_adults():
    chests = [thorax_of(s) for s in range(60)]
    assert all(0.34 < c.ratio < 0.52 for c in chests)
    assert 26.0 < np.mean([2 * c.half_width for c in chests]) < 31.0
    assert all(c.dome[0] < c.dome[1] for c in chests), "the right dome is the higher one"


@pytest.mark.parametrize("side", [0, 1])
def test_a_lung_lies_on_its_side_between_apex_and_angle(side):
    thorax = thorax_of()
    x, y = thorax.frame.grid()
    region, thickness = lung_region(thorax, x, y, side)
    inside = region > 0.5
    assert (SIGN[side] * x[inside] > 0).all()
    assert y[inside].min() > thorax.apex - 0.5
    assert y[inside].max() < thorax.angle[side] + 0.5
    assert np.abs(x[inside]).max() <= thorax.half_width + 0.5
    assert 10.0 < thickness[inside].max() < 25.0
    assert 150.0 < inside.sum() * thorax.frame.pixel**2 < 330.0, (
        "a lung projects to some 200 square centimetres"
    )


def test_pleural_depth_changes_sign_at_the_wall_and_the_apex():
    thorax = thorax_of()
    y = np.array([0.0, 0.0, thorax.apex - 0.5, thorax.apex + 1.0])
    wall = float(thorax.wall(np.array(0.0), 1))
    x = np.array([wall - 0.2, wall + 0.2, 3.0, 3.0])
    np.testing.assert_array_equal(pleural_depth(thorax, x, y, 1) > 0, [True, False, False, True])


@pytest.mark.parametrize("ratio", [0.38, 0.45, 0.55, 0.65])
def test_the_hearts_width_is_the_cardiothoracic_ratio(ratio):
    thorax = dataclasses.replace(thorax_of(size=320), ratio=ratio)
    x, y = thorax.frame.grid()
    heart = heart_thickness(thorax, x, y) > 1.0
    width = x[heart].max() - x[heart].min()
    assert width / (2 * thorax.half_width) == pytest.approx(ratio, abs=0.02)


def test_most_of_the_heart_lies_on_the_left():
    thorax = thorax_of()
    x, y = thorax.frame.grid()
    heart = heart_thickness(thorax, x, y) > 0
    assert 0.55 < (x[heart] > 0).mean() < 0.85


def test_the_aortic_knob_bulges_on_the_left_and_grows():
    thorax = thorax_of()
    y = np.linspace(thorax.apex, thorax.apex + 14.0, 200)
    _, left = mediastinal_borders(thorax, y)
    _, old = mediastinal_borders(dataclasses.replace(thorax, knob=thorax.knob + 1.0), y)
    knob = np.argmin(np.abs(y - thorax.apex - 6.9))
    assert left[knob] > left[knob - 45] + 0.3
    assert old[knob] > left[knob] + 0.4


def test_a_wider_pedicle_widens_the_mediastinum():
    thorax = thorax_of()
    x, y = thorax.frame.grid()
    row = np.argmin(np.abs(y[:, 0] - thorax.apex - 4.0))
    widths = [
        (vessels_thickness(dataclasses.replace(thorax, pedicle=p), x, y)[row] > 1.0).sum()
        for p in (2.4, 4.4)
    ]
    assert widths[1] > 1.5 * widths[0]


def test_breast_shadows_are_two_and_only_womens():
    woman = thorax_of(sex="Female")
    x, y = woman.frame.grid()
    shadow = breast_map(woman, x, y)
    assert shadow[np.abs(x) < 1.0].max() < 0.5 * shadow.max()
    assert shadow[x > 2].max() > 2.0 < shadow[x < -2].max()
    man = thorax_of()
    low = y > man.breast_height
    assert breast_map(man, x, y)[low].max() < 0.5


def test_the_trachea_is_air_in_the_middle_above_the_carina():
    thorax = thorax_of()
    x, y = thorax.frame.grid()
    air = airway_map(thorax, x, y)
    high = y < thorax.apex + 6.0
    assert np.abs(x[high & (air > 0.5)]).max() < 2.0
    assert air[(y > thorax.apex + 14.5)].max() < 0.05


def test_the_body_ends_at_the_skin():
    thorax = thorax_of()
    x, y = thorax.frame.grid()
    body = body_thickness(thorax, x, y)
    assert body[(np.abs(x) < 3) & (np.abs(y) < 5)].min() > 15.0
    assert body[0, 0] == 0.0


def test_vessels_thin_out_towards_the_wall():
    thorax = thorax_of(size=128)
    x, _ = thorax.frame.grid()
    vessels = vessel_map(thorax, np.random.default_rng(0))
    near, far = (np.abs(x) > 3) & (np.abs(x) < 6), (np.abs(x) > 10) & (np.abs(x) < 13)
    assert vessels[near].mean() > 2.0 * vessels[far].mean()


def test_lung_lets_more_through_than_mediastinum_and_abdomen():
    thorax = thorax_of()
    chest = build_chest(thorax, np.random.default_rng(0))
    total = chest.attenuation()
    lung = total[(chest.region[0] > 0.9) & (np.abs(chest.x) > 5)].mean()
    middle = total[(np.abs(chest.x) < 2) & (np.abs(chest.y) < 4)].mean()
    belly = total[(np.abs(chest.x) < 8) & (chest.y > thorax.angle[1] + 1)].mean()
    assert lung < 0.75 * middle < 0.9 * belly


def test_attenuation_counts_air_body_and_extra():
    chest = build_chest(thorax_of(), np.random.default_rng(0))
    chest.vessels[:] = 0.0
    chest.density[:] = LUNG_DENSITY
    before = chest.attenuation()
    chest.extra += 0.25
    np.testing.assert_allclose(chest.attenuation() - before, 0.25, atol=1e-5)
    lungs = chest.air[0] + chest.air[1]
    chest.density[:] = 1.0
    np.testing.assert_allclose(
        chest.attenuation() - 0.25 - before, MU_TISSUE * (1 - LUNG_DENSITY) * lungs, atol=1e-4
    )


@pytest.mark.parametrize("side", [0, 1])
def test_ribs_run_down_and_forward_one_below_the_other(side):
    thorax = thorax_of()
    angle = np.linspace(0.1, 2.4, 30)
    for rib in range(RIBS):
        points = rib_centre(thorax, side, rib, angle)
        assert (SIGN[side] * points > 0)[:, 0].all()
        assert points[-1, 1] > points[0, 1] + 3.0, "the front end lies lower than the back end"
    starts = [rib_centre(thorax, side, rib, angle)[0, 1] for rib in range(RIBS)]
    assert (np.diff(starts) > 1.5).all()


def test_a_break_changes_its_rib_alone():
    thorax = thorax_of(size=192)
    whole, broken = rib_map(thorax), rib_map(thorax, (Break(1, 4, 0.9, 0.6, 1.0, 0.1),))
    change = np.abs(whole - broken)
    x, y = thorax.frame.grid()
    place = rib_centre(thorax, 1, 4, np.array([0.5, 0.9, 1.66]))
    assert change.max() > 0.15
    assert change[x < 0].max() == 0.0
    assert change[y < place[:, 1].min() - 2.0].max() < 0.01


def test_old_bone_is_fainter():
    strong = thorax_of()
    weak = dataclasses.replace(strong, bone=0.5 * strong.bone)
    np.testing.assert_allclose(rib_map(weak), 0.5 * rib_map(strong), rtol=1e-4, atol=1e-6)


def test_spine_is_in_the_middle_and_shoulders_are_not():
    thorax = dataclasses.replace(thorax_of(), rotation=0.0)
    x, y = thorax.frame.grid()
    spine, shoulder = spine_map(thorax, x, y), shoulder_map(thorax)
    assert spine[np.abs(x) > 3.5].max() < 0.01
    assert shoulder[np.abs(x) < 1.0].max() < 0.05
    assert shoulder[(y < thorax.apex + 6) & (np.abs(x) > 4)].max() > 0.2


def test_discs_are_darker_than_vertebrae():
    thorax = thorax_of(size=320)
    x, y = thorax.frame.grid()
    column = spine_map(thorax, x, y)[:, np.argmin(np.abs(x[0] - 0.6))]
    middle = column[80:240]
    assert middle.min() < 0.6 * middle.max()


def test_the_side_view_has_spine_behind_and_heart_in_front():
    thorax = thorax_of(size=96)
    total = lateral_attenuation(thorax)
    assert total.shape == (96, 96)
    assert np.isfinite(total).all()
    large = lateral_attenuation(dataclasses.replace(thorax, ratio=0.65))
    changed = np.abs(large - total) > 0.2
    x, y = thorax.frame.grid()
    assert changed.any()
    assert x[changed].mean() < 0.0
    assert y[changed].mean() > 0.0
