"""The degraded image as it is: separates what the degradation does from what a model does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from fairrecon_jax.reconstructors.interface import Untrained, image_errors, register
from fairrecon_jax.types import Array, Batch, Key, MethodTitle, Variables


@register("identity")
@dataclass(frozen=True)
class Identity(Untrained):
    """Passes degraded images on, clipped to [0, 1]; has nothing to train.

    Attributes:
      name: name in tables.

    Example:
      >>> degraded = np.array([-0.1, 0.5, 1.2]).reshape(1, 1, 3, 1)
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> Identity().reconstruct({}, degraded, keys).ravel().tolist()
      [0.0, 0.5, 1.0]
    """

    name: str = "identity"

    method: ClassVar[MethodTitle] = MethodTitle("degraded image", degraded=True)

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> dict[str, tuple[Array, Array]]:
        """Per-example "mse" and "psnr" of the degraded image; see `image_errors`."""
        return {**image_errors(batch["degraded"], batch["image"], batch["weight"])}

    def reconstruct(self, variables: Variables, degraded: Array, keys: Key) -> jax.Array:
        """The degraded images [B, H, W, 1], clipped to [0, 1]."""
        return jnp.clip(jnp.asarray(degraded, jnp.float32), 0.0, 1.0)
