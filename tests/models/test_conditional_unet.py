"""The conditional U-Net: parameter count, parity with PyTorch in the published key names, padding,
time, patches.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.torch_irsde import TorchConditionalUNet
from fairrecon_jax.models import ConditionalUNet, convert, init_network
from fairrecon_jax.models.conditional_unet import (
    LinearAttention,
    depth_to_space,
    double,
    space_to_depth,
)
from tests.support.torch_networks import randomise, torch

RANDOM = np.random.default_rng(0)
X, COND = (RANDOM.random((2, 16, 24, 1), np.float32) for _ in range(2))
T = np.array([3.0, 88.0], np.float32)


def fresh(network, x=X):
    return {"params": init_network(network, "net", jax.random.key(0), x, x, T)["params"]["net"]}


def test_published_parameter_count():
    image = jnp.zeros((1, 32, 32, 1))
    shapes = jax.eval_shape(
        lambda: ConditionalUNet().init(jax.random.key(0), image, image, jnp.zeros(1))
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 137_133_825


def test_the_torch_reference_has_the_published_size():
    with torch.device("meta"):
        assert sum(p.numel() for p in TorchConditionalUNet(64, 4).parameters()) == 137_133_825


@pytest.mark.parametrize(("width", "depth"), [(4, 1), (4, 3)])
def test_parity_with_pytorch(width, depth):
    module = randomise(TorchConditionalUNet(width, depth))
    state = {key: value.numpy().copy() for key, value in module.state_dict().items()}
    network = ConditionalUNet(1, width, depth)
    variables = convert(network, state)
    with torch.no_grad():
        inputs = [torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in (X, COND)]
        expected = module(*inputs, torch.from_numpy(T)).numpy().transpose(0, 2, 3, 1)
    actual = jax.jit(network.apply)({"params": variables["params"]}, X, COND, T)
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_missing_left_over_and_misshapen_keys_are_named():
    state = {key: value.numpy() for key, value in TorchConditionalUNet(4, 2).state_dict().items()}
    state["ups.0.0.block1.projX.weight"] = state.pop("ups.0.0.block1.proj.weight")
    state["downs.0.2.fn.norm.g"] = np.zeros((1, 5, 1, 1))
    with pytest.raises(ValueError, match=r"missing 'ups\.0\.0\.block1\.proj\.weight'") as error:
        convert(ConditionalUNet(1, 4, 2), state)
    assert "unexpected 'ups.0.0.block1.projX.weight'" in str(error.value)
    assert "'downs.0.2.fn.norm.g' has shape (1, 5, 1, 1)" in str(error.value)
    assert "down0_attention/norm/scale is (4,)" in str(error.value)


@pytest.mark.parametrize(("attention", "patch"), [(True, 1), (False, 2)])
def test_pads_by_reflection_and_cuts_back(attention, patch):
    network = ConditionalUNet(1, 4, 2, attention, patch)
    x, cond = X[:, :13, :18], COND[:, :13, :18]
    missing = [-size % (4 * patch) for size in (13, 18)]
    widths = ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0))
    run, variables = jax.jit(network.apply), fresh(network)
    whole = run(
        variables, np.pad(x, widths, mode="reflect"), np.pad(cond, widths, mode="reflect"), T
    )
    actual = run(variables, x, cond, T)
    assert actual.shape == (2, 13, 18, 1)
    np.testing.assert_allclose(actual, whole[:, :13, :18], atol=1e-4)
    with pytest.raises(ValueError, match="too small to be extended"):
        jax.eval_shape(network.apply, variables, x[:, :1], cond[:, :1], T)


def test_sees_time_condition_and_difference():
    network = ConditionalUNet(1, 4, 2, False)
    variables, run = fresh(network), jax.jit(network.apply)
    base = run(variables, X, COND, T)
    for other in (
        run(variables, X, COND, T[::-1]),
        run(variables, X, COND[::-1], T),
        run(variables, X[::-1], COND, T),
    ):
        assert float(jnp.abs(other - base).max()) > 1e-3


def test_each_example_is_its_own():
    network = ConditionalUNet(1, 4, 2)
    variables, run = fresh(network), jax.jit(network.apply)
    whole = run(variables, X, COND, T)
    np.testing.assert_allclose(
        run(variables, X[1:], COND[1:], T[1:]), whole[1:], atol=1e-4 * float(jnp.abs(whole).max())
    )


def test_attention_is_the_quadratic_sum_and_blind_to_position():
    """Equal to softmax-kernel attention written with the full pixel x pixel matrix; permuting
    pixels permutes the result.
    """
    network, x = LinearAttention(), jax.random.normal(jax.random.key(0), (1, 4, 6, 8))
    params = network.init(jax.random.key(1), x)["params"]
    actual = network.apply({"params": params}, x).reshape(24, 8)
    flat = np.asarray(x, np.float64).reshape(24, 8)
    normal = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + 1e-5)
    q, k, v = np.moveaxis(
        (normal @ np.asarray(params["to_qkv"]["kernel"], np.float64)[0, 0]).reshape(24, 3, 4, 32),
        1,
        0,
    )
    q = np.exp(q) / np.exp(q).sum(-1, keepdims=True) / np.sqrt(32)
    k = np.exp(k) / np.exp(k).sum(0, keepdims=True)
    weights = np.einsum("nhd,mhd->hnm", q, k)
    y = (
        np.einsum("hnm,mhe->nhe", weights, v / 24).reshape(24, 128)
        @ np.asarray(params["to_out"]["kernel"], np.float64)[0, 0]
    )
    y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(actual, y, atol=2e-3)  # the last norm divides by a small deviation
    flipped = network.apply({"params": params}, x[:, ::-1])[:, ::-1].reshape(24, 8)
    np.testing.assert_allclose(flipped, actual, atol=1e-4)


def test_blocks_become_channels_and_back():
    x = RANDOM.random((2, 6, 9, 2), np.float32)
    deep = space_to_depth(x, 3)
    assert deep.shape == (2, 2, 3, 18)
    np.testing.assert_array_equal(deep[0, 1, 2].reshape(3, 3, 2), x[0, 3:6, 6:9])
    np.testing.assert_array_equal(depth_to_space(deep, 3), x)
    np.testing.assert_array_equal(double(x), x.repeat(2, axis=1).repeat(2, axis=2))


def test_bfloat16_keeps_parameters_and_result_in_float32():
    network = ConditionalUNet(1, 4, 2, dtype=jnp.bfloat16)
    variables = fresh(network)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    rough = jax.jit(network.apply)(variables, X, COND, T)
    exact = jax.jit(ConditionalUNet(1, 4, 2).apply)(variables, X, COND, T)
    assert rough.dtype == jnp.float32
    assert 0 < float(jnp.abs(rough - exact).max()) < 0.2 * float(jnp.abs(exact).max())
