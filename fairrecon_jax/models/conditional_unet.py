"""The U-Net of the mean-reverting diffusion model: conditioned on a degraded image and on time."""

from __future__ import annotations

import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import recomputed
from fairrecon_jax.models.start import Start
from fairrecon_jax.models.unet import reflect_to_multiple
from fairrecon_jax.types import Array

HEADS, HEAD_WIDTH = 4, 32


class ConditionalUNet(nn.Module):
    """Noise estimate from a noisy image, its degraded image and the time.

    The input is (x - cond, cond), through a 7x7 convolution. Each of `depth` levels has two
    residual blocks, linear attention and a 4x4 convolution of stride 2 that doubles the channels
    (3x3 without stride at the last level); the way up mirrors it with nearest neighbours and a 3x3
    convolution, and takes the output of every block of the way down. A last residual block sees the
    first features.

    At width 64 and depth 4 with one channel: 137,133,825 parameters.

    Attributes:
      out_channels: channels of the result.
      width: channels of the first level; doubled at every level.
      depth: number of levels; the image is halved depth - 1 times.
      attention: linear attention at every level (on in the paper).
      patch: blocks of patch x patch pixels become channels of the network and back, which makes it
        patch^2 times cheaper; 1 in the paper.
      dtype: type of the computation; parameters and the result stay float32.
      remat: compute each block anew for the gradient, see `recomputed`.

    Example:
      >>> network, t = ConditionalUNet(width=2, depth=1), np.array([3, 50])
      >>> noisy, degraded = np.zeros((2, 2, 16, 16, 1), np.float32)
      >>> shapes = jax.eval_shape(network.init_with_output, jax.random.key(0), noisy, degraded, t)
      >>> shapes[0].shape
      (2, 16, 16, 1)

    Reference: Luo et al., "Image Restoration with Mean-Reverting Stochastic Differential
    Equations", ICML 2023.
    """

    out_channels: int = 1
    width: int = 64
    depth: int = 4
    attention: bool = True
    patch: int = 1
    dtype: jnp.dtype | None = None
    remat: bool = False

    start: ClassVar[Start] = "fan_in"

    @nn.compact
    def __call__(self, x: Array, cond: Array, t: Array, train: bool = False) -> jax.Array:
        """Estimates the noise.

        Sizes that do not divide by patch * 2^depth are extended at the lower and right border by
        reflection and cut back at the end.

        Args:
          x: noisy images [B, H, W, C].
          cond: degraded images [B, H, W, C].
          t: times [B], integer or float.
          train: not used; the network is the same in training.

        Returns:
          [B, H, W, out_channels] float32.

        Raises:
          ValueError: the image is too small to be extended by reflection.
        """
        height, width = x.shape[1:3]
        # As published: multiples of 2^depth, although depth - 1 halvings need only half of that.
        x = reflect_to_multiple(
            jnp.concatenate([x - cond, cond], axis=-1), self.patch * 2**self.depth
        )
        time = TimeEmbedding(self.width, self.dtype, name="time")(t)
        first = x = self._conv(self.width, 7, "stem", bias=False)(space_to_depth(x, self.patch))
        skips = []
        for level in range(self.depth):
            features = self.width * 2**level
            x = self._block(features, f"down{level}_block1")(x, time)
            skips.append(x)
            x = self._attend(
                self._block(features, f"down{level}_block2")(x, time), f"down{level}_attention"
            )
            skips.append(x)
            x = self._down(level, x)
        features = self.width * 2**self.depth
        x = self._attend(self._block(features, "middle_block1")(x, time), "middle_attention")
        x = self._block(features, "middle_block2")(x, time)
        for level in reversed(range(self.depth)):
            features = self.width * 2 ** (level + 1)
            # The skips come back in reverse: block 2 of the way down first.
            for i in (1, 2):
                x = self._block(features, f"up{level}_block{i}")(
                    jnp.concatenate([x, skips.pop()], axis=-1), time
                )
            x = self._attend(x, f"up{level}_attention")
            # As published: a bias only behind an upsampling.
            x = self._conv(features // 2, 3, f"up{level}_conv", bias=level > 0)(
                double(x) if level > 0 else x
            )
        x = self._block(self.width, "last_block")(jnp.concatenate([x, first], axis=-1), time)
        x = self._conv(self.out_channels * self.patch**2, 3, "head", bias=True)(x)
        # Cut behind the unfolding: the extension was by pixels, not by patches.
        return jnp.asarray(depth_to_space(x, self.patch)[:, :height, :width], jnp.float32)

    def _block(self, features: int, name: str) -> TimedBlock:
        block: TimedBlock = recomputed(TimedBlock, self.remat)(features, self.dtype, name=name)
        return block

    def _attend(self, x: jax.Array, name: str) -> jax.Array:
        if not self.attention:
            return x
        return x + recomputed(LinearAttention, self.remat)(self.dtype, name=name)(x)

    def _down(self, level: int, x: Array) -> jax.Array:
        """Halves the image and doubles the channels; at the last level the channels only."""
        features, name = self.width * 2 ** (level + 1), f"down{level}_conv"
        if level == self.depth - 1:
            return self._conv(features, 3, name, bias=False)(x)
        return Conv(features, 4, 2, 1, dtype=self.dtype, name=name)(x)

    def _conv(self, features: int, size: int, name: str, bias: bool) -> Conv:
        return Conv(features, size, use_bias=bias, dtype=self.dtype, name=name)


