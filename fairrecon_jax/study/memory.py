"""Whether the machine has the memory that the steps of a study need, before anything is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax

from fairrecon_jax.data.registry import builder_of
from fairrecon_jax.mitigation import Mitigation
from fairrecon_jax.runtime.capacity import Capacity, amount, capacity
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.stages import Stage
from fairrecon_jax.training import memory
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.room import Excess, look, surely
from fairrecon_jax.training.trainable import Trainable
from fairrecon_jax.types import CohortSpec, ConfigError

MEASURED = 2
"""What a step took on processors over its count, see docs/roofline.md."""


@dataclasses.dataclass
class Found:
    """What stages with the same programs need.

    Attributes:
      titles: of the stages.
      bytes: of all devices that share a memory; 0 where it is surely enough.
      said: by the name of a field, what is too much.
    """

    titles: list[str]
    bytes: float
    said: dict[str, Excess]

    @property
    def who(self) -> str:
        """The stages in words."""
        more = len(self.titles) - 1
        return self.titles[0] + (f" and {more} more" if more else "")


def check_memory(context: Context, stages: Iterable[Stage]) -> None:
    """Refuses steps that need more memory than there is, all at once; nothing is made for it.

    Args:
      context: the study.
      stages: those that are left to make.

    Raises:
      ConfigError: the message names the fields, what a step needs and what there is.
    """
    if said := list(_lines(_needs(context, stages, capacity()))):
        raise ConfigError(*said)


def memory_lines(context: Context, stages: Iterable[Stage]) -> list[str]:
    """What `check_memory` would refuse, or else a line on the step that needs most.

    Args:
      context: the study.
      stages: those that are left to make.
    """
    room = capacity()
    found = _needs(context, stages, room)
    if said := list(_lines(found)):
        return [f"would be refused: {one}" for one in said]
    if not found:
        return []
    most = max(found, key=lambda one: one.bytes)
    if not most.bytes:
        return [f"every step has room: {room}"]
    words = f"the largest step needs at least {amount(most.bytes)} ({most.who}); {room}"
    if room.host and most.bytes > room.free / MEASURED:
        words += "; on processors steps took up to twice the count"
    return [words]


def _lines(found: Iterable[Found]) -> Iterator[str]:
    for one in found:
        for field, excess in one.said.items():
            yield f"config.{field} {excess.words(f'a step of {one.who}')}"


def _needs(context: Context, stages: Iterable[Stage], room: Capacity) -> list[Found]:
    """What the stages that run networks need, those with the same programs once."""
    found: dict[tuple[str, str], Found] = {}
    spec = builder_of(context.study.cohort).outline(context.study.cohort)
    for stage in stages:
        step = _step(context.study, stage, spec, room)
        if step is None:
            continue
        where, name, needs = step
        if (where, name) in found:
            found[where, name].titles.append(stage.title)
            continue
        most, said = needs()
        named = {f"{where}.{field}": excess for field, excess in said.items()}
        found[where, name] = Found([stage.title], most, named)
    return list(found.values())


Needs = Callable[[], tuple[float, dict[str, Excess]]]


def _step(
    study: StudyConfig, stage: Stage, spec: CohortSpec, room: Capacity
) -> tuple[str, str, Needs] | None:
    """(block of the configuration, reconstructor, what gives the need) of the steps of a stage;
    None for a stage that runs no network.
    """
    cell = stage.cell
    pixels, devices = study.cohort.image_size, jax.device_count()

    def trained(model: Any, train: TrainConfig, frozen: tuple[Any, ...] = ()) -> Needs:
        return lambda: look(model, train, spec, pixels, devices, room, frozen)

    if cell is None:
        one = study.diagnosers.get(stage.model)
        if stage.verb != "train" or one is None or one.train is None:
            return None
        return f"diagnosers.{one.name}.train", "", trained(one.model, one.train)
    block = study.reconstructors[cell.reconstructor]
    if stage.verb == "train" and block.train is not None:
        return f"reconstructors.{block.name}.train", block.name, trained(block.model, block.train)
    if stage.verb == "mitigate":
        tried = study.mitigations[cell.mitigation]
        # one that only samples reads no diagnoser
        acts = any(type(m).objective is not Mitigation.objective for m in tried.methods.values())
        frozen = tuple(one.model for one in study.diagnosers.values() if one.has_weights and acts)
        needs = trained(block.model, tried.train, frozen)
        return f"mitigations.{tried.name}.train", block.name, needs
    if stage.verb == "predict":
        return "tandem", block.name, lambda: _tandem(study, block.name, spec, room)
    return None


def _tandem(
    study: StudyConfig, name: str, spec: CohortSpec, room: Capacity
) -> tuple[float, dict[str, Excess]]:
    """As `look` for the step that predicts with one reconstructor."""
    pixels, devices, size = study.cohort.image_size, jax.device_count(), study.tandem.batch_size
    reconstructor = study.reconstructors[name].model
    readers = [one.model for one in study.diagnosers.values() if one.has_weights]
    learned: list[Trainable] = [one for one in (reconstructor, *readers) if one.phases]
    if surely(learned, size, pixels, devices, room, gradient=False):
        return 0.0, {}
    held = sum(memory.size(memory.variables_of(one, spec, pixels)) for one in learned)
    methods = [("reconstruct", reconstructor)] if reconstructor.phases else []
    share = max(size // devices, 1)
    flight = max(
        memory.in_flight(one, method, spec, pixels, share)
        for method, one in [*methods, *(("predict", reader) for reader in readers)]
    )
    need = memory.Need(held, 0, flight)
    most = need.total * room.sharers
    if most <= room.free:
        return most, {}
    return most, {"batch_size": Excess(size, need, room, "lower it")}
