"""What the machine has, or is said to have."""

from __future__ import annotations

import math
from pathlib import Path

import jax
import pytest

from fairrecon_jax.runtime import capacity
from fairrecon_jax.runtime.capacity import VARIABLE, Capacity, limits, physical
from fairrecon_jax.types import ConfigError


def laid(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_groups_of_the_second_version_limit_from_the_own_one_up(tmp_path):
    root = laid(
        tmp_path,
        {
            "proc/self/cgroup": "0::/jobs/seven\n",
            "sys/fs/cgroup/jobs/seven/memory.max": "max\n",
            "sys/fs/cgroup/jobs/memory.max": "8000000000\n",
            "sys/fs/cgroup/memory.max": "9000000000\n",
        },
    )
    assert sorted(limits(root)) == [8e9, 9e9]


def test_groups_of_the_first_version_and_a_container_that_is_its_own_top(tmp_path):
    root = laid(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "5000000000\n",
            "sys/fs/cgroup/memory.max": "1\n",
        },
    )
    assert list(limits(root)) == [5e9]
    assert list(limits(tmp_path / "nowhere")) == []


def test_the_machine_has_what_the_kernel_says_or_less(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    table = Path("/proc/meminfo")
    if not table.exists():
        pytest.skip("nothing to compare with")
    told = int(table.read_text().split()[1]) * 1024
    assert physical() == pytest.approx(told, rel=1e-3)
    found = capacity.capacity()
    assert 0 < found.bytes <= physical()
    assert (found.sharers, found.host) == (jax.local_device_count(), True)
    monkeypatch.setattr(capacity, "limits", lambda: [1e9, 2e9])
    assert capacity.capacity().bytes == 1e9


class Accelerator:
    platform = "gpu"

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def memory_stats(self) -> dict[str, int]:
        return {"bytes_limit": self.limit}


def test_the_smallest_accelerator_counts_and_shares_with_nobody(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(jax, "local_devices", lambda: [Accelerator(80), Accelerator(40)])
    assert capacity.capacity() == Capacity(40, 1, host=False)


@pytest.mark.parametrize(("given", "bytes_"), [("24", 24e9), ("0.5", 5e8), ("inf", math.inf)])
def test_the_variable_goes_first(monkeypatch, given, bytes_):
    monkeypatch.setenv(VARIABLE, given)
    assert capacity.capacity().bytes == bytes_


@pytest.mark.parametrize("given", ["many", "0", "-1", "nan", "24 GB"])
def test_a_value_that_means_nothing_is_refused_by_name(monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ConfigError, match=rf"^{VARIABLE} is '{given}': give the gigabytes"):
        capacity.capacity()


def test_words():
    assert str(Capacity(24e9)) == "this machine has 24.0 GB"
    assert Capacity(24e9, images=10**9).free == 23e9
    assert str(Capacity(24e9, images=10**9)).endswith("24.0 GB, 1.0 GB of it taken by the images")
    assert str(Capacity(8e10, host=False)) == "an accelerator of this machine has 80.0 GB"
