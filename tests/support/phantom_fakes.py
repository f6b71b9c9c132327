"""Helpers of the phantom tests: patients and studies made to order, digests of trees, options of
the shared trees.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from fairrecon_jax.phantoms import FINDINGS, BrainPhantomOptions, XrayPhantomOptions
from fairrecon_jax.phantoms.population import Person, Study, draw_person, true_labels
from fairrecon_jax.phantoms.thorax import Thorax, sample_thorax


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def study_of(
    person: Person, drawn: tuple[str, ...] = (), projection: str = "PA", number: int = 1
) -> Study:
    """A study with exactly these findings."""
    labels = true_labels(drawn, hierarchy=False)
    return Study(
        number,
        person.age,
        projection,
        False,
        drawn,
        labels,
        {f: float(v) for f, v in labels.items()},
    )


def person_of(number: int = 1, **changes) -> Person:
    """Patient `number` of seed 0 with some fields replaced."""
    person = draw_person(XrayPhantomOptions(), number)
    return dataclasses.replace(person, **{"contrast": 1.0, **changes})


def thorax_of(seed=0, sex="Male", age=50.0, projection="PA", size=96) -> Thorax:
    """The chest of one seed."""
    return sample_thorax(
        np.random.default_rng(seed), np.random.default_rng(1000 + seed), sex, age, projection, size
    )


XRAY = XrayPhantomOptions(
    patients=10,
    seed=5,
    size=48,
    images_per_patient=(1, 3),
    lateral_share=0.3,
    missing_demographics=0.2,
    uncertain_rate=0.1,
    blank_rate=0.3,
    prevalence={f: 0.2 for f in FINDINGS},
)
BRAIN = BrainPhantomOptions(
    patients=4,
    seed=5,
    size=40,
    slices=16,
    follow_up_share=0.6,
    release="v5",
    missing_demographics=0.2,
)
