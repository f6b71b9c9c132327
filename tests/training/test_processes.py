"""Two processes train what one trains, and one of them keeps the log."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from fairrecon_jax.training.checkpoints import load_variables
from fairrecon_jax.training.metrics_writer import read_metrics
from tests.support import resumable
from tests.support.processes import run_processes
from tests.support.resumable import CONFIG, run

HERE = Path(__file__).parent


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    run(tmp_path / "one")
    told = run_processes([resumable.__file__, str(tmp_path / "two"), "0"])
    assert [process.code for process in told] == [0, 0], told
    assert ["step 60/60" in process.err for process in told] == [True, False]
    one, two = (load_variables(tmp_path / name / "final")[0] for name in ("one", "two"))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    logs = [
        [(line["step"], line["split"]) for line in read_metrics(tmp_path / name / "metrics.jsonl")]
        for name in ("one", "two")
    ]
    assert logs[0] == logs[1]
    assert len(logs[1]) == CONFIG.steps // CONFIG.log_every + 5
