"""A study's work directory: where each piece lies, and the functions that make each piece from the ones before it.

```
<workdir>/config.json  splits.json  predictions.parquet
          phantom/                                  the phantom tree, where the study makes its own cohort
          cohort/                                   the prepared cohort (array_record)
          diagnosers/<name>/                        training run and frozen weights
          reconstructors/<name>/<level>/
          predictions/<reconstructor>__<level>.parquet
          results/performance.csv  fairness.csv
          report/index.html  figures/  tables/
```
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from absl import logging
from ml_collections import ConfigDict
from PIL import Image
from tqdm import tqdm

from fairrecon_jax import parallel, settings
from fairrecon_jax.assessment import assess, read_predictions, write_predictions
from fairrecon_jax.data.api import open_cohort, prepare
from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.data.loader import eval_batches
from fairrecon_jax.data.phantoms import write_phantom
from fairrecon_jax.data.splits import Splits, make_splits, read_splits, write_splits
from fairrecon_jax.reconstructors import Reconstructor
from fairrecon_jax.tandem import DEGRADE, Tandem, compile_step, predict
from fairrecon_jax.training.checkpoints import load_variables
from fairrecon_jax.training.loop import fit
from fairrecon_jax.training.trainable import Trainable
from fairrecon_jax.types import Batch, CohortSpec, Key, Variables

NO_MITIGATION = "none"


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def level_name(level: float) -> str:
    """The folder and column text of a level, e.g. 8 -> "8", 1e5 -> "100000"."""
    return f"{level:.15g}"


class Workspace:
    """One study's configuration and work directory; every method makes one piece and may be called alone.

    Args:
      config: a study configuration (see `configs/`).
      workdir: the folder that holds everything the study makes.
    """

    def __init__(self, config: ConfigDict, workdir: str | Path) -> None:
        self.config = config
        self.workdir = Path(workdir)
        self._steps: dict[str, tuple[Tandem, Callable[..., Any]]] = {}

    # -- cohort ----------------------------------------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The cohort's tree: `config.cohort.root`, or the phantom tree of this work directory.

        Raises:
          ValueError: there is no root and no phantom is asked for.
        """
        if self.config.cohort.root:
            return Path(self.config.cohort.root)
        if self.config.phantom.kind:
            return self.workdir / "phantom"
        raise ValueError("config.cohort.root is empty: give the folder of the downloaded cohort, --config.cohort.root=DIR")

    def write_phantom(self) -> None:
        """Writes the phantom tree that `config.phantom` describes, if the study makes its own cohort and it is not there yet."""
        if not self.config.cohort.root and self.config.phantom.kind and not self.root.exists():
            write_phantom(self.config.phantom.kind, self.root, settings.phantom_options(self.config))

    def prepare(self) -> None:
        """Reads the tree into the prepared cohort and writes the splits, once."""
        prepare(settings.cohort_config(self.config), str(self.root), str(self.data_dir))
        self.splits  # noqa: B018  (written on first use)

    @property
    def data_dir(self) -> Path:
        """Where the prepared cohort lies."""
        return self.workdir / "cohort"

    @functools.cached_property
    def splits(self) -> Splits:
        """The patient splits: read from `splits.json`, or made and written once."""
        path = self.workdir / "splits.json"
        block = self.config.splits
        if path.exists():
            return read_splits(path, seed=block.seed)
        cohort = open_cohort(settings.cohort_config(self.config), str(self.data_dir), None)
        made = make_splits(cohort.table, cohort.spec, tuple(block.fractions), block.seed, block.diagnosis_fraction)
        write_splits(path, made)
        return made

    @functools.cached_property
    def cohort(self) -> Cohort:
        """The prepared cohort with its policies applied."""
        return open_cohort(settings.cohort_config(self.config), str(self.data_dir), self.splits)

    @functools.cached_property
    def spec(self) -> CohortSpec:
        """The cohort's specification at the study's levels."""
        return settings.studied_spec(self.cohort.spec, self.config)

    # -- training --------------------------------------------------------------------------------------------------------------

    def folder(self, name: str, level: float | None = None) -> Path:
        """Where a model's training run and weights lie; diagnosers have no level."""
        if level is None:
            return self.workdir / "diagnosers" / name
        return self.workdir / "reconstructors" / name / level_name(level)

    def train_diagnoser(self, name: str) -> None:
        """Trains one diagnoser on original images and freezes its best weights."""
        model = settings.diagnoser(self.config, name, self.spec)
        self._fit(model, self.config.diagnosers[name], f"diagnosers.{name}", self.folder(name), "train_diagnosis", None, {})

    def train_reconstructor(self, name: str, level: float) -> None:
        """Trains one reconstructor at one level and freezes its best weights."""
        model = settings.reconstructor(self.config, name)
        degradation = settings.degradation(self.config)
        operator = degradation.operator(level)

        def degrade(batch: Batch, key: Key) -> dict[str, Any]:
            key = jax.random.fold_in(key, DEGRADE)
            return {**batch, "degraded": degradation(operator, batch["image"], batch["example_id"], key)}

        block, where = self.config.reconstructors[name], f"reconstructors.{name}"
        physics = {key: value for key, value in settings.plain(self.config.degradation).items() if key not in settings.GRID}
        more = {"level": level, "degradation": physics}
        self._fit(model, block, where, self.folder(name, level), "train_reconstruction", degrade, more)

    def _fit(
        self,
        model: Trainable,
        block: ConfigDict,
        where: str,
        folder: Path,
        part: str,
        prepare_batch: Callable[..., Any] | None,
        more: dict[str, Any],
    ) -> None:
        options = settings.train_config(block, where)
        train, validation = self.rows(part), self.rows("val")
        model_fields = {key: value for key, value in settings.plain(block).items() if key != "train"}
        choices = {"model": model_fields, "cohort": self._cohort_choices(), "splits": self.splits.digest, **more}
        fit(model, (self.cohort, train), (self.cohort, validation), options, folder, prepare=prepare_batch, choices=_as_json(choices))

    def _cohort_choices(self) -> dict[str, Any]:
        return {key: value for key, value in settings.plain(self.config.cohort).items() if key != "root"}

    def rows(self, *parts: str) -> np.ndarray:
        """Row numbers of the cohort in the named parts of the split."""
        return self.splits.rows(self.cohort.table, *parts)

    def weights(self, folder: Path) -> Variables:
        """Frozen weights.

        Raises:
          FileNotFoundError: the model has not been trained; the message says how to.
        """
        if not (folder / "final").exists():
            raise FileNotFoundError(f"no weights in {folder}: train the model first (`fairrecon train`, or `fairrecon study` for all)")
        return load_variables(folder / "final")[0]

    # -- tandem ----------------------------------------------------------------------------------------------------------------

    def tandem(self, name: str) -> tuple[Tandem, Callable[..., Any]]:
        """The fused program of one reconstructor, compiled on first use and kept for all levels."""
        if name not in self._steps:
            readers = tuple(settings.diagnoser(self.config, reader, self.spec) for reader in self.config.diagnosers)
            tandem = Tandem(settings.degradation(self.config), settings.reconstructor(self.config, name), readers, self.spec)
            self._steps[name] = tandem, compile_step(tandem)
        return self._steps[name]

    def shared(self, name: str, level: float) -> dict[str, Any]:
        """Weights, operator and key for one cell of the grid."""
        tandem, _ = self.tandem(name)
        readers = [self.weights(self.folder(reader)) for reader in self.config.diagnosers]
        folder = self.folder(settings.weights_of(self.config, name), level)
        own = self.weights(folder) if self.is_trained(tandem.reconstructor) else {"params": {}, "batch_stats": {}}
        return tandem.shared(level, own, readers, jax.random.key(self.config.seed))

    @staticmethod
    def is_trained(reconstructor: Reconstructor) -> bool:
        """Whether a reconstructor has weights (the identity has none)."""
        return bool(reconstructor.phases)

    def evaluated_rows(self) -> np.ndarray:
        """Validation and test rows that are assessed (for volumes, the slices the cohort's policy names)."""
        rows = np.sort(self.rows("val", "test"))
        if "evaluate" in self.cohort.table:
            rows = rows[self.cohort.table["evaluate"].to_numpy(bool)[rows]]
        return rows

    def predictions_file(self, name: str, level: float) -> Path:
        """Where the predictions of one cell lie."""
        return self.workdir / "predictions" / f"{name}__{level_name(level)}.parquet"

    def predict(self, name: str, level: float) -> None:
        """Writes the predictions of one cell of the grid: validation and test, original and reconstruction."""
        _, step = self.tandem(name)
        rows = self.evaluated_rows()
        size = self.config.tandem.batch_size
        table = predict(step, self.shared(name, level), self.cohort, rows, size, label=f"{name} at {level_name(level)}")
        parts = self.cohort.table.iloc[rows]["patient_id"].map(self.splits.patients).to_numpy()
        table.insert(2, "split", parts)
        cell = {
            "cohort": self.spec.name,
            "level": float(level),
            "reconstructor": name,
            "mitigation": NO_MITIGATION,
            "seed": self.config.seed,
        }
        write_predictions(self.predictions_file(name, level), table.assign(**cell), self.spec)

    def merge_predictions(self) -> pd.DataFrame:
        """Stacks all cells into `predictions.parquet`."""
        cells = [read_predictions(self.predictions_file(name, level))[0] for name, level in self.grid()]
        table = pd.concat(cells, ignore_index=True)
        write_predictions(self.workdir / "predictions.parquet", table, self.spec)
        return table

    def grid(self) -> list[tuple[str, float]]:
        """All (reconstructor, level) cells, a reconstructor's levels together so that its program is compiled once.

        Reconstructors that use another's weights come last.
        """
        names = sorted(self.config.reconstructors, key=lambda name: "weights_of" in self.config.reconstructors[name])
        return [(name, float(level)) for name in names for level in self.config.degradation.levels]

    # -- tables and report -----------------------------------------------------------------------------------------------------

    def assess(self) -> None:
        """Writes `results/performance.csv` and `results/fairness.csv` from the predictions."""
        started = time.monotonic()
        performance, fairness = assess(self.merge_predictions(), self.spec, settings.assess_options(self.config))
        for name, table in (("performance", performance), ("fairness", fairness)):
            path = self.workdir / "results" / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f".{path.name}.partial")
            table.to_csv(aside, index=False)
            aside.replace(path)
        logging.info("assessed %d + %d rows in %.1f s", len(performance), len(fairness), time.monotonic() - started)

    def results(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The performance and fairness tables, as written."""
        folder = self.workdir / "results"
        return pd.read_csv(folder / "performance.csv", low_memory=False), pd.read_csv(folder / "fairness.csv", low_memory=False)

    # -- images ----------------------------------------------------------------------------------------------------------------

    def reconstruct(self, name: str, level: float, part: str = "test") -> Path:
        """Writes degraded and reconstructed images of one part of the split as 16-bit PNG files.

        Args:
          name: of the reconstructor.
          level: of the degradation.
          part: "train", "val" or "test".

        Returns:
          The folder; its `degraded/` and `reconstructed/` hold one file per example, named after the example.
        """
        tandem, _ = self.tandem(name)
        step, shared = parallel.map_rows(tandem.reconstruct), self.shared(name, level)
        folder, rows = self.workdir / "reconstructions" / name / level_name(level), self.rows(part)
        names = self.cohort.table["example_id"]
        for version in ("degraded", "reconstructed"):
            (folder / version).mkdir(parents=True, exist_ok=True)
        with tqdm(total=len(rows), desc=f"{name} at {level_name(level)}", unit="image", disable=None) as bar:
            for batch in eval_batches(self.cohort, rows, self.config.tandem.batch_size):
                both = jax.device_get(step(shared, batch))
                for i in np.flatnonzero(np.asarray(batch["weight"]) > 0):
                    file = names.iloc[int(batch["index"][i])].replace("/", "__") + ".png"
                    for version, images in zip(("degraded", "reconstructed"), both, strict=True):
                        pixels = np.round(images[i, ..., 0].clip(0, 1) * np.iinfo(np.uint16).max).astype(np.uint16)
                        aside = folder / version / f".{file}.partial"
                        Image.fromarray(pixels).save(aside, format="PNG")
                        aside.replace(folder / version / file)
                    bar.update()
        return folder
