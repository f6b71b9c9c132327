"""Ready-made cohorts in which dose reduction or undersampling harms one group more, and the
original images less.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairrecon_jax.phantoms.options import PhantomOptions, phantom_options

_GAPS: Mapping[str, Mapping[str, Any]] = {
    "xray": {
        "prevalence": {"Pleural Effusion": 0.35, "Pneumothorax": 0.35, "Consolidation": 0.35},
        "hierarchy": False,
        "contrast_mean": 1.2,
    },
    "brain": {"grade_shares": {2: 0.3, 3: 0.2, 4: 0.5}, "contrast_mean": 0.7},
}


def planted_gap(
    kind: str,
    multiplier: float = 0.5,
    attribute: str = "sex",
    group: str = "Female",
    **changes: Any,
) -> PhantomOptions:
    """Options of a cohort whose lesions are fainter in one group, in a range where noise decides.

    Measured at 64 pixels with the published noise, as detectability d' of a lesion at a known place
    (three patients): at contrast 1.0 effusion 23, pneumothorax 16, consolidation 18 at 1e4 photons
    and 7, 7, 11 at 3e3; at contrast 0.5 they are 7, 9, 11 and 2, 1, 7. How small the gap on
    originals is depends on the classifier and on how many films it learns from: a small network
    trained on 980 films at contrast 0.8 and 0.4 still had AUROC 0.98 to 0.99 against 0.85 to 0.95
    on originals (0.84 to 0.93 against 0.69 to 0.73 at 1e4). The preset therefore draws radiographs
    at 1.2; check the gap on originals before a change is read. The sexes have equal shares, so that
    their groups can be compared.

    Args:
      kind: "xray" (effusion, pneumothorax and consolidation; the other findings never occur) or
        "brain" (gliomas of grade 2 to 4).
      multiplier: lesion contrast of the group relative to everyone else; 1 plants no gap.
      attribute: "sex", "age" or, for radiographs, "race".
      group: the group whose lesions are fainter.
      changes: any other option, replacing the preset's.

    Raises:
      ValueError: an attribute, group or option that the kind does not have, or an option out of
        range.
      TypeError: an option of the wrong type.

    Example:
      >>> planted_gap("xray", patients=100).lesion_contrast  # women's lesions are half as bright
      {'sex': {'Female': 0.5}}
    """
    planted = {
        "sex_shares": {"Female": 0.5, "Male": 0.5},
        "lesion_contrast": {attribute: {group: multiplier}},
        "contrast_spread": 0.1,
        **_GAPS.get(kind, {}),
    }
    # an unknown kind is refused here, with the list of kinds
    return phantom_options(kind, **(planted | changes))
