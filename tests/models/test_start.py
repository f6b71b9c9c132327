"""Start values: the laws of PyTorch and of the published code, and what untrained networks give."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from fairrecon_jax.models import (
    ConditionalUNet,
    DenseNet,
    PatchDiscriminator,
    Pix2PixGenerator,
    ResNet,
    ResNetUNet,
    UNet,
    init_network,
)
from fairrecon_jax.models.start import draw, law
from tests.support.torch_networks import torch

nn, init = torch.nn, torch.nn.init


def default(layer):
    return layer.weight, layer.bias


def by(function, layer, **fields):
    function(layer.weight, **fields)
    return layer.weight, None


RELU = {"nonlinearity": "relu"}
LAWS = {
    "convolution": ("torch", "conv1", (3, 3, 64, 96), lambda: default(nn.Conv2d(64, 96, 3))),
    "dense": ("torch", "dense1", (300, 400), lambda: default(nn.Linear(300, 400))),
    "transposed": (
        "torch",
        "upconv0",
        (2, 2, 128, 64),
        lambda: default(nn.ConvTranspose2d(128, 64, 2, 2)),
    ),
    "head of a ResNet": ("resnet", "dense0", (300, 400), lambda: default(nn.Linear(300, 400))),
    "ResNet": (
        "resnet",
        "conv1",
        (3, 3, 64, 96),
        lambda: by(init.kaiming_normal_, nn.Conv2d(64, 96, 3), mode="fan_out", **RELU),
    ),
    "DenseNet": (
        "densenet",
        "conv1",
        (3, 3, 64, 96),
        lambda: by(init.kaiming_normal_, nn.Conv2d(64, 96, 3)),
    ),
    "U-Net": (
        "he",
        "conv1",
        (3, 3, 64, 96),
        lambda: by(init.kaiming_normal_, nn.Conv2d(64, 96, 3), **RELU),
    ),
    "decoder": (
        "segmentation_models",
        "decoder0_conv1",
        (3, 3, 64, 96),
        lambda: by(init.kaiming_uniform_, nn.Conv2d(64, 96, 3), mode="fan_in", **RELU),
    ),
    "head of a segmenter": (
        "segmentation_models",
        "head",
        (3, 3, 64, 96),
        lambda: by(init.xavier_uniform_, nn.Conv2d(64, 96, 3)),
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_laws_are_those_of_torch(name):
    start, module, shape, make = LAWS[name]
    torch.manual_seed(0)
    weight, bias = make()
    for leaf, theirs in (("kernel", weight), ("bias", bias)):
        found = law(start, ("params", module, leaf), shape, shape)
        if theirs is None:
            assert found == ("constant", 0, 0)
            continue
        values = theirs.detach().numpy().ravel()
        # the standard error of a deviation is below 1% of it from 5,000 values on
        tolerance = 0.02 if values.size > 5000 else 0.15
        assert found.deviation == pytest.approx(values.std(), rel=tolerance)
        # a uniform law ends at the root of 3 of its deviations, a normal one has values beyond 3
        ends = np.abs(values).max() / found.deviation
        assert (ends < 1.733) == (found.kind == "uniform")


NETWORKS = (UNet(1, 16, 1, "batch"), ResNetUNet(1, 18, 8), PatchDiscriminator(16, 2))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
def test_what_is_drawn_follows_the_law_of_the_network(network):
    fresh = init_network(network, "net", jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    leaves = flatten_dict({kind: tree["net"] for kind, tree in fresh.items()})
    start = getattr(network, "start", "torch")
    for path, leaf in leaves.items():
        kernel = leaves.get((*path[:-1], "kernel"))
        wanted = law(start, path, leaf.shape, () if kernel is None else kernel.shape)
        values = np.asarray(leaf, np.float64)
        # five standard errors of mean and deviation
        error = 5 * wanted.deviation / math.sqrt(values.size)
        assert abs(values.mean() - wanted.mean) <= error, path
        assert abs(values.std() - wanted.deviation) <= error, path
        if wanted.kind == "uniform":
            assert np.abs(values).max() <= 1.7321 * wanted.deviation, path


def test_two_kinds_of_law_share_no_number():
    shapes = {
        ("params", "conv1", "kernel"): (7, 7, 1, 64),
        ("params", "dense0", "kernel"): (64, 64),
    }
    found = draw("resnet", jax.random.key(0), shapes)
    normal, uniform = (np.asarray(leaf).ravel() for leaf in found.values())
    count = min(normal.size, uniform.size)
    assert abs(np.corrcoef(normal[:count], uniform[:count])[0, 1]) < 5 / math.sqrt(count)


def test_networks_that_were_trained_elsewhere_start_as_they_did_there():
    starts = {
        ResNet: "resnet",
        DenseNet: "densenet",
        ResNetUNet: "segmentation_models",
        Pix2PixGenerator: "gan",
        PatchDiscriminator: "gan",
        ConditionalUNet: "fan_in",
    }
    assert {network: network.start for network in starts} == starts
    assert law("fan_in", ("down0_conv", "kernel"), (4, 4, 9, 8), (4, 4, 9, 8)).deviation == 1 / 12


@pytest.mark.parametrize("seed", [0, 1])
def test_an_untrained_unet_of_the_paper_gives_values_of_the_size_of_images(seed):
    rng = np.random.default_rng(seed)
    # smooth, as images are: white noise would average out
    image = jnp.asarray(np.cumsum(rng.random((1, 64, 64, 1)), axis=1) / 64, jnp.float32)
    network = UNet()
    fresh = init_network(network, "net", jax.random.key(seed), image)
    output = jax.jit(network.apply)({"params": fresh["params"]["net"]}, image)
    assert 1e-3 < float(jnp.mean(output**2)) < 10
