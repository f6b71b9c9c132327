"""Studies without work: stages that note their making, and an opened study of a table in memory."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.data.splits import Splits
from fairrecon_jax.physics import describe
from fairrecon_jax.study.context import Context
from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.run import Only, run
from fairrecon_jax.study.stages import Stage
from fairrecon_jax.types import Attribute, CohortSpec, ConfigError, Task
from tests.support import tiny_study

SPEC = CohortSpec(
    "c",
    "Brains",
    "mri",
    (Task("grade", "classification"), Task("tumor", "segmentation")),
    (Attribute("sex", ("F", "M")),),
    describe("mri_radial", (4.0, 8.0), 4.0),
    "Someone.",
)


def configured(config: ConfigDict | None = None, **fields: Any) -> ConfigDict:
    """The tiny study, or another one, with fields "block__name" of any value; a field that is not
    there is new.
    """
    made = config or tiny_study.get_config()
    with made.unlocked(), made.ignore_type():
        for path, value in fields.items():
            *outer, last = path.split("__")
            block = made
            for name in outer:
                block = block[name]
            block[last] = value
    return made


def importing(files: Any, **fields: Any) -> ConfigDict:
    """The tiny study whose U-Net takes weights from files, with other fields."""
    config = configured(reconstructors__unet__weights=files, **fields)
    with config.unlocked():
        del config.reconstructors.unet["train"]
    return config


def phantom_xray(**fields: Any) -> ConfigDict:
    """The quickstart of the radiographs with other fields."""
    return configured(importlib.import_module("configs.phantom_xray").get_config(), **fields)


def phantom_brain(**fields: Any) -> ConfigDict:
    """The quickstart of the brains with other fields."""
    return configured(importlib.import_module("configs.phantom_brain").get_config(), **fields)


def refusal(config: ConfigDict) -> str:
    """What is said of a configuration that is refused."""
    with pytest.raises(ConfigError) as refused:
        parse(config)
    return str(refused.value)


class FakeStages:
    """Stages that do nothing but note their making.

    Attributes:
      workdir: of the study.
      needs: by title, the titles of the stages that it is made from; in the order of making.
      inputs: by title, what the stage depends on.
      outputs: by title, the digest of what the stage makes; None where it gives none.
      log: titles of the stages in the order in which they were made.
      broken: title of the stage that fails.
    """

    def __init__(self, workdir: Path, needs: Mapping[str, Sequence[str]]) -> None:
        self.workdir = workdir
        self.needs = dict(needs)
        self.inputs: dict[str, Any] = dict.fromkeys(needs, 1)
        self.outputs: dict[str, str | None] = dict.fromkeys(needs, "out")
        self.log: list[str] = []
        self.broken = ""

    def _make(self, title: str) -> None:
        if title == self.broken:
            raise RuntimeError(f"{title} is broken")
        self.log.append(title)

    def stages(self, context: Context | None = None) -> list[Stage]:
        """The stages; every second one is made by all processes together."""
        made: dict[str, Stage] = {}
        for number, (title, needs) in enumerate(self.needs.items()):
            verb, _, model = title.partition(" ")
            made[title] = Stage(
                verb,
                partial(self._make, title),
                {"value": self.inputs[title]},
                model=model,
                together=bool(number % 2),
                needs=tuple(made[need] for need in needs),
                output=None if self.outputs[title] is None else partial(self._output, title),
            )
        return list(made.values())

    def _output(self, title: str) -> str:
        output = self.outputs[title]
        assert output is not None
        return output

    def run(self, only: Only = "") -> list[str]:
        """Runs the study; the titles of the stages that were made."""
        before = len(self.log)
        run(tiny_study.get_config(), self.workdir, only, self.stages)
        return self.log[before:]

    def stage(self, title: str) -> Stage:
        """One of the stages."""
        return next(stage for stage in self.stages() if stage.title == title)

    def record(self, title: str) -> Path:
        """The file that says a stage is done."""
        return self.stage(title).record(self.workdir / "stages")

    def recorded(self) -> set[str]:
        """Titles of the stages that have a record."""
        return {title for title in self.needs if self.record(title).exists()}


class Images:
    """Images of a cohort in memory, with one mask channel."""

    def __init__(self, count: int, size: int = 32) -> None:
        self._pixels = np.random.default_rng(0).integers(
            0, 2**16, (count, size, size, 1), np.uint16
        )

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        image = self._pixels[row]
        return {"image": image, "mask": (image > 2**15).astype(np.uint8)}


def opened(
    workdir: Path,
    table: pd.DataFrame,
    parts: Mapping[str, str] | str = "train",
    config: ConfigDict | None = None,
    spec: CohortSpec = SPEC,
) -> Context:
    """An opened study whose cohort is a table in memory.

    Args:
      workdir: of the study.
      table: rows of the cohort; columns that it lacks are made up.
      parts: the part of each patient, or of all.
      config: the tiny study if None.
      spec: of the cohort.
    """
    context = Context(config or tiny_study.get_config(), workdir)
    made_up: dict[str, Any] = {
        "example_id": [f"e{row}" for row in range(len(table))],
        "patient_id": [f"p{row}" for row in range(len(table))],
        "sex": "F",
        "grade": 0.0,
        "tumor": 0,
    }
    table = table.assign(**{name: made_up[name] for name in made_up if name not in table})
    patients = sorted(set(table["patient_id"]))
    by_patient = {p: parts if isinstance(parts, str) else parts[p] for p in patients}
    context.__dict__["cohort"] = Cohort(spec, table, Images(len(table)))
    context.__dict__["splits"] = Splits(0, (0.4, 0.3, 0.3), by_patient, "digest")
    return context
