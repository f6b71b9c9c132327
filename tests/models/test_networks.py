"""Parameter counts, shapes and properties of the networks."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.models import DenseNet, ResNet, UNet, init_network
from fairrecon_jax.models.unet import reflect_to_multiple


def count(network, channels: int) -> int:
    shapes = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, 64, 64, channels)))
    )
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize(
    ("network", "channels", "expected"),
    [
        (UNet(), 1, 31_030_593),
        (ResNet(1000, 18), 3, 11_689_512),
        (ResNet(1000, 34), 3, 21_797_672),
        (ResNet(1000, 50), 3, 25_557_032),
        (
            ResNet(1, 50, hidden=(512, 256)),
            1,
            23_501_760 + 2048 * 512 + 512 + 512 * 256 + 256 + 256 + 1,
        ),
        (DenseNet(1000), 3, 7_978_856),
    ],
)
def test_published_parameter_counts(network, channels, expected):
    assert count(network, channels) == expected


def initialised(network, x):
    fresh = init_network(network, "net", jax.random.key(0), x)
    statistics = fresh["batch_stats"]["net"]
    return {"params": fresh["params"]["net"]} | ({"batch_stats": statistics} if statistics else {})


@pytest.mark.parametrize("norm", [None, "group", "batch"])
def test_unet_keeps_size_and_type(norm):
    network, x = UNet(2, 4, 2, norm, dtype=jnp.bfloat16), jnp.ones((1, 10, 13, 3))
    variables = initialised(network, x)
    y = jax.eval_shape(network.apply, variables, x)
    assert y.shape == (1, 10, 13, 2)
    assert y.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables["params"]))


def test_unet_pads_by_reflection_and_cuts_back():
    network, x = UNet(1, 4, 2), jax.random.normal(jax.random.key(1), (1, 10, 13, 1))
    variables = initialised(network, x)
    padded = np.pad(x, ((0, 0), (0, 2), (0, 3), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(reflect_to_multiple(x, 4), padded)
    run = jax.jit(network.apply)
    np.testing.assert_allclose(run(variables, x), run(variables, padded)[:, :10, :13], atol=1e-5)


def test_unet_refuses_images_that_cannot_be_reflected():
    with pytest.raises(ValueError, match=r"3x64 pixels is too small .* multiples of 16"):
        jax.eval_shape(UNet(1, 4, 4).init, jax.random.key(0), jnp.zeros((1, 3, 64, 1)))


def test_unet_ends_linear():
    """The last layer times -2 gives the output times -2, on both sides of zero."""
    network, x = UNet(1, 4, 1), jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    variables = initialised(network, x)
    turned = {
        "params": {
            **variables["params"],
            "head": jax.tree.map(lambda leaf: -2 * leaf, variables["params"]["head"]),
        }
    }
    run = jax.jit(network.apply)
    y = run(variables, x)
    assert float(jnp.abs(y).max()) > 0.01
    np.testing.assert_allclose(run(turned, x), -2 * y, rtol=1e-4, atol=1e-5)


def test_unet_moves_with_the_image():
    """Shifting by 2^depth pixels shifts the output, away from borders."""
    network, x = UNet(1, 4, 2), jax.random.normal(jax.random.key(1), (1, 64, 64, 1))
    variables = initialised(network, x)
    run = jax.jit(network.apply)
    y, shifted = run(variables, x), run(variables, jnp.roll(x, 4, axis=1))
    np.testing.assert_allclose(shifted[:, 28:40, 24:40], y[:, 24:36, 24:40], atol=1e-4)


@pytest.mark.parametrize(
    "network", [UNet(1, 4, 2, "batch"), ResNet(2, 18, 4), DenseNet(2, 4, (1, 1))]
)
def test_training_mode_uses_the_batch_and_updates_averages(network):
    x = 5.0 + jax.random.normal(jax.random.key(1), (4, 32, 32, 1))
    variables = initialised(network, x)
    run = jax.jit(network.apply, static_argnums=2, static_argnames="mutable")
    train, updated = run(variables, x, True, mutable=("batch_stats",))
    assert float(jnp.abs(train - run(variables, x, False)).max()) > 1e-3
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()), variables["batch_stats"], updated["batch_stats"]
    )
    assert all(jax.tree.leaves(moved))


def test_bfloat16_stays_near_float32():
    x = jax.random.uniform(jax.random.key(1), (2, 16, 16, 1))
    variables = initialised(UNet(1, 8, 2, "group"), x)
    exact, rough = (
        jax.jit(UNet(1, 8, 2, "group", dtype=t).apply)(variables, x)
        for t in (jnp.float32, jnp.bfloat16)
    )
    assert 0 < float(jnp.abs(exact - rough).max()) < 0.05 * float(jnp.abs(exact).max()) + 0.02


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_classifiers_take_any_size_and_channels(hidden):
    for network, shape in (
        (ResNet(3, 18, 4, hidden), (2, 33, 40, 1)),
        (DenseNet(3, 4, (1, 1), hidden), (2, 33, 40, 2)),
    ):
        variables = initialised(network, jnp.zeros(shape))
        assert jax.eval_shape(network.apply, variables, jnp.zeros(shape)).shape == (2, 3)
        assert ("dense1" in variables["params"]["head"]) == bool(hidden)


def test_unknown_depth_is_refused():
    with pytest.raises(ValueError, match=r"depth 20 is unknown; choose one of \[18, 34, 50\]"):
        jax.eval_shape(ResNet(1, 20).init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))


def test_start_values_are_the_same_compiled_and_differ_by_key():
    network, x = UNet(1, 4, 1), jnp.zeros((1, 8, 8, 1))

    def make(key):
        return init_network(network, "net", key, x)

    once, again = make(jax.random.key(0)), jax.jit(make)(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, once, again)
    other = make(jax.random.key(1))
    assert (
        once["params"]["net"]["head"]["kernel"] != other["params"]["net"]["head"]["kernel"]
    ).all()


def test_parameters_of_unknown_name_are_refused():
    class Odd(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x * self.param("temperature", nn.initializers.ones, ())

    with pytest.raises(ValueError, match="no start value for the parameter params/temperature"):
        init_network(Odd(), "odd", jax.random.key(0), jnp.zeros(2))
