"""From a study's configuration to the typed objects the rooms take; nothing below this file sees a
ConfigDict.

The configuration is a locked `ml_collections.ConfigDict` as the files in `configs/` make it. Every
error names the field.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_origin, get_type_hints

from ml_collections import ConfigDict

from fairrecon_jax import defaults, phantoms
from fairrecon_jax.assessment import AssessOptions
from fairrecon_jax.data.api import CohortConfig
from fairrecon_jax.data.splits import check_shares
from fairrecon_jax.diagnosers import Diagnoser, check_apart, make_diagnoser
from fairrecon_jax.mitigation import Mitigation, make_mitigation
from fairrecon_jax.phantoms import PhantomOptions
from fairrecon_jax.physics.degrade import Degradation
from fairrecon_jax.reconstructors import Reconstructor, make_reconstructor
from fairrecon_jax.registry import misfits
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.study.overrides import literal
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.types import CohortSpec, DegradationSpec

T = TypeVar("T")
BESIDE = (
    "train",
    "weights",
    "levels",
    "augment",
)  # fields of a model's block that say how it is made and where it is used, not what it is
PHANTOM_TITLES = {"xray": "radiographs", "brain": "brains"}
PHANTOM_TREES = {"xray": "chexpert", "brain": "ucsf_pdgm"}
GRID = (
    "levels",
    "headline_level",
)  # fields of `config.degradation` that say where, not how, images are degraded


REQUIRED = (
    *(
        "seed",
        "cohort.root",
        "cohort.name",
        "cohort.image_size",
        "phantom.kind",
        "splits.seed",
        "splits.fractions",
    ),
    *(
        "splits.diagnosis_fraction",
        "degradation.kind",
        "degradation.levels",
        "degradation.headline_level",
        "reconstructors",
        "diagnosers",
    ),
    *("mitigations", "tandem.batch_size", "assess.seed", "report.examples"),
)


def plain(value: Any) -> Any:
    """A ConfigDict, and whatever it holds, as plain dictionaries, tuples and scalars."""
    if isinstance(value, ConfigDict):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(plain(inner) for inner in value)
    return value


def without(block: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A block as a plain dictionary, less the named fields."""
    return {key: value for key, value in plain(block).items() if key not in names}


