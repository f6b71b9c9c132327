"""PyTorch weights of a reconstructor: what is read, what is drawn, what is refused, and a study
that uses them.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.cli import main as cli
from fairrecon_jax.reconstructors import Identity, make_reconstructor
from fairrecon_jax.reconstructors.imports import CONVERTERS, import_variables
from fairrecon_jax.study.check import check
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.plan import plan
from fairrecon_jax.study.stages import Stage
from fairrecon_jax.study.train import train_reconstructor
from fairrecon_jax.types import Cell, ConfigError, InputError

torch = pytest.importorskip("torch")
nn = torch.nn
SIZE = 32
FIELDS = {"width": 2, "downsamplings": 2, "disc_width": 2, "disc_layers": 1}


class Level(nn.Module):
    """Keys model.<position>; the inner one is model.1 of the outer one."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Module()
        inner.model = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.Conv2d(2, 4, 4, 2, 1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2),
        )
        self.model = nn.Sequential(
            nn.Conv2d(1, 2, 4, 2, 1, bias=False),
            inner,
            nn.ReLU(),
            nn.ConvTranspose2d(4, 1, 4, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        x = self.model[0](x)
        return self.model[2:](torch.cat([x, self.model[1].model(x)], dim=1))


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = Level()
        self.model.model[1].model[4].running_mean += 0.3

    def forward(self, x):
        return self.model(x)


def discriminator() -> nn.Module:
    module = nn.Module()
    torch.manual_seed(1)
    module.model = nn.Sequential(
        nn.Conv2d(2, 2, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2, 4, 4, 1, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.LeakyReLU(),
        nn.Conv2d(4, 1, 4, 1, 1),
    )
    return module


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A generator wrapped and prefixed as trainers save it, and a discriminator."""
    paths = tmp_path / "net_G.pth", tmp_path / "net_D.pt"
    torch.save(
        {
            "epoch": 3,
            "params": {
                f"netG.module.{key}": value for key, value in Generator().state_dict().items()
            },
        },
        paths[0],
    )
    torch.save(discriminator().state_dict(), paths[1])
    return paths


def torch_output(image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return (
            Generator()
            .eval()(torch.from_numpy(image.transpose(0, 3, 1, 2).copy()))
            .numpy()
            .transpose(0, 2, 3, 1)
        )


def test_a_generator_alone_reconstructs_and_its_discriminator_is_drawn(files):
    reconstructor = make_reconstructor("pix2pix", **FIELDS)
    variables, facts = import_variables(reconstructor, files[:1], SIZE)
    assert facts["drawn"] == ["discriminator"]
    assert len(facts["files"]["net_G.pth"]) == 64
    image = np.random.default_rng(0).random((2, SIZE, SIZE, 1), np.float32)
    np.testing.assert_allclose(
        jax.jit(reconstructor.reconstruct)(variables, image, None), torch_output(image), atol=1e-5
    )
    both, facts = import_variables(reconstructor, files, SIZE)
    assert facts["drawn"] == []
    assert jax.tree.all(
        jax.tree.map(np.array_equal, both["params"]["generator"], variables["params"]["generator"])
    )
    kernel = discriminator().state_dict()["model.2.weight"].numpy().transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(both["params"]["discriminator"]["conv1"]["kernel"], kernel)


def test_what_does_not_fit_is_named_with_its_file(files, tmp_path):
    reconstructor = make_reconstructor("pix2pix", **FIELDS)
    with pytest.raises(
        InputError,
        match=r"net_D\.pt: the state dict does not fit Pix2PixGenerator: "
        r".*missing 'model\.model\.0\.weight'",
    ):
        import_variables(reconstructor, files[1:], SIZE)
    with pytest.raises(
        InputError, match=r"net_G\.pth: .*'model\.model\.0\.weight' has shape \(2, 1, 4, 4\)"
    ):
        import_variables(make_reconstructor("pix2pix", **FIELDS | {"width": 4}), files[:1], SIZE)
    with pytest.raises(
        InputError,
        match=r"net_D\.pt: 'model\.0\.bias' and \d+ more keys are in another of the files too",
    ):
        import_variables(reconstructor, (*files, files[1]), SIZE)
    with pytest.raises(ValueError, match="30x30 pixels cannot be halved 2 times"):
        import_variables(reconstructor, files, 30)
    with pytest.raises(
        InputError, match=f"for 'identity' of kind 'identity': only for {', '.join(CONVERTERS)}"
    ):
        import_variables(Identity(), files, SIZE)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"broken\.pth cannot be read as PyTorch weights"):
        import_variables(reconstructor, [broken], SIZE)
    (tmp_path / "broken.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(InputError, match=r"broken\.safetensors cannot be read as safetensors"):
        import_variables(reconstructor, [tmp_path / "broken.safetensors"], SIZE)


def configuration(**block) -> ConfigDict:
    config = importlib.import_module("configs.phantom_xray").get_config()
    config.cohort.image_size = SIZE
    config.mitigations = ConfigDict()
    config.reconstructors = ConfigDict(
        {
            "pix2pix": {
                "kind": "pix2pix",
                **FIELDS,
                **(block or {"train": config.reconstructors.pix2pix.train}),
            }
        }
    )
    return config


def stages(config: ConfigDict, workdir: Path) -> list[Stage]:
    """The stages of the network."""
    made = plan(Context(config, workdir))
    return [stage for stage in made if stage.cell and stage.cell.reconstructor == "pix2pix"]


def titles(config: ConfigDict, workdir: Path) -> list[str]:
    return [stage.title for stage in stages(config, workdir)]


def test_the_command_writes_what_a_study_then_uses_instead_of_training(files, tmp_path, capsys):
    workdir = tmp_path / "work"
    assert titles(configuration(), workdir) == [
        "train pix2pix at 10000",
        "predict pix2pix at 10000",
    ]
    fields = [
        f"--config.reconstructors.pix2pix.{field}={value}"
        for field, value in FIELDS.items()
        if field != "disc_layers"
    ]
    words = [
        "import-weights",
        "--config=configs/phantom_xray.py",
        f"--workdir={workdir}",
        "--model=pix2pix",
        *fields,
    ]
    words += [f"--config.cohort.image_size={SIZE}"]
    assert cli.main([*words, f"--weights={files[0]},{files[1]}"]) == 2
    assert "does not fit PatchDiscriminator" in capsys.readouterr().err
    words += [f"--weights={files[0]}"]
    assert cli.main([*words, "--level=7"]) == 2
    assert "the study has no pix2pix at 7; it has identity at 10000" in capsys.readouterr().err
    assert cli.main(words) == 0
    folder = workdir / "reconstructors" / "pix2pix" / "10000"
    assert f"wrote {folder}" in capsys.readouterr().out
    context = Context(configuration(), workdir)
    image = np.random.default_rng(0).random((1, SIZE, SIZE, 1), np.float32)
    reconstructor = make_reconstructor("pix2pix", **FIELDS)
    actual = jax.jit(reconstructor.reconstruct)(
        jax.tree.map(jnp.asarray, context.weights(folder)), image, None
    )
    np.testing.assert_allclose(actual, torch_output(image), atol=1e-5)
    assert titles(configuration(), workdir) == [
        "import pix2pix at 10000",
        "predict pix2pix at 10000",
    ]
    with pytest.raises(InputError, match="holds imported weights: remove it to train"):
        train_reconstructor(context, Cell("pix2pix", 1e4))
    (folder / "run.json").write_text("{}")
    assert cli.main(words) == 2
    assert "holds a training run" in capsys.readouterr().err
    other = tmp_path / "other"
    assert cli.main([*words, f"--output={other}"]) == 0
    assert json.loads((other / "final" / "meta" / "metadata").read_text())["imported"]["drawn"] == [
        "discriminator"
    ]


def test_a_field_of_the_configuration_makes_the_import_a_stage(files, tmp_path):
    config = configuration(weights=str(files[0].with_name("net_{level}.pth")))
    context = Context(config, tmp_path / "work")
    with pytest.raises(
        ConfigError,
        match=r"config\.reconstructors\.pix2pix\.weights: there is no file .*net_10000\.pth",
    ):
        check(context)
    files[0].rename(files[0].with_name("net_10000.pth"))
    check(context)
    first = stages(config, tmp_path / "work")[0]
    assert (first.title, first.verb) == ("import pix2pix at 10000", "import")
    first.run()
    folder = context.workdir.model(Cell("pix2pix", 1e4))
    assert "generator" in context.weights(folder)["params"]
    assert first.output is not None
    output = first.output()
    assert len(output) == 16
    torch.save(Generator().state_dict(), files[0].with_name("net_10000.pth"))
    again = stages(config, tmp_path / "work")[0]
    assert again.digest != first.digest, "another file"
    again.run()
    assert again.output is not None
    assert again.output() == output, "of the same weights"


def test_the_u_net_of_the_paper_is_imported_too(tmp_path):
    """Keys d1.conv.conv1, b.conv1, u1.up, u1.conv.conv1, outputs; one halving, two channels."""
    shapes = {
        "d1.conv.conv1": (2, 1, 3, 3),
        "d1.conv.conv2": (2, 2, 3, 3),
        "b.conv1": (4, 2, 3, 3),
        "b.conv2": (4, 4, 3, 3),
    }
    shapes |= {
        "u1.up": (4, 2, 2, 2),
        "u1.conv.conv1": (2, 4, 3, 3),
        "u1.conv.conv2": (2, 2, 3, 3),
        "outputs": (1, 2, 1, 1),
    }
    state = {f"{key}.weight": torch.rand(shape) for key, shape in shapes.items()}
    state |= {
        f"{key}.bias": torch.rand(shape[1 if key == "u1.up" else 0])
        for key, shape in shapes.items()
    }
    torch.save({"state_dict": state}, tmp_path / "unet.pth")
    variables, facts = import_variables(
        make_reconstructor("mse", width=2, depth=1), [tmp_path / "unet.pth"], SIZE
    )
    assert facts["drawn"] == []
    np.testing.assert_array_equal(
        variables["params"]["unet"]["head"]["bias"], state["outputs.bias"].numpy()
    )


def test_a_diffusion_network_is_read(tmp_path):
    from experiments.benchmarks.torch_irsde import TorchConditionalUNet

    torch.manual_seed(0)
    peer = TorchConditionalUNet(4, 1).eval()
    torch.save(peer.state_dict(), tmp_path / "net.pth")
    model = make_reconstructor("irsde", width=4, depth=1)
    variables, facts = import_variables(model, [tmp_path / "net.pth"], 16)
    assert facts["drawn"] == []
    x, cond = np.random.default_rng(0).random((2, 1, 16, 16, 1), np.float32)
    ours = model.network.apply({"params": variables["params"]["noise"]}, x, cond, jnp.array([7.0]))
    with torch.no_grad():
        theirs = peer(
            *(torch.from_numpy(v.transpose(0, 3, 1, 2)) for v in (x, cond)), torch.tensor([7.0])
        ).numpy()
    np.testing.assert_allclose(
        np.asarray(ours)[..., 0], theirs[:, 0], rtol=1e-4, atol=1e-4 * np.abs(theirs).max()
    )
