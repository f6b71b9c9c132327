"""Segmentation with a normalised U-Net, trained on soft Dice and L1 of one sigmoid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.diagnosers.interface import register
from fairrecon_jax.diagnosers.preprocessing import Outputs, Preprocessing
from fairrecon_jax.metrics.segmentation import dice
from fairrecon_jax.models.apply import apply_network, features, init_network, weighted_mean
from fairrecon_jax.models.layers import InstanceOrBatch, Norm
from fairrecon_jax.models.residual_unet import ResidualUNet
from fairrecon_jax.models.resnet import STAGES
from fairrecon_jax.models.resnet_unet import HALVINGS, ResNetUNet
from fairrecon_jax.models.unet import UNet, check_size
from fairrecon_jax.registry import FLAT, TRAINING, UNCHANGED
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.training.trainable import Phase, PhaseOutput
from fairrecon_jax.types import (
    MASK_THRESHOLD,
    Array,
    Batch,
    Key,
    Precision,
    TaskKind,
    Variables,
    meant,
)

NETWORK = "segmenter"
BACKBONES: dict[str, tuple[Norm | Literal["instance"], ...]] = {
    "unet": ("group", "batch", None),
    "residual_unet": ("instance", "batch"),
    **{f"resnet{depth}_unet": ("batch",) for depth in STAGES},
}
"""Norms by backbone."""


@register("segmenter")
@dataclass(frozen=True)
class Segmenter:
    """U-Net with one sigmoid per task; loss = dice_weight (1 - soft Dice) + (1 - dice_weight) mean
    |p - t|.

    Without normalisation this loss collapses to the empty mask where most slices hold no tumour.

    Attributes:
      tasks: names of the tasks.
      columns: their channels in the batch's mask.
      backbone: "unet"; "residual_unet", MONAI's; or "resnet18_unet", "resnet34_unet" (the
        paper's), "resnet50_unet", those of segmentation_models_pytorch, with five halvings and
        batch norm.
      width: channels of the first block (64 in the paper).
      depth: number of halvings (4 in the paper).
      units: convolutions of a residual unit of "residual_unet".
      norm: "batch" (paper) or "group", of "residual_unet" "batch" or "instance"; None for U-Nets
        without one whose weights come from a file.
        With "group" some start values never lift a mask above the threshold: on the small brain MRI
        sample one start of two stayed at probabilities below 0.5 through 800 updates.
      groups: channel groups of "group".
      preprocessing: what the network is fed; masks are stretched back to the image's size.
      readout: which of the network's outputs are the tasks'.
      dice_weight: part of the Dice term.
      smooth: added to numerator and denominator of the soft Dice, in pixels.
      augment: of training images; in a configuration its fields flip, shift, gain, rotate, zoom,
        border.
      dtype: type of the computation, "float32" or "bfloat16".
      remat: compute the network's blocks anew for the gradient; set by the training's own field.
      bn_axis: mapped axis that training steps average statistics and weights over, or None outside
        of one.
      name: name in tables.

    Example:
      >>> tumour = Segmenter(("tumour",), columns=(0,), width=2, depth=1)
      >>> image = np.zeros((3, 16, 16, 1), np.float32)
      >>> weights = jax.eval_shape(tumour.init, jax.random.key(0), {"image": image})
      >>> jax.eval_shape(tumour.predict, weights, image).shape  # a probability per pixel
      (3, 16, 16, 1)
    """

    tasks: tuple[str, ...]
    columns: tuple[int, ...]
    backbone: str = "unet"
    width: int = 64
    depth: int = 4
    units: int = 2
    norm: Norm = "batch"
    groups: int = 8
    preprocessing: Preprocessing = field(default_factory=Preprocessing, metadata=FLAT)
    readout: Outputs = field(default_factory=Outputs, metadata=FLAT)
    dice_weight: float = field(default=0.5, metadata=TRAINING)
    smooth: float = field(default=1.0, metadata=TRAINING)
    augment: Augmentation = field(default_factory=Augmentation, metadata={**FLAT, **TRAINING})
    dtype: Precision = "float32"
    remat: bool = field(default=False, metadata=UNCHANGED)
    bn_axis: str | None = AXIS
    name: str = "segmenter"
    kind: ClassVar[TaskKind] = "segmentation"

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(
                f"unknown backbone {self.backbone!r}; choose one of {', '.join(BACKBONES)}"
                f"{meant(self.backbone, BACKBONES)}"
            )
        allowed = BACKBONES[self.backbone]
        if self.norm not in allowed:
            raise ValueError(
                f"norm of backbone {self.backbone!r} is {' or '.join(map(repr, allowed))}, got "
                f"{self.norm!r}"
            )
        foreign = {"unet": ("units",), "residual_unet": ("groups",)}.get(
            self.backbone, ("depth", "units", "groups")
        )
        if self.norm != "group" and self.groups != Segmenter.groups and "groups" not in foreign:
            raise ValueError(f"groups is for norm 'group', and norm is {self.norm!r}")
        # a field that nothing reads would be a choice that changes nothing
        if given := [name for name in foreign if getattr(self, name) != getattr(Segmenter, name)]:
            raise ValueError(f"backbone {self.backbone!r} has no {given[0]}")
        self.readout.check(len(self.tasks))
        if self.readout.op_norm:
            raise ValueError("op_norm is for classifiers")
        if not 0 <= self.dice_weight <= 1:
            raise ValueError(f"dice_weight must lie in [0, 1], got {self.dice_weight}")
        if self.smooth < 0:
            raise ValueError(f"smooth must not be negative, got {self.smooth}")

    def check(self, size: int) -> None:
        """Checks that the network can take square images of a size.

        Raises:
          ValueError: it cannot; the message says what to choose.
        """
        depth = HALVINGS if self.backbone.startswith("resnet") else self.depth
        check_size(depth, self.preprocessing.input_size or size)

    def check_training(self) -> None:
        """Checks that it can be trained.

        Raises:
          ValueError: it can only use weights from a file; the message names the field.
        """
        self.readout.check_training()
        if self.norm is None:
            raise ValueError(
                "norm None is for weights from a file: a training without a norm learns the empty "
                "mask"
            )

    @property
    def network(self) -> UNet | ResidualUNet | ResNetUNet:
        """The network."""
        dtype, remat = jnp.dtype(self.dtype), self.remat
        outputs = self.readout.count(len(self.tasks))
        if self.backbone == "unet":
            return UNet(
                outputs, self.width, self.depth, self.norm, self.groups, self.bn_axis, dtype, remat
            )
        if self.backbone == "residual_unet":
            # refused where it is neither
            norm: InstanceOrBatch = "instance" if self.norm == "instance" else "batch"
            return ResidualUNet(
                outputs, self.width, self.depth, self.units, norm, self.bn_axis, dtype, remat
            )
        layers = int(self.backbone.removeprefix("resnet").removesuffix("_unet"))
        return ResNetUNet(outputs, layers, self.width, self.bn_axis, dtype, remat)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase(NETWORK, self.loss),)

    @property
    def validation_metrics(self) -> Mapping[str, Literal["max", "min"]]:
        """Lower "loss", higher "dice"."""
        return {"loss": "min", "dice": "max"}

    def init(self, key: Key, batch: Batch) -> Variables:
        """Fresh variables for images of the batch's size."""
        return init_network(self.network, NETWORK, key, self.preprocessing(batch["image"][:1]))

    def loss(
        self, variables: Variables, batch: Batch, key: Key, train: bool
    ) -> tuple[Array, PhaseOutput]:
        """w (1 - soft Dice of the whole batch) + (1 - w) mean |p - t|, w = `dice_weight`; augmented
        where `train`.

        The Dice term pools overlap and area over the batch (and over `bn_axis`): per slice, the
        many slices without a tumour would each pay for the empty mask, and the network learns it.

        Args:
          variables: as made by `init`.
          batch: with "mask" [B, H, W, S].
          key: drawn from, per example, by the augmentation.
          train: augment, batch statistics, and weights averaged over `bn_axis`.

        Returns:
          The scalar, and no clean image, the new statistics and the metric "loss".
        """
        image, truth = batch["image"], self._truth(batch)
        if train:
            image, truth = self.augment(image, truth, batch["example_id"], key)
        logits, statistics = apply_network(
            self.network, NETWORK, variables, self.preprocessing(image), train=train
        )
        probability, weight, axis = (
            self._probability(logits, image),
            batch["weight"],
            self.bn_axis if train else None,
        )
        distance = weighted_mean(
            jnp.mean(jnp.abs(probability - truth), axis=(1, 2, 3)), weight, axis
        )
        soft = jnp.mean(pooled_soft_dice(probability, truth, weight, self.smooth, axis))
        loss = self.dice_weight * (1.0 - soft) + (1.0 - self.dice_weight) * distance
        return loss, PhaseOutput(None, statistics, {"loss": loss})

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> dict[str, tuple[Array, Array]]:
        """Per-example "loss", and "dice" of the thresholded mask over the task channels that hold
        tumour, weighted by their number.
        """
        truth = self._truth(batch)
        probability = self.predict(variables, batch["image"])
        # Slices without tumour leave the mean: an empty prediction would score 1 on most of them.
        present = jnp.any(truth > 0, axis=(1, 2)).astype(jnp.float32)
        # Dice is NaN where both masks are empty, which would survive a weight of 0.
        overlap = jnp.where(present > 0, dice(probability, truth > 0, MASK_THRESHOLD), 0.0)
        count = jnp.sum(present, axis=1)
        return {
            # Per slice, unlike the training loss: validation must not depend on its batches.
            "loss": (self._losses(probability, truth), batch["weight"]),
            "dice": (jnp.sum(overlap, axis=1) / jnp.maximum(count, 1.0), batch["weight"] * count),
        }

    def predict(self, variables: Variables, image: Array) -> jax.Array:
        """Mask probabilities [B, H, W, S] of images [B, H, W, 1] in [0, 1]."""
        images = self.preprocessing(image)
        logits, _ = apply_network(self.network, NETWORK, variables, images, train=False)
        return self._probability(logits, image)

    def features(self, variables: Variables, image: Array) -> jax.Array:
        """Means of the channels at the bottom of the U-Net, [B, F] float32, of images [B, H, W, 1]
        in [0, 1].
        """
        return features(self.network, NETWORK, variables, self.preprocessing(image))

    def _probability(self, logits: jax.Array, image: Array) -> jax.Array:
        """The tasks' probabilities at the image's size."""
        values = self.readout.scores(logits)[..., np.array(self.readout.places(len(self.tasks)))]
        shape = (*image.shape[:3], len(self.tasks))
        return values if values.shape == shape else jax.image.resize(values, shape, "linear")

    def _truth(self, batch: Batch) -> jax.Array:
        """The mask channels of this diagnoser's tasks, [B, H, W, S]."""
        return jnp.asarray(batch["mask"])[..., np.array(self.columns)]

    def _losses(self, probability: jax.Array, truth: jax.Array) -> jax.Array:
        """The loss of each example, [B]."""
        missed = jnp.mean(1.0 - soft_dice(probability, truth, self.smooth), axis=1)
        return self.dice_weight * missed + (1.0 - self.dice_weight) * jnp.mean(
            jnp.abs(probability - truth), axis=(1, 2, 3)
        )


