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


@pytest.mark.parametrize(("dtype", "count"), [("float32", 32_769), ("float64", 16_385)])
def test_a_mapped_product_followed_by_a_sum_is_the_same_compiled(dtype: str, count: int) -> None:
    """jax-ml/jax issue 39103: the last rows are wrong on CPU, without a word, in the versions
    above.
    """
    with jax.enable_x64(dtype == "float64"):
        rows = jnp.zeros((count, 3), dtype).at[:, 0].set(jnp.arange(count, dtype=dtype))
        identity = jnp.eye(3, dtype=dtype)

        def squares(rows: jax.Array) -> jax.Array:
            return jax.vmap(lambda row: jnp.sum((identity @ row) ** 2))(rows)

        expected = np.arange(count, dtype=np.float64) ** 2
        np.testing.assert_allclose(squares(rows), expected, rtol=1e-6)
        np.testing.assert_allclose(jax.jit(squares)(rows), expected, rtol=1e-6)
