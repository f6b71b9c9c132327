"""Dice by hand, the three empty-mask rules, masked means."""

import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax import metrics


def test_dice_by_hand():
    predicted = jnp.zeros((1, 4, 4, 2)).at[0, :2, :, 0].set(0.7)
    truth = jnp.zeros((1, 4, 4, 2)).at[0, 1:3, :, 0].set(1).at[0, 0, 0, 1].set(1)
    np.testing.assert_allclose(metrics.dice(predicted, truth), [[0.5, 0.0]])
    np.testing.assert_allclose(metrics.dice(predicted, predicted.round()), [[1.0, np.nan]])


@pytest.mark.parametrize(("rule", "value"), [("undefined", np.nan), ("one", 1.0), ("zero", 0.0)])
def test_empty_masks(rule, value):
    np.testing.assert_equal(float(metrics.dice_from_counts(0, 0, 0, rule)), value)
    assert float(metrics.dice_from_counts(0, 3, 0, rule)) == 0
    assert float(metrics.dice_from_counts(0, 0, 3, rule)) == 0


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="'undefined', 'zero'"):
        metrics.dice_from_counts(0, 0, 0, "nan")
    with pytest.raises(ValueError, match=r"\(4, 4, 1\) and \(4, 4, 2\)"):
        metrics.dice(jnp.zeros((4, 4, 1)), jnp.zeros((4, 4, 2)))


def test_masked_mean():
    values = jnp.array([[0.2, jnp.nan, 0.4], [jnp.nan, jnp.nan, jnp.nan]])
    np.testing.assert_allclose(metrics.masked_mean(values), [0.3, np.nan], rtol=1e-6)
    np.testing.assert_allclose(
        metrics.masked_mean(values, jnp.array([[3.0, 1, 1], [1, 1, 1]]))[0], 0.25, rtol=1e-6
    )
