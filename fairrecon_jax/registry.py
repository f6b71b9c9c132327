"""Builds frozen dataclasses from the plain fields of a configuration, refusing what they do not
know.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fairrecon_jax.types import meant

_Class = TypeVar("_Class", bound=type)
FLAT: Mapping[str, Any] = {"flat": True}
"""Metadata of a dataclass field whose object a configuration gives by the parameters of the field's
`default_factory`, written beside the dataclass's own fields.

Example:
  >>> @dataclasses.dataclass(frozen=True)
  ... class Model:
  ...     width: int = 64
  ...     sde: fr.SDE = dataclasses.field(default_factory=fr.SDE, metadata=FLAT)
  >>> build({"model": Model}, "model", "model", {"width": 8, "T": 50}) == Model(8, fr.SDE(T=50))
  True
"""

TRAINING: Mapping[str, Any] = {"training": True}
"""Metadata of a dataclass field that only a training reads: refused where weights come from files.

Example:
  >>> @dataclasses.dataclass(frozen=True)
  ... class Model:
  ...     width: int = 64
  ...     loss: str = dataclasses.field(default="l1", metadata=TRAINING)
  >>> of_training(Model)
  ('loss',)
"""

UNCHANGED: Mapping[str, Any] = {**TRAINING, "identity": False}
"""The same of one that changes no number, see `keys.free`."""


def of_training(cls: type) -> tuple[str, ...]:
    """The fields of a dataclass marked `TRAINING`, as a configuration names them.

    Args:
      cls: a dataclass; a field that is `FLAT` too stands for the parameters of its factory.

    Example:
      >>> of_training(fr.IrsdeReconstructor)
      ('loss_norm', 'start', 'time_power', 'objective_max_t', 'eval_preset', 'remat')
    """
    names: list[str] = []
    for field in dataclasses.fields(cls):
        if field.metadata.get("training"):
            part = _parts(cls).get(field.name)
            names += [field.name] if part is None else list(inspect.signature(part).parameters)
    return tuple(names)


def registrar(registry: dict[str, type], what: str) -> Callable[[str], Callable[[_Class], _Class]]:
    """Makes the decorator `register(kind)` that enters a class into a registry under the name that
    configurations use.

    Args:
      registry: classes by kind.
      what: the word for the registry's things in messages, e.g. "reconstructor".

    Returns:
      `register(kind) -> decorator`; the decorator raises ValueError where the name is taken by
        another class.

    Example:
      >>> SHAPES: dict[str, type] = {}
      >>> register = registrar(SHAPES, "shape")
      >>> @register("disc")
      ... class Disc:
      ...     width = 3
      >>> SHAPES["disc"].width
      3
    """

    def register(kind: str) -> Callable[[_Class], _Class]:
        def enter(cls: _Class) -> _Class:
            taken = registry.get(kind)
            # By name: a module that is loaded anew brings its class a second time.
            if taken is not None and taken.__qualname__ != cls.__qualname__:
                raise ValueError(f"{what} {kind!r} is already {taken.__qualname__}")
            registry[kind] = cls
            return cls

        return enter

    return register


def build(registry: Mapping[str, type], kind: str, what: str, fields: Mapping[str, Any]) -> Any:
    """Makes `registry[kind](**fields)`.

    Lists become tuples, so that the result is hashable. Values must fit the types of the fields. A
    field marked `FLAT` is made by its `default_factory` from the given ones of its parameters.

    Args:
      registry: dataclass types by name.
      kind: name in the registry.
      what: the word for the registry's things in messages, e.g. "reconstructor".
      fields: values by field name.

    Returns:
      The instance.

    Raises:
      ValueError: the kind or a field is unknown, or a required field is missing; the message lists
        the valid ones. Or a whole number is negative, or a width is 0.
      TypeError: a value does not fit its field.

    Example:
      >>> build(fr.physics.DEGRADATIONS, "mri_radial", "degradation", {"size": 64}).size
      64
      >>> build(fr.physics.DEGRADATIONS, "mri_radial", "degradation", {"size": 64, "rays": 8})
      Traceback (most recent call last):
      ValueError: degradation 'mri_radial' has no field 'rays'; its fields are size, mask_by, ...
    """
    if not isinstance(kind, str) or kind not in registry:
        raise ValueError(
            f"unknown {what} {kind!r}; choose one of {', '.join(sorted(registry))}"
            f"{meant(kind, registry)}"
        )
    where, plain, parts = f"{what} {kind!r}", _plain_fields(registry[kind]), _parts(registry[kind])
    owner: dict[str, Callable[..., Any]] = {name: registry[kind] for name in plain}
    for part in parts.values():
        owner |= {name: part for name in inspect.signature(part).parameters}
    if unknown := sorted(set(fields) - set(owner)):
        raise ValueError(
            f"{where} has no field {', '.join(map(repr, unknown))}; its fields are "
            f"{', '.join(owner)}{meant(unknown[0], owner)}"
        )
    if missing := [name for name, optional in plain.items() if not optional and name not in fields]:
        raise ValueError(f"{where} needs the field {', '.join(map(repr, missing))}")
    # Before the types are checked: fields are tuples, and a file has lists.
    values = {
        name: numeric(_frozen(value), hints_of(owner[name])[name]) for name, value in fields.items()
    }
    for name, value in values.items():
        for wanted in misfits(owner[name], {name: value}).values():
            hint = meant_choice(hints_of(owner[name])[name], value)
            raise TypeError(f"{where}: field {name!r} takes {wanted}, got {value!r}{hint}")
    for name, value in values.items():
        # Counts and sizes are never negative; a network of width 0 has no parameters.
        lowest = 1 if name.endswith("width") else 0
        counted = hints_of(owner[name]).get(name) is not float
        if isinstance(value, int) and counted and value < lowest:
            raise ValueError(f"{where}: field {name!r} must be at least {lowest}, got {value}")
    given = {name: value for name, value in values.items() if name in plain}
    for name, part in parts.items():
        inner = {n: value for n, value in values.items() if owner[n] is part}
        # Left out where nothing is given: the dataclass has its own default.
        given |= {name: part(**inner)} if inner else {}
    instance = registry[kind](**given)  # says more about its own fields than the line below
    if wild := [name for name, value in values.items() if not is_finite(value)]:
        raise ValueError(f"{where}: field {wild[0]!r} must be finite, got {values[wild[0]]!r}")
    return instance


def _plain_fields(factory: type) -> dict[str, bool]:
    """The fields of a dataclass that a configuration gives as they are: whether each may be left
    out.
    """
    return {
        f.name: not (f.default is f.default_factory is dataclasses.MISSING)
        for f in dataclasses.fields(factory)
        if f.init and not f.metadata.get("flat")
    }


def _parts(factory: type) -> dict[str, Callable[..., Any]]:
    """The factories of the fields marked `FLAT`."""
    return {
        f.name: f.default_factory
        for f in dataclasses.fields(factory)
        if f.metadata.get("flat") and f.default_factory is not dataclasses.MISSING
    }


def is_finite(value: Any) -> bool:
    """Whether no number of a value, at any depth, is infinite or NaN.

    Example:
      >>> is_finite({"a": [1.0, 2.0]}), is_finite({"a": [1.0, float("nan")]})
      (True, False)
    """
    if isinstance(value, Mapping):
        return all(map(is_finite, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def unbounded(value: Any) -> Any:
    """Infinity or NaN of its text, as a command line has it; anything else as it is.

    Example:
      >>> unbounded("-inf"), unbounded("info"), unbounded(3)
      (-inf, 'info', 3)
    """
    written = value.strip().lower().lstrip("+-") if isinstance(value, str) else ""
    return float(value) if written in ("inf", "infinity", "nan") else value


def numeric(value: Any, hint: Any) -> Any:
    """A value of a field, with `unbounded` texts as numbers where numbers are meant and no text.

    Example:
      >>> numeric("inf", float | None), numeric("inf", float | str)
      (inf, 'inf')
    """
    kinds = typing.get_args(hint) or (hint,)
    return unbounded(value) if float in kinds and str not in kinds else value


@functools.cache
def hints_of(factory: Callable[..., Any]) -> Mapping[str, Any]:
    """The types of the fields or parameters of a factory, by name.

    Example:
      >>> hints_of(fr.SDE)["T"]
      <class 'int'>
    """
    # Annotations are text in every module here; this evaluates them, which takes a while.
    return types.MappingProxyType(typing.get_type_hints(factory))


def misfits(factory: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, str]:
    """The fields or parameters whose value does not fit their type: by name, the type in words.

    Example:
      >>> misfits(fr.TrainConfig, {"steps": "ten", "learning_rate": 1})
      {'steps': 'int'}
    """
    hints = hints_of(factory)
    wrong = {name: hints[name] for name, value in values.items() if not _fits(value, hints[name])}
    return {
        name: hint.__name__ if type(hint) is type else str(hint).replace("typing.", "")
        for name, hint in wrong.items()
    }


def meant_choice(hint: Any, value: Any) -> str:
    """Words behind a message that refuses a value: the choice of its type that is most like it.

    Example:
      >>> meant_choice(typing.Literal["constant", "cosine"], "cosin"), meant_choice(int, "x")
      ("; did you mean 'cosine'?", '')
    """
    known = _choices(hint)
    words = value if isinstance(value, tuple) else (value,)
    wrong = [word for word in words if isinstance(word, str) and word not in known]
    return meant(wrong[0], known) if wrong and known else ""


def _choices(hint: Any) -> tuple[str, ...]:
    """The texts that a type made of literals takes."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return tuple(one for one in arguments if isinstance(one, str))
    return tuple(word for one in arguments for word in _choices(one))


def _frozen(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value fits a type made of plain types, tuples, literals and unions; an int fits a
    float, a truth value only bool.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is tuple:
        parts = (
            arguments[:1] * len(value)
            if isinstance(value, tuple) and arguments[-1:] == (...,)
            else arguments
        )
        return (
            isinstance(value, tuple) and len(parts) == len(value) and all(map(_fits, value, parts))
        )
    # In Python a truth value is an int, which is never meant here.
    if isinstance(value, bool):
        return hint in (bool, Any)
    if origin is not None:
        # Of other generics only the container is checked, not what it holds.
        return isinstance(value, origin)
    # A file says 1 where 1.0 is meant.
    return hint is Any or isinstance(value, (int, float) if hint is float else hint)
