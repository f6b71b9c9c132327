"""Augmentation of training images: flips, shifts and gain, drawn per example from its own key."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fairrecon_jax.keys import example_keys
from fairrecon_jax.types import Array, Batch, Key


@dataclass(frozen=True)
class Augmentation:
    """Random flips, shifts and gains of training images; the default changes nothing.

    Attributes:
      flip: mirror left and right with probability 1/2 (not for the diagnosis of chest X-rays: the
        heart has a side).
      shift: largest shift along each axis, as a fraction of the image size; the border is repeated.
      gain: largest relative change of the contrast around the image's mean; the result is clipped
        to [0, 1].

    Example:
      >>> image = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 16, 16, 1)
      >>> mask, ids = np.float32(image > 0.5), np.array([[0, 1]], np.uint32)
      >>> augment = jax.jit(Augmentation(flip=True, shift=0.2))
      >>> moved, with_it = augment(image, mask, ids, jax.random.key(0))
      >>> bool(jnp.all(with_it == (moved > 0.5))), bool(jnp.all(moved == image))
      (True, False)
    """

    flip: bool = False
    shift: float = 0.0
    gain: float = 0.0

    def __call__(
        self, image: Array, mask: Array, example_id: Array, key: Key
    ) -> tuple[jax.Array, jax.Array]:
        """Augments images and their masks alike.

        Args:
          image: [B, H, W, 1] in [0, 1].
          mask: [B, H, W, S], S may be 0.
          example_id: [B, 2] uint32; an example's draw depends on it and the key only.
          key: scalar key.

        Returns:
          The image and the mask, of the same shapes.
        """
        if not (self.flip or self.shift or self.gain):
            return jnp.asarray(image), jnp.asarray(mask)
        return jax.vmap(self._one)(
            jnp.asarray(image), jnp.asarray(mask), example_keys(key, example_id)
        )

    def batch(self, batch: Batch, key: Key) -> Batch:
        """Augments the fields "image" and "mask" of a batch."""
        image, mask = self(batch["image"], batch["mask"], batch["example_id"], key)
        return {**batch, "image": image, "mask": mask}

    def _one(self, image: jax.Array, mask: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
        """Augments one image [H, W, 1] and its mask [H, W, S]."""
        # Split for all three whatever is on: switching one on moves no other draw.
        flip_key, shift_key, gain_key = jax.random.split(key, 3)
        if self.flip:
            mirrored = jax.random.bernoulli(flip_key)
            image, mask = (jnp.where(mirrored, x[:, ::-1], x) for x in (image, mask))
        if self.shift:
            size = jnp.array(image.shape[:2])
            # Whole pixels: a mask stays binary and an image unblurred.
            offset = jnp.round(
                jax.random.uniform(shift_key, (2,), minval=-1.0, maxval=1.0) * self.shift * size
            ).astype(jnp.int32)
            # Clipped indices repeat the border.
            rows, columns = (
                jnp.clip(jnp.arange(n) + offset[i], 0, n - 1) for i, n in enumerate(image.shape[:2])
            )
            image, mask = (x[rows][:, columns] for x in (image, mask))
        if self.gain:
            # Last, about the mean of what is left; the mask has no contrast.
            factor = 1.0 + jax.random.uniform(gain_key, minval=-self.gain, maxval=self.gain)
            mean = jnp.mean(image)
            image = jnp.clip(mean + factor * (image - mean), 0.0, 1.0)
        return image, mask
