"""What would go wrong on accelerators is seen where there is none."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import lowering, paper_steps
from fairrecon_jax.diagnosers import classifier
from fairrecon_jax.models import DenseNet
from fairrecon_jax.models.resnet import STAGES
from fairrecon_jax.runtime.devices import map_rows, map_step
from fairrecon_jax.study.bundled import configuration
from fairrecon_jax.study.overrides import override
from fairrecon_jax.study.parse import parse

STATE = {"scale": jax.ShapeDtypeStruct((3,), jnp.float32)}
IMAGES = {"image": jax.ShapeDtypeStruct((4, 3), jnp.float32)}


def step(state: Any, batch: Any) -> Any:
    scale = state["scale"] + jax.lax.pmean(jnp.mean(batch["image"], 0), "batch")
    return {"scale": scale}, {"loss": jnp.sum(scale)}


@pytest.mark.parametrize("devices", [1, 4])
def test_a_step_without_fault_is_told_from_one_that_keeps_its_state(devices: int) -> None:
    assert lowering.lower(map_step(step, devices), STATE, IMAGES, donate=True)[1] == []
    kept = map_step(step, devices, donate=False)
    assert lowering.lower(kept, STATE, IMAGES, donate=True)[1] == [
        "1 of 1 arrays of the state are not given to the program"
    ]

    def wider(state: Any, batch: Any) -> Any:
        after, metrics = step(state, batch)
        return {"scale": jnp.tile(after["scale"], 2)}, metrics

    with pytest.warns(UserWarning, match="donated buffers were not usable"):
        found = lowering.lower(map_step(wider, 1), STATE, IMAGES, donate=True)[1]
    assert found == ["1 of 1 arrays of the state fit no result"]


def test_a_call_of_the_host_is_found() -> None:
    def rows(shared: Any, batch: Any) -> Any:
        shape = jax.ShapeDtypeStruct(batch["image"].shape, jnp.float32)
        return jax.pure_callback(np.sin, shape, batch["image"])

    found = lowering.lower(map_rows(rows, 1), STATE, IMAGES, donate=False)[1]
    assert found == ["calls of Python: pure_callback"]
    call = "%0 = stablehlo.custom_call @xla_ffi_python_gpu_callback(%arg0)"
    assert list(lowering.problems(call)) == [
        "calls of the host or of a library: xla_ffi_python_gpu_callback"
    ]


def test_double_precision_and_open_shapes_are_found() -> None:
    def double(x: Any) -> Any:
        return x.astype(jnp.float64) * 2

    with jax.enable_x64(True):
        shape = jax.ShapeDtypeStruct((3,), jnp.float64)
        _, found = lowering.lower(double, shape, donate=False)
    assert found == ["double precision: tensor<3xf64>"]
    (size,) = jax.export.symbolic_shape("b")
    exported = jax.export.export(jax.jit(jnp.sin))(jax.ShapeDtypeStruct((size, 2), jnp.float32))
    found = list(lowering.problems(exported.mlir_module()))
    assert found[-1] == "a shape known only at run time: tensor<?x2xf32>"


SMALL = {
    "chexpert": {
        "reconstructors.unet.width": "4",
        "reconstructors.unet.depth": "2",
        "reconstructors.pix2pix.width": "4",
        "reconstructors.pix2pix.downsamplings": "3",
        "reconstructors.pix2pix.disc_layers": "1",
        "reconstructors.irsde.width": "4",
        "reconstructors.irsde.depth": "2",
        "diagnosers.findings.width": "8",
        "diagnosers.findings.input_size": "32",
    },
    "ucsf_pdgm": {
        "reconstructors.unet.width": "4",
        "reconstructors.unet.depth": "2",
        "diagnosers.grade.width": "4",
        "diagnosers.tumor.width": "4",
    },
}
LEFT_OUT = {
    "chexpert": ("mitigations.adversarial",),
    "ucsf_pdgm": ("reconstructors.pix2pix", "reconstructors.irsde", "diagnosers.type"),
}
"""What the other study has, or grade."""


def small(name: str) -> Any:
    """A study of the paper with narrow networks on images of 32 pixels."""
    config = configuration(name)
    override(config, {"cohort.image_size": "32", **SMALL[name]})
    for left_out in LEFT_OUT[name]:
        block, one = left_out.split(".")
        del config[block][one]
    study = parse(config)
    return name, study, paper_steps.outline(study)


class ShallowDenseNet(DenseNet):
    """One layer a block, in place of 58."""

    blocks: tuple[int, ...] = (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "devices", "precision"), [("chexpert", 4, "bfloat16"), ("ucsf_pdgm", 1, "float32")]
)
def test_every_step_lowers_on_one_device_or_over_several(
    study: str, devices: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Narrow networks of one block a stage; `python -m experiments.lowering --all` lowers those of
    the paper, both ways.
    """
    for depth in (34, 50):
        monkeypatch.setitem(STAGES, depth, (1, 1, 1, 1))
    monkeypatch.setattr(classifier, "DenseNet", ShallowDenseNet)
    names, changes = [], {"precision": precision}
    for name, step, shapes, donate in lowering.steps_of(*small(study), devices, changes):
        text, wrong = lowering.lower(step(), *shapes(), donate=donate)
        assert wrong + lowering.not_in(precision, text) == [], name
        names.append(name)
    chest = ["train unet", "train pix2pix", "train irsde", "train findings"]
    chest += [f"tandem {one}" for one in ("unet", "pix2pix", "irsde")]
    chest += [f"fine-tune {one} eodd" for one in ("unet", "pix2pix", "irsde")]
    brain = ["train unet", "train grade", "train tumor", "tandem unet"]
    brain += ["fine-tune unet eodd", "fine-tune unet adversarial"]
    wanted = chest if study == "chexpert" else brain
    assert sorted(names) == sorted(f"{study} {name}" for name in wanted)


