"""The blocks of a configuration that hold no model, as typed objects; errors name the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.data.splits import check_shares
from fairrecon_jax.data.stratify import part_sizes
from fairrecon_jax.metrics.image_metric import check_computable
from fairrecon_jax.metrics.perceptual import LEAST, read_lpips
from fairrecon_jax.phantoms import PhantomOptions, phantom_options
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.study.blocks import SplitsConfig, TandemConfig
from fairrecon_jax.study.config import ReportConfig
from fairrecon_jax.study.fields import build, check_seed, made, without
from fairrecon_jax.study.refusals import Refusals, naming, told
from fairrecon_jax.types import ConfigError, InputError

PHANTOM_TREES = {"xray": "chexpert", "brain": "ucsf_pdgm"}


def assess(block: Mapping[str, Any]) -> AssessOptions:
    """The assessment's choices."""
    refused = Refusals()
    options = refused.of(build, AssessOptions, "assess", block)
    _seed(block, "assess", refused)
    refused.tell()
    return told(options)


def phantom(block: Mapping[str, Any], cohort: str | None) -> PhantomOptions | None:
    """The phantom to draw, None where the block names no kind."""
    if not block.get("kind", ""):
        if others := sorted(set(block) - {"kind"}):
            raise ConfigError(f"config.phantom has {', '.join(others)}, but names no kind")
        return None
    refused = Refusals()
    made_of = refused.of(lambda: made(phantom_options, "phantom", **block))
    _seed(block, "phantom", refused)
    refused.tell()
    options = told(made_of)
    if cohort is not None and PHANTOM_TREES[options.kind] != cohort:
        raise ConfigError(
            f"config.phantom.kind {options.kind!r} draws the tree of "
            f"{PHANTOM_TREES[options.kind]}, but config.cohort.name is {cohort!r}"
        )
    return options


def splits(block: Mapping[str, Any]) -> SplitsConfig:
    """The split of the patients."""
    refused, given = Refusals(), dict(block)
    fraction = given.get("diagnosis_fraction", 0.0)
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
        refused.add(f"config.splits: diagnosis_fraction must be a number, got {fraction!r}")
        # so that the others are looked at
        fraction = given["diagnosis_fraction"] = 0.0
    with refused.gather(), naming("splits"):
        shares = check_shares(given.get("fractions", SplitsConfig.fractions), fraction)
        if min(shares) <= 0:
            raise ConfigError(
                "config.splits: a study trains, selects and tests: all three fractions must be "
                f"above 0, got {shares}"
            )
        given["fractions"] = shares
    if refused:
        given = without(given, "fractions", "diagnosis_fraction")
    made_of = refused.of(build, SplitsConfig, "splits", given)
    _seed(block, "splits", refused)
    refused.tell()
    return told(made_of)


def check_parts(field: str, count: int, splits: SplitsConfig) -> None:
    """Refuses fewer patients than the parts of the splits need.

    Args:
      field: that gives their number.
      count: of the patients; 0 where nothing is said of it.
      splits: of the study.

    Raises:
      ConfigError: the message names the field.
    """
    if not count:
        return
    try:
        train = part_sizes(count, splits.fractions)[0]
        if splits.diagnosis_fraction:
            part_sizes(int(train), (1 - splits.diagnosis_fraction, splits.diagnosis_fraction))
    except InputError as error:
        apart = ""
        if splits.diagnosis_fraction:
            apart = f" and splits.diagnosis_fraction {splits.diagnosis_fraction}"
        raise ConfigError(
            f"config.{field} is {count}, too few for the parts of splits.fractions "
            f"{splits.fractions}{apart}"
        ) from error


def tandem(block: Mapping[str, Any], size: int) -> TandemConfig:
    """The fused step."""
    options = build(TandemConfig, "tandem", block)
    with naming("tandem"):
        check_computable(options.image_metrics, size)
        if options.lpips:
            try:
                # read for its refusals
                read_lpips(options.lpips)
            # not there, or no name that a file can have
            except OSError as error:
                raise ValueError(f"lpips: {error}") from error
            if size < LEAST:
                raise ValueError(f"lpips needs images of at least {LEAST} pixels, got {size}")
    return options


def report(block: Mapping[str, Any]) -> ReportConfig:
    """The report's choices."""
    examples = block.get("examples", ReportConfig.examples)
    refused = Refusals()
    if type(examples) is not int or examples < 0:
        refused.add(
            f"config.report: examples must be a whole number of at least 0, got {examples!r}"
        )
    options = refused.of(build, ReportOptions, "report", without(block, "examples"))
    refused.tell()
    return ReportConfig(examples, told(options))


def _seed(block: Mapping[str, Any], where: str, refused: Refusals) -> None:
    """Looks at a block's seed, where its type is right."""
    if type(seed := block.get("seed", 0)) is int and not refused.mentions(where, "seed"):
        refused.of(check_seed, seed, f"{where}.seed")
