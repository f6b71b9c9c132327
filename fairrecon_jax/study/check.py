"""What a configuration cannot know: whether folders, files and devices are there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow

from fairrecon_jax.phantoms import check_disk
from fairrecon_jax.study.cohort import (
    check_columns,
    check_tree,
    is_prepared,
    warn_of_patients,
)
from fairrecon_jax.study.config import (
    DiagnoserConfig,
    MitigationConfig,
    ReconstructorConfig,
    StudyConfig,
)
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.refusals import naming
from fairrecon_jax.study.train import imported, imported_diagnoser
from fairrecon_jax.types import Cell, ConfigError, level_name

Trained = ReconstructorConfig | DiagnoserConfig | MitigationConfig


def check(context: Context) -> None:
    """Looks for the tree and the files of weights that a study names, and, once the cohort is
    prepared, for the columns that are assessed.

    Raises:
      ConfigError: one is not there, or the disk has no room for the phantom; the message names the
        field.
      InputError: the cohort was prepared from another tree.
    """
    study = context.study
    if study.phantom is None:
        if not context.tree.is_dir():
            raise ConfigError(
                f"config.cohort.root {str(study.root)!r} is not a folder: give the folder of the "
                "downloaded cohort"
            )
        check_tree(context)
    elif not context.workdir.phantom.exists():
        with naming("phantom"):
            check_disk(context.workdir.phantom, study.phantom)
    # a fresh study looks at its columns when it has prepared them, and so does one whose cohort
    # cannot be read any more: its stage makes it again
    with contextlib.suppress(FileNotFoundError, pyarrow.ArrowException):
        if is_prepared(context):
            check_columns(context)
            warn_of_patients(context)
    for one in study.reconstructors.values():
        # a block with weights_of needs none of its own: the other block is looked at in its turn
        has_own = one.train is not None or one.weight_files or one.weights_of != one.name
        for level in one.levels:
            # imported weights are one training
            cell = Cell(one.name, level)
            if one.has_weights and not has_own and not imported(context, cell):
                raise ConfigError(
                    f"config.reconstructors.{one.name} has neither train nor weights, and none are "
                    f"imported for {cell.title}: add one, or run `fairrecon import-weights`"
                )
            _check_files(f"reconstructors.{one.name}.weights", one.files(level_name(level)))
    for diagnoser in study.diagnosers.values():
        where = f"diagnosers.{diagnoser.name}"
        _check_files(f"{where}.weights", diagnoser.files)
        with naming(f"{where}.init"):
            start = diagnoser.init_file
        _check_files(f"{where}.init", [start] if start else [])
        brought = diagnoser.files or imported_diagnoser(context, diagnoser.name)
        if diagnoser.has_weights and diagnoser.train is None and not brought:
            raise ConfigError(
                f"config.{where} has neither train nor weights, and none are imported: add one, or "
                f"run `fairrecon import-weights --diagnoser={diagnoser.name}`"
            )


def _check_files(where: str, files: Iterable[Path]) -> None:
    """Refuses files that are not there."""
    for file in files:
        if not file.is_file():
            raise ConfigError(f"config.{where}: there is no file {file}")


def check_batches(study: StudyConfig, devices: int, training: bool = True) -> None:
    """Refuses batches that do not divide over all devices of all processes, all at once.

    Args:
      study: the study.
      devices: how many there are.
      training: whether the batches of trainings are looked at too.

    Raises:
      ConfigError: the message names the fields and the nearest sizes that divide.
    """
    sizes = {"tandem.batch_size": study.tandem.batch_size}
    groups: dict[str, Mapping[str, Trained]] = {
        "diagnosers": study.diagnosers,
        "reconstructors": study.reconstructors,
        "mitigations": study.mitigations,
    }
    # who only predicts may do so on another number of devices than the trainings were made for
    for group, blocks in groups.items() if training else ():
        for name, block in blocks.items():
            if block.train is not None:
                where = f"{group}.{name}.train"
                sizes[f"{where}.batch_size"] = block.train.batch_size
                sizes[f"{where}.eval_batch_size"] = block.train.eval_size
    wrong = {field: size for field, size in sizes.items() if size % devices}
    if wrong:
        told = [
            f"config.{field} is {size} (take {near(size, devices)})"
            for field, size in wrong.items()
        ]
        # who changes the batch of a training has more to think of
        rate = any(field.endswith("train.batch_size") for field in wrong)
        raise ConfigError(
            f"batches must be multiples of the number of devices, {devices}: {', '.join(told)}"
            + ("; a learning_rate goes with its batch_size, as a rule in proportion" * rate)
        )


def near(size: int, devices: int) -> str:
    """The nearest sizes that divide over devices, in words: "12 or 16" for 14 over 4."""
    below = size - size % devices
    return " or ".join(str(one) for one in (below, below + devices) if one)
