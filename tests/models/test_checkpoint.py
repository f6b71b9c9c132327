"""Files of weights as people have them: each kind is read, or refused in one line that helps."""

from __future__ import annotations

import argparse
import collections
import datetime
import os
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fairrecon_jax.models import DenseNet, UNet, convert, read_state
from fairrecon_jax.models.checkpoint import read_files
from fairrecon_jax.types import InputError
from tests.support.torch_networks import PaperUNet, TorchDenseNet, randomise, torch

NETWORK = UNet(1, 2, 1)
BatchNorm = UNet(1, 2, 1, "batch")


def state(seed: int = 0, norm: bool = False) -> dict:
    return dict(randomise(PaperUNet(2, 1, norm), seed).state_dict())


def prefixed(prefix: str, values: dict) -> dict:
    return {f"{prefix}{key}": value for key, value in values.items()}


def kernel(read: dict, network: UNet = NETWORK) -> np.ndarray:
    return np.asarray(convert(network, read)["params"]["down0"]["conv1"]["kernel"])


def expected(values: dict) -> np.ndarray:
    return values["d1.conv.conv1.weight"].numpy().transpose(2, 3, 1, 0)


RAW, AVERAGE = state(0), state(1)
ADAM = {"state": {0: {"exp_avg": torch.zeros(2, 2)}}, "param_groups": [{"lr": 0.1}]}

READ = {
    "plain.pth": RAW,
    "ending.ckpt": {"epoch": 3, "global_step": 5, "state_dict": RAW, "optimizer_states": [ADAM]},
    "ending.state": {"net": RAW, "optimizer": ADAM},
    "best.pth.tar": {"arch": "unet", "best": np.float64(0.3), "state_dict": RAW},
    "network.pt": {"network": RAW},
    "model_state.bin": {"model_state_dict": RAW, "optimizer_state_dict": ADAM},
    "average_without_tensors.pth": {"ema": {"decay": 0.99}, "use_ema": True, "model": RAW},
    "nested.pth": {"checkpoint": {"model": RAW, "epoch": 1}},
    "own_name.pth": {"reconstruction_net": RAW, "optimizer": ADAM},
    "arguments.pth": {"args": argparse.Namespace(lr=0.1, depth=[1]), "model": RAW},
    "lightning.ckpt": {
        "hyper_parameters": {"root": Path("data"), "more": SimpleNamespace(a=1)},
        "state_dict": prefixed("model.", RAW),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.3)}},
    },
    "objects.pth": {
        "model": RAW,
        "class_weights": torch.ones(2),
        "when": [
            datetime.datetime.now(datetime.UTC),
            datetime.timedelta(1),
            datetime.date(2020, 1, 1),
        ],
        "log": collections.defaultdict(list, {"loss": [0.1]}),
        "seen": collections.defaultdict(int, {"a": 1}),
        "last": collections.deque([1, 2], maxlen=3),
        "sorted": collections.OrderedDict(a={1}, b=frozenset((2,))),
        "names": np.array(["a", "b"]),
        "random": np.random.RandomState(0).get_state(),
    },
    "half.pth": prefixed("", {k: v.double() for k, v in RAW.items()}),
} | {
    f"prefix_{i}.pth": {"state_dict": prefixed(prefix, RAW)}
    for i, prefix in enumerate(
        ("network.", "module.network.", "_orig_mod.", "model.", "net.", "generator.", "netG.")
    )
}


