"""PyTorch weights of a diagnoser: the same scores as the PyTorch network on the same image, and
what is refused.
"""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax

from fairrecon_jax.diagnosers import Preprocessing, make_diagnoser
from fairrecon_jax.diagnosers.imports import import_variables, start_variables
from fairrecon_jax.models import densenet
from fairrecon_jax.physics import describe
from fairrecon_jax.types import Attribute, CohortSpec, InputError, Task
from tests.support.torch_networks import (
    BasicBlock,
    DoubleConvUNet,
    PaperUNet,
    TorchDenseNet,
    TorchResNet,
    randomise,
    torch,
)
from tests.support.torch_published import SmpUNet, XrvDenseNet

SPEC = CohortSpec(
    "small",
    "Small",
    "xray",
    (
        Task("effusion", "classification"),
        Task("mass", "classification"),
        Task("lung", "segmentation"),
    ),
    (Attribute("sex", ("female", "male")),),
    describe("mri_radial", (4.0,), 4.0),
)
FINDINGS = ("effusion", "mass")
IMAGE = np.random.default_rng(0).random((2, 48, 48, 1), np.float32)
TOLERANCE = 1e-4


def saved(module, path, **more) -> str:
    torch.save({"state_dict": randomise(module).eval().state_dict(), **more}, path)
    return str(path)


def scores(module, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        found = module(torch.from_numpy(np.array(image).transpose(0, 3, 1, 2).copy())).numpy()
    return found.transpose(0, 2, 3, 1) if found.ndim == 4 else found


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def classifier(**fields):
    return make_diagnoser("classifier", SPEC, FINDINGS, **fields)


@pytest.fixture
def small_densenet(monkeypatch):
    """DenseNet-121 with fewer layers: the same layout, in a second instead of a minute."""
    blocks = (2, 3, 2)
    init = densenet.DenseNet.__init__

    def shallow(self, *args, **fields):
        init(self, *args, **{"blocks": blocks, **fields})

    monkeypatch.setattr(densenet.DenseNet, "__init__", shallow)
    return blocks


def test_torchxrayvision_range_resize_outputs_and_operating_points(tmp_path, small_densenet):
    module = randomise(XrvDenseNet(4, small_densenet, 18, 64)).eval()
    module.op_threshs[:] = torch.linspace(0.1, 0.8, 18)
    # for images of that range: other scores would all be 0 or 1
    module.features.conv0.weight.data /= 500
    torch.save(module.state_dict(), file := tmp_path / "xrv.pth")
    model = classifier(
        backbone="densenet121",
        width=8,
        preprocessing="torchxrayvision",
        input_size=64,
        outputs=("Effusion", "Mass"),
    )
    variables, facts = import_variables(model, [file], 48)
    assert len(facts["files"]["xrv.pth"]) == 64
    found = jax.jit(model.predict)(variables, IMAGE)
    wanted = scores(module, 2048.0 * IMAGE - 1024.0)[:, [7, 12]]
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)
    assert wanted.std() > 1e-3
    points = module.op_threshs[[7, 12]].numpy()
    bare = classifier(
        backbone="densenet121",
        width=8,
        preprocessing="torchxrayvision",
        input_size=64,
        outputs=(7, 12),
        op_norm=False,
    )
    with pytest.warns(UserWarning, match="op_norm is off"):
        raw = bare.predict(import_variables(bare, [file], 48)[0], IMAGE)
    assert not np.allclose(raw, found, atol=1e-3), f"operating points are {points}"
    module.op_threshs[12] = float("nan")
    torch.save(module.state_dict(), tmp_path / "untrained.pth")
    with pytest.raises(InputError, match=r"output 12, of task 'mass', has no operating point"):
        import_variables(model, [tmp_path / "untrained.pth"], 48)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [20, 64])
def test_resizing_is_that_of_pytorch(antialias, size):
    rule = "antialias" if antialias else "linear"
    found = Preprocessing(input_size=size, resize=rule)(IMAGE)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(IMAGE.transpose(0, 3, 1, 2).copy()),
        size=(size, size),
        mode="bilinear",
        antialias=antialias,
    ).numpy()
    np.testing.assert_allclose(np.asarray(found)[..., 0], wanted[:, 0], atol=1e-5)


def test_three_channels_with_mean_and_sd_of_each(tmp_path):
    """ImageNet's preprocessing of a repeated image; and one mean for all by the sum of kernels."""
    module = TorchResNet(BasicBlock, (2, 2, 2, 2), 4, 2)
    file = saved(module, tmp_path / "resnet.pth")
    model = classifier(backbone="resnet18", width=4, preprocessing="imagenet", input_size=0)
    mean, sd = (
        np.array(values, np.float32)
        for values in (model.preprocessing.mean, model.preprocessing.sd)
    )
    wanted = sigmoid(scores(module, (IMAGE.repeat(3, 3) - mean) / sd))
    variables, _ = import_variables(model, [file], 48)
    np.testing.assert_allclose(model.predict(variables, IMAGE), wanted, atol=TOLERANCE)
    grey = classifier(backbone="resnet18", width=4, mean=(0.4,), sd=(0.2,))
    wanted = sigmoid(scores(module, ((IMAGE - 0.4) / 0.2).repeat(3, 3)))
    variables, _ = import_variables(grey, [file], 48)
    assert variables["params"]["classifier"]["conv1"]["kernel"].shape == (7, 7, 1, 4)
    np.testing.assert_allclose(grey.predict(variables, IMAGE), wanted, atol=TOLERANCE)


