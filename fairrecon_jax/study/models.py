"""The models and mitigations of a configuration as typed objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from fairrecon_jax.diagnosers import DIAGNOSERS, check_apart, make_diagnoser
from fairrecon_jax.mitigation import Mitigation, make_mitigation
from fairrecon_jax.reconstructors import Stored, make_reconstructor
from fairrecon_jax.registry import of_training
from fairrecon_jax.study.blocks import MitigationPlan
from fairrecon_jax.study.config import (
    DegradationConfig,
    DiagnoserConfig,
    MitigationConfig,
    ReconstructorConfig,
)
from fairrecon_jax.study.fields import (
    build,
    check_block,
    check_word,
    made,
    naming,
    numbers,
    without,
    words,
)
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.training.config import Mode, TrainConfig
from fairrecon_jax.types import CohortSpec, ConfigError

Blocks = Mapping[str, Mapping[str, Any]]
PLAN_FIELDS = tuple(field.name for field in dataclasses.fields(MitigationPlan))
AROUND = ("train", "weights", "levels", "augment", "weights_of")
"""Fields of a reconstructor's block that say how it is made and used, not what it is."""
AROUND_DIAGNOSERS = ("train", "tasks", "weights", "init", "balance", "rare_first")
"""The same of a diagnoser's block."""
NOT_OF_DIAGNOSERS = {
    "levels": "a diagnoser reads the images of every level",
    "augment": "write its fields, such as flip and shift, in the block itself",
    "weights_of": "only reconstructors share weights",
}
"""Fields of reconstructors, and what to do instead."""
LISTS = ("attributes", "tasks")
"""Fields of a mitigation's block that take one name or several."""


def reconstructors(
    blocks: Blocks, degradation: DegradationConfig, size: int, stored: tuple[str, ...] = ()
) -> dict[str, ReconstructorConfig]:
    """All reconstructors by name.

    Args:
      blocks: `config.reconstructors`.
      degradation: gives the levels.
      size: of the images in pixels.
      stored: names of the images that come with the cohort.

    A block with a field "weights_of" uses the network that another block trains: it has that
    block's fields with its own in their place.

    Raises:
      ConfigError: a field is refused; the message names it.
    """
    for name, block in blocks.items():
        check_word(name, "reconstructors", ".")
        check_block(block, f"reconstructors.{name}")
    parsed = {name: _reconstructor(name, blocks, degradation, size) for name in blocks}
    for name, one in parsed.items():
        if isinstance(one.model, Stored):
            _check_stored(name, one, stored)
    return parsed


def _check_stored(name: str, one: ReconstructorConfig, stored: tuple[str, ...]) -> None:
    """Refuses stored images that the cohort does not have, or of which nobody says the level."""
    where = f"config.reconstructors.{name}"
    images = getattr(one.model, "images", "")
    if images not in stored:
        raise ConfigError(
            f"{where}: the cohort comes without the images {images!r}; config.cohort.columns names "
            f"{', '.join(stored) or 'none: give them in reconstructions'}"
        )
    if len(one.levels) > 1:
        raise ConfigError(f"{where}: stored images are of one level: name it in levels")


def _reconstructor(
    name: str, blocks: Blocks, degradation: DegradationConfig, size: int
) -> ReconstructorConfig:
    where, block = f"reconstructors.{name}", blocks[name]
    source = _weights_of(name, blocks)
    fields = {**without(blocks[source], *AROUND), **without(block, *AROUND)}
    if fields.get("kind") == "stored":
        if unused := sorted((set(AROUND) - {"levels"}) & set(block)):
            raise ConfigError(f"config.{where}.{unused[0]}: stored images are not trained")
        # called like its images where nothing else is said
        fields = {"images": name, "name": name, **fields}
    model = made(make_reconstructor, where, **fields)
    _check_size(model, where, size)
    # the source's weights exist at its own levels only
    known = degradation.levels if source == name else _levels(source, blocks, degradation.levels)
    files = words(block.get("weights", ()), f"{where}.weights")
    parsed = ReconstructorConfig(
        name=name,
        model=model,
        levels=_levels(name, blocks, known),
        train=training(block["train"], where, model) if "train" in block else None,
        augment=build(Augmentation, f"{where}.augment", block.get("augment", {})),
        weight_files=tuple(file for file in files if file),
        weights_of=source,
    )
    if parsed.weight_files and "train" in block:
        raise ConfigError(
            f"config.{where} has weights and train: weights are used as they are; leave one of "
            "them out"
        )
    _check_trained(model, where, block, ("augment",))
    return parsed


