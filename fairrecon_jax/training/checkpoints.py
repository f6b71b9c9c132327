"""Checkpoints of a running fit, and the final frozen weights that later steps read.

Both are written aside and renamed, so that a reader finds a whole one or none. Arrays are copied to
the host before they are written: the training step may reuse the device's buffers at once, and a
checkpoint fits any number of devices.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as keeping

from fairrecon_jax.runtime import processes
from fairrecon_jax.types import InputError, Variables

_UNREADABLE = (OSError, ValueError, LookupError, TypeError)
"""What reading raises where files were cut, altered or removed."""


def to_host(tree: Any) -> Any:
    """Copies every leaf to a numpy array that shares no memory with a device; typed keys become
    their words.

    Example:
      >>> found = to_host({"key": jax.random.key(7), "step": jnp.zeros(3)})
      >>> found["key"].tolist(), type(found["step"]).__name__
      ([0, 7], 'ndarray')
    """

    def copy(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        # Not asarray: on a CPU that may be a view of a buffer which the next step overwrites.
        return np.array(leaf)

    return jax.tree.map(copy, tree)


def from_host(tree: Any, like: Any) -> Any:
    """Inverts `to_host`: arrays on the default device, with keys where `like` has keys.

    Raises:
      ValueError: a leaf has another shape or type than in `like`; the message names it.

    Example:
      >>> state = {"key": jax.random.key(7)}
      >>> bool(from_host(to_host(state), state)["key"] == state["key"])
      True
    """

    def back(path: Any, leaf: np.ndarray, template: Any) -> jax.Array:
        if jnp.issubdtype(template.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(jnp.asarray(leaf))
        if leaf.shape != template.shape or leaf.dtype != template.dtype:
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"checkpoint leaf {where} is {leaf.dtype}{leaf.shape}, expected "
                f"{template.dtype}{template.shape}"
            )
        # A copy, not NumPy's memory: the step donates these buffers.
        return jnp.array(leaf)

    return jax.tree_util.tree_map_with_path(back, tree, like)


@dataclasses.dataclass
class _Best(keeping.PreservationPolicy):
    """Keeps the checkpoint of the best validation so far, which the loop names."""

    step: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """True for the best step."""
        return [info.step == self.step for info in checkpoints]


class Checkpoints:
    """The checkpoints of one fit: {state, meta} per step, the latest `keep` and the best are kept,
    writing goes on in the background.

    Example:
      >>> from tempfile import mkdtemp
      >>> kept = Checkpoints(Path(mkdtemp()), keep=1)
      >>> kept.save(10, {"w": jnp.ones(3)}, {"seen": 80}, best=None)
      >>> state, meta = kept.restore({"w": jnp.zeros(3)}, step=10)
      >>> kept.close(), state["w"].tolist(), meta
      (None, [1.0, 1.0, 1.0], {'seen': 80})
    """

    def __init__(self, folder: Path, keep: int):
        self._best, self._folder = _Best(), folder
        # A given policy replaces the manager's own rules: the best must be in it.
        policy = keeping.AnyPreservationPolicy([keeping.LatestN(keep), self._best])
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, cleanup_tmp_directories=True, create=True
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    @property
    def latest(self) -> int | None:
        """The latest whole checkpoint's step; None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, meta: Mapping[str, Any], best: int | None) -> None:
        """Starts writing a checkpoint; the state may be donated as soon as this returns.

        Args:
          step: its number; saving a step twice is a no-op.
          state: pytree of arrays and typed keys.
          meta: JSON, e.g. the loader's position.
          best: the step whose checkpoint must be kept beside the latest.
        """
        if step in self._manager.all_steps():
            return
        # A new best may remove the checkpoint before, which must be whole by then.
        self._manager.wait_until_finished()
        self._best.step = best
        held = to_host(state)
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(held),
            meta=ocp.args.JsonSave({**meta, "digest": digest(held)}),
        )
        # Forced, because the loop has decided already; an interval of the manager could refuse.
        self._manager.save(step, args=items, force=True)

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Reads a checkpoint.

        Args:
          like: pytree of the state's structure whose leaves have shape and dtype (`jax.eval_shape`
            will do).
          step: which; the latest if None.

        Returns:
          (state, meta).

        Raises:
          InputError: the state is not the one that was saved.
        """
        step = self.latest if step is None else step
        template = jax.tree.map(_empty, like)
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(template), meta=ocp.args.JsonRestore()
        )
        try:
            restored = self._manager.restore(step, args=items)
            state, meta = restored["state"], dict(restored["meta"])
        except _UNREADABLE as error:
            raise self._spoilt(step, error) from error
        # checkpoints of earlier versions have none
        if meta.pop("digest", None) not in (None, digest(state)):
            raise self._spoilt(step, "its digest differs")
        return from_host(state, like), meta

    def _spoilt(self, step: int | None, why: object) -> InputError:
        """What to say of a checkpoint that is not the one that was saved."""
        place = self._folder / str(step)
        return InputError(
            f"the checkpoint {place} is not what was saved there ({_first_line(why)}): remove it "
            f"to continue from the one before, or {self._folder} to start again"
        )

    def should_stop(self, step: int) -> bool:
        """True where the cluster announced the end of a multi-process run; all processes agree on
        the step.
        """
        # The manager knows of a preemption in a cluster only; alone, the loop waits for SIGTERM.
        return jax.process_count() > 1 and self._manager.reached_preemption(step)

    def wait(self) -> None:
        """Returns when all that was started is on the disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and frees the writer's threads."""
        self._manager.wait_until_finished()
        self._manager.close()


