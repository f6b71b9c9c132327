from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from fairrecon_jax.phantoms import FINDINGS, XrayPhantomOptions
from fairrecon_jax.phantoms.chest import build_chest
from fairrecon_jax.phantoms.drawing import ellipse_radius
from fairrecon_jax.phantoms.findings import PAINTERS, broken_ribs, collapsed_side, paint, reshape
from fairrecon_jax.phantoms.opacities import place
from fairrecon_jax.phantoms.radiograph import draw_frontal, draw_lateral, expose
from fairrecon_jax.phantoms.thorax import SIGN, lung_region, sample_thorax
from tests.support.phantom_fakes import person_of, study_of

OPTIONS = XrayPhantomOptions(size=96)
OPACITIES = (
    "Lung Lesion",
    "Consolidation",
    "Pneumonia",
    "Lung Opacity",
    "Edema",
    "Atelectasis",
    "Pleural Effusion",
    "Pleural Other",
)


def streams(seed=0):
    return lambda finding: np.random.default_rng([seed, FINDINGS.index(finding)])


def thorax_of(seed=0, size=96):
    return sample_thorax(
        np.random.default_rng(seed), np.random.default_rng(50 + seed), "Male", 50.0, "PA", size
    )


def painted(finding, contrast=1.0, seed=0, size=96):
    """(attenuation with the finding minus without, the chest, what was recorded)."""
    healthy = thorax_of(seed, size)
    thorax = reshape(healthy, (finding,), contrast, streams(seed))
    plain, chest = (build_chest(thorax, np.random.default_rng(seed)) for _ in range(2))
    actual = paint(chest, (finding,), contrast, streams(seed))
    return chest.attenuation() - plain.attenuation(), chest, actual


