"""Networks in the layouts of published packages: the same weights, the same output."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fairrecon_jax.models import (
    AlexNet,
    DenseNet,
    FastMriUNet,
    PatchDiscriminator,
    Pix2PixGenerator,
    ResidualUNet,
    ResNetUNet,
    alexnet,
    convert,
    init_network,
)
from fairrecon_jax.study.bundled import configuration
from fairrecon_jax.study.parse import parse
from fairrecon_jax.types import InputError
from tests.support.torch_networks import randomise, torch
from tests.support.torch_published import FastMri, SmpUNet

nn = torch.nn
TOLERANCE = 1e-4  # relative to the largest output: float32 sums in another order


def images(size: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).random((2, size, size, channels), np.float32)


def assert_parity(module, network, size: int, channels: int = 1) -> None:
    randomise(module).eval()
    state = {key: value.numpy().copy() for key, value in module.state_dict().items()}
    variables, x = convert(network, state, channels), images(size, channels)
    with torch.no_grad():
        wanted = module(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    wanted = wanted.transpose(0, 2, 3, 1) if wanted.ndim == 4 else wanted
    found = jax.jit(network.apply)(variables, x)
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE * np.abs(wanted).max(), rtol=0)


@pytest.mark.parametrize(("norm", "units"), [("INSTANCE", 0), ("INSTANCE", 2), ("BATCH", 1)])
def test_monai_unet(norm, units):
    nets = pytest.importorskip("monai.networks.nets")
    module = nets.UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=2,
        channels=(4, 8, 16),
        strides=(2, 2),
        num_res_units=units,
        norm=norm,
    )
    assert_parity(module, ResidualUNet(2, 4, 2, units, norm.lower()), 32)


class TorchAlexNet(nn.Module):
    """torchvision's `features`, and the head of ours."""

    def __init__(self, outputs: int, width: int, channels: int) -> None:
        super().__init__()
        a, b, c, d = width, 3 * width, 6 * width, 4 * width
        relu, pool = nn.ReLU(), nn.MaxPool2d(3, 2)
        self.features = nn.Sequential(
            *(nn.Conv2d(channels, a, 11, 4, 2), relu, pool),
            *(nn.Conv2d(a, b, 5, padding=2), relu, pool),
            *(nn.Conv2d(b, c, 3, padding=1), relu),
            *(nn.Conv2d(c, d, 3, padding=1), relu),
            *(nn.Conv2d(d, d, 3, padding=1), relu),
        )
        self.head_norm = nn.BatchNorm2d(d)
        self.head = nn.ModuleDict({"dense0": nn.Linear(d, outputs)})

    def forward(self, x):
        return self.head["dense0"](self.head_norm(self.features(x)).mean((2, 3)))


def test_alexnet_on_the_trunk_of_torchvision():
    assert_parity(TorchAlexNet(5, 8, 3), AlexNet(5, 8), 75, 3)
    shapes = jax.eval_shape(AlexNet().init, jax.random.key(0), images(64, 3))
    # torchvision's 61,100,840 without its three dense layers, the normalisation and the head
    trunk = 61_100_840 - (9216 * 4096 + 4096) - (4096 * 4096 + 4096) - (4096 * 1000 + 1000)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == trunk + 512 + 257
    with pytest.raises(ValueError, match="images of 30x64 pixels are too small for an AlexNet"):
        alexnet.check_size(30, 64)


def test_monai_densenet():
    nets = pytest.importorskip("monai.networks.nets")
    module = nets.DenseNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=3,
        init_features=8,
        growth_rate=4,
        block_config=(2, 3, 2),
    )
    assert_parity(module, DenseNet(3, 4, (2, 3, 2)), 64, channels=3)


def test_the_paper_segments_with_the_u_net_on_a_resnet34():
    model = parse(configuration("ucsf_pdgm")).diagnosers["tumor"].model
    network = model.network
    assert (network.depth, network.width, model.dice_weight) == (34, 64, 0.5)
    shapes = jax.eval_shape(lambda: init_network(network, "n", jax.random.key(0), images(32)))
    widths = [
        leaf["kernel"].shape[-1]
        for name, leaf in sorted(shapes["params"]["n"].items())
        if name.startswith("decoder") and name.endswith("conv2")
    ]
    assert widths == [256, 128, 64, 32, 16]