def _empty(leaf: Any) -> np.ndarray:
    """An array to read a leaf into."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return np.empty(leaf.shape, leaf.dtype)


def digest(variables: Variables) -> str:
    """The SHA-256 of names, shapes and values of all arrays, as 64 hexadecimal digits: two equal
    digests are the same weights.

    Example:
      >>> digest({"w": np.zeros(3)}) == digest({"w": np.zeros((3, 1))}), len(digest({}))
      (False, 64)
    """
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        value = np.asarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {value.dtype} {value.shape};".encode())
        # as bytes: bfloat16 has no buffer of its own
        total.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def save_variables(path: str | Path, variables: Variables, meta: Mapping[str, Any]) -> None:
    """Writes final weights and their metadata, aside and then renamed; older weights at `path` are
    replaced.

    Args:
      path: the folder to make; in a multi-process run every process calls this with the same
        arguments.
      variables: network variables.
      meta: JSON, e.g. the config's digest; the digest of the weights is added as "digest".

    Example:
      >>> from tempfile import mkdtemp
      >>> path = Path(mkdtemp(), "final")
      >>> save_variables(path, {"params": {"net": np.ones(3)}, "batch_stats": {}}, {"steps": 800})
      >>> load_variables(path)[1]["steps"]
      800
    """
    path = Path(path).absolute()
    aside, old = path.with_name(path.name + ".tmp"), path.with_name(path.name + ".old")
    variables = to_host(variables)
    path.parent.mkdir(parents=True, exist_ok=True)
    items = ocp.args.Composite(
        variables=ocp.args.PyTreeSave(variables),
        meta=ocp.args.JsonSave({**meta, "digest": digest(variables)}),
    )
    # Every process writes, one renames.
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
        writer.save(aside, args=items, force=True)
    if processes.is_primary():
        shutil.rmtree(old, ignore_errors=True)
        # A folder cannot be renamed onto one that is not empty: the old one steps aside first.
        if path.exists():
            os.replace(path, old)
        os.replace(aside, path)
        shutil.rmtree(old, ignore_errors=True)
    if jax.process_count() > 1:
        # Nobody reads before the primary process has renamed.
        multihost_utils.sync_global_devices(f"saved {path.name}")


def load_variables(path: str | Path) -> tuple[Variables, dict[str, Any]]:
    """Reads weights written by `save_variables` and checks that they are what was written.

    Args:
      path: the folder.

    Returns:
      (variables as numpy arrays, meta).

    Raises:
      FileNotFoundError: there are no weights at `path`.
      InputError: the weights cannot be read, or do not have the digest that was recorded for them.

    Example:
      >>> from tempfile import mkdtemp
      >>> path = Path(mkdtemp(), "final")
      >>> save_variables(path, {"params": {"net": np.ones(3)}, "batch_stats": {}}, {})
      >>> load_variables(path)[0]["params"]["net"].tolist()
      [1.0, 1.0, 1.0]
    """
    path = Path(path).absolute()
    if not (path / "variables").is_dir():
        raise FileNotFoundError(
            f"no saved weights at {path}: train first, or give the folder that holds "
            "`variables` and `meta`"
        )
    try:
        variables = _read(path / "variables")
        meta = json.loads((path / "meta" / "metadata").read_text(encoding="utf-8"))
        written = meta["digest"]
    except _UNREADABLE as error:
        raise InputError(
            f"the weights at {path} cannot be read ({_first_line(error)}): copy or train them again"
        ) from error
    if digest(variables) != written:
        raise InputError(
            f"the weights at {path} are not those that were saved there (their digest "
            "differs): copy or train them again"
        )
    return variables, meta


def _read(folder: Path) -> Variables:
    """A tree of arrays as NumPy."""
    reader = ocp.PyTreeCheckpointHandler()
    # As NumPy, whatever devices wrote them: the file's own sharding may not exist here.
    as_numpy = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), reader.metadata(folder).tree
    )
    tree = reader.restore(folder, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    reader.close()
    return tree


def _first_line(why: object) -> str:
    """The beginning of what a library says."""
    return (str(why).strip().splitlines() or [type(why).__name__])[0][:200]
