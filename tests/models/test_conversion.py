"""PyTorch weights give the same outputs in Flax, and wrong state dicts are refused by name."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.models import DenseNet, ResNet, UNet, convert, read_state
from fairrecon_jax.types import InputError
from tests.support.torch_networks import (
    BasicBlock,
    Bottleneck,
    DoubleConvUNet,
    PaperClassifier,
    PaperUNet,
    TorchDenseNet,
    TorchResNet,
    randomise,
    torch,
)

TOLERANCE = 1e-4  # relative to the largest output: float32 sums in another order
# float64 up to the last layer, for a network so deep that PyTorch's own float32 is 9e-5 from it
DOUBLE = 1e-6


def arrays(module) -> dict[str, np.ndarray]:
    return {key: value.numpy().copy() for key, value in module.state_dict().items()}


def assert_parity(
    module, network, channels: int = 1, size: int = 32, tolerance: float = TOLERANCE
) -> dict:
    """Same outputs in both modes, and the same running averages after one training pass; in the
    module's precision.
    """
    randomise(module)
    dtype = arrays(module)["conv1.weight"].dtype if tolerance == DOUBLE else np.float32
    variables = jax.tree.map(
        lambda leaf: np.asarray(leaf, dtype), convert(network, arrays(module), channels)
    )
    images = np.random.default_rng(0).random((4, size, size, channels)).astype(dtype)
    theirs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    for train in (False, True):
        module.train(train)
        with torch.no_grad():
            expected = module(theirs).numpy()
        expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
        run = jax.jit(
            lambda v, x, train=train: network.apply(v, x, train=train, mutable=["batch_stats"])
        )
        actual, updated = run(variables, images)
        assert actual.shape == expected.shape
        np.testing.assert_allclose(
            actual, expected, atol=tolerance * np.abs(expected).max(), rtol=0
        )
    if variables["batch_stats"]:
        after = convert(network, arrays(module), channels)["batch_stats"]
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance * float(jnp.abs(a).max())),
            after,
            updated["batch_stats"],
        )
    return variables


@pytest.mark.parametrize("norm", [False, True])
def test_unet_of_the_paper(norm):
    assert_parity(PaperUNet(4, 3, norm), UNet(1, 4, 3, "batch" if norm else None))


@pytest.mark.parametrize("norm", [False, True])
def test_unet_of_double_convolutions(norm):
    assert_parity(DoubleConvUNet(4, 2, norm), UNet(1, 4, 2, "batch" if norm else None))


def test_unet_of_numbered_encoders():
    """The third layout is the first one under other names."""
    module = randomise(PaperUNet(4, 2, norm=True))
    names = {
        "d1.conv.": "encoder1.enc1",
        "d2.conv.": "encoder2.enc2",
        "b.": "bottleneck.bottleneck",
        "outputs.": "conv.",
    }
    names |= {
        "u1.conv.": "decoder2.dec2",
        "u2.conv.": "decoder1.dec1",
        "u1.up.": "upconv2.",
        "u2.up.": "upconv1.",
    }
    state = {}
    for key, value in arrays(module).items():
        start = next(s for s in names if key.startswith(s))
        state[names[start] + key.removeprefix(start)] = value
    network = UNet(1, 4, 2, "batch")
    jax.tree.map(
        np.testing.assert_array_equal, convert(network, state), convert(network, arrays(module))
    )


def test_resnet18_in_torchvision_names():
    assert_parity(TorchResNet(BasicBlock, (2, 2, 2, 2), 8, 5), ResNet(5, 18, 8), 3, 48)


def test_resnet50_in_torchvision_names():
    with jax.enable_x64():
        assert_parity(
            TorchResNet(Bottleneck, (3, 4, 6, 3), 8, 5).double(), ResNet(5, 50, 8), 3, 48, DOUBLE
        )


def test_resnet_with_the_head_of_the_paper():
    assert_parity(PaperClassifier(8, (16, 8), 2), ResNet(2, 18, 8, (16, 8)))


def test_densenet_in_torchvision_names():
    assert_parity(TorchDenseNet(4, (2, 3, 2), 3), DenseNet(3, 4, (2, 3, 2)), size=64)


def test_densenet_with_dotted_layer_names():
    state = arrays(randomise(TorchDenseNet(4, (1, 1), 3)))
    dotted = {
        key.replace("norm1", "norm.1").replace("conv2", "conv.2") if "denselayer" in key else key: v
        for key, v in state.items()
    }
    network = DenseNet(3, 4, (1, 1))
    assert "features.denseblock1.denselayer1.norm.1.weight" in dotted
    jax.tree.map(np.testing.assert_array_equal, convert(network, dotted), convert(network, state))


def test_colour_weights_serve_grey_images():
    """The mean over colours of the first kernel, and a head drawn afresh for another number of
    outputs.
    """
    state = arrays(randomise(TorchResNet(BasicBlock, (2, 2, 2, 2), 4, 1000)))
    network = ResNet(2, 18, 4, (8,))
    variables = convert(network, state, fresh_head=jax.random.key(3))
    kernel = variables["params"]["conv1"]["kernel"]
    np.testing.assert_allclose(
        kernel[:, :, 0], state["conv1.weight"].mean(axis=1).transpose(1, 2, 0), rtol=1e-6
    )
    assert variables["params"]["head"]["dense1"]["kernel"].shape == (8, 2)
    assert network.apply(variables, jnp.ones((1, 32, 32, 1))).shape == (1, 2)


def test_missing_left_over_and_misshapen_keys_are_named():
    network, state = UNet(1, 4, 2), arrays(PaperUNet(4, 2))
    bad = dict(state)
    bad["d2.conv.convX.weight"] = bad.pop("d2.conv.conv1.weight")
    bad["b.conv1.bias"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"missing 'd2\.conv\.conv1\.weight'") as error:
        convert(network, bad)
    assert "unexpected 'd2.conv.convX.weight'" in str(error.value)
    assert (
        "'b.conv1.bias' has shape (3,), which gives (3,) where params/bottom/conv1/bias is (16,)"
        in str(error.value)
    )
    with pytest.raises(ValueError, match="no known U-Net layout"):
        convert(network, {"stem.weight": np.zeros(3)})
    with pytest.raises(ValueError, match=r"missing 'd1\.conv\.norm1\.weight'"):
        convert(UNet(1, 4, 2, "batch"), state)
    with pytest.raises(
        TypeError, match="only UNet, ConditionalUNet, ResNet, DenseNet, AlexNet, Pix2Pix"
    ):
        convert(torch.nn.Identity(), state)


def test_a_long_list_of_problems_is_cut():
    with pytest.raises(ValueError, match="and 53 more"):
        convert(
            ResNet(1, 18, 8),
            {"conv1.weight": np.zeros((8, 1, 7, 7))} | {f"extra{i}": np.zeros(1) for i in range(2)},
        )


def test_files_with_and_without_torch(tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    state = arrays(randomise(PaperUNet(2, 1)))
    save_file(state, tmp_path / "weights.safetensors")
    wrapped = {
        "epoch": 3,
        "state_dict": {f"module.{k}": torch.from_numpy(v) for k, v in state.items()},
    }
    torch.save(wrapped, tmp_path / "weights.pth")
    for name in ("weights.safetensors", "weights.pth"):
        read = read_state(tmp_path / name)
        assert read.keys() == state.keys()
        for key in state:
            np.testing.assert_array_equal(read[key], state[key])
    torch.save({k: torch.from_numpy(v).bfloat16() for k, v in state.items()}, tmp_path / "half.pt")
    assert all(v.dtype == np.float32 for v in read_state(tmp_path / "half.pt").values())
    monkeypatch.setitem(sys.modules, "torch", None)
    assert read_state(tmp_path / "weights.safetensors").keys() == state.keys()
    with pytest.raises(InputError, match="needs PyTorch"):
        read_state(tmp_path / "weights.pth")


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        read_state(tmp_path / "none.pth")
    (tmp_path / "weights.txt").write_text("")
    with pytest.raises(ValueError, match=r"\.safetensors, \.pth"):
        read_state(tmp_path / "weights.txt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="not a dictionary of tensors"):
        read_state(tmp_path / "list.pt")
