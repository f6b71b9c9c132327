from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.data.loader import read_rows
from fairrecon_jax.runtime.devices import map_step, pad_batch, replicate
from fairrecon_jax.training import optim, state
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.step import computed, eval_step, train_step
from tests.support.training_fakes import FakeCohort, FakeGan, FakeReconstructor, degrade

BATCH = read_rows(FakeCohort(8), range(8))


def start(trainable: Any, config: TrainConfig, devices: int = 1, objective: Any = None) -> Any:
    variables = trainable.init(jax.random.key(0), degrade(BATCH, jax.random.key(0)))
    networks = tuple(phase.network for phase in trainable.phases)
    kept = {} if objective is None else objective.init(jax.random.key(0), BATCH)
    return replicate(
        state.create(variables, networks, optim.optimizer(config), 0, config.ema > 0, kept), devices
    )


@functools.cache
def mapped(trainable: Any, config: TrainConfig, devices: int, objective: Any) -> Any:
    """The step, compiled once for all tests."""
    step = train_step(trainable, config, optim.optimizer(config), degrade, objective)
    return map_step(step, devices)


def run(
    trainable: Any,
    config: TrainConfig,
    devices: int,
    objective: Any = None,
    steps: int = 5,
    batch: Any = BATCH,
) -> Any:
    step = mapped(trainable, config, devices, objective)
    now = start(trainable, config, devices, objective)
    for _ in range(steps):
        now, metrics = step(now, batch)
    return now, metrics


CONFIG = TrainConfig(steps=9, batch_size=8, learning_rate=0.05, schedule="constant", ema=0.9)


@pytest.mark.parametrize(
    "trainable", [FakeReconstructor(), FakeGan()], ids=lambda trainable: trainable.name
)
def test_four_devices_give_what_one_gives(trainable: Any) -> None:
    one, four = run(trainable, CONFIG, 1), run(trainable, CONFIG, 4)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("devices", [1, 4])
def test_the_step_compiles_once(devices: int) -> None:
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, _, **__: compiled.append(name) if "backend_compile" in name else None
    )
    step = map_step(train_step(FakeGan(), CONFIG, optim.optimizer(CONFIG), degrade), devices)
    now = start(FakeGan(), CONFIG, devices)
    now, _ = step(now, BATCH)
    before = len(compiled)
    for rows in (range(8), range(1, 9), range(2, 10)):
        now, _ = step(now, read_rows(FakeCohort(12), rows))
    jax.block_until_ready(now)
    assert before > 0
    assert len(compiled) == before