@pytest.mark.parametrize("name", READ)
def test_wrappings_prefixes_and_endings(tmp_path, name):
    torch.save(READ[name], tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_state(tmp_path / name)
    np.testing.assert_array_equal(kernel(read), expected(RAW))


AVERAGED = {
    "basicsr.pth": {"params": RAW, "params_ema": AVERAGE},
    "diffusion.pth": {"step": 1, "model": RAW, "ema": AVERAGE},
    "timm.pth": {"epoch": 1, "state_dict": RAW, "state_dict_ema": AVERAGE},
    "decay.pth": {"model": RAW, "ema": {"decay": 0.9, "shadow": AVERAGE}},
    "module.pth": {"ema_model": prefixed("module.", AVERAGE), "net": RAW},
    "wrapped.pth": {
        "model": RAW,
        "ema": {
            "initted": torch.tensor(True),
            "step": torch.tensor(3),
            **prefixed("online_model.", RAW),
            **prefixed("ema_model.", AVERAGE),
        },
    },
    "capitals.pth": {"G": RAW, "G_EMA": AVERAGE},
    "keys.ckpt": {"state_dict": prefixed("model.", RAW) | prefixed("model_ema.", AVERAGE)},
    "inner_keys.ckpt": {
        "state_dict": prefixed("net.raw.", RAW) | prefixed("net.ema_model.", AVERAGE)
    },
    # latent diffusion keeps its averages as buffers, whose names have no dot
    "no_dots_ema.ckpt": {
        "state_dict": prefixed("model.", RAW)
        | prefixed("model_ema.", {key.replace(".", ""): value for key, value in AVERAGE.items()})
        | {"model_ema.decay": torch.tensor(0.99), "model_ema.num_updates": torch.tensor(7)}
    },
    "callback.ckpt": {
        "state_dict": prefixed("model.", RAW),
        "callbacks": {
            "ModelCheckpoint{'monitor': None}": {"best_k_models": {"a.ckpt": torch.tensor(0.3)}},
            "EMACallback": {"ema_state_dict": prefixed("model.", AVERAGE), "decay": 0.99},
        },
    },
    "swa_ema.ckpt": {
        "state_dict": prefixed("model.", RAW),
        "callbacks": {"StochasticWeightAveraging": {"average_model_state": AVERAGE}},
    },
    "weight_averaging_ema.ckpt": {
        "state_dict": prefixed("model.", AVERAGE),
        "current_model_state": prefixed("model.", RAW),
        "averaging_state": {"n_averaged": torch.tensor(4)},
    },
}


@pytest.mark.parametrize("name", AVERAGED)
def test_a_moving_average_beside_raw_weights_is_taken_and_said(tmp_path, name):
    torch.save(AVERAGED[name], tmp_path / name)
    with pytest.warns(UserWarning, match=rf"{name}: .* a moving average, are taken, and not"):
        read = read_state(tmp_path / name)
    np.testing.assert_array_equal(kernel(read), expected(AVERAGE))


def test_an_average_of_one_network_leaves_the_others_as_they_are(tmp_path):
    several = prefixed("net.", RAW) | prefixed("ema.", AVERAGE) | {"loss.weight": torch.ones(3)}
    torch.save({"state_dict": several}, tmp_path / "net.ckpt")
    with pytest.warns(UserWarning, match=r"'ema\.', a moving average"):
        read = read_state(tmp_path / "net.ckpt")
    assert sorted(read) == sorted([*prefixed("net.", RAW), "loss.weight"])
    key = "d1.conv.conv1.weight"
    np.testing.assert_array_equal(read[f"net.{key}"], AVERAGE[key].numpy())


def test_a_module_called_like_an_average_is_no_average(tmp_path):
    torch.save({**RAW, "ema.weight": torch.ones(3)}, tmp_path / "attention.pth")
    assert "ema.weight" in read_state(tmp_path / "attention.pth")


def test_an_average_alone_needs_no_word(tmp_path):
    for number, content in enumerate(
        (
            {"params_ema": AVERAGE},
            {"n_averaged": torch.tensor(4), **prefixed("module.", AVERAGE)},
        )
    ):
        torch.save(content, tmp_path / f"{number}.pth")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read = read_state(tmp_path / f"{number}.pth")
        np.testing.assert_array_equal(kernel(read), expected(AVERAGE))


def test_an_average_of_parameters_takes_its_statistics_from_the_raw_weights(tmp_path):
    raw, average = state(0, norm=True), state(1, norm=True)
    average = {key: value for key, value in average.items() if "running" not in key}
    torch.save({"model": raw, "ema": average}, tmp_path / "net.pth")
    with pytest.warns(UserWarning, match="moving average"):
        trees = convert(BatchNorm, read_state(tmp_path / "net.pth"))
    mean = trees["batch_stats"]["down0"]["norm1"]["batch"]["mean"]
    np.testing.assert_array_equal(mean, raw["d1.conv.norm1.running_mean"])
    np.testing.assert_array_equal(trees["params"]["down0"]["conv1"]["kernel"], expected(average))


def test_the_two_networks_of_a_gan_get_their_names(tmp_path):
    """As dictionaries or as prefixes."""
    for content in (
        {"net_G": RAW, "net_D": {"model.0.weight": torch.ones(2, 2)}, "epoch": 2},
        {"state_dict": prefixed("netG.module.", RAW) | {"netD.model.0.weight": torch.ones(2, 2)}},
    ):
        torch.save(content, tmp_path / "gan.pth")
        read = read_state(tmp_path / "gan.pth")
        assert {key.split(".")[0] for key in read} == {"generator", "discriminator"}
        assert "generator.d1.conv.conv1.weight" in read
        assert "discriminator.model.0.weight" in read
        with pytest.raises(InputError, match=r"strip the prefix generator\. .* and it fits"):
            convert(NETWORK, read)


FLOAT8 = {key: value.to(torch.float8_e4m3fn) for key, value in RAW.items()}
REFUSED = {
    "shadows.pth": (
        {"model": RAW, "ema": {"decay": 0.9, "shadow_params": [torch.ones(2)]}},
        "moving averages lie under 'ema', without the names of their parameters",
    ),
    "several.pth": ({"ema_0.9": RAW, "ema_0.99": RAW}, "'ema_0.9', 'ema_0.99', several of them"),
    "parts.pth": ({"encoder": RAW, "decoder": RAW}, "several dictionaries .* 'encoder', 'decoder'"),
    "float8.pth": (FLOAT8, r"'d1.conv.conv1.weight' is stored as float8_e4m3fn"),
    "sparse.pth": ({"a.weight": torch.eye(3).to_sparse()}, "'a.weight' is no plain array"),
    "list.pth": ([1, 2], "not a dictionary of tensors"),
    "numbers.pth": ({"epoch": 3, "loss": torch.tensor(0.1)}, "not a dictionary of tensors"),
    "whole.pth": (PaperUNet(2, 1), "an object of the class .*PaperUNet, whose code is not run"),
    "object.pth": ({"model": RAW, "config": pytest.Mark}, "an object of the class .*Mark"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, name):
    content, message = REFUSED[name]
    torch.save(content, tmp_path / name)
    with pytest.raises(InputError, match=message) as refused:
        read_state(tmp_path / name)
    text = str(refused.value)
    assert text.startswith(str(tmp_path / name))
    assert "\x1b" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"PK\x03\x04 cut off", "cannot be read as"),
        (bytes(range(256)) * 4, "cannot be read as"),
        (b"weights of a network", "cannot be read as"),
        (pickle.dumps({"a": np.ones(3)}, protocol=5), "cannot be read as"),
        (pickle.dumps({"a": 1}, protocol=2)[:-3], "cannot be read as"),
    ],
)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_broken_files(tmp_path, content, message, ending):
    path = tmp_path / f"net.{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        read_state(path)
    assert "\n" not in str(refused.value)
    # PyTorch's own message advises to run whatever the file holds
    assert "weights_only" not in str(refused.value)
    assert len(str(refused.value)) < 300 + len(str(path))


