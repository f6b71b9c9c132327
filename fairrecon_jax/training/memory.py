"""What a step takes of the memory, counted from shapes and programs before anything is made:
nothing is allocated, compiled or computed.

  - state: parameters, moments, averages and the gradient;
  - kept: what the loss keeps for its gradient: what the forward pass hands to the backward pass, of
    the phase that keeps most, for one part of the batch;
  - in flight: twice the largest array of that pass; of a step without a gradient, in which arrays
    live as long as a skip connection, six times.

A compiler's own buffers and a library's workspace are not in it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp

from fairrecon_jax.training import optim, state
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.training.step import computed
from fairrecon_jax.training.trainable import Trainable
from fairrecon_jax.types import CohortSpec, Precision

HEAVY = ("conv_general_dilated", "dot_general", "reduce", "sort", "fft")
"""Starts of the names of operations whose operands pass through memory."""
WITH_GRADIENT, WITHOUT = 2, 6
"""How many arrays of the size of the largest are in flight."""
Shapes = Any
"""A tree of `jax.ShapeDtypeStruct`."""
P = ParamSpec("P")
T = TypeVar("T")


def remembered(function: Callable[P, T]) -> Callable[P, T]:
    """Remembers what a function returned, as stages share networks; nothing of networks that cannot
    be compared.
    """
    known = functools.lru_cache(maxsize=64)(function)

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            hash(arguments)
        except TypeError:
            return function(*arguments, **named)
        return known(*arguments, **named)  # type: ignore[arg-type]

    return call


@dataclasses.dataclass(frozen=True)
class Need:
    """Bytes that one device takes for a step.

    Attributes:
      state: parameters, moments, averages, gradient.
      kept: for the gradient.
      flight: of the arrays in flight.
    """

    state: int
    kept: int
    flight: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.state + self.kept + self.flight


def size(tree: Any) -> int:
    """Bytes of a tree of arrays or shapes."""
    return sum(map(_bytes, jax.tree.leaves(tree)))


def bytes_of(variable: Any) -> int:
    """Bytes of a variable of a program."""
    return _bytes(variable.aval)


def _bytes(shape: Any) -> int:
    # keys have types without a size
    return math.prod(shape.shape) * getattr(shape.dtype, "itemsize", 0)


def batch_of(spec: CohortSpec, pixels: int, examples: int) -> Shapes:
    """The shapes of a batch of examples of a cohort, images `pixels` along a side."""

    def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((examples, *shape), dtype)

    return {
        "image": array(pixels, pixels, 1),
        "mask": array(pixels, pixels, len(spec.segmentation_tasks)),
        "labels": array(len(spec.classification_tasks)),
        "attributes": array(len(spec.attributes), dtype=jnp.int32),
        "example_id": array(2, dtype=jnp.uint32),
        "index": array(dtype=jnp.int32),
        "weight": array(),
    }


def _state(model: Trainable, config: TrainConfig, variables: Shapes) -> Shapes:
    """The shapes of a training's state, by those of its variables."""
    optimizer, networks = optim.optimizer(config), tuple(one.network for one in model.phases)

    def create(variables: Any) -> state.TrainState:
        return state.create(variables, networks, optimizer, config.seed, config.ema > 0, {})

    return jax.eval_shape(create, variables)


@remembered
def variables_of(model: Trainable, spec: CohortSpec, pixels: int) -> Shapes:
    """The shapes of a model's variables."""
    batch = batch_of(spec, pixels, 1)
    return jax.eval_shape(model.init, jax.random.key(0), {**batch, "degraded": batch["image"]})


def inner(eqn: Any) -> Iterator[Any]:
    """The programs that an operation holds; of branches by platform the last one, that of
    accelerators.
    """
    for name, value in eqn.params.items():
        several = value if isinstance(value, tuple | list) else (value,)
        for one in several[-1:] if name == "branches" else several:
            if hasattr(one, "eqns"):
                yield one
            elif hasattr(getattr(one, "jaxpr", None), "eqns"):
                yield one.jaxpr


def largest(jaxpr: Any) -> int:
    """Bytes of the largest array that a heavy operation makes."""
    sizes = [largest(one) for eqn in jaxpr.eqns for one in inner(eqn)]
    sizes += [
        bytes_of(x)
        for eqn in jaxpr.eqns
        if eqn.primitive.name.startswith(HEAVY)
        for x in eqn.outvars
    ]
    return max(sizes, default=0)


