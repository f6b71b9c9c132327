"""The models and mitigations of a configuration as typed objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fairrecon_jax.diagnosers import DIAGNOSERS, check_apart, make_diagnoser
from fairrecon_jax.reconstructors import Stored, make_reconstructor
from fairrecon_jax.registry import of_training
from fairrecon_jax.study.config import (
    DiagnoserConfig,
    ReconstructorConfig,
)
from fairrecon_jax.study.fields import (
    build,
    check_block,
    check_word,
    made,
    numbers,
    without,
    words,
)
from fairrecon_jax.study.refusals import Refusals, naming, told
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.training.config import Mode, TrainConfig
from fairrecon_jax.types import CohortSpec, ConfigError, meant

Blocks = Mapping[str, Mapping[str, Any]]
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


def reconstructors(
    blocks: Blocks,
    levels: tuple[float, ...],
    size: int,
    stored: tuple[str, ...] | None,
    refused: Refusals,
) -> dict[str, ReconstructorConfig]:
    """All reconstructors by name.

    Args:
      blocks: `config.reconstructors`.
      levels: of the degradation; () where they are not known, and none of a block is looked up.
      size: of the images in pixels.
      stored: names of the images that come with the cohort; None where they are not known.
      refused: takes what is said of those that are left out.

    A block with a field "weights_of" uses the network that another block trains: it has that
    block's fields with its own in their place.
    """
    parsed = {}
    for name, block in blocks.items():
        with refused.gather():
            check_word(name, "reconstructors", ".")
            check_block(block, f"reconstructors.{name}")
            one = _reconstructor(name, blocks, levels, size)
            if isinstance(one.model, Stored) and stored is not None:
                _check_stored(name, one, stored)
            parsed[name] = one
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
    name: str, blocks: Blocks, studied: tuple[float, ...], size: int
) -> ReconstructorConfig:
    where, block = f"reconstructors.{name}", blocks[name]
    source = _weights_of(name, blocks)
    fields = {**without(blocks[source], *AROUND), **without(block, *AROUND)}
    if fields.get("kind") == "stored":
        if unused := sorted((set(AROUND) - {"levels"}) & set(block)):
            raise ConfigError(f"config.{where}.{unused[0]}: stored images are not trained")
        # called like its images where nothing else is said
        fields = {"images": name, "name": name, **fields}
    refused = Refusals()
    model = refused.of(_sized, make_reconstructor, where, size, fields)
    # the source's weights exist at its own levels only
    known = studied if source == name else _levels(source, blocks, studied)
    files = refused.of(words, block.get("weights", ()), f"{where}.weights")
    levels = refused.of(_levels, name, blocks, known)
    augment = refused.of(build, Augmentation, f"{where}.augment", block.get("augment", {}))
    train = refused.of(training, block["train"], where, model) if "train" in block else None
    refused.tell()
    parsed = ReconstructorConfig(
        name=name,
        model=told(model),
        levels=told(levels),
        train=train,
        augment=told(augment),
        weight_files=tuple(file for file in told(files) if file),
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
            f"{', '.join(sorted(blocks))}{meant(source, blocks)}"
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
    if known and (unknown := [level for level in own if level not in known]):
        raise ConfigError(
            f"config.reconstructors.{name}.levels: {unknown[0]:g} is not one of "
            f"{', '.join(f'{level:g}' for level in known)}"
        )
    return own or known


def diagnosers(
    blocks: Blocks, spec: CohortSpec, size: int, refused: Refusals
) -> dict[str, DiagnoserConfig]:
    """All diagnosers by name, each on the tasks it names or on all of its kind.

    Args:
      blocks: `config.diagnosers`.
      spec: names the cohort's tasks.
      size: of the images in pixels.
      refused: takes what is said of those that are left out, or of two that read one task.
    """
    parsed = {}
    for name, block in blocks.items():
        with refused.gather():
            check_word(name, "diagnosers", ".")
            check_block(block, f"diagnosers.{name}")
            parsed[name] = _diagnoser(name, block, spec, size)
    with refused.gather(), naming("diagnosers"):
        check_apart((name, diagnoser.model) for name, diagnoser in parsed.items())
    return parsed


def _diagnoser_model(block: Mapping[str, Any], where: str, spec: CohortSpec, size: int) -> Any:
    """The network of a diagnoser's block."""
    fields = without(block, *AROUND_DIAGNOSERS)
    tasks = words(block.get("tasks", ()), f"{where}.tasks")
    if not tasks:
        # an unknown kind gets no tasks here; `made` refuses it and says which there are
        kind = getattr(DIAGNOSERS.get(str(fields.get("kind", ""))), "kind", None)
        tasks = tuple(task.name for task in spec.tasks if task.kind == kind)
    return _sized(make_diagnoser, where, size, {"spec": spec, "tasks": tasks, **fields})


def _diagnoser(name: str, block: Mapping[str, Any], spec: CohortSpec, size: int) -> DiagnoserConfig:
    """A diagnoser with where its weights come from."""
    where, init = f"diagnosers.{name}", block.get("init", "")
    for other in ("levels", "augment", "weights_of"):
        if other in block:
            raise ConfigError(f"config.{where} has {other}: {NOT_OF_DIAGNOSERS[other]}")
    refused = Refusals()
    model = refused.of(_diagnoser_model, block, where, spec, size)
    train = refused.of(training, block["train"], where, model) if "train" in block else None
    refused.tell()
    model = told(model)
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
    if train is not None and hasattr(model, "check_training"):
        with naming(where):
            model.check_training()
    on = {field: bool(block.get(field)) for field in ("balance", "rare_first")}
    return DiagnoserConfig(name, model, train, files, init, **on)


def training(block: Mapping[str, Any], where: str, model: Any) -> TrainConfig:
    """One training's choices, its selection metric checked against the model's.

    Args:
      block: `<where>.train`.
      where: the model's block, for the error.
      model: gives `validation_metrics`; None where it is refused itself.
    """
    refused = Refusals()
    train = refused.of(build, TrainConfig, f"{where}.train", block)
    if train is not None and train.learning_rate == 0:
        refused.add(
            f"config.{where}.train.learning_rate is 0: nothing would be learned; give a rate above "
            "0, or leave out what is not to be trained"
        )
    if model is not None and not refused.mentions(f"{where}.train", "selection"):
        metrics: Mapping[str, Mode] = model.validation_metrics
        # where others are refused, the metric is looked at by itself
        selection = block.get("selection") if isinstance(block, Mapping) else None
        looked_at = train or TrainConfig(1, 1, selection=selection)
        with refused.gather(), naming(f"{where}.train"):
            looked_at.resolve(metrics)
    refused.tell()
    return told(train)


def _sized(factory: Callable[..., Any], where: str, size: int, fields: Mapping[str, Any]) -> Any:
    """A model of its fields; one that has a method `check` looks at the size of the images."""
    model = made(factory, where, **fields)
    if hasattr(model, "check"):
        with naming(where):
            model.check(size)
    return model
