"""One entry: write a phantom tree of either kind with its ground truth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fairrecon_jax.data.phantoms.brain_tree import write_brain
from fairrecon_jax.data.phantoms.options import Kind, PhantomOptions
from fairrecon_jax.data.phantoms.writing import new_tree, write_json
from fairrecon_jax.data.phantoms.xray_tree import write_xray

GROUND_TRUTH = "ground_truth.json"


def write_phantom(kind: Kind, root: Path, options: PhantomOptions | None = None) -> dict[str, Any]:
    """Writes a cohort of phantoms in the layout of a real data set: CheXpert for "xray", UCSF-PDGM for "brain".

    The tree is built beside `root` and renamed, so that it is whole or absent. Patient n depends on the seed and n alone: more
    patients or more workers change no file of another patient, and the same options give the same bytes.

    Args:
      kind: "xray" or "brain".
      root: the folder to make; it must not exist or be empty.
      options: the knobs; the defaults if None.

    Returns:
      What was written to ground_truth.json: {"kind", "options", "patients": [truth of each patient]}.

    Raises:
      ValueError: unknown kind, or an option that this kind does not have or cannot take.
      FileExistsError: `root` holds something already.
    """
    options = (options or PhantomOptions()).resolved(kind)
    with new_tree(Path(root)) as stage:
        patients = write_xray(stage, options) if kind == "xray" else write_brain(stage, options)
        knobs = dataclasses.asdict(options)
        del knobs["workers"]
        truth = {"kind": kind, "options": knobs, "patients": patients}
        write_json(stage / GROUND_TRUTH, truth)
    return truth