def digest(*parts: Any) -> str:
    """A short SHA-256 of any JSON-like values, the same on every machine."""
    text = json.dumps([plain(part) for part in parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def build(factory: type[T], where: str, fields: Mapping[str, Any]) -> T:
    """Makes a typed options object from a configuration block.

    Args:
      factory: a dataclass.
      where: the block's name in the configuration, for the error.
      fields: the block.

    Raises:
      ValueError: a field is unknown or its value is refused; the message names block and field.
    """
    known = {field.name for field in dataclasses.fields(factory)}  # type: ignore[arg-type]
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ValueError(
            f"config.{where} has no field {', '.join(unknown)}; it takes {', '.join(sorted(known))}"
        )
    values, hints = plain(fields), get_type_hints(factory)
    for name, value in values.items():
        if isinstance(value, str) and get_origin(hints[name]) in (Union, UnionType):
            values[name] = literal(
                value
            )  # as a command line writes a number where text may stand too
    for name, wanted in misfits(factory, values).items():
        raise ValueError(f"config.{where}: {name} takes {wanted}, got {values[name]!r}")
    try:
        return factory(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"config.{where}: {error}") from error


def check_fields(config: ConfigDict) -> None:
    """Refuses a configuration that lacks what every study reads, or has a field that none does.

    Raises:
      ValueError: a block or field is missing or unknown; the message names it.
    """
    for path in REQUIRED:
        block: Any = config
        for name in path.split("."):
            if not isinstance(block, ConfigDict) or name not in block:
                raise ValueError(
                    f"the configuration has no {path}: start from "
                    "fairrecon_jax.defaults.study(), as configs/ do"
                )
            block = block[name]
    start = defaults.study()
    for where, block, known in (
        ("", config, start),
        *((f".{name}", config[name], start[name]) for name in ("splits", "tandem")),
    ):
        if unknown := sorted(set(block) - set(known)):
            raise ValueError(
                f"config{where} has no field {', '.join(unknown)}; it takes "
                f"{', '.join(sorted(known))}"
            )


def check_words(config: ConfigDict) -> None:
    """Refuses seeds that are none, and names of models that cannot be names of folders.

    Raises:
      ValueError: the message names the field.
    """
    for path, seed in {
        "seed": config.seed,
        "splits.seed": config.splits.seed,
        "assess.seed": config.assess.seed,
    }.items():
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise ValueError(
                f"config.{path} must be a whole number from 0 to 2^32 - 1, got {seed!r}"
            )
    for group in ("reconstructors", "diagnosers"):
        for name in config[group]:
            if (
                not all(c.isalnum() or c in "-_." for c in name)
                or "__" in name
                or name.startswith(".")
            ):
                raise ValueError(
                    f"config.{group}: {name!r} must be a word of letters, digits, '-', "
                    "'.' and single '_'"
                )


def cohort_config(config: ConfigDict) -> CohortConfig:
    """The cohort and its policies (`config.cohort` without `root`)."""
    made = build(CohortConfig, "cohort", without(config.cohort, "root"))
    for field in ("tasks", "attributes"):
        _differ(getattr(made, field), f"cohort.{field}")
    return made


def phantom_options(config: ConfigDict, kind: str = "") -> PhantomOptions:
    """The phantom's options (`config.phantom`); of `kind` where one is given."""
    return _made(
        phantoms.phantom_options,
        "phantom",
        **(plain(config.phantom) | ({"kind": kind} if kind else {})),
    )


def check_phantoms(config: ConfigDict) -> None:
    """Refuses phantoms that cannot be drawn as `config.phantom` says, or not for this cohort.

    Raises:
      ValueError: the message names the field.
    """
    kind, name = config.phantom.kind, config.cohort.name
    phantom_options(config)
    if PHANTOM_TREES[kind] != name:
        raise ValueError(
            f"config.phantom.kind {kind!r} draws the tree of {PHANTOM_TREES[kind]}, but "
            f"config.cohort.name is {name!r}"
        )


def train_config(block: ConfigDict, where: str) -> TrainConfig:
    """One training's settings (`<where>.train`)."""
    return build(TrainConfig, f"{where}.train", block.train)


def assess_options(config: ConfigDict) -> AssessOptions:
    """The assessment's settings (`config.assess`)."""
    return build(AssessOptions, "assess", config.assess)


def check_intersections(config: ConfigDict, known: Sequence[str]) -> None:
    """Refuses intersections of attributes that the study does not have.

    Args:
      config: the study.
      known: the cohort's attributes.

    Raises:
      ValueError: the message names the attribute.
    """
    there = cohort_config(config).attributes or tuple(known)
    for names in assess_options(config).intersections:
        if unknown := [name for name in names if name not in there]:
            raise ValueError(
                f"config.assess.intersections: the study has no attribute {unknown[0]!r}; "
                f"it has {', '.join(there)}"
            )


def report_options(config: ConfigDict) -> ReportOptions:
    """The report's settings (`config.report` without the number of examples, which is checked here
    too).
    """
    examples = config.report.examples
    if not isinstance(examples, int) or examples < 0:
        raise ValueError(
            f"config.report: examples must be a whole number of at least 0, got {examples!r}"
        )
    return build(ReportOptions, "report", without(config.report, "examples"))


def splits_fractions(config: ConfigDict) -> tuple[tuple[float, ...], float]:
    """The shares of training, validation and test patients, and of the diagnosers' in the
    training's (`config.splits`).
    """
    block = config.splits
    if not isinstance(block.diagnosis_fraction, (int, float)):
        raise ValueError(
            f"config.splits: diagnosis_fraction must be a number, got {block.diagnosis_fraction!r}"
        )
    try:
        shares = check_shares(block.fractions, block.diagnosis_fraction)
    except (TypeError, ValueError) as error:
        raise ValueError(f"config.splits: {error}") from error
    if min(shares) <= 0:
        raise ValueError(
            "config.splits: a study trains, selects and tests: all three fractions must "
            f"be above 0, got {block.fractions}"
        )
    return shares, float(block.diagnosis_fraction)


def check_batches(config: ConfigDict, devices: int, training: bool = True) -> None:
    """Refuses batches that do not divide over all devices of all processes.

    Args:
      config: the study.
      devices: how many there are.
      training: whether the batches of trainings are looked at too.

    Raises:
      ValueError: the message names the field.
    """
    sizes = {"tandem.batch_size": config.tandem.batch_size}
    for group in ("diagnosers", "reconstructors", "mitigations") if training else ():
        for name, block in config[group].items():
            if "train" in block:
                made = train_config(block, f"{group}.{name}")
                sizes |= {
                    f"{group}.{name}.train.batch_size": made.batch_size,
                    f"{group}.{name}.train.eval_batch_size": made.eval_size,
                }
    for field, size in sizes.items():
        if not isinstance(size, int) or size < 1 or size % devices:
            raise ValueError(
                f"config.{field} is {size}: it must be a multiple of the number of "
                f"devices, {devices}"
            )


def degradation(config: ConfigDict) -> Degradation:
    """The physics at the cohort's image size (`config.degradation` without the grid of levels)."""
    return build(
        Degradation,
        "degradation",
        {**without(config.degradation, *GRID), "size": config.cohort.image_size},
    )


def numbers(values: Any, where: str) -> tuple[float, ...]:
    """A list of different numbers in the configuration; a single number is a list of one.

    Raises:
      ValueError: something else stands there, or a number twice; the message names the field.
    """
    try:
        found = tuple(
            float(value) for value in (values if isinstance(values, (list, tuple)) else (values,))
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"config.{where} takes a list of numbers, got {plain(values)!r}"
        ) from error
    _differ(found, where)
    return found


def _differ(values: Sequence[Any], where: str) -> None:
    """Refuses a value that stands in a list twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"config.{where} must differ from one another, got {tuple(values)}")


def studied_levels(config: ConfigDict) -> tuple[float, ...]:
    """The study's degradation levels.

    Raises:
      ValueError: there is no level, or the headline level is not one of them.
    """
    levels = numbers(config.degradation.levels, "degradation.levels")
    fairness = numbers(config.degradation.headline_level, "degradation.headline_level")
    if len(fairness) != 1 or fairness[0] not in levels:
        raise ValueError(
            f"config.degradation.headline_level {config.degradation.headline_level} is "
            f"not one of the levels {levels}"
        )
    return levels


def studied_spec(spec: CohortSpec, config: ConfigDict) -> CohortSpec:
    """The cohort's specification with the study's degradation and levels in place of its own.

    Raises:
      ValueError: there is no level, or the headline level is not one of them.
    """
    block, levels = config.degradation, studied_levels(config)
    studied = dataclasses.replace(
        spec, degradation=DegradationSpec(block.kind, levels, float(block.headline_level))
    )
    if config.phantom.kind and not config.cohort.root:
        title = f"Phantom {PHANTOM_TITLES[config.phantom.kind]} in the layout of {spec.title}"
        return dataclasses.replace(
            studied, title=title, citation="Drawn by fairrecon_jax; no patient data."
        )
    return studied


def reconstructor(config: ConfigDict, name: str) -> Reconstructor:
    """The reconstructor that `config.reconstructors.<name>` describes.

    A block with a field "weights_of" uses the network that another block trains: it has that
    block's fields with its own in their place.

    Raises:
      ValueError: there is no such block; the message lists those there are. Or "weights_of" does
        not lead to a trained block.
    """
    own, source = (
        without(_named(config.reconstructors, n, "reconstructors"), *BESIDE)
        for n in (name, weights_of(config, name))
    )
    own.pop("weights_of", None)
    return _made(make_reconstructor, f"reconstructors.{name}", **{**source, **own})


def augmentation(config: ConfigDict, name: str) -> Augmentation:
    """What `config.reconstructors.<name>.augment` does to training images before they are degraded;
    without the field nothing.
    """
    block = _named(config.reconstructors, name, "reconstructors")
    return build(Augmentation, f"reconstructors.{name}.augment", block.get("augment", {}))


def weights_of(config: ConfigDict, name: str) -> str:
    """The block whose training makes a reconstructor's weights: its own name, or its field
    "weights_of".

    Raises:
      ValueError: there is no such block, or it is not one that trains a network of the same kind.
    """
    block = _named(config.reconstructors, name, "reconstructors")
    if "weights_of" not in block:
        return name
    where = f"config.reconstructors.{name}"
    if "train" in block:
        raise ValueError(
            f"{where} has weights_of and train: it is trained, or it takes another block's weights"
        )
    source = _named(config.reconstructors, block.weights_of, "reconstructors")
    if "train" not in source:
        raise ValueError(f"{where}.weights_of: {block.weights_of!r} trains no network")
    if block.get("kind", source.kind) != source.kind:
        raise ValueError(
            f"{where} is of kind {block.kind!r}, {block.weights_of!r} of kind "
            f"{source.kind!r}: weights serve one kind"
        )
    return block.weights_of


def reconstructor_levels(config: ConfigDict, name: str) -> tuple[float, ...]:
    """The levels a reconstructor is studied at: its field "levels", those of the block whose
    weights it uses, or all of the study's.

    Raises:
      ValueError: one of them is not studied, or not among those of the block whose weights it uses.
    """
    source = weights_of(config, name)
    known = studied_levels(config) if source == name else reconstructor_levels(config, source)
    own = numbers(config.reconstructors[name].get("levels", ()), f"reconstructors.{name}.levels")
    if unknown := [level for level in own if level not in known]:
        raise ValueError(
            f"config.reconstructors.{name}.levels: {unknown[0]:g} is not one of "
            f"{', '.join(f'{level:g}' for level in known)}"
        )
    return own or known


def weight_files(config: ConfigDict, name: str, level: str) -> tuple[str, ...]:
    """The files in `config.reconstructors.<name>.weights`, with the level's text in place of
    "{level}"; () without any.
    """
    files = plain(config.reconstructors[name].get("weights", ()))
    return tuple(
        file.replace("{level}", level)
        for file in ((files,) if isinstance(files, str) else files)
        if file
    )


def diagnoser(config: ConfigDict, name: str, spec: CohortSpec) -> Diagnoser:
    """The diagnoser that `config.diagnosers.<name>` describes, on the tasks of `spec` it names (all
    of its kind if none).

    Raises:
      ValueError: there is no such block; the message lists those there are.
    """
    fields = without(_named(config.diagnosers, name, "diagnosers"), *BESIDE)
    tasks = tuple(fields.pop("tasks", ()))
    if not tasks:
        kind = "segmentation" if fields.get("kind") == "segmenter" else "classification"
        tasks = tuple(task.name for task in spec.tasks if task.kind == kind)
    return _made(make_diagnoser, f"diagnosers.{name}", spec=spec, tasks=tasks, **fields)


def diagnosers(config: ConfigDict, spec: CohortSpec) -> tuple[Diagnoser, ...]:
    """All of `config.diagnosers`, in their order.

    Raises:
      ValueError: a field is refused, or two diagnosers read one task; the message names it.
    """
    made = {name: diagnoser(config, name, spec) for name in config.diagnosers}
    try:
        check_apart(made.items())
    except ValueError as error:
        raise ValueError(f"config.diagnosers: {error}") from error
    return tuple(made.values())


@dataclasses.dataclass(frozen=True)
class Plan:
    """Where a mitigation is tried, on whom, and how its weight is chosen: the fields of its block
    that every kind has.

    Attributes:
      reconstructors: names; () for all that are trained.
      levels: of the degradation; () for the headline level.
      weights: values of the kind's `weight` to try, each with a training of its own; () for the one
        the kind has.
      fraction: share of the training patients to fine-tune on.
      psnr_tolerance: dB of validation PSNR that a chosen weight may cost.
      task_tolerance: mean validation AUROC and Dice that a chosen weight may cost.
    """

    reconstructors: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    fraction: float = 1.0
    psnr_tolerance: float = 1.0
    task_tolerance: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {self.fraction}")
        if self.psnr_tolerance < 0 or self.task_tolerance < 0:
            raise ValueError("psnr_tolerance and task_tolerance must not be negative")
        for name in ("reconstructors", "levels", "weights"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} must differ, got {getattr(self, name)}")


PLAN_FIELDS = tuple(field.name for field in dataclasses.fields(Plan))


def mitigation_plan(config: ConfigDict, name: str) -> Plan:
    """Where and on whom `config.mitigations.<name>` is tried, with the study's reconstructors and
    level filled in.

    Raises:
      ValueError: there is no such block, or it names a reconstructor that is not trained or a level
        that is not studied, or no reconstructor is trained at all of its levels.
    """
    block = plain(_named(config.mitigations, name, "mitigations"))
    if name == "none" or not all(c.isalnum() or c in "-_" for c in name) or "__" in name:
        raise ValueError(
            f"config.mitigations: {name!r} must be a word of letters, digits, '-' and "
            "single '_', and not 'none'"
        )
    plan = build(
        Plan,
        f"mitigations.{name}",
        {key: value for key, value in block.items() if key in PLAN_FIELDS},
    )
    trained = tuple(key for key, value in config.reconstructors.items() if "train" in value)
    studied = studied_levels(config)
    wrong = [key for key in plan.reconstructors if key not in trained] + [
        v for v in plan.levels if float(v) not in studied
    ]
    if wrong or not trained:
        raise ValueError(
            f"config.mitigations.{name}: {wrong} is not among the trained reconstructors "
            f"{trained} or the levels {studied}"
        )
    levels = tuple(float(level) for level in plan.levels) or (
        float(config.degradation.headline_level),
    )
    there = tuple(
        key
        for key in plan.reconstructors or trained
        if set(levels) <= set(reconstructor_levels(config, key))
    )
    if missing := set(plan.reconstructors) - set(there):
        raise ValueError(
            f"config.mitigations.{name}: {missing.pop()} is not trained at all of the "
            f"levels {levels}"
        )
    if not there:
        raise ValueError(
            f"config.mitigations.{name}: no reconstructor is trained at all of the levels {levels}"
        )
    return dataclasses.replace(plan, reconstructors=there, levels=levels)


def mitigation(config: ConfigDict, name: str, weight: float | None = None) -> Mitigation:
    """The mitigation that `config.mitigations.<name>` describes, with another weight where one is
    given.

    Raises:
      ValueError: there is no such block, or a field is refused; the message names it.
    """
    fields = without(_named(config.mitigations, name, "mitigations"), *BESIDE, *PLAN_FIELDS)
    if weight is not None:
        fields["weight"] = float(weight)
    return _made(make_mitigation, f"mitigations.{name}", **fields)


def _made(factory: Callable[..., T], where: str, **fields: Any) -> T:
    """A model or mitigation of the block `where`, whose name stands before what the factory
    refuses.
    """
    if "kind" not in fields:
        raise ValueError(f"config.{where} has no field kind")
    try:
        return factory(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"config.{where}: {error}") from error


def _named(blocks: ConfigDict, name: str, where: str) -> ConfigDict:
    if name not in blocks:
        raise ValueError(
            f"config.{where} has no {name!r}; it has {', '.join(sorted(blocks)) or 'none'}"
        )
    return blocks[name]


def model_choices(block: ConfigDict) -> dict[str, Any]:
    """A model's block as what its trained weights depend on beside the training: without the
    training and the levels it is studied at.
    """
    return without(block, "train", "levels")


def write_config(config: ConfigDict, path: Path) -> None:
    """Writes the configuration as JSON."""
    write_atomic(path, json.dumps(plain(config), indent=2, default=str))
