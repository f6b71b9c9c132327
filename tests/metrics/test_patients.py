"""From images to patients: medians and means that leave undefined values out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.metrics import aggregate


@pytest.mark.parametrize("how", ["median", "mean"])
@pytest.mark.parametrize("columns", [None, 3])
def test_agrees_with_pandas(how, columns):
    random = np.random.default_rng(0)
    patients = random.choice([f"p{i}" for i in range(7)], 40)
    values = random.random((40, columns) if columns else 40)
    values[random.random(values.shape) < 0.2] = np.nan
    values[patients == "p3"] = np.nan
    names, actual = aggregate(values, patients, how)
    expected = getattr(pd.DataFrame(values).groupby(patients), how)()
    assert list(names) == list(expected.index)
    np.testing.assert_allclose(actual, expected.to_numpy().reshape(actual.shape), rtol=1e-12)
    assert np.isnan(actual[list(names).index("p3")]).all()


def test_none_keeps_every_row():
    names, values = aggregate(np.array([0.1, 0.2, 0.3]), np.array(["b", "a", "b"]), "none")
    assert list(names) == ["b", "a", "b"]
    np.testing.assert_array_equal(values, [0.1, 0.2, 0.3])


def test_nothing_gives_nothing():
    names, values = aggregate(np.empty((0, 2)), np.empty(0, str), "mean")
    assert len(names) == 0
    assert values.shape == (0, 2)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="3 values for 2 patient names"):
        aggregate(np.zeros(3), np.array(["a", "b"]), "mean")
    with pytest.raises(
        ValueError, match="unknown aggregation 'max'; choose 'none', 'median' or 'mean'"
    ):
        aggregate(np.zeros(2), np.array(["a", "b"]), "max")