def test_a_step_that_stays_in_float32_is_found() -> None:
    line = "%0 = stablehlo.convolution(%arg0, %arg1) : tensor<2x8x8x4x{}>"
    assert lowering.not_in("bfloat16", line.format("bf16")) == []
    assert lowering.not_in("float32", line.format("f32")) == []
    assert lowering.not_in("bfloat16", line.format("f32")) == ["no convolution is in bfloat16"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only=nosuch"], "no step has 'nosuch' in its name; there are chexpert train unet, "),
        (["--precision=float8"], "argument --precision: invalid choice: 'float8'"),
        (["--devices=0"], "--devices and --accumulate are at least 1"),
        (["--accumulate=-1"], "--devices and --accumulate are at least 1"),
    ],
)
def test_what_lowers_nothing_is_refused(words, message, capsys, monkeypatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    one = "chexpert train unet", None, None, True
    monkeypatch.setattr(lowering, "steps", lambda *_: [one])
    with pytest.raises(SystemExit) as ended:
        lowering.main(words)
    assert ended.value.code == 2
    assert message.rstrip(", ") in capsys.readouterr().err


@pytest.mark.slow
def test_a_full_size_training_lowers_over_four_devices() -> None:
    """The U-Net alone; `python -m experiments.lowering` lowers all."""
    changes: dict[str, Any] = {"precision": "bfloat16", "accumulate": 2, "remat": True}
    one = paper_steps.trainings("chexpert")["unet"].but(**changes)
    text, wrong = lowering.lower(map_step(one.step(), 4), one.state(), one.batch(), donate=True)
    assert wrong == []
    assert "tensor<2x256x256x64xbf16>" in text  # 16 examples on 4 devices in 2 parts
    assert "optimization_barrier" in text
    plain = lowering.lower(map_step(step, 4), STATE, IMAGES, donate=True)[0]
    assert "optimization_barrier" not in plain


@pytest.mark.slow
def test_a_full_size_tandem_step_lowers() -> None:
    step, inputs, batch = paper_steps.tandem_steps("chexpert")["unet"]
    text, wrong = lowering.lower(map_rows(step, 4), inputs, batch, donate=False)
    assert wrong == []
    # 16 images a device, diagnosed at 224 pixels as originals and as reconstructions
    assert "tensor<32x224x224x1xf32>" in text
