"""Guards against a JAX that computes wrong numbers on this machine."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

BROKEN = {"0.10.2", "0.11.0"}


def test_the_installed_jax_is_not_a_known_broken_one() -> None:
    assert jax.__version__ not in BROKEN
    assert tuple(int(part) for part in jax.__version__.split(".")[:2]) >= (0, 8)


def test_setup_excludes_the_broken_versions() -> None:
    requirement = next(line for line in _requirements() if re.match(r"jax[^\w-]", line))
    assert all(f"!={version}" in requirement for version in BROKEN)


def _requirements() -> list[str]:
    from importlib.metadata import PackageNotFoundError, requires

    try:
        return requires("fairrecon_jax") or []
    except PackageNotFoundError:
        pytest.skip("the package is not installed here")


@pytest.mark.parametrize("count", [1024, 32_769])
def test_a_mapped_product_followed_by_a_sum_is_the_same_compiled(count: int) -> None:
    """jax-ml/jax issue 39103: wrong on CPU, without a word, in the versions above."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(count, 3, 3)).astype(np.float32)
    vector = rng.normal(size=(count, 3)).astype(np.float32)

    def total(matrix: jax.Array, vector: jax.Array) -> jax.Array:
        return jnp.sum(jax.vmap(jnp.matmul)(matrix, vector) ** 2)

    expected = np.sum(np.einsum("nij,nj->ni", matrix.astype(np.float64), vector.astype(np.float64)) ** 2)
    np.testing.assert_allclose(jax.jit(total)(matrix, vector), expected, rtol=1e-5)
    np.testing.assert_allclose(total(matrix, vector), expected, rtol=1e-5)