def test_outputs_are_mapped_and_a_wrong_number_is_explained(tmp_path):
    module = TorchResNet(BasicBlock, (2, 2, 2, 2), 4, 5, 1)
    file = saved(module, tmp_path / "five.pth")
    fields = {"backbone": "resnet18", "width": 4}
    with pytest.raises(
        InputError,
        match=r"five\.pth: 'fc\.weight' has 5 outputs, and the diagnoser 2: set classes = 5 and "
        r"outputs to those of the tasks effusion, mass",
    ):
        import_variables(classifier(**fields), [file], 48)
    logits = scores(module, IMAGE)
    for activation, wanted in (
        ("sigmoid", sigmoid(logits)),
        ("softmax", softmax(logits, axis=1)),
    ):
        model = classifier(**fields, classes=5, outputs=(4, 1), activation=activation)
        variables, _ = import_variables(model, [file], 48)
        found = model.predict(variables, IMAGE)
        np.testing.assert_allclose(found, wanted[:, [4, 1]], atol=TOLERANCE)
    maps = model.maps(variables, IMAGE)
    np.testing.assert_allclose(model.head(variables, maps), logits[:, [4, 1]], atol=1e-3)


def test_monai_densenet_in_a_study(tmp_path, small_densenet):
    nets = pytest.importorskip("monai.networks.nets")
    module = nets.DenseNet(2, 1, 2, init_features=8, growth_rate=4, block_config=small_densenet)
    file = saved(module, tmp_path / "monai.pth")
    model = classifier(backbone="densenet121", width=8)
    variables, _ = import_variables(model, [file], 48)
    wanted = sigmoid(scores(module, IMAGE))
    np.testing.assert_allclose(model.predict(variables, IMAGE), wanted, atol=TOLERANCE)


def monai_unet():
    nets = pytest.importorskip("monai.networks.nets")
    return nets.UNet(2, 1, 2, (4, 8, 16), (2, 2), num_res_units=2, norm="BATCH")


SEGMENTERS = {
    "unet": (lambda: DoubleConvUNet(4, 2), {"width": 4, "depth": 2}, None),
    "no_norm": (lambda: PaperUNet(4, 2, False), {"width": 4, "depth": 2, "norm": None}, None),
    "smp": (lambda: SmpUNet(4, 1), {"backbone": "resnet34_unet", "width": 4}, None),
    "monai": (
        monai_unet,
        {
            "backbone": "residual_unet",
            "width": 4,
            "depth": 2,
            "classes": 2,
            "outputs": (1,),
            "activation": "softmax",
        },
        1,
    ),
}


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmenters(tmp_path, name):
    make, fields, output = SEGMENTERS[name]
    module = make()
    file = saved(module, tmp_path / "net.pth")
    model = make_diagnoser("segmenter", SPEC, ("lung",), **fields)
    variables, _ = import_variables(model, [file], 64)
    image = np.random.default_rng(1).random((2, 64, 64, 1), np.float32)
    logits = scores(module, image)
    if output is None:
        wanted = sigmoid(logits)
    else:
        wanted = softmax(logits, axis=-1)[..., [output]]
    found = jax.jit(model.predict)(variables, image)
    assert found.shape == (2, 64, 64, 1)
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


def test_masks_of_a_network_of_another_size_are_stretched_back():
    model = make_diagnoser("segmenter", SPEC, ("lung",), width=2, depth=1, input_size=16)
    variables = model.init(jax.random.key(0), {"image": IMAGE})
    assert model.predict(variables, IMAGE).shape == (2, 48, 48, 1)


def test_a_training_starts_from_the_trunk_of_a_file(tmp_path):
    """The mean over three channels, a head of its own; of a segmenter the encoder."""
    module = TorchResNet(BasicBlock, (3, 4, 6, 3), 4, 1000)
    file = saved(module, tmp_path / "imagenet.pth")
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    key = jax.random.key(3)
    kernel = state["conv1.weight"].mean(1, keepdims=True).transpose(2, 3, 1, 0)
    deep = state["layer4.0.conv1.weight"].transpose(2, 3, 1, 0)
    for model, name in (
        (classifier(backbone="resnet34", width=4), "classifier"),
        (
            make_diagnoser("segmenter", SPEC, ("lung",), backbone="resnet34_unet", width=4),
            "segmenter",
        ),
    ):
        started = start_variables(model, file, 64, key)
        fresh = model.init(key, {"image": jnp.zeros((1, 64, 64, 1))})
        assert jax.tree.structure(started) == jax.tree.structure(fresh)
        params = started["params"][name]
        np.testing.assert_allclose(params["conv1"]["kernel"], kernel, rtol=1e-5)
        np.testing.assert_array_equal(params["layer4_0"]["conv1"]["kernel"], deep)
        jax.tree.map(np.testing.assert_array_equal, params["head"], fresh["params"][name]["head"])
    plain = make_diagnoser("segmenter", SPEC, ("lung",), width=4, depth=2)
    with pytest.raises(InputError, match="only the encoder of the backbones resnet18_unet"):
        start_variables(plain, file, 64, key)


