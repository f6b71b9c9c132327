"""Equalised odds: a penalty on the task loss and on error rates that differ between groups, as
frozen diagnosers measure them on the estimate.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from fairrecon_jax.metrics.thresholds import balanced_threshold
from fairrecon_jax.mitigation.interface import (
    Mitigation,
    MitigationContext,
    check_choice,
    check_positive,
    register,
)
from fairrecon_jax.mitigation.pooling import (
    combine,
    empty_pool,
    fresh_scale,
    largest,
    pool,
    quotient,
    rescale,
    running_mean,
    spread,
)
from fairrecon_jax.mitigation.readout import Groups, Readings, Readout, everywhere, mean_everywhere
from fairrecon_jax.runtime.devices import AXIS
from fairrecon_jax.training.trainable import Objective
from fairrecon_jax.types import Array, Batch, Key

SMALLEST_ERROR = 1e-3  # smallest 1 - Dice in a ratio
RUNNING = 0.1  # share of a value in the running means of loss, term and threshold, as published
THRESHOLDS = (0.02, 0.98)  # where a tracked threshold stays
START = 0.5  # of a threshold that batches give


@register("equalised_odds")
@dataclasses.dataclass(frozen=True)
class EqualisedOdds(Mitigation):
    """Adds weight * (task loss + fairness term) / (its mean, see `divisor`) * size.

    Task loss: masked binary cross-entropy, and 1 - soft Dice where the region is present. Fairness
    term of a classification task and an attribute: EODD^2, EODD = max over labels y of the spread
    over groups of the soft rate of decisions sigmoid((score - tau) / T) among label y. Of a
    segmentation task: (SER - 1)^2 or log^2 SER, SER = max(1 - Dice_g) / min(1 - Dice_g) of soft
    Dice. Rates are pooled over recent batches (see `pooling.pool`); strata (group and label) with
    too few examples are left out of the spread.

    Attributes:
      weight: lambda.
      attributes: names; () for all.
      tasks: names; () for all that the frozen diagnosers have.
      temperature: T of the soft decision.
      threshold: tau, on the scale of probabilities; or, per task, from the scores and labels of all
        groups in a batch the one at which sensitivity and specificity are closest
        (`metrics.balanced_threshold`): "batch", or "running", as published, a running mean of it
        that starts from 0.5. Where a batch lacks one of the classes, tau stays.
      track_threshold: move tau, a number, per task to where soft sensitivity and soft specificity
        agree.
      threshold_rate: step of the tracked threshold per unit of their difference.
      decay: of the pooled sums from step to step.
      min_count: smallest pooled number of examples of a stratum that enters a spread; at 0 each
        group with a known label enters all, with a rate of 0 where it has no example: with `decay`
        0 as published.
      combine: "max" over attributes and tasks, or "logsumexp".
      sharpness: of "logsumexp".
      ratio: segmentation term, "linear" for (SER - 1)^2 or "log" for log^2 SER.
      task_weight: factor of the task loss inside the term.
      warmup: steps whose mean term becomes the fixed divisor; 0 = no division.
      divisor: "first", the mean over the first `warmup` steps, against which the term can shrink;
        or "running", as published, a running mean over all steps: the term then stays at its size
        however small it becomes, and only the direction of its gradient counts.
      scale: what size is: 1 for "one"; for "loss", as published, the running mean of the loss that
        the term is added to, so that lambda is a share of it: at a mean squared error of 1e-3 the
        term is a thousandth of that of "one".

    Example:
      >>> cohort = fr.arrays(np.zeros((2, 16, 16)), [0, 1], groups={"sex": ["f", "m"]})
      >>> chest = fr.Classifier(("finding",), columns=(0,), backbone="resnet18", width=2)
      >>> frozen = fr.mitigation.FrozenDiagnoser(chest, {"params": {}, "batch_stats": {}})
      >>> term = EqualisedOdds(weight=0.1).objective(MitigationContext(cohort.spec, (frozen,)))
      >>> term.init(jax.random.key(0), {})["tau"].tolist()  # the threshold of each task
      [0.5]

    Reference: the term of Wohlrapp et al., MIDL 2026 (arXiv 2604.10904), after Hardt, Price and
    Srebro 2016 (arXiv 1610.02413).
    """

    weight: float = 1.0
    attributes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    temperature: float = 0.3
    threshold: float | Literal["batch", "running"] = 0.5
    track_threshold: bool = False
    threshold_rate: float = 0.05
    decay: float = 0.9
    min_count: float = 2.0
    combine: Literal["max", "logsumexp"] = "max"
    sharpness: float = 20.0
    ratio: Literal["linear", "log"] = "linear"
    task_weight: float = 1.0
    warmup: int = 20
    scale: Literal["one", "loss"] = "one"
    divisor: Literal["first", "running"] = "first"

    def __post_init__(self) -> None:
        kind = "equalised_odds"
        check_positive(
            kind,
            weight=self.weight,
            temperature=self.temperature,
            sharpness=self.sharpness,
        )
        check_choice(kind, "combine", self.combine, ("max", "logsumexp"))
        check_choice(kind, "ratio", self.ratio, ("linear", "log"))
        check_choice(kind, "scale", self.scale, ("one", "loss"))
        check_choice(kind, "divisor", self.divisor, ("first", "running"))
        if not 0 <= self.decay < 1:
            raise ValueError(f"mitigation {kind!r}: decay must lie in [0, 1), got {self.decay}")
        if not 0 <= self.min_count < float("inf"):
            raise ValueError(
                f"mitigation {kind!r}: min_count must be at least 0 and finite, got "
                f"{self.min_count}"
            )
        if isinstance(self.threshold, str):
            check_choice(kind, "threshold", self.threshold, ("batch", "running"))
            if self.track_threshold:
                raise ValueError(
                    f"mitigation {kind!r}: track_threshold moves a threshold in numbers"
                )
        elif not THRESHOLDS[0] <= self.threshold <= THRESHOLDS[1]:
            raise ValueError(
                f"mitigation {kind!r}: threshold must lie in {THRESHOLDS}, got {self.threshold}"
            )
        if not 0 < self.threshold_rate <= 1 or self.task_weight < 0 or self.warmup < 0:
            raise ValueError(
                f"mitigation {kind!r}: threshold_rate must lie in (0, 1], task_weight and "
                "warmup must not be negative"
            )

    def objective(self, context: MitigationContext) -> Objective:
        """The term.

        Raises:
          ValueError: an attribute or task is unknown, or no diagnoser has it.
        """
        return EqualisedOddsTerm(
            self, Readout(context, self.tasks), Groups(context, self.attributes)
        )


@dataclasses.dataclass(frozen=True)
class EqualisedOddsTerm:
    """The objective of `EqualisedOdds`; its state holds frozen weights, pooled sums, thresholds [T]
    and the divisor.

    Attributes:
      options: the choices.
      readout: tasks and frozen diagnosers.
      groups: attributes.
    """

    options: EqualisedOdds
    readout: Readout
    groups: Groups

    def __post_init__(self) -> None:
        if not self.readout.tasks or not self.groups.total:
            raise ValueError("equalised odds need a task and an attribute")

    def init(self, key: Key, batch: Batch) -> dict[str, Any]:
        """The state before the first step."""
        state: dict[str, Any] = {"frozen": self.readout.frozen(), "scale": fresh_scale()}
        if self.options.scale == "loss":
            state["loss"] = fresh_scale()
        if count := self.readout.count("classification"):
            threshold = self.options.threshold
            state |= {
                "rates": empty_pool((self.groups.total, count, 2)),
                "tau": jnp.full((count,), START if isinstance(threshold, str) else threshold),
            }
        if count := self.readout.count("segmentation"):
            state["dice"] = empty_pool((self.groups.total, count))
        return state

    def __call__(
        self, clean: Array, batch: Batch, state: Any, key: Key
    ) -> tuple[Array, Any, dict[str, Array]]:
        """See `Objective`."""
        options, weight = self.options, jnp.asarray(batch["weight"])
        readings = self.readout(state["frozen"], clean, batch)
        # With the weight, padding leaves every sum over groups.
        members = self.groups.members(batch) * weight[:, None]
        terms: list[jax.Array] = []
        new, metrics = dict(state), dict[str, Array]()
        if "rates" in state:
            eodd, new["rates"], new["tau"] = self._eodd(readings, members, weight, state)
            terms.append(eodd.reshape(-1) ** 2)
            metrics["soft_eodd"] = jnp.max(eodd)
        if "dice" in state:
            ser, new["dice"] = self._ser(readings, members, state)
            terms.append((jnp.log(ser) if options.ratio == "log" else ser - 1.0).reshape(-1) ** 2)
            metrics["soft_ser"] = jnp.max(ser)
        losses, known = readings.task_losses()
        task = mean_everywhere(losses, known * weight[:, None])
        fairness = combine(jnp.concatenate(terms), options.combine, options.sharpness)
        term = options.task_weight * task + fairness
        if options.divisor == "running":
            moved = running_mean(term, state["scale"], RUNNING)
            # a term of 0, as of a batch without a known label, is no measurement
            new["scale"] = jax.tree.map(partial(jnp.where, term > 0), moved, state["scale"])
            scaled = quotient(term, new["scale"]["mean"])
        else:
            scaled, new["scale"] = rescale(term, state["scale"], options.warmup)
        if "loss" in state:
            # equal shards: the mean over devices is that of the whole batch
            loss = lax.pmean(jnp.asarray(batch["loss"]), AXIS)
            new["loss"] = running_mean(loss, state["loss"], RUNNING)
            scaled = scaled * new["loss"]["mean"]
        metrics |= {
            "task_loss": task,
            "fairness_term": fairness,
            "objective": options.weight * scaled,
        }
        return options.weight * scaled, lax.stop_gradient(new), metrics

    def _eodd(
        self, readings: Readings, members: Array, weight: Array, state: Any
    ) -> tuple[jax.Array, Any, jax.Array]:
        """EODD [attributes, T] of soft decisions, the new pool and the new thresholds."""
        options, tau = self.options, state["tau"]
        if isinstance(options.threshold, str):
            tau = self._fitted(tau, readings, weight)
        # A tracked threshold is that of the step before, and moves behind the decisions.
        soft = jax.nn.sigmoid((readings.scores - tau[None]) / options.temperature)
        # [B, T, 2]: known negatives, known positives.
        has = jnp.stack(
            [readings.known * (1.0 - readings.labels), readings.known * readings.labels], -1
        )
        sums = everywhere(
            (
                jnp.einsum("bm,bty,bt->mty", members, has, soft),
                jnp.einsum("bm,bty->mty", members, has),
            )
        )
        rate, count, pooled = pool(state["rates"], sums[0], sums[1], options.decay)
        # a group with known labels of one kind has, at a min_count of 0, a rate of both
        enough = count >= options.min_count
        if not options.min_count:
            enough = jnp.broadcast_to(jnp.sum(count, -1, keepdims=True) > 0, count.shape)
        # Each [T, 2], from [G, T, 2] of the attribute's groups.
        gaps = [spread(rate[part], enough[part], 0) for part in self.groups.slices]
        if options.track_threshold:
            tau = self._tracked(
                tau,
                everywhere(
                    (
                        # Over everyone, also those of unknown group: one threshold serves all.
                        jnp.einsum("b,bty,bt->ty", weight, has, soft),
                        jnp.einsum("b,bty->ty", weight, has),
                    )
                ),
            )
        # [A, T, 2] -> [A, T]: the worse of the two labels.
        return largest(jnp.stack(gaps), -1), pooled, tau

    def _fitted(self, tau: Array, readings: Readings, weight: Array) -> jax.Array:
        """The balanced threshold of each task over the examples of all devices, or the running mean
        of it; unchanged where the batch lacks one of the classes.
        """
        labels = jnp.where(readings.known > 0, readings.labels, jnp.nan)
        label, score, weight = lax.all_gather(
            lax.stop_gradient((labels, readings.scores, weight)), AXIS, tiled=True
        )
        found = jax.vmap(balanced_threshold, (1, 1, None))(label, score, weight)
        share = 1.0 if self.options.threshold == "batch" else RUNNING
        return jnp.where(jnp.isnan(found), tau, tau + share * (found - tau))

    def _tracked(self, tau: Array, sums: tuple[Array, Array]) -> jax.Array:
        """tau + rate (soft sensitivity - soft specificity), inside `THRESHOLDS`; unchanged where
        the batch lacks one of the classes.
        """
        positive, count = sums
        share = positive / jnp.maximum(count, 1e-6)
        # A higher threshold lowers sensitivity and raises specificity: tau moves towards equality.
        moved = tau + self.options.threshold_rate * (share[:, 1] - (1.0 - share[:, 0]))
        return lax.stop_gradient(
            jnp.where(jnp.all(count > 0, 1), jnp.clip(moved, *THRESHOLDS), tau)
        )

    def _ser(self, readings: Readings, members: Array, state: Any) -> tuple[jax.Array, Any]:
        """SER [attributes, S] of soft Dice and the new pool; 1 where fewer than two groups have
        enough images.
        """
        sums = (
            jnp.einsum("bm,bs,bs->ms", members, readings.present, readings.dice),
            jnp.einsum("bm,bs->ms", members, readings.present),
        )
        total, images = everywhere(sums)
        # Pooled means of Dice, not of its ratio: a ratio of one batch's few slices is noise.
        dice, count, pooled = pool(state["dice"], total, images, self.options.decay)
        # In logarithms the ratio of the extremes is their spread.
        error = jnp.log(jnp.maximum(1.0 - dice, SMALLEST_ERROR))
        enough = (count > 0) & (count >= self.options.min_count)
        ratios = [jnp.exp(spread(error[part], enough[part], 0)) for part in self.groups.slices]
        return jnp.stack(ratios), pooled
