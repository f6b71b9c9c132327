"""The package as a notebook sees it: names, arrays in, tables, verdicts and figures out."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import fairrecon_jax as fr
from fairrecon_jax.keys import example_digest
from fairrecon_jax.types import InputError

SIZE = 16


def images(count: int, seed: int = 0) -> np.ndarray:
    """Smooth random images [count, SIZE, SIZE] in [0, 1]."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(0, np.pi, SIZE)
    waves = np.sin(np.outer(grid, grid))
    return np.clip(0.5 + 0.3 * rng.normal(size=(count, 1, 1)) * waves, 0, 1).astype(np.float32)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_is_light():
    code = (
        "import sys, time; since = time.process_time(); import fairrecon_jax as fr; "
        "spent = time.process_time() - since; "
        "print(spent < 0.5, [m for m in ('jax', 'pandas', 'tfds') if m in sys.modules])"
    )
    assert run(code) == "True []"


def test_the_numeric_face_loads_no_reader_of_files():
    code = (
        "import sys, fairrecon_jax as fr; fr.metrics.eodd, fr.inference.verdict, fr.physics, "
        "fr.Classifier, fr.UNetReconstructor, fr.arrays, fr.tandem, fr.fit; "
        "print([m for m in ('tensorflow_datasets', 'nibabel', 'tifffile') if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_every_public_name_is_there_and_listed():
    for name in fr.__all__:
        assert getattr(fr, name) is not None
    assert set(fr.__all__) <= set(dir(fr))
    with pytest.raises(AttributeError, match="no attribute 'eodd'"):
        fr.eodd  # noqa: B018


@pytest.mark.parametrize(
    "physics",
    [
        fr.RadialMRI(acceleration=4),
        fr.CartesianMRI(acceleration=4),
        fr.LowDoseXray(photons=1e4),
        fr.SparseViewXray(angles=12),
        fr.GaussianNoise(sd=0.1),
    ],
    ids=repr,
)
def test_a_degradation_is_a_function_of_images(physics):
    x = images(3)
    y = physics(x[..., None], key=jax.random.key(3))
    assert y.shape == (3, SIZE, SIZE, 1)
    assert y.dtype == jnp.float32
    # the same numbers as the object that studies use, whose inputs a notebook would have to make
    inner = physics.sized(SIZE)
    ids = np.stack([example_digest(str(i)) for i in range(3)])
    whole = jax.jit(inner.__call__)
    expected = whole(inner.operator(physics.level), x[..., None], ids, jax.random.key(3))
    np.testing.assert_allclose(y, expected, atol=2e-6)
    # shapes, seeds and raw keys: one image among others gets the noise of its name
    np.testing.assert_array_equal(physics(x, key=3), y[..., 0])
    np.testing.assert_array_equal(physics(x, key=jax.random.PRNGKey(3)), y[..., 0])
    np.testing.assert_allclose(physics(x[1:2], key=3, ids=["1"])[0], y[1, ..., 0], atol=2e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((2, 16, 12), 0.5, np.float32), r"shape \(2, 16, 12, 1\), expected"),
        (np.full((2, 16, 16), 1.5, np.float32), r"range from 1.5 to 1.5, expected \[0, 1\]"),
        (np.full((2, 16, 16), np.nan, np.float32), "range from nan"),
        (np.full((2, 16, 16), 7, np.int64), "images are int64"),
        (np.full((2, 15, 15), 0.5, np.float32), "even number"),
    ],
)
def test_images_that_do_not_fit_are_refused(image, message):
    with pytest.raises(InputError, match=message):
        fr.GaussianNoise(sd=0.1)(image, key=0)


