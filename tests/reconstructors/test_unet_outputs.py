"""What the U-Net's last values pass through, and fastMRI's network and scale."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fairrecon_jax.reconstructors import UNetReconstructor, make_reconstructor
from fairrecon_jax.reconstructors.imports import import_variables
from tests.support.torch_networks import PaperUNet, randomise, torch
from tests.support.torch_published import FastMri

IMAGE = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
SIZE = 32


def saved(module, path, prefix: str = "network.") -> list[str]:
    torch.save({prefix + k: v for k, v in randomise(module).eval().state_dict().items()}, path)
    return [str(path)]


def torch_images(module, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(image.transpose(0, 3, 1, 2).copy())).numpy()[:, 0]


@pytest.mark.parametrize("output", ["none", "sigmoid"])
def test_published_weights_with_and_without_a_sigmoid(tmp_path, output):
    module = PaperUNet(4, 2)
    files = saved(module, tmp_path / "unet.ckpt")
    model = make_reconstructor("mse", width=4, depth=2, output=output)
    variables, _ = import_variables(model, files, SIZE)
    logits = torch_images(module, IMAGE)
    wanted = 1 / (1 + np.exp(-logits)) if output == "sigmoid" else logits.clip(0, 1)
    found = jax.jit(model.reconstruct)(variables, IMAGE, None)
    np.testing.assert_allclose(found[..., 0], wanted, atol=1e-4)


@pytest.mark.parametrize("standardise", [False, True])
def test_fastmri_as_it_scales_its_images(tmp_path, standardise):
    module = FastMri(4, 2)
    files = saved(module, tmp_path / "fastmri.pt", "unet.")
    model = make_reconstructor(
        "mse", width=4, depth=2, architecture="fastmri", standardise=standardise
    )
    variables, _ = import_variables(model, files, SIZE)
    mean, deviation = 0.0, 1.0
    if standardise:
        mean = IMAGE.mean((1, 2, 3), keepdims=True)
        deviation = IMAGE.std((1, 2, 3), keepdims=True, ddof=1) + 1e-11
    found = torch_images(module, ((IMAGE - mean) / deviation).astype(np.float32))
    wanted = (found[..., None] * deviation + mean).clip(0, 1)
    np.testing.assert_allclose(model.reconstruct(variables, IMAGE, None), wanted, atol=1e-4)
    assert 0.01 < wanted.mean() < 0.99


def test_choices_that_exclude_each_other():
    with pytest.raises(ValueError, match="it goes without residual, standardise"):
        make_reconstructor("mse", output="sigmoid", residual=True)
    with pytest.raises(ValueError, match="has its own norm"):
        make_reconstructor("mse", architecture="fastmri", norm="batch")
    with pytest.raises(TypeError, match="field 'output' takes"):
        make_reconstructor("mse", output="tanh")


def test_both_networks_of_a_gan_in_one_file(tmp_path):
    from tests.support.torch_networks import TorchDiscriminator, TorchGenerator

    generator, judge = randomise(TorchGenerator(4, 2)), randomise(TorchDiscriminator(4, 1))
    model = make_reconstructor("pix2pix", width=4, downsamplings=2, disc_width=4, disc_layers=1)
    contents = (
        {"net_G": generator.state_dict(), "net_D": judge.state_dict()},
        {f"netG.{k}": v for k, v in generator.state_dict().items()}
        | {f"netD.{k}": v for k, v in judge.state_dict().items()},
    )
    wanted = torch_images(generator.eval(), IMAGE)
    for number, content in enumerate(contents):
        torch.save(content, path := tmp_path / f"{number}.pth")
        variables, facts = import_variables(model, [path], SIZE)
        assert facts["drawn"] == []
        found = model.reconstruct(variables, IMAGE, None)
        np.testing.assert_allclose(found[..., 0], wanted, atol=1e-4)


def test_what_images_go_through_before_they_are_read():
    inputs = jax.random.key(0), {"image": IMAGE}
    plain = make_reconstructor("mse", width=2, depth=1, finish="as_is")
    # larger kernels: values beyond 0 and 1
    variables = jax.tree.map(lambda w: 3 * w, plain.init(*inputs))
    image = np.asarray(plain.reconstruct(variables, IMAGE, None))
    assert image.min() < 0 or image.max() > 1
    for finish, wanted in {
        "clip": image.clip(0, 1),
        "min_max": (image - image.min((1, 2, 3), keepdims=True))
        / np.ptp(image, axis=(1, 2, 3), keepdims=True),
    }.items():
        model = make_reconstructor("mse", width=2, depth=1, finish=finish)
        np.testing.assert_allclose(
            model.reconstruct(variables, IMAGE, None), wanted, atol=1e-6, err_msg=finish
        )
    with pytest.raises(ValueError, match="finish must be one of"):
        UNetReconstructor(finish="min-max")  # type: ignore[arg-type]
