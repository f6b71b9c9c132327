"""Numbers in the precision they came in; NaN as an answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.assessment import assess, compare, points, trends
from fairrecon_jax.assessment.on_arrays import predictions
from fairrecon_jax.assessment.precision import nan_is_an_answer
from fairrecon_jax.runtime.precision import shortest


def test_floats_become_the_shortest_number_that_names_them():
    values = np.random.default_rng(0).random(1000).astype(np.float32)
    found = shortest(values)
    assert found.dtype == np.float64
    # the same float32 again, in the same order, each as NumPy writes it
    np.testing.assert_array_equal(found.astype(np.float32), values)
    np.testing.assert_array_equal(np.argsort(found), np.argsort(values))
    assert found.tolist() == [float(str(v)) for v in values]
    assert shortest(np.float16([0.7])).tolist() == [0.7]
    assert shortest(np.float32([[0.1, np.nan], [np.inf, 0]])).tolist()[1] == [np.inf, 0]
    exact = np.array([0.1 + 0.2])
    assert shortest(exact).tolist() == exact.tolist()


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.float64])
def test_scores_in_memory_keep_their_precision(kind):
    scores = np.array([0.7, 0.1], kind)
    table, _ = predictions(
        label=[0, 1], original=scores, reconstructed=scores, groups={"g": ["a", "b"]}
    )
    assert table["finding__original"].tolist() == [0.7, 0.1]


def test_names_in_memory_are_compared_in_one_form():
    table, spec = predictions(
        label=[0, 1, 0],
        original=[0.1, 0.9, 0.2],
        reconstructed=[0.1, 0.9, 0.2],
        groups={"town": ["Zu\u0308rich", "Zürich ", "Bern"]},
        patient=["12", "12.0", " 7"],
    )
    assert table["patient_id"].tolist() == ["12", "12", "7"]
    assert spec.attributes[0].groups == ("Bern", "Zürich")


def test_nan_is_an_answer_whatever_the_shell_says():
    with jax.debug_nans(True):
        with pytest.raises(FloatingPointError):
            jnp.log(-jnp.ones(2))
        assert np.isnan(nan_is_an_answer(jnp.log)(-jnp.ones(2))).all()
    for function in (assess, compare, points, trends):
        assert hasattr(function, "__wrapped__")