class TimeEmbedding(nn.Module):
    """sin and cos of t / 10000^(k / (n/2 - 1)), k = 0 .. n/2 - 1, through two dense layers with a
    GELU between them.

    Attributes:
      width: n; the result has 4 n channels.
      dtype: type of the computation.
    """

    width: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, t: Array) -> jax.Array:
        """[B] -> [B, 4 width]."""
        half = self.width // 2
        # Width 2 has a single rate, 1.
        rates = jnp.exp(jnp.arange(half) * (-math.log(10000) / max(half - 1, 1)))
        angle = jnp.asarray(t, jnp.float32)[:, None] * rates[None, :]
        y = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
        y = nn.Dense(4 * self.width, dtype=self.dtype, name="dense1")(y)
        # PyTorch's GELU is the exact one; Flax would take the tanh approximation.
        return nn.Dense(4 * self.width, dtype=self.dtype, name="dense2")(
            nn.gelu(y, approximate=False)
        )


class TimedBlock(nn.Module):
    """x + f(x, time): 3x3 convolution, scale and shift from time, SiLU, 3x3 convolution, SiLU; a
    1x1 convolution of x fits its channels.

    Attributes:
      features: channels of the result.
      dtype: type of the computation.
    """

    features: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array, time: Array) -> jax.Array:
        """[B, H, W, C], [B, E] -> [B, H, W, features]."""
        dense = nn.Dense(2 * self.features, dtype=self.dtype, name="time")
        # [B, E] -> [B, 1, 1, 2 features]
        scale, shift = jnp.split(dense(nn.silu(time))[:, None, None, :], 2, axis=-1)
        y = Conv(self.features, 3, use_bias=False, dtype=self.dtype, name="conv1")(x)
        y = nn.silu(y * (1 + scale) + shift)
        y = nn.silu(Conv(self.features, 3, use_bias=False, dtype=self.dtype, name="conv2")(y))
        if x.shape[-1] != self.features:
            x = Conv(self.features, 1, use_bias=False, dtype=self.dtype, name="skip")(x)
        return jnp.asarray(y + x)


