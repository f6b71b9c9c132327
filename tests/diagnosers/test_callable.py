"""Diagnosers that run outside of JAX: functions, TorchScript and ONNX."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.diagnosers import make_diagnoser
from fairrecon_jax.keys import identity
from fairrecon_jax.study.load import restore
from fairrecon_jax.types import InputError
from tests.diagnosers.test_imports import FINDINGS, IMAGE, SPEC

NOTHING = {"params": {}, "batch_stats": {}}
FUNCTION = """
import numpy as np

def scores(images):
    return np.stack([images.mean((1, 2, 3)), images.max((1, 2, 3))], 1)

def one(images):
    return images.mean((1, 2, 3))

def mask(images):
    return (images > 0.5).astype("float32")

def broken(images):
    raise RuntimeError("no licence")
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "vendor.py"
    path.write_text(FUNCTION)
    return path


def callable_(call, tasks=FINDINGS, kind="callable", **fields):
    return make_diagnoser(kind, SPEC, tasks, call=str(call), **fields)


def test_a_function_diagnoses_inside_a_compiled_program(module):
    model = callable_(f"{module}:scores")
    model.check(16)
    found = jax.jit(model.predict)(NOTHING, IMAGE)
    np.testing.assert_allclose(found[:, 0], IMAGE.mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], IMAGE.max((1, 2, 3)), rtol=1e-5)
    stretched = callable_(f"{module}:scores", input_high=0.5, input_size=24)
    assert float(stretched.predict(NOTHING, IMAGE).max()) <= 0.5
    region = callable_(f"{module}:mask", ("lung",), "callable_segmenter")
    np.testing.assert_array_equal(jax.jit(region.predict)(NOTHING, IMAGE), IMAGE > 0.5)
    assert region.phases == model.phases == ()
    xrv = callable_(f"{module}:scores", preprocessing="torchxrayvision", classes=2)
    assert (xrv.preprocessing.input_low, xrv.readout.op_norm) == (-1024.0, False)


def test_its_content_and_not_its_place_is_its_identity(module, tmp_path):
    model = callable_(f"{module}:scores")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "vendor.py").write_text(FUNCTION)
    other = callable_(f"{moved / 'vendor.py'}:scores")
    assert identity(other) == identity(model)
    written = json.loads(json.dumps(identity(model, everything=True)))
    assert restore(written) == model
    (moved / "vendor.py").write_text(FUNCTION + "\n# changed")
    assert identity(callable_(f"{moved / 'vendor.py'}:scores")) != identity(model)
    with pytest.raises(InputError, match="is not what it was: its content has changed"):
        dataclasses.replace(other)


def test_no_gradient_passes_and_it_says_so(module):
    model = callable_(f"{module}:scores")
    with pytest.raises(InputError, match=r"no gradient passes through .*vendor\.py:scores"):
        jax.grad(lambda x: model.predict(NOTHING, x).sum())(jnp.asarray(IMAGE))


def test_torchscript(tmp_path):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.AdaptiveAvgPool2d(1))
    network = torch.nn.Sequential(network, torch.nn.Flatten())
    torch.jit.script(network).save(tmp_path / "net.pt")
    model = callable_(tmp_path / "net.pt", activation="sigmoid")
    model.check(48)
    with torch.no_grad():
        logits = network(torch.from_numpy(IMAGE.transpose(0, 3, 1, 2).copy())).numpy()
    found = jax.jit(model.predict)(NOTHING, IMAGE)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), atol=1e-6)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights\.pt is no TorchScript program"):
        callable_(tmp_path / "weights.pt").check(48)


@pytest.mark.parametrize("batch", ["N", 3])
def test_onnx_of_any_and_of_a_fixed_batch_size(tmp_path, batch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["x"], ["y"])],
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2, 48, 48])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 2, 1, 1])],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "net.onnx")
    model = callable_(tmp_path / "net.onnx", channels=2, outputs=(1, 0))
    model.check(48)
    found = jax.jit(model.predict)(NOTHING, IMAGE)
    np.testing.assert_allclose(found, IMAGE.mean((1, 2, 3))[:, None].repeat(2, 1), rtol=1e-5)


def test_what_is_refused(module, tmp_path):
    with pytest.raises(InputError, match="fails on 3 images: no licence"):
        callable_(f"{module}:broken").check(16)
    with pytest.raises(InputError, match=r"gave shape \(3,\) for 3 images, expected \(3, 2\)"):
        callable_(f"{module}:one").check(16)
    with pytest.raises(InputError, match="has no function 'none'"):
        callable_(f"{module}:none").check(16)
    with pytest.raises(InputError, match=r"scores lie in \[0, 1\]: set activation"):
        callable_(f"{module}:scores", input_low=-3.0).check(16)
    with pytest.raises(InputError, match=r"there is no file .*none\.onnx"):
        callable_(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="call takes 'module:function'"):
        callable_("")
    with pytest.raises(InputError, match="no_such_module cannot be imported"):
        callable_("no_such_module:scores")
    (tmp_path / "bad.onnx").write_bytes(b"x")
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"bad\.onnx cannot be read as ONNX"):
        callable_(tmp_path / "bad.onnx").check(16)
