"""Multi-label classifiers trained on masked binary cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.diagnosers.interface import register
from fairrecon_jax.diagnosers.preprocessing import Outputs, Preprocessing
from fairrecon_jax.diagnosers.ranking import mean_auroc
from fairrecon_jax.models import alexnet, densenet
from fairrecon_jax.models.alexnet import AlexNet
from fairrecon_jax.models.apply import apply_network, features, init_network, weighted_mean
from fairrecon_jax.models.densenet import DenseNet
from fairrecon_jax.models.resnet import STAGES, Head, ResNet
from fairrecon_jax.registry import FLAT, TRAINING, UNCHANGED
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.training.trainable import Phase, PhaseOutput, Together
from fairrecon_jax.types import Array, Batch, Key, Precision, TaskKind, Variables, meant

NETWORK, POINTS = "classifier", "operating_points"
BACKBONES = (*(f"resnet{d}" for d in STAGES), "densenet121", "alexnet")


@register("classifier")
@dataclass(frozen=True)
class Classifier:
    """One network with one logit per task; unknown labels (NaN) take no part in the loss.

    Attributes:
      tasks: names of the tasks.
      columns: their columns in the batch's labels.
      backbone: one of `BACKBONES`.
      width: channels of the first stage (64 in the published networks, which files of weights
        need); a DenseNet grows by half of it.
      hidden: widths of the head's hidden layers; (512, 256) for grade and type in the paper.
      preprocessing: what the network is fed (224 pixels in the paper; a range of -1024 to 1024 for
        networks trained the TorchXRayVision way).
      readout: which of the network's outputs are the tasks'.
      positive_weight: factor of the positive examples' loss, one per task; () for none.
      task_weight: factor of the loss of each task; () for none.
      loss_mean: what the loss is a mean of: "labels", every known label counts alike; or "tasks",
        the sum over tasks of the means over their known labels in the batch, as TorchXRayVision
        trains.
      augment: of training images; in a configuration its fields flip, shift, gain, rotate, zoom,
        border.
      dtype: type of the computation, "float32" or "bfloat16".
      remat: compute the network's blocks anew for the gradient; set by the training's own field.
      bn_axis: mapped axis that training steps average statistics and weights over, or None outside
        of one.
      name: name in tables.

    Example:
      >>> chest = Classifier(("effusion", "edema"), columns=(0, 1), backbone="resnet18", width=2)
      >>> image = np.zeros((3, 32, 32, 1), np.float32)
      >>> weights = jax.eval_shape(chest.init, jax.random.key(0), {"image": image})
      >>> jax.eval_shape(chest.predict, weights, image).shape  # a score per image and task
      (3, 2)
    """

    tasks: tuple[str, ...]
    columns: tuple[int, ...]
    backbone: str = "resnet50"
    width: int = 64
    hidden: tuple[int, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing, metadata=FLAT)
    readout: Outputs = field(default_factory=Outputs, metadata=FLAT)
    positive_weight: tuple[float, ...] = field(default=(), metadata=TRAINING)
    task_weight: tuple[float, ...] = field(default=(), metadata=TRAINING)
    loss_mean: Literal["labels", "tasks"] = field(default="labels", metadata=TRAINING)
    augment: Augmentation = field(default_factory=Augmentation, metadata={**FLAT, **TRAINING})
    dtype: Precision = "float32"
    remat: bool = field(default=False, metadata=UNCHANGED)
    bn_axis: str | None = AXIS
    name: str = "classifier"
    kind: ClassVar[TaskKind] = "classification"

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(
                f"unknown backbone {self.backbone!r}; choose one of {', '.join(BACKBONES)}"
                f"{meant(self.backbone, BACKBONES)}"
            )
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden takes widths of at least 1, got {self.hidden}")
        for name in ("positive_weight", "task_weight"):
            values = getattr(self, name)
            if values and len(values) != len(self.tasks):
                raise ValueError(f"{name} has {len(values)} values for {len(self.tasks)} tasks")
            if any(not 0 <= value < np.inf for value in values):
                raise ValueError(f"{name} takes numbers of at least 0, got {values}")
        if self.loss_mean not in ("labels", "tasks"):
            raise ValueError(f"loss_mean is 'labels' or 'tasks', got {self.loss_mean!r}")
        self.readout.check(len(self.tasks))

    def check(self, size: int) -> None:
        """Checks that the network can take square images of a size.

        Raises:
          ValueError: it cannot; the message says what to choose.
        """
        network, seen = self.network, [self.preprocessing.input_size or size] * 2
        # A ResNet rounds up at every halving: a pixel is always left.
        if isinstance(network, DenseNet):
            densenet.check_size(len(network.blocks), *seen)
        elif isinstance(network, AlexNet):
            alexnet.check_size(*seen)

    def check_training(self) -> None:
        """Checks that it can be trained.

        Raises:
          ValueError: it can only use weights from a file; the message names the field.
        """
        self.readout.check_training()

    @property
    def network(self) -> nn.Module:
        """The network."""
        common: dict[str, Any] = {
            "hidden": self.hidden,
            "axis_name": self.bn_axis,
            "dtype": jnp.dtype(self.dtype),
        }
        if self.backbone == "alexnet":
            # without blocks: there is nothing to compute anew
            return AlexNet(self._outputs, self.width, **common)
        common["remat"] = self.remat
        if self.backbone == "densenet121":
            return DenseNet(self._outputs, growth=self.width // 2, **common)
        return ResNet(
            self._outputs,
            depth=int(self.backbone.removeprefix("resnet")),
            width=self.width,
            **common,
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase(NETWORK, self.loss),)

    @property
    def validation_metrics(self) -> Mapping[str, Literal["max", "min"]]:
        """Lower "loss", higher "auroc"."""
        return {"loss": "min", "auroc": "max"}

    def init(self, key: Key, batch: Batch) -> Variables:
        """Fresh variables; operating points of 0.5, which change no score."""
        image = self.preprocessing(batch["image"][:1])
        variables = init_network(self.network, NETWORK, key, image)
        if self.readout.op_norm:
            variables["batch_stats"][POINTS] = {"points": jnp.full(self._outputs, 0.5)}
        return variables

    def loss(
        self, variables: Variables, batch: Batch, key: Key, train: bool
    ) -> tuple[Array, PhaseOutput]:
        """Binary cross-entropy of the known labels, weighted by example, averaged as `loss_mean`
        says; augmented where `train`.

        Args:
          variables: as made by `init`.
          batch: with "labels" [B, T] in {0, 1, NaN}.
          key: drawn from, per example, by the augmentation.
          train: augment, batch statistics, and weights averaged over `bn_axis`.

        Returns:
          The scalar (0 if no label is known), and no clean image, the new statistics and the metric
            "loss".
        """
        image = batch["image"]
        if train:
            # In [0, 1], where the gain clips: before the range of the network.
            image, _ = self.augment(image, batch["mask"], batch["example_id"], key)
        logits, statistics = apply_network(
            self.network, NETWORK, variables, self.preprocessing(image), train=train
        )
        losses, known = self._losses(logits, batch)
        weight = jnp.asarray(batch["weight"])[:, None] * known
        axis = self.bn_axis if train else None
        if self.loss_mean == "tasks":
            loss = jnp.sum(jax.vmap(lambda x, w: weighted_mean(x, w, axis), 1)(losses, weight))
        else:
            # Every known label counts alike, however many an example has.
            loss = weighted_mean(losses.reshape(-1), weight.reshape(-1), axis)
        return loss, PhaseOutput(None, statistics, {"loss": loss})

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> dict[str, tuple[Array, Array] | Together]:
        """Per-example "loss": mean cross-entropy over the example's known labels, weighted by their
        number, whatever `loss_mean` is: validation must not depend on its batches. And "auroc", the
        mean over tasks of the AUROC of all examples.
        """
        logits, weight = self._logits(variables, batch["image"]), batch["weight"]
        losses, known = self._losses(logits, batch)
        loss, count = _by_example(losses, known)
        # by logits: large ones have the same sigmoid in float32
        ranking = Together((self._labels(batch), self._chosen(logits)), weight, mean_auroc)
        return {"loss": (loss, weight * count), "auroc": ranking}

    def predict(self, variables: Variables, image: Array) -> jax.Array:
        """Scores [B, T] in [0, 1] of images [B, H, W, 1] in [0, 1]."""
        # beside the statistics, which no gradient updates
        points = variables["batch_stats"].get(POINTS, {}).get("points")
        return self._chosen(self.readout.scores(self._logits(variables, image), points))

    def features(self, variables: Variables, image: Array) -> jax.Array:
        """Input of the last layer, [B, F] float32, of images [B, H, W, 1] in [0, 1]."""
        return features(self.network, NETWORK, variables, self.preprocessing(image))

    def maps(self, variables: Variables, image: Array) -> jax.Array:
        """Output of the last convolutional block [B, h, w, C] for images [B, H, W, 1] in [0, 1]."""
        return features(self.network, NETWORK, variables, self.preprocessing(image), sown="maps")

    def head(self, variables: Variables, maps: Array) -> jax.Array:
        """Logits [B, T] float32 of what `maps` returned."""
        # The same module outside of its network: its parameters are under the name it has there.
        head = Head(self._outputs, self.hidden, jnp.dtype(self.dtype))
        logits = head.apply({"params": variables["params"][NETWORK]["head"]}, maps)
        return self._chosen(jnp.asarray(logits))

    def _labels(self, batch: Batch) -> jax.Array:
        """The columns of this diagnoser's tasks, [B, T]."""
        return jnp.asarray(batch["labels"])[:, np.array(self.columns)]

    def _losses(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Cross-entropies of the diagnoser's own tasks, and which labels are known, [B, T] each."""
        return _cross_entropies(
            self._chosen(logits), self._labels(batch), self.positive_weight, self.task_weight
        )

    def _logits(self, variables: Variables, image: Array) -> jax.Array:
        """All outputs of the frozen network, [B, classes]."""
        images = self.preprocessing(image)
        return apply_network(self.network, NETWORK, variables, images, train=False)[0]

    @property
    def _outputs(self) -> int:
        return self.readout.count(len(self.tasks))

    def _chosen(self, values: jax.Array) -> jax.Array:
        """The tasks' columns."""
        return values[:, np.array(self.readout.places(len(self.tasks)))]


def masked_cross_entropy(
    logits: Array,
    labels: Array,
    positive_weight: tuple[float, ...] = (),
    task_weight: tuple[float, ...] = (),
) -> tuple[jax.Array, jax.Array]:
    """Binary cross-entropy of each example, averaged over its known labels.

    l = v (w y softplus(-z) + (1 - y) softplus(z)) for logit z, label y, positive weight w and the
    weight v of the task.

    Args:
      logits: [B, T].
      labels: [B, T] in {0, 1}, NaN = unknown.
      positive_weight: T factors of the positive part, or () for 1.
      task_weight: T factors of the tasks, or () for 1.

    Returns:
      The mean over known labels [B] (0 where none is), and their number [B] float32; finite with
        finite gradients whatever is unknown.

    Example:
      >>> logits, labels = jnp.zeros((2, 2)), jnp.array([[1.0, jnp.nan], [jnp.nan, jnp.nan]])
      >>> loss, count = masked_cross_entropy(logits, labels)
      >>> loss.round(3).tolist(), count.tolist()  # ln 2, and nothing known
      ([0.693..., 0.0], [1.0, 0.0])
    """
    return _by_example(*_cross_entropies(logits, labels, positive_weight, task_weight))


def _cross_entropies(
    logits: Array,
    labels: Array,
    positive_weight: tuple[float, ...],
    task_weight: tuple[float, ...],
) -> tuple[jax.Array, jax.Array]:
    """See `masked_cross_entropy`: the losses [B, T], 0 where unknown, and which are known [B, T]
    float32.
    """
    known = ~jnp.isnan(labels)
    # NaN is replaced before the product: its gradient would be NaN even behind a mask.
    y = jnp.where(known, labels, 0.0)
    w, v = (
        jnp.asarray(weights or (1.0,) * logits.shape[1], logits.dtype).reshape(1, -1)
        for weights in (positive_weight, task_weight)
    )
    # softplus is finite at any logit, where the logarithm of a sigmoid is not.
    losses = v * (w * y * nn.softplus(-logits) + (1.0 - y) * nn.softplus(logits))
    return jnp.where(known, losses, 0.0), known.astype(jnp.float32)


def _by_example(losses: Array, known: Array) -> tuple[jax.Array, jax.Array]:
    """The mean of an example's known losses [B], 0 where none is, and their number [B]."""
    count = jnp.sum(known, axis=1)
    return jnp.sum(losses, axis=1) / jnp.maximum(count, 1.0), count
