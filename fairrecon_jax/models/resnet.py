"""ResNet-18, 34 and 50 in the layout of the published ImageNet weights, with a head of choice."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import batch_norm, max_pool_3x3_stride_2, recomputed
from fairrecon_jax.models.start import Start
from fairrecon_jax.types import Array

STAGES: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks per stage by network depth."""

# For Flax's own `init`; `init_network` draws by `start`.
_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class ResNetBlock(nn.Module):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 where it is a bottleneck.

    Attributes:
      features: channels of the inner convolutions.
      stride: stride of the (first) 3x3 convolution.
      bottleneck: the deep form, with four times as many channels out.
      axis_name: mapped axis of batch statistics, or None.
      dtype: type of the computation.
    """

    features: int
    stride: int = 1
    bottleneck: bool = False
    axis_name: str | None = None
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H/stride, W/stride, features or 4 features]."""
        f = self.features
        plan = (
            # The stride is on the 3x3, as in torchvision's weights, not on the first 1x1.
            [(1, f, 1), (3, f, self.stride), (1, 4 * f, 1)]
            if self.bottleneck
            else [(3, f, self.stride), (3, f, 1)]
        )
        y = x
        for i, (size, features, stride) in enumerate(plan, start=1):
            y = self._conv(size, features, stride, f"conv{i}")(y)
            y = batch_norm(self.axis_name, self.dtype, f"bn{i}")(y, use_running_average=not train)
            y = nn.relu(y) if i < len(plan) else y
        if x.shape != y.shape:
            x = self._conv(1, plan[-1][1], self.stride, "downsample_conv")(x)
            x = batch_norm(self.axis_name, self.dtype, "downsample_bn")(
                x, use_running_average=not train
            )
        return nn.relu(x + y)

    def _conv(self, size: int, features: int, stride: int, name: str) -> Conv:
        return Conv(
            features,
            size,
            stride,
            size // 2,
            use_bias=False,
            kernel_init=_INIT,
            dtype=self.dtype,
            name=name,
        )


class ResNet(nn.Module):
    """ResNet with global average pooling and a perceptron head.

    With depth 50, 1,000 outputs, no hidden layer and 3 channels in: 25,557,032 parameters.

    Attributes:
      outputs: number of logits.
      depth: 18, 34 or 50.
      width: channels of the first stage; 64 in the published networks.
      hidden: widths of the hidden layers of the head, ReLU between; (512, 256) in the paper.
      axis_name: mapped axis over which batch statistics are averaged in training, or None.
      dtype: type of the computation; parameters and logits stay float32.
      remat: compute each block anew for the gradient, see `recomputed`.

    Example:
      >>> network, image = ResNet(outputs=5, depth=18, width=2), np.zeros((3, 32, 32, 1))
      >>> logits, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
      >>> logits.shape, sorted(variables)
      ((3, 5), ['batch_stats', 'params'])

    Reference: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    outputs: int = 1
    depth: int = 50
    width: int = 64
    hidden: tuple[int, ...] = ()
    axis_name: str | None = None
    dtype: jnp.dtype | None = None
    remat: bool = False

    start: ClassVar[Start] = "resnet"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """Logits of images.

        Args:
          x: [B, H, W, C], any number of channels.
          train: batch statistics instead of running averages.

        Returns:
          [B, outputs] float32.

        Raises:
          ValueError: the depth is not one of the published ones.
        """
        if self.depth not in STAGES:
            raise ValueError(
                f"ResNet depth {self.depth} is unknown; choose one of {sorted(STAGES)}"
            )
        x = Conv(
            self.width, 7, 2, 3, use_bias=False, kernel_init=_INIT, dtype=self.dtype, name="conv1"
        )(x)
        x = nn.relu(batch_norm(self.axis_name, self.dtype, "bn1")(x, use_running_average=not train))
        x = max_pool_3x3_stride_2(x)
        for stage, count in enumerate(STAGES[self.depth]):
            for block in range(count):
                # The first stage is halved by the pooling already.
                stride = 2 if stage > 0 and block == 0 else 1
                x = recomputed(ResNetBlock, self.remat, (2,))(
                    self.width * 2**stage,
                    stride,
                    self.depth >= 50,
                    self.axis_name,
                    self.dtype,
                    name=f"layer{stage + 1}_{block}",
                )(x, train)
        return Head(self.outputs, self.hidden, self.dtype, name="head")(x)


class Head(nn.Module):
    """Global average pooling, then dense layers with ReLU between them.

    What comes in is sown as "maps", the input of the last layer as "features" (see
    `models.apply.features`).

    Attributes:
      outputs: number of logits.
      hidden: widths of the hidden layers.
      dtype: type of the computation of the hidden layers; the last one is float32.
    """

    outputs: int
    hidden: tuple[int, ...] = ()
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """[B, h, w, C] -> [B, outputs] float32."""
        # Sown arrays are dropped unless a caller makes "intermediates" mutable.
        self.sow("intermediates", "maps", x)
        x = jnp.mean(x, axis=(1, 2))
        for i, features in enumerate(self.hidden):
            x = nn.relu(
                nn.Dense(
                    features,
                    dtype=self.dtype,
                    kernel_init=nn.initializers.he_normal(),
                    name=f"dense{i}",
                )(x)
            )
        # The last layer is float32: scores near each other stay apart.
        x = jnp.asarray(x, jnp.float32)
        self.sow("intermediates", "features", x)
        return nn.Dense(self.outputs, dtype=jnp.float32, name=f"dense{len(self.hidden)}")(x)
