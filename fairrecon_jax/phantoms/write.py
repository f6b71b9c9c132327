"""One entry: write a phantom tree of either kind with its ground truth."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from fairrecon_jax.phantoms.brain_tree import write_brain
from fairrecon_jax.phantoms.options import Kind, PhantomOptions
from fairrecon_jax.phantoms.writing import new_tree, write_json
from fairrecon_jax.phantoms.xray_tree import write_xray
from fairrecon_jax.types import InputError

GROUND_TRUTH = "ground_truth.json"


def write_phantom(kind: Kind, root: Path, options: PhantomOptions | None = None) -> dict[str, Any]:
    """Writes a cohort of phantoms in the layout of a real data set: CheXpert for "xray", UCSF-PDGM
    for "brain".

    The tree is built beside `root` and renamed, so that it is whole or absent. Patient n depends on
    the seed and n alone: more patients or more workers change no file of another patient, and the
    same options give the same bytes.

    Args:
      kind: "xray" or "brain".
      root: the folder to make; it must not exist or be empty.
      options: the knobs; the defaults if None.

    Returns:
      What was written to ground_truth.json: {"kind", "options", "patients": [truth of each
        patient]}.

    Raises:
      InputError: unknown kind, or an option that this kind does not have or cannot take.
      FileExistsError: `root` holds something already.
    """
    options = (options or PhantomOptions()).resolved(kind)
    with new_tree(Path(root)) as stage:
        patients = write_xray(stage, options) if kind == "xray" else write_brain(stage, options)
        truth = {"kind": kind, "options": _knobs(options), "patients": patients}
        write_json(stage / GROUND_TRUTH, truth)
    return truth


def check_phantom(kind: Kind, root: Path, options: PhantomOptions) -> None:
    """Refuses a tree that `write_phantom` would not write with these arguments.

    Raises:
      InputError: it is no phantom tree, or was drawn with other options; the message names them.
    """
    path = root / GROUND_TRUTH
    if not path.is_file():
        raise InputError(
            f"{root} is not a phantom tree (it has no {GROUND_TRUTH}): remove it or use "
            "another workdir"
        )
    truth = json.loads(path.read_text(encoding="utf-8"))
    there = {"kind": truth["kind"], **truth["options"]}
    wanted = json.loads(json.dumps({"kind": kind, **_knobs(options.resolved(kind))}))
    changes = [
        f"{name} was {there[name]!r}, now {value!r}"
        for name, value in wanted.items()
        if there.get(name, value) != value
    ]
    if changes:
        raise InputError(
            f"{root} was drawn with other options: {'; '.join(changes)}. Use another "
            "workdir, or remove this one"
        )


def _knobs(options: PhantomOptions) -> dict[str, Any]:
    """The options that the tree depends on."""
    return {name: value for name, value in dataclasses.asdict(options).items() if name != "workers"}
