"""Networks with their weights as functions of images, and functions of others in their place."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.diagnosers import Diagnoser
from fairrecon_jax.diagnosers.callable import remembered
from fairrecon_jax.keys import example_keys
from fairrecon_jax.physics.at_level import as_images, as_key, digests_of
from fairrecon_jax.reconstructors import Reconstructor
from fairrecon_jax.runtime.choices import check_like
from fairrecon_jax.types import Array, InputError, Key, MethodTitle, TaskKind, Variables


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class TrainedReconstructor:
    """A reconstructor with its weights: a function of degraded images.

    Attributes:
      model: the network and how it is used.
      weights: its variables.

    Example:
      >>> import fairrecon_jax as fr
      >>> keep = TrainedReconstructor(fr.Identity(), {"params": {}, "batch_stats": {}})
      >>> keep(np.full((2, 16, 16), 0.5, np.float32)).shape
      (2, 16, 16)
    """

    model: Reconstructor
    weights: Variables

    def __repr__(self) -> str:
        return f"TrainedReconstructor({self.model.name}{_size(self.weights)})"

    def __call__(
        self, degraded: Array, *, key: Key | int = 0, ids: Sequence[str] | None = None
    ) -> jax.Array:
        """Reconstructs images.

        Args:
          degraded: [B, H, W, 1], [B, H, W] or [H, W] float in [0, 1].
          key: of whatever the reconstructor draws; a typed key or a seed.
          ids: names of the images, which key their draws; their positions if None.

        Returns:
          Float32 of the same shape in [0, 1].

        Raises:
          InputError: an image of another shape or range, a wrong number of names, or weights that
            do not fit.
        """
        images = as_images(degraded)
        self._fits(images.shape[1])
        keys = example_keys(as_key(key), digests_of(ids, len(images)))
        # weights as an argument: as constants of the program they would be copied into it
        return self._compiled(self.weights, images, keys).reshape(np.shape(degraded))

    @functools.cached_property
    def _fits(self) -> Callable[[int], None]:
        return _once(self.model, self.weights)

    @functools.cached_property
    def _compiled(self) -> Callable[..., jax.Array]:
        return jax.jit(self.model.reconstruct)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class TrainedDiagnoser:
    """A diagnoser with its weights: a function of images.

    Attributes:
      model: the network and its tasks.
      weights: its variables.

    Example:
      >>> tumour = fr.Segmenter(("tumour",), columns=(0,), width=2, depth=1)
      >>> image = np.full((3, 16, 16, 1), 0.5, np.float32)
      >>> weights = tumour.init(jax.random.key(0), {"image": image})  # `fr.fit` trains them
      >>> TrainedDiagnoser(tumour, weights)(image).shape
      (3, 16, 16, 1)
    """

    model: Diagnoser
    weights: Variables

    def __repr__(self) -> str:
        tasks = ", ".join(self.model.tasks)
        return f"TrainedDiagnoser({self.model.name}: {tasks}{_size(self.weights)})"

    def __call__(self, image: Array) -> jax.Array:
        """Diagnoses images.

        Args:
          image: [B, H, W, 1], [B, H, W] or [H, W] float in [0, 1].

        Returns:
          Scores [B, T], or mask probabilities [B, H, W, S], in [0, 1].

        Raises:
          InputError: an image of another shape or range, or weights that do not fit.
        """
        images = as_images(image)
        self._fits(images.shape[1])
        return self._compiled(self.weights, images)

    @functools.cached_property
    def _fits(self) -> Callable[[int], None]:
        return _once(self.model, self.weights)

    @functools.cached_property
    def _compiled(self) -> Callable[..., jax.Array]:
        return jax.jit(self.model.predict)


def trained(model: Any, weights: Variables) -> TrainedReconstructor | TrainedDiagnoser:
    """A network with its weights, as a function of images.

    Args:
      model: a reconstructor or a diagnoser.
      weights: its variables, e.g. from `fit`.

    Raises:
      InputError: it is neither, or these are no variables.

    Example:
      >>> keep = trained(fr.Identity(), {"params": {}, "batch_stats": {}})
      >>> keep(np.full((2, 16, 16), 0.5, np.float32)).shape
      (2, 16, 16)
    """
    if isinstance(model, Reconstructor | Diagnoser):
        _check_variables(model, weights)
    if isinstance(model, Reconstructor):
        return TrainedReconstructor(model, weights)
    if isinstance(model, Diagnoser):
        return TrainedDiagnoser(model, weights)
    raise InputError(f"a {type(model).__name__} is neither a reconstructor nor a diagnoser")


def _check_variables(model: Any, weights: Any) -> None:
    """Refuses what are no variables of anything."""
    if not isinstance(weights, Mapping) or not {"params", "batch_stats"} <= set(weights):
        given = (
            sorted(map(str, weights)) if isinstance(weights, Mapping) else type(weights).__name__
        )
        raise InputError(
            f"{model.name}: weights are variables {{'params': ..., 'batch_stats': ...}}, as fr.fit "
            f"returns them; got {given}"
        )


def check_weights(model: Any, weights: Variables, size: int) -> None:
    """Refuses weights that are not a network's own.

    Args:
      model: with its method `init`; networks of it that the weights lack are not looked at.
      weights: its variables.
      size: of the images in pixels.

    Raises:
      InputError: they are no variables, or an array is missing, unknown or of another shape.
    """
    _check_variables(model, weights)
    if hasattr(model, "check"):
        try:
            model.check(size)
        except ValueError as error:
            raise InputError(f"{model.name}: {error}") from error
    image = jnp.zeros((1, size, size, 1))
    batch = {"image": image, "degraded": image}
    expected = jax.eval_shape(model.init, jax.random.key(0), batch)
    there = set(weights["params"]) or set(expected["params"])
    expected = {
        kind: {name: tree for name, tree in trees.items() if name in there}
        for kind, trees in expected.items()
    }
    try:
        check_like({kind: weights[kind] for kind in expected}, expected)
    except ValueError as error:
        raise InputError(f"{model.name}: {error}") from error


def _once(model: Any, weights: Variables) -> Callable[[int], None]:
    """The check of weights, done once for each size: shapes of a large network take a second."""
    return functools.cache(functools.partial(check_weights, model, weights))


def _size(weights: Variables) -> str:
    """The number of parameters in words."""
    count = sum(leaf.size for leaf in jax.tree.leaves(weights.get("params", {})))
    return f", {count:,} parameters" if count else ""


def on_host(
    function: Callable[[np.ndarray], Any], outputs: int | Literal["image"] = 1
) -> Callable[[Array], jax.Array]:
    """A function that runs outside of JAX (PyTorch, ONNX, a vendor's library) inside a compiled
    step. No gradient passes through it.

    Args:
      function: NumPy images [B, H, W, 1] float32 in [0, 1] -> values [B, outputs] or [B], or images
        of the same shape.
      outputs: values per image, or "image".

    Returns:
      A function of JAX arrays: images [B, H, W, 1] -> [B, outputs] or images.

    Example:
      >>> mean = on_host(lambda images: images.mean((1, 2, 3)))
      >>> jax.jit(mean)(jnp.ones((2, 8, 8, 1))).tolist()
      [[1.0], [1.0]]
    """

    if not callable(function):
        raise InputError(f"on_host takes a function of images, got {type(function).__name__}")
    # an instance of a class has no __name__
    named = str(getattr(function, "__name__", function))

    def call(image: Array) -> jax.Array:
        shape = image.shape if outputs == "image" else (image.shape[0], outputs)

        def run(images: Any) -> np.ndarray:
            # a copy: PyTorch warns of arrays that it must not write to
            found = np.asarray(function(np.array(images)), np.float32)
            if found.size != np.prod(shape):
                raise InputError(
                    f"{named} gave shape {found.shape} for "
                    f"{len(images)} images, expected {tuple(shape)}"
                )
            if not np.isfinite(found).all():
                raise InputError(f"{named} gave NaN or infinity")
            return found.reshape(shape)

        # the program is compiled before the function has run once: its shape must be promised
        result = jax.ShapeDtypeStruct(shape, jnp.float32)
        return jax.pure_callback(functools.partial(remembered, named, run), result, image)

    return call


@dataclasses.dataclass(frozen=True)
class FunctionReconstructor:
    """A function of degraded images in a reconstructor's place; nothing of it is trained.

    Attributes:
      function: [B, H, W, 1] -> [B, H, W, 1], traceable by JAX (see `on_host`).
      name: in tables.
    """

    function: Callable[[Array], Array]
    name: str = "reconstruction"

    @property
    def method(self) -> MethodTitle:
        """What a report calls it."""
        return MethodTitle(self.name)

    def reconstruct(self, variables: Variables, degraded: Array, keys: Key) -> jax.Array:
        """The function's images, cut off to [0, 1]; variables and keys are not used."""
        found = self.function(degraded)
        if found.shape != degraded.shape:
            raise InputError(
                f"the reconstruction {self.name!r} gave shape {found.shape} for {degraded.shape}"
            )
        # a network without a last bound strays a little; metrics and diagnosers take [0, 1]
        return jnp.clip(jnp.asarray(found, jnp.float32), 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class FunctionDiagnoser:
    """A function of images in a diagnoser's place; nothing of it is trained.

    Attributes:
      function: images [B, H, W, 1] -> scores [B] or [B, T] in [0, 1], or mask probabilities
        [B, H, W]; traceable by JAX (see `on_host`).
      tasks: names of its T tasks.
      kind: what they are.
    """

    function: Callable[[Array], Array]
    tasks: tuple[str, ...]
    kind: TaskKind = "classification"

    def predict(self, variables: Variables, image: Array) -> jax.Array:
        """Scores [B, T] or mask probabilities [B, H, W, 1]; the variables are not used."""
        found = jnp.asarray(self.function(image), jnp.float32)
        leading = image.shape[:1] if self.kind == "classification" else image.shape[:3]
        shape = (*leading, len(self.tasks))
        if found.size != np.prod(shape):
            raise InputError(
                f"the diagnosis of {', '.join(self.tasks)} gave shape {found.shape} for images "
                f"{image.shape}, expected {shape}"
            )
        return found.reshape(shape)  # [B] -> [B, 1], [B, H, W] -> [B, H, W, 1]


def as_diagnosers(
    given: Mapping[str, Any] | Sequence[Any], segmentation: Sequence[str] = ()
) -> tuple[list[Any], list[Variables]]:
    """Diagnosers and their weights from what a notebook gives.

    Args:
      given: `TrainedDiagnoser`s; or by task name (several with "," between them), functions of
        images.
      segmentation: names of the tasks that are segmentations.

    Returns:
      (diagnosers, weights).

    Raises:
      InputError: one is neither.
    """
    models: list[Any] = []
    weights: list[Variables] = []
    if not isinstance(given, Mapping | list | tuple):
        raise InputError(
            "diagnosers is a list of TrainedDiagnosers or a dictionary of functions by task name, "
            f"got {type(given).__name__}"
        )
    entries = given.items() if isinstance(given, Mapping) else [("", one) for one in given]
    for name, one in entries:
        if isinstance(one, TrainedDiagnoser):
            models.append(one.model)
            weights.append(one.weights)
        elif callable(one) and name:
            tasks = tuple(part.strip() for part in name.split(","))
            # a function does not say what it gives; the masks that came along do
            kind: TaskKind = "segmentation" if set(tasks) <= set(segmentation) else "classification"
            models.append(FunctionDiagnoser(one, tasks, kind))
            weights.append({})
        else:
            raise InputError(
                f"a diagnoser is a TrainedDiagnoser or, in a dictionary by task name, a function "
                f"of images; got {type(one).__name__}"
            )
    return models, weights
