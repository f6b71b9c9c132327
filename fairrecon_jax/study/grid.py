"""The cells of a study: reconstructors x levels, then mitigations where they are tried."""

from __future__ import annotations

from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.types import Cell


def unmitigated(study: StudyConfig) -> list[Cell]:
    """All reconstructors at their levels, a reconstructor's levels together so that its program is
    compiled once; those that use another's weights come last.
    """
    # False sorts first and the sort is stable: a source's stages are there when another needs them
    by_source = sorted(study.reconstructors.values(), key=lambda one: one.weights_of != one.name)
    return [
        Cell(one.name, level, seed=study.seed, training=training)
        for one in by_source
        for level in one.levels
        for training in study.trainings(one.name)
    ]


def mitigated(study: StudyConfig) -> list[Cell]:
    """Each mitigation where it is tried, whatever weight is chosen in the end."""
    return [
        Cell(reconstructor, level, one.name, seed=study.seed, training=training)
        for one in study.mitigations.values()
        for reconstructor in one.plan.reconstructors
        for level in one.plan.levels
        for training in study.trainings(reconstructor)
    ]


def cells(study: StudyConfig) -> list[Cell]:
    """All cells that are assessed."""
    return unmitigated(study) + mitigated(study)
