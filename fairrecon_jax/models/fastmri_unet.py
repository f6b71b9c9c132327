"""The baseline U-Net of fastMRI: instance norm, leaky ReLU, mean pooling."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import Normalise, UpConv2x2, recomputed
from fairrecon_jax.types import Array

SLOPE = 0.2  # of the leaky ReLU below zero


class FastMriUNet(nn.Module):
    """U-Net of `depth` halvings by 2x2 means; each convolution without bias, instance norm without
    scale and shift, and leaky ReLU behind all but the last.

    At width 256 and depth 4, with one channel in and out: 496,407,809 parameters; at width 32,
    7,756,097.

    Attributes:
      out_channels: channels of the result.
      width: channels of the first block; doubled at every halving (fastMRI's `chans`).
      depth: number of halvings (fastMRI's `num_pool_layers`).
      dtype: type of the computation; parameters and the result stay float32.
      remat: compute each block anew for the gradient, see `recomputed`.

    Example:
      >>> network, image = FastMriUNet(width=2, depth=1), np.zeros((1, 9, 8, 1), np.float32)
      >>> variables = network.init(jax.random.key(0), image)
      >>> network.apply(variables, image).shape
      (1, 9, 8, 1)

    Reference: Zbontar et al., "fastMRI: An Open Dataset and Benchmarks for Accelerated MRI",
    arXiv:1811.08839.
    """

    out_channels: int = 1
    width: int = 32
    depth: int = 4
    dtype: jnp.dtype | None = None
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, out_channels] float32; nothing depends on `train`."""
        block = recomputed(FastMriUNet._block, self.remat, (2, 3))
        skips = []
        for level in range(self.depth):
            x = block(self, x, level, f"down{level}")
            skips.append(x)
            # an odd last row or column is left out, and given back by reflection below
            x = nn.avg_pool(x, (2, 2), (2, 2))
        x = block(self, x, self.depth, "bottom")
        for level in reversed(range(self.depth)):
            features, skip = self.width * 2**level, skips[level]
            x = UpConv2x2(features, use_bias=False, dtype=self.dtype, name=f"upconv{level}")(x)
            x = self._active(x)
            missing = [(0, 0), *((0, a - b) for a, b in zip(skip.shape[1:3], x.shape[1:3])), (0, 0)]
            x = jnp.pad(x, missing, mode="reflect")
            x = block(self, jnp.concatenate([x, skip], axis=-1), level, f"up{level}")
        x = Conv(self.out_channels, 1, dtype=self.dtype, name="head")(x)
        return jnp.asarray(x, jnp.float32)

    def _block(self, x: Array, level: int, name: str) -> jax.Array:
        """Twice convolution, norm and leaky ReLU."""
        for i in (1, 2):
            x = Conv(
                self.width * 2**level, 3, use_bias=False, dtype=self.dtype, name=f"{name}_conv{i}"
            )(x)
            x = self._active(x)
        return jnp.asarray(x)

    def _active(self, x: Array) -> jax.Array:
        return nn.leaky_relu(Normalise("instance", dtype=self.dtype)(x), SLOPE)
