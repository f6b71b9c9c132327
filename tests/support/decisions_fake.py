"""Simulated decisions on originals and reconstructions of several images a patient."""

from __future__ import annotations

import numpy as np


def simulate(
    seed=0,
    patients=120,
    images=3,
    groups=3,
    flip=0.2,
    prevalence=0.4,
    harm=0.0,
    patient_effect=True,
) -> tuple[np.ndarray, ...]:
    """(original, reconstructed, label, group, patient) of 1 to `images` images a patient.

    Args:
      seed: of everything.
      patients: how many.
      images: largest number of images of a patient.
      groups: how many.
      flip: share of decisions that reconstruction changes, without `patient_effect`.
      prevalence: share of positive labels.
      harm: share of the last group's decisions that become negative.
      patient_effect: the share of changed decisions is a patient's own, 0.2 on average.
    """
    rng = np.random.default_rng(seed)
    count = rng.permutation(np.arange(patients) % images + 1)
    who = np.repeat(np.arange(patients), count)
    group = rng.integers(0, groups, patients)[who]
    label = (rng.random(len(who)) < prevalence).astype(float)
    original = (rng.random(len(who)) < 0.2 + 0.5 * label).astype(float)
    shaky = rng.beta(1, 4, patients)[who] if patient_effect else flip
    turned = rng.random(len(who)) < shaky
    reconstructed = np.where(turned, 1 - original, original)
    lost = (rng.random(len(who)) < harm) & (group == groups - 1)
    reconstructed = np.where(lost, 0.0, reconstructed)
    return original, reconstructed, label, group, np.array([f"p{w:05d}" for w in who])