def test_one_step_is_adam_on_the_gradient_of_the_mean() -> None:
    config = dataclasses.replace(CONFIG, ema=0.0)
    before = start(FakeReconstructor(), config)
    seen = degrade(BATCH, jax.random.fold_in(jax.random.fold_in(before.key, 0), 0))
    residual = before.params["net"]["scale"] * seen["degraded"] - BATCH["image"]
    gradient = 2 * np.mean(residual * seen["degraded"])
    scale, loss = float(before.params["net"]["scale"]), float(np.mean(residual**2))
    after, metrics = run(FakeReconstructor(), config, 1, steps=1)
    assert float(metrics["loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(after.params["net"]["scale"]) == pytest.approx(
        scale - 0.05 * np.sign(gradient), rel=1e-5
    )
    assert int(after.step) == 1


def test_noise_is_fresh_in_every_step_and_the_same_for_any_order() -> None:
    still = dataclasses.replace(CONFIG, learning_rate=0.0, ema=0.0)
    first, second = (
        run(FakeReconstructor(), still, 1, steps=1)[1],
        run(FakeReconstructor(), still, 1, steps=2)[1],
    )
    assert float(first["loss"]) != float(second["loss"])
    order = np.random.default_rng(0).permutation(8)
    shuffled = run(
        FakeReconstructor(),
        still,
        4,
        steps=2,
        batch={name: value[order] for name, value in BATCH.items()},
    )[1]
    assert float(shuffled["loss"]) == pytest.approx(float(second["loss"]), rel=1e-5)


def test_a_later_phase_sees_what_an_earlier_one_has_left() -> None:
    after, metrics = run(FakeGan(), CONFIG, 1, steps=1)
    assert float(metrics["critic/seen"]) == pytest.approx(
        float(after.params["net"]["scale"]), rel=1e-6
    )
    assert float(metrics["net/scale"]) != float(metrics["critic/seen"])


def test_a_value_that_was_not_reduced_raises() -> None:
    def forgetful(now: Any, batch: Any) -> Any:
        return now, {"loss": jnp.mean(batch["image"])}

    with pytest.raises(ValueError, match="out_axes"):
        map_step(forgetful, 1)({}, BATCH)


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Adds a multiple of the mean brightness; counts its calls."""

    strength: float

    def init(self, key: Any, batch: Any) -> Any:
        return {"calls": jnp.zeros((), jnp.int32)}

    def __call__(self, clean: Any, batch: Any, kept: Any, key: Any) -> Any:
        mean = jnp.mean(clean)
        return self.strength * mean, {"calls": kept["calls"] + 1}, {"brightness": mean}


def test_an_objective_enters_the_loss_once_and_keeps_its_state() -> None:
    plain, both = (
        run(FakeGan(), CONFIG, 4, steps=1),
        run(FakeGan(), CONFIG, 4, Brightness(10.0), steps=1),
    )
    assert float(both[1]["net/loss_without_objective"]) == pytest.approx(
        float(plain[1]["net/loss"]), rel=1e-6
    )
    expected = float(plain[1]["net/loss"]) + 10 * float(both[1]["net/brightness"])
    assert float(both[1]["net/loss"]) == pytest.approx(expected, rel=1e-5)
    assert int(both[0].objective["calls"]) == 1
    assert "critic/brightness" not in both[1]
    dark, _ = run(FakeReconstructor(), CONFIG, 1, Brightness(10.0), steps=9)
    assert float(jnp.mean(dark.params["net"]["shift"])) < float(
        jnp.mean(plain[0].params["net"]["shift"])
    )


@dataclasses.dataclass(frozen=True)
class Typed(FakeReconstructor):
    """Has a compute type of its own."""

    dtype: str = "float32"


def test_bfloat16_keeps_parameters_and_statistics_in_float32() -> None:
    seen = []

    class Spy(FakeReconstructor):
        def loss(self, variables: Any, batch: Any, key: Any, train: bool) -> Any:
            seen.append(
                (
                    variables["params"]["net"]["scale"].dtype,
                    batch["image"].dtype,
                    batch["labels"].dtype,
                )
            )
            return super().loss(variables, batch, key, train)

    config = dataclasses.replace(CONFIG, precision="bfloat16")
    after, metrics = run(Spy(), config, 4)
    assert set(seen) == {(jnp.dtype("bfloat16"), jnp.dtype("bfloat16"), jnp.dtype("float32"))}
    floats = jax.tree.leaves((after.params, after.batch_stats, after.ema, metrics))
    assert {leaf.dtype for leaf in floats} == {jnp.dtype("float32")}
    exact = run(FakeReconstructor(), CONFIG, 4)[0]
    np.testing.assert_allclose(
        after.params["net"]["scale"], exact.params["net"]["scale"], atol=0.02
    )  # 8 bits of mantissa
    assert computed(Typed(), "bfloat16", False) == (Typed(dtype="bfloat16"), False)


@pytest.mark.parametrize("devices", [1, 4])
def test_evaluation_leaves_out_padding(devices: int) -> None:
    variables = FakeReconstructor().init(jax.random.key(0), degrade(BATCH, jax.random.key(0)))
    step = map_step(
        eval_step(FakeReconstructor(), jax.random.key(1), degrade), devices, donate=False
    )
    part = {name: value[:5] for name, value in BATCH.items()}
    total, weight = step(variables, pad_batch(part, 8))[1]["error"]
    seen = degrade(part, jax.random.fold_in(jax.random.key(1), 0))
    errors = np.mean(
        (variables["params"]["net"]["scale"] * seen["degraded"] - part["image"]) ** 2,
        axis=(1, 2, 3),
    )
    assert float(weight) == 5
    assert float(total) == pytest.approx(float(errors.sum()), rel=1e-5)


def test_augmentation_changes_what_is_degraded_and_learnt_in_training() -> None:
    def brighter(batch: Any, key: Any) -> Any:
        return {**batch, "image": batch["image"] + 0.25}

    def trained(augment: Any, batch: Any) -> Any:
        step = map_step(
            train_step(
                FakeReconstructor(), CONFIG, optim.optimizer(CONFIG), degrade, None, augment
            ),
            1,
        )
        return step(start(FakeReconstructor(), CONFIG), batch)[0].params

    plain, augmented = trained(None, BATCH), trained(brighter, BATCH)
    by_hand = trained(None, brighter(BATCH, None))
    assert any(
        (a != b).any()
        for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(augmented), strict=True)
    )
    jax.tree.map(np.testing.assert_array_equal, augmented, by_hand)
