"""From a configuration file to a `StudyConfig`, once; this is the check, and every error names the
field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.data.builder import CohortBuilder
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.data.columns import TableColumns
from fairrecon_jax.data.mapping import read_mapping, table_columns
from fairrecon_jax.data.registry import builder_of, load_module
from fairrecon_jax.data.splits import check_shares
from fairrecon_jax.metrics.image_metric import check_computable
from fairrecon_jax.metrics.perceptual import LEAST, read_lpips
from fairrecon_jax.phantoms import PhantomOptions, phantom_options
from fairrecon_jax.physics import Elsewhere, make_degradation
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.study import models
from fairrecon_jax.study.blocks import SplitsConfig, TandemConfig
from fairrecon_jax.study.config import (
    DegradationConfig,
    DiagnoserConfig,
    ReportConfig,
    StudyConfig,
)
from fairrecon_jax.study.fields import (
    build,
    check_block,
    differ,
    made,
    naming,
    numbers,
    plain,
    renamed,
    without,
)
from fairrecon_jax.study.limits import check_sizes
from fairrecon_jax.types import UNNAMED, CohortSpec, ConfigError

PHANTOM_TREES = {"xray": "chexpert", "brain": "ucsf_pdgm"}
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
      (16.0,)
    """
    if not isinstance(config, (ConfigDict, Mapping)):
        raise ConfigError(f"a configuration is a ConfigDict or a mapping, got {config!r}")
    blocks = renamed(plain(config))
    _check_blocks(blocks)
    cohort = _cohort(blocks["cohort"])
    builder = builder_of(cohort)
    root = blocks["cohort"].get("root", "")
    # parsed even where a root takes its place: a wrong block is never passed over
    drawn = _phantom(blocks["phantom"], cohort.name)
    phantom = None if root else drawn
    # a phantom may have fewer slices than the cohort whose layout it has
    if depth := builder.depth if phantom is None else phantom.depth:
        with naming("cohort"):
            cohort.check_depth(depth)
    degradation = _degradation(blocks, cohort.image_size)
    assess = build(AssessOptions, "assess", blocks["assess"])
    _check_seed(assess.seed, "assess.seed")
    _check_intersections(assess, cohort, builder)
    reconstructors = models.reconstructors(
        blocks["reconstructors"], degradation, cohort.image_size, builder.stored
    )
    outline = builder.outline(cohort)
    diagnosers = models.diagnosers(blocks["diagnosers"], outline, cohort.image_size)
    _check_thresholds(assess, outline, diagnosers)
    return StudyConfig(
        seed=_check_seed(blocks["seed"], "seed"),
        seeds=_check_seeds(blocks["seeds"]),
        seed_diagnosers=_check_flag(blocks["seed_diagnosers"], "seed_diagnosers"),
        cohort=cohort,
        root=Path(root) if root else None,
        phantom=phantom,
        splits=_splits(blocks["splits"]),
        degradation=degradation,
        reconstructors=reconstructors,
        diagnosers=diagnosers,
        mitigations=models.mitigations(
            blocks["mitigations"],
            degradation,
            reconstructors,
            diagnosers,
            builder.chosen_attributes(cohort),
            tuple(task.name for task in outline.tasks),
        ),
        tandem=_tandem(blocks["tandem"], cohort.image_size),
        assess=assess,
        report=_report(blocks["report"]),
    )


def _check_blocks(blocks: dict[str, Any]) -> None:
    """Fills in blocks that are left out, and refuses those that no study has."""
    # root is a field of config.cohort, no block
    known = [field.name for field in dataclasses.fields(StudyConfig) if field.name != "root"]
    if unknown := sorted(set(blocks) - set(known)):
        raise ConfigError(
            f"config has no field {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
        )
    blocks.setdefault("seed", 0)
    blocks.setdefault("seeds", ())
    blocks.setdefault("seed_diagnosers", False)
    for name in known:
        if name not in ("seed", "seeds", "seed_diagnosers"):
            check_block(blocks.setdefault(name, {}), name)
    check_sizes(blocks)
    needed = ["cohort.name"]
    if not _all_elsewhere(blocks):
        needed += ["degradation.kind", "degradation.levels"]
    for path in needed:
        block, field = path.split(".")
        if field not in blocks[block]:
            raise ConfigError(f"config.{path} is not given{_why_needed(blocks, block)}")
    if not blocks["reconstructors"]:
        raise ConfigError(
            "config.reconstructors is empty: name at least one, e.g. of kind identity"
        )


def _check_flag(value: Any, where: str) -> bool:
    """A field that is on or off."""
    if not isinstance(value, bool):
        raise ConfigError(f"config.{where} must be True or False, got {value!r}")
    return value


