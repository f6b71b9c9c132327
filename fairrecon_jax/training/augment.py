"""Augmentation of training images: flips, turns, zooms, shifts and gain, drawn per example from its
own key.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from fairrecon_jax.keys import added, example_keys
from fairrecon_jax.types import Array, Batch, Key

TURN, ZOOM = 3, 4  # streams of an example's key; 0 to 2 are split off for flip, shift and gain


@dataclass(frozen=True)
class Augmentation:
    """Random flips, turns, zooms, shifts and gains of training images, in this order; the default
    changes nothing.

    Attributes:
      flip: mirror left and right with probability 1/2 (not for the diagnosis of chest X-rays: the
        heart has a side).
      rotate: largest turn about the centre in degrees, either way, between pixels bilinearly; masks
        take the nearest pixel.
      zoom: largest relative change of the size about the centre, larger or smaller; as `rotate`.
      shift: largest shift along each axis, as a fraction of the image size, at most 1.
      gain: largest relative change of the contrast around the image's mean, at most 1; the result
        is clipped to [0, 1].
      border: what comes in from outside of a turned, zoomed or shifted image: "edge" repeats the
        outermost pixels; a number in [0, 1] is that grey, and 0 in masks. TorchXRayVision takes the
        middle of its range, 0.5 here.

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
    rotate: float = 0.0
    zoom: float = 0.0
    border: Literal["edge"] | float = added("edge")

    def __post_init__(self) -> None:
        for name, most in (("shift", 1.0), ("rotate", 180.0), ("zoom", 0.9), ("gain", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must lie in [0, {most:g}], got {getattr(self, name)}")
        number = isinstance(self.border, Real) and not isinstance(self.border, bool)
        if self.border != "edge" and not (number and 0 <= float(self.border) <= 1):
            raise ValueError(f"border is 'edge' or a grey in [0, 1], got {self.border!r}")

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
        if self == Augmentation():
            return jnp.asarray(image), jnp.asarray(mask)
        return jax.vmap(self._one)(
            jnp.asarray(image), jnp.asarray(mask), example_keys(key, example_id)
        )

    def batch(self, batch: Batch, key: Key) -> Batch:
        """Augments the fields "image" and "mask" of a batch."""
        image, mask = self(batch["image"], batch["mask"], batch["example_id"], key)
        return {**batch, "image": image, "mask": mask}

    @property
    def _beside(self) -> Literal["edge"] | float:
        """The border of masks."""
        return "edge" if self.border == "edge" else 0.0

    def _one(self, image: jax.Array, mask: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
        """Augments one image [H, W, 1] and its mask [H, W, S]."""
        # Split for all whatever is on: switching one on moves no other draw.
        flip_key, shift_key, gain_key = jax.random.split(key, 3)
        if self.flip:
            mirrored = jax.random.bernoulli(flip_key)
            image, mask = (jnp.where(mirrored, x[:, ::-1], x) for x in (image, mask))
        if self.rotate or self.zoom:
            turn_key, zoom_key = (jax.random.fold_in(key, stream) for stream in (TURN, ZOOM))
            turn = jnp.deg2rad(jax.random.uniform(turn_key, minval=-1.0) * self.rotate)
            zoom = 1.0 + jax.random.uniform(zoom_key, minval=-1.0) * self.zoom
            places = _turned(image.shape[:2], turn, zoom)
            image = _read(image, places, 1, self.border)
            mask = _read(mask, places, 0, self._beside)
        if self.shift:
            size = jnp.array(image.shape[:2])
            # Whole pixels: a mask stays binary and an image unblurred.
            offset = jnp.round(
                jax.random.uniform(shift_key, (2,), minval=-1.0, maxval=1.0) * self.shift * size
            ).astype(jnp.int32)
            image, mask = _moved(image, offset, self.border), _moved(mask, offset, self._beside)
        if self.gain:
            # Last, about the mean of what is left; the mask has no contrast.
            factor = 1.0 + jax.random.uniform(gain_key, minval=-self.gain, maxval=self.gain)
            mean = jnp.mean(image)
            image = jnp.clip(mean + factor * (image - mean), 0.0, 1.0)
        return image, mask


def _turned(shape: tuple[int, ...], turn: Array, zoom: Array) -> jax.Array:
    """[2, H, W] rows and columns from which the pixels of a turned and zoomed image come."""
    centre = (jnp.array(shape) - 1) / 2
    row, column = jnp.meshgrid(*(jnp.arange(n) - c for n, c in zip(shape, centre)), indexing="ij")
    cos, sin = jnp.cos(turn) / zoom, jnp.sin(turn) / zoom
    return jnp.stack([cos * row - sin * column, sin * row + cos * column]) + centre[:, None, None]


def _read(
    image: jax.Array, places: jax.Array, order: int, border: Literal["edge"] | float
) -> jax.Array:
    """An image [H, W, C] at [2, H, W] places, linearly (order 1) or from the nearest pixel (0)."""
    if not image.shape[-1]:
        return image
    # a constant border is one of pixels: half a pixel outside half of it is seen
    mode, grey = ("nearest", 0.0) if border == "edge" else ("constant", border)
    return jax.vmap(
        lambda channel: map_coordinates(channel, list(places), order, mode, grey),
        in_axes=-1,
        out_axes=-1,
    )(image)


def _moved(image: jax.Array, offset: jax.Array, border: Literal["edge"] | float) -> jax.Array:
    """An image [H, W, C] from [2] whole pixels further on."""
    wanted = [jnp.arange(n) + offset[i] for i, n in enumerate(image.shape[:2])]
    # Clipped indices repeat the border.
    rows, columns = (jnp.clip(w, 0, n - 1) for w, n in zip(wanted, image.shape))
    moved = image[rows][:, columns]
    if border == "edge":
        return moved
    inside = (rows == wanted[0])[:, None] & (columns == wanted[1])[None]
    return jnp.where(inside[..., None], moved, jnp.asarray(border, moved.dtype))
