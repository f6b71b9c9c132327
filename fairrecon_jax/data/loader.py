"""Batches of a cohort: an endless shuffled stream for training with a position that can be saved, a
finite padded one for evaluation.

The training stream is a pure function of (rows, batch size, seed, sampling weights): batch number b
is the same for any number of reading workers, devices or processes, so a position is one integer
and a run continues from it under another set-up.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import grain
import jax
import numpy as np
from absl import flags

from fairrecon_jax.runtime.devices import pad_batch


class Examples(Protocol):
    """The part of a cohort that the loader needs."""

    def example(self, i: int) -> Mapping[str, Any]:
        """One row of a `Batch`, without the leading axis."""
        ...


def read_rows(cohort: Examples, rows: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """Reads examples into one host batch, in the given order.

    Args:
      cohort: where the examples come from.
      rows: [B] row numbers of the cohort's table.

    Returns:
      A `Batch` of numpy arrays with B examples.
    """
    examples = [cohort.example(int(row)) for row in rows]
    return {
        name: np.stack([np.asarray(example[name]) for example in examples]) for name in examples[0]
    }


@functools.lru_cache(maxsize=4)
def _epoch(seed: int, epoch: int, count: int) -> tuple[np.ndarray, float]:
    """The order of an epoch's slots and its offset in [0, 1), functions of seed and epoch."""
    rng = np.random.default_rng((seed, epoch))
    return rng.permutation(count), float(rng.random())


@dataclasses.dataclass(frozen=True)
class _Draw:
    """Position in the shuffled stream -> row number, by systematic sampling within each epoch.

    With n positions in an epoch and cumulative shares F, the row of slot k is F^-1((k + u) / n), u
    uniform per epoch: over an epoch a row with share s comes up floor(n s) or ceil(n s) times, n s
    on average; with equal weights each row comes up exactly once. The slots of an epoch are taken
    in random order.
    """

    rows: np.ndarray
    cumulative: np.ndarray | None
    seed: int

    def __call__(self, position: int, _: int) -> int:
        count = len(self.rows)
        # cached: every position asks, and a batch may reach into the next epoch
        order, offset = _epoch(self.seed, position // count, count)
        slot = int(order[position % count])
        # The bound is for rounding: the last edge may come out below 1.
        if self.cumulative is not None:
            slot = min(
                # side="right": a row of weight 0 has an empty interval and is never found
                int(np.searchsorted(self.cumulative, (slot + offset) / count, side="right")),
                count - 1,
            )
        return int(self.rows[slot])


@dataclasses.dataclass(frozen=True)
class _Read:
    """Row numbers of a whole batch -> the examples of this process's share of it."""

    cohort: Examples
    process: int
    processes: int

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        share = len(rows) // self.processes
        return read_rows(self.cohort, rows[self.process * share : (self.process + 1) * share])


class TrainBatches(Iterator[dict[str, np.ndarray]]):
    """The endless training stream made by `train_batches`; `get_state` and `set_state` save and
    restore its position.
    """

    def __init__(self, batches: grain.MapDataset, workers: int, fingerprint: str):
        self._batches = batches
        self._workers = workers
        self._fingerprint = fingerprint
        self._position = 0
        self._stream: Any = None

    def __next__(self) -> dict[str, np.ndarray]:
        if self._stream is None:
            self._stream = self._open()
        batch = next(self._stream)
        self._position += 1
        return batch

    def _open(self) -> Any:
        # little ahead: each waiting batch holds whole images in memory
        ahead = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
        # Grain's own state would hold for one number of workers only
        stream = self._batches.slice(slice(self._position, None)).to_iter_dataset(ahead)
        if self._workers:
            # Grain's worker processes read absl flags, which only an absl program has parsed.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            stream = stream.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=self._workers, per_worker_buffer_size=2)
            )
        return iter(stream)

    def get_state(self) -> dict[str, Any]:
        """The position as JSON: batches given out so far, and the fingerprint of the stream they
        belong to.
        """
        return {"position": self._position, "fingerprint": self._fingerprint}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a position given by `get_state`, under any number of workers and
        processes.

        Raises:
          ValueError: the position belongs to a stream of other rows, batch size, seed or weights.
        """
        if state["fingerprint"] != self._fingerprint:
            raise ValueError(
                "the saved loader position belongs to another stream "
                f"({state['fingerprint']}, here {self._fingerprint}): "
                "rows, batch size, seed and sampling weights must be those of the saved run"
            )
        self.close()
        self._position = int(state["position"])

    def close(self) -> None:
        """Ends reading ahead and stops the workers; the next batch opens the stream again."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def train_batches(
    cohort: Examples,
    rows: np.ndarray,
    batch_size: int,
    seed: int,
    workers: int = 0,
    weights: np.ndarray | None = None,
) -> TrainBatches:
    """Endless batches, shuffled anew in every epoch; an epoch's last examples share a batch with
    the next epoch's first.

    Args:
      cohort: where the examples come from (picklable when workers > 0).
      rows: [N] row numbers of the cohort's table.
      batch_size: examples a step over all processes; each process gets its equal share of every
        batch.
      seed: of the order of examples.
      workers: reading processes; 0 reads in threads of this process. The stream does not depend on
        it.
      weights: [N] non-negative sampling weights, one per entry of `rows`; rows come up in
        proportion, as evenly as possible. The weight is spent in the sampling: the batch field
        `weight` is what the cohort gives, not this.

    Returns:
      An iterator of host batches with `get_state` / `set_state` / `close`.

    Raises:
      ValueError: no rows, weights of another length, negative, not finite or all zero, a batch that
        does not divide over processes.
    """
    rows = np.asarray(rows, dtype=np.int64)
    if rows.ndim != 1 or not len(rows):
        raise ValueError(f"training needs a non-empty list of rows, got shape {rows.shape}")
    if batch_size < 1 or batch_size % jax.process_count():
        raise ValueError(
            f"batch_size {batch_size} does not divide over {jax.process_count()} processes"
        )
    cumulative = (
        None if weights is None else _cumulative(np.asarray(weights, dtype=np.float64), len(rows))
    )
    # no workers and no processes: the stream does not depend on them
    fingerprint = hashlib.sha256(rows.tobytes() + repr((batch_size, seed)).encode())
    if cumulative is not None:
        fingerprint.update(cumulative.tobytes())
    batches = (
        grain.MapDataset.range(len(rows))
        .repeat()
        .map_with_index(_Draw(rows, cumulative, seed))
        # whole batches of numbers, of which each process reads its share: the order is one for all
        .batch(batch_size)
        .map(_Read(cohort, jax.process_index(), jax.process_count()))
    )
    return TrainBatches(batches, workers, fingerprint.hexdigest()[:16])


