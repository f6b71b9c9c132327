"""A cohort without files and networks small enough to check by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.keys import example_digest, example_keys
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training import Phase, PhaseOutput


@dataclasses.dataclass(frozen=True)
class FakeCohort:
    """Examples that are functions of their row number."""

    count: int
    size: int = 4

    def example(self, i: int) -> dict[str, Any]:
        rng = np.random.default_rng(i)
        return {
            "image": rng.random((self.size, self.size, 1), dtype=np.float32),
            "mask": np.zeros((self.size, self.size, 0), np.float32),
            "labels": np.array([i % 2], np.float32),
            "attributes": np.array([i % 3], np.int32),
            "example_id": example_digest(f"example{i}"),
            "index": np.int32(i),
            "weight": np.float32(1),
        }


def degrade(batch: Any, key: Any) -> Any:
    """Adds noise that depends on the key and the example."""
    keys = example_keys(key, batch["example_id"])
    phase = jax.random.key_data(keys)[:, :1].astype(jnp.float32)[:, :, None, None]
    noise = jnp.sin(
        phase * 1e-3
        + 2.0
        * jnp.arange(batch["image"][0].size, dtype=jnp.float32).reshape(
            1, *batch["image"].shape[1:]
        )
    )
    return {**batch, "degraded": batch["image"] + 0.14 * noise}


@dataclasses.dataclass(frozen=True)
class FakeReconstructor:
    """clean = scale * degraded + shift, squared error; a running mean as batch statistics."""

    name: str = "fake"
    axis: str | None = AXIS

    def init(self, key: Any, batch: Any) -> Any:
        params = {
            "net": {
                "scale": jax.random.normal(key, ()),
                "shift": jnp.zeros((1, *batch["degraded"].shape[1:])),
            }
        }
        return {"params": params, "batch_stats": {"net": {"mean": jnp.zeros(())}}}

    def loss(self, variables: Any, batch: Any, key: Any, train: bool) -> Any:
        net = variables["params"]["net"]
        clean = net["scale"] * batch["degraded"] + net["shift"]
        value = jnp.mean((clean - batch["image"]) ** 2)
        mean = 0.9 * variables["batch_stats"]["net"]["mean"] + 0.1 * jnp.mean(
            clean.astype(jnp.float32)
        )
        return value, PhaseOutput(clean, {"net": {"mean": mean}}, {"scale": net["scale"]})

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("net", self.loss),)

    @property
    def validation_metrics(self) -> dict[str, str]:
        return {"error": "min"}

    def evaluate(self, variables: Any, batch: Any, key: Any) -> Any:
        net = variables["params"]["net"]
        clean = net["scale"] * batch["degraded"] + net["shift"]
        return {
            "error": (
                jnp.mean((clean - batch["image"]) ** 2, axis=(1, 2, 3)),
                jnp.ones(clean.shape[0]),
            )
        }


@dataclasses.dataclass(frozen=True)
class FakeGan(FakeReconstructor):
    """Two networks, each updated by its own phase; the second sees what the first has left."""

    name: str = "fake_gan"

    def init(self, key: Any, batch: Any) -> Any:
        variables = FakeReconstructor.init(self, key, batch)
        params = {**variables["params"], "critic": {"level": jnp.ones(())}}
        return {"params": params, "batch_stats": variables["batch_stats"]}

    def critic_loss(self, variables: Any, batch: Any, key: Any, train: bool) -> Any:
        params = variables["params"]
        value = (params["critic"]["level"] - jax.lax.stop_gradient(params["net"]["scale"])) ** 2
        return value, PhaseOutput(None, variables["batch_stats"], {"seen": params["net"]["scale"]})

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("net", self.loss), Phase("critic", self.critic_loss))
