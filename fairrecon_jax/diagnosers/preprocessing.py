"""What a network is fed, and what its outputs mean: the part of a diagnoser that a file of weights
does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Array, meant

XRV_OUTPUTS = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema"),
    *("Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass"),
    *("Hernia", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"),
)
"""Outputs of torchxrayvision's networks, in their order."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image [B, H, W, 1] in [0, 1] becomes what a network takes:

    resize, x -> low + (high - low) x, repeat over the channels, (x - mean_c) / sd_c.

    Attributes:
      input_size: images are resized to this square; 0 leaves them as they are.
      resize: "antialias" (where it shrinks, as Pillow and `antialias=True` do) or "linear" (four
        neighbours, as PyTorch's `interpolate` does by default).
      input_low: what 0 becomes.
      input_high: what 1 becomes.
      channels: of the network's input; a network of three channels that all take the grey image
        can as well be read as one of one channel, whose first kernel is the sum over them.
      mean: one value, or one per channel; () for 0.
      sd: one value, or one per channel; () for 1.

    Example:
      >>> image = jnp.ones((1, 8, 8, 1))
      >>> Preprocessing(input_size=16, channels=3, mean=(0.5,), sd=(0.25,))(image)[0, 0, 0].tolist()
      [2.0, 2.0, 2.0]
    """

    input_size: int = 0
    resize: Literal["antialias", "linear"] = "antialias"
    input_low: float = 0.0
    input_high: float = 1.0
    channels: int = 1
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1, got {self.channels}")
        for name in ("mean", "sd"):
            if len(getattr(self, name)) not in (0, 1, self.channels):
                raise ValueError(
                    f"{name} takes one value or {self.channels}, one per channel, got "
                    f"{getattr(self, name)}"
                )
        if self.resize not in ("antialias", "linear"):
            raise ValueError(f"resize is 'antialias' or 'linear', got {self.resize!r}")
        if self.input_low == self.input_high:
            raise ValueError(f"input_low and input_high are both {self.input_low}")
        if any(value <= 0 for value in self.sd):
            raise ValueError(f"sd must be positive, got {self.sd}")

    def __call__(self, image: Array) -> jax.Array:
        """[B, H, W, 1] in [0, 1] -> [B, size, size, channels] float32."""
        x, size = jnp.asarray(image), self.input_size
        if size and x.shape[1:3] != (size, size):
            shape = (x.shape[0], size, size, x.shape[3])
            x = jax.image.resize(x, shape, "linear", antialias=self.resize == "antialias")
        x = self.input_low + (self.input_high - self.input_low) * x
        if self.channels > 1:
            x = jnp.repeat(x, self.channels, axis=3)
        if self.mean:
            x = x - jnp.asarray(self.mean, x.dtype).reshape(1, 1, 1, -1)
        return x / jnp.asarray(self.sd, x.dtype).reshape(1, 1, 1, -1) if self.sd else x


@dataclass(frozen=True)
class Outputs:
    """Which of a network's outputs are the tasks' scores.

    Attributes:
      classes: outputs of the network; 0 for one per task.
      outputs: for each task the position of its output, from 0, or its name among `XRV_OUTPUTS`; ()
        for the first ones in order.
      activation: "sigmoid"; "softmax" over all outputs; or "none" for a program that gives scores.
      op_norm: scale scores by the operating points that the file holds ("op_threshs"), so that each
        becomes 0.5: s / (2 t) below t, 1 - (1 - s) / (2 (1 - t)) above.

    Example:
      >>> named = Outputs(classes=18, outputs=("Cardiomegaly", "Effusion"))
      >>> named.places(tasks=2)
      (10, 7)
      >>> Outputs(op_norm=True).scores(jnp.zeros((1, 1)), jnp.array([0.5])).tolist()
      [[0.5]]
    """

    classes: int = 0
    outputs: tuple[int | str, ...] = ()
    activation: Literal["none", "sigmoid", "softmax"] = "sigmoid"
    op_norm: bool = False

    def check(self, tasks: int, bare: bool = False) -> None:
        """Checks that there is an output for each task.

        Args:
          tasks: how many there are.
          bare: whether outputs may be scores already.

        Raises:
          ValueError: there is none, or a name or the activation is unknown.
        """
        allowed = ("sigmoid", "softmax", *(("none",) if bare else ()))
        if self.activation not in allowed:
            raise ValueError(
                f"activation is one of {', '.join(allowed)}, got {self.activation!r}"
                f"{meant(self.activation, allowed)}"
            )
        unknown = [o for o in self.outputs if isinstance(o, str) and o not in XRV_OUTPUTS]
        if unknown:
            raise ValueError(
                f"no output is called {unknown[0]!r}; names are those of torchxrayvision "
                f"({', '.join(XRV_OUTPUTS)}), others are given by position"
                f"{meant(unknown[0], XRV_OUTPUTS)}"
            )
        if len(unknown) < sum(isinstance(o, str) for o in self.outputs) and self.count(
            tasks
        ) != len(XRV_OUTPUTS):
            raise ValueError(
                f"names of outputs are those of torchxrayvision's {len(XRV_OUTPUTS)}, and this "
                f"network has {self.count(tasks)}: give outputs by position, from 0"
            )
        if self.count(tasks) > tasks and not self.outputs:
            raise ValueError(
                f"outputs is not given: the network has {self.count(tasks)} of them, say which are "
                f"the {tasks} tasks', by position from 0 or by torchxrayvision's names"
            )
        if self.activation == "softmax" and self.count(tasks) < 2:
            raise ValueError("softmax of one output is always 1: use sigmoid, or set classes")
        places = self.places(tasks)
        if len(places) != tasks or (self.classes and self.classes < tasks):
            raise ValueError(
                f"outputs names {len(places)} of {self.count(tasks)} outputs for {tasks} tasks"
            )
        if beyond := [place for place in places if not 0 <= place < self.count(tasks)]:
            raise ValueError(f"there is no output {beyond[0]}: classes is {self.count(tasks)}")

    def check_training(self) -> None:
        """Checks that a network with these outputs can be trained.

        Raises:
          ValueError: the message names the field.
        """
        if self.activation != "sigmoid":
            raise ValueError(f"trainings are for activation 'sigmoid', got {self.activation!r}")
        if self.op_norm:
            raise ValueError(
                "op_norm scales scores by the operating points of a file of weights, and a "
                "training has none: set op_norm = False"
            )

    def count(self, tasks: int) -> int:
        """Outputs of the network."""
        return self.classes or tasks

    def places(self, tasks: int) -> tuple[int, ...]:
        """The position of each task's output."""
        named = self.outputs or tuple(range(tasks))
        return tuple(XRV_OUTPUTS.index(o) if isinstance(o, str) else o for o in named)

    def scores(self, logits: Array, points: Array | None = None) -> jax.Array:
        """Scores [..., T] in [0, 1] of logits [..., classes]; `points` [classes] for `op_norm`."""
        if self.activation == "softmax":
            values = jax.nn.softmax(logits, axis=-1)
        else:
            bare = self.activation == "none"
            values = jnp.asarray(logits) if bare else jax.nn.sigmoid(logits)
        if self.op_norm and points is not None:
            points = jnp.reshape(points, (1, -1))
            below, above = values / (2.0 * points), 1.0 - (1.0 - values) / (2.0 * (1.0 - points))
            values = jnp.where(values < points, below, above)
        return jnp.asarray(values)


PRESETS: dict[str, dict[str, Any]] = {
    "torchxrayvision": {
        "input_size": 224,
        "resize": "linear",
        "input_low": -1024.0,
        "input_high": 1024.0,
        "classes": len(XRV_OUTPUTS),
        "op_norm": True,
    },
    "imagenet": {
        "input_size": 224,
        "channels": 3,
        "mean": (0.485, 0.456, 0.406),
        "sd": (0.229, 0.224, 0.225),
    },
}
"""Fields of a diagnoser by the name that the field `preprocessing` of its block takes."""


def expanded(fields: Mapping[str, Any], network: bool = True) -> dict[str, Any]:
    """A block with its field `preprocessing` (the name of a preset, or a block of fields of
    `Preprocessing`) as the fields themselves; those that stand beside it win.

    Args:
      fields: the block.
      network: whether the diagnoser has a network, whose outputs a preset may scale; a program does
        so itself.

    Raises:
      ValueError: no preset has that name, or it is neither; the message lists the presets.
    """
    rest = {name: value for name, value in fields.items() if name != "preprocessing"}
    if "preprocessing" not in fields:
        return rest
    given = fields["preprocessing"]
    if isinstance(given, str) and given in PRESETS:
        preset = {k: v for k, v in PRESETS[given].items() if network or k != "op_norm"}
        return {**preset, **rest}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"preprocessing takes the name of a preset ({', '.join(PRESETS)}) or a block of "
            f"fields, got {given!r}"
        )
    if unknown := sorted(set(given) - set(asdict(Preprocessing()))):
        raise ValueError(
            f"preprocessing has no field {unknown[0]!r}; it takes "
            f"{', '.join(asdict(Preprocessing()))}{meant(unknown[0], asdict(Preprocessing()))}"
        )
    if twice := sorted(set(given) & set(rest)):
        raise ValueError(f"{twice[0]} is given inside preprocessing and beside it")
    return {**given, **rest}
