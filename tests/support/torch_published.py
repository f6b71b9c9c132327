"""PyTorch networks with the key names of published packages that do not install beside the CPU
build (segmentation_models_pytorch and torchxrayvision need torchvision, fastMRI Lightning), written
from their published architectures; references for parity.
"""

from __future__ import annotations

import pytest

from tests.support.torch_networks import BasicBlock, TorchDenseNet, TorchResNet

torch = pytest.importorskip("torch")
nn = torch.nn
functional = torch.nn.functional


class SmpUNet(nn.Module):
    """Keys encoder.layer1.0.conv1, decoder.blocks.0.conv1.0 and .1, segmentation_head.0."""

    def __init__(self, width: int, classes: int, channels: int = 1) -> None:
        super().__init__()
        self.encoder = TorchResNet(BasicBlock, (3, 4, 6, 3), width, 1, channels)
        del self.encoder.fc
        skips = [4 * width, 2 * width, width, width, 0]
        inputs, blocks = 8 * width, []
        for i, skip in enumerate(skips):
            block, outputs = nn.Module(), 4 * width // 2**i
            block.conv1 = self._conv(inputs + skip, outputs)
            block.conv2 = self._conv(outputs, outputs)
            blocks.append(block)
            inputs = outputs
        self.decoder = nn.Module()
        self.decoder.blocks = nn.ModuleList(blocks)
        self.segmentation_head = nn.Sequential(
            nn.Conv2d(inputs, classes, 3, padding=1), nn.Identity()
        )

    def _conv(self, inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )

    def forward(self, x):
        encoder = self.encoder
        x = functional.relu(encoder.bn1(encoder.conv1(x)))
        features = [x]
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(4):
            x = getattr(encoder, f"layer{stage + 1}")(x)
            features.append(x)
        features.pop()
        for block in self.decoder.blocks:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = torch.cat([x, features.pop()], dim=1) if features else x
            x = block.conv2(block.conv1(x))
        return self.segmentation_head(x)


class FastMriBlock(nn.Module):
    """Keys layers.0 and layers.4; `up`: layers.0 alone, a transposed convolution."""

    def __init__(self, inputs: int, outputs: int, up: bool = False) -> None:
        super().__init__()

        def behind():
            return [nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]

        if up:
            layers = [nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False), *behind()]
        else:
            layers = []
            for channels in (inputs, outputs):
                layers.append(nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
                layers += [*behind(), nn.Dropout2d(0.1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class FastMri(nn.Module):
    """Keys down_sample_layers.0, conv, up_transpose_conv.0, up_conv.0, up_conv.<last>.0 and .1."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(depth + 1)]
        self.down_sample_layers = nn.ModuleList(
            FastMriBlock(widths[i - 1] if i else 1, widths[i]) for i in range(depth)
        )
        self.conv = FastMriBlock(widths[-2], widths[-1])
        self.up_transpose_conv, self.up_conv = nn.ModuleList(), nn.ModuleList()
        for i in reversed(range(depth)):
            self.up_transpose_conv.append(FastMriBlock(widths[i + 1], widths[i], up=True))
            block = FastMriBlock(2 * widths[i], widths[i])
            self.up_conv.append(block if i else nn.Sequential(block, nn.Conv2d(width, 1, 1)))

    def forward(self, x):
        stack = []
        for layer in self.down_sample_layers:
            x = layer(x)
            stack.append(x)
            x = functional.avg_pool2d(x, 2)
        x = self.conv(x)
        for up, conv in zip(self.up_transpose_conv, self.up_conv):
            skip, x = stack.pop(), up(x)
            missing = [skip.shape[-1] - x.shape[-1], skip.shape[-2] - x.shape[-2]]
            if any(missing):
                x = functional.pad(x, [0, missing[0], 0, missing[1]], "reflect")
            x = conv(torch.cat([x, skip], dim=1))
        return x


class XrvDenseNet(TorchDenseNet):
    """torchxrayvision's DenseNet: images in [-1024, 1024], resized without antialiasing, scores
    normalised by `op_threshs`.
    """

    def __init__(self, growth: int, blocks: tuple[int, ...], outputs: int, size: int) -> None:
        super().__init__(growth, blocks, outputs)
        self.size = size
        self.register_buffer("op_threshs", torch.linspace(0.1, 0.8, outputs))

    def forward(self, x):
        x = functional.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=False)
        scores = torch.sigmoid(super().forward(x))
        low = scores / (2 * self.op_threshs)
        high = 1 - (1 - scores) / (2 * (1 - self.op_threshs))
        return torch.where(scores < self.op_threshs, low, high)
