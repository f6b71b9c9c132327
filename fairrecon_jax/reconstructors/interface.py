"""What a reconstructor is, the registry of their kinds, and the pieces they share.

A new training paradigm is one file: a frozen dataclass of plain fields that satisfies
`Reconstructor`, decorated with `register("name")` and imported in this package's `__init__`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

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
        """Reconstructions [B, H, W, 1] float32 in [0, 1] of degraded images [B, H, W, 1];
        deterministic given one key per example [B].
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
