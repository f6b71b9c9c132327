"""Phantom radiographs as arrays, for notebooks and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fairrecon_jax.phantoms.options import FINDINGS, XrayPhantomOptions
from fairrecon_jax.phantoms.population import draw_person, draw_studies
from fairrecon_jax.phantoms.radiograph import draw_frontal
from fairrecon_jax.types import meant


class Radiographs(NamedTuple):
    """Frontal radiographs of phantom patients, one row per image.

    Attributes:
      image: [N, size, size] float32 in [0, 1].
      labels: by finding, [N] in {0, 1}: whether it is drawn.
      groups: by attribute (sex, age, race), [N] names of groups.
      age: [N] years.
      patient: [N] names.
    """

    image: np.ndarray
    labels: dict[str, np.ndarray]
    groups: dict[str, np.ndarray]
    age: np.ndarray
    patient: np.ndarray


def radiographs(
    patients: int, size: int = 64, findings: Sequence[str] = ("Consolidation",), **options: Any
) -> Radiographs:
    """Draws phantom radiographs; the first image of each patient.

    Args:
      patients: N.
      size: pixels per side.
      findings: names in `FINDINGS`; others are not drawn unless `prevalence` says so.
      **options: further fields of `XrayPhantomOptions`, such as seed, prevalence, contrast_mean and
        lesion_contrast (the planted gap).

    Returns:
      The radiographs; patient n is the same for any number of patients.

    Raises:
      ValueError: an option is out of range; the message names it.

    Example:
      >>> drawn = radiographs(3, size=32, seed=1)
      >>> drawn.image.shape, list(drawn.labels), sorted(drawn.groups)
      ((3, 32, 32), ['Consolidation'], ['age', 'race', 'sex'])
    """
    if wrong := [name for name in findings if name not in FINDINGS]:
        raise ValueError(
            f"no finding {wrong[0]!r}; there are {', '.join(FINDINGS)}{meant(wrong[0], FINDINGS)}"
        )
    shares = {name: 0.0 for name in FINDINGS} | {name: 0.3 for name in findings}
    chosen = XrayPhantomOptions(
        **{
            **options,
            "size": size,
            "patients": patients,
            "prevalence": {**shares, **options.get("prevalence", {})},
            "workers": 1,
        }
    )
    people = [draw_person(chosen, chosen.first_id + i) for i in range(patients)]
    studies = [draw_studies(chosen, person)[0] for person in people]
    films = [draw_frontal(chosen, who, one)[0] for who, one in zip(people, studies, strict=True)]
    groups = [person.groups() for person in people]
    return Radiographs(
        np.stack(films).astype(np.float32) / np.float32(255),
        {name: np.array([int(one.labels[name]) for one in studies]) for name in findings},
        {name: np.array([one[name] for one in groups]) for name in groups[0]},
        np.array([one.age for one in studies]),
        np.array([f"patient{person.number:05d}" for person in people]),
    )
