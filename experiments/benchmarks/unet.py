"""One U-Net training step and one forward pass against PyTorch, in its default layout and in
channels-last.

Same architecture, batch and optimiser on both sides; PyTorch is limited to the cores that this
process may use, which JAX uses too.
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
from fairrecon_jax.models import UNet, init_network

SIZE, BATCH, WIDTH, DEPTH = 128, 4, 32, 4
SHAPE = (BATCH, SIZE, SIZE, 1)
RATE = 1e-3


def _images() -> tuple[np.ndarray, np.ndarray]:
    """A degraded and an original batch, [BATCH, SIZE, SIZE, 1] float32."""
    random = np.random.default_rng(0)
    return random.random(SHAPE, np.float32), random.random(SHAPE, np.float32)


def _ours_forward() -> Callable[[], jax.Array]:
    network, image = UNet(1, WIDTH, DEPTH), jnp.asarray(_images()[0])
    params = init_network(network, "unet", jax.random.key(0), image)["params"]["unet"]
    run = jax.jit(network.apply)
    return lambda: run({"params": params}, image)


def _ours_step() -> Callable[[], jax.Array]:
    network, optimiser = UNet(1, WIDTH, DEPTH), optax.adam(RATE)
    degraded, image = (jnp.asarray(x) for x in _images())
    params = init_network(network, "unet", jax.random.key(0), image)["params"]["unet"]

    def step(state: Any, degraded: jax.Array, image: jax.Array) -> tuple[Any, jax.Array]:
        def loss_of(params: Any) -> jax.Array:
            return jnp.mean((network.apply({"params": params}, degraded) - image) ** 2)

        params, moments = state
        loss, gradient = jax.value_and_grad(loss_of)(params)
        updates, moments = optimiser.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), loss

    run = jax.jit(step, donate_argnums=0)
    state = (params, optimiser.init(params))

    def once() -> jax.Array:
        nonlocal state
        state, loss = run(state, degraded, image)
        return jax.block_until_ready((state, loss))[1]

    return once


def _torch_network() -> Any:
    """The same U-Net in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(len(os.sched_getaffinity(0)))

    def block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.ReLU(),
        )

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [WIDTH * 2**level for level in range(DEPTH + 1)]
            self.down = nn.ModuleList(
                [
                    block(inputs, outputs)
                    for inputs, outputs in zip([1, *widths[:-2]], widths[:-1], strict=True)
                ]
            )
            self.bottom = block(widths[-2], widths[-1])
            self.upconv = nn.ModuleList(
                [nn.ConvTranspose2d(2 * width, width, 2, 2) for width in widths[:-1]]
            )
            self.up = nn.ModuleList([block(2 * width, width) for width in widths[:-1]])
            self.head = nn.Conv2d(WIDTH, 1, 1)

        def forward(self, x: Any) -> Any:
            skips = []
            for down in self.down:
                skips.append(down(x))
                x = nn.functional.max_pool2d(skips[-1], 2)
            x = self.bottom(x)
            for level in reversed(range(DEPTH)):
                x = self.up[level](torch.cat([skips[level], self.upconv[level](x)], dim=1))
            return self.head(x)

    return Network()


def _torch_parts(channels_last: bool) -> tuple[Any, Any, Any]:
    """The network and both batches in one memory layout."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    degraded, image = (
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=layout) for x in _images()
    )
    return _torch_network().to(memory_format=layout), degraded, image


def _torch_forward(channels_last: bool) -> Callable[[], Any]:
    import torch

    network, degraded, _ = _torch_parts(channels_last)

    def once() -> Any:
        with torch.no_grad():
            return network(degraded).numpy()

    return once


def _torch_step(channels_last: bool) -> Callable[[], float]:
    import torch

    network, degraded, image = _torch_parts(channels_last)
    optimiser = torch.optim.Adam(network.parameters(), RATE)

    def once() -> float:
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(network(degraded), image)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return once


@benchmark("unet_train_step")
def unet_train_step() -> Comparison:
    """One Adam step against PyTorch's default layout."""
    return Comparison(_ours_step(), _torch_step(False), SHAPE, 7)


@benchmark("unet_train_step_channels_last")
def unet_train_step_channels_last() -> Comparison:
    """One Adam step against PyTorch's channels-last layout."""
    return Comparison(_ours_step(), _torch_step(True), SHAPE, 7)


@benchmark("unet_forward")
def unet_forward() -> Comparison:
    """One forward pass against PyTorch's default layout."""
    return Comparison(_ours_forward(), _torch_forward(False), SHAPE, 15)


@benchmark("unet_forward_channels_last")
def unet_forward_channels_last() -> Comparison:
    """One forward pass against PyTorch's channels-last layout."""
    return Comparison(_ours_forward(), _torch_forward(True), SHAPE, 15)
