"""What a step takes of the memory, against counts by hand."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.data.arrays import arrays
from fairrecon_jax.diagnosers import Classifier, Segmenter
from fairrecon_jax.physics.at_level import GaussianNoise
from fairrecon_jax.reconstructors import (
    IrsdeReconstructor,
    Pix2PixReconstructor,
    UNetReconstructor,
)
from fairrecon_jax.runtime.capacity import VARIABLE, Capacity
from fairrecon_jax.training import memory, room
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.on_arrays import fit
from fairrecon_jax.training.trainable import Phase, PhaseOutput
from fairrecon_jax.types import InputError

SIZE, BATCH, FEATURES = 8, 6, 5
PIXELS = np.zeros((4, SIZE, SIZE), np.float32)
SPEC = arrays(PIXELS, labels={"one": [0, 1, 0, 1]}, masks={"two": PIXELS.astype(np.uint8)}).spec
CONFIG = TrainConfig(steps=10, batch_size=BATCH, eval_batch_size=4)


@dataclasses.dataclass(frozen=True)
class Product:
    """loss = mean(sin(x w)), for images x as rows."""

    name: str = "product"

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("net", self.loss),)

    validation_metrics = {"mse": "min"}  # noqa: RUF012

    def init(self, key: Any, batch: Any) -> Any:
        return {"params": {"net": {"w": jnp.zeros((SIZE * SIZE, FEATURES))}}, "batch_stats": {}}

    def loss(self, variables: Any, batch: Any, key: Any, train: bool) -> Any:
        rows = batch["image"].reshape(-1, SIZE * SIZE)
        made = jnp.sin(rows @ variables["params"]["net"]["w"])
        return made.mean(), PhaseOutput(None, {}, {})

    def evaluate(self, variables: Any, batch: Any, key: Any) -> Any:
        value = self.loss(variables, batch, key, False)[0] * batch["weight"]
        return {"mse": (value, batch["weight"])}


def test_a_product_by_hand():
    need = memory.training_need(Product(), CONFIG, SPEC, SIZE)
    weights = 4 * SIZE * SIZE * FEATURES
    counters = 2 * 4  # of the moments and of the schedule
    # weights, two moments, gradient
    assert need.state == 4 * weights + counters
    # of the sine its cosine; of the product the images as rows
    assert need.kept == 4 * BATCH * FEATURES + 4 * BATCH * SIZE * SIZE
    assert need.flight == 2 * 4 * BATCH * FEATURES
    averaged = dataclasses.replace(CONFIG, ema=0.9, accumulate=2)
    parts = memory.training_need(Product(), averaged, SPEC, SIZE)
    # averages too, and a sum of gradients
    assert parts.state == 6 * weights + counters
    assert (2 * parts.kept, 2 * parts.flight) == (need.kept, need.flight)
    judged = memory.evaluation_need(Product(), CONFIG, SPEC, SIZE)
    assert judged == memory.Need(3 * weights + counters, 0, 6 * 4 * 4 * FEATURES)
    mitigated = memory.training_need(Product(), CONFIG, SPEC, SIZE, frozen=(Product(),))
    assert (mitigated.state, mitigated.kept) == (need.state + weights, 2 * need.kept)


UNET = UNetReconstructor(width=8, depth=2)


def total(**changes: Any) -> int:
    config = dataclasses.replace(TrainConfig(steps=1, batch_size=16), **changes)
    return memory.training_need(UNET, config, SPEC, 32).total


def test_a_step_takes_more_with_the_batch_and_less_with_what_saves_memory():
    batches = [total(batch_size=size) for size in (8, 16, 32, 64)]
    assert batches == sorted(set(batches))
    assert total(accumulate=4) < total(accumulate=2) < total()
    assert total(remat=True) < total()
    assert total(precision="bfloat16") < total()
    whole = memory.training_need(UNET, TrainConfig(steps=1, batch_size=16), SPEC, 32)
    share = memory.training_need(UNET, TrainConfig(steps=1, batch_size=16), SPEC, 32, devices=4)
    assert (share.state, 4 * share.flight) == (whole.state, whole.flight)


MODELS = {
    "unet": UNetReconstructor(width=8),
    "wide": UNetReconstructor(width=128, depth=2),
    "fastmri": UNetReconstructor(width=8, architecture="fastmri"),
    "pix2pix": Pix2PixReconstructor(width=16, disc_width=16, downsamplings=5),
    "irsde": IrsdeReconstructor(width=16, depth=3),
    "segmenter": Segmenter(("two",), (0,), width=16),
    "residual": Segmenter(("two",), (0,), "residual_unet", width=16),
    "resnet": Classifier(("one",), (0,), "resnet50"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_cheap_bound_is_above_what_is_counted(name):
    model, config = MODELS[name], TrainConfig(steps=8, batch_size=8, eval_batch_size=8)
    assert memory.training_need(model, config, SPEC, 64).total < room.bound(model, 8, 64)
    forward = room.bound(model, 8, 64, gradient=False)
    assert memory.evaluation_need(model, config, SPEC, 64).total < forward


def test_what_the_bound_does_not_know_is_looked_at():
    assert room.bound(UNetReconstructor(width=4, depth=5), 1, 64) == math.inf
    assert room.bound(Classifier(("one",), (0,), hidden=(8192,)), 1, 64) == math.inf


def test_nothing_is_traced_where_there_is_room(monkeypatch):
    monkeypatch.setattr(memory, "_kept", None)
    assert room.look(UNET, CONFIG, SPEC, 64, 4, Capacity(24e9, 4)) == (0.0, {})


def test_fields_are_named_with_what_helps():
    config = TrainConfig(steps=8, batch_size=16, eval_batch_size=64)
    step = memory.training_need(UNET, config, SPEC, 32).total
    judged = memory.evaluation_need(UNET, config, SPEC, 32)
    assert judged.total > step
    found, said = room.look(UNET, config, SPEC, 32, 1, Capacity(step))
    assert (found, list(said)) == (judged.total, ["eval_batch_size"])
    found, said = room.look(UNET, config, SPEC, 32, 1, Capacity(step - 1))
    assert list(said) == ["batch_size", "eval_batch_size"]
    words = said["batch_size"].words()
    assert re.match(
        r"is 16: a step needs at least [1-9]\d*\.\d MB, and this machine has [1-9]\d*\.\d MB", words
    )
    wanted = "lower it, raise accumulate (now 1), or set remat = True or precision = 'bfloat16'"
    assert wanted in words
    assert f"{VARIABLE}=N in the environment" in words
    # all simulated devices take of one memory
    four = room.look(UNET, config, SPEC, 32, 4, Capacity(step, 4))[1]
    assert "batch_size" in four
    network = room.look(UNET, config, SPEC, 32, 1, Capacity(judged.state - 1))[1]
    words = network["batch_size"].words()
    assert re.search(r"alone\), and this machine has [\d.]+ [Mk]B; choose a smaller network", words)
    assert list(network) == ["batch_size"]


def test_arrays_are_refused_in_seconds_beside_the_images(monkeypatch):
    cohort, noise = arrays(np.zeros((8, 64, 64), np.float32)), GaussianNoise(sd=0.1)
    monkeypatch.setenv(VARIABLE, "4")
    started = time.monotonic()
    with pytest.raises(InputError, match=r"^batch_size is 65536: a step needs at least .* GB, and"):
        fit(UNetReconstructor(width=64), cohort, noise, steps=1, batch_size=65536, validation=0)
    assert time.monotonic() - started < 20
    monkeypatch.setenv(VARIABLE, "0.0001")
    with pytest.raises(InputError, match=r"has 100\.0 kB, 131\.1 kB of it taken by"):
        fit(UNET, cohort, noise, steps=1, batch_size=4, validation=0)
