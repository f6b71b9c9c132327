"""One Pix2Pix training step (discriminator and generator, an Adam update each) against PyTorch, in
its default layout and channels-last.

Same architectures, batch, losses and optimisers on both sides; PyTorch is limited to the cores that
this process may use, which JAX uses too. PyTorch runs the generator once a step, as the published
code does, ours once for each network.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.harness import Comparison, benchmark
from fairrecon_jax.reconstructors import Pix2PixReconstructor
from fairrecon_jax.runtime.devices import map_step
from fairrecon_jax.training import TrainConfig, optim
from fairrecon_jax.training.state import create
from fairrecon_jax.training.step import train_step

SIZE, BATCH, WIDTH, DEPTH, LAYERS = 128, 4, 32, 7, 3
SHAPE = (BATCH, SIZE, SIZE, 1)
RATE, LAMBDA = 2e-4, 1000.0


def _images() -> tuple[np.ndarray, np.ndarray]:
    """A degraded and an original batch, [BATCH, SIZE, SIZE, 1] float32."""
    random = np.random.default_rng(0)
    return random.random(SHAPE, np.float32), random.random(SHAPE, np.float32)


def _ours_step() -> Callable[[], Any]:
    degraded, image = _images()
    batch = {
        "degraded": degraded,
        "image": image,
        "weight": np.ones(BATCH, np.float32),
        "example_id": np.zeros((BATCH, 2), np.uint32),
    }
    reconstructor = Pix2PixReconstructor(
        WIDTH, DEPTH, disc_width=WIDTH, disc_layers=LAYERS, lambda_l1=LAMBDA
    )
    config = TrainConfig(1000, BATCH, RATE, b1=0.5)
    optimizer = optim.optimizer(config)
    networks = tuple(phase.network for phase in reconstructor.phases)
    state = create(reconstructor.init(jax.random.key(0), batch), networks, optimizer, 0, False, {})
    run = map_step(train_step(reconstructor, config, optimizer), 1)

    def once() -> Any:
        nonlocal state
        state, metrics = run(state, batch)
        return jax.block_until_ready((state, metrics))[1]

    return once


def _torch_networks() -> tuple[Any, Any]:
    """The same generator and discriminator in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    widths = [WIDTH * min(2**level, 8) for level in range(DEPTH)]

    class Generator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inputs = [1, *widths[:-1]]
            self.down = nn.ModuleList(
                [nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in zip(inputs, widths, strict=True)]
            )
            self.down_norm = nn.ModuleList([nn.BatchNorm2d(width) for width in widths[1:-1]])
            wide = [2 * width for width in widths[:-1]] + [widths[-1]]
            self.up = nn.ModuleList(
                [
                    nn.ConvTranspose2d(a, b, 4, 2, 1, bias=b == 1)
                    for a, b in zip(wide, inputs, strict=True)
                ]
            )
            self.up_norm = nn.ModuleList([nn.BatchNorm2d(width) for width in widths[:-1]])

        def forward(self, x: Any) -> Any:
            skips = []
            for level, down in enumerate(self.down):
                x = down(x if level == 0 else nn.functional.leaky_relu(x, 0.2))
                x = self.down_norm[level - 1](x) if 0 < level < DEPTH - 1 else x
                skips.append(x)
            for level in reversed(range(1, DEPTH)):
                x = self.up_norm[level - 1](self.up[level](nn.functional.relu(x)))
                x = torch.cat([skips[level - 1], x], dim=1)
            return torch.sigmoid(self.up[0](nn.functional.relu(x)))

    parts: list[Any] = [nn.Conv2d(2, WIDTH, 4, 2, 1), nn.LeakyReLU(0.2)]
    for layer in range(1, LAYERS + 1):
        inputs, outputs = WIDTH * 2 ** (layer - 1), WIDTH * 2**layer
        parts += [
            nn.Conv2d(inputs, outputs, 4, 2 if layer < LAYERS else 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2),
        ]
    return Generator(), nn.Sequential(*parts, nn.Conv2d(WIDTH * 2**LAYERS, 1, 4, 1, 1))


def _torch_step(channels_last: bool) -> Callable[[], float]:
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    generator, judge = (network.to(memory_format=layout) for network in _torch_networks())
    degraded, image = (
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=layout) for x in _images()
    )
    optimisers = [
        torch.optim.Adam(network.parameters(), RATE, (0.5, 0.999)) for network in (generator, judge)
    ]

    def loss_of(image: Any, real: float) -> Any:
        logits = judge(torch.cat([degraded, image], dim=1))
        return torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, real)
        )

    def once() -> float:
        fake = generator(degraded)
        judge.requires_grad_(True)
        optimisers[1].zero_grad()
        ((loss_of(fake.detach(), 0.0) + loss_of(image, 1.0)) / 2).backward()
        optimisers[1].step()
        judge.requires_grad_(False)
        optimisers[0].zero_grad()
        loss = loss_of(fake, 1.0) + LAMBDA * (fake - image).abs().mean()
        loss.backward()
        optimisers[0].step()
        return float(loss.detach())

    return once


@benchmark("pix2pix_train_step")
def pix2pix_train_step() -> Comparison:
    """One step of both networks against PyTorch's default layout."""
    return Comparison(_ours_step(), _torch_step(False), SHAPE, 7)


@benchmark("pix2pix_train_step_channels_last")
def pix2pix_train_step_channels_last() -> Comparison:
    """One step of both networks against PyTorch's channels-last layout."""
    return Comparison(_ours_step(), _torch_step(True), SHAPE, 7)
