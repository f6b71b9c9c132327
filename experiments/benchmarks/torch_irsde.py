"""The conditional U-Net in PyTorch, in the published layout and key names: the peer of benchmarks
and of the parity test.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class TorchNoiseBlock(nn.Module):
    """A residual block with scale and shift from time."""

    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * outputs))
        self.block1, self.block2 = nn.Module(), nn.Module()
        self.block1.proj = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.block2.proj = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.res_conv = (
            nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        )

    def forward(self, x: Any, t: Any) -> Any:
        """The result."""
        scale, shift = self.mlp(t)[:, :, None, None].chunk(2, dim=1)
        y = functional.silu(self.block1.proj(x) * (scale + 1) + shift)
        return functional.silu(self.block2.proj(y)) + self.res_conv(x)


class TorchChannelNorm(nn.Module):
    """Normalisation over channels with a scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Any) -> Any:
        """The result."""
        variance, mean = torch.var_mean(x, dim=1, unbiased=False, keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt() * self.g


class TorchLinearAttention(nn.Module):
    """Linear attention, 4 heads of 32 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(channels, 384, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(128, channels, 1), TorchChannelNorm(channels))

    def forward(self, x: Any) -> Any:
        """The result."""
        batch, _, height, width = x.shape
        q, k, v = (
            part.reshape(batch, 4, 32, height * width) for part in self.to_qkv(x).chunk(3, dim=1)
        )
        q, k = q.softmax(dim=2) / 32**0.5, k.softmax(dim=3)
        context = k @ v.transpose(2, 3) / (height * width)
        return self.to_out((context.transpose(2, 3) @ q).reshape(batch, 128, height, width))


class TorchAttended(nn.Module):
    """x + attention of the normalised x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fn = nn.Module()
        self.fn.norm, self.fn.fn = TorchChannelNorm(channels), TorchLinearAttention(channels)

    def forward(self, x: Any) -> Any:
        """The result."""
        return x + self.fn.fn(self.fn.norm(x))


class TorchSinusoids(nn.Module):
    """Sines and cosines of the time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, t: Any) -> Any:
        """The result."""
        half = self.width // 2
        angles = t[:, None] * torch.exp(
            torch.arange(half) * -(torch.log(torch.tensor(10000.0)) / (half - 1))
        )
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class TorchConditionalUNet(nn.Module):
    """Keys init_conv, time_mlp.1, downs.0.0.mlp.1, downs.0.2.fn.fn.to_qkv, downs.0.3, mid_attn,
    ups.0.3.1, final_res_block, final_conv.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        time, wide = 4 * width, width * 2**depth
        self.init_conv = nn.Conv2d(2, width, 7, padding=3, bias=False)
        self.time_mlp = nn.Sequential(
            TorchSinusoids(width), nn.Linear(width, time), nn.GELU(), nn.Linear(time, time)
        )
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i in range(depth):
            low, high = width * 2**i, width * 2 ** (i + 1)
            shrink = (
                nn.Conv2d(low, high, 4, 2, 1)
                if i < depth - 1
                else nn.Conv2d(low, high, 3, padding=1, bias=False)
            )
            down = [
                TorchNoiseBlock(low, low, time),
                TorchNoiseBlock(low, low, time),
                TorchAttended(low),
                shrink,
            ]
            self.downs.append(nn.ModuleList(down))
            grow = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(high, low, 3, padding=1))
            grow = grow if i > 0 else nn.Conv2d(high, low, 3, padding=1, bias=False)
            up = [
                TorchNoiseBlock(high + low, high, time),
                TorchNoiseBlock(high + low, high, time),
                TorchAttended(high),
                grow,
            ]
            self.ups.insert(0, nn.ModuleList(up))
        self.mid_block1, self.mid_block2 = (
            TorchNoiseBlock(wide, wide, time),
            TorchNoiseBlock(wide, wide, time),
        )
        self.mid_attn = TorchAttended(wide)
        self.final_res_block = TorchNoiseBlock(2 * width, width, time)
        self.final_conv = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Any, cond: Any, t: Any) -> Any:
        """The result."""
        x = self.init_conv(torch.cat([x - cond, cond], dim=1))
        first, t, skips = x, self.time_mlp(t), []
        for block1, block2, attention, shrink in self.downs:
            skips.append(block1(x, t))
            skips.append(attention(block2(skips[-1], t)))
            x = shrink(skips[-1])
        x = self.mid_block2(self.mid_attn(self.mid_block1(x, t)), t)
        for block1, block2, attention, grow in self.ups:
            x = block1(torch.cat([x, skips.pop()], dim=1), t)
            x = block2(torch.cat([x, skips.pop()], dim=1), t)
            x = grow(attention(x))
        return self.final_conv(self.final_res_block(torch.cat([x, first], dim=1), t))
