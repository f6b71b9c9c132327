"""A U-Net whose encoder is a ResNet, in the layout of segmentation_models_pytorch."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from fairrecon_jax.models.convolution import Conv
from fairrecon_jax.models.layers import batch_norm, max_pool_3x3_stride_2, recomputed
from fairrecon_jax.models.resnet import STAGES, ResNetBlock
from fairrecon_jax.models.start import Start
from fairrecon_jax.models.unet import reflect_to_multiple
from fairrecon_jax.types import Array

HALVINGS = 5
"""Of the encoder."""


class ResNetUNet(nn.Module):
    """ResNet encoder of five halvings; decoder of five doublings by nearest neighbours, each
    followed by the skip connection (but the last) and twice convolution, batch norm, ReLU.

    The channels' means at the bottom are sown as "features" (see `models.apply.features`). With
    depth 34, one channel in and one out: 24,430,097 parameters.

    Attributes:
      out_channels: channels of the result.
      depth: of the ResNet, 18, 34 or 50.
      width: channels of the encoder's first stage (64 as published); the decoder has 4 times, 2
        times, once, half and a quarter of it.
      axis_name: mapped axis over which batch statistics are averaged in training, or None.
      dtype: type of the computation; parameters and the result stay float32.
      remat: compute each block of the encoder, and each of the decoder, anew for the gradient, see
        `recomputed`.

    Example:
      >>> network, image = ResNetUNet(2, depth=18, width=4), np.zeros((1, 40, 40, 1), np.float32)
      >>> shapes = jax.eval_shape(network.init, jax.random.key(0), image)
      >>> jax.eval_shape(network.apply, shapes, image).shape
      (1, 40, 40, 2)

    Reference: Ronneberger et al., MICCAI 2015; He et al., CVPR 2016.
    """

    out_channels: int = 1
    depth: int = 34
    width: int = 64
    axis_name: str | None = None
    dtype: jnp.dtype | None = None
    remat: bool = False

    start: ClassVar[Start] = "segmentation_models"

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> logits [B, H, W, out_channels] float32; `train` selects batch statistics.

        Sizes that do not divide by 32 are extended by reflection and cut back.

        Raises:
          ValueError: the depth is unknown, or the image too small to be extended.
        """
        if self.depth not in STAGES:
            raise ValueError(f"ResNet depth {self.depth} is unknown; choose among {sorted(STAGES)}")
        height, width = x.shape[1:3]
        x = reflect_to_multiple(x, 2**HALVINGS)
        x = Conv(self.width, 7, 2, 3, use_bias=False, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(self._norm("bn1")(x, use_running_average=not train))
        skips: list[Array] = [x]
        x = max_pool_3x3_stride_2(x)
        for stage, count in enumerate(STAGES[self.depth]):
            for block in range(count):
                x = recomputed(ResNetBlock, self.remat, (2,))(
                    self.width * 2**stage,
                    2 if stage > 0 and block == 0 else 1,
                    self.depth >= 50,
                    self.axis_name,
                    self.dtype,
                    name=f"layer{stage + 1}_{block}",
                )(x, train)
            skips.append(x)
        skips.pop()
        self.sow("intermediates", "features", jnp.mean(x, axis=(1, 2)).astype(jnp.float32))
        for block in range(HALVINGS):
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            x = jnp.concatenate([x, skips.pop()], axis=-1) if skips else x
            x = recomputed(ResNetUNet._decoded, self.remat, (2, 3))(self, x, block, train)
        x = Conv(self.out_channels, 3, 1, 1, dtype=self.dtype, name="head")(x)
        return x[:, :height, :width].astype(jnp.float32)

    def _decoded(self, x: jax.Array, block: int, train: bool) -> jax.Array:
        """Twice convolution, batch norm, ReLU."""
        for i in (1, 2):
            features = 4 * self.width // 2**block
            name = f"decoder{block}_conv{i}"
            x = Conv(features, 3, 1, 1, use_bias=False, dtype=self.dtype, name=name)(x)
            norm = self._norm(f"decoder{block}_bn{i}")
            x = nn.relu(norm(x, use_running_average=not train))
        return x

    def _norm(self, name: str) -> nn.BatchNorm:
        return batch_norm(self.axis_name, self.dtype, name)
