"""A U-Net trained on the mean squared error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from fairrecon_jax.models.apply import apply_network, init_network, weighted_mean
from fairrecon_jax.models.fastmri_unet import FastMriUNet
from fairrecon_jax.models.layers import Norm
from fairrecon_jax.models.unet import UNet, check_size
from fairrecon_jax.reconstructors.interface import (
    Finish,
    check_finish,
    finished,
    image_errors,
    register,
)
from fairrecon_jax.registry import TRAINING, UNCHANGED
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training.trainable import Phase, PhaseOutput
from fairrecon_jax.types import Array, Batch, Key, MethodTitle, Precision, Variables

NETWORK = "unet"


@register("mse")
@dataclass(frozen=True)
class UNetReconstructor:
    """U-Net from the degraded to the original image; loss = weighted mean over examples of their
    mean squared error.

    Attributes:
      width: channels of the first block (64 in the paper).
      depth: number of halvings (4 in the paper).
      norm: None (paper), "group" or "batch".
      groups: channel groups of "group".
      residual: predict the difference to the degraded image instead of the image (off in the
        paper).
      output: what the last convolution's values pass through, "none" or "sigmoid" (published
        CheXpert weights).
      finish: of the reconstructions, "clip", "as_is" (published) or "min_max", see `Finish`.
      architecture: "unet", or "fastmri" for fastMRI's baseline, whose `norm` is its own.
      standardise: subtract each degraded image's mean and divide by its standard deviation before
        the network and undo it behind, as fastMRI does.
      start: law of the start values of "unet": "he", or "torch" (paper), which in a network without
        a norm trains slower; see `models.start.law`.
      dtype: type of the computation, "float32" or "bfloat16".
      remat: compute the network's blocks anew for the gradient; set by the training's own field.
      bn_axis: mapped axis that training steps average statistics and weights over, or None outside
        of one.
      name: name in tables.

    Example:
      >>> unet = UNetReconstructor(width=2, depth=1)
      >>> degraded = np.full((3, 16, 16, 1), 0.5, np.float32)
      >>> weights = unet.init(jax.random.key(0), {"image": degraded})  # `fr.fit` trains them
      >>> fr.trained(unet, weights)(degraded).shape
      (3, 16, 16, 1)
    """

    width: int = 64
    depth: int = 4
    norm: Norm = None
    groups: int = 8
    residual: bool = False
    output: Literal["none", "sigmoid"] = "none"
    finish: Finish = "clip"
    architecture: Literal["unet", "fastmri"] = "unet"
    standardise: bool = False
    start: Literal["he", "torch"] = field(default="he", metadata=TRAINING)
    dtype: Precision = "float32"
    remat: bool = field(default=False, metadata=UNCHANGED)
    bn_axis: str | None = AXIS
    name: str = "unet"

    method: ClassVar[MethodTitle] = MethodTitle("U-Net")

    def __post_init__(self) -> None:
        if self.output == "sigmoid" and (self.residual or self.standardise):
            raise ValueError("output 'sigmoid' is an image: it goes without residual, standardise")
        check_finish(self.finish)
        if self.norm != "group" and self.groups != UNetReconstructor.groups:
            raise ValueError(f"groups is for norm 'group', and norm is {self.norm!r}")
        if self.architecture == "fastmri" and (self.norm, self.groups, self.start) != (
            None,
            8,
            "he",
        ):
            raise ValueError(
                "architecture 'fastmri' has its own norm and start: leave norm, groups, start out"
            )
        if self.start not in ("he", "torch"):
            raise ValueError(f"start must be 'he' or 'torch', got {self.start!r}")

    def check(self, size: int) -> None:
        """Checks that the network can take square images of a size.

        Raises:
          ValueError: it cannot; the message says what to choose.
        """
        check_size(self.depth, size)

    @property
    def network(self) -> UNet | FastMriUNet:
        """The network."""
        if self.architecture == "fastmri":
            return FastMriUNet(1, self.width, self.depth, jnp.dtype(self.dtype), self.remat)
        return UNet(
            1,
            self.width,
            self.depth,
            self.norm,
            self.groups,
            self.bn_axis,
            jnp.dtype(self.dtype),
            self.remat,
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase(NETWORK, self.loss),)

    @property
    def validation_metrics(self) -> Mapping[str, Literal["max", "min"]]:
        """Higher "psnr", lower "mse"."""
        return {"psnr": "max", "mse": "min"}

    def init(self, key: Key, batch: Batch) -> Variables:
        """Fresh variables for images of the batch's size."""
        start = None if self.architecture == "fastmri" else self.start
        return init_network(self.network, NETWORK, key, batch["image"][:1], start=start)

    def loss(
        self, variables: Variables, batch: Batch, key: Key, train: bool
    ) -> tuple[Array, PhaseOutput]:
        """Mean squared error of the unclipped output.

        Args:
          variables: as made by `init`.
          batch: with "degraded".
          key: not used.
          train: batch statistics, and weights averaged over `bn_axis`.

        Returns:
          The scalar, and the output clipped to [0, 1] with new statistics.
        """
        estimate, statistics = self._apply(variables, batch["degraded"], train)
        # Not clipped: where the output leaves [0, 1] a clip would stop its gradient.
        errors = jnp.mean((estimate - batch["image"]) ** 2, axis=(1, 2, 3))
        # Outside of a training step there is no mapped axis.
        loss = weighted_mean(errors, batch["weight"], self.bn_axis if train else None)
        return loss, PhaseOutput(jnp.clip(estimate, 0.0, 1.0), statistics, {"mse": loss})

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> dict[str, tuple[Array, Array]]:
        """Per-example "mse" and "psnr" of the clipped output; see `image_errors`."""
        estimate, _ = self._apply(variables, batch["degraded"], False)
        return {**image_errors(estimate, batch["image"], batch["weight"])}

    def reconstruct(self, variables: Variables, degraded: Array, keys: Key) -> jax.Array:
        """Reconstructions [B, H, W, 1], finished; the keys are not used."""
        return finished(self._apply(variables, degraded, False)[0], self.finish)

    def _apply(
        self, variables: Variables, degraded: Array, train: bool
    ) -> tuple[jax.Array, dict[str, Any]]:
        """The unclipped estimate, and the statistics of all networks."""
        given, mean, deviation = jnp.asarray(degraded), jnp.zeros(()), jnp.ones(())
        if self.standardise:
            mean = jnp.mean(given, axis=(1, 2, 3), keepdims=True)
            # of a sample, and never 0: as fastMRI has them
            deviation = jnp.std(given, axis=(1, 2, 3), keepdims=True, ddof=1) + 1e-11
        output, statistics = apply_network(
            self.network, NETWORK, variables, (given - mean) / deviation, train=train
        )
        output = output * deviation + mean
        if self.output == "sigmoid":
            output = jax.nn.sigmoid(output)
        return (given + output if self.residual else output), statistics
