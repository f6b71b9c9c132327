"""From a configuration file to a `StudyConfig`, once; this is the check, and every error names the
field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.columns import TableColumns
from fairrecon_jax.data.mapping import read_mapping, table_columns
from fairrecon_jax.data.registry import builder_of, load_module
from fairrecon_jax.phantoms import PhantomOptions
from fairrecon_jax.physics import Elsewhere, make_degradation
from fairrecon_jax.study import models, plain_blocks
from fairrecon_jax.study.config import (
    DegradationConfig,
    DiagnoserConfig,
    MitigationConfig,
    ReconstructorConfig,
    StudyConfig,
)
from fairrecon_jax.study.fields import (
    build,
    check_flag,
    check_seed,
    check_seeds,
    checked_block,
    differ,
    less,
    made,
    numbers,
    plain,
    renamed,
    without,
)
from fairrecon_jax.study.limits import LARGEST, beyond
from fairrecon_jax.study.mitigations import mitigations
from fairrecon_jax.study.refusals import Refusals, naming, told
from fairrecon_jax.types import UNNAMED, CohortSpec, ConfigError, all_meant, meant

GRID = ("levels", "headline_level")
"""Fields of `config.degradation` that say where, not how, images are degraded."""


def parse(config: ConfigDict | Mapping[str, Any]) -> StudyConfig:
    """Checks a configuration and makes the typed objects of it.

    Args:
      config: as the files in `configs/` make it; what it leaves out has the defaults of the
        dataclasses.

    Returns:
      The study.

    Raises:
      ConfigError: a block, a field or a value is refused; the message names the field.

    Example:
      >>> parse(fr.configuration("quickstart_brain")).degradation.levels
      (10.0,)
    """
    if not isinstance(config, (ConfigDict, Mapping)):
        raise ConfigError(f"a configuration is a ConfigDict or a mapping, got {config!r}")
    blocks, refused = renamed(plain(config)), Refusals()
    blocks = _check_blocks(blocks, refused)
    # what needs nothing else, so that all of it is looked at whatever else is wrong
    seed = refused.of(check_seed, blocks["seed"], "seed")
    seeds = refused.of(check_seeds, blocks["seeds"])
    seed_diagnosers = refused.of(check_flag, blocks["seed_diagnosers"], "seed_diagnosers")
    splits = refused.of(plain_blocks.splits, blocks["splits"])
    assess = refused.of(plain_blocks.assess, blocks["assess"])
    report = refused.of(plain_blocks.report, blocks["report"])
    # parsed even where a root takes its place: a wrong block is never passed over
    cohort = refused.of(_cohort, blocks["cohort"])
    drawn = refused.of(
        plain_blocks.phantom, blocks["phantom"], None if cohort is None else cohort.name
    )
    if cohort is not None and assess is not None:
        refused.of(_check_intersections, assess, cohort)
    root = blocks["cohort"].get("root", "")
    phantom = None if root else drawn
    if splits is not None:
        for field, count in (
            ("phantom.patients", 0 if phantom is None else phantom.patients),
            ("cohort.patients", 0 if cohort is None else cohort.patients),
        ):
            refused.of(plain_blocks.check_parts, field, count, splits)
    refused.of(_check_depth, cohort, phantom)
    size = blocks["cohort"].get("image_size", CohortConfig.image_size)
    # a size that is refused says nothing about models
    if type(size) is not int or not 8 <= size <= LARGEST["image_size"]:
        size = CohortConfig.image_size
    tandem = refused.of(plain_blocks.tandem, blocks["tandem"], size)
    degradation = refused.of(_degradation, blocks, size)
    reconstructors, diagnosers, tried = _models(blocks, cohort, degradation, size, refused)
    if cohort is not None and assess is not None:
        outline = builder_of(cohort).outline(cohort)
        refused.of(_check_thresholds, assess, outline, diagnosers)
    refused.tell()
    return StudyConfig(
        seed=told(seed),
        seeds=told(seeds),
        seed_diagnosers=told(seed_diagnosers),
        cohort=told(cohort),
        root=Path(root) if root else None,
        phantom=phantom,
        splits=told(splits),
        degradation=told(degradation),
        reconstructors=reconstructors,
        diagnosers=diagnosers,
        mitigations=tried,
        tandem=told(tandem),
        assess=told(assess),
        report=told(report),
    )


def _models(
    blocks: Mapping[str, Any],
    cohort: CohortConfig | None,
    degradation: DegradationConfig | None,
    size: int,
    refused: Refusals,
) -> tuple[dict[str, ReconstructorConfig], dict[str, DiagnoserConfig], dict[str, MitigationConfig]]:
    """The models; what is refused of them is gathered."""
    builder = None if cohort is None else builder_of(cohort)
    reconstructors = models.reconstructors(
        blocks["reconstructors"],
        () if degradation is None else degradation.levels,
        size,
        None if builder is None else builder.stored,
        refused,
    )
    if cohort is None or builder is None:
        return reconstructors, {}, {}
    outline = builder.outline(cohort)
    diagnosers = models.diagnosers(blocks["diagnosers"], outline, size, refused)
    parsed = {**reconstructors, **diagnosers}
    # a mitigation names models: of one that is refused it would be said that there is none
    if degradation is None or set(parsed) != {*blocks["reconstructors"], *blocks["diagnosers"]}:
        return reconstructors, diagnosers, {}
    tried = mitigations(
        blocks["mitigations"],
        degradation,
        reconstructors,
        diagnosers,
        builder.chosen_attributes(cohort),
        tuple(task.name for task in outline.tasks),
        refused,
    )
    return reconstructors, diagnosers, tried


def _check_blocks(given: dict[str, Any], refused: Refusals) -> dict[str, Any]:
    """The blocks, those that are left out filled in and those that no study has refused; without
    the fields that are beyond all sense, which are refused too.

    Raises:
      ConfigError: something is no block: nothing more can be looked at.
    """
    # root is a field of config.cohort, no block
    known = [field.name for field in dataclasses.fields(StudyConfig) if field.name != "root"]
    if unknown := sorted(set(given) - set(known)):
        refused.add(
            f"config has no field {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
            f"{all_meant(unknown, known)}"
        )
    plain_fields = {"seed": 0, "seeds": (), "seed_diagnosers": False}
    blocks = {name: given.get(name, plain_fields.get(name, {})) for name in known}
    for name in known:
        if name not in plain_fields and refused.of(checked_block, blocks[name], name) is None:
            refused.spoil(name)
            blocks[name] = {}
    for path, message in beyond(blocks).items():
        refused.add(message)
        refused.spoil(path[-1])
        blocks = less(blocks, path)
    blocks = {name: blocks.get(name, plain_fields.get(name, {})) for name in known}
    if not blocks["reconstructors"]:
        refused.add("config.reconstructors is empty: name at least one, e.g. of kind identity")
    return blocks


def _cohort(block: Mapping[str, Any]) -> CohortConfig:
    """The cohort and its policies."""
    refused = Refusals()
    if not isinstance(block.get("root", ""), str | Path):
        refused.add(f"config.cohort.root takes a folder, got {block['root']!r}")
    if module := block.get("module", ""):
        with refused.gather(), naming("cohort.module"):
            load_module(module)
    fields = refused.of(_columns, without(block, "root"))
    if fields is None:
        fields = without(block, "root", "mapping", "columns")
    # a refused module says all
    told_of = ("module",) if refused.mentions("cohort", "module") else ()
    found = refused.of(build, CohortConfig, "cohort", without(fields, *told_of))
    refused.tell()
    cohort = told(found)
    for field in ("tasks", "attributes"):
        differ(getattr(cohort, field), f"cohort.{field}")
    with naming("cohort"):
        builder_of(cohort).check(cohort)
    return cohort


def _columns(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block with its columns, or the file that `mapping` names, as one object."""
    fields = without(block, "mapping")
    given, file = block.get("columns"), block.get("mapping", "")
    if given and file:
        raise ConfigError("config.cohort has columns and mapping: one of them says it all")
    if file:
        with naming("cohort.mapping"):
            return {**fields, "columns": table_columns(read_mapping(file))}
    if given is not None and not isinstance(given, TableColumns | Mapping):
        raise ConfigError(f"config.cohort.columns is a block of fields, got {given!r}")
    if given is not None and not isinstance(given, TableColumns):
        with naming("cohort"):
            return {**fields, "columns": table_columns(given) if given else None}
    return fields


