from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.keys import example_digest, example_keys
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.devices import map_rows, map_step, pad_batch, replicate, shard
from fairrecon_jax.types import InputError
from tests.support.device_steps import batch, step
from tests.support.processes import run_processes


def test_digests_are_stable_and_differ() -> None:
    assert example_digest("patient00001/study1/view1_frontal").tolist() == [2185671204, 2943710461]
    digests = {tuple(example_digest(f"p{i}")) for i in range(2000)}
    assert len(digests) == 2000
    assert example_digest("Größe").dtype == np.uint32


def test_keys_depend_on_the_example_not_on_its_place() -> None:
    ids = batch(6)["example_id"]
    keys = jax.random.key_data(example_keys(jax.random.key(0), ids))
    order = np.array([4, 2, 0])
    np.testing.assert_array_equal(
        keys[order], jax.random.key_data(example_keys(jax.random.key(0), ids[order]))
    )
    assert len(np.unique(keys, axis=0)) == 6
    assert not np.array_equal(keys, jax.random.key_data(example_keys(jax.random.key(1), ids)))


def test_padding_repeats_the_last_example_without_weight() -> None:
    padded = pad_batch(batch(3), 5)
    assert padded["index"].tolist() == [0, 1, 2, -1, -1]
    assert padded["weight"].tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_array_equal(padded["value"][3:], padded["value"][[2, 2]])
    assert {name: value.dtype for name, value in padded.items()} == {
        name: value.dtype for name, value in batch(3).items()
    }


@pytest.mark.parametrize(("count", "size"), [(4, 3), (0, 3)])
def test_padding_cannot_shrink_or_invent(count: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"cannot pad a batch of {count} examples to {size}"):
        pad_batch({name: value[:count] for name, value in batch(4).items()}, size)


def test_sharding_splits_and_refuses_a_remainder() -> None:
    assert shard(batch(8), 4)["value"].shape == (4, 2, 3)
    with pytest.raises(ValueError, match="6 examples does not divide over 4 devices"):
        shard(batch(6), 4)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_a_step_gives_the_same_on_any_number_of_devices(devices: int) -> None:
    mapped = map_step(step, devices)
    state = replicate({"key": jax.random.key(3), "sum": jnp.zeros(())}, devices)
    for _ in range(2):
        state, metrics = mapped(state, batch(8))
    noise = jax.vmap(lambda key: jax.random.normal(key, (3,)))(
        example_keys(jax.random.key(3), batch(8)["example_id"])
    )
    assert float(metrics["mean"]) == pytest.approx(
        float(np.mean(batch(8)["value"] + noise)), rel=1e-5
    )
    assert float(state["sum"]) == pytest.approx(2 * float(metrics["mean"]), rel=1e-6)
    assert float(metrics["count"]) == 8
    assert metrics["mean"].shape == ()


def test_one_device_raises_where_a_value_was_not_reduced() -> None:
    with pytest.raises(ValueError, match="out_axes"):
        map_step(lambda state, rows: (state, rows["value"].sum()), 1)({}, batch(4))


def test_donation_is_a_choice() -> None:
    state = replicate({"key": jax.random.key(3), "sum": jnp.ones(())}, 1)
    map_step(step, 1, donate=False)(state, batch(4))
    assert float(state["sum"]) == 1
    map_step(step, 1)(state, batch(4))
    assert state["sum"].is_deleted()


@pytest.mark.parametrize("devices", [1, 4])
def test_rows_come_back_in_order(devices: int) -> None:
    mapped = map_rows(
        lambda shared, rows: {"out": shared * rows["value"], "index": rows["index"]}, devices
    )
    rows = mapped(jnp.float32(2), batch(8))
    np.testing.assert_allclose(rows["out"], 2 * batch(8)["value"], rtol=1e-6)
    assert rows["index"].tolist() == list(range(8))


def test_more_devices_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="9 devices wanted, this process has 4"):
        map_step(step, 9)


