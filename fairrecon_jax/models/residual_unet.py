"""A U-Net of strided residual units, in the layout of MONAI's `UNet`."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import (
    InstanceOrBatch,
    Normalise,
    PReLU,
    UpConv3x3,
    recomputed,
)
from fairrecon_jax.models.unet import reflect_to_multiple
from fairrecon_jax.types import Array


class ResidualUNet(nn.Module):
    """Encoder of `depth` strided units and one at the bottom, decoder of as many transposed 3x3
    convolutions, skips joined before them.

    A unit is `units` times 3x3 convolution, normalisation and PReLU (the first with the stride),
    plus its input through one convolution where shapes differ. `units` 0 leaves single
    convolutions. The channels' means at the bottom are sown as "features".

    Attributes:
      out_channels: channels of the result.
      width: channels of the first unit; doubled by each further one.
      depth: number of halvings: MONAI's `channels` less one, its `strides` being 2.
      units: MONAI's `num_res_units`.
      norm: "instance" (MONAI's default, without scale and shift) or "batch".
      axis_name: mapped axis over which batch statistics are averaged in training, or None.
      dtype: type of the computation; parameters and the result stay float32.
      remat: compute each unit anew for the gradient, see `recomputed`.

    Example:
      >>> network, image = ResidualUNet(2, width=2, depth=1), np.zeros((1, 8, 8, 1), np.float32)
      >>> variables = network.init(jax.random.key(0), image)
      >>> network.apply(variables, image).shape
      (1, 8, 8, 2)

    Reference: Kerfoot et al., "Left-Ventricle Quantification Using Residual U-Net", STACOM 2018.
    """

    out_channels: int = 1
    width: int = 16
    depth: int = 4
    units: int = 2
    norm: InstanceOrBatch = "instance"
    axis_name: str | None = None
    dtype: jnp.dtype | None = None
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> logits [B, H, W, out_channels] float32; `train` selects batch statistics.

        Sizes that do not divide by 2^depth are extended by reflection and cut back.

        Raises:
          ValueError: the image is too small to be extended.
        """
        height, width = x.shape[1:3]
        x, skips = reflect_to_multiple(x, 2**self.depth), []
        unit = recomputed(ResidualUNet._unit, self.remat, (2, 3, 4, 5, 6, 7))
        for level in range(self.depth):
            x = unit(self, x, self.width * 2**level, 2, self.units, f"down{level}", train, False)
            skips.append(x)
        x = unit(self, x, self.width * 2**self.depth, 1, self.units, "bottom", train, False)
        self.sow("intermediates", "features", jnp.mean(x, axis=(1, 2)).astype(jnp.float32))
        for level in reversed(range(self.depth)):
            features = self.width * 2 ** (level - 1) if level else self.out_channels
            x = jnp.concatenate([skips[level], x], axis=-1)
            x = UpConv3x3(features, dtype=self.dtype, name=f"upconv{level}")(x)
            if level or self.units:
                x = self._normalised(x, f"upconv{level}", train)
            if self.units:
                # the last convolution of all has nothing behind it
                x = unit(self, x, features, 1, 1, f"up{level}", train, not level)
        return jnp.asarray(x[:, :height, :width], jnp.float32)

    def _unit(
        self,
        x: jax.Array,
        features: int,
        stride: int,
        count: int,
        name: str,
        train: bool,
        bare: bool,
    ) -> jax.Array:
        """A residual unit, or a convolution where `count` is 0; `bare`: without norm and PReLU."""
        y = x
        for i in range(max(count, 1)):
            step = stride if i == 0 else 1
            one = f"{name}_unit{i}"
            y = Conv(features, 3, step, 1, dtype=self.dtype, name=f"{one}_conv")(y)
            y = y if bare else self._normalised(y, one, train)
        if not count:
            return y
        if stride > 1:
            x = Conv(features, 3, stride, 1, dtype=self.dtype, name=f"{name}_residual")(x)
        elif x.shape[-1] != features:
            x = Conv(features, 1, 1, 0, dtype=self.dtype, name=f"{name}_residual")(x)
        return jnp.asarray(x + y)

    def _normalised(self, x: jax.Array, name: str, train: bool) -> jax.Array:
        x = Normalise(self.norm, 1, self.axis_name, self.dtype, name=f"{name}_norm")(x, train)
        return PReLU(name=f"{name}_act")(x)
