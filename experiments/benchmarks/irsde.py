"""The diffusion model: one training step and one network evaluation against PyTorch, and the fast
sampler against the published one.

Same layout (attention at every level), batch and optimiser on both sides; PyTorch is limited to the
cores that this process may use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.harness import Comparison, benchmark
from fairrecon_jax.diffusion import PRESETS
from fairrecon_jax.reconstructors import IrsdeReconstructor

SIZE, BATCH, WIDTH, DEPTH = 64, 4, 16, 3
SHAPE = (BATCH, SIZE, SIZE, 1)
RATE = 1e-4
MODEL = IrsdeReconstructor(width=WIDTH, depth=DEPTH, bn_axis=None)


def _batch() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    ids = random.integers(0, 2**32, (BATCH, 2), dtype=np.uint32)
    image, degraded = (random.random(SHAPE, np.float32) for _ in range(2))
    return {
        "image": image,
        "degraded": degraded,
        "example_id": ids,
        "weight": np.ones(BATCH, np.float32),
    }


def _ours_step() -> Callable[[], jax.Array]:
    """One Adam step on the matching loss."""
    batch, optimiser = (
        {name: jnp.asarray(value) for name, value in _batch().items()},
        optax.adam(RATE),
    )
    variables = MODEL.init(jax.random.key(0), batch)

    def step(state: Any, batch: Any, key: Any) -> tuple[Any, jax.Array]:
        params, moments = state
        loss, gradient = jax.value_and_grad(
            lambda p: MODEL.loss({"params": p, "batch_stats": {}}, batch, key, False)[0]
        )(params)
        updates, moments = optimiser.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), loss

    run, key = jax.jit(step, donate_argnums=0), jax.random.key(1)
    state = (variables["params"], optimiser.init(variables["params"]))

    def once() -> jax.Array:
        nonlocal state
        state, loss = run(state, batch, key)
        return jax.block_until_ready((state, loss))[1]

    return once


def _torch_network() -> Any:
    import torch

    from experiments.benchmarks.torch_irsde import TorchConditionalUNet

    # As many cores as JAX uses in this process.
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return TorchConditionalUNet(WIDTH, DEPTH)


def _torch_step() -> Callable[[], float]:
    """The same step: fresh time and noise, reverse mean against optimal reverse state."""
    import torch

    network, sde = _torch_network(), MODEL.sde
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    image, mu = (
        torch.from_numpy(_batch()[name].transpose(0, 3, 1, 2).copy())
        for name in ("image", "degraded")
    )
    before = np.concatenate([[0.0], sde.Th[:-1]])
    step = sde.theta * sde.dt
    with np.errstate(divide="ignore", invalid="ignore"):
        below = -np.expm1(-2 * sde.Th)
        tables = (
            sde.a,
            sde.sg,
            step,
            2 * sde.lam**2 * step / sde.sg,
            np.exp(-step) * -np.expm1(-2 * before) / below,
        )
        tables = (*tables, np.exp(-before) * -np.expm1(-2 * step) / below)
    rows = torch.from_numpy(np.stack(tables).astype(np.float32))

    def once() -> float:
        t, noise = torch.randint(1, sde.T + 1, (BATCH,)), torch.randn_like(image)
        a, sg, pull, push, of_state, of_image = rows[:, t][:, :, None, None, None]
        x = mu + a * (image - mu) + sg * noise
        optimiser.zero_grad()
        reached = x + pull * (x - mu) - push * network(x, mu, t.float())
        loss = (reached - mu - of_state * (x - mu) - of_image * (image - mu)).abs().mean()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return once


def _ours_evaluation() -> Callable[[], jax.Array]:
    """One evaluation of the network and the update of a sampling step."""
    batch = _batch()
    variables, mu = MODEL.init(jax.random.key(0), batch), jnp.asarray(batch["degraded"])
    run = jax.jit(
        lambda v, x, mu, t: MODEL.sde.reverse_mean(x, mu, t, MODEL.noise_estimate(v, mu, x, t))
    )
    return lambda: run(variables, jnp.asarray(batch["image"]), mu, jnp.full(BATCH, 50))


def _torch_evaluation() -> Callable[[], Any]:
    import torch

    network, sde = _torch_network(), MODEL.sde
    x, mu = (
        torch.from_numpy(_batch()[name].transpose(0, 3, 1, 2).copy())
        for name in ("image", "degraded")
    )
    step = float(sde.theta[50] * sde.dt)
    push = 2 * sde.lam**2 * step / float(sde.sg[50])

    def once() -> Any:
        with torch.no_grad():
            return (x + step * (x - mu) - push * network(x, mu, torch.full((BATCH,), 50.0))).numpy()

    return once


def _sampling(preset: str) -> Callable[[], jax.Array]:
    model, batch = IrsdeReconstructor(width=WIDTH, depth=DEPTH, sampler=PRESETS[preset]), _batch()
    variables, keys = (
        MODEL.init(jax.random.key(0), batch),
        jax.random.split(jax.random.key(1), BATCH),
    )
    run = jax.jit(model.reconstruct)
    return lambda: run(variables, batch["degraded"], keys)


@benchmark("irsde_train_step")
def irsde_train_step() -> Comparison:
    """One Adam step of the matching loss against PyTorch."""
    return Comparison(_ours_step(), _torch_step(), SHAPE, 7)


@benchmark("irsde_sampling_step")
def irsde_sampling_step() -> Comparison:
    """One step of sampling against PyTorch."""
    return Comparison(_ours_evaluation(), _torch_evaluation(), SHAPE, 15)


@benchmark("irsde_fast_preset")
def irsde_fast_preset() -> Comparison:
    """The sampler `ode2_10` against the published 100 steps, on the same network."""
    return Comparison(_sampling("ode2_10"), _sampling("paper"), SHAPE, 3)
