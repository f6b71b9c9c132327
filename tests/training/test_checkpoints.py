from __future__ import annotations

import shutil
from pathlib import Path

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.training.checkpoints import (
    Checkpoints,
    digest,
    from_host,
    load_variables,
    save_variables,
    to_host,
)
from fairrecon_jax.types import InputError


class Small(flax.struct.PyTreeNode):
    step: jax.Array
    key: jax.Array
    params: dict
    empty: dict


def small(step: int) -> Small:
    params = {
        "net": {
            "w": jnp.arange(6.0).reshape(2, 3) + step,
            "half": jnp.ones(3, jnp.bfloat16),
            "scalar": jnp.float32(step),
        }
    }
    return Small(jnp.int32(step), jax.random.key(step), params, {})


def same(a: Small, b: Small) -> bool:
    return all(
        np.array_equal(x, y) and x.dtype == y.dtype
        for x, y in zip(jax.tree.leaves(to_host(a)), jax.tree.leaves(to_host(b)), strict=True)
    )


def test_state_and_meta_come_back_bit_for_bit(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest is None
    checkpoints.save(3, small(3), {"loss": 0.1 + 0.2, "nan": float("nan")}, None)
    checkpoints.save(3, small(4), {}, None)
    checkpoints.close()
    again = Checkpoints(tmp_path, keep=2)
    state, meta = again.restore(jax.eval_shape(lambda: small(0)))
    assert again.latest == 3
    assert same(state, small(3))
    assert jax.random.uniform(state.key) == jax.random.uniform(jax.random.key(3))
    assert meta["loss"] == 0.1 + 0.2
    assert np.isnan(meta["nan"])
    again.close()


def test_the_latest_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in range(1, 7):
        checkpoints.save(step, small(step), {}, best=2 if step >= 2 else None)
    checkpoints.wait()
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [2, 5, 6]
    assert same(checkpoints.restore(small(0), 2)[0], small(2))
    checkpoints.close()


@pytest.mark.parametrize("how", ["a bit", "the end"])
def test_an_altered_checkpoint_is_refused_by_name(tmp_path: Path, how: str) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(3, small(3), {}, None)
    checkpoints.wait()
    for path in (tmp_path / "3" / "state").rglob("d/*"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content if how == "a bit" else content[:-5])
    with pytest.raises(InputError, match=rf"the checkpoint {tmp_path}/3 is not what was saved"):
        checkpoints.restore(small(0), 3)
    checkpoints.close()


def test_a_checkpoint_of_other_numbers_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(3, small(3), {}, None)
    checkpoints.save(4, small(4), {}, None)
    checkpoints.wait()
    shutil.rmtree(tmp_path / "4" / "state")
    shutil.copytree(tmp_path / "3" / "state", tmp_path / "4" / "state")
    with pytest.raises(InputError, match="its digest differs"):
        checkpoints.restore(small(0), 4)
    checkpoints.close()


def test_a_saved_copy_does_not_share_memory_with_the_state() -> None:
    source = np.arange(4.0, dtype=np.float32)
    copy = to_host({"a": jnp.asarray(source)})
    source += 1
    np.testing.assert_array_equal(copy["a"], [0, 1, 2, 3])


def test_a_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"checkpoint leaf \['w'\] is float32\(3,\), expected float32\(2,\)"
    ):
        from_host({"w": np.zeros(3, np.float32)}, {"w": jax.ShapeDtypeStruct((2,), jnp.float32)})


VARIABLES = {
    "params": {"net": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}},
    "batch_stats": {"net": {}},
}


def test_weights_come_back_with_their_meta(tmp_path: Path) -> None:
    save_variables(tmp_path / "deep" / "final", VARIABLES, {"config": "abc", "title": "Größe"})
    variables, meta = load_variables(tmp_path / "deep" / "final")
    np.testing.assert_array_equal(variables["params"]["net"]["w"], VARIABLES["params"]["net"]["w"])
    assert jax.tree.structure(variables) == jax.tree.structure(VARIABLES)
    assert meta == {"config": "abc", "title": "Größe", "digest": digest(VARIABLES)}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["final"]


def test_saving_again_replaces(tmp_path: Path) -> None:
    save_variables(tmp_path / "final", VARIABLES, {})
    changed = {"params": {"net": {"w": np.ones(2, np.float32)}}, "batch_stats": {"net": {}}}
    (tmp_path / "final.tmp").mkdir()  # left by a crash
    save_variables(tmp_path / "final", changed, {"n": 2})
    variables, meta = load_variables(tmp_path / "final")
    np.testing.assert_array_equal(variables["params"]["net"]["w"], [1, 1])
    assert meta["n"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_missing_and_altered_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no saved weights at .*nowhere"):
        load_variables(tmp_path / "nowhere")
    save_variables(tmp_path / "final", VARIABLES, {})
    meta = tmp_path / "final" / "meta" / "metadata"
    meta.write_text(meta.read_text().replace(digest(VARIABLES), "0" * 64))
    with pytest.raises(ValueError, match="digest differs"):
        load_variables(tmp_path / "final")
    # one number of the weights, under the record of what was saved
    leaves, tree = jax.tree.flatten(VARIABLES)
    leaves[0] = np.array(leaves[0], copy=True)
    leaves[0].flat[0] += 1
    for name, variables in (("whole", VARIABLES), ("other", jax.tree.unflatten(tree, leaves))):
        save_variables(tmp_path / name, variables, {})
    load_variables(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "meta", tmp_path / "other" / "meta", dirs_exist_ok=True)
    with pytest.raises(ValueError, match="digest differs"):
        load_variables(tmp_path / "other")


def test_the_digest_sees_values_names_and_shapes() -> None:
    digests = {
        digest({"a": np.zeros(4)}),
        digest({"b": np.zeros(4)}),
        digest({"a": np.zeros((2, 2))}),
        digest({"a": np.ones(4)}),
    }
    assert len(digests) == 4
