"""What a reconstructor is, the registry of their kinds, and the pieces they share.

A new training paradigm is one file: a frozen dataclass of plain fields that satisfies
`Reconstructor`, decorated with `register("name")` and imported in this package's `__init__`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp

from fairrecon_jax.metrics.image import mean_squared_error, psnr
from fairrecon_jax.registry import build, registrar
from fairrecon_jax.training.trainable import Phase, Trainable
from fairrecon_jax.types import Array, Batch, Key, MethodTitle, Variables


@runtime_checkable
class Reconstructor(Trainable, Protocol):
    """A trainable that turns degraded images into images.

    Its batches hold a field "degraded" [B, H, W, 1] beside "image". `variables["batch_stats"]` has
    one tree per network, {} where a network has no statistics, and every loss returns all of them.
    """

    @property
    def method(self) -> MethodTitle:
        """What a report calls it."""
        ...

    def reconstruct(self, variables: Variables, degraded: Array, keys: Key) -> jax.Array:
        """Reconstructions [B, H, W, 1] float32 in [0, 1] (but see `Finish`) of degraded images [B,
        H, W, 1]; deterministic given one key per example [B].
        """
        ...


@runtime_checkable
class GivesImages(Protocol):
    """A reconstructor whose images come with the examples, and are no function of degraded ones."""

    def given(self, batch: Batch) -> tuple[jax.Array | None, jax.Array]:
        """(degraded images or None, reconstructions) of a batch, [B, H, W, 1] in [0, 1]."""
        ...


class Untrained:
    """What reconstructors without a network share."""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """No phases."""
        return ()

    @property
    def validation_metrics(self) -> Mapping[str, Literal["max", "min"]]:
        """Higher "psnr", lower "mse"."""
        return {"psnr": "max", "mse": "min"}

    def init(self, key: Key, batch: Batch) -> Variables:
        """Variables without any network."""
        return {"params": {}, "batch_stats": {}}


RECONSTRUCTORS: dict[str, type] = {}
"""Reconstructor dataclasses by kind."""

register = registrar(RECONSTRUCTORS, "reconstructor")
"""Class decorator that enters a reconstructor into `RECONSTRUCTORS`.

Example:
  >>> @register("as_it_is")
  ... class AsItIs(fr.Identity):
  ...     pass
  >>> make_reconstructor("as_it_is", name="zero-filled").name
  'zero-filled'
  >>> del RECONSTRUCTORS["as_it_is"]
"""


def make_reconstructor(kind: str, **fields: Any) -> Reconstructor:
    """Builds a reconstructor from plain fields.

    Args:
      kind: a name in `RECONSTRUCTORS`.
      **fields: values of the kind's dataclass fields; lists become tuples.

    Returns:
      The reconstructor.

    Raises:
      ValueError: the kind or a field is unknown; the message lists the valid ones.
      TypeError: a value does not fit its field.

    Example:
      >>> make_reconstructor("mse", width=16, norm="group").network.width
      16
    """
    return build(RECONSTRUCTORS, kind, "reconstructor", fields)


Finish = Literal["clip", "as_is", "min_max"]
"""What a network's image goes through before anybody reads it.

clip     cut off to [0, 1]
as_is    nothing: values may leave [0, 1] (the published code's U-Net)
min_max  per image stretched from its smallest and largest value to 0 and 1 (the published code's
         SDE)
"""


def check_finish(finish: str) -> None:
    """Refuses a finish that is none.

    Raises:
      ValueError: the message names the field.
    """
    if finish not in get_args(Finish):
        raise ValueError(f"finish must be one of {get_args(Finish)}, got {finish!r}")


def finished(image: Array, finish: Finish) -> jax.Array:
    """Images [B, H, W, 1] as `Finish` says; a constant image is left as it is by "min_max".

    Example:
      >>> image = jnp.asarray([-0.5, 0.0, 1.5]).reshape(1, 1, 3, 1)
      >>> [finished(image, how).ravel().tolist() for how in ("clip", "as_is", "min_max")]
      [[0.0, 0.0, 1.0], [-0.5, 0.0, 1.5], [0.0, 0.25, 1.0]]
    """
    image = jnp.asarray(image)
    if finish == "clip":
        return jnp.clip(image, 0.0, 1.0)
    if finish == "as_is":
        return image
    low = jnp.min(image, axis=(1, 2, 3), keepdims=True)
    spread = jnp.max(image, axis=(1, 2, 3), keepdims=True) - low
    return jnp.where(spread > 0, (image - low) / jnp.where(spread > 0, spread, 1), image)


def image_errors(
    estimate: Array, image: Array, weight: Array
) -> dict[str, tuple[jax.Array, Array]]:
    """Per-example "mse" and "psnr" of an estimate clipped to [0, 1].

    psnr in dB for a data range of 1, at most 100 dB (an exact estimate).

    Args:
      estimate: [B, H, W, 1].
      image: [B, H, W, 1] in [0, 1].
      weight: [B].

    Returns:
      {"mse": (value [B], weight [B]), "psnr": (value [B], weight [B])}.

    Example:
      >>> image = jnp.full((2, 8, 8, 1), 0.5)
      >>> errors = image_errors(image + 0.1, image, jnp.ones(2))
      >>> errors["psnr"][0].round(3).tolist()
      [20.0, 20.0]
    """
    clipped = jnp.clip(estimate, 0.0, 1.0)
    # The cap keeps one exact estimate from making the mean infinite.
    decibels = jnp.minimum(psnr(image, clipped), 100.0)
    return {"mse": (mean_squared_error(image, clipped), weight), "psnr": (decibels, weight)}
