"""Adjusted p-values against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from fairrecon_jax.inference.multiplicity import adjust, benjamini_hochberg, holm


def plain_holm(p):
    order = np.argsort(p)
    adjusted, running = np.empty(len(p)), 0.0
    for rank, i in enumerate(order):
        running = max(running, (len(p) - rank) * p[i])
        adjusted[i] = min(running, 1)
    return adjusted


@pytest.mark.parametrize("size", [1, 2, 17, 108])
def test_matches_references(size):
    p = np.random.default_rng(size).uniform(size=size) ** 2
    np.testing.assert_allclose(holm(p), plain_holm(p), rtol=1e-5)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-5)


def test_worked_example():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06], rtol=1e-6)
    np.testing.assert_allclose(
        benjamini_hochberg(np.array([0.01, 0.04, 0.03])), [0.03, 0.04, 0.04], rtol=1e-6
    )


@pytest.mark.parametrize("method", [holm, benjamini_hochberg])
def test_untested_comparisons_do_not_count(method):
    p = np.array([[0.01, np.nan], [0.2, 0.03]])
    adjusted = np.asarray(method(p))
    assert np.isnan(adjusted[0, 1])
    np.testing.assert_allclose(adjusted[[0, 1, 1], [0, 0, 1]], method(np.array([0.01, 0.2, 0.03])))
    assert np.isnan(np.asarray(method(np.array([np.nan])))).all()


@pytest.mark.parametrize("method", [holm, benjamini_hochberg])
def test_properties(method):
    p = np.random.default_rng(0).uniform(size=30)
    adjusted = method(p)
    assert np.all(adjusted >= p - 1e-7)
    assert np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)
    assert np.all(np.asarray(benjamini_hochberg(p)) <= np.asarray(holm(p)) + 1e-6)


def test_a_thousand_replicates_cannot_pass_holm_over_108_cells():
    assert float(holm(np.full(108, 1 / 1001))[0]) > 0.05
    assert float(holm(np.full(108, 1 / 10000))[0]) < 0.05


def test_by_name():
    p = np.array([0.2, 0.01])
    np.testing.assert_allclose(adjust(p), holm(p))
    np.testing.assert_allclose(adjust(p, "bh"), benjamini_hochberg(p))
    np.testing.assert_allclose(adjust(p, "none"), p)
    with pytest.raises(ValueError, match="'sidak'"):
        adjust(p, "sidak")
