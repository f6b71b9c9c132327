"""Exact rewrites of layers whose gradients are slow on CPUs, and the normalisation that networks
choose by name.

Same mathematics and parameters as the Flax layers they replace; only the program that XLA compiles
differs. The gradient of a pooling goes to entries that are found by comparing entries with each
other, never with the maximum: a compiler may compute an entry anew for the gradient and round it
differently, after which it equals no maximum and its gradient is lost or divided by zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array

Norm = Literal["group", "batch", "instance"] | None
InstanceOrBatch = Literal["instance", "batch"]


def recomputed(block: Any, remat: bool, static: tuple[int, ...] = ()) -> Callable[..., Any]:
    """A block that is computed a second time for the gradient: between the two passes only its
    input and its output take memory.

    Each block waits for the gradient of its own output. One `jax.checkpoint` of the whole loss that
    keeps the blocks' outputs by name saves nothing: XLA then computes all blocks anew at once. On a
    CPU XLA merges both computations into one again, so that nothing changes there.

    Args:
      block: class of a module, or a method of one whose first argument is the module.
      remat: whether to do so.
      static: arguments that are no arrays; the module is 0.

    Returns:
      The block where not `remat`.

    Reference:
      Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
    """
    return nn.remat(block, static_argnums=static) if remat else block  # type: ignore[no-any-return]


@jax.custom_vjp
def max_pool_2x2(x: Array) -> jax.Array:
    """The maximum of every 2x2 window: `nn.max_pool(x, (2, 2), (2, 2))`; of equal entries the first
    takes the gradient.

    Args:
      x: [B, H, W, C], H and W even.

    Returns:
      [B, H/2, W/2, C].

    Raises:
      ValueError: H or W is odd.

    Example:
      >>> image = jnp.arange(16.0).reshape(1, 4, 4, 1)  # rows 0 to 3, 4 to 7, ...
      >>> max_pool_2x2(image)[0, :, :, 0].tolist()
      [[5.0, 7.0], [13.0, 15.0]]
    """
    return jnp.max(_windows(x), axis=(2, 4))


def _windows(x: Array) -> jax.Array:
    """[B, H, W, C] -> [B, H/2, 2, W/2, 2, C]."""
    batch, height, width, channels = x.shape
    if height % 2 or width % 2:
        raise ValueError(f"2x2 pooling needs even height and width, got {height}x{width}")
    return jnp.reshape(x, (batch, height // 2, 2, width // 2, 2, channels))


def _max_pool_2x2_forward(x: Array) -> tuple[jax.Array, jax.Array]:
    """The maxima, and the number 0 to 3 of the entry of each window that is one, row by row."""
    # Saved for the gradient is one byte per window, not the input.
    windows = _windows(x)
    largest, place = windows[:, :, 0, :, 0], jnp.zeros((), jnp.uint8)
    for number in range(1, 4):
        entry = windows[:, :, number // 2, :, number % 2]
        # Entries are compared with each other; a recomputed maximum may round differently, see
        # above.
        place = jnp.where(entry > largest, jnp.uint8(number), place)
        largest = jnp.maximum(entry, largest)
    return largest, place


def _max_pool_2x2_backward(place: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    """Every window's gradient at the place of its maximum."""
    batch, height, width, channels = gradient.shape
    numbers = jnp.arange(4, dtype=jnp.uint8).reshape(1, 1, 2, 1, 2, 1)
    spread = jnp.where(place[:, :, None, :, None] == numbers, gradient[:, :, None, :, None], 0)
    return (spread.reshape(batch, 2 * height, 2 * width, channels),)


max_pool_2x2.defvjp(_max_pool_2x2_forward, _max_pool_2x2_backward)


def max_pool_3x3_stride_2(x: Array, padding: Literal[0, 1] = 1) -> jax.Array:
    """The maximum of 3x3 windows two pixels apart: as three shifted maxima along each axis.

    Args:
      x: [B, H, W, C].
      padding: pixels of border, which never wins.

    Returns:
      [B, ceil(H/2), ceil(W/2), C], equal to `nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))`;
        without border [B, ceil(H/2) - 1, ceil(W/2) - 1, C], equal to `nn.max_pool(x, (3, 3), (2,
        2))`.

    Example:
      >>> image = jnp.arange(25.0).reshape(1, 5, 5, 1)  # rows 0 to 4, 5 to 9, ...
      >>> max_pool_3x3_stride_2(image)[0, :, :, 0].tolist()
      [[6.0, 8.0, 9.0], [16.0, 18.0, 19.0], [21.0, 23.0, 24.0]]
    """
    for axis in (1, 2):
        size = x.shape[axis]
        out = (size - 1) // 2 + padding
        # The border never wins: every window holds a pixel of the image.
        low = jnp.finfo(x.dtype).min
        border = [(0, 0)] * 4
        # 2 out + 1 pixels: the windows start at 0, 2, ..., 2 out - 2. Of an even size without
        # border the last pixel is in none.
        border[axis] = (padding, max(2 * out + 1 - size - padding, 0))
        padded = jnp.pad(x, border, constant_values=low)
        taps = [
            jax.lax.slice_in_dim(padded, k, k + 2 * out - 1, stride=2, axis=axis) for k in range(3)
        ]
        x = _larger(_larger(taps[0], taps[1]), taps[2])
    return jnp.asarray(x)


