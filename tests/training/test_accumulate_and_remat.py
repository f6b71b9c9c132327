"""Gradients in parts and blocks computed anew: the same numbers, less memory between the passes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.diagnosers import Classifier, Segmenter
from fairrecon_jax.keys import identity
from fairrecon_jax.models.densenet import DenseNet
from fairrecon_jax.reconstructors import (
    IrsdeReconstructor,
    Pix2PixReconstructor,
    UNetReconstructor,
)
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.loop import fit
from fairrecon_jax.training.run import Run
from fairrecon_jax.training.step import computed, train_step
from fairrecon_jax.types import InputError
from tests.support.training_fakes import FakeCohort, FakeGan, FakeReconstructor, degrade
from tests.training.test_train_step import BATCH, CONFIG, run

SIZE, TASKS = 32, (("one",), (0,))
MODELS: dict[str, Any] = {
    "unet": UNetReconstructor(width=2, depth=2, norm="batch", bn_axis=None),
    "fastmri": UNetReconstructor(width=2, depth=2, architecture="fastmri", bn_axis=None),
    "pix2pix": Pix2PixReconstructor(
        width=2, downsamplings=5, dropout=0.5, disc_width=2, disc_layers=1, bn_axis=None
    ),
    "irsde": IrsdeReconstructor(width=2, depth=1, bn_axis=None),
    "resnet": Classifier(*TASKS, "resnet18", 2, bn_axis=None),
    "segmenter": Segmenter(*TASKS, width=4, depth=2, bn_axis=None),
    "residual_unet": Segmenter(*TASKS, "residual_unet", 2, 2, bn_axis=None),
    "resnet_unet": Segmenter(*TASKS, "resnet18_unet", 4, bn_axis=None),
}


def images(count: int = 2) -> dict[str, Any]:
    random = np.random.default_rng(0)
    image, degraded = random.random((2, count, SIZE, SIZE, 1), np.float32)
    return {
        "image": image,
        "degraded": degraded,
        "mask": (random.random(image.shape) > 0.5).astype(np.float32),
        "labels": np.ones((count, 1), np.float32),
        "example_id": random.integers(0, 2**32, (count, 2), np.uint32),
        "index": np.arange(count, dtype=np.int32),
        "weight": np.ones(count, np.float32),
    }


def losses(model: Any) -> Any:
    """Of all phases together, of the parameters and statistics of all networks."""

    def loss(variables: Any) -> Any:
        batch, total, statistics = images(), jnp.zeros(()), {}
        for number, phase in enumerate(model.phases):
            key = jax.random.fold_in(jax.random.key(0), number)
            value, out = phase.loss(variables, batch, key, True)
            total, statistics = total + value, {**statistics, phase.network: out.statistics}
        return total, statistics

    return loss


def kept(model: Any) -> int:
    """Bytes that the gradient needs of what the loss has computed."""
    variables = jax.eval_shape(model.init, jax.random.key(0), images())
    backward = jax.eval_shape(lambda v: jax.vjp(losses(model), v, has_aux=True)[1], variables)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))


# the blocks of "resnet" are those of "resnet_unet"
@pytest.mark.parametrize("name", [name for name in MODELS if name != "resnet"])
def test_remat_keeps_less_for_the_gradient(name: str) -> None:
    anew, cast = computed(MODELS[name], "float32", True)
    assert not cast
    assert kept(anew) < 0.8 * kept(MODELS[name])


def test_remat_keeps_less_of_a_densenet() -> None:
    def kept(remat: bool) -> int:
        network, image = DenseNet(1, growth=2, blocks=(2, 2), remat=remat), images()["image"]
        variables = jax.eval_shape(network.init, jax.random.key(0), image)

        def loss(params: Any, statistics: Any) -> Any:
            collections = {"params": params, "batch_stats": statistics}
            return network.apply(collections, image, True, mutable=["batch_stats"])[0].sum()

        backward = jax.eval_shape(
            lambda v: jax.vjp(loss, v["params"], v["batch_stats"])[1], variables
        )
        return sum(leaf.size for leaf in jax.tree.leaves(backward))

    assert kept(True) < 0.8 * kept(False)


@pytest.mark.parametrize("name", ["unet", "pix2pix"])
def test_remat_gives_the_same_gradient_and_statistics(name: str) -> None:
    model = MODELS[name]
    if name == "pix2pix":
        model = dataclasses.replace(model, downsamplings=2, dropout=0.0)
    variables = model.init(jax.random.key(1), images())
    plain, anew = (
        jax.jit(jax.value_and_grad(losses(one), has_aux=True))(variables)
        for one in (model, computed(model, "float32", True)[0])
    )
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(anew), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(a).max()))


def test_remat_needs_a_field_and_is_no_part_of_the_identity() -> None:
    with pytest.raises(InputError, match="fake has no field remat: leave the training's remat off"):
        train_step(FakeReconstructor(), dataclasses.replace(CONFIG, remat=True), None)  # type: ignore[arg-type]
    plain, anew = (dataclasses.replace(CONFIG, remat=remat) for remat in (False, True))
    assert identity(plain) == identity(anew)
    assert identity(MODELS["unet"]) == identity(computed(MODELS["unet"], "float32", True)[0])


@pytest.mark.parametrize("name", ["resnet", "segmenter"])
def test_diagnosers_in_bfloat16_stay_near_float32(name: str) -> None:
    variables, key = MODELS[name].init(jax.random.key(1), images()), jax.random.key(0)

    def loss(precision: Any) -> float:
        # with running statistics: those of two tiny images would magnify every rounding
        model, _ = computed(MODELS[name], precision, False)
        value, _ = jax.jit(model.evaluate)(variables, images(), key)["loss"]
        return float(value.mean())

    exact, rough = loss("float32"), loss("bfloat16")
    assert exact != rough
    assert rough == pytest.approx(exact, rel=0.05)  # 8 bits of mantissa through up to 18 layers


@pytest.mark.parametrize(
    ("trainable", "devices"), [(FakeReconstructor(), 1), (FakeGan(), 2)], ids=["one", "gan"]
)
def test_parts_of_a_batch_make_the_step_of_the_whole(trainable: Any, devices: int) -> None:
    whole, parts = (
        run(trainable, dataclasses.replace(CONFIG, accumulate=k), devices, steps=3)
        for k in (1, 8 // devices)
    )
    for field in ("params", "ema", "opt_state", "step"):
        for a, b in zip(
            jax.tree.leaves(getattr(whole[0], field)),
            jax.tree.leaves(getattr(parts[0], field)),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert float(parts[1].popitem()[1]) == pytest.approx(float(whole[1].popitem()[1]), rel=1e-5)


def test_statistics_go_from_part_to_part() -> None:
    """A running mean moves once for each part: 0.9 of what was before and 0.1 of the part's."""
    config = dataclasses.replace(CONFIG, accumulate=2, learning_rate=0.0)
    after, _ = run(FakeReconstructor(), config, 1, steps=1)
    seen = degrade(BATCH, jax.random.fold_in(jax.random.fold_in(after.key, 0), 0))
    first, second = (
        float(after.params["net"]["scale"] * x.mean())
        for x in np.split(np.asarray(seen["degraded"]), 2)
    )
    mean = float(after.batch_stats["net"]["mean"])
    assert mean == pytest.approx(0.9 * 0.1 * first + 0.1 * second, rel=1e-5)


