"""The two networks of Pix2Pix: a U-Net generator of strided convolutions, and a discriminator that
judges overlapping patches.
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import (
    InstanceOrBatch,
    Normalise,
    UpConv4x4,
    batch_norm,
    recomputed,
)
from fairrecon_jax.models.start import Start
from fairrecon_jax.types import Array, Key

SLOPE = 0.2  # of the leaky ReLU below zero


class Pix2PixGenerator(nn.Module):
    """U-Net of `downsamplings` halvings by 4x4 convolutions of stride 2, with a skip connection at
    every size and a sigmoid or a hyperbolic tangent at its end.

    Halving i has width * min(2^i, 8) channels; leaky ReLU before all but the first, batch norm
    after all but the first and the last. Doublings mirror them: ReLU, transposed convolution, batch
    norm; the last one has a bias and no norm. At width 64 with one channel in and out: 41,822,849
    parameters with 7 halvings, 54,407,809 with 8.

    Attributes:
      out_channels: channels of the result.
      width: channels of the first halving.
      downsamplings: number of halvings, at least 2; height and width must divide by
        2^downsamplings.
      dropout: share of values that training sets to 0 behind the inner doublings (those at 8 times
        the width); 0 = none. Never applied outside of training. The original has 0.5 there or
        nothing.
      norm: "batch", or "instance" without scale and shift, whose convolutions have biases.
      tanh: the original's range: images are stretched to [-1, 1], and the hyperbolic tangent at the
        end is mapped back to [0, 1]; otherwise a sigmoid, on images as they are.
      axis_name: mapped axis over which batch statistics are averaged in training, or None.
      dtype: type of the computation; parameters and the result stay float32.
      remat: compute each halving and each doubling anew for the gradient, see `recomputed`.

    Example:
      >>> network, image = Pix2PixGenerator(width=2, downsamplings=3), np.zeros((2, 16, 16, 1))
      >>> output, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
      >>> output.shape
      (2, 16, 16, 1)

    Reference: Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial
    Networks", CVPR 2017.
    """

    out_channels: int = 1
    width: int = 64
    downsamplings: int = 7
    dropout: float = 0.0
    norm: InstanceOrBatch = "batch"
    tanh: bool = False
    axis_name: str | None = None
    dtype: jnp.dtype | None = None
    remat: bool = False

    start: ClassVar[Start] = "gan"

    @nn.compact
    def __call__(self, x: Array, keys: Key | None = None, train: bool = False) -> jax.Array:
        """Maps an image to an image of the same size.

        Args:
          x: [B, H, W, C] in [0, 1].
          keys: [B] one key per example for the dropout; needed where it is on and `train`.
          train: batch statistics instead of running averages, and dropout.

        Returns:
          [B, H, W, out_channels] float32 in [0, 1].

        Raises:
          ValueError: there are fewer than 2 halvings, height or width does not divide, or dropout
            has no keys.
        """
        check_size(self.downsamplings, *x.shape[1:3])
        skips = []
        halve = recomputed(Pix2PixGenerator._halved, self.remat, (2, 3))
        double = recomputed(Pix2PixGenerator._doubled, self.remat, (3, 4))
        x = 2.0 * jnp.asarray(x) - 1.0 if self.tanh else x
        for level in range(self.downsamplings):
            x = halve(self, x, level, train)
            # The published leaky ReLU is in place and changes its skips; the next ReLU hides it.
            skips.append(x)
        for level in reversed(range(1, self.downsamplings)):
            x = double(self, x, keys, level, train)
            # Skip first, as in the published weights.
            x = jnp.concatenate([skips[level - 1], x], axis=-1)
        x = UpConv4x4(self.out_channels, True, self.dtype, name="upconv0")(nn.relu(x))
        # Before the end: bfloat16 near 1 has steps of 1/256, which would show as bands.
        x = x.astype(jnp.float32)
        return 0.5 * (jnp.tanh(x) + 1.0) if self.tanh else nn.sigmoid(x)

    def _halved(self, x: Array, level: int, train: bool) -> jax.Array:
        """Leaky ReLU, convolution, norm."""
        x = x if level == 0 else nn.leaky_relu(x, SLOPE)
        features, biased = self.width * min(2**level, 8), self.norm == "instance"
        x = Conv(features, 4, 2, 1, use_bias=biased, dtype=self.dtype, name=f"down{level}")(x)
        inner = 0 < level < self.downsamplings - 1
        return self._normalised(x, f"down_norm{level}", train) if inner else x

    def _doubled(self, x: Array, keys: Key | None, level: int, train: bool) -> jax.Array:
        """ReLU, transposed convolution, norm, dropout."""
        features, biased = self.width * min(2 ** (level - 1), 8), self.norm == "instance"
        x = UpConv4x4(features, biased, self.dtype, name=f"upconv{level}")(nn.relu(x))
        x = self._normalised(x, f"up_norm{level}", train)
        # The innermost doubling has none, as published.
        if train and self.dropout and 4 <= level < self.downsamplings - 1:
            x = dropped(x, self.dropout, keys)
        return x

    def _normalised(self, x: Array, name: str, train: bool) -> jax.Array:
        return normalised(x, self.norm, self.axis_name, self.dtype, name, train)


def normalised(
    x: Array,
    norm: InstanceOrBatch,
    axis_name: str | None,
    dtype: jnp.dtype | None,
    name: str,
    train: bool,
) -> jax.Array:
    """The normalisation behind a convolution, as a module of its parent under a name."""
    if norm == "instance":
        return jnp.asarray(Normalise("instance", dtype=dtype, name=name)(x))
    return jnp.asarray(batch_norm(axis_name, dtype, name)(x, use_running_average=not train))


def check_size(downsamplings: int, height: int, width: int) -> None:
    """Checks that a generator can take images of a size.

    Raises:
      ValueError: there are fewer than 2 halvings, or height or width does not divide by
        2^downsamplings.
    """
    if downsamplings < 2:
        raise ValueError(f"a Pix2Pix generator needs at least 2 downsamplings, got {downsamplings}")
    # the first is true of every larger number, whose power would take for ever
    many = downsamplings > max(height, width).bit_length()
    if many or height % 2**downsamplings or width % 2**downsamplings:
        other = "" if many else f"a size that is a multiple of {2**downsamplings}, or "
        raise ValueError(
            f"images of {height}x{width} pixels cannot be halved {downsamplings} times: choose "
            f"{other}fewer downsamplings"
        )


def dropped(x: Array, rate: float, keys: Key | None) -> jax.Array:
    """Sets values to 0 with probability `rate` and divides the others by 1 - rate, one key per
    example.

    Raises:
      ValueError: there are no keys.
    """
    if keys is None:
        raise ValueError("dropout in training needs one key per example")
    # Not nn.Dropout, whose one key would tie an example's draw to its place in the batch.
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(kept, x / (1 - rate), 0)


class PatchDiscriminator(nn.Module):
    """Logits of overlapping patches; with 3 layers each sees 70x70 pixels.

    `layers` 4x4 convolutions of stride 2, one of stride 1 and a last one of stride 1 to a single
    channel, with leaky ReLU between them and batch norm on all but the first and the last. At width
    64 with 3 layers and 2 channels in: 2,764,609 parameters, 30x30 logits of a 256x256 image.

    Attributes:
      width: channels of the first convolution; doubled by each further one, up to 8 times.
      layers: number of halvings.
      norm: "batch", or "instance" without scale and shift, whose convolutions have biases.
      axis_name: mapped axis over which batch statistics are averaged in training, or None.
      dtype: type of the computation; parameters and the result stay float32.
      remat: compute each layer anew for the gradient, see `recomputed`.

    Example:
      >>> network, pair = PatchDiscriminator(width=2, layers=3), np.zeros((1, 256, 256, 2))
      >>> logits, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), pair)
      >>> logits.shape  # one per patch
      (1, 30, 30, 1)

    Reference: Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial
    Networks", CVPR 2017.
    """

    width: int = 64
    layers: int = 3
    norm: InstanceOrBatch = "batch"
    axis_name: str | None = None
    dtype: jnp.dtype | None = None
    remat: bool = False

    start: ClassVar[Start] = "gan"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """Judges images.

        Args:
          x: [B, H, W, C], the condition and the image side by side.
          train: batch statistics instead of running averages.

        Returns:
          [B, H / 2^layers - 2, W / 2^layers - 2, 1] float32 logits, high where the image looks
            real.

        Raises:
          ValueError: the image is smaller than one patch needs.
        """
        if min(x.shape[1:3]) < smallest_image(self.layers):
            raise ValueError(
                f"images of {x.shape[1]}x{x.shape[2]} pixels are too small for a "
                f"discriminator of {self.layers} layers: it needs "
                f"{smallest_image(self.layers)} pixels, or fewer layers"
            )
        for layer in range(self.layers + 1):
            x = recomputed(PatchDiscriminator._layer, self.remat, (2, 3))(self, x, layer, train)
        x = Conv(1, 4, 1, 1, dtype=self.dtype, name="conv_out")(x)
        return x.astype(jnp.float32)

    def _layer(self, x: Array, layer: int, train: bool) -> jax.Array:
        """Convolution, norm behind all but the first, leaky ReLU."""
        stride, features = 2 if layer < self.layers else 1, self.width * min(2**layer, 8)
        biased = layer == 0 or self.norm == "instance"
        x = Conv(features, 4, stride, 1, use_bias=biased, dtype=self.dtype, name=f"conv{layer}")(x)
        if layer:
            name = f"norm{layer}"
            x = normalised(x, self.norm, self.axis_name, self.dtype, name, train)
        return jnp.asarray(nn.leaky_relu(x, SLOPE))


def smallest_image(layers: int) -> int:
    """Pixels along the side of the smallest image that gives a `PatchDiscriminator` one logit."""
    # H / 2^layers is left by the halvings; the two last convolutions take a pixel each.
    return 3 * 2**layers
