"""Diagnosers that run outside of JAX: a Python function, a TorchScript or an ONNX program."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.diagnosers.interface import register
from fairrecon_jax.diagnosers.preprocessing import Outputs, Preprocessing
from fairrecon_jax.registry import FLAT
from fairrecon_jax.runtime.atomic import file_digest
from fairrecon_jax.training.trainable import Phase
from fairrecon_jax.types import Array, Batch, InputError, Key, TaskKind, Variables

Run = Callable[[np.ndarray], Any]


def as_scores(
    classes: int = 0,
    outputs: tuple[int | str, ...] = (),
    activation: Literal["none", "sigmoid", "softmax"] = "none",
) -> Outputs:
    """`Outputs` of a program that gives scores in [0, 1] unless told otherwise."""
    return Outputs(classes, outputs, activation)


@register("callable")
@dataclass(frozen=True)
class CallableDiagnoser:
    """A frozen classifier that runs on the host, batch by batch, inside the compiled step.

    No gradient passes through it: a mitigation whose loss looks through the diagnosers is refused.

    Attributes:
      tasks: names of the tasks.
      columns: their columns in the batch's labels.
      call: "module:function" or "file.py:function", a function of NumPy images [B, H, W, C] ->
        [B, classes] (or [B] for one); or the path of a TorchScript (.pt, .pth, .ts) or ONNX file,
        which takes [B, C, H, W] and gives one output.
      preprocessing: what it is fed.
      readout: which of its outputs are the tasks', and whether they are scores ("none") or logits
        ("sigmoid", "softmax").
      digest: SHA-256 of the file that `call` names or the function's module lies in; computed where
        empty. With it, not with the path, the diagnoser is another one when its content is.
      name: name in tables.

    Example:
      >>> _ = Path("vendor.py").write_text("def bright(x):\\n    return x.mean((1, 2, 3))\\n")
      >>> model = CallableDiagnoser(("bright",), (0,), "vendor.py:bright")
      >>> jax.jit(model.predict)({}, jnp.ones((2, 8, 8, 1))).tolist()
      [[1.0], [1.0]]
    """

    tasks: tuple[str, ...]
    columns: tuple[int, ...]
    # content, not place, is its identity
    call: str = field(default="", metadata={"identity": False})
    preprocessing: Preprocessing = field(default_factory=Preprocessing, metadata=FLAT)
    readout: Outputs = field(default_factory=as_scores, metadata=FLAT)
    digest: str = ""
    name: str = "callable"
    kind: ClassVar[TaskKind] = "classification"

    def __post_init__(self) -> None:
        self.readout.check(len(self.tasks), bare=True)
        found = _digest(self.call)
        if self.digest not in ("", found):
            raise InputError(f"{self.call} is not what it was: its content has changed")
        object.__setattr__(self, "digest", found)

    def check(self, size: int) -> None:
        """Runs it on black images of a size.

        Raises:
          InputError: it cannot be loaded, fails, or gives another shape or no scores in [0, 1].
        """
        try:
            # one more than outputs: a transposed answer is seen
            count = self.readout.count(len(self.tasks)) + 1
            self._run(np.asarray(self.preprocessing(np.zeros((count, size, size, 1)))))
        except InputError:
            raise
        except Exception as error:  # whatever a foreign program raises
            raise InputError(f"{self.call} fails on {count} images: {error}") from error

    @property
    def phases(self) -> tuple[Phase, ...]:
        """None: nothing is learned."""
        return ()

    @property
    def validation_metrics(self) -> Mapping[str, Literal["max", "min"]]:
        """None."""
        return {}

    def init(self, key: Key, batch: Batch) -> Variables:
        """No variables."""
        return {"params": {}, "batch_stats": {}}

    def evaluate(
        self, variables: Variables, batch: Batch, key: Key
    ) -> dict[str, tuple[Array, Array]]:
        """No metrics."""
        return {}

    def predict(self, variables: Variables, image: Array) -> jax.Array:
        """Scores [B, T] in [0, 1] of images [B, H, W, 1] in [0, 1]; the variables are not used."""
        images = self.preprocessing(image)
        shape = jax.ShapeDtypeStruct(self._shape(images.shape), jnp.float32)

        @jax.custom_jvp
        def outside(images: jax.Array) -> jax.Array:
            run = functools.partial(remembered, self.call, self._run)
            # sequential: one call per row of a vmap, as the program knows no axis before the batch
            return jax.pure_callback(run, shape, images, vmap_method="sequential")

        @outside.defjvp
        def no_gradient(primals: Any, tangents: Any) -> Any:
            raise InputError(
                f"no gradient passes through {self.call}, which runs outside of JAX: a mitigation "
                "cannot look through it"
            )

        values = self.readout.scores(outside(images))
        # the tasks' own among all outputs
        values = values[..., np.array(self.readout.places(len(self.tasks)))]
        wanted = (*image.shape[: values.ndim - 1], len(self.tasks))
        return values if values.shape == wanted else jax.image.resize(values, wanted, "linear")

    def _shape(self, images: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of all outputs for images [B, H, W, C]."""
        return (images[0], self.readout.count(len(self.tasks)))

    def _run(self, images: np.ndarray) -> np.ndarray:
        """All outputs for preprocessed images.

        Raises:
          InputError: another shape comes back.
        """
        found = _program(self.call, self.digest)(images)
        values, shape = np.asarray(found, np.float32), self._shape(images.shape)
        # [B, classes, H, W], unless the two orders cannot be told apart
        channels_first = (shape[0], shape[-1], *shape[1:-1])
        if len(shape) == 4 and values.shape == channels_first != shape:
            values = np.moveaxis(values, 1, -1)
        if values.size != np.prod(shape) or values.shape[0] != shape[0]:
            raise InputError(
                f"{self.call} gave shape {values.shape} for {len(images)} images, expected {shape}"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{self.call} gave NaN or infinity")
        if self.readout.activation == "none" and not ((values >= 0) & (values <= 1)).all():
            raise InputError(
                f"{self.call} gave {values.min():.3g} to {values.max():.3g}, and scores lie in "
                "[0, 1]: set activation = 'sigmoid' or 'softmax' if these are logits"
            )
        return values.reshape(shape)


@register("callable_segmenter")
@dataclass(frozen=True)
class CallableSegmenter(CallableDiagnoser):
    """The same for regions: [B, H, W, C] -> [B, H, W, classes], of a TorchScript or ONNX file
    [B, C, H, W] -> [B, classes, H, W]; masks are stretched to the image's size.

    Example:
      >>> _ = Path("vendor.py").write_text("def bright(x):\\n    return (x > 0.5).astype('f4')\\n")
      >>> model = CallableSegmenter(("bright",), (0,), "vendor.py:bright")
      >>> model.predict({}, jnp.ones((2, 8, 8, 1))).shape
      (2, 8, 8, 1)
    """

    kind: ClassVar[TaskKind] = "segmentation"

    def _shape(self, images: tuple[int, ...]) -> tuple[int, ...]:
        return (*images[:3], self.readout.count(len(self.tasks)))


_FAILED: list[Exception] = []
"""What went wrong outside of JAX, whose own message would bury it."""


def remembered(what: str, run: Callable[[np.ndarray], np.ndarray], images: Any) -> np.ndarray:
    """Runs a program outside of JAX on a copy of the images; keeps what it raises for `plainly`.

    Args:
      what: what an error is to call it.
      run: the program.
      images: of the step.
    """
    try:
        # a copy: PyTorch warns of arrays that it must not write to
        return run(np.array(images))
    except Exception as error:  # a user's program may raise anything
        text = " ".join(str(error).split()) or type(error).__name__
        # kept as it is: what JAX raises in its place is text of another runtime
        _FAILED[:] = [error if isinstance(error, InputError) else InputError(f"{what}: {text}")]
        raise


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Says in one line what a program outside of JAX raised inside a compiled step.

    Raises:
      InputError: it raised something.
    """
    _FAILED.clear()
    try:
        yield
    except Exception as error:
        if _FAILED:
            raise _FAILED.pop() from error
        raise


def _split(call: str) -> tuple[str, str]:
    """(module or file, function), the latter "" where `call` is a program's file.

    Raises:
      InputError: it is neither.
    """
    place, colon, function = call.rpartition(":")
    if not call or (colon and not function):
        raise InputError(
            f"call takes 'module:function' or the path of a TorchScript or ONNX file, got {call!r}"
        )
    # a drive letter's colon is followed by no identifier: C:/model.pt is a file
    return (place, function) if colon and function.isidentifier() else (call, "")


def _digest(call: str) -> str:
    """The SHA-256 of the file behind `call`."""
    place, function = _split(call)
    if function and not place.endswith(".py"):
        source = inspect.getsourcefile(_module(place))
        if source is None:
            raise InputError(f"{call}: the module {place} has no source file")
        place = source
    if not Path(place).is_file():
        raise InputError(f"call: there is no file {place}")
    return file_digest(place)


def _module(place: str) -> Any:
    """An imported module, by its name or its file."""
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
        # the console script does not look where it is called
        sys.path.append(str(Path.cwd()))  # behind all else: shadows no installed module
        try:
            return importlib.import_module(place)
        finally:
            sys.path.pop()
    except Exception as error:  # a user's own module may raise anything
        raise InputError(f"call: {place} cannot be imported: {error}") from error


@functools.lru_cache(maxsize=8)
def _program(call: str, digest: str) -> Run:
    """What `call` names, loaded once per content."""
    place, function = _split(call)
    if function:
        found = getattr(_module(place), function, None)
        if not callable(found):
            raise InputError(f"call: {place} has no function {function!r}")
        return found
    return _onnx(place) if place.lower().endswith(".onnx") else _torchscript(place)


def _torchscript(path: str) -> Run:
    """A TorchScript program as a function of images [B, H, W, C]."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise InputError(f"{path}: TorchScript needs PyTorch (pip install torch)") from error
    try:
        program = torch.jit.load(path, map_location="cpu").eval()
    except Exception as error:
        raise InputError(
            f"{path} is no TorchScript program (torch.jit.save); weights alone go to a classifier "
            "or segmenter"
        ) from error

    def run(images: np.ndarray) -> Any:
        with torch.no_grad():
            # copied: a moved axis is a view, whose strides from_numpy would hand on
            found = program(torch.from_numpy(np.moveaxis(images, 3, 1).copy()))
        if not isinstance(found, torch.Tensor):
            raise InputError(f"{path} gives a {type(found).__name__}, expected one tensor")
        return found.float().numpy()

    return run


def _onnx(path: str) -> Run:
    """An ONNX program as a function of images [B, H, W, C]."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise InputError(
            f"{path}: ONNX needs onnxruntime (pip install 'fairrecon_jax[onnx]')"
        ) from error
    try:
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(f"{path} cannot be read as ONNX: {str(error).splitlines()[0]}") from error
    (given, *others), results = session.get_inputs(), session.get_outputs()
    if others or len(results) != 1:
        raise InputError(
            f"{path} has {1 + len(others)} inputs and {len(results)} outputs, expected one of each"
        )
    # a batch size that the file fixes
    fixed = given.shape[0] if isinstance(given.shape[0], int) else 0

    def run(images: np.ndarray) -> Any:
        rows = np.ascontiguousarray(np.moveaxis(images, 3, 1))
        if not fixed:
            return session.run(None, {given.name: rows})[0]
        padded = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % fixed, axis=0)])
        parts = [
            session.run(None, {given.name: padded[i : i + fixed]})[0]
            for i in range(0, len(padded), fixed)
        ]
        return np.concatenate(parts)[: len(rows)]

    return run