def test_safetensors_of_few_bits(tmp_path):
    from safetensors.torch import save_file

    save_file({k: v.bfloat16() for k, v in RAW.items()}, tmp_path / "half.safetensors")
    read = read_state(tmp_path / "half.safetensors")
    np.testing.assert_array_equal(
        kernel(read), expected({k: v.bfloat16().float() for k, v in RAW.items()})
    )
    save_file(FLOAT8, tmp_path / "quarter.safetensors")
    with pytest.raises(InputError, match="its weights are float8"):
        read_state(tmp_path / "quarter.safetensors")


class Malicious:
    def __init__(self, call, *arguments) -> None:
        self.made = call, arguments

    def __reduce__(self):
        return self.made


def test_nothing_in_a_file_is_run(tmp_path):
    mark = tmp_path / "mark"
    for call, argument in ((os.system, f"touch {mark}"), (eval, f"open({str(mark)!r}, 'w')")):
        torch.save({"model": RAW, "extra": Malicious(call, argument)}, tmp_path / "net.pth")
        with pytest.raises(InputError, match=r"net\.pth cannot be read as PyTorch weights"):
            read_state(tmp_path / "net.pth")
        assert not mark.exists()


def test_a_torchscript_program_is_sent_to_its_own_door(tmp_path):
    torch.jit.trace(PaperUNet(2, 1), torch.zeros(1, 1, 8, 8)).save(tmp_path / "net.pt")
    with pytest.raises(InputError, match="TorchScript program; use a diagnoser of kind callable"):
        read_state(tmp_path / "net.pt")
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="use a diagnoser of kind callable"):
        read_state(tmp_path / "net.onnx")


