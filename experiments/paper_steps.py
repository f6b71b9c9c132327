"""The training and tandem steps of the paper at full size, as shapes: nothing is computed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fairrecon_jax.data.registry import builder_of
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.study.bundled import configuration
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.parse import parse
from fairrecon_jax.tandem import Tandem
from fairrecon_jax.training import optim, state
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.step import Prepare, train_step
from fairrecon_jax.training.trainable import Trainable
from fairrecon_jax.types import CohortSpec, Key

NAMES = ("chexpert", "ucsf_pdgm")
Shapes = Any
"""A tree of `jax.ShapeDtypeStruct`."""


@dataclasses.dataclass(frozen=True)
class Training:
    """One training of the paper.

    Attributes:
      model: what is trained.
      config: the choices of the run.
      size: of the images in pixels.
      prepare: degrades; None for a diagnoser.
      spec: of its cohort.
    """

    model: Trainable
    config: TrainConfig
    size: int
    prepare: Prepare | None
    spec: CohortSpec

    def step(self) -> Callable[..., Any]:
        """`(state, batch) -> (state, metrics)` for one device's share, see `train_step`."""
        return train_step(self.model, self.config, optim.optimizer(self.config), self.prepare)

    def one_device(self) -> Callable[..., Any]:
        """The same on batches with a leading axis of one device."""
        return jax.vmap(self.step(), axis_name=AXIS, in_axes=(None, 0), out_axes=None)

    def state(self) -> Shapes:
        """Of the state."""
        config, optimizer = self.config, optim.optimizer(self.config)

        def create(batch: Any, key: Key) -> state.TrainState:
            batch = batch if self.prepare is None else self.prepare(batch, key)
            networks = tuple(phase.network for phase in self.model.phases)
            variables = self.model.init(key, batch)
            return state.create(variables, networks, optimizer, config.seed, config.ema > 0, {})

        return jax.eval_shape(create, self.batch(1), jax.random.key(0))

    def batch(self, examples: int | None = None) -> Shapes:
        """Of a batch."""
        return batch_of(self.spec, self.size, examples or self.config.batch_size)

    def but(self, **changes: Any) -> Training:
        """The same training with other choices."""
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **changes))


def batch_of(spec: CohortSpec, size: int, examples: int) -> Shapes:
    """The shapes of a batch of examples of a cohort."""

    def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((examples, *shape), dtype)

    return {
        "image": array(size, size, 1),
        "mask": array(size, size, len(spec.segmentation_tasks)),
        "labels": array(len(spec.classification_tasks)),
        "attributes": array(len(spec.attributes), dtype=jnp.int32),
        "example_id": array(2, dtype=jnp.uint32),
        "index": array(dtype=jnp.int32),
        "weight": array(),
    }


@functools.cache
def studies() -> dict[str, tuple[StudyConfig, CohortSpec]]:
    """The paper's two studies by name, with their cohorts' specifications."""
    parsed = {name: parse(configuration(name)) for name in NAMES}
    return {
        name: (study, builder_of(study.cohort).outline(study.cohort))
        for name, study in parsed.items()
    }


def trainings(name: str) -> dict[str, Training]:
    """All trainings of a study by the name of what is trained, reconstructors at its headline
    level.
    """
    study, spec = studies()[name]
    physics, size = study.degradation.physics, study.cohort.image_size
    operator = physics.operator(study.degradation.headline_level)

    def degrade(batch: Any, key: Key) -> Any:
        return {**batch, "degraded": physics(operator, batch["image"], batch["example_id"], key)}

    found = {}
    for block, prepare in ((study.reconstructors, degrade), (study.diagnosers, None)):
        for key, one in block.items():
            if one.train is not None:
                config = one.train.resolve(one.model.validation_metrics)
                found[key] = Training(one.model, config, size, prepare, spec)
    return found


def tandem_steps(name: str) -> dict[str, tuple[Callable[..., Any], Shapes, Shapes]]:
    """The tandem step of each trained reconstructor of a study: (step, inputs, batch)."""
    study, spec = studies()[name]
    size, count = study.cohort.image_size, study.tandem.batch_size
    diagnosers = tuple(one.model for one in study.diagnosers.values())
    batch = batch_of(spec, size, count)
    steps = {}
    for key, one in study.reconstructors.items():
        if not one.model.phases:
            continue
        tandem = Tandem(
            study.degradation.physics, one.model, diagnosers, spec, study.tandem.image_metrics
        )

        def inputs(seed: Key, batch: Any, tandem: Tandem = tandem) -> Any:
            batch = {**batch, "degraded": batch["image"]}
            models = (tandem.reconstructor, *tandem.diagnosers)
            first, *rest = (model.init(seed, batch) for model in models)
            return tandem.inputs(study.degradation.headline_level, first, tuple(rest), seed)

        steps[key] = (tandem.step, jax.eval_shape(inputs, jax.random.key(0), batch), batch)
    return steps
