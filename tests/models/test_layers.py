"""The rewritten layers are the Flax layers they replace, gradients included."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.models.layers import (
    Normalise,
    UpConv2x2,
    UpConv3x3,
    batch_norm,
    max_pool_2x2,
    max_pool_3x3_stride_2,
)


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def value_and_pullback(function, x, seed=9):
    """The value and the gradient for one random direction of the output."""
    direction = normal(seed, *jax.eval_shape(function, x).shape)

    @jax.jit
    def run(x, direction):
        value, pull = jax.vjp(function, x)
        return value, pull(direction)[0]

    return run(x, direction)


def test_pooling_of_2x2_windows():
    x = normal(0, 2, 6, 8, 3)
    ours = value_and_pullback(max_pool_2x2, x)
    theirs = value_and_pullback(lambda x: nn.max_pool(x, (2, 2), (2, 2)), x)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pooling_after_relu_has_the_same_gradient_despite_ties():
    x = normal(0, 2, 6, 8, 3)
    ours = value_and_pullback(lambda x: max_pool_2x2(nn.relu(x)), x)
    theirs = value_and_pullback(lambda x: nn.max_pool(nn.relu(x), (2, 2), (2, 2)), x)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_pooling_refuses_odd_sizes():
    with pytest.raises(ValueError, match="even height and width, got 5x8"):
        max_pool_2x2(jnp.zeros((1, 5, 8, 1)))


@pytest.mark.parametrize(("height", "width"), [(8, 6), (7, 9), (2, 3), (1, 4)])
def test_pooling_of_3x3_windows(height, width):
    x = normal(1, 2, height, width, 3)
    ours = value_and_pullback(max_pool_3x3_stride_2, x)
    theirs = value_and_pullback(lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))), x)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(8, 7), (3, 31), (4, 3)])
def test_pooling_of_3x3_windows_without_border(height, width):
    x = normal(1, 2, height, width, 3)
    ours = value_and_pullback(lambda x: max_pool_3x3_stride_2(x, padding=0), x)
    theirs = value_and_pullback(lambda x: nn.max_pool(x, (3, 3), (2, 2)), x)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_transposed_convolution():
    """Values, and gradients with respect to input, kernel and bias, up to reversing the kernel's
    spatial axes.
    """
    x, flax_layer, our_layer = (
        normal(2, 2, 3, 4, 5),
        nn.ConvTranspose(6, (2, 2), (2, 2)),
        UpConv2x2(6),
    )
    params = {"kernel": normal(3, 2, 2, 5, 6), "bias": normal(4, 6)}

    def theirs(p, x):
        return flax_layer.apply(
            {"params": {"kernel": p["kernel"][::-1, ::-1], "bias": p["bias"]}}, x
        )

    def ours(p, x):
        return our_layer.apply({"params": p}, x)

    direction = normal(5, 2, 6, 8, 6)

    def run(function):
        value, pull = jax.vjp(function, params, x)
        return value, pull(direction)

    a, b = (jax.jit(run, static_argnums=0)(function) for function in (ours, theirs))
    jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, atol=1e-4), a, b)


def test_transposed_convolution_has_one_bias_per_output_channel():
    params = jax.eval_shape(UpConv2x2(6).init, jax.random.key(0), jnp.zeros((1, 3, 4, 5)))["params"]
    shapes = jax.tree.map(lambda leaf: leaf.shape, params)
    assert shapes == {"kernel": (2, 2, 5, 6), "bias": (6,)}


def test_group_normalisation_takes_the_largest_number_of_groups_that_divides():
    x = 3.0 + 2.0 * normal(6, 2, 4, 4, 6)
    layer = Normalise("group", groups=4)
    y = jax.jit(lambda x: layer.init_with_output(jax.random.key(0), x)[0])(x)
    per_group = np.asarray(y).reshape(2, 16, 3, 2)
    np.testing.assert_allclose(per_group.mean(axis=(1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(per_group.std(axis=(1, 3)), 1, atol=1e-3)


def test_batch_normalisation_over_a_mapped_axis_is_that_of_the_whole_batch():
    x = 3.0 + 2.0 * normal(7, 8, 4, 4, 3)
    layer = Normalise("batch", axis_name="batch")
    variables = layer.init(jax.random.key(0), x)
    assert set(variables) == {"params", "batch_stats"}

    def run(x):
        return layer.apply(variables, x, True, mutable=["batch_stats"])

    parts, statistics = jax.jit(jax.vmap(run, axis_name="batch"))(x.reshape(4, 2, 4, 4, 3))
    whole, expected = jax.jit(
        lambda x: Normalise("batch").apply(variables, x, True, mutable=["batch_stats"])
    )(x)
    np.testing.assert_allclose(parts.reshape(x.shape), whole, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-5), statistics, expected)


def test_no_normalisation_is_the_identity_and_unknown_kinds_are_refused():
    x = normal(8, 1, 2, 2, 3)
    assert Normalise(None).init(jax.random.key(0), x) == {}
    np.testing.assert_array_equal(Normalise(None).apply({}, x), x)
    with pytest.raises(ValueError, match="unknown normalisation 'layer'"):
        Normalise("layer").init(jax.random.key(0), x)


@pytest.mark.parametrize("layer", [max_pool_2x2, max_pool_3x3_stride_2])
def test_pooling_hands_on_what_is_not_a_number(layer):
    x = normal(6, 1, 8, 8, 1).at[0, 2, 4, 0].set(jnp.nan)
    assert int(jnp.isnan(layer(x)).sum()) == 1
    assert int(jnp.isnan(jax.vjp(layer, x)[0]).sum()) == 1


@pytest.mark.parametrize("layer", [max_pool_2x2, max_pool_3x3_stride_2])
def test_the_gradient_of_pooling_is_whole_however_little_the_compiler_optimises(layer):
    """Without optimisation the normalised entries are computed anew for the gradient, and rounded
    differently.
    """
    x, params = normal(7, 4, 16, 16, 8), {"scale": normal(8, 8), "bias": normal(9, 8)}
    norm = Normalise("batch")
    fresh = norm.init(jax.random.key(0), x)
    variables = fresh | {"params": {"batch": params}}

    def loss(variables, x):
        y, _ = norm.apply(
            variables,
            nn.Conv(8, (3, 3)).apply({"params": {"kernel": kernel, "bias": bias}}, x),
            True,
            mutable=["batch_stats"],
        )
        return jnp.sum(jnp.sin(layer(nn.relu(y))))

    kernel, bias = normal(10, 3, 3, 8, 8), normal(11, 8)
    run = jax.grad(loss, (0, 1))
    quick, usual = (
        jax.jit(run, compiler_options={"xla_backend_optimization_level": level})(variables, x)
        for level in (0, 3)
    )
    size = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(usual))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * size, rtol=0), quick, usual
    )


def test_running_variances_move_as_in_pytorch_on_one_device_and_on_two():
    """8 values a channel: the increment is 8/7 of the biased variance's."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).random((2, 2, 2, 3), np.float32)
    layer = torch.nn.BatchNorm2d(3)
    layer(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    fresh = batch_norm(None, None).init(jax.random.key(0), x, use_running_average=True)

    def moved(axis, images):
        _, after = batch_norm(axis, None).apply(
            fresh, images, use_running_average=False, mutable=["batch_stats"]
        )
        return after["batch_stats"]

    one = moved(None, x)
    two = jax.vmap(lambda shard: moved("d", shard), axis_name="d", out_axes=0)(x[:, None])
    np.testing.assert_allclose(one["var"], layer.running_var, rtol=1e-6)
    np.testing.assert_allclose(one["mean"], layer.running_mean, rtol=1e-5)
    for half in range(2):
        np.testing.assert_allclose(two["var"][half], layer.running_var, rtol=1e-6)
    np.testing.assert_allclose(one["var"] - 0.9, 0.1 * x.var((0, 1, 2)) * 8 / 7, rtol=1e-5)


def test_a_doubling_of_3x3_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    peer = torch.nn.ConvTranspose2d(2, 3, 3, 2, 1, output_padding=1)
    x = normal(0, 1, 5, 4, 2)
    params = {
        "kernel": peer.weight.detach().numpy().transpose(2, 3, 0, 1),
        "bias": peer.bias.detach().numpy(),
    }
    found = UpConv3x3(3).apply({"params": params}, x)
    wanted = peer(torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy())).detach().numpy()
    np.testing.assert_allclose(found, wanted.transpose(0, 2, 3, 1), atol=1e-5)
