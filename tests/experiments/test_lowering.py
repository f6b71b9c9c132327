"""What would go wrong on accelerators is seen where there is none."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import lowering, paper_steps
from fairrecon_jax.runtime.devices import map_rows, map_step

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
    assert found == ["does not lower: multi-platform lowering for python_callback"]
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
