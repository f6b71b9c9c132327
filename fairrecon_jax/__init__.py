"""fairrecon_jax: assess what AI image reconstruction does to the diagnosis that follows it, and to
whom.

What a notebook needs stands here, imported when it is first used:

    import fairrecon_jax as fr

    physics = fr.LowDoseXray(photons=1e4)                  # or fr.RadialMRI(acceleration=8), ...
    noisy = physics(x, key=0)                              # x [B, H, W, 1] in [0, 1]
    unet = fr.UNetReconstructor(width=16)
    weights = fr.fit(unet, fr.arrays(x), physics, steps=500)
    rows = fr.tandem(physics, unet, {"effusion": score}, weights)(x, {"effusion": y}, key=0)
    audit = fr.assess(label=y, original=s0, reconstructed=s1, groups={"sex": sex}, patient=pid)

The rooms (`fr.metrics`, `fr.inference`, `fr.physics`, ...) are attributes too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairrecon_jax import (
        assessment,
        data,
        diagnosers,
        diffusion,
        external,
        inference,
        metrics,
        mitigation,
        models,
        phantoms,
        physics,
        reconstructors,
        report,
        study,
        tandem,
        training,
    )
    from fairrecon_jax.assessment.options import AssessOptions
    from fairrecon_jax.data.api import open_cohort, prepare
    from fairrecon_jax.data.arrays import arrays
    from fairrecon_jax.data.cohort import Cohort, CohortConfig
    from fairrecon_jax.diagnosers import Classifier, Segmenter, make_diagnoser
    from fairrecon_jax.diffusion import SDE, Sampler, make_sampler
    from fairrecon_jax.external.read import read_table
    from fairrecon_jax.mitigation import make_mitigation
    from fairrecon_jax.mitigation.on_arrays import mitigate
    from fairrecon_jax.physics.at_level import (
        AtLevel,
        CartesianMRI,
        GaussianNoise,
        LowDoseXray,
        RadialMRI,
        SparseViewXray,
    )
    from fairrecon_jax.reconstructors import (
        Identity,
        IrsdeReconstructor,
        Pix2PixReconstructor,
        UNetReconstructor,
    )
    from fairrecon_jax.report.audit import Audit, assess
    from fairrecon_jax.study.bundled import configuration
    from fairrecon_jax.study.load import load
    from fairrecon_jax.study.run import run
    from fairrecon_jax.tandem.models import on_host, trained
    from fairrecon_jax.training.augment import Augmentation
    from fairrecon_jax.training.config import TrainConfig
    from fairrecon_jax.training.on_arrays import fit

__version__ = "0.1.0"

_NAMES = {
    "physics.at_level": "AtLevel CartesianMRI GaussianNoise LowDoseXray RadialMRI SparseViewXray",
    "reconstructors": "Identity IrsdeReconstructor Pix2PixReconstructor UNetReconstructor",
    "diffusion": "SDE Sampler make_sampler",
    "diagnosers": "Classifier Segmenter make_diagnoser",
    "training.on_arrays": "fit",
    "training.config": "TrainConfig",
    "training.augment": "Augmentation",
    "data.arrays": "arrays",
    "data.cohort": "Cohort CohortConfig",
    "data.api": "open_cohort prepare",
    "tandem.models": "on_host trained",
    "study.load": "load",
    "study.bundled": "configuration",
    "study.run": "run",
    "mitigation": "make_mitigation",
    "mitigation.on_arrays": "mitigate",
    "external.read": "read_table",
    "assessment.options": "AssessOptions",
    "report.audit": "Audit assess",
}
"""Public names by the module that holds them."""
_ROOMS = (
    "assessment data diagnosers diffusion external inference metrics mitigation models phantoms "
    "physics reconstructors report study tandem training"
).split()
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "SDE",
    "AssessOptions",
    "AtLevel",
    "Audit",
    "Augmentation",
    "CartesianMRI",
    "Classifier",
    "Cohort",
    "CohortConfig",
    "GaussianNoise",
    "Identity",
    "IrsdeReconstructor",
    "LowDoseXray",
    "Pix2PixReconstructor",
    "RadialMRI",
    "Sampler",
    "Segmenter",
    "SparseViewXray",
    "TrainConfig",
    "UNetReconstructor",
    "arrays",
    "assess",
    "assessment",
    "configuration",
    "data",
    "diagnosers",
    "diffusion",
    "external",
    "fit",
    "inference",
    "load",
    "make_diagnoser",
    "make_mitigation",
    "make_sampler",
    "metrics",
    "mitigate",
    "mitigation",
    "models",
    "on_host",
    "open_cohort",
    "phantoms",
    "physics",
    "prepare",
    "read_table",
    "reconstructors",
    "report",
    "run",
    "study",
    "tandem",
    "trained",
    "training",
]


def __getattr__(name: str) -> Any:
    """Imports a public name, or a room, when it is first used."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