def _larger(a: Array, b: Array) -> jax.Array:
    """The maximum, NaN where either is; the gradient goes to `a` where they are equal."""
    return jnp.where((a >= b) | jnp.isnan(a), a, b)


class UpConv2x2(nn.Module):
    """Transposed convolution with 2x2 kernel and stride 2: a matrix product per pixel, then a pixel
    shuffle.

    out[2i + a, 2j + b] = x[i, j] @ kernel[a, b] + bias, with one bias per output channel. Equal to
    `nn.ConvTranspose(features, (2, 2), (2, 2))` with the kernel's two spatial axes reversed, and to
    PyTorch's `ConvTranspose2d` with its weight transposed to (2, 2, in, out).

    Attributes:
      features: number of output channels.
      use_bias: add one bias per output channel.
      dtype: type of the computation; that of the input if None.

    Example:
      >>> image = np.zeros((1, 4, 4, 3), np.float32)
      >>> upsample, key = UpConv2x2(features=5), jax.random.key(0)
      >>> doubled, variables = jax.eval_shape(upsample.init_with_output, key, image)
      >>> doubled.shape, variables["params"]["kernel"].shape
      ((1, 8, 8, 5), (2, 2, 3, 5))
    """

    features: int
    use_bias: bool = True
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """Doubles height and width: [B, H, W, C] -> [B, 2H, 2W, features]."""
        batch, height, width, channels = x.shape
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (2, 2, channels, self.features)
        )
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        # [2, 2, C, F] -> [C, 4 F]
        flat = kernel.transpose(2, 0, 1, 3).reshape(channels, 4 * self.features)
        y = jax.lax.dot_general(x, flat, (((3,), (0,)), ((), ())))
        # [B, H, W, 2, 2, F] -> [B, H, 2, W, 2, F]
        y = y.reshape(batch, height, width, 2, 2, self.features).transpose(0, 1, 3, 2, 4, 5)
        y = y.reshape(batch, 2 * height, 2 * width, self.features)
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


