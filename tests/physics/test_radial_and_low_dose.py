"""The one entry: reproducible noise, one compiled program for all levels, both kinds, derivatives,
errors.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.keys import example_digest
from fairrecon_jax.physics import Degradation, LowDoseXray, RadialMRI, make_degradation, mri
from fairrecon_jax.runtime.devices import map_rows
from tests.support.physics_images import noise, shepp_logan

KINDS = {"mri_radial": (4.0, 8.0), "xray_low_dose": (1e5, 3e3)}
SIZE = 32
CLOSE = {"mri_radial": {"atol": 1e-5}, "xray_low_dose": {"atol": 3e-4}}
"""A count decided by the last bit of its mean may differ by one where the program is cut
differently: 1e-4 of an image.
"""


def digests(count: int) -> np.ndarray:
    return np.stack(
        [example_digest(f"patient{index:05d}/study1/view1_frontal") for index in range(count)]
    )


@functools.cache
def compiled(degradation: Degradation) -> Callable[..., jax.Array]:
    """The compiled call, shared by the tests of this file."""
    return jax.jit(lambda *arguments: degradation(*arguments))


def inputs(count: int = 4, size: int = SIZE) -> tuple[np.ndarray, np.ndarray, jax.Array]:
    return noise(size, count)[..., None], digests(count), jax.random.key(7)


@pytest.mark.parametrize("kind", KINDS)
def test_shape_range_and_effect(kind):
    image, identity, key = inputs()
    degradation = make_degradation(kind, size=SIZE)
    for level in KINDS[kind]:
        out = compiled(degradation)(degradation.operator(level), image, identity, key)
        assert out.shape == image.shape
        assert out.dtype == jnp.float32
        assert (float(out.min()) >= 0, float(out.max()) <= 1) == (True, True)
        assert float(jnp.abs(out - image).mean()) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_image_whatever_batch_size_order_or_compilation(kind):
    image, identity, key = inputs()
    degradation = make_degradation(kind, size=SIZE)
    operator = degradation.operator(KINDS[kind][1])
    call = compiled(degradation)
    whole = np.asarray(call(operator, image, identity, key))
    np.testing.assert_allclose(degradation(operator, image, identity, key), whole, **CLOSE[kind])
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(
        call(operator, image[order], identity[order], key), whole[order], **CLOSE[kind]
    )
    np.testing.assert_allclose(
        call(operator, image[3:], identity[3:], key), whole[3:], **CLOSE[kind]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_image_on_four_devices(kind):
    if jax.local_device_count() < 4:
        pytest.skip(f"needs 4 devices, there are {jax.local_device_count()}")
    image, identity, key = inputs()
    degradation = make_degradation(kind, size=SIZE)
    operator = degradation.operator(KINDS[kind][1])

    def rows(shared, batch):
        return degradation(shared["operator"], batch["image"], batch["example_id"], shared["key"])

    shared, batch = {"operator": operator, "key": key}, {"image": image, "example_id": identity}
    one = compiled(degradation)(operator, image, identity, key)
    np.testing.assert_allclose(map_rows(rows, 4)(shared, batch), one, **CLOSE[kind])


def test_noise_differs_between_examples_keys_and_levels_but_not_calls():
    image, identity, key = inputs()
    image = np.repeat(image[:1], 4, axis=0)
    degradation = make_degradation("xray_low_dose", size=SIZE)
    call, operator = compiled(degradation), degradation.operator(1e4)
    first = np.asarray(call(operator, image, identity, key))
    assert np.abs(first[0] - first[1]).max() > 1e-3
    assert np.abs(first - call(operator, image, identity, jax.random.key(8))).max() > 1e-3
    np.testing.assert_array_equal(first, call(operator, image, identity, key))
    other = {
        **operator,
        "level_word": degradation.operator(2e4)["level_word"],
    }  # same photons, other level: other draws
    assert np.abs(first - call(other, image, identity, key)).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_level_does_not_recompile(kind):
    image, identity, key = inputs()
    degradation = make_degradation(kind, size=SIZE)
    call = jax.jit(lambda *arguments: degradation(*arguments))
    outs = [call(degradation.operator(level), image, identity, key) for level in KINDS[kind]]
    assert call._cache_size() == 1
    assert float(jnp.abs(outs[0] - outs[1]).max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_several_levels_at_once_equal_one_by_one(kind):
    image, identity, key = inputs()
    degradation = make_degradation(kind, size=SIZE)
    together = jax.jit(degradation.at_levels)(
        degradation.operators(KINDS[kind]), image, identity, key
    )
    assert together.shape == (2, 4, SIZE, SIZE, 1)
    for row, level in enumerate(KINDS[kind]):
        alone = compiled(degradation)(degradation.operator(level), image, identity, key)
        np.testing.assert_allclose(together[row], alone, **CLOSE[kind])


def test_operators_say_what_a_level_is():
    by_factor = make_degradation("mri_radial", size=256).operator(8)
    by_rays = make_degradation("mri_radial", size=256, mask_by="rays").operator(70)
    np.testing.assert_array_equal(by_factor["mask"], by_rays["mask"])
    assert mri.achieved_acceleration(by_factor["mask"]) == pytest.approx(8.05, abs=0.006)
    assert set(by_factor) == {"mask"}, "a word of the level would be of noise, and none is drawn"
    photons = make_degradation("xray_low_dose", size=64).operator(3e3)
    assert (photons["photons"].dtype, photons["level_word"].dtype) == (np.float32, np.uint32)
    assert photons["level_word"].view(np.float32) == np.float32(3e3)


def test_conventions_reach_the_physics():
    image, identity, key = inputs()
    every = {
        "mri_radial": [{"magnitude": "real"}],
        "xray_low_dose": [{"bowtie": "physical"}, {"noise": "physical"}],
    }
    for kind, several in every.items():
        plain = make_degradation(kind, size=SIZE)
        operator = plain.operator(KINDS[kind][1])
        for options in several:
            changed = compiled(make_degradation(kind, size=SIZE, **options))(
                operator, image, identity, key
            )
            assert (
                float(jnp.abs(compiled(plain)(operator, image, identity, key) - changed).max())
                > 1e-3
            ), options


@pytest.mark.parametrize(
    ("kind", "options", "step"),
    [("mri_radial", {}, 1e-2), ("xray_low_dose", {"noise": "none", "method": "matmul"}, 2e-3)],
)
def test_derivative_with_respect_to_the_image(kind, options, step):
    """Against a central difference along one direction, without noise: its draws are constants to
    the derivative alone.

    The X-ray's step is short: a longer one makes another pixel the darkest, from which images are
    stretched: a kink of the loss.
    """
    image, identity, key = inputs(1, 16)
    image = image * 0.5 + 0.25
    degradation = make_degradation(kind, size=16, **options)
    operator = degradation.operator(4.0)

    def loss(value):
        return jnp.sum(compiled(degradation)(operator, value, identity, key) ** 2)

    direction = noise(16, 1, seed=5)[..., None] - 0.5
    slope = float(jnp.vdot(jax.grad(loss)(jnp.asarray(image)), direction))
    difference = float(loss(image + step * direction) - loss(image - step * direction)) / (2 * step)
    assert slope == pytest.approx(difference, rel=2e-2)


def test_matmul_form_draws_the_same_noise():
    _, identity, key = inputs(2)
    image = np.repeat(shepp_logan(64).astype(np.float32)[None, :, :, None], 2, axis=0)
    gather, matmul = (
        make_degradation("xray_low_dose", size=64, bowtie="none", method=method)
        for method in ("gather", "matmul")
    )
    operator = gather.operator(3e3)
    one, other = (
        np.asarray(compiled(form)(operator, image, identity, key)) for form in (gather, matmul)
    )
    noise_size = np.abs(one[0] - one[1]).mean()
    assert np.abs(one - other).mean() < 0.3 * noise_size


def test_static_and_hashable():
    one = make_degradation("xray_low_dose", size=64)
    assert one == make_degradation("xray_low_dose", size=64)
    assert hash(one) == hash(make_degradation("xray_low_dose", size=64))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.size = 32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: make_degradation("ct", size=64),
            "unknown degradation 'ct'; choose one of gaussian_noise, mri_cartesian",
        ),
        (lambda: RadialMRI(63), "size 63 must be an even number"),
        (lambda: RadialMRI(64, mask_by="lines"), "mask_by 'lines'"),
        (lambda: RadialMRI(64, magnitude="phase"), "magnitude 'phase'"),
        (lambda: LowDoseXray(64, method="fft"), "method 'fft'"),
        (lambda: LowDoseXray(64, bowtie="tie"), "bowtie 'tie'"),
        (lambda: LowDoseXray(64, angles=30), "30 angles"),
        (
            lambda: LowDoseXray(64).operator(0),
            "level 0 of xray_low_dose must be a positive number",
        ),
        (lambda: LowDoseXray(64).operator(float("nan")), "level nan"),
        (
            lambda: RadialMRI(64).operator(500),
            "acceleration 500.0 cannot be had",
        ),
        (
            lambda: RadialMRI(64, mask_by="rays").operator(7.5),
            "level 7.5 counts rays",
        ),
        (lambda: RadialMRI(64).operators(()), "no level of mri_radial given"),
    ],
)
def test_bad_options_and_levels_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_shapes_are_refused():
    degradation = make_degradation("mri_radial", size=SIZE)
    operator, key = degradation.operator(4), jax.random.key(0)
    with pytest.raises(
        ValueError, match=r"image has shape \(1, 16, 16, 1\), expected \[B, 32, 32, 1\]"
    ):
        degradation(operator, jnp.zeros((1, 16, 16, 1)), digests(1), key)
    with pytest.raises(ValueError, match=r"example_id has shape \(3, 2\), expected \(2, 2\)"):
        degradation(operator, jnp.zeros((2, SIZE, SIZE, 1)), digests(3), key)
