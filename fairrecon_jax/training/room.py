"""Whether the memory that there is holds the steps of a training: by a generous bound, and by their
programs where that is above it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from fairrecon_jax.runtime.capacity import GB, VARIABLE, Capacity, amount
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.memory import Need, evaluation_need, training_need
from fairrecon_jax.training.trainable import Trainable
from fairrecon_jax.types import CohortSpec

USUAL_WIDTH, USUAL_DEPTH = 64, 4
"""The paper's networks; `bound` knows nothing of deeper ones."""


class Bound(NamedTuple):
    """More bytes than a network of the usual width takes.

    Attributes:
      state: of a training.
      pixel: of a batch, with a gradient.
      forward: of a pixel of a batch, without one.
    """

    state: float
    pixel: float
    forward: float


SDE = Bound(4 * GB, 64_000, 16_000)
"""The paper's takes 2.7 GB, 52 kB and 9 kB."""
OTHERS = Bound(1.5 * GB, 16_000, 4_000)
"""The U-Net takes 0.5 GB, 5 kB and 1.5 kB, a DenseNet-121 0.1 GB, 4 kB and 1 kB."""


class Excess(NamedTuple):
    """A field whose value needs more memory than there is.

    Attributes:
      value: of the field.
      need: of each device.
      room: what there is.
      advice: what to do.
    """

    value: int
    need: Need
    room: Capacity
    advice: str

    def words(self, who: str = "a step") -> str:
        """What is said behind the name of the field.

        Args:
          who: needs it.
        """
        times, advice = self.room.sharers, self.advice
        what = f"is {self.value}: {who} needs at least {amount(self.need.total * times)}"
        if self.need.state * self.room.sharers > self.room.free:
            advice = "choose a smaller network"
            what += f" ({amount(self.need.state * times)} for its parameters and moments alone)"
        return (
            f"{what}, and {self.room}; {advice}. {VARIABLE}=N in the environment says that it has "
            "N GB, inf that any step is tried"
        )


def bound(model: Trainable, examples: int, pixels: int, gradient: bool = True) -> float:
    """More bytes than a step of any network of the package takes, without looking at its program;
    infinite for a network that is deeper than usual or reads images at a size of its own.

    Example:
      >>> bound(fr.UNetReconstructor(width=16), 8, 64) / 1e9 < 1
      True
    """
    known = SDE if hasattr(model, "sde") else OTHERS
    given = [getattr(model, name, 0) for name in ("width", "disc_width")]
    width = max(given) or USUAL_WIDTH
    hidden = max(getattr(model, "hidden", ()) or (0,))
    own = getattr(getattr(model, "preprocessing", None), "input_size", 0)
    if getattr(model, "depth", 0) > USUAL_DEPTH or hidden > 4096 or own > pixels:
        return math.inf
    times = width / USUAL_WIDTH
    pixel = known.pixel if gradient else known.forward
    return known.state * max(times, times**2) + pixel * times * examples * pixels**2


def look(
    model: Trainable,
    config: TrainConfig,
    spec: CohortSpec,
    pixels: int,
    devices: int,
    room: Capacity,
    frozen: Sequence[Trainable] = (),
) -> tuple[float, dict[str, Excess]]:
    """What a training needs, and what is said where that is more than there is.

    Args:
      model: what is trained.
      config: the choices of the run.
      spec: of the cohort.
      pixels: along a side of an image.
      devices: that share the batch.
      room: the memory.
      frozen: see `training_need`.

    Returns:
      (bytes of all devices that share the memory, 0 where it is surely enough; by the name of a
        field, what is too much).
    """
    part = config.batch_size // config.accumulate
    eval_size = config.eval_size if config.eval_steps else 1
    if surely((model, *frozen), part, pixels, devices, room) and surely(
        (model,), eval_size, pixels, devices, room, gradient=False
    ):
        return 0.0, {}
    step = training_need(model, config, spec, pixels, devices, frozen)
    most, said = step.total, dict[str, Excess]()
    if step.total * room.sharers > room.free:
        said["batch_size"] = Excess(config.batch_size, step, room, choices(config))
    if config.eval_steps:
        judged = evaluation_need(model, config, spec, pixels, devices)
        most = max(most, judged.total)
        # where the state alone is too much, that is said already
        if judged.total * room.sharers > room.free >= judged.state * room.sharers:
            said["eval_batch_size"] = Excess(config.eval_size, judged, room, "lower it")
    return most * room.sharers, said


def surely(
    models: Sequence[Trainable],
    examples: int,
    pixels: int,
    devices: int,
    room: Capacity,
    gradient: bool = True,
) -> bool:
    """Whether a step of these networks has room by `bound`, without a look at its program."""
    share = max(examples // devices, 1)
    most = sum(bound(one, share, pixels, gradient) for one in models)
    return most * room.sharers <= room.free


def choices(config: TrainConfig) -> str:
    """What makes a training step smaller."""
    switches = ["remat = True"] * (not config.remat)
    switches += ["precision = 'bfloat16'"] * (config.precision == "float32")
    more = f", or set {' or '.join(switches)}" if switches else ""
    return f"lower it, raise accumulate (now {config.accumulate}){more}"