def test_two_networks_under_prefixed_and_plain_keys_are_refused():
    both = {**RAW, **prefixed("module.", AVERAGE)}
    arrays = {key: value.numpy() for key, value in both.items()}
    with pytest.raises(
        InputError, match=r"strip the prefix module\. .*unexpected 'module\.b\.conv1"
    ):
        convert(NETWORK, arrays)
    dense = {k: v.numpy() for k, v in TorchDenseNet(2, (1, 1), 1).state_dict().items()}
    twice = {k.replace("norm1", "norm.1"): v for k, v in dense.items()} | dense
    with pytest.raises(InputError, match="two networks: the same parameter is there under two"):
        convert(DenseNet(1, 2, (1, 1)), twice)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "has 1 of 36 values that are NaN"),
        (np.inf, "has 1 of 36 values that are infinite"),
        (1e300, "has 1 of 36 values that are infinite"),
    ],
)
def test_values_that_are_not_finite_are_named_with_their_key(value, message):
    arrays = {key: tensor.numpy().astype(np.float64) for key, tensor in RAW.items()}
    arrays["d1.conv.conv2.weight"].flat[3] = value
    with pytest.raises(InputError, match=rf"'d1\.conv\.conv2\.weight' {message}"):
        convert(NETWORK, arrays)


def test_values_that_fit_by_shape_but_not_by_meaning():
    arrays = {key: value.numpy().copy() for key, value in state(norm=True).items()}
    arrays["b.norm1.running_var"][:] = -1
    arrays["b.conv1.weight"] = np.ones_like(arrays["b.conv1.weight"], np.int8)
    with pytest.raises(InputError, match=r"'b\.norm1\.running_var' holds negative") as refused:
        convert(BatchNorm, arrays)
    assert "'b.conv1.weight' holds int8 instead of floating-point" in str(refused.value)


def test_three_equal_channels_are_their_sum():
    """The output of the network on the repeated image; a start of a training takes the mean."""
    module = randomise(PaperUNet(2, 1, channels=3)).eval()
    arrays = {key: value.numpy() for key, value in module.state_dict().items()}
    image = np.random.default_rng(0).random((2, 16, 16, 1), np.float32)
    with torch.no_grad():
        repeated = torch.from_numpy(image.transpose(0, 3, 1, 2).repeat(3, 1))
        wanted = module(repeated).numpy().transpose(0, 2, 3, 1)
    found = NETWORK.apply({"params": convert(NETWORK, arrays)["params"]}, image)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_no_file_and_one_that_is_no_list_are_refused():
    with pytest.raises(InputError, match="no file of weights is given"):
        read_files([])
    with pytest.raises(InputError, match=r"paths takes a list of files, got 'net\.pth'"):
        read_files("net.pth")


def test_several_files_are_one_state(tmp_path):
    keys = sorted(RAW)
    torch.save({key: RAW[key] for key in keys[:3]}, tmp_path / "a.pth")
    torch.save({key: RAW[key] for key in keys[3:]}, tmp_path / "b.pth")
    read, digests = read_files([tmp_path / "a.pth", tmp_path / "b.pth"])
    assert set(read) == set(RAW)
    assert set(digests) == {"a.pth", "b.pth"}
    with pytest.raises(InputError, match=r"b\.pth: .* are in another of the files too"):
        read_files([tmp_path / "b.pth", tmp_path / "b.pth"])
