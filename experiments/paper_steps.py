"""The training and tandem steps of the paper at full size, as shapes: nothing is computed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from fairrecon_jax.data.registry import builder_of
from fairrecon_jax.mitigation import FrozenDiagnoser, Mitigation, MitigationContext
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.study.bundled import configuration
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.parse import parse
from fairrecon_jax.tandem import Tandem
from fairrecon_jax.training import optim, state
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.memory import Shapes, batch_of
from fairrecon_jax.training.step import Prepare, train_step
from fairrecon_jax.training.trainable import Objective, Trainable
from fairrecon_jax.types import Attribute, CohortSpec, Key, Precision

NAMES = ("chexpert", "ucsf_pdgm")


@dataclasses.dataclass(frozen=True)
class Training:
    """One training of the paper.

    Attributes:
      model: what is trained.
      config: the choices of the run.
      size: of the images in pixels.
      prepare: degrades; None for a diagnoser.
      spec: of its cohort.
      mitigation: adds its term to the loss of a fine-tuning; None in a training.
      diagnosers: that the term looks through.
    """

    model: Trainable
    config: TrainConfig
    size: int
    prepare: Prepare | None
    spec: CohortSpec
    mitigation: Mitigation | None = None
    diagnosers: tuple[Any, ...] = ()

    def step(self) -> Callable[..., Any]:
        """`(state, batch) -> (state, metrics)` for one device's share, see `train_step`."""
        # its weights are in the state
        objective = self.objective(lambda diagnoser: {})
        optimizer = optim.optimizer(self.config)
        return train_step(self.model, self.config, optimizer, self.prepare, objective)

    def objective(self, weights: Callable[[Any], Any]) -> Objective | None:
        """The term of the mitigation with weights of its diagnosers."""
        if self.mitigation is None:
            return None
        frozen = tuple(FrozenDiagnoser(one, weights(one)) for one in self.diagnosers)
        return self.mitigation.objective(MitigationContext(self.spec, frozen))

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
            objective = self.objective(lambda diagnoser: diagnoser.init(key, batch))
            kept = {} if objective is None else objective.init(key, batch)
            return state.create(variables, networks, optimizer, config.seed, config.ema > 0, kept)

        return jax.eval_shape(create, self.batch(1), jax.random.key(0))

    def batch(self, examples: int | None = None) -> Shapes:
        """Of a batch."""
        return batch_of(self.spec, self.size, examples or self.config.batch_size)

    def but(self, **changes: Any) -> Training:
        """The same training with other choices."""
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **changes))


@functools.cache
def studies() -> dict[str, tuple[StudyConfig, CohortSpec]]:
    """The paper's two studies by name, with their cohorts' specifications."""
    parsed = {name: parse(configuration(name)) for name in NAMES}
    return {name: (study, outline(study)) for name, study in parsed.items()}


def outline(study: StudyConfig) -> CohortSpec:
    """The specification of a study's cohort, with attributes of as many groups as the paper's."""
    builder = builder_of(study.cohort)
    attributes = tuple(
        Attribute(name, tuple(map(str, range(6 if name == "race" else 2))))
        for name in builder.chosen_attributes(study.cohort)
    )
    return dataclasses.replace(builder.outline(study.cohort), attributes=attributes)


def trainings(name: str) -> dict[str, Training]:
    """`trainings_of` one of the paper's studies."""
    return trainings_of(*studies()[name])


def trainings_of(study: StudyConfig, spec: CohortSpec) -> dict[str, Training]:
    """All trainings of a study by the name of what is trained, reconstructors at its headline
    level.
    """
    size, found = study.cohort.image_size, {}
    for block, prepare in ((study.reconstructors, _degrade(study)), (study.diagnosers, None)):
        for key, one in block.items():
            if one.train is not None:
                config = one.train.resolve(one.model.validation_metrics)
                found[key] = Training(one.model, config, size, prepare, spec)
    return found


def fine_tunings_of(study: StudyConfig, spec: CohortSpec) -> dict[str, Training]:
    """The fine-tunings of a study whose mitigation adds a term to the loss, one for all of its
    weights, by the names of reconstructor and mitigation.
    """
    size, degrade = study.cohort.image_size, _degrade(study)
    diagnosers = tuple(one.model for one in study.diagnosers.values())
    found = {}
    for name, mitigation in study.mitigations.items():
        method = next(iter(mitigation.methods.values()))
        if type(method).objective is Mitigation.objective:
            continue
        for key in mitigation.plan.reconstructors:
            model = study.reconstructors[key].model
            config = mitigation.train.resolve(model.validation_metrics)
            found[f"{key} {name}"] = Training(
                model, config, size, degrade, spec, method, diagnosers
            )
    return found


def _degrade(study: StudyConfig) -> Prepare:
    """Adds "degraded" at the headline level."""
    physics = study.degradation.physics
    operator = physics.operator(study.degradation.headline_level)

    def degrade(batch: Any, key: Key) -> Any:
        return {**batch, "degraded": physics(operator, batch["image"], batch["example_id"], key)}

    return degrade


def tandem_steps(
    name: str, precision: Precision = "float32"
) -> dict[str, tuple[Callable[..., Any], Shapes, Shapes]]:
    """`tandem_steps_of` one of the paper's studies."""
    return tandem_steps_of(*studies()[name], precision)


def tandem_steps_of(
    study: StudyConfig, spec: CohortSpec, precision: Precision = "float32"
) -> dict[str, tuple[Callable[..., Any], Shapes, Shapes]]:
    """The tandem step of each trained reconstructor of a study: (step, inputs, batch); all of its
    networks compute in the given precision.
    """
    size, count = study.cohort.image_size, study.tandem.batch_size
    diagnosers = tuple(_in(precision, one.model) for one in study.diagnosers.values())
    batch = batch_of(spec, size, count)
    steps = {}
    for key, one in study.reconstructors.items():
        if not one.model.phases:
            continue
        model = _in(precision, one.model)
        tandem = Tandem(
            study.degradation.physics, model, diagnosers, spec, study.tandem.image_metrics
        )

        def inputs(seed: Key, batch: Any, tandem: Tandem = tandem) -> Any:
            batch = {**batch, "degraded": batch["image"]}
            models = (tandem.reconstructor, *tandem.diagnosers)
            first, *rest = (model.init(seed, batch) for model in models)
            return tandem.inputs(study.degradation.headline_level, first, tuple(rest), seed)

        steps[key] = (tandem.step, jax.eval_shape(inputs, jax.random.key(0), batch), batch)
    return steps


def _in(precision: Precision, model: Any) -> Any:
    """A model whose network computes in a precision."""
    return dataclasses.replace(model, dtype=precision)
