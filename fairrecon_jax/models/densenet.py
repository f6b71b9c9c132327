"""DenseNet-121 in the layout of the published ImageNet and chest X-ray weights."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import batch_norm, max_pool_3x3_stride_2, recomputed
from fairrecon_jax.models.resnet import Head
from fairrecon_jax.models.start import Start
from fairrecon_jax.types import Array


class DenseLayer(nn.Module):
    """Normalisation, ReLU, 1x1 convolution, normalisation, ReLU, 3x3 convolution; the result is
    appended to the input.

    Attributes:
      growth: channels appended.
      bottleneck: channels between the convolutions, in units of the growth.
      axis_name: mapped axis of batch statistics, or None.
      dtype: type of the computation.
    """

    growth: int
    bottleneck: int = 4
    axis_name: str | None = None
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C + growth]."""
        y = x
        for i, (features, size) in enumerate(
            [(self.bottleneck * self.growth, 1), (self.growth, 3)], start=1
        ):
            y = nn.relu(
                batch_norm(self.axis_name, self.dtype, f"norm{i}")(y, use_running_average=not train)
            )
            y = convolution(features, size, 1, self.dtype, f"conv{i}")(y)
        # One type: float32 beside bfloat16 would widen the whole block.
        return jnp.concatenate([jnp.asarray(x, y.dtype), y], axis=-1)


class DenseNet(nn.Module):
    """Densely connected network with global average pooling and a linear head.

    With the default fields, 1,000 outputs and 3 channels in: 7,978,856 parameters.

    Attributes:
      outputs: number of logits.
      growth: channels that each layer appends; the first convolution has twice as many.
      blocks: layers per block.
      hidden: widths of hidden layers of the head; none in the published network.
      axis_name: mapped axis over which batch statistics are averaged in training, or None.
      dtype: type of the computation; parameters and logits stay float32.
      remat: compute each layer of the blocks anew for the gradient, see `recomputed`.

    Example:
      >>> network = DenseNet(outputs=5, growth=2, blocks=(1, 1))
      >>> image, key = np.zeros((3, 32, 32, 1), np.float32), jax.random.key(0)
      >>> logits, variables = jax.eval_shape(network.init_with_output, key, image)
      >>> logits.shape
      (3, 5)

    Reference: Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks",
    CVPR 2017.
    """

    outputs: int = 1
    growth: int = 32
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    hidden: tuple[int, ...] = ()
    axis_name: str | None = None
    dtype: jnp.dtype | None = None
    remat: bool = False

    start: ClassVar[Start] = "densenet"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """Logits [B, outputs] float32 of images [B, H, W, C]; `train` selects batch statistics.

        Raises:
          ValueError: see `check_size`.
        """
        check_size(len(self.blocks), x.shape[1], x.shape[2])
        x = convolution(2 * self.growth, 7, 2, self.dtype, "conv0")(x)
        x = max_pool_3x3_stride_2(nn.relu(self._norm("norm0")(x, use_running_average=not train)))
        for block, count in enumerate(self.blocks, start=1):
            for layer in range(1, count + 1):
                x = recomputed(DenseLayer, self.remat, (2,))(
                    self.growth, 4, self.axis_name, self.dtype, name=f"block{block}_layer{layer}"
                )(x, train)
            if block < len(self.blocks):
                x = nn.relu(self._norm(f"transition{block}_norm")(x, use_running_average=not train))
                x = convolution(x.shape[-1] // 2, 1, 1, self.dtype, f"transition{block}_conv")(x)
                x = nn.avg_pool(x, (2, 2), (2, 2))
        # torchvision has this ReLU in its code and not among its modules.
        x = nn.relu(self._norm("norm5")(x, use_running_average=not train))
        return Head(self.outputs, self.hidden, self.dtype, name="head")(x)

    def _norm(self, name: str) -> nn.BatchNorm:
        return batch_norm(self.axis_name, self.dtype, name)


def check_size(blocks: int, height: int, width: int) -> None:
    """Checks that something is left of an image after two halvings that round up and one that
    rounds down behind each block but the last.

    Raises:
      ValueError: nothing is; the message says what to choose.
    """
    # The transitions need 2^(blocks - 1) pixels; n are left of 2n - 1 rounding up, twice.
    smallest = 2 ** (blocks + 1) - 3
    if min(height, width) < smallest:
        raise ValueError(
            f"images of {height}x{width} pixels are too small for a DenseNet: it needs "
            f"{smallest}; choose a larger input_size"
        )


def convolution(features: int, size: int, stride: int, dtype: jnp.dtype | None, name: str) -> Conv:
    """A convolution without bias, padded by half its size, initialised after He."""
    init = nn.initializers.he_normal()
    return Conv(
        features, size, stride, size // 2, use_bias=False, kernel_init=init, dtype=dtype, name=name
    )
