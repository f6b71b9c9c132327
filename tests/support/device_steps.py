"""A batch and a step whose results must not depend on devices or processes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.keys import example_digest, example_keys
from fairrecon_jax.runtime.devices import AXIS


def batch(count: int) -> dict[str, np.ndarray]:
    """Examples named patient0, patient1 and so on."""
    ids = np.stack([example_digest(f"patient{i}") for i in range(count)])
    values = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    return {
        "value": values,
        "example_id": ids,
        "index": np.arange(count, dtype=np.int32),
        "weight": np.ones(count, np.float32),
    }


def step(state: Any, rows: Any) -> Any:
    """Sums the mean of values and noise, over all examples of all devices."""
    noise = jax.vmap(lambda key: jax.random.normal(key, (3,)))(
        example_keys(state["key"], rows["example_id"])
    )
    mean = jax.lax.pmean(jnp.mean(rows["value"] + noise), AXIS)
    count = jax.lax.psum(rows["value"].shape[0], AXIS)
    return {"key": state["key"], "sum": state["sum"] + mean}, {
        "mean": mean,
        "count": jnp.float32(count),
    }
