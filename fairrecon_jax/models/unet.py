"""The U-Net of Ronneberger et al. (2015) with same-size convolutions."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import Norm, Normalise, UpConv2x2, max_pool_2x2, recomputed
from fairrecon_jax.models.start import Start
from fairrecon_jax.types import Array


class ConvBlock(nn.Module):
    """Twice: 3x3 convolution, normalisation, ReLU.

    Attributes:
      features: channels of both convolutions.
      norm: see `Normalise`.
      groups: channel groups of "group".
      axis_name: mapped axis of batch statistics, or None.
      dtype: type of the computation.
    """

    features: int
    norm: Norm = None
    groups: int = 8
    axis_name: str | None = None
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, features]."""
        for i in (1, 2):
            x = Conv(self.features, 3, dtype=self.dtype, name=f"conv{i}")(x)
            x = Normalise(self.norm, self.groups, self.axis_name, self.dtype, name=f"norm{i}")(
                x, train
            )
            x = nn.relu(x)
        return jnp.asarray(x)


class UNet(nn.Module):
    """Encoder and decoder of `depth` halvings with a skip connection at every size; the last
    convolution is linear.

    The channels' means at the bottom are sown as "features" (see `models.apply.features`).

    At width 64 and depth 4, without normalisation and with one channel in and out: 31,030,593
    parameters.

    Attributes:
      out_channels: channels of the result.
      width: channels of the first block; doubled at every halving.
      depth: number of halvings.
      norm: normalisation after each 3x3 convolution: None, "group" or "batch".
      groups: channel groups of "group".
      axis_name: mapped axis over which "batch" averages its statistics in training, or None.
      dtype: type of the computation; parameters and the result stay float32.
      remat: compute each block anew for the gradient, see `recomputed`.

    Example:
      >>> network, image = UNet(width=2, depth=2), np.zeros((3, 18, 18, 1), np.float32)
      >>> output, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
      >>> output.shape, variables["params"]["bottom"]["conv1"]["kernel"].shape
      ((3, 18, 18, 1), (3, 3, 4, 8))

    Reference: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", MICCAI 2015.
    """

    out_channels: int = 1
    width: int = 64
    depth: int = 4
    norm: Norm = None
    groups: int = 8
    axis_name: str | None = None
    dtype: jnp.dtype | None = None
    remat: bool = False
    start: ClassVar[Start] = "he"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """Maps an image to an image of the same size.

        Sizes that do not divide by 2^depth are extended at the lower and right border by reflection
        and cut back at the end.

        Args:
          x: [B, H, W, C].
          train: batch statistics instead of running averages, where the network has any.

        Returns:
          [B, H, W, out_channels] float32.

        Raises:
          ValueError: the image is too small to be extended by reflection.
        """
        height, width = x.shape[1:3]
        x = reflect_to_multiple(x, 2**self.depth)
        skips = []
        for level in range(self.depth):
            x = self._block(level, f"down{level}")(x, train)
            skips.append(x)
            x = max_pool_2x2(x)
        x = self._block(self.depth, "bottom")(x, train)
        self.sow("intermediates", "features", jnp.mean(x, axis=(1, 2)).astype(jnp.float32))
        for level in reversed(range(self.depth)):
            x = UpConv2x2(self.width * 2**level, dtype=self.dtype, name=f"upconv{level}")(x)
            # Skip first; weights of layouts that join the other way are turned when converted.
            x = self._block(level, f"up{level}")(jnp.concatenate([skips[level], x], axis=-1), train)
        x = Conv(self.out_channels, 1, dtype=self.dtype, name="head")(x)
        return x[:, :height, :width].astype(jnp.float32)

    def _block(self, level: int, name: str) -> ConvBlock:
        block: ConvBlock = recomputed(ConvBlock, self.remat, (2,))(
            self.width * 2**level, self.norm, self.groups, self.axis_name, self.dtype, name=name
        )
        return block


def check_size(depth: int, size: int) -> None:
    """Refuses square images that a U-Net of some depth cannot take.

    Args:
      depth: number of halvings.
      size: height and width of the images in pixels.

    Raises:
      ValueError: the message says what to choose.
    """
    # the first is true of every larger depth, whose power would take for ever
    if depth > size.bit_length() or 2**depth > size:
        raise ValueError(
            f"images of {size} pixels are too small for {depth} halvings: lower depth or use "
            "larger images"
        )


def reflect_to_multiple(x: Array, multiple: int) -> jax.Array:
    """Extends height and width to the next multiple by reflection at the lower and right border.

    Args:
      x: [B, H, W, C].
      multiple: what height and width must divide by.

    Returns:
      [B, H', W', C] with H' and W' the next multiples; x itself where nothing is missing.

    Raises:
      ValueError: more pixels are missing than the image can reflect.
    """
    # A reflection can give at most size - 1 pixels.
    missing = [-size % multiple for size in x.shape[1:3]]
    if any(m >= size for m, size in zip(missing, x.shape[1:3], strict=True)):
        raise ValueError(
            f"an image of {x.shape[1]}x{x.shape[2]} pixels is too small to be extended to "
            f"multiples of {multiple} by reflection: "
            "lower the network's depth or use larger images"
        )
    if not any(missing):
        return jnp.asarray(x)
    return jnp.pad(x, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")
