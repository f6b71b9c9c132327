"""The convolution is `nn.Conv`: values, both gradients, parameters and initial values."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.models.convolution import Conv, convolve

CASES = {
    "pixel": (dict(features=5, size=1), (2, 7, 6, 3)),
    "pixel, no bias": (dict(features=5, size=1, use_bias=False), (2, 7, 6, 3)),
    "pixel, stride 2": (dict(features=5, size=1, stride=2, padding=0), (2, 7, 6, 3)),
    "pixel, padded": (dict(features=5, size=1, padding=1), (2, 4, 6, 3)),
    "pixel to one channel": (dict(features=1, size=1), (1, 1, 1, 1)),
    "3x3": (dict(features=5, size=3), (2, 7, 6, 1)),
    "3x3, stride 2": (dict(features=5, size=3, stride=2, padding=1), (2, 7, 6, 3)),
    "4x4, stride 2": (dict(features=5, size=4, stride=2, padding=1), (2, 8, 6, 3)),
    "4x4": (dict(features=1, size=4, padding=1, use_bias=False), (2, 5, 6, 3)),
    "7x7, stride 2": (dict(features=5, size=7, stride=2, padding=3), (2, 9, 12, 3)),
    "3x3, no padding": (dict(features=16, size=3, padding=0, use_bias=False), (2, 5, 4, 16)),
    "3x3, wide padding": (dict(features=16, size=3, padding=2), (2, 5, 4, 3)),
    "3x3, padding wider than the kernel": (dict(features=16, size=3, padding=3), (1, 3, 4, 16)),
    "many outputs": (dict(features=24, size=3), (7, 5, 6, 2)),
    "many outputs, one pixel": (dict(features=25, size=3), (1, 1, 1, 3)),
    "many outputs, no padding": (
        dict(features=24, size=3, padding=0, use_bias=False),
        (5, 5, 4, 3),
    ),
    "many outputs, wide padding": (dict(features=24, size=3, padding=2), (4, 5, 4, 3)),
    "many outputs, stride 2": (dict(features=24, size=3, stride=2, padding=1), (2, 5, 4, 3)),
}


def flax_conv(fields: dict, dtype=None) -> nn.Conv:
    fields = dict(fields)
    size, padding = fields.pop("size"), fields.pop("padding", None)
    return nn.Conv(
        kernel_size=(size, size),
        strides=fields.pop("stride", 1),
        padding="SAME" if padding is None else padding,
        dtype=dtype,
        **fields,
    )


def drawn(seed: int, shape: tuple[int, ...], dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def value_and_gradients(layer: nn.Module, variables: dict, x: jax.Array):
    """The output, and the gradients of a random combination of it with respect to parameters and
    input.
    """

    def run(variables, x):
        y, pull = jax.vjp(layer.apply, variables, x)
        return y, pull(drawn(1, y.shape, y.dtype))

    return jax.jit(run)(variables, x)


def assert_close(ours, theirs, relative: float) -> None:
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.abs(a - b).max() <= relative * np.abs(b).max()


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients(name, double):
    """To 1e-6 of the largest entry, 1e-12 in double precision."""
    fields, shape = CASES[name]
    with jax.enable_x64(double):
        dtype = np.float64 if double else np.float32
        layer, x = Conv(**fields), drawn(0, shape, dtype)
        shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
        variables = jax.tree.map(lambda leaf: drawn(leaf.ndim, leaf.shape, dtype), shapes)
        assert_close(
            *(value_and_gradients(each, variables, x) for each in (layer, flax_conv(fields))),
            1e-12 if double else 1e-6,
        )


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_called_and_shaped_alike(name):
    fields, shape = CASES[name]
    ours, theirs = (
        jax.eval_shape(layer.init, jax.random.key(3), jnp.zeros(shape))
        for layer in (Conv(**fields), flax_conv(fields))
    )
    assert ours == theirs


@pytest.mark.parametrize("name", ["pixel", "3x3", "many outputs, no padding"])
def test_initial_values(name):
    fields, shape = CASES[name]
    ours, theirs = (
        layer.init(jax.random.key(3), jnp.zeros(shape))
        for layer in (Conv(**fields), flax_conv(fields))
    )
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("name", ["pixel", "many outputs"])
def test_half_precision(name):
    """Both round every result to 8 bits, the order of the sums differs."""
    fields, shape = CASES[name]
    layer, x = Conv(**fields, dtype=jnp.bfloat16), drawn(0, shape)
    variables = layer.init(jax.random.key(0), x)
    assert_close(
        *(
            value_and_gradients(each, variables, x)
            for each in (layer, flax_conv(fields, jnp.bfloat16))
        ),
        2e-2,
    )


@pytest.mark.parametrize("name", ["pixel, stride 2", "many outputs"])
@pytest.mark.parametrize("mapped", [jax.vmap, jax.pmap])
def test_under_mapping_and_checkpointing(name, mapped):
    """Two shards with averaged gradients of a loss that also returns its output, recomputed on the
    way back.
    """
    fields, shape = CASES[name]
    layer, x = Conv(**fields), drawn(0, (2, *shape))
    variables = layer.init(jax.random.key(0), x[0])

    def loss(layer, variables, x):
        y = layer.apply(variables, x)
        return jnp.sum(jnp.sin(y)), y

    def step(layer, variables, x):
        recomputed = jax.checkpoint(functools.partial(loss, layer))
        gradient, y = jax.grad(recomputed, has_aux=True)(variables, x)
        return jax.lax.pmean(gradient, "batch"), y

    actual = mapped(
        functools.partial(step, layer), axis_name="batch", in_axes=(None, 0), out_axes=(None, 0)
    )(variables, x)

    def whole(variables):
        losses, y = zip(*(loss(flax_conv(fields), variables, part) for part in x), strict=True)
        return sum(losses) / len(losses), jnp.stack(y)

    assert_close(actual, jax.jit(jax.grad(whole, has_aux=True))(variables), 2e-6)


@pytest.mark.parametrize(("outputs", "convolutions"), [(16, 1), (24, 1 + 3)])
def test_weight_gradients_are_multiplied_or_split_on_cpus_only(outputs, convolutions):
    """The compiled gradient of few outputs holds no convolution whose kernel is as large as the
    image, that of many one for each part of five images; other platforms keep a single one.
    """
    x, kernel = jnp.zeros((5, 8, 8, 128)), jnp.zeros((3, 3, 128, outputs))
    traced = jax.jit(
        jax.grad(lambda kernel: jnp.sum(convolve(x, kernel, 1, ((1, 1), (1, 1))) ** 2))
    ).trace(kernel)
    counts = {
        platform: traced.lower(lowering_platforms=(platform,))
        .as_text()
        .count("stablehlo.convolution")
        for platform in ("cpu", "cuda")
    }
    assert counts == {"cpu": convolutions, "cuda": 2}