def test_a_half_described_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    monkeypatch.delenv("JAX_NUM_PROCESSES", raising=False)
    with pytest.raises(
        ValueError, match="JAX_COORDINATOR_ADDRESS is set, but JAX_NUM_PROCESSES is not"
    ):
        processes.start()


@pytest.mark.parametrize(
    ("address", "count", "number", "says"),
    [
        ("nope:99999", "2", "1", "JAX_COORDINATOR_ADDRESS must have a port from 1 to 65535, got"),
        ("nonsense", "2", "1", "JAX_COORDINATOR_ADDRESS must be host:port of process 0, got 'non"),
        ("localhost:", "2", "1", "JAX_COORDINATOR_ADDRESS must be host:port of process 0, got"),
        (":80", "2", "1", "JAX_COORDINATOR_ADDRESS must be host:port of process 0, got"),
        ("no.such.host.invalid:80", "2", "1", "knows no host 'no.such.host.invalid'"),
        ("localhost:80", "abc", "1", "JAX_NUM_PROCESSES must be a whole number, got 'abc'"),
        ("localhost:80", "0", "0", "JAX_NUM_PROCESSES must be at least 1, got 0"),
        ("localhost:80", "2", "-1", "JAX_PROCESS_ID must be a whole number, got '-1'"),
        ("localhost:80", "2", "5", "JAX_PROCESS_ID must lie in 0..1, as JAX_NUM_PROCESSES is 2, "),
        ("localhost:80", "", "", "but JAX_NUM_PROCESSES and JAX_PROCESS_ID are not: set them"),
        ("", "abc", "", "JAX_NUM_PROCESSES must be a whole number, got 'abc'"),
        ("", "2", "", "JAX_NUM_PROCESSES is set, but JAX_COORDINATOR_ADDRESS and"),
        ("", "", "3", "JAX_PROCESS_ID is set, but JAX_COORDINATOR_ADDRESS and"),
    ],
)
def test_a_run_described_by_hand_is_checked(
    monkeypatch: pytest.MonkeyPatch, address: str, count: str, number: str, says: str
) -> None:
    for name, text in zip(processes.BY_HAND, (address, count, number), strict=True):
        monkeypatch.setenv(name, text)
    with pytest.raises(InputError) as refused:
        processes.start()
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_with_the_variables_is_told_and_one_process_is_none() -> None:
    wrong = dict(zip(processes.BY_HAND, ("nonsense", "a", "b"), strict=True))
    with pytest.raises(InputError, match="of several processes: 3 errors:"):
        processes.described(wrong)
    for alone in ({}, {"JAX_NUM_PROCESSES": "1"}, {"JAX_PROCESS_ID": "0"}):
        assert processes.described(alone) is None


def test_start_does_nothing_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JAX_COORDINATOR_ADDRESS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    processes.start()
    assert not jax.distributed.is_initialized()
    assert processes.is_primary()


PROGRAM = """
import sys
from fairrecon_jax.runtime.devices import AXIS, map_rows, map_step, pad_batch, replicate, shard
from fairrecon_jax.keys import example_digest, example_keys
from fairrecon_jax.runtime import processes
processes.start()
import jax, jax.numpy as jnp, numpy as np
from tests.support import device_steps as shared
local = slice(4 * jax.process_index(), 4 * jax.process_index() + 4)
rows = {name: value[local] for name, value in shared.batch(8).items()}
state = replicate({"key": jax.random.key(3), "sum": jnp.zeros(())})
mapped = map_step(shared.step)
for _ in range(2):
    state, metrics = mapped(state, rows)
out = map_rows(lambda shared, rows: shared * rows["value"])(jnp.float32(2), rows)
np.testing.assert_allclose(out, 2 * rows["value"], rtol=1e-6)
joined = processes.all_gather({"value": rows["value"], "index": rows["index"]})
np.testing.assert_array_equal(joined["value"], shared.batch(8)["value"])
np.testing.assert_array_equal(joined["index"], np.arange(8, dtype=np.int32))
assert joined["index"].dtype == np.int32
sums = float(metrics["mean"]), float(metrics["count"]), float(state["sum"])
print(jax.process_count(), *sums, processes.is_primary())
"""


