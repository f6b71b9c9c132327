"""Additive white Gaussian noise in the image: the plainest degradation, for any modality."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.physics.interface import (
    BaseDegradation,
    Modality,
    Operator,
    Worse,
    level_word,
    noise_keys,
    register,
)
from fairrecon_jax.types import Array, Key


@register("gaussian_noise")
@dataclasses.dataclass(frozen=True)
class GaussianNoise(BaseDegradation):
    """Adds independent noise to every pixel: y = x + level * n, n ~ N(0, 1).

    Attributes:
      size: image height and width in pixels, even.
      clip: whether y is cut off to [0, 1], as images must be. Cut off, the noise of pixels near 0
        and 1 is smaller and not centred; uncut, the result leaves [0, 1] and is for the study of
        the noise itself.

    Example:
      >>> noisy = GaussianNoise(32)
      >>> ids, key = np.array([[0, 1], [0, 2]], np.uint32), jax.random.key(0)
      >>> y = noisy(noisy.operator(0.1), np.full((2, 32, 32, 1), 0.5, np.float32), ids, key)
      >>> y.shape, round(float(y.std()), 2)
      ((2, 32, 32, 1), 0.1)
    """

    clip: bool = True

    kind: ClassVar[str] = "gaussian_noise"
    title: ClassVar[str] = "additive Gaussian noise"
    unit: ClassVar[str] = "noise sd"
    symbol: ClassVar[str] = ""
    worse: ClassVar[Worse] = "higher"
    modality: ClassVar[Modality] = "any"

    def operator(self, level: float) -> dict[str, Array]:
        """Everything that depends on the level.

        Args:
          level: standard deviation in units of the image range [0, 1], positive.

        Returns:
          "deviation", float32 scalar, and "level_word", uint32 scalar.

        Raises:
          ValueError: a level that is not a positive number.
        """
        return {
            "deviation": np.asarray(self.positive(level), np.float32),
            "level_word": level_word(level),
        }

    def _degrade(
        self, operators: Operator, image: jax.Array, example_id: Array, key: Key
    ) -> jax.Array:
        def draw(one: Key) -> jax.Array:
            # One image per key: the draw knows nothing of the batch around it.
            return jax.random.normal(one, image.shape[1:], image.dtype)

        drawn = jax.vmap(jax.vmap(draw))(noise_keys(operators["level_word"], example_id, key))
        # [1, B, H, W] + [L, 1, 1, 1] * [L, B, H, W]; no level reuses the draw of another.
        noisy = image[None] + jnp.asarray(operators["deviation"])[:, None, None, None] * drawn
        return jnp.clip(noisy, 0, 1) if self.clip else noisy
