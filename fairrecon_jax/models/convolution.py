"""Convolution with weight gradients that are fast on CPUs.

Same mathematics, parameters and initial values as `nn.Conv`; only the program that XLA compiles for
the gradient with respect to the kernel differs. XLA's own is a convolution of the input with the
gradient of the output as its kernel. Where the kernel is a single pixel or has few outputs, matrix
products are faster; where it has many, one convolution for each part of the batch, as most of a
single one runs on one core.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array

Padding = tuple[tuple[int, int], tuple[int, int]]

FEW_OUTPUTS = 24
"""Below this number of output channels the weight gradient of a 3x3 kernel is a matrix product per
image: up to three times as fast, where it takes up to 1.8 times as long for more (measured).
"""
PARTS = 4
"""Of a batch, whose weight gradients can be computed side by side."""


class Conv(nn.Module):
    """Convolution of images with a square kernel: `nn.Conv(features, (size, size), stride, padding,
    ...)`.

    Reverse-mode gradients only.

    Attributes:
      features: number of output channels.
      size: height and width of the kernel.
      stride: pixels between neighbouring windows.
      padding: pixels of zeros on every side; None for an output of ceil(H / stride) x ceil(W /
        stride), padded as evenly as can be.
      use_bias: add one bias per output channel.
      kernel_init: initialiser of the kernel.
      dtype: type of the computation; that of the input if None.
    """

    features: int
    size: int
    stride: int = 1
    padding: int | None = None
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        """[B, H, W, C] -> [B, H', W', features]."""
        kernel = self.param(
            "kernel", self.kernel_init, (self.size, self.size, x.shape[-1], self.features)
        )
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        same = jax.lax.padtype_to_pads(x.shape[1:3], (self.size,) * 2, (self.stride,) * 2, "SAME")
        rows, columns = same if self.padding is None else [(self.padding, self.padding)] * 2
        y = convolve(x, kernel, self.stride, (tuple(rows), tuple(columns)))
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """y[h, w] = sum over i, j of x[stride h + i - top, stride w + j - left] @ kernel[i, j].

    Args:
      x: [B, H, W, C].
      kernel: [K, K, C, F] of the same type.
      stride: pixels between neighbouring windows.
      padding: pixels of zeros at the ((top, bottom), (left, right)).

    Returns:
      [B, H', W', F].
    """
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: Padding, saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    # `convolve.fun` is the convolution without this rule, whose transposes are XLA's own gradients.
    (dx,) = jax.linear_transpose(lambda x: convolve.fun(x, kernel, stride, padding), x)(dy)

    def plain(x: jax.Array, dy: jax.Array) -> jax.Array:
        (gradient,) = jax.linear_transpose(
            lambda kernel: convolve.fun(x, kernel, stride, padding), kernel
        )(dy)
        return gradient

    def in_parts(x: jax.Array, dy: jax.Array) -> jax.Array:
        share = -(-len(x) // PARTS)
        parts = [slice(first, first + share) for first in range(0, len(x), share)]
        return functools.reduce(jnp.add, [plain(x[part], dy[part]) for part in parts])

    size, outputs = kernel.shape[0], kernel.shape[3]
    # One pixel of kernel: the gradient is a single matrix product.
    if size == 1 and padding == ((0, 0), (0, 0)):
        return dx, _contract(x[:, ::stride, ::stride], dy)[None, None]
    # A padding of `size` or more would ask for a negative one of dy below.
    if size == 3 and stride == 1 and max(padding[0] + padding[1]) < size:
        by_products = functools.partial(_weight_gradient_by_products, size=size, padding=padding)
        fast = by_products if outputs < FEW_OUTPUTS else in_parts
        # Accelerators have fast programs of their own for it.
        return dx, jax.lax.platform_dependent(x, dy, cpu=fast, default=plain)
    return dx, plain(x, dy)


def _weight_gradient_by_products(
    x: jax.Array, dy: jax.Array, size: int, padding: Padding
) -> jax.Array:
    """The gradient with respect to the kernel at stride 1: per image, `size` copies of x shifted by
    rows times as many of dy by columns.
    """
    height, (left, right), last = dy.shape[1], padding[1], size - 1
    # Shifts are taken along rows of x and along columns of dy: 2 K copies instead of K^2 of one.
    rows = jnp.pad(x, ((0, 0), padding[0], (0, 0), (0, 0)))
    rows = jnp.concatenate([rows[:, i : i + height] for i in range(size)], axis=-1)
    columns = jnp.pad(dy, ((0, 0), (0, 0), (last - left, last - right), (0, 0)))
    columns = jnp.concatenate(
        [columns[:, :, last - j : last - j + x.shape[2]] for j in range(size)], axis=-1
    )
    # [B, H, W, K C] x [B, H, W, K F] -> [B, K C, K F], which is [i, C, j, F] for taps i, j.
    products = jax.lax.dot_general(rows, columns, (((1, 2), (1, 2)), ((0,), (0,))))
    return jnp.sum(products, 0).reshape(size, x.shape[3], size, dy.shape[3]).swapaxes(1, 2)


def _contract(x: jax.Array, dy: jax.Array) -> jax.Array:
    """The sum over images and pixels of x^T dy: [B, H, W, C], [B, H, W, F] -> [C, F]."""
    return jax.lax.dot_general(x, dy, (((0, 1, 2), (0, 1, 2)), ((), ())))


convolve.defvjp(_forward, _backward)