@pytest.mark.parametrize("local_devices", [1, 2])
def test_two_processes_give_what_one_gives(local_devices: int) -> None:
    told = run_processes(["-c", PROGRAM], devices=local_devices, path=[Path(__file__).parent])
    assert [process.code for process in told] == [0, 0], told[0].err[-2000:] + told[1].err[-2000:]
    words = [process.out.splitlines()[-1].split() for process in told]  # the back end prints before
    state, metrics = map_step(step, 1)({"key": jax.random.key(3), "sum": jnp.zeros(())}, batch(8))
    for number, (count, mean, total, kept, primary) in enumerate(words):
        assert (count, total, primary) == ("2", "8.0", str(number == 0))
        assert float(mean) == pytest.approx(float(metrics["mean"]), rel=1e-5)
        assert float(kept) == pytest.approx(2 * float(state["sum"]), rel=1e-5)


ALONE = """
import sys, time
from pathlib import Path
from fairrecon_jax.runtime.devices import AXIS, map_rows, map_step, pad_batch, replicate, shard
from fairrecon_jax.keys import example_digest, example_keys
from fairrecon_jax.runtime import processes
from fairrecon_jax.runtime.atomic import write_atomic
processes.start()
import jax
folder, number = Path(sys.argv[1]), jax.process_index()

def work():
    time.sleep(1)
    (folder / "done").write_text("")
    return {"by": number, "where": folder}

print(processes.on_primary(work, "work"), (folder / "done").exists())
write_atomic(folder / f"written_by_{number}", "")
try:
    processes.on_primary(lambda: {}["missing"], "find it")
except Exception as error:
    print(type(error).__name__, error)
try:
    processes.on_primary(lambda: time.sleep(2), "sleep", hours=1 / 3600)
except TimeoutError as error:
    print(error)
"""


def test_process_0_does_alone_what_only_one_may_do(tmp_path: Path) -> None:
    told = run_processes(["-c", ALONE, str(tmp_path)])
    assert [process.code for process in told] == [0, 0], told[0].err[-2000:] + told[1].err[-2000:]
    first, second = (process.out.splitlines() for process in told)
    assert first == [f"{{'by': 0, 'where': {tmp_path!r}}} True", "KeyError 'missing'"]
    assert second == [
        f"{{'by': 0, 'where': '{tmp_path}'}} True",
        "PrimaryFailed process 0 could not find it: KeyError: 'missing'",
        "process 1 waited 0.000277778 h for process 0 to sleep: see what process 0 says; "
        "the same command continues",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", "written_by_0"]


def test_one_process_is_alone_anyway() -> None:
    assert processes.on_primary(lambda: 3, "count") == 3
    assert processes.all_gather({"a": np.arange(2)})["a"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("environment", "devices"),
    [
        (
            {"SLURM_STEP_TASKS_PER_NODE": "1(x2)", "CUDA_VISIBLE_DEVICES": "0,1,2,3"},
            [0, 1, 2, 3],
        ),  # one process a node: all of it
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_GPUS_ON_NODE": "2"}, [0, 1]),
        (
            {"SLURM_STEP_TASKS_PER_NODE": "4(x2)", "CUDA_VISIBLE_DEVICES": "0,1,2,3"},
            None,
        ),  # one process a device: its own
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x3),1", "CUDA_VISIBLE_DEVICES": "0,1"}, None),
        (
            {"SLURM_STEP_TASKS_PER_NODE": "4(x2)", "CUDA_VISIBLE_DEVICES": "GPU-7"},
            [0],
        ),  # bound by Slurm: the only one it sees
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": "1", "CUDA_VISIBLE_DEVICES": "0,1"}, [0, 1]),
        ({"OMPI_COMM_WORLD_LOCAL_SIZE": "2", "CUDA_VISIBLE_DEVICES": "0,1"}, None),
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x2)"}, [0]),  # no accelerators
    ],
)
def test_a_process_that_is_alone_on_its_node_uses_all_of_it(
    environment: dict[str, str], devices: list[int] | None
) -> None:
    assert processes._own_accelerators(environment) == devices
