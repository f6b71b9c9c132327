"""Two processes train what one trains, and one of them keeps the log."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from resumable import CONFIG, run

from fairrecon_jax.training.checkpoints import load_variables
from fairrecon_jax.training.metrics_writer import read_metrics

HERE = Path(__file__).parent


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    run(tmp_path / "one")
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        address = f"localhost:{listener.getsockname()[1]}"
    environment = {
        **os.environ,
        "XLA_FLAGS": "",
        "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}",
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": "2",
    }
    command = [sys.executable, str(HERE / "resumable.py"), str(tmp_path / "two"), "0"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen(command, env={**environment, "JAX_PROCESS_ID": str(n)}, **pipes) for n in (0, 1)]
    told = [process.communicate(timeout=300)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], told
    assert ["step 60/60" in text for text in told] == [True, False]
    one, two = (load_variables(tmp_path / name / "final")[0] for name in ("one", "two"))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    logs = [[(line["step"], line["split"]) for line in read_metrics(tmp_path / name / "metrics.jsonl")] for name in ("one", "two")]
    assert logs[0] == logs[1]
    assert len(logs[1]) == CONFIG.steps // CONFIG.log_every + 5
