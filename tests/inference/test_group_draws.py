"""Ranks among the keys of a permutation, which decide who is in which group."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference import group_draws
from fairrecon_jax.inference.group_tables import patient_tables


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


@pytest.mark.parametrize("whole", [True, False])
def test_sums_do_not_depend_on_how_many_draws_are_made_at_once(whole):
    rng = np.random.default_rng(3)
    size, groups = 4000, 3
    change = rng.integers(-1, 2, (2, size)) if whole else rng.normal(size=(2, size))
    group, label = rng.integers(0, groups, size), rng.integers(0, 2, size)
    tables = patient_tables(change, label, group, rng.integers(0, size // 2, size), groups=groups)

    def drawn(step):
        starts = range(0, 20, step)
        parts = [
            sums
            for start in starts
            for _, sums in group_draws.permuted_sums(tables, 5, "sex", start, start + step)
        ]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    for one, other in zip(drawn(20), drawn(2), strict=True):
        # of whole numbers every sum is exact; others are summed in single precision
        np.testing.assert_allclose(one, other, rtol=0 if whole else 1e-5, atol=0 if whole else 1e-3)


def test_permuted_groups_keep_their_sizes_within_strata():
    rng = np.random.default_rng(4)
    group, label = rng.integers(0, 3, 500), rng.integers(0, 2, 500)
    tables = patient_tables(np.ones(500), label, group, range(500), groups=3)
    known = group_draws.observed_sums(tables)
    for _, sums in group_draws.permuted_sums(tables, 0, "sex", 0, 6):
        np.testing.assert_array_equal(sums.s, np.broadcast_to(known.s, sums.s.shape))