def _check_depth(cohort: CohortConfig | None, phantom: PhantomOptions | None) -> None:
    """Refuses slices that volumes do not have; a phantom may have fewer than the cohort whose
    layout it has.
    """
    if cohort is None:
        return
    if depth := builder_of(cohort).depth if phantom is None else phantom.depth:
        with naming("cohort"):
            cohort.check_depth(depth)


def _check_intersections(assess: AssessOptions, cohort: CohortConfig) -> None:
    """Refuses intersections of attributes that the study does not have."""
    known = builder_of(cohort).chosen_attributes(cohort)
    for names in assess.intersections:
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(
                f"config.assess.intersections: the study has no attribute {unknown[0]!r}; it has "
                f"{', '.join(known)}{meant(unknown[0], known)}"
            )


def _check_thresholds(
    assess: AssessOptions, spec: CohortSpec, diagnosers: Mapping[str, DiagnoserConfig]
) -> None:
    """Refuses thresholds by task that leave out a finding that is diagnosed."""
    if not isinstance(assess.threshold_value, Mapping):
        return
    read = {task for one in diagnosers.values() for task in one.model.tasks}
    with naming("assess"):
        for task in spec.classification_tasks:
            if task.name in read:
                # called for its refusal; the value is looked up where it is used
                assess.value_for(task.name)


