"""One entry: write a phantom tree of either kind with its ground truth."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fairrecon_jax.phantoms.brain_tree import write_brain
from fairrecon_jax.phantoms.options import (
    BrainPhantomOptions,
    PhantomOptions,
    XrayPhantomOptions,
    phantom_options,
)
from fairrecon_jax.phantoms.writing import new_tree, write_json
from fairrecon_jax.phantoms.xray_tree import write_xray
from fairrecon_jax.types import InputError

GROUND_TRUTH = "ground_truth.json"

_WRITERS: Mapping[str, Callable[[Path, Any], list[dict[str, Any]]]] = {
    "xray": write_xray,
    "brain": write_brain,
}

RECORDED = (
    *("patients", "seed", "size", "sex_shares", "age_mean", "age_sd", "age_cut"),
    *("lesion_contrast", "contrast_mean", "contrast_spread", "prevalence_by_group"),
    *("label_noise", "missing_demographics", "race_shares", "prevalence", "hierarchy"),
    *("uncertain_rate", "blank_rate", "images_per_patient", "lateral_share", "valid_patients"),
    *("slices", "grade_shares", "glioblastoma_share", "follow_up_share", "release", "first_id"),
    "skull_stripped",
)
"""The options in ground_truth.json: those of every kind, whatever the tree, without `workers`, on
which no file depends.
"""


def write_phantom(kind: str, root: Path, options: PhantomOptions | None = None) -> dict[str, Any]:
    """Writes a cohort of phantoms in the layout of a real data set: CheXpert for "xray", UCSF-PDGM
    for "brain".

    The tree is built beside `root` and renamed, so that it is whole or absent. Patient n depends on
    the seed and n alone: more patients or more workers change no file of another patient, and the
    same options give the same bytes.

    Args:
      kind: "xray" or "brain".
      root: the folder to make; it must not exist or be empty.
      options: of this kind; its defaults if None.

    Returns:
      What was written to ground_truth.json: {"kind", "options", "patients": [truth of each
        patient]}.

    Raises:
      InputError: there is no such kind, the options are of another kind, or the disk has no room.
      FileExistsError: `root` holds something already.

    Example:
      >>> from tempfile import mkdtemp
      >>> options = XrayPhantomOptions(patients=2, size=32, valid_patients=0)
      >>> truth = write_phantom("xray", Path(mkdtemp(), "tree"), options)
      >>> len(truth["patients"]), truth["options"]["size"]
      (2, 32)
    """
    options = _options_of(kind, options)
    check_disk(root, options)
    with new_tree(Path(root)) as stage:
        patients = _WRITERS[kind](stage, options)
        truth = {"kind": kind, "options": _recorded(options), "patients": patients}
        # inside the stage: a tree with a truth file is whole
        write_json(stage / GROUND_TRUTH, truth)
    return truth


def check_disk(root: Path, options: PhantomOptions) -> None:
    """Refuses to draw what the disk has no room for.

    Args:
      root: the folder that would be made.
      options: of the phantoms.

    Raises:
      InputError: the message names what the images take and what is free.

    Example:
      >>> check_disk(Path("tree"), XrayPhantomOptions(patients=2, size=32))
    """
    there = next(one for one in (root, *root.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    if options.least_bytes > free:
        raise InputError(
            f"patients is {options.patients} and size {options.size}: the images take at least "
            f"{options.least_bytes / 1e9:,.0f} GB of disk, and {free / 1e9:,.0f} GB are free; "
            "lower patients or size"
        )


def check_phantom(kind: str, root: Path, options: PhantomOptions) -> None:
    """Refuses a tree that `write_phantom` would not write with these arguments.

    Raises:
      InputError: it is no phantom tree, or was drawn with other options; the message names them.

    Example:
      >>> from tempfile import mkdtemp
      >>> root, options = Path(mkdtemp(), "tree"), XrayPhantomOptions(patients=1, size=32)
      >>> truth = write_phantom("xray", root, options)
      >>> check_phantom("xray", root, dataclasses.replace(options, seed=1))
      Traceback (most recent call last):
      fairrecon_jax.types.InputError: ... was drawn with other options: seed was 0, now 1. ...
    """
    path = root / GROUND_TRUTH
    if not path.is_file():
        raise InputError(
            f"{root} is not a phantom tree (it has no {GROUND_TRUTH}): remove it or use "
            "another workdir"
        )
    truth = json.loads(path.read_text(encoding="utf-8"))
    recorded = {"kind": truth["kind"], **truth["options"]}
    # Through JSON, where tuples are lists and grades are text, as in the file.
    wanted = json.loads(json.dumps({"kind": kind, **_recorded(_options_of(kind, options))}))
    # a tree of an earlier version has no record of a later option, whose default draws as it did
    was = json.loads(json.dumps(_recorded(phantom_options(kind)))) | recorded
    changes = [
        f"{name} was {was[name]!r}, now {value!r}"
        for name, value in wanted.items()
        if was[name] != value
    ]
    if changes:
        raise InputError(
            f"{root} was drawn with other options: {'; '.join(changes)}. Use another "
            "workdir, or remove this one"
        )


def _options_of(kind: str, options: PhantomOptions | None) -> PhantomOptions:
    """The options, or the defaults of `kind`; refuses options of another kind."""
    try:
        defaults = phantom_options(kind)
    except ValueError as error:
        raise InputError(str(error)) from error
    if options is not None and options.kind != kind:
        raise InputError(
            f"{kind} phantoms take {type(defaults).__name__}, got {type(options).__name__}"
        )
    return options or defaults


def _recorded(options: PhantomOptions) -> dict[str, Any]:
    """The options as ground_truth.json has them; those of the other kind have their defaults."""
    # one list of keys for both kinds
    defaults = {
        **dataclasses.asdict(XrayPhantomOptions()),
        **dataclasses.asdict(BrainPhantomOptions()),
    }
    values = {**defaults, **dataclasses.asdict(options)}
    return {name: values[name] for name in RECORDED}