class UpConv3x3(nn.Module):
    """Transposed convolution with 3x3 kernel and stride 2 that doubles the size: PyTorch's
    `ConvTranspose2d(in, out, 3, 2, 1, output_padding=1)` with its weight transposed to (3, 3, in,
    out).

    Attributes:
      features: number of output channels.
      dtype: type of the computation; that of the input if None.
    """

    features: int
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """Doubles height and width: [B, H, W, C] -> [B, 2H, 2W, features]."""
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = map(
            jnp.asarray, nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        )
        # A convolution of the image spread out with zeros, with the kernel turned round.
        y = jax.lax.conv_general_dilated(
            x,
            kernel[::-1, ::-1],
            (1, 1),
            ((1, 2), (1, 2)),
            lhs_dilation=(2, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jnp.asarray(y + bias.reshape(1, 1, 1, -1))


class PReLU(nn.Module):
    """max(x, 0) + slope min(x, 0), with one slope for all channels."""

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """Any shape."""
        slope = self.param("slope", nn.initializers.constant(0.25), (1,))
        return jnp.where(x >= 0, x, jnp.asarray(slope[0], x.dtype) * x)


class UpConv4x4(nn.Module):
    """Transposed convolution with 4x4 kernel, stride 2 and padding 1: a matrix product per pixel,
    then a sum where windows overlap.

    out[2i + a - 1, 2j + b - 1] += x[i, j] @ kernel[a, b], so that each output pixel is the sum of
    four products. Equal to PyTorch's `ConvTranspose2d(in, out, 4, 2, 1)` with its weight transposed
    to (4, 4, in, out), and to `nn.ConvTranspose(features, (4, 4), (2, 2), "SAME")` with the
    kernel's two spatial axes reversed.

    Attributes:
      features: number of output channels.
      use_bias: add one bias per output channel.
      dtype: type of the computation; that of the input if None.

    Example:
      >>> image = np.ones((1, 4, 4, 1), np.float32)
      >>> params = {"kernel": np.ones((4, 4, 1, 1), np.float32)}
      >>> doubled = UpConv4x4(features=1, use_bias=False).apply({"params": params}, image)
      >>> doubled.shape, float(doubled[0, 3, 3, 0])  # inside, four windows overlap
      ((1, 8, 8, 1), 4.0)
    """

    features: int
    use_bias: bool = True
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """Doubles height and width: [B, H, W, C] -> [B, 2H, 2W, features]."""
        batch, height, width, channels = x.shape
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (4, 4, channels, self.features)
        )
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        # One product per pixel with all sixteen taps; where windows overlap, products are added.
        flat = kernel.transpose(2, 0, 1, 3).reshape(channels, 16 * self.features)
        products = jax.lax.dot_general(x, flat, (((3,), (0,)), ((), ()))).reshape(
            batch, height, width, 4, 4, self.features
        )
        # First the taps over rows go, then those over columns, which have moved to their place.
        rows = [_overlap(half, 2, 3) for half in _overlap(products, 1, 3)]
        y = jnp.stack([jnp.stack(half, axis=3) for half in rows], axis=2).reshape(
            batch, 2 * height, 2 * width, self.features
        )
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def _overlap(products: jax.Array, axis: int, taps: int) -> list[jax.Array]:
    """Outputs 2i and 2i + 1 along `axis` from the products with the four taps along the axis
    `taps`, which goes.
    """
    first, second, third, fourth = (
        jax.lax.index_in_dim(products, tap, taps, keepdims=False) for tap in range(4)
    )

    def moved(x: jax.Array, by: int) -> jax.Array:
        # A negative amount crops: shift and cut in one operation.
        padding = [(0, 0, 0)] * x.ndim
        padding[axis] = (by, -by, 0)
        return jax.lax.pad(x, jnp.zeros((), x.dtype), padding)

    # out[2i + a - 1]: 2i is reached by tap 1 of i and 3 of i - 1; 2i + 1 by 2 of i and 0 of i + 1.
    return [second + moved(fourth, 1), third + moved(first, -1)]


class Normalise(nn.Module):
    """Normalisation chosen by name: none, over groups of channels or single channels of one
    example, or over the batch.

    Attributes:
      kind: None (identity), "group", "batch" or "instance" (without scale and shift).
      groups: number of channel groups of "group"; the largest divisor of the channel count that is
        not above it is used.
      axis_name: mapped axis over which "batch" averages its statistics while training; None for
        this device's batch only.
      dtype: type of the result; that of the input if None.
    """

    kind: Norm = None
    groups: int = 8
    axis_name: str | None = None
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """Normalises [B, H, W, C]; `train` selects batch statistics over running averages.

        Raises:
          ValueError: the kind is unknown.
        """
        if self.kind is None:
            return jnp.asarray(x)
        if self.kind == "group":
            groups = max(
                g for g in range(1, min(self.groups, x.shape[-1]) + 1) if x.shape[-1] % g == 0
            )
            # PyTorch's epsilon; Flax's is 1e-6.
            return nn.GroupNorm(num_groups=groups, epsilon=1e-5, dtype=self.dtype, name="group")(x)
        if self.kind == "instance":
            y = jnp.asarray(x, jnp.float32)
            centred = y - jnp.mean(y, axis=(1, 2), keepdims=True)
            variance = jnp.mean(jnp.square(centred), axis=(1, 2), keepdims=True)
            return jnp.asarray(centred * jax.lax.rsqrt(variance + 1e-5), self.dtype or x.dtype)
        if self.kind == "batch":
            return batch_norm(self.axis_name, self.dtype, "batch")(x, use_running_average=not train)
        raise ValueError(
            f"unknown normalisation {self.kind!r}; choose None, 'group', 'batch' or 'instance'"
        )


class BatchNorm(nn.BatchNorm):
    """`nn.BatchNorm` whose running variance moves towards the unbiased variance of a batch, as
    PyTorch's does: n / (n - 1) times the mean square, for n pixels of all examples of all devices.

    Weights that come from PyTorch, or go there, mean that. Images are normalised by the batch's own
    variance, which is the biased one in both.
    """

    # no mask: every pixel counts
    @nn.compact
    def __call__(  # type: ignore[override]
        self, x: Array, use_running_average: bool | None = None
    ) -> jax.Array:
        """[B, H, W, C] of the same shape."""
        initialised = self.has_variable("batch_stats", "var")
        before = self.get_variable("batch_stats", "var") if initialised else None
        y = jnp.asarray(super().__call__(x, use_running_average))
        if use_running_average or before is None:
            return y
        count = math.prod(x.shape[:-1])
        if self.axis_name is not None:
            count = count * jax.lax.psum(1, self.axis_name)
        # what the average has moved by the biased variance, once more for what it lacks
        after, kept = self.get_variable("batch_stats", "var"), self.momentum * before
        factor = count / jnp.maximum(count - 1, 1)
        self.put_variable("batch_stats", "var", kept + (after - kept) * factor)
        return y


def batch_norm(
    axis_name: str | None, dtype: jnp.dtype | None, name: str | None = None
) -> BatchNorm:
    """Batch normalisation with PyTorch's constants: running averages move by 0.1, epsilon 1e-5; and
    its rule for the running variance (see `BatchNorm`).

    The variance is the mean of (x - mean)^2, not E x^2 - mean^2, which loses three times as much
    precision through a ResNet-50.

    Args:
      axis_name: mapped axis over which training statistics are averaged, or None.
      dtype: type of the result.
      name: the module's name.
    """
    return BatchNorm(
        momentum=0.9,
        epsilon=1e-5,
        axis_name=axis_name,
        dtype=dtype,
        use_fast_variance=False,
        name=name,
    )
