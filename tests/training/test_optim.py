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


def test_constant_stays_after_the_warm_up() -> None:
    config = TrainConfig(9, 1, learning_rate=0.5, schedule="constant", warmup_steps=4)
    rate = learning_rate(config)
    assert [float(rate(step)) for step in range(7)] == pytest.approx(
        [0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    )


@pytest.mark.parametrize(("kind", "decay"), [("adam", 0.0), ("adam", 0.1), ("adamw", 0.1)])
def test_updates_are_those_of_torch(kind: str, decay: float) -> None:
    torch = pytest.importorskip("torch")
    ours = optimizer(
        TrainConfig(
            steps=20,
            batch_size=1,
            learning_rate=0.05,
            schedule="constant",
            optimizer=kind,
            b1=0.5,
            weight_decay=decay,
        )
    )
    start = np.array([1.0, -2.0, 3.0], np.float32)
    params, theirs = jnp.asarray(start), torch.nn.Parameter(torch.tensor(start))
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    other = make([theirs], lr=0.05, betas=(0.5, 0.999), weight_decay=decay)
    state = ours.init(params)
    for _ in range(20):
        updates, state = ours.update(2 * params + 0.3, state, params)
        params = params + updates
        other.zero_grad()
        (theirs**2 + 0.3 * theirs).sum().backward()
        other.step()
    np.testing.assert_allclose(
        params, theirs.detach().numpy(), rtol=5e-5
    )  # optax computes 1 - b2^t in float32


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
