"""Where everything of a study lies: paths, and nothing else.

```
<workdir>/config.json  splits.json  predictions.parquet
          phantom/                                 the phantom tree, where the study draws one
          cohort/                                  the prepared cohort (array_record)
          diagnosers/<name>/                       training run and frozen weights; one folder
                                                   training<seed> each where there are several
          reconstructors/<name>/<level>/           the same; imported weights lie here too
          mitigated/<mitigation>/<reconstructor>/<level>/
          predictions/<reconstructor>__<level>.parquet
                      <reconstructor>__<level>__<mitigation>.parquet
          results/performance.csv  fairness.csv  mitigation.csv  mitigation_sweep.csv
          reconstructions/<reconstructor>/<level>/
          report/index.html  figures/  tables/
          stages/                                  one record for each stage that is done, and one
                                                   for config.json
          study.log  study.log.1                   what every command did, and how it ended
          locks/                                   one lock for each stage, see `locking`
```
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fairrecon_jax.types import Cell, level_name


@dataclasses.dataclass(frozen=True)
class Workdir:
    """The paths of one study.

    Attributes:
      root: the folder that holds everything.
    """

    root: Path

    @property
    def config(self) -> Path:
        """The study's configuration as JSON."""
        return self.root / "config.json"

    @property
    def config_record(self) -> Path:
        """The digest of that file, kept like the record of a stage."""
        return self.stages / "config.seal"

    @property
    def splits(self) -> Path:
        """The patient splits."""
        return self.root / "splits.json"

    @property
    def phantom(self) -> Path:
        """The phantom tree."""
        return self.root / "phantom"

    @property
    def cohort(self) -> Path:
        """Prepared cohorts."""
        return self.root / "cohort"

    @property
    def stages(self) -> Path:
        """Records of the stages that are done."""
        return self.root / "stages"

    @property
    def locks(self) -> Path:
        """Locks of the stages, held while one is made or read."""
        return self.root / "locks"

    @property
    def predictions(self) -> Path:
        """The predictions of all cells in one table."""
        return self.root / "predictions.parquet"

    @property
    def page(self) -> Path:
        """The report's page."""
        return self.root / "report" / "index.html"

    def diagnoser(self, name: str, training: int | None = None) -> Path:
        """A diagnoser's training run and weights."""
        folder = self.root / "diagnosers" / name
        return folder if training is None else folder / f"training{training}"

    def model(self, cell: Cell) -> Path:
        """A reconstructor's training run and weights, mitigated or not."""
        # the level by name, as 8 and 8.0 are one folder
        inner = Path(cell.reconstructor) / level_name(cell.level)
        if cell.training is not None:
            inner /= f"training{cell.training}"
        if cell.is_mitigated:
            # by variant: each weight that is tried has a training of its own
            return self.root / "mitigated" / cell.variant / inner
        return self.root / "reconstructors" / inner

    def prediction(self, cell: Cell) -> Path:
        """The predictions of one cell."""
        return self.root / "predictions" / f"{cell.stem}.parquet"

    def result(self, name: str) -> Path:
        """A table of results."""
        return self.root / "results" / f"{name}.csv"

    def reconstructions(self, cell: Cell) -> Path:
        """Images of one cell."""
        inner = Path(cell.reconstructor) / level_name(cell.level)
        if cell.training is not None:
            inner /= f"training{cell.training}"
        return self.root / "reconstructions" / inner
