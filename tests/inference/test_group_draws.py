"""Ranks among the keys of a permutation, which decide who is in which group."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference import group_draws


@pytest.mark.parametrize("size", [2, 100, 5000, 20_001])
def test_exactly_so_many_keys_lie_below_each_threshold(size):
    keys = np.random.default_rng(size).integers(0, 1 << 32, (6, size), dtype=np.uint32)
    cuts = np.unique([1, size // 3, size // 2, size - 1]).clip(1)
    cuts = np.unique(cuts)
    expected = np.sort(keys, axis=1)[:, cuts]
    np.testing.assert_array_equal(group_draws._thresholds(keys, cuts), expected)


@pytest.mark.parametrize("keys", [np.zeros(5000), np.full(5000, (1 << 32) - 1), np.arange(5000)])
def test_keys_that_follow_no_uniform_law_are_ranked_too(keys):
    keys = keys.astype(np.uint32)[None]
    found = group_draws._thresholds(keys, np.array([1, 2500, 4999]))
    np.testing.assert_array_equal(found[0], np.sort(keys[0])[[1, 2500, 4999]])