def _check_trained(
    model: Any, where: str, block: Mapping[str, Any], more: tuple[str, ...] = ()
) -> None:
    """Refuses fields that only a training reads in a block that trains nothing."""
    names = (*of_training(type(model)), *more)
    if "train" not in block and (unread := [name for name in names if name in block]):
        raise ConfigError(
            f"config.{where}.{unread[0]} is for a training, and the block has no train: weights "
            "from elsewhere are used as they are; leave it out"
        )


def _weights_of(name: str, blocks: Blocks) -> str:
    """The block whose training makes a reconstructor's weights."""
    block, where = blocks[name], f"config.reconstructors.{name}"
    if "weights_of" not in block:
        return name
    source = block["weights_of"]
    for other in ("train", "weights"):
        if other in block:
            raise ConfigError(
                f"{where} has weights_of and {other}: it has weights of its own, or it takes "
                "another block's weights"
            )
    if not isinstance(source, str) or source not in blocks:
        raise ConfigError(
            f"{where}.weights_of: config.reconstructors has no {source!r}; it has "
            f"{', '.join(sorted(blocks))}"
        )
    # a source that itself borrows has no train either, so borrowing never chains
    if "train" not in blocks[source]:
        raise ConfigError(f"{where}.weights_of: {source!r} trains no network")
    kinds = block.get("kind", blocks[source].get("kind")), blocks[source].get("kind")
    if kinds[0] != kinds[1]:
        raise ConfigError(
            f"{where} is of kind {kinds[0]!r}, {source!r} of kind {kinds[1]!r}: weights serve one "
            "kind"
        )
    return source


def _levels(name: str, blocks: Blocks, known: tuple[float, ...]) -> tuple[float, ...]:
    """The levels a reconstructor is studied at: its field "levels", or all that are known."""
    own = numbers(blocks[name].get("levels", ()), f"reconstructors.{name}.levels")
    if unknown := [level for level in own if level not in known]:
        raise ConfigError(
            f"config.reconstructors.{name}.levels: {unknown[0]:g} is not one of "
            f"{', '.join(f'{level:g}' for level in known)}"
        )
    return own or known


def diagnosers(blocks: Blocks, spec: CohortSpec, size: int) -> dict[str, DiagnoserConfig]:
    """All diagnosers by name, each on the tasks it names or on all of its kind.

    Args:
      blocks: `config.diagnosers`.
      spec: names the cohort's tasks.
      size: of the images in pixels.

    Raises:
      ConfigError: a field is refused, or two diagnosers read one task; the message names it.
    """
    parsed = {}
    for name, block in blocks.items():
        where = f"diagnosers.{name}"
        check_word(name, "diagnosers", ".")
        check_block(block, where)
        fields = without(block, *AROUND_DIAGNOSERS)
        for other in ("levels", "augment", "weights_of"):
            if other in block:
                raise ConfigError(f"config.{where} has {other}: {NOT_OF_DIAGNOSERS[other]}")
        tasks = words(block.get("tasks", ()), f"{where}.tasks")
        if not tasks:
            # an unknown kind gets no tasks here; `made` below refuses it and says which there are
            kind = getattr(DIAGNOSERS.get(str(fields.get("kind", ""))), "kind", None)
            tasks = tuple(task.name for task in spec.tasks if task.kind == kind)
        model = made(make_diagnoser, where, spec=spec, tasks=tasks, **fields)
        _check_size(model, where, size)
        parsed[name] = _diagnoser(name, model, block)
    with naming("diagnosers"):
        check_apart((name, diagnoser.model) for name, diagnoser in parsed.items())
    return parsed


