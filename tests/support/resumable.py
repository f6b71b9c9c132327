"""A run to be killed: `python resumable.py WORKDIR SECONDS_PER_STEP [CHECKPOINT_EVERY]`."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

import numpy as np

from fairrecon_jax.runtime import processes
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.loop import fit
from tests.support.training_fakes import FakeCohort, FakeGan, degrade

CONFIG = TrainConfig(
    steps=60,
    batch_size=4,
    learning_rate=0.05,
    schedule="cosine",
    ema=0.95,
    eval_every=13,
    selection="error",
    selection_mode="min",
    checkpoint_every=5,
    log_every=3,
    seed=7,
)


@dataclasses.dataclass(frozen=True)
class SlowCohort(FakeCohort):
    """Takes its time."""

    pause: float = 0.0

    def example(self, i: int) -> dict[str, Any]:
        time.sleep(self.pause / 4)
        return super().example(i)


def run(workdir: Any, pause: float = 0.0, checkpoint_every: int = 5) -> Any:
    """The run, always the same."""
    cohort, config = (
        SlowCohort(23, pause=pause),
        dataclasses.replace(CONFIG, checkpoint_every=checkpoint_every),
    )
    return fit(
        FakeGan(),
        (cohort, np.arange(18)),
        (cohort, np.arange(18, 23)),
        config,
        workdir,
        prepare=degrade,
        devices=1,
    )


if __name__ == "__main__":
    processes.start()
    run(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 5)
