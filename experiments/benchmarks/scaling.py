"""Images a second of the fused step by number of simulated devices and batch:
`python -m experiments.benchmarks.scaling`, a minute. Each device count is a process of its
own; all devices share the cores.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

DEVICES, BATCHES, REPEATS = (1, 2, 4), (8, 32, 128), 5


def rates(devices: int) -> list[float]:
    """Images a second by batch, the median of some runs over 128 images of 64 pixels."""
    import jax
    import numpy as np
    from absl import logging

    from experiments.benchmarks.tandem import Case
    from fairrecon_jax.runtime.progress import quiet
    from fairrecon_jax.study.predict import predict
    from fairrecon_jax.tandem import compile_step

    quiet(logging.ERROR)
    assert jax.device_count() == devices
    case = Case("small")
    inputs, rows = case.inputs(), np.arange(case.count)
    step, found = compile_step(case.tandem, devices), []
    for batch in BATCHES:
        seconds = []
        for _ in range(REPEATS + 1):
            started = time.perf_counter()
            predict(step, inputs, case.cohort, rows, batch, devices)
            seconds.append(time.perf_counter() - started)
        # the first one compiles
        found.append(case.count / statistics.median(seconds[1:]))
    return found


def main() -> None:
    """Runs every device count in a process and prints a table in Markdown."""
    print("| devices | " + " | ".join(f"batch {batch}" for batch in BATCHES) + " |")
    print("|---" * (1 + len(BATCHES)) + "|")
    for devices in DEVICES:
        flags = f"--xla_force_host_platform_device_count={devices}"
        shell = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        command = [sys.executable, "-m", "experiments.benchmarks.scaling", str(devices)]
        done = subprocess.run(command, env=shell, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        print(f"| {devices} | {done.stdout.strip().splitlines()[-1]} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(" | ".join(f"{rate:.0f}" for rate in rates(int(sys.argv[1]))))
    else:
        main()
