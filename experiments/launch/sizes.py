"""What a checkpoint of each training of a study weighs, by the shapes of its state; nothing is
trained or read: `python -m experiments.launch.sizes NAME`, a configuration's name or file.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp

import fairrecon_jax as fr
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training import optim
from fairrecon_jax.training import state as states
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.trainable import Trainable


def weights_and_state(model: Trainable, train: TrainConfig, size: int) -> tuple[int, int]:
    """Bytes of the weights that a training freezes, and of a checkpoint: parameters, moments of the
    optimiser, moving average.

    Args:
      model: what is trained.
      train: its choices.
      size: pixels along the side of an image.
    """
    image = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    batch = {"image": image, "degraded": image}

    def create() -> states.TrainState:
        blank = {name: jnp.zeros(one.shape, one.dtype) for name, one in batch.items()}
        variables = model.init(jax.random.key(0), blank)
        networks = tuple(phase.network for phase in model.phases)
        return states.create(variables, networks, optim.optimizer(train), 0, train.ema > 0, {})

    state = jax.eval_shape(create)

    def bytes_of(tree: object) -> int:
        leaves = [leaf for leaf in jax.tree.leaves(tree) if leaf.dtype != state.key.dtype]
        return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)

    return bytes_of(state.variables), bytes_of(state)


def trainings(study: StudyConfig) -> Iterator[tuple[str, Trainable, TrainConfig]]:
    """Name, model and choices of everything that a study trains."""
    for blocks in (study.reconstructors, study.diagnosers):
        for name, one in blocks.items():
            if one.train is not None:
                yield name, one.model, one.train


def main(name: str) -> None:
    """Prints a row for each training."""
    study = parse(fr.configuration(name))
    print("| training | weights, GB | checkpoint, GB |\n| --- | --- | --- |")
    for title, model, train in trainings(study):
        weights, state = weights_and_state(model, train, study.cohort.image_size)
        print(f"| {title} | {weights / 1e9:.2f} | {state / 1e9:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
