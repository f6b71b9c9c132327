"""An opened study: its configuration, its work directory, and what several stages share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from fairrecon_jax.data.api import open_cohort
from fairrecon_jax.data.cohort import Cohort
from fairrecon_jax.data.splits import Splits, check_given, make_splits, read_splits, write_splits
from fairrecon_jax.metrics import read_lpips
from fairrecon_jax.runtime.progress import announced
from fairrecon_jax.study.config import StudyConfig
from fairrecon_jax.study.parse import parse
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.tandem import Tandem, compile_step
from fairrecon_jax.training.checkpoints import load_variables
from fairrecon_jax.types import CohortSpec, InputError, Variables


class Context:
    """One study and its work directory; the stages are functions of it.

    Args:
      study: from `parse`, or a configuration to parse.
      workdir: the folder that holds everything the study makes.

    Example:
      >>> from tempfile import mkdtemp
      >>> context = Context(fr.configuration("quickstart_brain"), mkdtemp())
      >>> context, context.study.degradation.levels
      (Context(ucsf_pdgm in ...), (10.0,))
    """

    def __init__(self, study: StudyConfig | ConfigDict, workdir: str | Path) -> None:
        if Path(workdir).exists() and not Path(workdir).is_dir():
            raise InputError(f"workdir {str(workdir)!r} is a file: name a folder")
        self.study = study if isinstance(study, StudyConfig) else parse(study)
        self.workdir = Workdir(Path(workdir))
        # by reconstructor, not by cell: the level's operator and the weights are traced arguments
        self._steps: dict[str, tuple[Tandem, Callable[..., Any]]] = {}

    def __repr__(self) -> str:
        return f"Context({self.study.cohort.name} in {self.workdir.root})"

    @property
    def tree(self) -> Path:
        """The cohort's tree: the folder of the configuration, or the phantom of the work directory.

        Raises:
          InputError: there is neither.
        """
        if self.study.root is not None:
            return self.study.root
        if self.study.phantom is not None:
            return self.workdir.phantom
        raise InputError(
            "config.cohort.root is empty: give the folder of the downloaded cohort, "
            "--config.cohort.root=DIR"
        )

    @functools.cached_property
    def splits(self) -> Splits:
        """The patient splits: read from `splits.json`, or made and written once.

        Raises:
          InputError: the splits that are there were made with other choices.
        """
        path, wanted = self.workdir.splits, self.study.splits
        splits = self.written_splits()
        if splits is not None:
            columns = self.study.cohort.columns
            if columns is not None and columns.split is not None:
                given = open_cohort(self.study.cohort, str(self.workdir.cohort), splits)
                check_given(splits, given.table)
            return splits
        # opened without splits: a cut at the train median would need the ones that are being made
        cohort = open_cohort(self.study.cohort, str(self.workdir.cohort), None)
        splits = make_splits(
            cohort.table, cohort.spec, wanted.fractions, wanted.seed, wanted.diagnosis_fraction
        )
        write_splits(path, splits)
        return splits

    def written_splits(self) -> Splits | None:
        """The splits of `splits.json`, None where there are none yet.

        Raises:
          InputError: they were made with other choices.
        """
        path, wanted = self.workdir.splits, self.study.splits
        if not path.exists():
            return None
        splits = read_splits(path, seed=wanted.seed)
        written = splits.fractions, splits.diagnosis_fraction
        shares = wanted.fractions, wanted.diagnosis_fraction
        # compared exactly: JSON gives floats back digit for digit
        if written != shares:
            raise InputError(
                f"{path} was made with fractions and diagnosis_fraction {written[0]} and "
                f"{written[1]}, not {shares[0]} and {shares[1]}: use another work directory, "
                "or remove this one"
            )
        return splits

    @functools.cached_property
    def cohort(self) -> Cohort:
        """The prepared cohort with its policies applied."""
        return open_cohort(self.study.cohort, str(self.workdir.cohort), self.splits)

    @functools.cached_property
    def spec(self) -> CohortSpec:
        """The cohort's specification at the study's levels."""
        return self.study.spec(self.cohort.spec)

    def rows(self, *parts: str) -> np.ndarray:
        """Row numbers of the cohort in the named parts of the split."""
        return self.splits.rows(self.cohort.table, *parts)

    def evaluated_rows(self) -> np.ndarray:
        """Validation and test rows that are assessed (for volumes, the slices that the cohort's
        policy names).

        Raises:
          InputError: there are none; the message names the field that left none.
        """
        rows = self.rows("val", "test")
        if not len(rows):
            raise InputError(
                f"config.splits.fractions {self.study.splits.fractions} leave no image for "
                "validation and test: nothing can be evaluated"
            )
        if "evaluate" in self.cohort.table:
            rows = rows[self.cohort.table["evaluate"].to_numpy(bool)[rows]]
        if not len(rows):
            raise InputError(
                f"config.cohort.evaluate_slices {self.study.cohort.evaluate_slices!r} leave no "
                "slice of the validation and test volumes: nothing can be evaluated"
            )
        return rows

    def weights(self, folder: Path) -> Variables:
        """Frozen weights of a model's folder.

        Raises:
          FileNotFoundError: the model has not been trained; the message says how to.
        """
        # weights are written aside and renamed: where the folder is, it is whole
        if not (folder / "final").exists():
            raise FileNotFoundError(
                f"no weights in {folder}: train the model first (`fairrecon train`, or "
                "`fairrecon study` for all)"
            )
        return load_variables(folder / "final")[0]

    def diagnoser_weights(self, training: int | None = None) -> list[Variables]:
        """Frozen weights of all diagnosers, in their order; none of those that run outside of JAX.

        Args:
          training: of the cell whose images they read.

        Raises:
          FileNotFoundError: one has not been trained.
        """
        return [
            self.weights(
                self.workdir.diagnoser(name, self.study.diagnoser_training(name, training))
            )
            if one.has_weights
            else {"params": {}, "batch_stats": {}}
            for name, one in self.study.diagnosers.items()
        ]

    @functools.cached_property
    def metric_weights(self) -> dict[str, Any]:
        """Weights of the image metrics that have some, by name."""
        source = self.study.tandem.lpips
        return {"lpips": read_lpips(source)} if source else {}

    def tandem(self, name: str) -> tuple[Tandem, Callable[..., Any]]:
        """The fused program of one reconstructor, compiled on first use and kept for all levels."""
        if name not in self._steps:
            tandem = Tandem(
                self.study.degradation.physics,
                self.study.reconstructors[name].model,
                tuple(diagnoser.model for diagnoser in self.study.diagnosers.values()),
                self.spec,
                self.study.tandem.image_metrics,
            )
            # by name alone: level and weights are arguments of the program
            self._steps[name] = tandem, announced(compile_step(tandem), f"predict {name}")
        return self._steps[name]