def test_whole_numbers_are_scaled_by_their_type():
    x = np.array([[0, 255], [51, 102]] * 8, np.uint8).repeat(8, 1)[None]
    y = fr.GaussianNoise(sd=1e-6)(x, key=0)
    np.testing.assert_allclose(y[0], x[0] / 255, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fr.RadialMRI(acceleration=0), "must be a positive number"),
        (lambda: fr.RadialMRI(acceleration=4, colour="red"), "no field 'colour'"),
        (lambda: fr.AtLevel("blur", 1), "unknown degradation 'blur'"),
        (lambda: fr.GaussianNoise(sd=float("nan")), "must be a positive number"),
    ],
)
def test_levels_and_fields_are_checked(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_arrays_make_a_cohort():
    x = images(6)
    cohort = fr.arrays(
        (x * 255).astype(np.uint8),
        {"effusion": [0, 1, None, 1, 0, True], "mass": np.array([0, 0, 1, np.nan, 1, 0])},
        masks=x > 0.5,
        groups={"sex": ["f", "m", None, "f", "m", "f"], "site": [1, 1, 2, 1, -1, 2]},
        patient=["p", "q", 3.0, "p", "q", "3"],
    )
    assert repr(cohort) == (
        "Cohort(arrays: 6 images of 3 patients, 16 x 16; effusion, mass, region; sex, site)"
    )
    np.testing.assert_array_equal(cohort.labels()[:, 0], [0, 1, np.nan, 1, 0, 1])
    np.testing.assert_array_equal(cohort.attributes()[:, 0], [0, 1, -1, 0, 1, 0])
    np.testing.assert_array_equal(cohort.attributes()[:, 1], [0, 0, 1, 0, -1, 1])
    one = cohort.example(2)
    assert one["image"].dtype == np.float32
    np.testing.assert_allclose(one["image"][..., 0], np.floor(x[2] * 255) / 255, atol=1e-6)
    np.testing.assert_array_equal(one["mask"][..., 0], x[2] > 0.5)
    assert cohort.table["region"].tolist() == (x > 0.5).sum((1, 2)).tolist()


def test_a_patient_in_two_groups_is_in_none():
    with pytest.warns(UserWarning, match=r"sex: 1 patient has several groups \(2 images\)"):
        cohort = fr.arrays(images(3), groups={"sex": ["f", "m", "m"]}, patient=["p", "p", "q"])
    assert cohort.table["sex"].isna().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patient": ["p", None, "q"]}, "patient: the entry of row 2 is empty"),
        ({"groups": ["f", "m", "f"]}, "columns by name"),
        ({"labels": [0, 1]}, "2 entries for 3 images"),
        ({"labels": [0, 1, 2]}, "must hold 0, 1 or NaN"),
        ({"labels": ["yes", "no", "no"]}, "got 'yes'"),
        ({"groups": {"sex": [None, None, None]}}, "names no group"),
        ({"ids": ["a", "a", "b"]}, "'a' names two images"),
        ({"masks": np.zeros((3, 8, 8))}, r"expected \(3, 16, 16\)"),
        ({"labels": {"patient_id": [0, 1, 0]}}, "'patient_id' is taken"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        fr.arrays(images(3), **fields)


@pytest.fixture(scope="module")
def unet():
    return fr.UNetReconstructor(width=8, depth=2)


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(1)
    x = images(24)
    y = (x.mean((1, 2)) > 0.5).astype(int)
    return fr.arrays(x, {"bright": y}, groups={"sex": rng.choice(["f", "m"], 24)})


@pytest.fixture(scope="module")
def weights(unet, cohort):
    return fr.fit(unet, cohort, fr.GaussianNoise(sd=0.2), steps=60, learning_rate=6e-3, seed=1)


def test_a_reconstructor_learns_from_arrays(unet, cohort, weights):
    x = np.stack([cohort.source[i]["image"] for i in range(8)])
    y = fr.GaussianNoise(sd=0.2)(x, key=5)
    model = fr.trained(unet, weights)
    assert repr(model).startswith("TrainedReconstructor(unet, ")
    restored = model(y)
    assert restored.shape == x.shape
    assert np.mean((restored - x) ** 2) < 0.5 * np.mean((y - x) ** 2)
    np.testing.assert_allclose(model(y[..., 0]), restored[..., 0], atol=1e-6)


def test_a_kept_training_is_read_back(unet, cohort, tmp_path):
    physics, choices = fr.GaussianNoise(sd=0.2), {"steps": 2, "batch_size": 4, "validation": 0}
    first = fr.fit(unet, cohort, physics, workdir=tmp_path, **choices)
    again = fr.fit(unet, cohort, physics, workdir=tmp_path, **choices)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    with pytest.raises(InputError, match="level"):
        fr.fit(unet, cohort, fr.GaussianNoise(sd=0.3), workdir=tmp_path, **choices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"physics": None}, "give the physics"),
        ({"model": fr.UNetReconstructor(width=4, depth=5)}, "depth|halv|divis"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"learning": 3}, "fields of TrainConfig"),
        ({"cohort": fr.arrays(np.zeros((0, 16, 16), np.float32))}, "holds no image"),
    ],
)
def test_a_training_that_cannot_be_is_refused(unet, cohort, change, message):
    given = {"model": unet, "cohort": cohort, "physics": fr.GaussianNoise(sd=0.2), "steps": 2}
    with pytest.raises(InputError, match=message):
        fr.fit(**(given | change))


def bright(image):
    return jnp.clip(image.mean((1, 2, 3)), 0, 1)


def test_the_tandem_step_takes_any_diagnoser(unet, cohort, weights):
    physics = fr.GaussianNoise(sd=0.2)
    network = fr.make_diagnoser(
        "classifier", cohort.spec, ("bright",), backbone="resnet18", width=4
    )
    own = fr.trained(network, fr.fit(network, cohort, steps=2, batch_size=4))
    step = fr.tandem(physics, unet, [own], weights, batch_size=5)
    assert repr(step) == "Tandem(GaussianNoise(sd=0.2) -> unet -> bright)"
    rows = step(cohort, key=2)
    assert len(rows) == 24
    assert rows["bright__label"].tolist() == cohort.table["bright"].tolist()
    x = np.stack([cohort.source[i]["image"] for i in range(24)])
    np.testing.assert_allclose(rows["bright__original"], own(x)[:, 0], atol=1e-5)
    # functions, of JAX and from outside of it, give what they give by themselves
    of_jax = fr.tandem(physics, unet, {"bright": bright}, weights)(cohort, key=2)
    host = fr.on_host(lambda images: images.mean((1, 2, 3)))
    of_host = fr.tandem(physics, unet, {"bright": host}, weights, batch_size=7)(cohort, key=2)
    np.testing.assert_allclose(of_jax["bright__original"], bright(x), atol=1e-6)
    pd.testing.assert_frame_equal(of_jax, of_host, atol=2e-5)
    np.testing.assert_allclose(of_jax["psnr"], rows["psnr"], atol=1e-3)