@pytest.mark.parametrize("finding", OPACITIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_opacities_add_attenuation_in_the_lung_alone(finding, seed):
    change, chest, actual = painted(finding, seed=seed)
    lungs = np.maximum(*chest.region)
    assert change.max() > 0.1
    assert change[lungs > 0.5].sum() > 0
    assert np.abs(change[lungs < 1e-3]).max() < 1e-3
    assert set(actual) == {finding}


@pytest.mark.parametrize("finding", OPACITIES)
def test_half_the_contrast_is_half_the_change(finding):
    full, _, _ = painted(finding, 0.8)
    half, _, _ = painted(finding, 0.4)
    share = np.abs(half).sum() / np.abs(full).sum()
    assert 0.40 < share < 0.62 if finding != "Atelectasis" else share < 0.8


@pytest.mark.parametrize("seed", range(6))
def test_a_nodule_is_round_and_where_the_truth_says(seed):
    change, chest, actual = painted("Lung Lesion", seed=seed, size=192)
    truth = actual["Lung Lesion"]
    x, y = truth["centre_cm"]
    inside = ellipse_radius(chest.x, chest.y, (x, y), (truth["radius_cm"],) * 2)
    assert change[inside < 0.5].mean() > 10 * max(change[inside > 2.2].max(), 0.01) / 2
    assert change.max() == pytest.approx(truth["gained"], rel=0.05)
    assert (x > 0) == (truth["side"] == "left")
    weight = np.clip(change, 0, None)
    assert (weight * chest.x).sum() / weight.sum() == pytest.approx(x, abs=0.25)
    assert (weight * chest.y).sum() / weight.sum() == pytest.approx(y, abs=0.25)


def test_nodules_differ_between_patients_and_use_both_lungs():
    truths = [painted("Lung Lesion", seed=s, size=48)[2]["Lung Lesion"] for s in range(12)]
    assert {t["side"] for t in truths} == {"left", "right"}
    assert len({tuple(t["centre_cm"]) for t in truths}) == 12
    assert all(0.9 <= t["radius_cm"] <= 1.8 for t in truths)


@pytest.mark.parametrize("seed", range(5))
def test_places_lie_in_the_lung(seed):
    thorax = thorax_of(seed)
    side, x, y = place(thorax, np.random.default_rng(seed), (0.2, 0.8), (0.2, 0.7))
    region, _ = lung_region(thorax, np.array([[x]]), np.array([[y]]), side)
    assert region[0, 0] == 1.0


def test_an_effusion_fills_the_angle_and_leaves_the_apex():
    change, chest, actual = painted("Pleural Effusion", seed=1)
    side = 1 if actual["Pleural Effusion"]["side"] == "left" else 0
    low = (chest.region[side] > 0.5) & (chest.y > chest.thorax.dome[side])
    high = (chest.region[side] > 0.5) & (chest.y < 0)
    assert change[low].mean() > 0.2
    assert np.abs(change[high]).max() < 0.02


def test_the_meniscus_climbs_towards_the_wall():
    change, chest, actual = painted("Pleural Effusion", seed=1, size=192)
    side = 1 if actual["Pleural Effusion"]["side"] == "left" else 0
    across = SIGN[side] * chest.x
    top = lambda low, high: chest.y[(across > low) & (across < high) & (change > 0.15)].min()  # noqa: E731
    wall = chest.thorax.half_width
    assert top(0.80 * wall, 0.93 * wall) < top(0.45 * wall, 0.6 * wall) - 0.5


@pytest.mark.parametrize("seed", range(4))
def test_a_pneumothorax_is_a_lucent_rim_without_vessels(seed):
    change, chest, actual = painted("Pneumothorax", seed=seed)
    truth = actual["Pneumothorax"]
    side = 1 if truth["side"] == "left" else 0
    rim = (change < -0.08) & (chest.region[side] > 0.5)
    assert rim.sum() * chest.thorax.frame.pixel**2 > 0.15 * truth["area_cm2"]
    assert np.median(chest.y[rim]) < 2.0, "air collects high up"
    assert np.abs(change[chest.region[1 - side] > 0.9]).max() < 0.02, "the other lung is untouched"
    assert truth["rim_cm"] > 1.0


def test_the_pleural_line_is_brighter_than_both_sides():
    change, chest, _ = painted("Pneumothorax", seed=0, size=256)
    ridge = change - ndimage.gaussian_filter(change, 4.0)
    line = ridge > 0.5 * ridge.max()
    assert ridge.max() > 0.05
    assert 5.0 < line.sum() * chest.thorax.frame.pixel < 120.0, (
        "a line some tens of centimetres long"
    )


def test_consolidation_has_darker_bronchi_inside():
    change, chest, actual = painted("Consolidation", seed=2, size=192)
    truth = actual["Consolidation"]
    core = ellipse_radius(chest.x, chest.y, tuple(truth["centre_cm"]), (2.0, 2.0)) < 1.0
    assert change[core].min() < 0.75 * change[core].max()


def test_oedema_is_in_both_lungs_and_strongest_near_the_hilum():
    change, chest, _ = painted("Edema")
    for side in (0, 1):
        lung = chest.region[side] > 0.9
        across = SIGN[side] * chest.x
        near = lung & (across > 4) & (across < 7) & (np.abs(chest.y - chest.thorax.apex - 11) < 3)
        far = lung & (across > 9) & (chest.y < chest.thorax.apex + 7)
        assert change[near].mean() > 3 * change[far].mean()


def test_cardiomegaly_exceeds_half_the_chest():
    for seed in range(8):
        healthy = thorax_of(seed)
        ill = reshape(healthy, ("Cardiomegaly",), 1.0, streams(seed))
        assert reshape(healthy, (), 1.0, streams(seed)).ratio <= 0.49
        assert 0.57 <= ill.ratio <= 0.65
        faint = reshape(healthy, ("Cardiomegaly",), 0.5, streams(seed))
        assert faint.ratio - 0.5 == pytest.approx(0.5 * (ill.ratio - 0.5))


def test_a_wide_mediastinum_is_wider():
    healthy = thorax_of()
    ill = reshape(healthy, ("Enlarged Cardiomediastinum",), 1.0, streams())
    assert ill.pedicle > 1.5 * healthy.pedicle
    assert ill.ratio <= 0.49


def test_atelectasis_raises_its_dome_and_pulls_the_mediastinum():
    healthy = thorax_of()
    ill = reshape(healthy, ("Atelectasis",), 1.0, streams(3))
    side = collapsed_side(streams(3))
    assert ill.dome[side] < healthy.dome[side] - 1.5
    assert ill.dome[1 - side] == healthy.dome[1 - side]
    assert np.sign(ill.shift) == SIGN[side]


def test_the_bands_lie_in_the_lung_whose_dome_is_raised():
    for seed in range(4):
        _, _, actual = painted("Atelectasis", seed=seed, size=48)
        assert actual["Atelectasis"]["side"] == ("right", "left")[collapsed_side(streams(seed))]


def test_fractures_are_neighbouring_ribs_on_one_side():
    breaks = broken_ribs(("Fracture",), 1.0, streams())
    assert 2 <= len(breaks) <= 4
    assert len({b.side for b in breaks}) == 1
    ribs = [b.rib for b in breaks]
    assert ribs == list(range(ribs[0], ribs[0] + len(ribs)))
    assert broken_ribs(("Edema",), 1.0, streams()) == ()


def test_a_faint_fracture_is_less_displaced():
    strong, faint = (broken_ribs(("Fracture",), c, streams()) for c in (1.0, 0.5))
    assert faint[0].displaced == pytest.approx(0.5 * strong[0].displaced)


def test_every_finding_is_drawn_somehow():
    assert set(PAINTERS) | {
        "Atelectasis",
        "Cardiomegaly",
        "Enlarged Cardiomediastinum",
        "Fracture",
    } == set(FINDINGS)


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_changes_the_film(finding):
    person = person_of(2)
    healthy, _ = draw_frontal(OPTIONS, person, study_of(person))
    ill, geometry = draw_frontal(OPTIONS, person, study_of(person, (finding,)))
    assert np.abs(ill.astype(int) - healthy).max() > 12
    assert (finding in geometry["findings"]) == (finding in PAINTERS or finding == "Atelectasis")


def test_one_finding_does_not_move_another():
    person = person_of(2)
    _, alone = draw_frontal(OPTIONS, person, study_of(person, ("Lung Lesion",)))
    _, both = draw_frontal(OPTIONS, person, study_of(person, ("Lung Lesion", "Edema", "Fracture")))
    assert alone["findings"]["Lung Lesion"] == both["findings"]["Lung Lesion"]


def test_film_is_eight_bit_and_uses_its_range():
    person = person_of(1)
    image, geometry = draw_frontal(OPTIONS, person, study_of(person))
    assert image.dtype == np.uint8
    assert image.shape == (96, 96)
    low, middle, high = np.percentile(image, (2, 50, 98))
    assert low < 60 < middle < 190 < high
    assert geometry["cm_per_pixel"] * 96 == pytest.approx(36.0, abs=4.0)


def test_two_studies_of_a_patient_show_the_same_anatomy_and_another_pose():
    person = person_of(1)
    (first, a), (second, b) = (
        draw_frontal(OPTIONS, person, study_of(person, number=n)) for n in (1, 2)
    )
    assert a["thoracic_width_cm"] == b["thoracic_width_cm"]
    assert a["degrees"] != b["degrees"]
    assert not np.array_equal(first, second)


def test_patients_differ():
    films = [
        draw_frontal(OPTIONS, p, study_of(p))[0].astype(float) for p in (person_of(1), person_of(2))
    ]
    assert np.abs(films[0] - films[1]).mean() > 5


def test_the_lateral_view_is_another_image():
    person = person_of(1)
    study = study_of(person)
    lateral = draw_lateral(OPTIONS, person, study)
    assert lateral.shape == (96, 96)
    assert np.abs(lateral.astype(float) - draw_frontal(OPTIONS, person, study)[0]).mean() > 20


def test_a_lesion_looks_the_same_at_two_resolutions():
    person = person_of(3)
    study = study_of(person, ("Lung Lesion",))
    small, large = (
        draw_frontal(dataclasses.replace(OPTIONS, size=s), person, study) for s in (64, 192)
    )
    assert (
        small[1]["findings"]["Lung Lesion"]["centre_cm"]
        == large[1]["findings"]["Lung Lesion"]["centre_cm"]
    )
    reduced = large[0].astype(float).reshape(64, 3, 64, 3).mean((1, 3))
    assert np.corrcoef(reduced.ravel(), small[0].ravel())[0, 1] > 0.98


def test_dense_is_bright_and_air_is_black():
    thorax = thorax_of()
    attenuation = np.full((96, 96), 2.0, np.float32)
    attenuation[40:60, 40:60] = 4.0
    attenuation[:10] = 0.0
    film = expose(attenuation, thorax.frame, np.random.default_rng(0))
    assert film[45:55, 45:55].mean() > film[70:90, 10:30].mean() + 25
    assert film[:6].mean() < 40


def test_more_exposure_noise_comes_from_denser_bodies():
    thorax = thorax_of()
    noise = []
    for level in (2.0, 5.0):
        attenuation = np.full((96, 96), level, np.float32)
        attenuation[30:60, 30:60] += 0.8
        films = [
            expose(attenuation, thorax.frame, np.random.default_rng(s)).astype(float)
            for s in range(2)
        ]
        noise.append((films[0] - films[1])[65:90, 10:80].std())
    assert noise[1] > noise[0]


def test_the_planted_gap_is_measurable_in_the_films():
    """Mean change of the film by a consolidation, women at half contrast against men at full
    contrast.
    """
    change = {}
    for sex, contrast in (("Male", 0.8), ("Female", 0.4)):
        measured = []
        for number in range(1, 9):
            person = person_of(number, sex=sex, contrast=contrast)
            ill, healthy = (
                draw_frontal(OPTIONS, person, study_of(person, drawn))[0].astype(float)
                for drawn in (("Consolidation",), ())
            )
            measured.append(np.abs(ill - healthy).mean())
        change[sex] = np.mean(measured)
    assert 0.35 < change["Female"] / change["Male"] < 0.75
