from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import numpy as np
import pytest

from fairrecon_jax.data.loader import eval_batches, read_rows, train_batches
from fairrecon_jax.keys import example_digest


@dataclasses.dataclass(frozen=True)
class TinyCohort:
    """Images that hold their row number."""

    count: int

    def example(self, i: int) -> dict[str, Any]:
        assert 0 <= i < self.count
        return {
            "image": np.full((2, 2, 1), i / 100, np.float32),
            "mask": np.zeros((2, 2, 0), np.float32),
            "labels": np.array([np.nan], np.float32),
            "attributes": np.array([-1], np.int32),
            "example_id": example_digest(f"p{i}"),
            "index": np.int32(i),
            "weight": np.float32(2),
        }


COHORT = TinyCohort(40)
ROWS = np.arange(3, 13)


def indices(batches: Any, count: int) -> list[list[int]]:
    return [batch["index"].tolist() for batch in itertools.islice(batches, count)]


def test_every_epoch_holds_every_row_once_in_another_order() -> None:
    drawn = np.concatenate(indices(train_batches(COHORT, ROWS, 4, seed=1), 10))
    epochs = drawn.reshape(4, 10)
    assert all(sorted(epoch) == ROWS.tolist() for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_order_depends_on_the_seed_alone() -> None:
    first = indices(train_batches(COHORT, ROWS, 4, seed=1), 6)
    assert indices(train_batches(COHORT, ROWS, 4, seed=1), 6) == first
    second = np.concatenate(indices(train_batches(COHORT, ROWS, 5, seed=2), 4))
    assert (
        np.concatenate(first)[10:20].tolist() != second[:10].tolist()
    )  # seed 2 does not begin where seed 1 goes on
    assert np.concatenate(first)[:20].tolist() != second.tolist()


def test_a_batch_holds_the_examples_of_its_rows() -> None:
    batch = next(train_batches(COHORT, ROWS, 4, seed=0))
    np.testing.assert_allclose(batch["image"][:, 0, 0, 0], batch["index"] / 100, rtol=1e-6)
    shapes = {name: value.shape for name, value in batch.items()}
    assert shapes == {
        "image": (4, 2, 2, 1),
        "mask": (4, 2, 2, 0),
        "labels": (4, 1),
        "attributes": (4, 1),
        "example_id": (4, 2),
        "index": (4,),
        "weight": (4,),
    }
    assert batch["example_id"].dtype == np.uint32
    assert batch["index"].dtype == np.int32


@pytest.mark.parametrize("weights", [None, np.arange(10.0)])
def test_the_stream_goes_on_from_every_position(weights: Any) -> None:
    whole = train_batches(COHORT, ROWS, 4, 5, weights=weights)
    states = [whole.get_state()]
    batches = []
    for batch in itertools.islice(whole, 12):
        batches.append(batch["index"].tolist())
        states.append(whole.get_state())
    for position, state in enumerate(states):
        again = train_batches(COHORT, ROWS, 4, 5, weights=weights)
        next(again)
        again.set_state(state)
        assert indices(again, len(batches) - position) == batches[position:]


def test_workers_give_the_same_stream_from_any_position() -> None:
    here = train_batches(COHORT, ROWS, 4, 0)
    expected = indices(here, 9)
    resumed = train_batches(COHORT, ROWS, 4, 0, workers=2)
    resumed.set_state({**resumed.get_state(), "position": 3})
    assert indices(resumed, 4) == expected[3:7]
    state = resumed.get_state()
    resumed.close()
    assert state["position"] == 7
    here.set_state(state)
    assert indices(here, 2) == expected[7:]


def test_a_position_of_another_stream_is_refused() -> None:
    state = train_batches(COHORT, ROWS, 4, 0).get_state()
    for other in (
        train_batches(COHORT, ROWS[:9], 4, 0),
        train_batches(COHORT, ROWS, 5, 0),
        train_batches(COHORT, ROWS, 4, 1),
        train_batches(COHORT, ROWS, 4, 0, weights=np.ones(10)),
    ):
        with pytest.raises(ValueError, match="belongs to another stream"):
            other.set_state(state)


def test_rows_come_up_in_proportion_to_their_weight() -> None:
    weights = np.array([0, 1, 1, 2, 2, 2, 4, 4, 8, 16.0])
    epochs = np.array(indices(train_batches(COHORT, ROWS, 10, 0, weights=weights), 150)) - 3
    counts = np.stack([np.bincount(epoch, minlength=10) for epoch in epochs])
    share = 10 * weights / weights.sum()
    assert np.all(
        (counts >= np.floor(share)) & (counts <= np.ceil(share))
    )  # as evenly as possible in each epoch
    np.testing.assert_allclose(
        counts.mean(axis=0), share, atol=0.17
    )  # four standard errors of a fair coin
    assert len({tuple(epoch) for epoch in epochs}) > 145


def test_equal_weights_are_no_weights() -> None:
    plain = np.concatenate(indices(train_batches(COHORT, ROWS, 5, 3), 8))
    equal = np.concatenate(indices(train_batches(COHORT, ROWS, 5, 3, weights=np.full(10, 0.1)), 8))
    np.testing.assert_array_equal(plain, equal)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(9), "10 rows need 10 sampling weights"),
        (-np.ones(10), "not negative"),
        (np.zeros(10), "not all zero"),
        (np.full(10, np.nan), "finite"),
    ],
)
def test_senseless_weights_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_batches(COHORT, ROWS, 4, 0, weights=weights)


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(ValueError, match="non-empty list of rows"):
        train_batches(COHORT, np.array([], int), 4, 0)
    with pytest.raises(ValueError, match="batch_size 0"):
        train_batches(COHORT, ROWS, 0, 0)


@pytest.mark.parametrize(("count", "size"), [(10, 4), (8, 4), (3, 4), (1, 1), (0, 4)])
def test_evaluation_reads_every_row_once_and_pads(count: int, size: int) -> None:
    batches = list(eval_batches(COHORT, ROWS[:count], size))
    assert len(batches) == -(-count // size)
    assert all(len(batch["index"]) == size for batch in batches)
    index = np.concatenate([batch["index"] for batch in batches]) if batches else np.array([], int)
    weight = np.concatenate([batch["weight"] for batch in batches]) if batches else np.array([])
    assert index[index >= 0].tolist() == ROWS[:count].tolist()
    np.testing.assert_array_equal(weight, np.where(index >= 0, 2, 0))


def test_processes_share_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole_train, whole_eval = (
        indices(train_batches(COHORT, ROWS, 4, 0), 5),
        list(eval_batches(COHORT, ROWS[:9], 4)),
    )
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    parts_train, parts_eval = [], []
    for process in (0, 1):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        parts_train.append(indices(train_batches(COHORT, ROWS, 4, 0), 5))
        parts_eval.append(list(eval_batches(COHORT, ROWS[:9], 4)))
        with pytest.raises(ValueError, match="batch_size 3 does not divide over 2 processes"):
            next(eval_batches(COHORT, ROWS, 3))
    assert [a + b for a, b in zip(*parts_train, strict=True)] == whole_train
    for a, b, whole in zip(*parts_eval, whole_eval, strict=True):
        np.testing.assert_array_equal(np.concatenate([a["index"], b["index"]]), whole["index"])
        np.testing.assert_array_equal(np.concatenate([a["weight"], b["weight"]]), whole["weight"])


def test_rows_are_read_in_the_given_order() -> None:
    assert read_rows(COHORT, [5, 2, 5])["index"].tolist() == [5, 2, 5]
