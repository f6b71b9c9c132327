"""Images that something else reconstructed: nothing is trained and nothing degraded here."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fairrecon_jax.reconstructors.interface import Untrained, image_errors, register
from fairrecon_jax.types import STORED, Array, Batch, InputError, Key, MethodTitle, Variables

DEGRADED = "degraded"
"""The stored image that no method has reconstructed."""


@register("stored")
@dataclass(frozen=True)
class Stored(Untrained):
    """Hands on the reconstruction that comes with each example.

    A batch holds it as field "stored_<images>" [B, H, W, 1], in the scale of the original; the
    cohort "table" reads it from the files that `columns.reconstructions` names.

    Attributes:
      images: name in `columns.reconstructions`, or "degraded".
      name: name in tables.
      title: what a report calls the method; "" for its name.

    Example:
      >>> Stored("vendor", title="Vendor's").method.title, Stored("degraded").method.degraded
      ("Vendor's", True)
    """

    images: str
    name: str = "stored"
    title: str = ""

    @property
    def method(self) -> MethodTitle:
        """What a report calls it."""
        if self.images == DEGRADED:
            return MethodTitle("degraded image", degraded=True)
        return MethodTitle(self.title or self.images)

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> dict[str, tuple[Array, Array]]:
        """Per-example "mse" and "psnr" of the stored image; see `image_errors`."""
        return {**image_errors(self.given(batch)[1], batch["image"], batch["weight"])}

    def given(self, batch: Batch) -> tuple[jax.Array | None, jax.Array]:
        """The images of a batch.

        Args:
          batch: with the fields of `Stored`.

        Returns:
          (degraded, None where the cohort has none; reconstruction), each [B, H, W, 1] float32 in
            [0, 1].

        Raises:
          InputError: the batch has no such images.

        Example:
          >>> import numpy as np
          >>> batch = {"image": np.ones((2, 8, 8, 1)), "stored_vendor": np.zeros((2, 8, 8, 1))}
          >>> degraded, image = Stored("vendor").given(batch)
          >>> degraded is None, image.shape
          (True, (2, 8, 8, 1))
        """
        if STORED + self.images not in batch:
            raise InputError(
                f"the images come without {self.images!r}: a stored reconstruction is read with "
                "the cohort, from columns.reconstructions of the cohort 'table'"
            )
        degraded = batch.get(STORED + DEGRADED)
        image = jnp.clip(jnp.asarray(batch[STORED + self.images], jnp.float32), 0.0, 1.0)
        return None if degraded is None else jnp.asarray(degraded, jnp.float32), image

    def reconstruct(self, variables: Variables, degraded: Array, keys: Key) -> jax.Array:
        """Refuses: it is no function of degraded images.

        Raises:
          InputError: always.
        """
        raise InputError(
            f"the reconstructor {self.name!r} holds stored images and cannot reconstruct others"
        )
