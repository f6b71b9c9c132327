"""AlexNet's convolutions, with a head of choice: few patients teach it more than a network from
scratch, and a pass through it is cheap.
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import batch_norm, max_pool_3x3_stride_2
from fairrecon_jax.models.resnet import Head
from fairrecon_jax.models.start import Start
from fairrecon_jax.types import Array

LEAST = 31
"""Pixels along the side of the smallest image that the trunk leaves something of."""
_CONVOLUTIONS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
"""Of the trunk: channels where the width is 64, size, stride, padding; a pooling before the second
and the third.
"""


class AlexNet(nn.Module):
    """The trunk, a batch normalisation, global average pooling and a perceptron head.

    The published network flattens 6x6 maps into two layers of 4,096 (61.1 M parameters, and 224
    pixels alone); of its weights only the trunk's are read here. The normalisation brings the
    trunk's maps, whose size training on ImageNet left open, to the size that a drawn head expects.
    With one output and 3 channels in: 2,469,696 parameters of the trunk, 512 of the normalisation
    and 257 of the head.

    Attributes:
      outputs: number of logits.
      width: channels of the first convolution; 64 as published.
      hidden: widths of the hidden layers of the head.
      axis_name: mapped axis over which batch statistics are averaged in training, or None.
      dtype: type of the computation; parameters and logits stay float32.

    Example:
      >>> network, image = AlexNet(outputs=5, width=4), np.zeros((3, 64, 64, 1))
      >>> logits, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
      >>> logits.shape, sorted(variables)
      ((3, 5), ['batch_stats', 'params'])

    Reference: Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
    arXiv:1404.5997, whose single column torchvision has.
    """

    outputs: int = 1
    width: int = 64
    hidden: tuple[int, ...] = ()
    axis_name: str | None = None
    dtype: jnp.dtype | None = None

    start: ClassVar[Start] = "he"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """Logits of images.

        Args:
          x: [B, H, W, C], H and W at least 31, any number of channels.
          train: batch statistics instead of running averages.

        Returns:
          [B, outputs] float32.
        """
        for number, (channels, size, stride, padding) in enumerate(_CONVOLUTIONS):
            if number in (1, 2):
                x = max_pool_3x3_stride_2(x, padding=0)
            width = channels * self.width // 64
            x = nn.relu(
                Conv(width, size, stride, padding, dtype=self.dtype, name=f"conv{number}")(x)
            )
        x = batch_norm(self.axis_name, self.dtype, "head_norm")(x, use_running_average=not train)
        return Head(self.outputs, self.hidden, self.dtype, name="head")(x)


def check_size(height: int, width: int) -> None:
    """Checks that the trunk leaves something of an image.

    Raises:
      ValueError: an image is smaller than 31 pixels.
    """
    if min(height, width) < LEAST:
        raise ValueError(
            f"images of {height}x{width} pixels are too small for an AlexNet: it needs {LEAST}; "
            "choose a larger input_size"
        )