def test_smp_unet_with_a_resnet34():
    assert_parity(SmpUNet(4, 2), ResNetUNet(2, 34, 4), 64)


@pytest.mark.parametrize("size", [32, 27])
def test_fastmri_unet_of_even_and_odd_images(size):
    assert_parity(FastMri(4, 3), FastMriUNet(1, 4, 3), size)


def test_published_parameter_counts():
    """fastMRI's README gives 7.76 M at 32 channels; 24.43 M are those of a U-Net on ResNet-34,
    24,436,369 with three channels in segmentation_models_pytorch.
    """
    shapes = jax.eval_shape(
        lambda: (
            init_network(FastMriUNet(1, 32, 4), "n", jax.random.key(0), images(32)),
            init_network(ResNetUNet(1, 34, 64), "n", jax.random.key(0), images(32)),
            init_network(ResNetUNet(1, 34, 64), "n", jax.random.key(0), images(32, 3)),
        )
    )
    counts = [sum(leaf.size for leaf in jax.tree.leaves(one["params"])) for one in shapes]
    assert counts == [7_756_097, 24_430_097, 24_436_369]


class Block(nn.Module):
    """One level of the generator with instance norm, whose convolutions have biases."""

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, outermost: bool) -> None:
        super().__init__()
        self.outermost = outermost
        down = [] if outermost else [nn.LeakyReLU(0.2)]
        down += [nn.Conv2d(1 if outermost else outer, inner, 4, 2, 1)]
        down += [] if outermost or inside is None else [nn.InstanceNorm2d(inner)]
        wide = inner if inside is None else 2 * inner
        up = [nn.ReLU(), nn.ConvTranspose2d(wide, 1 if outermost else outer, 4, 2, 1)]
        up += [nn.Tanh()] if outermost else [nn.InstanceNorm2d(outer), nn.Dropout(0.5)]
        self.model = nn.Sequential(*down, *([] if inside is None else [inside]), *up)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], dim=1)


class Generator(nn.Module):
    """Takes and gives images in [0, 1], and works in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        inner = Block(8, 16, Block(16, 32, None, False), False)
        self.model = Block(1, 8, inner, True)

    def forward(self, x):
        return (self.model(2 * x - 1) + 1) / 2


def test_pix2pix_with_instance_norm_dropout_and_tanh():
    network = Pix2PixGenerator(1, 8, 3, dropout=0.5, norm="instance", tanh=True)
    assert_parity(Generator(), network, 32)


def test_running_statistics_of_instance_norms_are_left_out_and_said():
    state = dict(randomise(Generator()).state_dict())
    stem, width = "model.model.1.model.2", 16
    assert f"{stem}.weight" not in state
    state |= {f"{stem}.running_mean": torch.zeros(width), f"{stem}.running_var": torch.ones(width)}
    state[f"{stem}.num_batches_tracked"] = torch.tensor(3)
    plain = {key: value.numpy() for key, value in state.items()}
    network = Pix2PixGenerator(1, 8, 3, norm="instance", tanh=True)
    with pytest.warns(UserWarning, match="2 running statistics of instance norms, such as"):
        convert(network, plain)
    # of a batch norm, which has a scale, they are no surplus
    scaled = {**plain, f"{stem}.weight": np.ones(width), f"{stem}.bias": np.zeros(width)}
    with pytest.raises(InputError, match=rf"unexpected '{stem}.running_mean'"):
        convert(network, scaled)


def test_a_discriminator_with_instance_norm():
    module = nn.Module()
    module.model = nn.Sequential(
        nn.Conv2d(2, 4, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 8, 4, 1, 1),
        nn.InstanceNorm2d(8),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 1, 4, 1, 1),
    )
    module.forward = module.model.forward
    assert_parity(module, PatchDiscriminator(4, 1, "instance"), 16, channels=2)