def _check_seeds(seeds: Any) -> tuple[int, ...]:
    """Seeds of trainings, each once."""
    if isinstance(seeds, str) or not isinstance(seeds, Sequence):
        raise ConfigError(f"config.seeds must list whole numbers, got {seeds!r}")
    checked = tuple(_check_seed(seed, "seeds") for seed in seeds)
    if len(set(checked)) < len(checked):
        raise ConfigError(f"config.seeds names a seed twice: {checked}")
    return checked


def _check_seed(seed: Any, where: str) -> int:
    """A seed as every generator of the study takes it."""
    # jax.random.key would drop what is above 32 bits, so that two seeds were the same
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ConfigError(f"config.{where} must be a whole number from 0 to 2^32 - 1, got {seed!r}")
    return seed


def _cohort(block: Mapping[str, Any]) -> CohortConfig:
    """The cohort and its policies."""
    if not isinstance(block.get("root", ""), str | Path):
        raise ConfigError(f"config.cohort.root takes a folder, got {block['root']!r}")
    if module := block.get("module", ""):
        with naming("cohort.module"):
            load_module(module)
    cohort = build(CohortConfig, "cohort", _columns(without(block, "root")))
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
    if given is not None and not isinstance(given, TableColumns):
        with naming("cohort"):
            return {**fields, "columns": table_columns(given) if given else None}
    return fields


def _check_intersections(
    assess: AssessOptions, cohort: CohortConfig, builder: type[CohortBuilder]
) -> None:
    """Refuses intersections of attributes that the study does not have."""
    known = builder.chosen_attributes(cohort)
    for names in assess.intersections:
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(
                f"config.assess.intersections: the study has no attribute {unknown[0]!r}; it has "
                f"{', '.join(known)}"
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


def _phantom(block: Mapping[str, Any], cohort: str) -> PhantomOptions | None:
    """The phantom to draw, None where the block names no kind."""
    if not block.get("kind", ""):
        if others := sorted(set(block) - {"kind"}):
            raise ConfigError(f"config.phantom has {', '.join(others)}, but names no kind")
        return None
    options = made(phantom_options, "phantom", **block)
    if PHANTOM_TREES[options.kind] != cohort:
        raise ConfigError(
            f"config.phantom.kind {options.kind!r} draws the tree of "
            f"{PHANTOM_TREES[options.kind]}, but config.cohort.name is {cohort!r}"
        )
    return options


def _splits(block: Mapping[str, Any]) -> SplitsConfig:
    """The split of the patients."""
    fraction = block.get("diagnosis_fraction", 0.0)
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
        raise ConfigError(f"config.splits: diagnosis_fraction must be a number, got {fraction!r}")
    with naming("splits"):
        shares = check_shares(block.get("fractions", SplitsConfig.fractions), fraction)
    if min(shares) <= 0:
        raise ConfigError(
            "config.splits: a study trains, selects and tests: all three fractions must be above "
            f"0, got {shares}"
        )
    splits = build(SplitsConfig, "splits", {**block, "fractions": shares})
    _check_seed(splits.seed, "splits.seed")
    return splits


def _why_needed(blocks: Mapping[str, Any], block: str) -> str:
    """What asks for a degradation where some reconstructions come with the images."""
    kinds = {
        name: one.get("kind")
        for name, one in blocks["reconstructors"].items()
        if isinstance(one, Mapping)
    }
    if block != "degradation" or "stored" not in kinds.values():
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
    if "size" in block:
        raise ConfigError("config.degradation has no field size; config.cohort.image_size is taken")
    # with the size of the cohort: an operator is built for one size
    physics = made(make_degradation, "degradation", **without(block, *GRID), size=size)
    levels = numbers(block["levels"], "degradation.levels")
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


def _tandem(block: Mapping[str, Any], size: int) -> TandemConfig:
    """The fused step."""
    tandem = build(TandemConfig, "tandem", block)
    with naming("tandem"):
        check_computable(tandem.image_metrics, size)
        if tandem.lpips:
            try:
                # read for its refusals
                read_lpips(tandem.lpips)
            except FileNotFoundError as error:
                raise ValueError(f"lpips: {error}") from error
            if size < LEAST:
                raise ValueError(f"lpips needs images of at least {LEAST} pixels, got {size}")
    return tandem


def _report(block: Mapping[str, Any]) -> ReportConfig:
    """The report's choices."""
    examples = block.get("examples", ReportConfig.examples)
    if type(examples) is not int or examples < 0:
        raise ConfigError(
            f"config.report: examples must be a whole number of at least 0, got {examples!r}"
        )
    return ReportConfig(examples, build(ReportOptions, "report", without(block, "examples")))
