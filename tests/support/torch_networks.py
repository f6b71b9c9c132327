"""Small PyTorch networks with the key names under which weights are published; references for
parity.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
functional = torch.nn.functional


class PaperBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=not norm)
        self.norm1 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm2d(outputs) if norm else nn.Identity()

    def forward(self, x):
        return functional.relu(self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x))))))


class PaperUNet(nn.Module):
    """Keys d1.conv.conv1, b.conv1, u1.up, u1.conv.conv1, outputs; joins (upsampled, skip)."""

    def __init__(self, width: int, depth: int, norm: bool = False, channels: int = 1) -> None:
        super().__init__()
        self.depth = depth
        widths = [width * 2**i for i in range(depth + 1)]
        for i in range(depth):
            down, up = nn.Module(), nn.Module()
            down.conv = PaperBlock(channels if i == 0 else widths[i - 1], widths[i], norm)
            up.up = nn.ConvTranspose2d(widths[depth - i], widths[depth - i - 1], 2, 2)
            up.conv = PaperBlock(widths[depth - i], widths[depth - i - 1], norm)
            setattr(self, f"d{i + 1}", down)
            setattr(self, f"u{i + 1}", up)
        self.b = PaperBlock(widths[-2], widths[-1], norm)
        self.outputs = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        skips = []
        for i in range(self.depth):
            skips.append(getattr(self, f"d{i + 1}").conv(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.b(x)
        for i in range(self.depth):
            up = getattr(self, f"u{i + 1}")
            x = up.conv(torch.cat([up.up(x), skips.pop()], dim=1))
        return self.outputs(x)


class DoubleConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: bool) -> None:
        super().__init__()
        layers = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=not norm)]
            layers += [nn.BatchNorm2d(outputs)] if norm else []
            layers += [nn.ReLU()]
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.double_conv(x)


class DoubleConvUNet(nn.Module):
    """Keys inc.double_conv.0, down1.maxpool_conv.1.double_conv.0, up1.up, up1.conv.double_conv.0,
    outc.conv; joins (skip, upsampled).
    """

    def __init__(self, width: int, depth: int, norm: bool = True) -> None:
        super().__init__()
        self.depth = depth
        self.inc = DoubleConv(1, width, norm)
        for i in range(depth):
            down, up = nn.Module(), nn.Module()
            down.maxpool_conv = nn.Sequential(
                nn.MaxPool2d(2), DoubleConv(width * 2**i, width * 2 ** (i + 1), norm)
            )
            wide = width * 2 ** (depth - i)
            up.up = nn.ConvTranspose2d(wide, wide // 2, 2, 2)
            up.conv = DoubleConv(wide, wide // 2, norm)
            setattr(self, f"down{i + 1}", down)
            setattr(self, f"up{i + 1}", up)
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        features = [self.inc(x)]
        for i in range(self.depth):
            features.append(getattr(self, f"down{i + 1}").maxpool_conv(features[-1]))
        x = features.pop()
        for i in range(self.depth):
            up = getattr(self, f"up{i + 1}")
            x = up.conv(torch.cat([features.pop(), up.up(x)], dim=1))
        return self.outc.conv(x)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs: int, features: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        if stride != 1 or inputs != features:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, features, 1, stride, bias=False), nn.BatchNorm2d(features)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs: int, features: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, features, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.conv3 = nn.Conv2d(features, 4 * features, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * features)
        if stride != 1 or inputs != 4 * features:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * features, 1, stride, bias=False), nn.BatchNorm2d(4 * features)
            )

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(functional.relu(self.bn2(self.conv2(y)))))
        return functional.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class TorchResNet(nn.Module):
    """torchvision's key names: conv1, bn1, layer1.0.conv1, layer1.0.downsample.0, fc."""

    def __init__(
        self, block: type, stages: tuple[int, ...], width: int, outputs: int, channels: int = 3
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage, count in enumerate(stages):
            blocks = []
            for i in range(count):
                blocks.append(block(inputs, width * 2**stage, 2 if stage and i == 0 else 1))
                inputs = width * 2**stage * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(4):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean(dim=(2, 3)))


