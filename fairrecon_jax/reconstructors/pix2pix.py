"""Pix2Pix: a generator trained on the absolute error and on the judgement of a discriminator that
is trained beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from fairrecon_jax.keys import example_keys
from fairrecon_jax.models import pix2pix
from fairrecon_jax.models.apply import apply_network, init_network, weighted_mean
from fairrecon_jax.models.layers import InstanceOrBatch
from fairrecon_jax.reconstructors.interface import image_errors, register
from fairrecon_jax.registry import TRAINING, UNCHANGED
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training.trainable import Phase, PhaseOutput
from fairrecon_jax.types import Array, Batch, Key, MethodTitle, Precision, Variables

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
GanLoss = Literal["vanilla", "lsgan"]


@register("pix2pix")
@dataclass(frozen=True)
class Pix2PixReconstructor:
    """Conditional GAN from the degraded (x) to the original image (y), with generator G and
    discriminator D.

    With b(z, t) the loss of logits z against the target t (see `gan_loss`), and means over patches,
    pixels and (by weight) examples:

      loss of D = (b(D(x, y), 1) + b(D(x, G(x)), 0)) / 2
      loss of G = b(D(x, G(x)), 1) + lambda_l1 |G(x) - y|

    A step updates D first, then G against the updated D, as published; each phase changes
    parameters and running averages of its own network only (in the published code D's running
    averages move in the phase of G too; nothing reads them). D takes batch statistics of originals
    and of outputs in a call each. G's output is evaluated with running averages and without
    dropout.

    Attributes:
      width: channels of the generator's first halving.
      downsamplings: the generator's halvings; the image size must divide by 2^downsamplings.
      dropout: see `Pix2PixGenerator`; training only.
      norm: see `Pix2PixGenerator`; of both networks.
      tanh: see `Pix2PixGenerator`; the discriminator sees images in [-1, 1] too.
      disc_width: channels of the discriminator's first convolution.
      disc_layers: the discriminator's halvings.
      gan: "vanilla" (cross-entropy) or "lsgan" (squared error).
      lambda_l1: weight of the absolute error (100 in the original, 1000 in the paper).
      dtype: type of the computation, "float32" or "bfloat16"; losses are float32.
      remat: compute the network's blocks anew for the gradient; set by the training's own field.
      bn_axis: mapped axis that training steps average statistics and weights over, or None outside
        of one.
      name: name in tables.

    Example:
      >>> model = Pix2PixReconstructor(width=2, downsamplings=2, disc_width=2, disc_layers=1)
      >>> [phase.network for phase in model.phases]
      ['discriminator', 'generator']

    Reference: Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial
    Networks", CVPR 2017; Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017.
    """

    width: int = 64
    downsamplings: int = 7
    dropout: float = field(default=0.0, metadata=TRAINING)
    norm: InstanceOrBatch = "batch"
    tanh: bool = False
    disc_width: int = 64
    disc_layers: int = 3
    gan: GanLoss = field(default="vanilla", metadata=TRAINING)
    lambda_l1: float = field(default=100.0, metadata=TRAINING)
    dtype: Precision = "float32"
    remat: bool = field(default=False, metadata=UNCHANGED)
    bn_axis: str | None = AXIS
    name: str = "pix2pix"

    method: ClassVar[MethodTitle] = MethodTitle("Pix2Pix")

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"pix2pix: dropout must lie in [0, 1), got {self.dropout}")
        if self.lambda_l1 < 0:
            raise ValueError(f"pix2pix: lambda_l1 must not be negative, got {self.lambda_l1}")

    @property
    def generator(self) -> pix2pix.Pix2PixGenerator:
        """The network that makes images."""
        return pix2pix.Pix2PixGenerator(
            1,
            self.width,
            self.downsamplings,
            self.dropout,
            self.norm,
            self.tanh,
            self.bn_axis,
            jnp.dtype(self.dtype),
            self.remat,
        )

    @property
    def discriminator(self) -> pix2pix.PatchDiscriminator:
        """The network that judges images."""
        return pix2pix.PatchDiscriminator(
            self.disc_width,
            self.disc_layers,
            self.norm,
            self.bn_axis,
            jnp.dtype(self.dtype),
            self.remat,
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then the generator."""
        return (
            Phase(DISCRIMINATOR, self.discriminator_loss),
            Phase(GENERATOR, self.generator_loss),
        )

    def check(self, size: int) -> None:
        """Checks that both networks can take square images of a size.

        Raises:
          ValueError: they cannot; the message says what to choose.
        """
        pix2pix.check_size(self.downsamplings, size, size)
        if size < (smallest := pix2pix.smallest_image(self.disc_layers)):
            raise ValueError(
                f"images of {size} pixels are too small for a discriminator of "
                f"{self.disc_layers} layers: it needs {smallest}, or fewer "
                "disc_layers"
            )

    @property
    def validation_metrics(self) -> Mapping[str, Literal["max", "min"]]:
        """Higher "psnr", lower "mse"."""
        return {"psnr": "max", "mse": "min"}

    def init(self, key: Key, batch: Batch) -> Variables:
        """Fresh variables of both networks: kernels, and scales around 1, normal with standard
        deviation 0.02, as published.
        """
        image = jnp.asarray(batch["image"][:1])
        # A key each: one key for both would start them from the same numbers.
        first, second = jax.random.split(key)
        generator = init_network(self.generator, GENERATOR, first, image)
        pair = jnp.concatenate([image, image], axis=-1)
        discriminator = init_network(self.discriminator, DISCRIMINATOR, second, pair)
        return {
            kind: {**generator[kind], **discriminator[kind]} for kind in ("params", "batch_stats")
        }

    def discriminator_loss(
        self, variables: Variables, batch: Batch, key: Key, train: bool
    ) -> tuple[Array, PhaseOutput]:
        """Half the sum of the losses on originals and on outputs.

        Args:
          variables: as made by `init`.
          batch: with "degraded".
          key: of the generator's dropout.
          train: batch statistics, and weights averaged over `bn_axis`.

        Returns:
          The scalar; no clean estimate; "real" and "fake" as metrics.
        """
        # Each phase has its own key: dropout draws anew. G's statistics move in its phase only.
        fake, _ = self._generate(variables, batch, key, train)
        on_fake, statistics = self._judge(
            variables, batch, jax.lax.stop_gradient(fake), False, train
        )
        # The running averages move with both calls, one after the other.
        seen = {**variables, "batch_stats": statistics}
        on_real, statistics = self._judge(seen, batch, jnp.asarray(batch["image"]), True, train)
        return 0.5 * (on_real + on_fake), PhaseOutput(
            None, statistics, {"real": on_real, "fake": on_fake}
        )

    def generator_loss(
        self, variables: Variables, batch: Batch, key: Key, train: bool
    ) -> tuple[Array, PhaseOutput]:
        """The discriminator's judgement of outputs as if they were originals, plus the weighted
        absolute error.

        Args:
          variables: as made by `init`.
          batch: with "degraded".
          key: of the generator's dropout.
          train: batch statistics, and weights averaged over `bn_axis`.

        Returns:
          The scalar; the generator's output as the clean estimate; "gan" and "l1" as metrics.
        """
        fake, statistics = self._generate(variables, batch, key, train)
        # D's statistics, in turn, stay as its own phase left them.
        judged, _ = self._judge(variables, batch, fake, True, train)
        errors = jnp.mean(jnp.abs(fake - batch["image"]), axis=(1, 2, 3))
        l1 = self._mean(errors, batch, train)
        return judged + self.lambda_l1 * l1, PhaseOutput(
            fake, statistics, {"gan": judged, "l1": l1}
        )

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> dict[str, tuple[Array, Array]]:
        """Per-example "mse" and "psnr" of the generator's output; see `image_errors`."""
        estimate = self.reconstruct(variables, batch["degraded"], key)
        return {**image_errors(estimate, batch["image"], batch["weight"])}

    def reconstruct(self, variables: Variables, degraded: Array, keys: Key) -> jax.Array:
        """Reconstructions [B, H, W, 1] in [0, 1]; the keys are not used."""
        return apply_network(self.generator, GENERATOR, variables, degraded, train=False)[0]

    def _generate(
        self, variables: Variables, batch: Batch, key: Key, train: bool
    ) -> tuple[jax.Array, dict[str, Any]]:
        """The generator's output, and the statistics of all networks."""
        keys = example_keys(key, batch["example_id"]) if train and self.dropout else None
        return apply_network(
            self.generator, GENERATOR, variables, batch["degraded"], keys, train=train
        )

    def _judge(
        self, variables: Variables, batch: Batch, image: Array, real: bool, train: bool
    ) -> tuple[jax.Array, dict[str, Any]]:
        """The discriminator's loss on images against one target, and the statistics of all
        networks.
        """
        # Condition first, as in the published weights.
        pair = jnp.concatenate([jnp.asarray(batch["degraded"]), image], axis=-1)
        pair = 2.0 * pair - 1.0 if self.tanh else pair
        logits, statistics = apply_network(
            self.discriminator, DISCRIMINATOR, variables, pair, train=train
        )
        return self._mean(
            jnp.mean(gan_loss(self.gan, logits, real), axis=(1, 2, 3)), batch, train
        ), statistics

    def _mean(self, values: jax.Array, batch: Batch, train: bool) -> jax.Array:
        """The weighted mean over examples."""
        return weighted_mean(values, batch["weight"], self.bn_axis if train else None)


def gan_loss(kind: GanLoss, logits: jax.Array, real: bool) -> jax.Array:
    """Loss of each logit z against the target t = 1 (real) or 0.

    "vanilla": cross-entropy, -t ln s(z) - (1 - t) ln(1 - s(z)) with the logistic function s.
    "lsgan": (z - t)^2.

    Args:
      kind: "vanilla" or "lsgan".
      logits: any shape.
      real: the target.

    Returns:
      Losses of the logits' shape, at least 0.

    Example:
      >>> gan_loss("lsgan", jnp.array([1.0, 0.5]), real=True).tolist()
      [0.0, 0.25]
    """
    if kind == "lsgan":
        return (logits - float(real)) ** 2
    # softplus is finite at any logit, where the logarithm of a sigmoid is not.
    return jax.nn.softplus(-logits if real else logits)