def _cumulative(weights: np.ndarray, count: int) -> np.ndarray:
    """Cumulative shares of checked sampling weights, ending in 1."""
    if weights.shape != (count,):
        raise ValueError(f"{count} rows need {count} sampling weights, got shape {weights.shape}")
    if not np.all(np.isfinite(weights)) or weights.min() < 0 or weights.sum() == 0:
        raise ValueError("sampling weights must be finite, not negative and not all zero")
    return np.cumsum(weights) / weights.sum()


def eval_batches(
    cohort: Examples, rows: np.ndarray, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Every row once, in order; the last batch is padded with weight 0 and index -1, nothing is
    dropped.

    Args:
      cohort: where the examples come from.
      rows: [N] row numbers of the cohort's table; N may be 0.
      batch_size: examples a batch over all processes; each process gets its equal share of every
        batch.

    Yields:
      Host batches of batch_size / processes examples.

    Raises:
      ValueError: the batch does not divide over processes.
    """
    processes = jax.process_count()
    if batch_size < 1 or batch_size % processes:
        raise ValueError(f"batch_size {batch_size} does not divide over {processes} processes")
    rows = np.asarray(rows, dtype=np.int64)
    share = batch_size // processes
    for start in range(0, len(rows), batch_size):
        first = start + jax.process_index() * share
        # a slice past the end is short or empty, which is padded below
        local = rows[first : min(first + share, start + batch_size)]
        # A process without rows left takes part in the step all the same, with examples of weight
        # 0.
        batch = pad_batch(read_rows(cohort, local if len(local) else rows[-1:]), share)
        if not len(local):
            batch["weight"], batch["index"] = (
                np.zeros_like(batch["weight"]),
                np.full_like(batch["index"], -1),
            )
        yield batch
