"""Balance of classes and tasks: by hand, and in what the loader then draws."""

from __future__ import annotations

import numpy as np
import pytest

from fairrecon_jax.data.loader import train_batches
from fairrecon_jax.diagnosers import class_balance, rarity

NAN = np.nan


class Rows:
    """A cohort that hands out the numbers of its rows."""

    def example(self, i: int) -> dict[str, np.ndarray]:
        return {"index": np.int32(i)}


def drawn(weights: np.ndarray, batches: int, size: int) -> np.ndarray:
    stream = train_batches(Rows(), np.arange(len(weights)), size, seed=3, weights=weights)
    rows = np.concatenate([next(stream)["index"] for _ in range(batches)])
    stream.close()
    return np.bincount(rows, minlength=len(weights))


def test_both_classes_of_a_task_are_drawn_equally_often():
    labels = np.zeros((60, 1))
    labels[:9], labels[50:] = 1, NAN
    count = drawn(class_balance(labels), 60, 60)
    assert count[50:].sum() == 0  # unknown: nothing to learn from
    assert count[:9].sum() == pytest.approx(1800, abs=1)
    assert count[:9].std() < 10  # evenly within a class
    assert count[9:50].sum() == pytest.approx(1800, abs=1)


def test_of_several_tasks_the_mean_is_taken():
    labels = np.array([[1, 0], [0, 0], [0, 1], [0, NAN]])
    # 1 / (2 n) a task: 1/2, 1/6, 1/6, 1/6 and 1/4, 1/4, 1/2; the last has one label
    wanted = np.array([(1 / 2 + 1 / 4) / 2, (1 / 6 + 1 / 4) / 2, (1 / 6 + 1 / 2) / 2, 1 / 6])
    np.testing.assert_allclose(class_balance(labels), wanted / wanted.sum(), rtol=1e-12)


@pytest.mark.parametrize("labels", [np.ones((4, 1)), np.full((4, 2), NAN), np.zeros((4, 0))])
def test_where_there_is_one_class_or_none_all_rows_are_alike(labels):
    np.testing.assert_allclose(class_balance(labels), 0.25)


def test_rare_findings_weigh_more():
    labels = np.zeros((100, 3))
    labels[:60, 0] = labels[:30, 1] = labels[:3, 2] = 1
    labels[90:, 2] = NAN
    weights = np.array([60 - n + 31 for n in (60, 30, 3)], float)  # 31: the mean number
    np.testing.assert_allclose(rarity(labels), weights / weights.max(), rtol=1e-12)
    assert rarity(np.zeros((5, 2))) == (1.0, 1.0)
    assert rarity(np.ones((5, 2))) == (1.0, 1.0)