class LinearAttention(nn.Module):
    """Attention of 4 heads of 32 channels at a cost linear in the number of pixels, normalised over
    channels before and after.

    With softmax q over channels (times 32^-1/2), softmax k over pixels and v over the number of
    pixels: (k^T v) for each head, read by q.

    Attributes:
      dtype: type of the computation.

    Reference: Shen et al., "Efficient Attention: Attention with Linear Complexities", WACV 2021.
    """

    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C]."""
        batch, height, width, channels = x.shape
        y = ChannelNorm(name="norm")(x)
        y = Conv(3 * HEADS * HEAD_WIDTH, 1, use_bias=False, dtype=self.dtype, name="to_qkv")(y)
        parts = jnp.split(y.reshape(batch, height * width, -1), 3, axis=-1)
        q, k, v = (part.reshape(batch, height * width, HEADS, HEAD_WIDTH) for part in parts)
        q, k, v = (
            # As published: q over channels, k and v over pixels, which makes the sum over them a
            # mean.
            nn.softmax(q, axis=-1) * HEAD_WIDTH**-0.5,
            nn.softmax(k, axis=1),
            v / (height * width),
        )
        # k^T v first, [B, 32, 32] per head: no array of pixels x pixels is ever made.
        contexts = [
            jnp.einsum("bnd,bne->bde", k[:, :, head], v[:, :, head]) for head in range(HEADS)
        ]
        y = jnp.concatenate(
            [jnp.einsum("bnd,bde->bne", q[:, :, head], contexts[head]) for head in range(HEADS)],
            axis=-1,
        )
        y = y.reshape(batch, height, width, HEADS * HEAD_WIDTH)
        return ChannelNorm(name="norm_out")(Conv(channels, 1, dtype=self.dtype, name="to_out")(y))


class ChannelNorm(nn.Module):
    """Zero mean and unit variance over the channels of each pixel, times a scale per channel."""

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C], computed in float32 and given back in the input's type."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        # The variance of bfloat16 values would lose what distinguishes them.
        y = x.astype(jnp.float32)
        centred = y - jnp.mean(y, axis=-1, keepdims=True)
        # Over all channels, not one fewer, and with 1e-5: the published norm in float32.
        variance = jnp.mean(centred**2, axis=-1, keepdims=True)
        return jnp.asarray(
            centred * jax.lax.rsqrt(variance + 1e-5) * scale.reshape(1, 1, 1, -1), x.dtype
        )


def double(x: Array) -> jax.Array:
    """Every pixel as a block of 2x2: [B, H, W, C] -> [B, 2H, 2W, C]."""
    batch, height, width, channels = x.shape
    # Not a resize: the gradient of a broadcast is a plain sum over blocks.
    blocks = jnp.broadcast_to(
        jnp.asarray(x)[:, :, None, :, None, :], (batch, height, 2, width, 2, channels)
    )
    return blocks.reshape(batch, 2 * height, 2 * width, channels)


def space_to_depth(x: Array, patch: int) -> jax.Array:
    """Blocks of patch x patch pixels as channels: [B, H, W, C] -> [B, H / patch, W / patch, patch^2
    C].
    """
    batch, height, width, channels = x.shape
    y = (
        jnp.asarray(x)
        # [B, H/p, p, W/p, p, C] -> [B, H/p, W/p, p, p, C]
        .reshape(batch, height // patch, patch, width // patch, patch, channels)
        .transpose(0, 1, 3, 2, 4, 5)
    )
    return y.reshape(batch, height // patch, width // patch, patch * patch * channels)


def depth_to_space(x: Array, patch: int) -> jax.Array:
    """Inverts `space_to_depth`: [B, H, W, patch^2 C] -> [B, patch H, patch W, C]."""
    batch, height, width, channels = x.shape
    y = (
        jnp.asarray(x)
        # [B, H, W, p, p, C] -> [B, H, p, W, p, C]
        .reshape(batch, height, width, patch, patch, channels // patch**2)
        .transpose(0, 1, 3, 2, 4, 5)
    )
    return y.reshape(batch, height * patch, width * patch, channels // patch**2)
