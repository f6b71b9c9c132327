"""A cohort of discs and diagnosers whose answers are known by hand, for the fused step."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.physics import describe, make_degradation
from fairrecon_jax.reconstructors import make_reconstructor
from fairrecon_jax.study.predict import predict
from fairrecon_jax.tandem import Tandem, compile_step
from fairrecon_jax.types import Attribute, CohortSpec, Task

SIZE, COUNT = 32, 11
SPEC = CohortSpec(
    "toy",
    "Toy",
    "mri",
    (Task("bright", "classification"), Task("region", "segmentation", "mean")),
    (Attribute("sex", ("Female", "Male")),),
    describe("mri_radial", (4.0, 8.0), 8.0),
)


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Scores the mean grey value times a weight: the answer is known by hand."""

    name: str = "brightness"
    tasks: tuple[str, ...] = ("bright",)
    kind: ClassVar[str] = "classification"

    def predict(self, variables: Any, image: Any) -> Any:
        return variables["params"]["scale"] * jnp.mean(image, axis=(1, 2, 3))[:, None]


@dataclasses.dataclass(frozen=True)
class Foreground:
    """Marks every pixel by its own grey value."""

    name: str = "foreground"
    tasks: tuple[str, ...] = ("region",)
    kind: ClassVar[str] = "segmentation"

    def predict(self, variables: Any, image: Any) -> Any:
        return image


def discs() -> Cohort:
    """Noisy discs; of one example the label is unknown, of some patients the sex."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    images, masks = [], []
    for _ in range(COUNT):
        centre, radius = rng.uniform(10, 22, 2), rng.uniform(4, 9)
        disc = np.hypot(y - centre[0], x - centre[1]) < radius
        images.append(np.clip(0.2 + 0.6 * disc + rng.normal(0, 0.03, disc.shape), 0, 1))
        masks.append(disc)
    source = [
        {
            "image": np.round(i[..., None] * 65535).astype(np.uint16),
            "mask": m[..., None].astype(np.uint8),
        }
        for i, m in zip(images, masks, strict=True)
    ]
    table = pd.DataFrame(
        {
            "example_id": [f"p{i // 2}/{i}" for i in range(COUNT)],
            "patient_id": [f"p{i // 2}" for i in range(COUNT)],
            "sex": [("Female", "Male", None)[i // 2 % 3] for i in range(COUNT)],
            "bright": np.where(np.arange(COUNT) == 3, np.nan, np.arange(COUNT) % 2),
            "region": [int(m.sum()) for m in masks],
        }
    )
    return Cohort(SPEC, table, source)


def tandem_of(modality: str, **fields: Any) -> Tandem:
    """The tandem of a modality with a reconstructor of these fields."""
    physics = make_degradation("xray_low_dose" if modality == "xray" else "mri_radial", size=SIZE)
    return Tandem(physics, make_reconstructor(**fields), (Brightness(), Foreground()), SPEC)


DIAGNOSERS: Any = ({"params": {"scale": np.float32(0.9)}}, {"params": {}})
NOTHING: dict[str, Any] = {"params": {}, "batch_stats": {}}


def rows_of(
    cohort: Cohort,
    kind: str = "mri",
    level: float = 8.0,
    batch_size: int = 4,
    devices: int = 1,
    rows: np.ndarray | None = None,
) -> pd.DataFrame:
    """Predictions of a cohort without any reconstruction."""
    tandem = tandem_of(kind, kind="identity")
    inputs = tandem.inputs(level, NOTHING, DIAGNOSERS, jax.random.key(7))
    every = np.arange(COUNT) if rows is None else rows
    return predict(compile_step(tandem, devices), inputs, cohort, every, batch_size, devices)