def kept(
    model: Trainable, config: TrainConfig, variables: Shapes, batch: Shapes
) -> tuple[int, int]:
    """(bytes that the loss keeps for its gradient, bytes of the largest array), see the module.

    Args:
      model: what is trained.
      config: precision and remat are read.
      variables: of the model.
      batch: one part of a device's share.
    """
    chosen: Any = computed(model, config.precision, config.remat)[0]
    if hasattr(chosen, "bn_axis"):
        chosen = dataclasses.replace(chosen, bn_axis=None)
    batch = {"degraded": batch["image"], **batch}
    most = high = 0
    for phase in chosen.phases:

        def backward(variables: Any, batch: Any, key: Any, phase: Any = phase) -> list[jax.Array]:
            def loss(params: Any) -> Any:
                networks = {**variables["params"], phase.network: params}
                return phase.loss({**variables, "params": networks}, batch, key, True)[0]

            return jax.tree.leaves(jax.vjp(loss, variables["params"][phase.network])[1])

        traced = jax.make_jaxpr(backward)(variables, batch, jax.random.key(0)).jaxpr
        arguments = {id(x) for x in traced.invars}
        # a number that is written into the program has no count
        handed = {id(x): x for x in traced.outvars if hasattr(x, "count")}
        most = max(most, sum(bytes_of(x) for name, x in handed.items() if name not in arguments))
        high = max(high, largest(traced))
    return most, high


def training_need(
    model: Trainable,
    config: TrainConfig,
    spec: CohortSpec,
    pixels: int,
    devices: int = 1,
    frozen: Sequence[Trainable] = (),
) -> Need:
    """What a training step takes on each device.

    Args:
      model: what is trained.
      config: the choices of the run.
      spec: of the cohort.
      pixels: along a side of an image.
      devices: that share the batch.
      frozen: networks that a mitigation reads the reconstructions with.

    Returns:
      The bytes, a lower bound.

    Example:
      >>> x = np.zeros((8, 16, 16), np.float32)
      >>> unet, spec = fr.UNetReconstructor(width=4, depth=1), fr.arrays(x).spec
      >>> whole = training_need(unet, TrainConfig(steps=1, batch_size=8), spec, 16)
      >>> parts = training_need(unet, TrainConfig(steps=1, batch_size=8, accumulate=4), spec, 16)
      >>> round(whole.kept / parts.kept)
      4
    """
    share = max(config.batch_size // devices // config.accumulate, 1)
    found = _state(model, config, variables_of(model, spec, pixels))
    trained = sum(size(found.params[name]) for name in found.opt_state)
    # in parts, the sum of gradients stays beside that of a part
    gradient = trained * (2 if config.accumulate > 1 else 1)
    held = size((found.params, found.batch_stats, found.opt_state, found.ema)) + gradient
    most, high = _kept(model, config.precision, config.remat, spec, pixels, share)
    for one in frozen:
        held += size(variables_of(one, spec, pixels))
        # what reads the reconstruction keeps what it would keep in a training of its own
        more, higher = _kept(one, "float32", False, spec, pixels, share)
        most, high = most + more, max(high, higher)
    return Need(held, most, WITH_GRADIENT * high)


@remembered
def _kept(
    model: Trainable, precision: Precision, remat: bool, spec: CohortSpec, pixels: int, share: int
) -> tuple[int, int]:
    """See `kept`."""
    config = TrainConfig(steps=1, batch_size=1, precision=precision, remat=remat)
    batch = batch_of(spec, pixels, share)
    return kept(model, config, variables_of(model, spec, pixels), batch)


def evaluation_need(
    model: Trainable, config: TrainConfig, spec: CohortSpec, pixels: int, devices: int = 1
) -> Need:
    """What a batch of an evaluation takes on each device beside the state of its training; as
    `training_need`.
    """
    found = _state(model, config, variables_of(model, spec, pixels))
    held = size((found.params, found.batch_stats, found.opt_state, found.ema))
    high = in_flight(model, "evaluate", spec, pixels, max(config.eval_size // devices, 1))
    return Need(held, 0, high)


@remembered
def in_flight(model: Any, method: str, spec: CohortSpec, pixels: int, examples: int) -> int:
    """Bytes of the arrays that a method without a gradient has in flight: "evaluate" of anything
    that is trained, "reconstruct" of a reconstructor, "predict" of a diagnoser.
    """
    batch = batch_of(spec, pixels, examples)
    image, key = batch["image"], jax.random.key(0)
    given: dict[str, tuple[Shapes, ...]] = {
        "evaluate": ({**batch, "degraded": image}, key),
        "reconstruct": (image, jax.eval_shape(lambda: jax.random.split(key, examples))),
        "predict": (image,),
    }
    traced = jax.make_jaxpr(getattr(model, method))(
        variables_of(model, spec, pixels), *given[method]
    )
    return WITHOUT * largest(traced.jaxpr)
