"""What all degradations share: words, reproducible noise, one program for all levels, errors."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.physics import interface
from fairrecon_jax.physics.cartesian import CartesianMRI
from fairrecon_jax.physics.gaussian import GaussianNoise
from fairrecon_jax.physics.interface import BaseDegradation, Degradation
from fairrecon_jax.physics.sparse_view import SparseViewXray
from fairrecon_jax.runtime.devices import map_rows
from tests.support.kinds import MILD_TO_HARSH, SIZE, compiled, digests, inputs, psnr
from tests.support.physics_images import noise, shepp_logan

every_kind = pytest.mark.parametrize("degradation", MILD_TO_HARSH)
CLOSE = {"atol": 1e-5}


@every_kind
def test_shape_range_and_effect(degradation):
    image, identity, key = inputs()
    for level in MILD_TO_HARSH[degradation]:
        out = compiled(degradation)(degradation.operator(level), image, identity, key)
        assert (out.shape, out.dtype) == (image.shape, jnp.float32)
        assert (float(out.min()) >= 0, float(out.max()) <= 1) == (True, True)
        assert float(jnp.abs(out - image).mean()) > 0.01


@every_kind
def test_the_same_image_whatever_batch_size_order_or_compilation(degradation):
    image, identity, key = inputs()
    operator, call = degradation.operator(MILD_TO_HARSH[degradation][1]), compiled(degradation)
    whole = np.asarray(call(operator, image, identity, key))
    np.testing.assert_allclose(degradation(operator, image, identity, key), whole, **CLOSE)
    order = np.array([2, 0, 3, 1])
    shuffled = call(operator, image[order], identity[order], key)
    np.testing.assert_allclose(shuffled, whole[order], **CLOSE)
    np.testing.assert_allclose(call(operator, image[3:], identity[3:], key), whole[3:], **CLOSE)


@every_kind
def test_the_same_image_on_four_devices(degradation):
    if jax.local_device_count() < 4:
        pytest.skip(f"needs 4 devices, there are {jax.local_device_count()}")
    image, identity, key = inputs()

    def rows(shared, batch):
        return degradation(shared["operator"], batch["image"], batch["example_id"], shared["key"])

    shared = {"operator": degradation.operator(MILD_TO_HARSH[degradation][1]), "key": key}
    batch = {"image": image, "example_id": identity}
    one = compiled(degradation)(shared["operator"], image, identity, key)
    np.testing.assert_allclose(map_rows(rows, 4)(shared, batch), one, **CLOSE)


@every_kind
def test_a_second_level_does_not_recompile(degradation):
    image, identity, key = inputs()
    call = jax.jit(lambda *arguments: degradation(*arguments))
    levels = MILD_TO_HARSH[degradation]
    outs = [call(degradation.operator(level), image, identity, key) for level in levels]
    assert call._cache_size() == 1
    assert float(jnp.abs(outs[0] - outs[1]).max()) > 1e-3


@every_kind
def test_several_levels_at_once_equal_one_by_one(degradation):
    image, identity, key = inputs()
    levels = MILD_TO_HARSH[degradation]
    operators = degradation.operators(levels)
    together = jax.jit(degradation.at_levels)(operators, image, identity, key)
    assert together.shape == (3, 4, SIZE, SIZE, 1)
    for row, level in enumerate(levels):
        alone = compiled(degradation)(degradation.operator(level), image, identity, key)
        np.testing.assert_allclose(together[row], alone, **CLOSE)


@every_kind
def test_noise_is_that_of_the_example_the_level_and_the_key(degradation):
    image, identity, key = inputs()
    image = np.repeat(image[:1], 4, axis=0)
    call, operator = compiled(degradation), degradation.operator(MILD_TO_HARSH[degradation][1])
    first = np.asarray(call(operator, image, identity, key))
    np.testing.assert_array_equal(first, call(operator, image, identity, key))
    differs = [
        np.abs(first[0] - first[1]).max(),
        np.abs(first - call(operator, image, identity, jax.random.key(8))).max(),
    ]
    if "level_word" not in operator:
        assert max(differs) < 1e-5
        return
    other = {**operator, "level_word": interface.level_word(77.0)}
    differs.append(np.abs(first - call(other, image, identity, key)).max())
    assert min(differs) > 1e-2


@every_kind
def test_a_worse_level_is_worse_on_an_image(degradation):
    levels = MILD_TO_HARSH[degradation]
    assert (levels[0] < levels[-1]) == (degradation.worse == "higher")
    image = np.repeat(shepp_logan(SIZE).astype(np.float32)[None, :, :, None], 16, axis=0)
    operators = degradation.operators(levels)
    out = jax.jit(degradation.at_levels)(operators, image, digests(16), jax.random.key(0))
    quality = [psnr(image, one).mean() for one in out]
    assert np.all(np.diff(quality) < -0.5)


@every_kind
def test_derivative_with_respect_to_the_image(degradation):
    """Against a central difference along one direction, where nothing is cut off."""
    operator, identity = degradation.operator(MILD_TO_HARSH[degradation][0]), digests(1)
    if isinstance(degradation, SparseViewXray):
        degradation = dataclasses.replace(degradation, method="matmul")
    shape = np.hanning(SIZE)[:, None] * np.hanning(SIZE)[None]
    image = 0.4 * np.asarray(shape, np.float32)[None, :, :, None] + 0.3

    def loss(value):
        return jnp.sum(compiled(degradation)(operator, value, identity, jax.random.key(1)) ** 2)

    direction = shape[None, :, :, None] * (noise(SIZE, 1, seed=5)[..., None] - 0.5)
    slope = float(jnp.vdot(jax.grad(loss)(jnp.asarray(image)), direction))
    difference = (loss(image + 1e-2 * direction) - loss(image - 1e-2 * direction)) / 2e-2
    assert slope == pytest.approx(float(difference), rel=2e-2)


@every_kind
def test_words_and_identity(degradation):
    assert isinstance(degradation, Degradation)
    assert all(getattr(degradation, word) for word in ("kind", "title", "unit"))
    assert degradation.worse in ("higher", "lower")
    assert degradation.modality in ("mri", "xray", "any")
    again = dataclasses.replace(degradation)
    assert (again, hash(again)) == (degradation, hash(degradation))
    with pytest.raises(dataclasses.FrozenInstanceError):
        degradation.size = 64


def test_kinds_are_told_apart():
    assert len({degradation.kind for degradation in MILD_TO_HARSH}) == 3
    assert len({hash(degradation) for degradation in MILD_TO_HARSH}) == len(MILD_TO_HARSH)


def test_a_class_without_its_physics_is_no_degradation():
    with pytest.raises(TypeError, match="abstract"):
        BaseDegradation(32)
    assert not isinstance(object(), Degradation)


def test_level_word_holds_the_level():
    word = interface.level_word(3e3)
    assert (word.dtype, word.shape) == (np.uint32, ())
    assert word.view(np.float32) == np.float32(3e3)
    assert GaussianNoise(SIZE).operator(0.1)["level_word"] == interface.level_word(0.1)


@every_kind
@pytest.mark.parametrize("level", [0, -4.0, float("nan"), float("inf")])
def test_levels_are_positive_numbers(degradation, level):
    with pytest.raises(ValueError, match=f"level {level} of {degradation.kind} must be a positive"):
        degradation.operator(level)


@every_kind
def test_bad_shapes_and_no_levels_are_refused(degradation):
    operator, key = degradation.operator(MILD_TO_HARSH[degradation][0]), jax.random.key(0)
    with pytest.raises(ValueError, match=r"image has shape \(1, 16, 16, 1\), expected \[B, 32,"):
        degradation(operator, jnp.zeros((1, 16, 16, 1)), digests(1), key)
    with pytest.raises(ValueError, match=r"example_id has shape \(3, 2\), expected \(2, 2\)"):
        degradation(operator, jnp.zeros((2, SIZE, SIZE, 1)), digests(3), key)
    with pytest.raises(ValueError, match=f"no level of {degradation.kind} given"):
        degradation.operators(())


@pytest.mark.parametrize("kind", [CartesianMRI, GaussianNoise, SparseViewXray])
@pytest.mark.parametrize("size", [63, 2, 0, -4])
def test_sizes_are_even(kind, size):
    with pytest.raises(ValueError, match=f"size {size} must be an even number of at least 4"):
        kind(size)
