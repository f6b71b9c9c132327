"""A study's work directory: where each piece lies, and the functions that make each piece from the
ones before it.

```
<workdir>/config.json  splits.json  predictions.parquet
          phantom/                                  the phantom tree, where the study makes its own cohort
          cohort/                                   the prepared cohort (array_record)
          diagnosers/<name>/                        training run and frozen weights
          reconstructors/<name>/<level>/            the same; imported weights lie here too
          mitigated/<mitigation>/<reconstructor>/<level>/
          predictions/<reconstructor>__<level>.parquet  <reconstructor>__<level>__<mitigation>.parquet
          results/performance.csv  fairness.csv  mitigation.csv  mitigation_sweep.csv
          report/index.html  figures/  tables/
```
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from absl import logging
from ml_collections import ConfigDict
from PIL import Image

from fairrecon_jax.assessment import (
    assess,
    compare,
    read_predictions,
    read_results,
    write_predictions,
    write_results,
)
from fairrecon_jax.data.api import open_cohort, prepare
from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.data.splits import Splits, make_splits, read_splits, write_splits
from fairrecon_jax.phantoms import check_phantom, write_phantom
from fairrecon_jax.reconstructors import Reconstructor
from fairrecon_jax.reconstructors.imports import import_variables
from fairrecon_jax.runtime.devices import map_rows
from fairrecon_jax.study import config as settings
from fairrecon_jax.tandem import DEGRADE, Tandem, batches, compile_step, predict
from fairrecon_jax.training.checkpoints import load_variables, save_variables
from fairrecon_jax.training.loop import fit
from fairrecon_jax.training.trainable import Trainable
from fairrecon_jax.types import Batch, CohortSpec, Key, Variables

NO_MITIGATION = "none"


def as_json(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value, default=str))


def level_name(level: float) -> str:
    """The folder and column text of a level, e.g. 8 -> "8", 1e5 -> "100000"."""
    return f"{level:.15g}"


class Workspace:
    """One study's configuration and work directory; every method makes one piece and may be called
    alone.

    Args:
      config: a study configuration (see `configs/`).
      workdir: the folder that holds everything the study makes.
    """

    def __init__(self, config: ConfigDict, workdir: str | Path) -> None:
        self.config = config
        self.workdir = Path(workdir)
        self._steps: dict[str, tuple[Tandem, Callable[..., Any]]] = {}

    # -- cohort
    # ----------------------------------------------------------------------------------------------------------------

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
        raise ValueError(
            "config.cohort.root is empty: give the folder of the downloaded cohort, "
            "--config.cohort.root=DIR"
        )

    def write_phantom(self) -> None:
        """Writes the phantom tree that `config.phantom` describes, if the study makes its own
        cohort and it is not there yet.

        Raises:
          ValueError: the tree that is there was drawn with other options.
        """
        if self.config.cohort.root or not self.config.phantom.kind:
            return
        if self.root.exists():
            check_phantom(
                self.config.phantom.kind, self.root, settings.phantom_options(self.config)
            )
        else:
            write_phantom(
                self.config.phantom.kind, self.root, settings.phantom_options(self.config)
            )

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
        block, (fractions, diagnosis) = self.config.splits, settings.splits_fractions(self.config)
        if path.exists():
            found = read_splits(path, seed=block.seed)
            there = found.fractions, found.diagnosis_fraction
            if there != (fractions, diagnosis):
                wanted = (
                    f"not {fractions} and {diagnosis}: use another work directory, or remove "
                    "this one"
                )
                raise ValueError(
                    f"{path} was made with fractions and diagnosis_fraction {there[0]} "
                    f"and {there[1]}, {wanted}"
                )
            return found
        cohort = open_cohort(settings.cohort_config(self.config), str(self.data_dir), None)
        made = make_splits(cohort.table, cohort.spec, fractions, block.seed, diagnosis)
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

    # -- training
    # --------------------------------------------------------------------------------------------------------------

    def folder(
        self, name: str, level: float | None = None, mitigation: str = NO_MITIGATION
    ) -> Path:
        """Where a model's training run and weights lie; diagnosers have no level."""
        if level is None:
            return self.workdir / "diagnosers" / name
        if mitigation != NO_MITIGATION:
            return self.workdir / "mitigated" / mitigation / name / level_name(level)
        return self.workdir / "reconstructors" / name / level_name(level)

    def train_diagnoser(self, name: str) -> None:
        """Trains one diagnoser on original images and freezes its best weights."""
        model = settings.diagnoser(self.config, name, self.spec)
        self._fit(
            model,
            self.config.diagnosers[name],
            f"diagnosers.{name}",
            self.folder(name),
            "train_diagnosis",
            None,
            {},
        )

    def train_reconstructor(self, name: str, level: float) -> None:
        """Trains one reconstructor at one level and freezes its best weights.

        Raises:
          ValueError: imported weights lie there.
        """
        if self.imported(name, level):
            raise ValueError(
                f"{self.folder(name, level)} holds imported weights: remove it to train"
            )
        model = settings.reconstructor(self.config, name)
        block, where = self.config.reconstructors[name], f"reconstructors.{name}"
        degrade, more = self.degrader(level), self.degradation_choices(level)
        augment = settings.augmentation(self.config, name).batch
        self._fit(
            model,
            block,
            where,
            self.folder(name, level),
            "train_reconstruction",
            degrade,
            more,
            augment,
        )

    def degrader(self, level: float) -> Callable[[Batch, Key], Batch]:
        """The function that adds "degraded" to a training batch, with noise by key and example."""
        degradation = settings.degradation(self.config)
        operator = degradation.operator(level)

        def degrade(batch: Batch, key: Key) -> Batch:
            key = jax.random.fold_in(key, DEGRADE)
            return {
                **batch,
                "degraded": degradation(operator, batch["image"], batch["example_id"], key),
            }

        return degrade

    def degradation_choices(self, level: float) -> dict[str, Any]:
        """What a training's result depends on in the physics."""
        physics = settings.without(self.config.degradation, *settings.GRID)
        return {"level": level, "degradation": physics}

    def data_choices(self) -> dict[str, Any]:
        """What a training's result depends on in the data."""
        return {
            "cohort": settings.without(self.config.cohort, "root"),
            "splits": self.splits.digest,
        }

    def _fit(
        self,
        model: Trainable,
        block: ConfigDict,
        where: str,
        folder: Path,
        part: str,
        prepare_batch: Callable[..., Any] | None,
        more: dict[str, Any],
        augment: Callable[[Batch, Key], Batch] | None = None,
    ) -> None:
        options = settings.train_config(block, where)
        train, validation = self.rows(part), self.rows("val")
        choices = {"model": settings.model_choices(block), **self.data_choices(), **more}
        sources = (self.cohort, train), (self.cohort, validation)
        fit(
            model,
            *sources,
            options,
            folder,
            prepare=prepare_batch,
            augment=augment,
            choices=as_json(choices),
        )

    def rows(self, *parts: str) -> np.ndarray:
        """Row numbers of the cohort in the named parts of the split."""
        return self.splits.rows(self.cohort.table, *parts)

    def import_reconstructor(
        self, name: str, level: float, paths: Sequence[str | Path], output: Path | None = None
    ) -> Path:
        """Freezes PyTorch weights as those of one reconstructor at one level, in place of a
        training.

        Args:
          name: of the reconstructor.
          level: of the degradation.
          paths: files of weights; see `reconstructors.imports`.
          output: folder to write instead of the study's.

        Returns:
          The folder, whose `final` holds the weights.

        Raises:
          ValueError: the reconstructor has been trained here, or the weights do not fit it.
        """
        folder = output or self.folder(name, level)
        if (folder / "run.json").exists():
            raise ValueError(
                f"{folder} holds a training run: remove it to put imported weights there, "
                "or choose another folder"
            )
        variables, facts = import_variables(
            settings.reconstructor(self.config, name), paths, self.config.cohort.image_size
        )
        save_variables(folder / "final", variables, {"name": name, "imported": facts})
        return folder

    def imported(self, name: str, level: float) -> str:
        """The digest of imported weights of one reconstructor at one level, "" where there are
        none.
        """
        path = self.folder(name, level) / "final" / "meta" / "metadata"
        meta = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return meta["digest"] if "imported" in meta else ""

    def weights(self, folder: Path) -> Variables:
        """Frozen weights.

        Raises:
          FileNotFoundError: the model has not been trained; the message says how to.
        """
        if not (folder / "final").exists():
            raise FileNotFoundError(
                f"no weights in {folder}: train the model first (`fairrecon train`, or "
                "`fairrecon study` for all)"
            )
        return load_variables(folder / "final")[0]

    # -- tandem
    # ----------------------------------------------------------------------------------------------------------------

    def tandem(self, name: str) -> tuple[Tandem, Callable[..., Any]]:
        """The fused program of one reconstructor, compiled on first use and kept for all levels."""
        if name not in self._steps:
            readers = settings.diagnosers(self.config, self.spec)
            tandem = Tandem(
                settings.degradation(self.config),
                settings.reconstructor(self.config, name),
                readers,
                self.spec,
            )
            self._steps[name] = tandem, compile_step(tandem)
        return self._steps[name]

    def shared(self, name: str, level: float, mitigation: str = NO_MITIGATION) -> dict[str, Any]:
        """Weights, operator and key for one cell of the grid."""
        tandem, _ = self.tandem(name)
        readers = [self.weights(self.folder(reader)) for reader in self.config.diagnosers]
        trained = settings.weights_of(self.config, name) if mitigation == NO_MITIGATION else name
        folder = self.folder(trained, level, mitigation)
        own = (
            self.weights(folder)
            if self.is_trained(tandem.reconstructor)
            else {"params": {}, "batch_stats": {}}
        )
        return tandem.shared(level, own, readers, jax.random.key(self.config.seed))

    @staticmethod
    def is_trained(reconstructor: Reconstructor) -> bool:
        """Whether a reconstructor has weights (the identity has none)."""
        return bool(reconstructor.phases)

    def evaluated_rows(self) -> np.ndarray:
        """Validation and test rows that are assessed (for volumes, the slices the cohort's policy
        names).
        """
        rows = np.sort(self.rows("val", "test"))
        if "evaluate" in self.cohort.table:
            rows = rows[self.cohort.table["evaluate"].to_numpy(bool)[rows]]
        return rows

    def predictions_file(self, name: str, level: float, mitigation: str = NO_MITIGATION) -> Path:
        """Where the predictions of one cell lie."""
        end = "" if mitigation == NO_MITIGATION else f"__{mitigation}"
        return self.workdir / "predictions" / f"{name}__{level_name(level)}{end}.parquet"

    def predict(self, name: str, level: float, mitigation: str = NO_MITIGATION) -> None:
        """Writes the predictions of one cell of the grid: validation and test, original and
        reconstruction; all processes take part.
        """
        _, step = self.tandem(name)
        rows = self.evaluated_rows()
        size = self.config.tandem.batch_size
        table = predict(
            step,
            self.shared(name, level, mitigation),
            self.cohort,
            rows,
            size,
            label=self.predictions_file(name, level, mitigation).stem,
        )
        parts = self.cohort.table.iloc[rows]["patient_id"].map(self.splits.patients).to_numpy()
        table.insert(2, "split", parts)
        cell = {
            "cohort": self.spec.name,
            "level": float(level),
            "reconstructor": name,
            "mitigation": mitigation,
            "seed": self.config.seed,
        }
        write_predictions(
            self.predictions_file(name, level, mitigation), table.assign(**cell), self.spec
        )

    def merge_predictions(self) -> pd.DataFrame:
        """Stacks all cells into `predictions.parquet`."""
        cells = [read_predictions(self.predictions_file(*cell))[0] for cell in self.cells()]
        table = pd.concat(cells, ignore_index=True)
        write_predictions(self.workdir / "predictions.parquet", table, self.spec)
        return table

    def grid(self) -> list[tuple[str, float]]:
        """All (reconstructor, level) cells, a reconstructor's levels together so that its program
        is compiled once.

        Reconstructors that use another's weights come last.
        """
        names = sorted(
            self.config.reconstructors,
            key=lambda name: "weights_of" in self.config.reconstructors[name],
        )
        return [
            (name, float(level))
            for name in names
            for level in settings.reconstructor_levels(self.config, name)
        ]

    def cells(self) -> list[tuple[str, float, str]]:
        """All (reconstructor, level, mitigation) cells that are assessed: the grid, then each
        mitigation where it is tried.
        """
        found = [(name, level, NO_MITIGATION) for name, level in self.grid()]
        for mitigation in self.config.mitigations:
            plan = settings.mitigation_plan(self.config, mitigation)
            found += [
                (name, level, mitigation) for name in plan.reconstructors for level in plan.levels
            ]
        return found

    # -- tables and report
    # -----------------------------------------------------------------------------------------------------

    def assess(self) -> None:
        """Writes `results/performance.csv` and `results/fairness.csv` from the predictions."""
        started = time.monotonic()
        merged, options = self.merge_predictions(), settings.assess_options(self.config)
        performance, fairness = assess(merged, self.spec, options)
        write_results(self.workdir, performance=performance, fairness=fairness)
        if len(self.config.mitigations):
            write_results(self.workdir, mitigation=compare(merged, self.spec, options))
        logging.info(
            "assessed %d + %d rows in %.1f s",
            len(performance),
            len(fairness),
            time.monotonic() - started,
        )

    def results(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The performance and fairness tables, as written."""
        performance, fairness = (
            read_results(self.workdir, name) for name in ("performance", "fairness")
        )
        return performance, fairness

    def comparisons(self) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
        """The tables of mitigated against unmitigated reconstructions and of the sweeps, None where
        they were not written.
        """
        paths = [
            self.workdir / "results" / f"{name}.csv" for name in ("mitigation", "mitigation_sweep")
        ]
        known = len(self.config.mitigations) > 0
        found = [pd.read_csv(p, low_memory=False) if known and p.exists() else None for p in paths]
        return found[0], found[1]

    # -- images
    # ----------------------------------------------------------------------------------------------------------------

    def reconstruct(self, name: str, level: float, part: str = "test") -> Path:
        """Writes degraded and reconstructed images of one part of the split as 16-bit PNG files,
        each process those of its share.

        Args:
          name: of the reconstructor.
          level: of the degradation.
          part: "train", "val" or "test".

        Returns:
          The folder; its `degraded/` and `reconstructed/` hold one file per example, named after
            the example.
        """
        tandem, _ = self.tandem(name)
        step, shared = map_rows(tandem.reconstruct), self.shared(name, level)
        folder, rows = self.workdir / "reconstructions" / name / level_name(level), self.rows(part)
        names = self.cohort.table["example_id"]
        for version in ("degraded", "reconstructed"):
            (folder / version).mkdir(parents=True, exist_ok=True)
        for batch in batches(
            self.cohort, rows, self.config.tandem.batch_size, f"{name} at {level_name(level)}"
        ):
            both = jax.device_get(step(shared, batch))
            for i in np.flatnonzero(np.asarray(batch["weight"]) > 0):
                file = names.iloc[int(batch["index"][i])].replace("/", "__") + ".png"
                for version, images in zip(("degraded", "reconstructed"), both, strict=True):
                    pixels = np.round(
                        images[i, ..., 0].clip(0, 1) * np.iinfo(np.uint16).max
                    ).astype(np.uint16)
                    aside = folder / version / f".{file}.partial"
                    Image.fromarray(pixels).save(aside, format="PNG")
                    aside.replace(folder / version / file)
        return folder
