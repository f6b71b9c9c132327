"""A mean-reverting diffusion model (IR-SDE): learns to undo the noisy path from the original to the
degraded image, and samples it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.diffusion import SDE, Precondition, Sampler, make_sampler, sample, step_table
from fairrecon_jax.diffusion.sde import at
from fairrecon_jax.keys import example_keys, free
from fairrecon_jax.models.apply import apply_network, init_network, weighted_mean
from fairrecon_jax.models.conditional_unet import ConditionalUNet
from fairrecon_jax.reconstructors.interface import (
    Finish,
    check_finish,
    finished,
    image_errors,
    register,
)
from fairrecon_jax.registry import FLAT, TRAINING, UNCHANGED
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training.trainable import Phase, PhaseOutput
from fairrecon_jax.types import Array, Batch, Key, MethodTitle, Precision, Variables

NETWORK = "noise"
# Streams of a key: the matching loss, the clean estimate for an objective, sampling.
MATCH, CLEAN, SAMPLE = range(3)


def _eval_sampler(eval_preset: str = "ode2_10") -> Sampler:
    """The sampler of a validation: ten evaluations of the network instead of a hundred."""
    return make_sampler(eval_preset)


@register("irsde")
@dataclass(frozen=True)
class IrsdeReconstructor:
    """Samples the reverse of dx = theta_t (mu - x) dt + sigma_t dw from the degraded image mu to an
    estimate of the original.

    Training draws a time and noise per example and matches the mean of the reverse step at the
    network's noise estimate with the optimal reverse state: loss = weighted mean over examples of
    the mean absolute ("l1") or squared ("l2") difference over pixels.

    Sampling runs `samples` trajectories per image, at most `chunk` trajectories at a time. Beside a
    few copies of the batch its working memory is then within (60 width + 3200) chunk H W / patch^2
    bytes in float32, whatever the batch; 3200 is for the attention, 0 without.

    Attributes:
      width: channels of the first level of the network (64 in the paper).
      depth: levels of the network (4 in the paper).
      attention: linear attention at every level (on in the paper).
      patch: pixels of a block that the network sees as one; 1 in the paper, 2 is four times
        cheaper.
      precondition: None (paper): the network takes x_t - mu and gives the noise. Otherwise the
        deviations (sd, fine) of x_0 - mu with which its input and output are scaled to unit size at
        every time, see `diffusion.Precondition`.
      sde: the equation; in a configuration its fields schedule, T, lam and eps.
      loss_norm: "l1" (paper) or "l2".
      start: of the network's parameters, "quiet" (kernels of variance 1 / fan-in, and a last one of
        0: the first output is 0, with `precondition` the first estimate the linear one) or "torch"
        (paper), the default of PyTorch's layers.
      time_power: p of the density t^(p - 1) that training draws times from; 1 (paper) is uniform.
        Above it more of them are late, where x_t no longer tells x_0 and the network has to read it
        off the degraded image.
      objective_max_t: latest time at which a mitigation objective sees the clean estimate, see
        `loss`; T / 2 if None.
      sampler: of `reconstruct`; in a configuration preset ("paper", Euler's method with 100 steps),
        and method, steps, order and rho, which replace those of the preset: see
        `diffusion.make_sampler`.
      eval_sampler: of `evaluate`; in a configuration eval_preset, a name in `diffusion.PRESETS`.
      samples: the reconstruction is the mean of so many samples.
      finish: of the reconstructions, "clip", "as_is" or "min_max" (published), see `Finish`.
      clip: clip every clean estimate to [0, 1] while sampling.
      chunk: trajectories sampled at a time.
      dtype: type of the network's computation, "float32" or "bfloat16".
      remat: compute the network's blocks anew for the gradient; set by the training's own field.
      bn_axis: mapped axis that training steps average weights over, or None outside of one.
      name: name in tables.

    Example:
      >>> model = IrsdeReconstructor(width=2, depth=1, sampler=make_sampler("ode2_5"))
      >>> keys, degraded = jax.random.split(jax.random.key(0), 3), np.zeros((3, 16, 16, 1))
      >>> weights = jax.eval_shape(model.init, keys[0], {"image": degraded})
      >>> jax.eval_shape(model.reconstruct, weights, degraded, keys).shape
      (3, 16, 16, 1)
    """

    width: int = 64
    depth: int = 4
    attention: bool = True
    patch: int = 1
    precondition: tuple[float, float] | None = None
    sde: SDE = dataclasses.field(default_factory=SDE, metadata=FLAT)
    loss_norm: Literal["l1", "l2"] = dataclasses.field(default="l1", metadata=TRAINING)
    start: Literal["quiet", "torch"] = dataclasses.field(default="quiet", metadata=TRAINING)
    time_power: float = dataclasses.field(default=1.0, metadata=TRAINING)
    objective_max_t: int | None = dataclasses.field(default=None, metadata=TRAINING)
    sampler: Sampler = dataclasses.field(default_factory=make_sampler, metadata=FLAT)
    eval_sampler: Sampler = dataclasses.field(
        default_factory=_eval_sampler, metadata={**FLAT, **TRAINING}
    )
    samples: int = 1
    finish: Finish = "clip"
    clip: bool = False
    chunk: int = free(32)
    dtype: Precision = "float32"
    remat: bool = dataclasses.field(default=False, metadata=UNCHANGED)
    bn_axis: str | None = AXIS
    name: str = "irsde"

    # -- parts

    @property
    def method(self) -> MethodTitle:
        """IR-SDE, told apart by its sampler."""
        return MethodTitle("IR-SDE", self.sampler.title)

    @property
    def scaling(self) -> Precondition | None:
        """How input and output of the network are scaled; None where they are not."""
        return None if self.precondition is None else Precondition(self.sde, *self.precondition)

    @property
    def network(self) -> ConditionalUNet:
        """The network."""
        return ConditionalUNet(
            1, self.width, self.depth, self.attention, self.patch, jnp.dtype(self.dtype), self.remat
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One phase."""
        return (Phase(NETWORK, self.loss),)

    def check(self, size: int) -> None:
        """Builds the tables of both samplers, so that an impossible choice is named before anything
        is compiled.

        Args:
          size: height and width of the images in pixels.

        Raises:
          ValueError: a field is refused; the message names it.
        """
        check_finish(self.finish)
        for field in ("width", "depth", "patch", "samples", "chunk"):
            if getattr(self, field) < 1:
                raise ValueError(f"irsde: {field} must be at least 1, got {getattr(self, field)}")
        if self.width % 2:
            raise ValueError(
                f"irsde: width must be even (sines and cosines of the time), got {self.width}"
            )
        if self.precondition is not None and len(self.precondition) != 2:
            raise ValueError(
                "irsde: precondition must be two deviations (sd, fine) or None, got "
                f"{self.precondition}"
            )
        _ = self.scaling  # refuses what is no deviation
        if self.start not in ("quiet", "torch"):
            raise ValueError(f"irsde: start is 'quiet' or 'torch', got {self.start!r}")
        if not self.time_power > 0:
            raise ValueError(f"irsde: time_power must be above 0, got {self.time_power}")
        if not 1 <= self._objective_max_t <= self.sde.T:
            raise ValueError(
                f"irsde: objective_max_t must lie in 1 .. T = {self.sde.T}, got "
                f"{self.objective_max_t}"
            )
        # Fails here where the steps do not fit on the times.
        for sampler in (self.sampler, self.eval_sampler):
            step_table(self.sde, sampler)
        if size % self.patch:
            raise ValueError(
                f"irsde: patch must divide the {size} pixels along a side of the images, got "
                f"{self.patch}"
            )
        # Less than a pixel of the image would be left at the deepest level.
        multiple = self.patch * 2 ** min(self.depth, size.bit_length() + 1)
        if multiple > size:
            raise ValueError(
                f"irsde: images of {size}x{size} pixels are too small for depth "
                f"{self.depth} and patch {self.patch}, "
                f"which need at least {multiple}: lower depth or patch"
            )

    # -- training

    @property
    def validation_metrics(self) -> Mapping[str, Literal["max", "min"]]:
        """Lower matching "loss", higher "psnr" and lower "mse" of a sample."""
        return {"loss": "min", "psnr": "max", "mse": "min"}

    def init(self, key: Key, batch: Batch) -> Variables:
        """Fresh variables for images of the batch's size, see `start`."""
        inputs = (batch["image"][:1], batch["image"][:1], np.zeros(1, np.float32))
        if self.start == "torch":
            return init_network(self.network, NETWORK, key, *inputs, start="torch")
        fresh = init_network(self.network, NETWORK, key, *inputs)
        return jax.tree_util.tree_map_with_path(_from_zero, fresh)

    def loss(
        self, variables: Variables, batch: Batch, key: Key, train: bool
    ) -> tuple[Array, PhaseOutput]:
        """The matching loss at one time per example; time (see `time_power`) and noise depend on
        the key and the example only.

        The clean estimate of the output is for a mitigation objective: X_t = mu + (x_t - mu - sg_t
        e) / a_t clipped to [0, 1]. Towards T an error of the network is amplified by sg_t / a_t
        (7.8 at T) and X_t is no image that a diagnosis could read, so it is estimated at a second
        time, uniform in 1 .. `objective_max_t`, where the default amplifies at most by 0.1. That
        costs a second pass of the network, which a compiled step without an objective leaves out.

        Args:
          variables: as made by `init`.
          batch: with "degraded".
          key: of the step.
          train: weights are averaged over `bn_axis`.

        Returns:
          The scalar, and the clean estimate.
        """
        errors = self._matching(variables, batch, jax.random.fold_in(key, MATCH))
        loss = weighted_mean(errors, batch["weight"], self.bn_axis if train else None)
        # A stream of its own: with and without an objective the matching loss draws the same noise.
        clean = self.clean_estimate(variables, batch, jax.random.fold_in(key, CLEAN))
        return loss, PhaseOutput(clean, variables["batch_stats"], {"matching": loss})

    def clean_estimate(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """X_t clipped to [0, 1], [B, H, W, 1], at a time uniform in 1 .. `objective_max_t`;
        differentiable, see `loss`.
        """
        # Uniform whatever `time_power` is: an objective has no late times to learn.
        t, _, x, mu = self._noisy(batch, key, self._objective_max_t)
        return jnp.clip(
            self.sde.clean(x, mu, t, self.noise_estimate(variables, mu, x, t)), 0.0, 1.0
        )

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> dict[str, tuple[Array, Array]]:
        """Per-example "loss" (the matching loss), and "mse" and "psnr" of one sample of
        `eval_sampler`; see `image_errors`.
        """
        errors = self._matching(variables, batch, jax.random.fold_in(key, MATCH))
        keys = example_keys(jax.random.fold_in(key, SAMPLE), batch["example_id"])
        estimate = self._sample(variables, batch["degraded"], keys, self.eval_sampler)
        return {
            "loss": (errors, batch["weight"]),
            **image_errors(estimate, batch["image"], batch["weight"]),
        }

    def _matching(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """The matching loss of each example [B]; with `precondition` in units of the network's
        output, so that every time counts alike.
        """
        t, _, x, mu = self._noisy(batch, key, self.sde.T, self.time_power)
        reached = self.sde.reverse_mean(x, mu, t, self.noise_estimate(variables, mu, x, t))
        difference = reached - self.sde.optimal_reverse(
            x, jnp.asarray(batch["image"], jnp.float32), mu, t
        )
        if self.scaling is not None:
            # Otherwise late times, whose reverse step moves most per unit of output, would rule the
            # loss.
            difference = difference / at(self.scaling.gain, t)
        return jnp.mean(
            jnp.abs(difference) if self.loss_norm == "l1" else difference**2, axis=(1, 2, 3)
        )

    def _noisy(
        self, batch: Batch, key: Key, latest: int, power: float = 1.0
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """(t [B], e, x_t, mu), t in 1 .. latest of density t^(power - 1)."""
        image, mu = (jnp.asarray(batch[name], jnp.float32) for name in ("image", "degraded"))

        def draw(example: Key) -> tuple[jax.Array, jax.Array]:
            of_time, of_noise = jax.random.split(example)
            return draw_time(of_time, latest, power), jax.random.normal(of_noise, image.shape[1:])

        # Time and noise go with the example, not with its place in the batch or its device.
        t, noise = jax.vmap(draw)(example_keys(key, batch["example_id"]))
        return t, noise, self.sde.forward(image, mu, t, noise), mu

    def noise_estimate(self, variables: Variables, mu: Array, x: Array, t: Array) -> jax.Array:
        """The estimate of e.

        Without `precondition` it is F(x_t, mu, t), F the network; with it see
        `diffusion.Precondition`.

        Args:
          variables: as made by `init`.
          mu: degraded images [B, H, W, 1].
          x: x_t [B, H, W, 1].
          t: [B] in 1 .. T, integer or float.

        Returns:
          [B, H, W, 1] float32.
        """
        if self.scaling is None:
            return self._apply(variables, x, mu, t)
        # The sampler gives float times. The network subtracts mu itself, so it gets mu plus the
        # scaled difference.
        now = t.astype(jnp.int32)
        return self.scaling.noise(
            x, mu, now, self._apply(variables, mu + (x - mu) / at(self.scaling.size, now), mu, t)
        )

    def _apply(self, variables: Variables, x: Array, mu: Array, t: Array) -> jax.Array:
        return apply_network(self.network, NETWORK, variables, x, mu, t, train=False)[0]

    @property
    def _objective_max_t(self) -> int:
        return max(self.sde.T // 2, 1) if self.objective_max_t is None else self.objective_max_t

    # -- sampling

    def reconstruct(self, variables: Variables, degraded: Array, keys: Key) -> jax.Array:
        """The mean of `samples` samples, finished.

        Args:
          variables: as made by `init`.
          degraded: [B, H, W, 1].
          keys: one per example [B]; sample i uses its stream i.

        Returns:
          [B, H, W, 1] float32.
        """
        # [B, S] keys, in the order of the repeated rows: image by image, S samples each.
        streams = jax.vmap(
            lambda key: jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(self.samples))
        )(keys)
        mu = jnp.repeat(jnp.asarray(degraded, jnp.float32), self.samples, axis=0)
        drawn = self._sample(variables, mu, streams.reshape(-1), self.sampler)
        # Mean first: clipping every sample would move the mean away from 0 and 1.
        return finished(
            jnp.mean(drawn.reshape(-1, self.samples, *mu.shape[1:]), axis=1), self.finish
        )

    def _sample(self, variables: Variables, mu: Array, keys: Key, sampler: Sampler) -> jax.Array:
        """One sample per row, at most `chunk` rows at a time; equal parts, the last one filled up
        with rows from the start.
        """
        count = len(mu)
        # ceil, twice: fewer rows are filled up than there are parts.
        parts = max(-(-count // self.chunk), 1)
        size = -(-count // parts)
        # Equal parts: one compiled program samples all of them.
        rows = np.arange(parts * size).reshape(parts, size) % count
        run = functools.partial(self._sample_part, variables, step_table(self.sde, sampler))
        if parts == 1:
            return run((mu, keys))
        # A loop, not a vmap: `chunk` is there to bound the memory.
        drawn = jax.lax.map(run, (jnp.asarray(mu)[rows], keys[rows]))
        return drawn.reshape(-1, *mu.shape[1:])[:count]

    def _sample_part(
        self, variables: Variables, table: np.ndarray, part: tuple[Any, Key]
    ) -> jax.Array:
        mu, keys = part
        return sample(
            lambda x, t: self.noise_estimate(variables, mu, x, t),
            mu,
            keys,
            table,
            self.sde.lam,
            self.clip,
        )


def draw_time(key: Key, latest: int, power: float) -> jax.Array:
    """An int32 time in 1 .. latest, P(t <= s) = (s / latest)^power."""
    # Exactly uniform, and exact in whole numbers.
    if power == 1:
        return jax.random.randint(key, (), 1, latest + 1)
    share = jax.random.uniform(key) ** (1 / power)
    # A share of exactly 0 would give time 0.
    return jnp.clip(jnp.ceil(share * latest), 1, latest).astype(jnp.int32)


def _from_zero(path: Any, leaf: jax.Array) -> jax.Array:
    """A start value, with a last kernel of 0."""
    names = [part.key for part in path]
    return jnp.zeros_like(leaf) if names[-1] == "kernel" and "head" in names else leaf