class PaperClassifier(nn.Module):
    """Keys classifier.conv1 ... and fc_layers.0, fc_layers.2, fc_layers.4."""

    def __init__(self, width: int, hidden: tuple[int, int], outputs: int) -> None:
        super().__init__()
        self.classifier = TorchResNet(BasicBlock, (2, 2, 2, 2), width, 1, channels=1)
        self.classifier.fc = nn.Identity()
        widths = (8 * width, *hidden, outputs)
        layers = [
            layer for i in range(3) for layer in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU())
        ]
        self.fc_layers = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.fc_layers(self.classifier(x))


class TorchDenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv2(functional.relu(self.norm2(self.conv1(functional.relu(self.norm1(x))))))
        return torch.cat([x, y], dim=1)


class TorchDenseNet(nn.Module):
    """torchvision's key names: features.conv0, features.denseblock1.denselayer1.norm1,
    features.transition1.conv, classifier.
    """

    def __init__(self, growth: int, blocks: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        channels = 2 * growth
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(1, channels, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(channels))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        for b, count in enumerate(blocks, start=1):
            block = nn.Sequential()
            for i in range(1, count + 1):
                block.add_module(f"denselayer{i}", TorchDenseLayer(channels, growth))
                channels += growth
            self.features.add_module(f"denseblock{b}", block)
            if b < len(blocks):
                transition = nn.Sequential()
                transition.add_module("norm", nn.BatchNorm2d(channels))
                transition.add_module("relu", nn.ReLU())
                transition.add_module("conv", nn.Conv2d(channels, channels // 2, 1, bias=False))
                transition.add_module("pool", nn.AvgPool2d(2, 2))
                self.features.add_module(f"transition{b}", transition)
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, outputs)

    def forward(self, x):
        return self.classifier(functional.relu(self.features(x)).mean(dim=(2, 3)))


def randomise(module, seed: int = 0):
    """Gives every parameter and running statistic a value that a mix-up would show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
            elif value.ndim == 1:
                value.copy_(0.2 * torch.randn(value.shape, generator=generator))
            elif value.ndim > 1:
                value.copy_(
                    torch.randn(value.shape, generator=generator) * (1.5 / value[0].numel()) ** 0.5
                )
    return module


class TorchUnetBlock(nn.Module):
    """One level of the Pix2Pix generator: down, what lies inside, up; all but the outermost add
    their input. Keys model.<position>.
    """

    def __init__(
        self, outer: int, inner: int, inside: nn.Module | None, outermost: bool = False
    ) -> None:
        super().__init__()
        self.outermost = outermost
        down = [] if outermost else [nn.LeakyReLU(0.2)]
        down += [nn.Conv2d(1 if outermost else outer, inner, 4, 2, 1, bias=False)]
        down += [] if outermost or inside is None else [nn.BatchNorm2d(inner)]
        wide = inner if inside is None else 2 * inner
        up = [
            nn.ReLU(),
            nn.ConvTranspose2d(wide, outer, 4, 2, 1, bias=outermost),
            nn.Sigmoid() if outermost else nn.BatchNorm2d(outer),
        ]
        self.model = nn.Sequential(*down, *([] if inside is None else [inside]), *up)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], dim=1)


class TorchGenerator(nn.Module):
    """Keys model.model.0, model.model.1.model.1, model.model.1.model.3.model.1 and so on."""

    def __init__(self, width: int, downsamplings: int) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(downsamplings)]
        block = None
        for level in reversed(range(1, downsamplings)):
            block = TorchUnetBlock(widths[level - 1], widths[level], block)
        self.model = TorchUnetBlock(1, width, block, outermost=True)

    def forward(self, x):
        return self.model(x)


class TorchDiscriminator(nn.Module):
    """Keys model.0, model.2, model.3 and so on."""

    def __init__(self, width: int, layers: int = 3) -> None:
        super().__init__()
        parts, inputs = [nn.Conv2d(2, width, 4, 2, 1), nn.LeakyReLU(0.2)], width
        for layer in range(1, layers + 1):
            outputs = width * min(2**layer, 8)
            parts += [
                nn.Conv2d(inputs, outputs, 4, 2 if layer < layers else 1, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2),
            ]
            inputs = outputs
        self.model = nn.Sequential(*parts, nn.Conv2d(inputs, 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)
