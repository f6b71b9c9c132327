"""Sampling inside the fused step: the same images whatever the batch size and the devices, one
program for all levels and weights.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from fairrecon_jax.diffusion import PRESETS
from fairrecon_jax.physics import describe, make_degradation
from fairrecon_jax.reconstructors import IrsdeReconstructor
from fairrecon_jax.runtime.devices import pad_batch
from fairrecon_jax.tandem import Tandem, compile_step
from fairrecon_jax.types import CohortSpec

SIZE, COUNT = 16, 8
SPEC = CohortSpec("toy", "Toy", "mri", (), (), describe("mri_radial", (4.0, 8.0), 8.0))
MODEL = IrsdeReconstructor(
    4, 1, False, precondition=(0.1, 0.05), sampler=PRESETS["sde2_20"], samples=2, chunk=3
)


@dataclasses.dataclass(frozen=True)
class Nothing:
    """Diagnoses nothing, so that the step's rows are those of the images alone."""

    name: str = "nothing"
    tasks: tuple[str, ...] = ()

    def predict(self, variables, image):
        return image[:, 0, 0, :0]


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.random((COUNT, SIZE, SIZE, 1), np.float32),
        "mask": np.zeros((COUNT, SIZE, SIZE, 0), np.float32),
        "labels": np.zeros((COUNT, 0), np.float32),
        "attributes": np.zeros((COUNT, 0), np.int32),
        "example_id": rng.integers(0, 2**32, (COUNT, 2), dtype=np.uint32),
        "index": np.arange(COUNT, dtype=np.int32),
        "weight": np.ones(COUNT, np.float32),
    }


def weights(batch, seed: int):
    def stir(path, leaf):
        return leaf + 0.02 * np.random.default_rng(seed + len(str(path))).standard_normal(
            leaf.shape
        ).astype(np.float32)

    return jax.tree_util.tree_map_with_path(stir, MODEL.init(jax.random.key(seed), batch))


TANDEM = Tandem(make_degradation("mri_radial", size=SIZE), MODEL, (Nothing(),), SPEC)


def run(batch, size: int, devices: int = 1) -> np.ndarray:
    inputs = TANDEM.inputs(8.0, weights(batch, 0), ({},), jax.random.key(3))
    step, parts = compile_step(TANDEM, devices), []
    for start in range(0, COUNT, size):
        part = {name: value[start : start + size] for name, value in batch.items()}
        kept = len(part["index"])
        parts.append(np.asarray(step(inputs, pad_batch(part, size))["psnr"])[:kept])
    return np.concatenate(parts)


def test_batch_size_padding_and_devices_do_not_matter(batch):
    whole = run(batch, 8)
    for size, devices in ((3, 1), (8, 4)):
        np.testing.assert_allclose(run(batch, size, devices), whole, rtol=1e-5)
    assert np.ptp(whole) > 0.01


def test_levels_and_weights_share_one_program(batch):
    step = jax.jit(TANDEM.step)
    values = [
        np.asarray(
            step(TANDEM.inputs(level, weights(batch, s), ({},), jax.random.key(s)), batch)["psnr"]
        )
        for s, level in enumerate((4.0, 8.0))
    ]
    assert step._cache_size() == 1
    assert np.abs(values[0] - values[1]).min() > 0
