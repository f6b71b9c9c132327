"""The first stages of a study: its phantom tree, and the prepared cohort with its splits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

from fairrecon_jax.data.api import ORIGIN, check_origin, folder_of, prepare
from fairrecon_jax.data.doctor import DoctorReport, examine
from fairrecon_jax.data.splits import read_splits
from fairrecon_jax.keys import digest
from fairrecon_jax.phantoms import (
    GROUND_TRUTH,
    PhantomOptions,
    check_phantom,
    phantom_options,
    write_phantom,
)
from fairrecon_jax.study.context import Context
from fairrecon_jax.types import ConfigError, InputError, meant


def draw_phantom(context: Context) -> None:
    """Writes the phantom tree, if it is not there yet.

    Raises:
      InputError: the tree that is there was drawn with other options.
    """
    phantom = context.study.phantom
    if phantom is None:
        return
    if context.workdir.phantom.exists():
        check_phantom(phantom.kind, context.workdir.phantom, phantom)
    else:
        write_phantom(phantom.kind, context.workdir.phantom, phantom)


def check_drawn(context: Context) -> None:
    """Refuses a phantom that is there and was drawn with other options, before anything is made.

    Raises:
      InputError: the message names the options.
    """
    phantom = context.study.phantom
    if phantom is not None and context.workdir.phantom.exists():
        check_phantom(phantom.kind, context.workdir.phantom, phantom)


def draw_tree(
    root: Path, kind: str, options: PhantomOptions | None, chosen: dict[str, Any]
) -> dict[str, Any]:
    """Writes a phantom tree outside of a work directory.

    Args:
      root: the folder to write; must not exist.
      kind: "xray" or "brain", where there are no options.
      options: of a study; None for those of the kind.
      chosen: fields that replace those of the options.

    Returns:
      The truth that was drawn.

    Raises:
      InputError: a field is out of range.
    """
    options = options or phantom_options(kind)
    try:
        options = dataclasses.replace(options, **chosen)
    except ValueError as error:
        raise InputError(str(error)) from error
    return write_phantom(options.kind, root, options)


def phantom_output(context: Context) -> str:
    """The digest of the drawn truth."""
    truth = (context.workdir.phantom / GROUND_TRUTH).read_bytes()
    return hashlib.sha256(truth).hexdigest()[:16]


def examine_tree(context: Context) -> DoctorReport:
    """What is missing, unreadable, inconsistent or leaking in the tree; writes nothing."""
    splits = context.workdir.splits
    return examine(
        context.study.cohort.name,
        context.tree,
        context.study.cohort,
        splits_path=splits if splits.exists() else None,
    )


def prepare_cohort(context: Context) -> None:
    """Reads the tree into the prepared cohort and writes the splits, once.

    Raises:
      ConfigError: the assessment asks for a column that the cohort's table does not have.
    """
    prepare(context.study.cohort, str(context.tree), str(context.workdir.cohort))
    context.splits  # noqa: B018  (written on first use)
    # the first time that names can be looked at, and before anything is trained
    check_columns(context)
    warn_of_patients(context)


def check_columns(context: Context) -> None:
    """Refuses an assessment of columns that the table of the prepared cohort does not have.

    Raises:
      ConfigError: the message names the field, the column and the one most like it.
    """
    assess = context.study.assess
    asked = [("strata", assess.strata)] if assess.strata else []
    asked += [("continuous", column) for column in assess.continuous]
    for field, column in asked:
        known = list(map(str, context.cohort.table.columns))
        if column not in known:
            raise ConfigError(
                f"config.assess.{field} names {column!r}, but the cohort's table has "
                f"{', '.join(known)}{meant(column, known)}"
            )


def warn_of_patients(context: Context) -> None:
    """Warns where no group of the cohort can have as many patients as are judged."""
    try:
        splits = context.written_splits()
    # of other choices: told where they are used
    except InputError:
        return
    least = context.study.assess.min_patients
    if splits is not None and least > len(splits.patients):
        warnings.warn(
            f"config.assess.min_patients is {least}, and the cohort has {len(splits.patients)} "
            "patients: no group would be judged",
            stacklevel=2,
        )


def is_prepared(context: Context) -> bool:
    """Whether the cohort and its splits are there."""
    folder = folder_of(context.study.cohort, context.workdir.cohort)
    return folder.is_dir() and context.workdir.splits.exists()


def cohort_output(context: Context) -> str:
    """The digest of what the tree held and of the splits."""
    folder = folder_of(context.study.cohort, context.workdir.cohort)
    origin = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    # Read from its file, and never made here: a lost one must be seen.
    return digest(origin["fingerprint"], read_splits(context.workdir.splits).digest)


def check_tree(context: Context) -> None:
    """Refuses a study whose tree is now another one than the one its cohort was prepared from; a
    copy elsewhere is the same tree.

    Raises:
      InputError: the message names both.
    """
    folder = folder_of(context.study.cohort, context.workdir.cohort)
    # a phantom is compared where it is drawn; a cohort that is not prepared has no origin yet
    if context.study.root is not None and folder.is_dir():
        check_origin(context.study.cohort, context.study.root, folder)
