"""The mitigations of a configuration as typed objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from fairrecon_jax.mitigation import Mitigation, make_mitigation
from fairrecon_jax.study.blocks import MitigationPlan
from fairrecon_jax.study.config import (
    DegradationConfig,
    DiagnoserConfig,
    MitigationConfig,
    ReconstructorConfig,
)
from fairrecon_jax.study.fields import build, check_block, check_word, made, numbers, without, words
from fairrecon_jax.study.models import Blocks, training
from fairrecon_jax.study.refusals import Refusals, told
from fairrecon_jax.types import ConfigError, meant

PLAN_FIELDS = tuple(field.name for field in dataclasses.fields(MitigationPlan))


def mitigations(
    blocks: Blocks,
    degradation: DegradationConfig,
    reconstructors: Mapping[str, ReconstructorConfig],
    diagnosers: Mapping[str, DiagnoserConfig],
    attributes: tuple[str, ...],
    tasks: tuple[str, ...],
    refused: Refusals,
) -> dict[str, MitigationConfig]:
    """All mitigations by name, with the study's reconstructors and level filled in.

    Args:
      blocks: `config.mitigations`.
      degradation: gives the levels.
      reconstructors: of the study.
      diagnosers: of the study.
      attributes: names of the study's attributes.
      tasks: names of the study's tasks.
      refused: takes what is said of those that are left out.
    """
    parsed = {}
    for name, block in blocks.items():
        with refused.gather():
            check_word(name, "mitigations")
            check_block(block, f"mitigations.{name}")
            plan = _plan(name, block, degradation, reconstructors)
            if "train" not in block:
                raise ConfigError(f"config.mitigations.{name} needs a block train")
            if not diagnosers:
                raise ConfigError(f"config.mitigations.{name} needs diagnosers")
            parsed[name] = _mitigation(
                name, block, plan, reconstructors, diagnosers, attributes, tasks
            )
    return parsed


def _mitigation(
    name: str,
    block: Mapping[str, Any],
    plan: MitigationPlan,
    reconstructors: Mapping[str, ReconstructorConfig],
    diagnosers: Mapping[str, DiagnoserConfig],
    attributes: tuple[str, ...],
    tasks: tuple[str, ...],
) -> MitigationConfig:
    """One mitigation, with its training and its method at every weight."""
    where, refused = f"mitigations.{name}", Refusals()
    # a task that no diagnoser reads has no score to pull at
    read = tuple(task for one in diagnosers.values() for task in one.model.tasks)
    fields = without(block, "train", *PLAN_FIELDS)
    for key, known, what in (
        ("attributes", attributes, "attribute"),
        ("tasks", read, "diagnosed task"),
    ):
        if key in fields:
            with refused.gather():
                # taken out first: a refused one is not looked at once more
                listed = words(fields.pop(key), f"{where}.{key}")
                _check_known(listed, f"{where}.{key}", what, known)
                fields[key] = listed
    # crossed with the labels, not with scores: any task will do, and "" is none
    with refused.gather():
        if isinstance(outcome := fields.get("outcome", ""), str):
            _check_known(filter(None, [outcome]), f"{where}.outcome", "task", tasks)
    methods = {}
    for weight in plan.weights or (None,):
        # a weight to try stands in for the block's own
        chosen = fields if weight is None else {**fields, "weight": weight}
        with refused.gather():
            methods[weight] = made(make_mitigation, where, **chosen)
    # one block for all of them, checked against the validation metrics of each
    train = None
    for key in plan.reconstructors:
        train = refused.of(training, block["train"], where, reconstructors[key].model)
    refused.tell()
    _check_gradients(where, methods.values(), diagnosers)
    return MitigationConfig(name, plan, methods, told(train))


def _check_gradients(
    where: str, methods: Iterable[Mitigation], diagnosers: Mapping[str, DiagnoserConfig]
) -> None:
    """Refuses a loss that looks through a diagnoser without gradients."""
    for method in methods:
        if type(method).objective is Mitigation.objective:
            continue
        tasks = getattr(method, "tasks", ())
        for name, one in diagnosers.items():
            if not one.has_weights and (not tasks or set(tasks) & set(one.model.tasks)):
                raise ConfigError(
                    f"config.{where}: its loss looks through the diagnoser {name!r}, which runs "
                    "outside of JAX: no gradient passes. Name other tasks, or use reweighting"
                )


def _check_known(names: Iterable[str], where: str, what: str, known: tuple[str, ...]) -> None:
    """Refuses names that the study does not have."""
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"config.{where}: the study has no {what} {unknown[0]!r}; it has "
            f"{', '.join(known) or 'none'}{meant(unknown[0], known)}"
        )


def _plan(
    name: str,
    block: Mapping[str, Any],
    degradation: DegradationConfig,
    reconstructors: Mapping[str, ReconstructorConfig],
) -> MitigationPlan:
    """Where a mitigation is tried."""
    where = f"config.mitigations.{name}"
    fields = {key: value for key, value in block.items() if key in PLAN_FIELDS}
    for key, listed in (("levels", numbers), ("weights", numbers), ("reconstructors", words)):
        fields[key] = listed(fields.get(key, ()), f"mitigations.{name}.{key}")
    plan = build(MitigationPlan, f"mitigations.{name}", fields)
    # with a block train: others have imported or borrowed weights, or none
    trained = {key: one for key, one in reconstructors.items() if one.train is not None}
    if unknown := [key for key in plan.reconstructors if key not in trained]:
        raise ConfigError(
            f"{where}.reconstructors: {unknown[0]!r} is not one of the trained reconstructors, "
            f"which are {', '.join(trained) or 'none'}{meant(unknown[0], trained)}"
        )
    if missed := [level for level in plan.levels if level not in degradation.levels]:
        raise ConfigError(
            f"{where}.levels: {missed[0]:g} is not one of "
            f"{', '.join(f'{level:g}' for level in degradation.levels)}"
        )
    if not trained:
        raise ConfigError(f"{where} fine-tunes, but no reconstructor of the study is trained")
    levels = plan.levels or (degradation.headline_level,)
    # those not named are left out silently; one that is named must have all of the levels
    usable = tuple(
        key
        for key in plan.reconstructors or tuple(trained)
        if set(levels) <= set(trained[key].levels)
    )
    if missing := [key for key in plan.reconstructors if key not in usable]:
        raise ConfigError(f"{where}: {missing[0]} is not trained at all of the levels {levels}")
    if not usable:
        raise ConfigError(f"{where}: no reconstructor is trained at all of the levels {levels}")
    return dataclasses.replace(plan, reconstructors=usable, levels=levels)