def pooled_soft_dice(
    probability: Array, truth: Array, weight: Array, smooth: float, axis_name: str | None = None
) -> jax.Array:
    """(2 sum(w p t) + s) / (sum(w p) + sum(w t) + s) of each channel, sums over the pixels of all
    examples.

    Args:
      probability: [B, H, W, S] in [0, 1].
      truth: [B, H, W, S] in {0, 1}.
      weight: [B] of the examples, 0 for padding.
      smooth: s in pixels.
      axis_name: mapped axis whose devices' examples are pooled too, or None.

    Returns:
      [S].

    Example:
      >>> truth = jnp.zeros((2, 2, 2, 1)).at[0].set(1.0)  # four pixels, all in image 0
      >>> found = jnp.zeros((2, 2, 2, 1)).at[:, 0].set(1.0)  # two of them, and two in image 1
      >>> pooled_soft_dice(found, truth, weight=jnp.ones(2), smooth=0.0).tolist()
      [0.5]
    """
    # Padding has weight 0 and leaves both sums.
    overlap = jnp.einsum("b,bhws,bhws->s", weight, probability, truth)
    area = jnp.einsum("b,bhws->s", weight, probability + truth)
    if axis_name is not None:
        # Before the ratio: the mean of the devices' ratios is another number.
        overlap, area = jax.lax.psum((overlap, area), axis_name)
    return (2.0 * overlap + smooth) / (area + smooth)


def soft_dice(probability: Array, truth: Array, smooth: float) -> jax.Array:
    """(2 sum(p t) + s) / (sum(p) + sum(t) + s) of each example and channel.

    Args:
      probability: [B, H, W, S] in [0, 1].
      truth: [B, H, W, S] in {0, 1}.
      smooth: s in pixels; with s > 0 an empty prediction of an empty mask scores 1.

    Returns:
      [B, S].

    Example:
      >>> truth = jnp.array([1.0, 0.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
      >>> found = jnp.array([1.0, 1.0, 1.0, 0.0]).reshape(1, 2, 2, 1)
      >>> soft_dice(found, truth, smooth=0.0).tolist()
      [[0.5]]
    """
    overlap = jnp.sum(probability * truth, axis=(1, 2))
    return (2.0 * overlap + smooth) / (
        jnp.sum(probability, axis=(1, 2)) + jnp.sum(truth, axis=(1, 2)) + smooth
    )
