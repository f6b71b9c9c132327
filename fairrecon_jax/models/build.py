"""Builds frozen dataclasses from the plain fields of a configuration, refusing what they do not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def build(registry: Mapping[str, type], kind: str, what: str, fields: Mapping[str, Any]) -> Any:
    """Makes `registry[kind](**fields)`.

    Lists become tuples, so that the result is hashable. A field whose default is a number, a string or a truth value takes only such a one.

    Args:
      registry: dataclass types by name.
      kind: name in the registry.
      what: the word for the registry's things in messages, e.g. "reconstructor".
      fields: values by field name.

    Returns:
      The instance.

    Raises:
      ValueError: the kind or a field is unknown, or a required field is missing; the message lists the valid ones.
      TypeError: a value does not fit its field.
    """
    if kind not in registry:
        raise ValueError(f"unknown {what} {kind!r}; choose one of {', '.join(sorted(registry))}")
    known = {f.name: f for f in dataclasses.fields(registry[kind]) if f.init}
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise ValueError(f"{what} {kind!r} has no field {', '.join(map(repr, unknown))}; its fields are {', '.join(known)}")
    missing = [n for n, f in known.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    missing = [n for n in missing if n not in fields]
    if missing:
        raise ValueError(f"{what} {kind!r} needs the field {', '.join(map(repr, missing))}")
    values = {name: _frozen(value) for name, value in fields.items()}
    for name, value in values.items():
        _check(f"{what} {kind!r}: field {name!r}", value, known[name].default)
    return registry[kind](**values)


def _frozen(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _check(where: str, value: Any, default: Any) -> None:
    """Raises where a value cannot stand for the default's type; None stands only where the default is None."""
    if default is None or default is dataclasses.MISSING:
        return
    wanted = (int, float) if type(default) is float else type(default)
    if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise TypeError(f"{where} takes a {type(default).__name__} like {default!r}, got {value!r}")
