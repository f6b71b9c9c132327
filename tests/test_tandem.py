"""The fused step against its parts done by hand, and its independence of batch size, padding and
devices; whole tables of it are in `study/test_predict`.
"""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio

from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.physics import make_degradation
from fairrecon_jax.runtime.devices import pad_batch
from fairrecon_jax.tandem import DEGRADE
from tests.support.tandem_fakes import (
    COUNT,
    DIAGNOSERS,
    SIZE,
    Brightness,
    Foreground,
    discs,
    rows_of,
    tandem_of,
)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return discs()


def test_step_equals_its_parts_by_hand(cohort):
    table = rows_of(cohort)
    originals = np.stack([cohort.example(i)["image"] for i in range(COUNT)])
    physics = make_degradation("mri_radial", size=SIZE)
    key = jax.random.fold_in(jax.random.key(7), DEGRADE)
    degraded = np.clip(
        np.asarray(physics(physics.operator(8.0), originals, cohort.digests(), key)), 0, 1
    )
    np.testing.assert_allclose(
        table["bright__original"], 0.9 * originals.mean((1, 2, 3)), rtol=1e-5
    )
    np.testing.assert_allclose(
        table["bright__reconstructed"], 0.9 * degraded.mean((1, 2, 3)), rtol=1e-5
    )
    psnr = [peak_signal_noise_ratio(o, d, data_range=1) for o, d in zip(originals, degraded)]
    np.testing.assert_allclose(table["psnr"], psnr, rtol=1e-5)
    truth = np.stack([cohort.source[i]["mask"] for i in range(COUNT)]) > 0
    for version, images in (("original", originals), ("reconstructed", degraded)):
        found = images >= 0.5
        dice = 2 * (found & truth).sum((1, 2, 3)) / (found.sum((1, 2, 3)) + truth.sum((1, 2, 3)))
        np.testing.assert_allclose(table[f"region__{version}"], dice, atol=1e-6)
        np.testing.assert_array_equal(table[f"region__{version}_pixels"], found.sum((1, 2, 3)))
    np.testing.assert_array_equal(table["region__label"], truth.sum((1, 2, 3)))


LEVELS = {"mri": 8.0, "xray": 1e4}


@pytest.fixture(scope="module")
def one_by_one(cohort) -> dict[str, pd.DataFrame]:
    """Rows of batches of one image, by kind of degradation."""
    return {kind: rows_of(cohort, kind, level, batch_size=1) for kind, level in LEVELS.items()}


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize(("batch_size", "devices"), [(11, 1), (3, 1), (8, 4), (4, 2)])
def test_rows_do_not_depend_on_batch_size_or_devices(cohort, one_by_one, kind, batch_size, devices):
    one, level = one_by_one[kind], LEVELS[kind]
    other = rows_of(cohort, kind, level, batch_size=batch_size, devices=devices)
    numbers = one.select_dtypes("number").columns.difference(
        ["region__original", "region__reconstructed"]
    )
    np.testing.assert_allclose(other[numbers], one[numbers], rtol=1e-5, atol=1e-5)
    one_pixel = 2 / one["region__label"].to_numpy()
    for version in ("original", "reconstructed"):
        assert (np.abs(other[f"region__{version}"] - one[f"region__{version}"]) <= one_pixel).all()


def test_levels_and_weights_share_one_program(cohort):
    tandem = tandem_of("mri", kind="mse", width=4, depth=1)
    step = jax.jit(tandem.step)
    batch = pad_batch(
        {k: np.stack([cohort.example(i)[k] for i in range(2)]) for k in cohort.example(0)}, 4
    )
    for seed, level in enumerate((4.0, 8.0, 16.0)):
        variables = tandem.reconstructor.init(jax.random.key(seed), batch)
        step(tandem.inputs(level, variables, DIAGNOSERS, jax.random.key(seed)), batch)
    assert step._cache_size() == 1


def test_a_milder_level_is_closer_to_the_original(cohort):
    assert rows_of(cohort, level=2.0)["psnr"].mean() > rows_of(cohort, level=8.0)["psnr"].mean() + 1


def test_two_diagnosers_of_one_task_are_refused():
    with pytest.raises(
        ValueError,
        match="task 'bright' is read by the diagnosers Brightness and Brightness: give each "
        "its own tasks",
    ):
        dataclasses.replace(
            tandem_of("mri", kind="identity"), diagnosers=(Brightness(), Foreground(), Brightness())
        )
