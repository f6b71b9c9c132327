"""The networks of Pix2Pix: published counts, parity with PyTorch in both modes and in gradients,
sizes, dropout.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.models import (
    PatchDiscriminator,
    Pix2PixGenerator,
    UpConv4x4,
    convert,
)
from fairrecon_jax.models.pix2pix import dropped, smallest_image

TOLERANCE = 1e-4  # relative to the largest output: float32 sums in another order


def shapes(network: nn.Module, size: int, channels: int):
    x = jnp.zeros((1, size, size, channels))
    variables = jax.eval_shape(lambda: network.init(jax.random.key(0), x))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), jax.eval_shape(
        network.apply, variables, x
    ).shape


@pytest.mark.parametrize(
    ("network", "channels", "count", "side"),
    [
        (Pix2PixGenerator(), 1, 41_822_849, 256),
        (Pix2PixGenerator(downsamplings=8), 1, 54_407_809, 256),
        (PatchDiscriminator(), 2, 2_764_609, 30),
    ],
)
def test_published_parameter_counts_and_sizes(network, channels, count, side):
    assert shapes(network, 256, channels) == (count, (1, side, side, 1))


def test_a_patch_has_70_pixels():
    """Pixels that can change one logit: the gradient of the middle one, with weights of one sign
    and no norm in the way.
    """
    network, x = PatchDiscriminator(2), jnp.ones((1, 96, 96, 2))
    variables = jax.tree.map(
        lambda leaf: np.ones(leaf.shape, np.float32),
        jax.eval_shape(network.init, jax.random.key(0), x),
    )
    gradient = jax.jit(jax.grad(lambda x: network.apply(variables, x)[0, 5, 5, 0]))(x)
    rows = np.flatnonzero(np.abs(gradient[0, ..., 0]).sum(1))
    assert rows.max() - rows.min() + 1 == 70


@pytest.mark.parametrize("bias", [True, False])
def test_transposed_convolution_of_4x4(bias):
    layer, theirs = UpConv4x4(3, bias), nn.ConvTranspose(3, (4, 4), (2, 2), "SAME", use_bias=bias)
    random = np.random.default_rng(0)
    x = jnp.asarray(random.standard_normal((2, 5, 3, 4), np.float32))
    weights = {"kernel": jnp.asarray(random.standard_normal((4, 4, 4, 3), np.float32))} | (
        {"bias": jnp.arange(3.0)} if bias else {}
    )
    direction = jnp.asarray(random.standard_normal((2, 10, 6, 3), np.float32))

    def value_and_gradients(function, x, weights):
        return jax.jit(
            jax.value_and_grad(lambda x, w: jnp.sum(function(x, w) * direction), (0, 1))
        )(x, weights)

    def reference(x, w):
        return theirs.apply({"params": {**w, "kernel": w["kernel"][::-1, ::-1]}}, x)

    np.testing.assert_allclose(
        layer.apply({"params": weights}, x), reference(x, weights), atol=1e-5
    )
    ours, expected = (
        value_and_gradients(lambda x, w: layer.apply({"params": w}, x), x, weights),
        value_and_gradients(reference, x, weights),
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def torch_pair(kind: str, width: int, depth: int):
    """A PyTorch module with random values, the same network here, its variables and channels."""
    networks = pytest.importorskip("torch_networks")
    module, network, channels = {
        "generator": lambda: (
            networks.TorchGenerator(width, depth),
            Pix2PixGenerator(1, width, depth),
            1,
        ),
        "discriminator": lambda: (
            networks.TorchDiscriminator(width, depth),
            PatchDiscriminator(width, depth),
            2,
        ),
    }[kind]()
    state = {
        key: value.numpy().copy() for key, value in networks.randomise(module).state_dict().items()
    }
    return networks.torch, module, network, convert(network, state, channels), channels


@pytest.mark.parametrize(
    ("kind", "width", "depth"), [("generator", 4, 6), ("discriminator", 4, 3), ("generator", 64, 7)]
)
def test_parity_with_pytorch(kind, width, depth):
    torch, module, network, variables, channels = torch_pair(kind, width, depth)
    size = 2 ** max(depth, 5)
    x = np.random.default_rng(1).random((2, size, size, channels), np.float32)
    modes = (False,) if width == 64 else (False, True)
    for train in modes:
        module.train(train)
        with torch.no_grad():
            expected = (
                module(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
                .numpy()
                .transpose(0, 2, 3, 1)
            )
        actual, updated = jax.jit(
            lambda v, x, t=train: network.apply(v, x, train=t, mutable=["batch_stats"])
        )(variables, x)
        np.testing.assert_allclose(
            actual, expected, atol=TOLERANCE * np.abs(expected).max(), rtol=0
        )
    if len(modes) == 2:
        state = {key: value.numpy() for key, value in module.state_dict().items()}
        after = convert(network, state, channels)["batch_stats"]
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(after),
            jax.tree.leaves(updated["batch_stats"]),
            strict=True,
        ):
            if path[-1].key == "mean":
                np.testing.assert_allclose(a, b, atol=TOLERANCE * float(jnp.abs(a).max()))


@pytest.mark.parametrize(("kind", "depth"), [("generator", 3), ("discriminator", 1)])
def test_gradients_agree_with_pytorch(kind, depth):
    torch, module, network, variables, channels = torch_pair(kind, 4, depth)
    x = np.random.default_rng(1).random((3, 16, 16, channels), np.float32)
    torch_x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    (module.train()(torch_x) ** 2).sum().backward()
    gradients = {name: value.grad.numpy() for name, value in module.named_parameters()}
    filled = {key: gradients.get(key, value.numpy()) for key, value in module.state_dict().items()}
    expected = convert(network, filled, channels)["params"]

    def loss(params, x):
        y, _ = network.apply(
            {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(y**2)

    actual, by_image = jax.jit(jax.grad(loss, (0, 1)))(variables["params"], x)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(float(jnp.abs(b).max()), 1.0))
    theirs = torch_x.grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(by_image, theirs, atol=1e-4 * np.abs(theirs).max())


def test_keys_that_are_missing_left_over_or_misshapen_are_named():
    networks = pytest.importorskip("torch_networks")
    state = {
        key: value.numpy() for key, value in networks.TorchGenerator(4, 4).state_dict().items()
    }
    with pytest.raises(
        ValueError, match=r"unexpected 'model\.model\.1\.model\.3\.model\.3\.model\.4\.weight'"
    ):
        convert(Pix2PixGenerator(1, 4, 3), state)
    missing = {key: value for key, value in state.items() if key != "model.model.1.model.5.weight"}
    with pytest.raises(ValueError, match=r"missing 'model\.model\.1\.model\.5\.weight'"):
        convert(Pix2PixGenerator(1, 4, 4), missing)
    with pytest.raises(
        ValueError,
        match=r"'model\.model\.0\.weight' has shape \(4, 1, 4, 4\), .* "
        r"where params/down0/kernel is \(4, 4, 1, 8\)",
    ):
        convert(Pix2PixGenerator(1, 8, 4), state)


def test_sizes_that_do_not_work_are_refused_before_anything_is_compiled():
    with pytest.raises(
        ValueError,
        match=r"24x32 pixels cannot be halved 4 times: choose a size that is a multiple of 16",
    ):
        jax.eval_shape(Pix2PixGenerator(1, 4, 4).init, jax.random.key(0), jnp.zeros((1, 24, 32, 1)))
    with pytest.raises(ValueError, match="at least 2 downsamplings, got 1"):
        shapes(Pix2PixGenerator(1, 4, 1), 8, 1)
    with pytest.raises(
        ValueError, match="16x16 pixels are too small for a discriminator of 3 layers: it needs 24"
    ):
        shapes(PatchDiscriminator(4), 16, 2)
    assert [shapes(PatchDiscriminator(4, n), smallest_image(n), 2)[1] for n in (1, 2, 3)] == [
        (1, 1, 1, 1)
    ] * 3


def test_dropout_is_keyed_by_example_and_only_in_training():
    network, x = Pix2PixGenerator(1, 2, 6, dropout=0.5), jnp.zeros((2, 64, 64, 1))
    variables, keys = (
        jax.eval_shape(network.init, jax.random.key(0), x),
        jax.random.split(jax.random.key(1), 2),
    )
    with pytest.raises(ValueError, match="one key per example"):
        jax.eval_shape(
            lambda v: network.apply(v, x, train=True, mutable=["batch_stats"]), variables
        )
    drawn = [
        str(
            jax.make_jaxpr(
                lambda v, t=train: network.apply(v, x, keys, train=t, mutable=["batch_stats"])
            )(variables)
        ).count("random_bits")
        for train in (False, True)
    ]
    assert drawn == [0, 1]  # one inner doubling of six halvings
    values = jnp.ones((2, 50, 50, 4))
    kept = dropped(values, 0.25, keys)
    assert set(np.unique(kept)) == {0.0, np.float32(1 / 0.75)}
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.02)
    np.testing.assert_array_equal(dropped(values[1:], 0.25, keys[1:])[0], kept[1])


def test_bfloat16_gives_float32_images():
    network, x = Pix2PixGenerator(1, 4, 3, dtype=jnp.bfloat16), jnp.zeros((1, 8, 8, 1))
    variables = jax.eval_shape(network.init, jax.random.key(0), x)
    assert jax.eval_shape(network.apply, variables, x).dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
