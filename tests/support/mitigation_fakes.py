"""Frozen diagnosers simple enough to check by hand, and batches whose groups they treat unlike."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.keys import example_keys
from fairrecon_jax.mitigation import FrozenDiagnoser, MitigationContext
from fairrecon_jax.physics import describe
from fairrecon_jax.runtime.devices import AXIS, shard
from fairrecon_jax.training import Phase, PhaseOutput
from fairrecon_jax.types import Attribute, CohortSpec, Task

SPEC = CohortSpec(
    "small",
    "Small",
    "xray",
    (
        Task("tumour", "segmentation"),
        Task("oedema", "classification"),
        Task("effusion", "classification"),
    ),
    (Attribute("sex", ("Female", "Male")), Attribute("race", ("a", "b", "c"))),
    describe("xray_low_dose", (1e4,), 1e4),
)


@dataclasses.dataclass(frozen=True)
class Bright:
    """Score of task t: sigmoid(gain * (mean of column block t - 0.5)); features: the means."""

    tasks: tuple[str, ...] = ("oedema", "effusion")
    name: str = "bright"

    def features(self, variables: Any, image: Any) -> Any:
        return jnp.stack([part.mean((1, 2, 3)) for part in jnp.split(image, 2, axis=2)], 1)

    def predict(self, variables: Any, image: Any) -> Any:
        return jax.nn.sigmoid(
            variables["params"]["gain"]
            * (self.features(variables, image)[:, : len(self.tasks)] - 0.5)
        )


@dataclasses.dataclass(frozen=True)
class Outline:
    """Mask probability = sigmoid(gain * (pixel - 0.5))."""

    tasks: tuple[str, ...] = ("tumour",)
    name: str = "outline"

    def predict(self, variables: Any, image: Any) -> Any:
        return jax.nn.sigmoid(variables["params"]["gain"] * (image - 0.5))


@functools.cache
def _whole(count: int) -> dict[str, np.ndarray]:
    return batch(count)


@dataclasses.dataclass(frozen=True)
class Rows:
    """A cohort of the examples of `batch`."""

    count: int = 32

    def example(self, i: int) -> dict[str, Any]:
        return {name: value[i] for name, value in _whole(self.count).items()}


@dataclasses.dataclass(frozen=True)
class Ghost:
    """A tiny generative reconstructor: clean = scale * degraded + shift + keyed noise, and a critic
    whose phase has no clean estimate.
    """

    name: str = "ghost"

    def init(self, key: Any, whole: Any) -> Any:
        params = {
            "net": {"scale": jnp.float32(0.9), "shift": jnp.zeros(())},
            "critic": {"level": jnp.ones(())},
        }
        return {"params": params, "batch_stats": {}}

    def clean(self, variables: Any, whole: Any, key: Any) -> Any:
        net, keys = variables["params"]["net"], example_keys(key, whole["example_id"])
        noise = jax.vmap(lambda k: jax.random.normal(k, whole["degraded"].shape[1:]))(keys)
        return net["scale"] * whole["degraded"] + net["shift"] + 0.01 * noise

    def loss(self, variables: Any, whole: Any, key: Any, train: bool) -> Any:
        clean = self.clean(variables, whole, key)
        loss = jnp.mean((clean - whole["image"]) ** 2)
        return loss, PhaseOutput(clean, {}, {"mse": loss})

    def critic_loss(self, variables: Any, whole: Any, key: Any, train: bool) -> Any:
        return (variables["params"]["critic"]["level"] - 0.5) ** 2, PhaseOutput(None, {}, {})

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("net", self.loss), Phase("critic", self.critic_loss))

    @property
    def validation_metrics(self) -> dict[str, str]:
        return {"error": "min"}

    def evaluate(self, variables: Any, whole: Any, key: Any) -> Any:
        errors = jnp.mean((self.clean(variables, whole, key) - whole["image"]) ** 2, axis=(1, 2, 3))
        return {"error": (errors, whole["weight"])}


def dim(whole: Any, key: Any) -> Any:
    """Adds the degraded image: half the contrast."""
    return {**whole, "degraded": 0.5 + 0.5 * (whole["image"] - 0.5)}


def context(*diagnosers: str) -> MitigationContext:
    """The cohort with the named diagnosers ("bright", "outline")."""
    made = {"bright": Bright(), "outline": Outline()}
    return MitigationContext(
        SPEC,
        tuple(
            FrozenDiagnoser(made[name], {"params": {"gain": jnp.float32(8.0)}, "batch_stats": {}})
            for name in diagnosers
        ),
    )


def batch(size: int = 16, seed: int = 0) -> dict[str, np.ndarray]:
    """Images in which positives are bright, those of women less so; some labels and groups are
    unknown.
    """
    r = np.random.default_rng(seed)
    labels = (np.arange(size)[:, None] // np.array([1, 2]) % 2).astype(np.float32)
    attributes = np.stack([np.arange(size) // 4 % 2, np.arange(size) % 3], 1).astype(np.int32)
    effect = 0.2 * (2 * labels - 1) * np.where(attributes[:, :1] == 0, 0.3, 1.0)
    image = (
        0.5 + np.repeat(effect, 4, 1)[:, None, :, None] + 0.03 * r.standard_normal((size, 8, 8, 1))
    )
    mask = np.zeros((size, 8, 8, 1), np.float32)
    mask[::2, 2:6, 2:6] = 1
    labels[-1, 0], attributes[-2, 1] = np.nan, -1
    return {
        "image": image.clip(0, 1).astype(np.float32),
        "mask": mask,
        "labels": labels,
        "attributes": attributes,
        "example_id": r.integers(0, 2**32, (size, 2), dtype=np.uint32),
        "index": np.arange(size, dtype=np.int32),
        "weight": np.ones(size, np.float32),
    }


def on_devices(function: Any, devices: int) -> Any:
    """Compiles `function(shared, batch) -> reduced values` over the parts of a batch, as the
    training step is.
    """
    mapped = jax.jit(jax.vmap(function, axis_name=AXIS, in_axes=(None, 0), out_axes=None))
    return lambda shared, whole: mapped(shared, shard(whole, devices))


def value_of(objective: Any, devices: int = 1) -> Any:
    """`(state, batch with "clean") -> (value, state, metrics)` of one call."""

    def run(state: Any, part: Any) -> Any:
        return objective(part["clean"], part, state, jax.random.key(0))

    return on_devices(run, devices)


def gradient_of(objective: Any) -> Any:
    """`(state, batch, clean) -> d value / d clean` on one device, and the value itself."""

    def run(clean: Any, state: Any, whole: Any) -> Any:
        one = jax.vmap(
            lambda part: objective(part["clean"], part, state, jax.random.key(0))[0], axis_name=AXIS
        )
        return one({name: jnp.asarray(v)[None] for name, v in {**whole, "clean": clean}.items()})[0]

    return jax.jit(jax.grad(run)), jax.jit(run)


def seen(whole: dict[str, np.ndarray], shift: float = 0.0) -> dict[str, np.ndarray]:
    """The batch with an estimate: the image moved by a constant."""
    return {**whole, "clean": (whole["image"] + np.float32(shift)).clip(0, 1)}