def _why_needed(blocks: Mapping[str, Any]) -> str:
    """What asks for a degradation where some reconstructions come with the images."""
    kinds = {
        name: one.get("kind")
        for name, one in blocks["reconstructors"].items()
        if isinstance(one, Mapping)
    }
    if "stored" not in kinds.values():
        return ""
    others = [name for name, kind in kinds.items() if kind != "stored"]
    if others:
        return (
            f": {others[0]!r} reconstructs degraded images; name their degradation, or leave "
            f"{', '.join(map(repr, others))} out (del config.reconstructors.{others[0]}), as "
            "stored reconstructions need none"
        )
    return ": stored reconstructions need none, leave config.degradation out or name its kind too"


def _all_elsewhere(blocks: Mapping[str, Any]) -> bool:
    """Whether every reconstruction comes with the images, and nobody says from which level."""
    kinds = [
        block.get("kind") if isinstance(block, Mapping) else None
        for block in blocks["reconstructors"].values()
    ]
    return not blocks["degradation"] and bool(kinds) and set(kinds) == {"stored"}


def _degradation(blocks: Mapping[str, Any], size: int) -> DegradationConfig:
    """The physics at the cohort's image size, and the levels; where all images come from elsewhere,
    none and one level.
    """
    if _all_elsewhere(blocks):
        with naming("cohort.image_size"):
            return DegradationConfig(Elsewhere(size), UNNAMED.levels, UNNAMED.headline_level)
    block = blocks["degradation"]
    for field in ("kind", "levels"):
        if field not in block:
            why = _why_needed(blocks)
            raise ConfigError(f"config.degradation.{field} is not given{why}")
    if "size" in block:
        raise ConfigError("config.degradation has no field size; config.cohort.image_size is taken")
    refused = Refusals()
    # with the size of the cohort: an operator is built for one size
    fields = {**without(block, *GRID), "size": size}
    of_kind = refused.of(lambda: made(make_degradation, "degradation", **fields))
    listed = refused.of(numbers, block["levels"], "degradation.levels")
    refused.tell()
    physics, levels = told(of_kind), told(listed)
    if not levels:
        raise ConfigError("config.degradation.levels is empty: give at least one level")
    headline = block.get("headline_level", levels[0] if len(levels) == 1 else None)
    if headline is None:
        raise ConfigError("config.degradation.headline_level is not given: name one of the levels")
    chosen = numbers(headline, "degradation.headline_level")
    if len(chosen) != 1 or chosen[0] not in levels:
        raise ConfigError(
            f"config.degradation.headline_level {headline} is not one of the levels {levels}"
        )
    with naming("degradation"):
        for level in levels:
            # which levels are possible only the physics knows, and it says so while building
            physics.operator(level)
    return DegradationConfig(physics, levels, chosen[0])
