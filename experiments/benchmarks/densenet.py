"""The forward pass of an imported DenseNet-121 at 224 pixels against the PyTorch network whose
weights it has.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.harness import Comparison, benchmark
from fairrecon_jax.diagnosers import Classifier, Outputs
from fairrecon_jax.diagnosers.imports import import_variables

BLOCKS, GROWTH, OUTPUTS = (6, 12, 24, 16), 32, 18
SIZE, BATCH = 224, 4


def torch_network() -> Any:
    """DenseNet-121 in PyTorch, one channel in, under torchvision's names."""
    import torch
    from torch import nn

    torch.set_num_threads(len(os.sched_getaffinity(0)))

    class Layer(nn.Module):
        def __init__(self, inputs: int) -> None:
            super().__init__()
            self.norm1 = nn.BatchNorm2d(inputs)
            self.conv1 = nn.Conv2d(inputs, 4 * GROWTH, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(4 * GROWTH)
            self.conv2 = nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv1(torch.relu(self.norm1(x)))
            return torch.cat([x, self.conv2(torch.relu(self.norm2(y)))], 1)

    channels = 2 * GROWTH
    features = nn.Sequential()
    features.add_module("conv0", nn.Conv2d(1, channels, 7, 2, 3, bias=False))
    features.add_module("norm0", nn.BatchNorm2d(channels))
    features.add_module("relu0", nn.ReLU())
    features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
    for number, count in enumerate(BLOCKS, 1):
        block = nn.Sequential()
        for layer in range(1, count + 1):
            block.add_module(f"denselayer{layer}", Layer(channels))
            channels += GROWTH
        features.add_module(f"denseblock{number}", block)
        if number < len(BLOCKS):
            transition = nn.Sequential()
            transition.add_module("norm", nn.BatchNorm2d(channels))
            transition.add_module("relu", nn.ReLU())
            transition.add_module("conv", nn.Conv2d(channels, channels // 2, 1, bias=False))
            transition.add_module("pool", nn.AvgPool2d(2, 2))
            features.add_module(f"transition{number}", transition)
            channels //= 2
    features.add_module("norm5", nn.BatchNorm2d(channels))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = features
            self.classifier = nn.Linear(channels, OUTPUTS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(torch.relu(self.features(x)).mean((2, 3)))

    torch.manual_seed(0)
    return Network().eval()


@benchmark("densenet121_imported")
def densenet121() -> Comparison:
    """Scores of a batch of radiographs by both networks, PyTorch in channels-last, its faster
    layout.
    """
    import torch

    network = torch_network()
    model = Classifier(
        tuple(f"finding{i}" for i in range(OUTPUTS)),
        tuple(range(OUTPUTS)),
        "densenet121",
        readout=Outputs(classes=OUTPUTS),
    )
    with tempfile.TemporaryDirectory() as folder:
        torch.save(network.state_dict(), path := Path(folder) / "densenet121.pth")
        variables, _ = import_variables(model, [path], SIZE)
    image = np.random.default_rng(0).random((BATCH, SIZE, SIZE, 1), np.float32)
    given = torch.from_numpy(image.transpose(0, 3, 1, 2).copy())
    given = given.to(memory_format=torch.channels_last)
    network = network.to(memory_format=torch.channels_last)

    def theirs() -> np.ndarray:
        with torch.inference_mode():
            return torch.sigmoid(network(given)).numpy()

    run = jax.jit(model.predict)
    np.testing.assert_allclose(run(variables, image), theirs(), atol=1e-4)
    return Comparison(lambda: run(variables, image), theirs, image.shape, 7)