def test_a_stopped_run_goes_on_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step is whole or not done: no checkpoint lies between two parts of a batch."""
    config = TrainConfig(
        steps=9, batch_size=6, accumulate=3, eval_every=0, checkpoint_every=2, ema=0.9
    )
    source = (FakeCohort(20), np.arange(20))

    def learn(workdir: Path) -> Any:
        return fit(FakeGan(), source, None, config, workdir, prepare=degrade, devices=1)

    straight, between = learn(tmp_path / "straight"), Run._between_steps

    def failing(self: Run, state: Any, record: Any, stopping: bool) -> None:
        between(self, state, record, stopping)
        if record.step == 5:
            raise RuntimeError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_between_steps", failing)
        with pytest.raises(RuntimeError, match="no more"):
            learn(tmp_path / "stopped")
    assert (tmp_path / "stopped" / "checkpoints" / "4").is_dir()
    jax.tree.map(np.testing.assert_array_equal, learn(tmp_path / "stopped"), straight)


@pytest.mark.parametrize(
    ("devices", "accumulate", "words"),
    [
        (1, 3, "batch_size 8 does not divide into accumulate = 3 equal parts"),
        (
            4,
            4,
            "accumulate 4 does not divide the 2 examples that each of 4 devices has of "
            "batch_size 8: use a multiple of 16",
        ),
    ],
)
def test_parts_must_be_equal(tmp_path: Path, devices: int, accumulate: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit(
            FakeReconstructor(),
            (FakeCohort(8), np.arange(8)),
            None,
            TrainConfig(steps=1, batch_size=8, eval_every=0, accumulate=accumulate),
            tmp_path,
            prepare=degrade,
            devices=devices,
        )


def test_parts_are_part_of_the_identity() -> None:
    assert identity(CONFIG) != identity(dataclasses.replace(CONFIG, accumulate=2))
