"""What running a study changes in JAX is put back."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest

CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture(autouse=True)
def compilation_cache() -> Iterator[None]:
    """A study keeps compiled programs in its work directory; the next test's are not kept there."""
    before = {name: getattr(jax.config, name) for name in CACHE}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
