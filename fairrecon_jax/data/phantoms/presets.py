"""Ready-made cohorts in which dose reduction or undersampling harms one group more, and the original images almost not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fairrecon_jax.data.phantoms.options import Kind, PhantomOptions

_XRAY_GAP: Mapping[str, Any] = {
    "prevalence": {"Pleural Effusion": 0.35, "Pneumothorax": 0.35, "Consolidation": 0.35},
    "hierarchy": False,
    "contrast_mean": 0.8,
}
_BRAIN_GAP: Mapping[str, Any] = {"grade_shares": {2: 0.3, 3: 0.2, 4: 0.5}, "contrast_mean": 0.7}


def planted_gap(kind: Kind, multiplier: float = 0.5, attribute: str = "sex", group: str = "Female", **changes: Any) -> PhantomOptions:
    """Options of a cohort whose lesions are fainter in one group, in a range where noise decides.

    At 64 pixels and published noise the known-location detectability d' of these findings lies above 15 in both groups at 1e5
    photons; at 1e4 it stays above 13 at contrast 0.8 and falls to 5 to 9 at contrast 0.4. The original image shows both groups' lesions
    far above its own noise, so that a gap on originals is small and the one after reconstruction is not. Shares of the two sexes
    are equal, so that the groups can be compared.

    Args:
      kind: "xray" (effusion, pneumothorax and consolidation; the other findings never occur) or "brain" (gliomas of grade 2 to 4).
      multiplier: lesion contrast of the group relative to everyone else; 1 plants no gap.
      attribute: "sex", "age" or, for radiographs, "race".
      group: the group whose lesions are fainter.
      changes: any other option, replacing the preset's.

    Raises:
      ValueError: an attribute or group that the kind does not know, or an option out of range.
      TypeError: `changes` names no option.
    """
    base = PhantomOptions(
        sex_shares={"Female": 0.5, "Male": 0.5},
        lesion_contrast={attribute: {group: multiplier}},
        contrast_spread=0.1,
        **(_XRAY_GAP if kind == "xray" else _BRAIN_GAP),
    )
    options = dataclasses.replace(base, **changes)
    options.resolved(kind)
    return options
