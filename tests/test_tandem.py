"""The fused step against its parts done by hand, and its independence of batch size, order, padding
and devices.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio

from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.physics import describe, make_degradation
from fairrecon_jax.reconstructors import make_reconstructor
from fairrecon_jax.runtime.devices import pad_batch
from fairrecon_jax.tandem import DEGRADE, Tandem, compile_step, predict
from fairrecon_jax.types import Attribute, CohortSpec, Task

SIZE, COUNT = 32, 11
SPEC = CohortSpec(
    "toy",
    "Toy",
    "mri",
    (Task("bright", "classification"), Task("region", "segmentation", "mean")),
    (Attribute("sex", ("Female", "Male")),),
    describe("mri_radial", (4.0, 8.0), 8.0),
)


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Scores the mean grey value times a weight: the answer is known by hand."""

    name: str = "brightness"
    tasks: tuple[str, ...] = ("bright",)
    kind: ClassVar[str] = "classification"

    def predict(self, variables, image):
        return variables["params"]["scale"] * jnp.mean(image, axis=(1, 2, 3))[:, None]


@dataclasses.dataclass(frozen=True)
class Foreground:
    """Marks every pixel by its own grey value."""

    name: str = "foreground"
    tasks: tuple[str, ...] = ("region",)
    kind: ClassVar[str] = "segmentation"

    def predict(self, variables, image):
        return image


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    images, masks = [], []
    for _ in range(COUNT):
        centre, radius = rng.uniform(10, 22, 2), rng.uniform(4, 9)
        disc = np.hypot(y - centre[0], x - centre[1]) < radius
        images.append(np.clip(0.2 + 0.6 * disc + rng.normal(0, 0.03, disc.shape), 0, 1))
        masks.append(disc)
    source = [
        {
            "image": np.round(i[..., None] * 65535).astype(np.uint16),
            "mask": m[..., None].astype(np.uint8),
        }
        for i, m in zip(images, masks)
    ]
    table = pd.DataFrame(
        {
            "example_id": [f"p{i // 2}/{i}" for i in range(COUNT)],
            "patient_id": [f"p{i // 2}" for i in range(COUNT)],
            "sex": [("Female", "Male", None)[i // 2 % 3] for i in range(COUNT)],
            "bright": np.where(np.arange(COUNT) == 3, np.nan, np.arange(COUNT) % 2),
            "region": [int(m.sum()) for m in masks],
        }
    )
    return Cohort(SPEC, table, source)


def tandem_of(modality: str, **fields) -> Tandem:
    physics = make_degradation("xray_low_dose" if modality == "xray" else "mri_radial", size=SIZE)
    return Tandem(physics, make_reconstructor(**fields), (Brightness(), Foreground()), SPEC)


READERS = ({"params": {"scale": np.float32(0.9)}}, {"params": {}})
NOTHING = {"params": {}, "batch_stats": {}}


def run(
    cohort,
    kind="mri",
    level=8.0,
    batch_size=4,
    devices=1,
    rows=None,
    fields=None,
    variables=NOTHING,
):
    tandem = tandem_of(kind, **(fields or {"kind": "identity"}))
    step = compile_step(tandem, devices)
    shared = tandem.shared(level, variables, READERS, jax.random.key(7))
    return predict(
        step, shared, cohort, np.arange(COUNT) if rows is None else rows, batch_size, devices
    )


def test_step_equals_its_parts_by_hand(cohort):
    table = run(cohort)
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


def test_names_attributes_and_unknown_labels_come_from_the_table(cohort):
    table = run(cohort)
    assert list(table["example_id"]) == list(cohort.table["example_id"])
    assert table["sex"].isna().sum() == (cohort.table["sex"].isna()).sum() > 0
    assert np.flatnonzero(table["bright__label"].isna()).tolist() == [3]


@pytest.mark.parametrize("kind", ["mri", "xray"])
@pytest.mark.parametrize(("batch_size", "devices"), [(11, 1), (3, 1), (8, 4), (4, 2)])
def test_rows_do_not_depend_on_batch_size_or_devices(cohort, kind, batch_size, devices):
    level = 8.0 if kind == "mri" else 1e4
    one = run(cohort, kind, level, batch_size=1)
    other = run(cohort, kind, level, batch_size=batch_size, devices=devices)
    numbers = one.select_dtypes("number").columns.difference(
        ["region__original", "region__reconstructed"]
    )
    np.testing.assert_allclose(other[numbers], one[numbers], rtol=1e-5, atol=1e-5)
    one_pixel = 2 / one["region__label"].to_numpy()
    for version in ("original", "reconstructed"):
        assert (np.abs(other[f"region__{version}"] - one[f"region__{version}"]) <= one_pixel).all()


def test_rows_do_not_depend_on_their_order(cohort):
    order = np.random.default_rng(1).permutation(COUNT)
    there = run(cohort, "xray", 1e4).iloc[order].reset_index(drop=True)
    pd.testing.assert_frame_equal(run(cohort, "xray", 1e4, rows=order), there, rtol=1e-5)


def test_levels_and_weights_share_one_program(cohort):
    tandem = tandem_of("mri", kind="mse", width=4, depth=1)
    step = jax.jit(tandem.step)
    batch = pad_batch(
        {k: np.stack([cohort.example(i)[k] for i in range(2)]) for k in cohort.example(0)}, 4
    )
    for seed, level in enumerate((4.0, 8.0, 16.0)):
        variables = tandem.reconstructor.init(jax.random.key(seed), batch)
        step(tandem.shared(level, variables, READERS, jax.random.key(seed)), batch)
    assert step._cache_size() == 1


def test_a_milder_level_is_closer_to_the_original(cohort):
    assert run(cohort, level=2.0)["psnr"].mean() > run(cohort, level=8.0)["psnr"].mean() + 1


def test_two_diagnosers_of_one_task_are_refused():
    with pytest.raises(
        ValueError,
        match="task 'bright' is read by the diagnosers Brightness and Brightness: give each "
        "its own tasks",
    ):
        dataclasses.replace(
            tandem_of("mri", kind="identity"), diagnosers=(Brightness(), Foreground(), Brightness())
        )


def test_a_batch_that_does_not_divide_is_refused(cohort):
    with pytest.raises(ValueError, match="batch_size 6 is not a multiple of the 4 devices"):
        run(cohort, batch_size=6, devices=4)
