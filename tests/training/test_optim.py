from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.optim import learning_rate, optimizer


@pytest.mark.parametrize(("warmup", "steps"), [(0, 40), (10, 50)])
def test_cosine_follows_its_formula(warmup: int, steps: int) -> None:
    rate = learning_rate(
        TrainConfig(
            steps=steps, batch_size=1, learning_rate=0.3, schedule="cosine", warmup_steps=warmup
        )
    )
    for step in range(steps + 1):
        expected = (
            0.3 * step / warmup
            if step < warmup
            else 0.3 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
        )
        assert float(rate(step)) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 40), (10, 31)])
def test_the_second_half_is_linear(warmup: int, steps: int) -> None:
    config = TrainConfig(steps, 1, 0.3, schedule="half_linear", warmup_steps=warmup)
    rate, half = learning_rate(config), warmup + (steps - warmup) // 2
    for step in range(warmup, steps + 1):
        left = (steps - step) / (steps - half)
        assert float(rate(step)) == pytest.approx(0.3 * min(1.0, left), abs=1e-7)
    assert float(rate(half)) == pytest.approx(0.3)
    assert float(rate(steps)) == 0


@pytest.mark.parametrize("schedule", ["half_linear", "cosine"])
@pytest.mark.parametrize("epochs", [8, 7, 2])
def test_the_rate_of_an_epoch_is_that_of_torch(schedule: str, epochs: int) -> None:
    """Pix2Pix is published with a `LambdaLR`, constant epochs first and then falling ones."""
    torch = pytest.importorskip("torch")
    every, warmup, constant = 5, 3, epochs // 2
    # the last epoch is cut short
    steps = warmup + epochs * every - 2
    config = TrainConfig(
        steps, 1, 0.3, schedule=schedule, schedule_every=every, warmup_steps=warmup
    )
    rate, theirs = learning_rate(config), torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 0.3)

    def factor(epoch: int) -> float:
        return 1 - max(0, epoch + 1 - constant) / (epochs - constant + 1)

    of_epochs = {
        "half_linear": lambda: torch.optim.lr_scheduler.LambdaLR(theirs, factor),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(theirs, epochs),
    }[schedule]()
    seen = []
    for step in range(warmup, steps):
        wanted = theirs.param_groups[0]["lr"]
        assert float(rate(jnp.int32(step))) == pytest.approx(wanted, rel=1e-5)
        seen.append(wanted)
        if (step - warmup) % every == every - 1:
            theirs.step()
            of_epochs.step()
    assert len(set(seen)) == (epochs - constant + 1 if schedule == "half_linear" else epochs)


def test_an_epoch_longer_than_the_training_keeps_the_rate() -> None:
    rate = learning_rate(TrainConfig(9, 1, 0.3, schedule="half_linear", schedule_every=10))
    assert [float(rate(step)) for step in (0, 8)] == pytest.approx([0.3, 0.3])


def test_constant_stays_after_the_warm_up() -> None:
    config = TrainConfig(9, 1, learning_rate=0.5, schedule="constant", warmup_steps=4)
    rate = learning_rate(config)
    assert [float(rate(step)) for step in range(7)] == pytest.approx(
        [0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    )


KINDS = [("adam", 0.0), ("adam", 0.1), ("adamw", 0.1), ("amsgrad", 0.0), ("amsgrad", 0.1)]


@pytest.mark.parametrize(("kind", "decay"), KINDS)
@pytest.mark.parametrize("b1", [0.5, 0.0])
def test_updates_are_those_of_torch(kind: str, decay: float, b1: float) -> None:
    torch = pytest.importorskip("torch")
    ours = optimizer(
        TrainConfig(
            steps=20,
            batch_size=1,
            learning_rate=0.05,
            schedule="constant",
            optimizer=kind,
            b1=b1,
            b2=0.99,
            weight_decay=decay,
        )
    )
    start = np.array([1.0, -2.0, 3.0], np.float32)
    params, theirs = jnp.asarray(start), torch.nn.Parameter(torch.tensor(start))
    fields = {"lr": 0.05, "betas": (b1, 0.99), "weight_decay": decay}
    if kind == "adamw":
        other = torch.optim.AdamW([theirs], **fields)
    else:
        other = torch.optim.Adam([theirs], amsgrad=kind == "amsgrad", **fields)
    state = ours.init(params)
    for step in range(20):
        # a burst that later steps must remember, or forget
        scale = 30.0 if step == 4 else 1.0
        updates, state = ours.update(scale * (2 * params + 0.3), state, params)
        params = params + updates
        other.zero_grad()
        (scale * (theirs**2 + 0.3 * theirs)).sum().backward()
        other.step()
    np.testing.assert_allclose(
        params, theirs.detach().numpy(), rtol=5e-5
    )  # optax computes 1 - b2^t in float32


def test_amsgrad_never_forgets_a_large_gradient() -> None:
    ours = optimizer(
        TrainConfig(9, 1, 0.05, schedule="constant", optimizer="amsgrad", weight_decay=0.1)
    )
    params, state, largest = jnp.array([2.0]), ours.init(jnp.array([2.0])), 0.0
    moments, seen = np.zeros(2), []
    for step, slope in enumerate([30.0, 1.0, -1.0, 1.0], start=1):
        # by hand, in float64: decay added to the gradient, then the moments
        gradient = slope + 0.1 * float(params[0])
        moments = moments * [0.9, 0.999] + np.array([gradient, gradient**2]) * [0.1, 0.001]
        # before the correction of the bias
        largest = max(largest, moments[1])
        seen.append(moments[1] < largest)
        corrected = np.array([moments[0], largest]) / (1 - np.array([0.9, 0.999]) ** step)
        updates, state = ours.update(jnp.array([slope]), state, params)
        wanted = -0.05 * corrected[0] / (math.sqrt(corrected[1]) + 1e-8)
        assert float(updates[0]) == pytest.approx(wanted, rel=1e-5)
        params = params + updates
    assert any(seen)


def test_clipping_bounds_the_gradient_before_adam() -> None:
    free = optimizer(TrainConfig(steps=2, batch_size=1))
    bound = optimizer(TrainConfig(steps=2, batch_size=1, clip_norm=1.0))
    params, gradient = jnp.zeros(2), jnp.array([3.0, 4.0])
    clipped = bound.update(gradient, bound.init(params), params)[1]
    scaled = free.update(gradient / 5, free.init(params), params)[1]
    moments = [
        next(part.mu for part in state if hasattr(part, "mu")) for state in (clipped, scaled)
    ]
    np.testing.assert_allclose(moments[0], moments[1], rtol=1e-6)
