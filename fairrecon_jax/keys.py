"""One key per example, and the digest of a name that it is made from: noise does not depend on
batch, order or device.
"""

from __future__ import annotations

import hashlib

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
    """
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
    """

    def one(words: Array) -> Key:
        return jax.random.fold_in(jax.random.fold_in(key, words[0]), words[1])

    return jax.vmap(one)(jnp.asarray(example_id))