def test_the_tandem_step_takes_any_reconstruction(cohort):
    physics = fr.GaussianNoise(sd=0.2)
    plain = fr.tandem(physics, None, {"bright": bright})(cohort, key=2)

    def same(degraded):
        return degraded

    given = fr.tandem(physics, same, {"bright": bright})(cohort, key=2)
    assert plain["reconstructor"].unique().tolist() == ["identity"]
    assert given["reconstructor"].unique().tolist() == ["same"]
    shared = [c for c in plain if c != "reconstructor"]
    pd.testing.assert_frame_equal(plain[shared], given[shared])


def test_labels_reach_the_diagnosis_that_is_meant():
    step = fr.tandem(fr.GaussianNoise(sd=0.1), None, {"a": bright})
    x = images(4)
    assert step(x, [0, 1, 0, 1], key=0)["a__label"].tolist() == [0, 1, 0, 1]
    with pytest.raises(InputError, match="labels has 'b', which no diagnoser reads; they read a"):
        step(x, {"b": [0, 1, 0, 1]}, key=0)
    both = fr.tandem(fr.GaussianNoise(sd=0.1), None, {"a": bright, "b": bright})
    with pytest.raises(InputError, match="one array for 2 diagnoses"):
        both(x, [0, 1, 0, 1], key=0)


def test_a_program_outside_that_fails_is_one_line():
    def broken(images):
        raise RuntimeError("no licence")

    x = images(4)
    for function, message in (
        (broken, "broken: no licence"),
        (lambda images: np.full(len(images), np.nan), "gave NaN"),
    ):
        step = fr.tandem(fr.GaussianNoise(sd=0.1), None, {"a": fr.on_host(function)})
        with pytest.raises(InputError, match=message):
            step(x, key=0)


def test_levels_of_the_step_keep_their_meaning():
    x, sex = images(8), ["f", "m"] * 4
    parts = [
        fr.tandem(fr.LowDoseXray(photons=n), None, {"a": bright})(
            x, [0, 1] * 4, groups={"sex": sex}, key=0
        )
        for n in (1e4, 1e3)
    ]
    spec = fr.assessment.on_arrays.predictions(pd.concat(parts), groups=["sex"])[1]
    assert spec.degradation.levels == (1e4, 1e3), "mildest first"
    assert (spec.degradation.kind, spec.degradation.worse) == ("xray_low_dose", "lower")


def test_masks_are_compared_too(cohort):
    x = images(5)
    step = fr.tandem(fr.GaussianNoise(sd=0.1), None, {"region": lambda image: image[..., 0]})
    rows = step(x, masks={"region": x >= 0.5}, key=0)
    # the original, thresholded at 0.5, is the truth itself
    assert rows["region__original"].dropna().tolist() == pytest.approx(
        [1.0] * int(rows["region__original"].notna().sum())
    )
    assert rows["region__label"].tolist() == (x >= 0.5).sum((1, 2)).tolist()
    with pytest.raises(InputError, match="expected"):
        step(x, {"region": [0, 1, 0, 1, 0]}, key=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda u: fr.fit(u, images(3), fr.GaussianNoise(sd=0.1), steps=1), "fr.arrays"),
        (lambda u: fr.fit(fr.UNetReconstructor, fr.arrays(images(3)), steps=1), "make one"),
        (lambda u: fr.GaussianNoise(sd=0.1)(images(2), key="a"), "key must be a seed"),
        (lambda u: fr.LowDoseXray(photons="1e4"), "photons must be a number"),
        (lambda u: fr.assess(reconstructed=[0.5], kind="seg"), "kind must be one of"),
        (lambda u: fr.tandem(fr.GaussianNoise(sd=0.1), u, {"a": bright}), "needs weights"),
        (lambda u: fr.tandem(8, None, {"a": bright}), "degradation at a level"),
        (lambda u: fr.tandem(fr.GaussianNoise(sd=0.1), 3, {"a": bright}), "got int"),
        (
            lambda u: fr.tandem(fr.GaussianNoise(sd=0.1), None, [bright])(images(2), key=0),
            "by task name",
        ),
    ],
)
def test_parts_that_are_none_are_refused(unet, make, message):
    with pytest.raises(InputError, match=message):
        make(unet)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_in_memory_are_not_copied(dtype):
    images = np.zeros((2, 8, 8), dtype)
    assert np.shares_memory(fr.arrays(images).source.images, images)
    assert fr.arrays(images.astype("float64")).source.images.dtype == np.float32