def test_an_alexnet_starts_from_imagenet_as_torchvision_and_as_lpips_have_it(tmp_path):
    rng, state, arrays = np.random.default_rng(0), {}, {}
    shapes = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
    for i, (place, (outputs, inputs, size)) in enumerate(zip((0, 3, 6, 8, 10), shapes)):
        kernel = rng.normal(0, 1, (outputs, inputs, size, size)).astype(np.float32)
        bias = rng.normal(0, 1, outputs).astype(np.float32)
        state |= {f"features.{place}.weight": kernel, f"features.{place}.bias": bias}
        arrays[f"AlexNet_0.Conv_{i}.kernel"] = kernel.transpose(2, 3, 1, 0)
        arrays[f"AlexNet_0.Conv_{i}.bias"] = bias
    np.savez(tmp_path / "lpips.npz", **arrays)
    state["classifier.6.weight"] = np.zeros((1000, 4096), np.float32)
    save_file(state, tmp_path / "alexnet.safetensors")

    model, key = classifier(backbone="alexnet", channels=3), jax.random.key(3)
    fresh = model.init(key, {"image": jnp.zeros((1, 64, 64, 1))})
    for name in ("lpips.npz", "alexnet.safetensors"):
        started = start_variables(model, tmp_path / name, 64, key)
        assert jax.tree.structure(started) == jax.tree.structure(fresh)
        params = started["params"]["classifier"]
        for i in range(5):
            np.testing.assert_array_equal(
                params[f"conv{i}"]["kernel"], arrays[f"AlexNet_0.Conv_{i}.kernel"]
            )
        for part in ("head", "head_norm"):
            own = fresh["params"]["classifier"][part]
            jax.tree.map(np.testing.assert_array_equal, params[part], own)
    np.savez(tmp_path / "other.npz", kernel=np.zeros(3))
    with pytest.raises(InputError, match=r"other\.npz cannot be read as LPIPS weights"):
        start_variables(model, tmp_path / "other.npz", 64, key)
    message = r"lpips\.npz: LPIPS weights are an AlexNet's, and the backbone is 'resnet18'"
    with pytest.raises(InputError, match=message):
        start_variables(classifier(backbone="resnet18"), tmp_path / "lpips.npz", 64, key)
    # a file of one's own is no file of the package because its name ends alike
    (tmp_path / "my_alexnet.ckpt").write_bytes((tmp_path / "lpips.npz").read_bytes())
    with pytest.raises(InputError) as told:
        start_variables(model, tmp_path / "my_alexnet.ckpt", 64, key)
    assert "LPIPS" not in str(told.value)


def test_what_is_refused(tmp_path):
    file = saved(TorchDenseNet(2, (1, 1), 2), tmp_path / "net.pth")
    with pytest.raises(InputError, match=r"net\.pth: the state dict does not fit ResNet"):
        import_variables(classifier(backbone="resnet18", width=4), [file], 48)
    norm = classifier(backbone="resnet18", width=4, op_norm=True)
    resnet = saved(TorchResNet(BasicBlock, (2, 2, 2, 2), 4, 2, 1), tmp_path / "resnet.pth")
    with pytest.raises(InputError, match="op_norm needs the operating points"):
        import_variables(norm, [resnet], 48)
    with pytest.raises(ValueError, match="no output is called 'Heart'"):
        classifier(outputs=("Heart", "Mass"), classes=18)
    with pytest.raises(ValueError, match="there is no output 7: classes is 5"):
        classifier(outputs=(1, 7), classes=5)
    with pytest.raises(ValueError, match="outputs names 1 of 18 outputs for 2 tasks"):
        classifier(outputs=(1,), classes=18)
    with pytest.raises(ValueError, match=r"name of a preset \(torchxrayvision, imagenet\)"):
        classifier(preprocessing="xrv")
    with pytest.raises(ValueError, match="preprocessing has no field 'size'"):
        classifier(preprocessing={"size": 3})
    with pytest.raises(ValueError, match="mean takes one value or 3"):
        classifier(channels=3, mean=(1.0, 2.0))
    for fields, field in (
        ({"backbone": "resnet34_unet", "depth": 3}, "depth"),
        ({"units": 3}, "units"),
        ({"backbone": "residual_unet", "groups": 4}, "groups"),
    ):
        with pytest.raises(ValueError, match=f"backbone '.*unet' has no {field}"):
            make_diagnoser("segmenter", SPEC, ("lung",), **fields)
    with pytest.raises(ValueError, match="groups is for norm 'group', and norm is 'batch'"):
        make_diagnoser("segmenter", SPEC, ("lung",), groups=4)
    with pytest.raises(ValueError, match="hidden takes widths of at least 1"):
        classifier(hidden=(-1,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classifier(preprocessing={"input_size": 64}).preprocessing.input_size == 64
