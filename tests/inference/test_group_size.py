"""How often the group test rejects in small studies of designs where sign flips or permutations
alone go wrong; bounds are several standard errors wide.
"""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.inference.equal_changes import group_test
from fairrecon_jax.inference.group_tables import PatientTables, patient_digests

FEW = dict(permutations=199)


def table_of(s, group):
    """Patient tables of changes [U, K], one image a patient."""
    digest = patient_digests(np.arange(len(group)))[1]
    zero = np.zeros(len(group), int)
    s = s[..., None]
    return PatientTables(s, np.ones_like(s), group, digest, digest, zero, int(group.max()) + 1)


def rejections(sizes, lost, gained=0.0, cohorts=240, seed=0, **options):
    """Share of cohorts with p <= 5% by the test, permutations, sign flips everywhere."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    down, up = (np.broadcast_to(v, len(sizes))[group][:, None] for v in (lost, gained))
    u = rng.random((len(group), cohorts))
    s = np.where(u < down, -1.0, np.where(u > 1 - up, 1.0, 0.0))
    tables = table_of(s, group)
    test = group_test(tables, seed=seed, **FEW, **options)
    flips = group_test(tables, seed=seed, one_sided=0.0, **FEW, **options)
    return [np.mean(p <= 0.05) for p in (test.p_value, test.p_permutation, flips.p_robust)]


@pytest.mark.parametrize(("sizes", "lost"), [((1000, 20), 0.01), ((200, 20), 0.05)])
def test_rare_common_losses_are_no_harm(sizes, lost):
    # Nominal .05, 240 cohorts, standard error .014; sign flips reject .77 and .34 here.
    test, _, flips = rejections(sizes, lost)
    assert test < 0.1
    assert flips > 0.22


def test_rare_harm_to_a_small_group_is_found():
    # From 1% to 10% of 40: permutations .82, sign flips .28 (fewer than six losers never suffice).
    test, permuted, flips = rejections((1000, 40), (0.01, 0.1))
    assert test == permuted > 0.65
    assert flips < 0.45


def test_a_merely_noisier_small_group_is_no_harm():
    # 10% change each way among 20, 2% among 1,000: permutations alone reject .14, the test .05.
    test, permuted, _ = rejections((1000, 20), (0.02, 0.1), (0.02, 0.1))
    assert test < 0.1
    assert permuted > test + 0.02


def test_nominal_size_where_changes_are_many():
    test, permuted, flips = rejections((150, 150), 0.15, 0.15, cohorts=400)
    assert 0.01 < test <= min(permuted, flips)
    assert permuted < 0.1


def test_one_harmed_of_twelve_is_found_by_the_maximum():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(12), 60)
    s = rng.normal(size=(720, 150)) - 0.5 * (group == 3)[:, None]
    tables = table_of(s, group)
    both, alone = (group_test(tables, seed=0, combine=c, **FEW).p_value for c in (True, False))
    assert np.mean(both <= 0.05) > np.mean(alone <= 0.05)