def _diagnoser(name: str, model: Any, block: Mapping[str, Any]) -> DiagnoserConfig:
    """A diagnoser with where its weights come from."""
    where, init = f"diagnosers.{name}", block.get("init", "")
    files = tuple(filter(None, words(block.get("weights", ()), f"{where}.weights")))
    if not isinstance(init, str):
        raise ConfigError(f"config.{where}.init takes a file, got {init!r}")
    given = [field for field in ("weights", "train", "init") if block.get(field)]
    if given and not model.phases:
        raise ConfigError(f"config.{where} has {given[0]}, but nothing of it can be learned")
    if files and init:
        raise ConfigError(
            f"config.{where} has weights and init: weights are used as they are, init = FILE "
            "starts a training (with a block train); leave one of them out"
        )
    if levelled := [file for file in (*files, init) if "{level}" in file]:
        raise ConfigError(
            f"config.{where}: {levelled[0]!r} names files by level, and one diagnoser reads the "
            "images of every level: name one file"
        )
    _check_trained(model, where, block)
    if files and "train" in block:
        raise ConfigError(
            f"config.{where} has weights and train: weights are used as they are; init = FILE "
            "starts a training from them"
        )
    if init and "train" not in block:
        raise ConfigError(f"config.{where} has init, which starts a training, but no block train")
    for field, fits in (
        ("balance", model.kind == "classification"),
        ("rare_first", hasattr(model, "task_weight") and not model.task_weight),
    ):
        if not isinstance(block.get(field, False), bool):
            raise ConfigError(f"config.{where}.{field} is True or False, got {block[field]!r}")
        if block.get(field) and not (fits and "train" in block):
            raise ConfigError(
                f"config.{where}.{field} is for the training of a classifier"
                + (" without task_weight" if field == "rare_first" else "")
            )
    train = training(block["train"], where, model) if "train" in block else None
    if train is not None and hasattr(model, "check_training"):
        with naming(where):
            model.check_training()
    on = {field: bool(block.get(field)) for field in ("balance", "rare_first")}
    return DiagnoserConfig(name, model, train, files, init, **on)


def mitigations(
    blocks: Blocks,
    degradation: DegradationConfig,
    reconstructors: Mapping[str, ReconstructorConfig],
    diagnosers: Mapping[str, DiagnoserConfig],
    attributes: tuple[str, ...],
    tasks: tuple[str, ...],
) -> dict[str, MitigationConfig]:
    """All mitigations by name, with the study's reconstructors and level filled in.

    Args:
      blocks: `config.mitigations`.
      degradation: gives the levels.
      reconstructors: of the study.
      diagnosers: of the study.
      attributes: names of the study's attributes.
      tasks: names of the study's tasks.

    Raises:
      ConfigError: a field is refused; the message names it.
    """
    parsed = {}
    # a task that no diagnoser reads has no score to pull at
    read = tuple(task for one in diagnosers.values() for task in one.model.tasks)
    for name, block in blocks.items():
        where = f"mitigations.{name}"
        check_word(name, "mitigations")
        check_block(block, where)
        plan = _plan(name, block, degradation, reconstructors)
        if "train" not in block:
            raise ConfigError(f"config.{where} needs a block train")
        if not diagnosers:
            raise ConfigError(f"config.{where} needs diagnosers")
        fields = without(block, "train", *PLAN_FIELDS)
        fields |= {key: words(fields[key], f"{where}.{key}") for key in LISTS if key in fields}
        _check_known(fields.get("attributes", ()), f"{where}.attributes", "attribute", attributes)
        _check_known(fields.get("tasks", ()), f"{where}.tasks", "diagnosed task", read)
        # crossed with the labels, not with scores: any task will do, and "" is none
        outcome = words(fields.get("outcome", ()), f"{where}.outcome")
        _check_known(filter(None, outcome), f"{where}.outcome", "task", tasks)
        methods = {
            # A weight to try stands in for the block's own.
            weight: made(
                make_mitigation,
                where,
                **(fields if weight is None else {**fields, "weight": weight}),
            )
            for weight in plan.weights or (None,)
        }
        _check_gradients(where, methods.values(), diagnosers)
        # one block for all of them, checked against the validation metrics of each
        for key in plan.reconstructors:
            train = training(block["train"], where, reconstructors[key].model)
        parsed[name] = MitigationConfig(name, plan, methods, train)
    return parsed


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
            f"{', '.join(known) or 'none'}"
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
            f"which are {', '.join(trained) or 'none'}"
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


def training(block: Mapping[str, Any], where: str, model: Any) -> TrainConfig:
    """One training's choices, its selection metric checked against the model's.

    Args:
      block: `<where>.train`.
      where: the model's block, for the error.
      model: gives `validation_metrics`.
    """
    metrics: Mapping[str, Mode] = model.validation_metrics
    train = build(TrainConfig, f"{where}.train", block)
    with naming(f"{where}.train"):
        train.resolve(metrics)
    return train


def _check_size(model: Any, where: str, size: int) -> None:
    """Lets a model that has a method `check` look at the size of the images."""
    if hasattr(model, "check"):
        with naming(where):
            model.check(size)
