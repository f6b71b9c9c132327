"""Names as numbers: the digest of an example that keys its noise, and the identity of a result,
which is all that its numbers depend on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.types import Array, Key


def example_digest(name: str) -> np.ndarray:
    """The 64-bit BLAKE2b digest of an example's name as two uint32 words.

    Args:
      name: the example's name, unique in its cohort.

    Returns:
      [2] uint32.

    Example:
      >>> one, other = example_digest("patient1/view1"), example_digest("patient1/view2")
      >>> one.shape, one.dtype.name, bool(np.all(one == other))
      ((2,), 'uint32', False)
    """
    # Not `hash`, which differs from process to process; "<u4" reads alike on every machine.
    return np.frombuffer(
        hashlib.blake2b(name.encode(), digest_size=8).digest(), dtype="<u4"
    ).astype(np.uint32)


def example_keys(key: Key, example_id: Array) -> Key:
    """One key per example, a function of the key and the example's digest only.

    Args:
      key: scalar typed key.
      example_id: [B, 2] uint32 from `example_digest`.

    Returns:
      [B] typed keys; independent of batch size, order and device count.

    Example:
      >>> key, ids = jax.random.key(0), np.stack([example_digest(name) for name in ("a", "b", "c")])
      >>> all_three, alone = example_keys(key, ids), example_keys(key, ids[1:2])
      >>> bool(all_three[1] == alone[0])  # whatever the batch around it
      True
    """

    def one(words: Array) -> Key:
        # fold_in takes 32 bits at a time; two words make collisions within a cohort unlikely.
        return jax.random.fold_in(jax.random.fold_in(key, words[0]), words[1])

    return jax.vmap(one)(jnp.asarray(example_id))


def free(default: Any) -> Any:
    """A dataclass field that changes no number: a path, a number of workers, how often something is
    saved or shown.

    Args:
      default: of the field.

    Returns:
      A `dataclasses.field` that `identity` leaves out.

    Example:
      >>> @dataclasses.dataclass(frozen=True)
      ... class Run:
      ...     steps: int
      ...     workers: int = free(default=0)
      >>> identity(Run(10, workers=8)) == identity(Run(10))
      True
    """
    return dataclasses.field(default=default, metadata={"identity": False})


def added(default: Any, **metadata: Any) -> Any:
    """A dataclass field that came after results were made: at its default it changes no number.

    Args:
      default: of the field, under which everything is as it was without it.
      **metadata: more of the field's metadata.

    Returns:
      A `dataclasses.field` that `identity` leaves out where it has its default.

    Example:
      >>> @dataclasses.dataclass(frozen=True)
      ... class Run:
      ...     steps: int
      ...     nesterov: bool = added(default=False)
      >>> identity(Run(10)), identity(Run(10, nesterov=True))["nesterov"]
      ({'kind': 'Run', 'steps': 10}, True)
    """
    return dataclasses.field(default=default, metadata={**metadata, "identity": "unless default"})


def identity(value: Any, everything: bool = False) -> Any:
    """All of a value that a result may depend on, as JSON.

    A dataclass gives its class name and its fields, less those declared `free` and those `added`
    that have their default; mappings, lists and tuples give their parts, arrays a digest of their
    values. Two equal identities are the same choice, whatever object or file held it.

    Args:
      value: built of dataclasses, mappings, sequences, arrays, paths and scalars.
      everything: with all fields, for a record that people read.

    Returns:
      Dictionaries, lists and scalars.

    Raises:
      TypeError: a part is none of these; nothing is guessed from its `repr`.

    Example:
      >>> from fairrecon_jax.training import TrainConfig
      >>> fast = TrainConfig(steps=10, batch_size=2, workers=8)
      >>> identity(fast) == identity(TrainConfig(steps=10, batch_size=2))
      True
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 1 and 1.0 are the same choice
    # NaN and infinity stay floats: `is_integer` is false for both.
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return identity(value.item())
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (np.ndarray, jax.Array)) and not isinstance(value, np.ma.MaskedArray):
        array = np.asarray(value)
        if array.dtype.hasobject:  # its bytes are addresses
            raise TypeError("an array of objects has no declared identity; give it a type")
        digested = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
        # The bytes alone would not tell [2, 3] from [3, 2], or zeros of two types.
        return f"{array.dtype}{list(array.shape)} {digested}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        kept = [f.name for f in fields if everything or _counts(f, getattr(value, f.name))]
        parts = {name: identity(getattr(value, name), everything) for name in kept}
        # Two classes with the same fields are different choices.
        return {"kind": type(value).__name__, **parts}
    if isinstance(value, Mapping):
        parts = {str(name): identity(part, everything) for name, part in value.items()}
        if len(parts) < len(value):
            raise TypeError(f"two keys of a mapping read alike: {list(value)}")
        return parts
    if isinstance(value, (list, tuple)):
        return [identity(part, everything) for part in value]
    raise TypeError(f"a {type(value).__name__} has no declared identity: {value!r}")


def _counts(field: dataclasses.Field[Any], value: Any) -> bool:
    """Whether a field of this value may change a number."""
    declared = field.metadata.get("identity", True)
    return value != field.default if declared == "unless default" else bool(declared)


def digest(*parts: Any) -> str:
    """SHA-256 of the identity of some values, 16 hexadecimal digits, the same on every machine.

    Example:
      >>> len(digest("unet", {"width": 8})), digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
      (16, True)
    """
    # Sorted: the order in which a file names its fields is no choice.
    text = json.dumps([identity(part) for part in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
