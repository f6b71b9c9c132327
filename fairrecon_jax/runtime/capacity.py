"""How much memory the computations of this process may take."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from fairrecon_jax.types import ConfigError

VARIABLE = "FAIRRECON_MEMORY_GB"
"""Environment variable: what the machine has, in place of what it says; "inf" for no limit."""
GB = 1e9


def amount(count: float) -> str:
    """Bytes in words, in the largest unit of which there is one.

    Example:
      >>> amount(24e9), amount(1e6), amount(700), amount(math.inf)
      ('24.0 GB', '1.0 MB', '0.7 kB', 'inf GB')
    """
    size, unit = next(
        ((size, unit) for size, unit in ((GB, "GB"), (1e6, "MB")) if count >= size), (1e3, "kB")
    )
    return f"{count / size:.1f} {unit}"


@dataclasses.dataclass(frozen=True)
class Capacity:
    """Memory and who shares it.

    Attributes:
      bytes: of each accelerator, or of the machine.
      sharers: devices that take of it: 1 for an accelerator, all simulated devices for a machine.
      host: whether it is the machine's.
      images: bytes of it that hold images already.
    """

    bytes: float
    sharers: int = 1
    host: bool = True
    images: int = 0

    @property
    def free(self) -> float:
        """What is left for the steps."""
        return self.bytes - self.images

    def __str__(self) -> str:
        what = "this machine" if self.host else "an accelerator of this machine"
        taken = f", {amount(self.images)} of it taken by the images" if self.images else ""
        return f"{what} has {amount(self.bytes)}{taken}"


def capacity() -> Capacity:
    """The memory of the smallest local accelerator; without one, that of the machine or of the
    container or job that the process runs in, whichever is less. `FAIRRECON_MEMORY_GB` goes first.

    Raises:
      ConfigError: `FAIRRECON_MEMORY_GB` is no number above 0.

    Example:
      >>> capacity().bytes > 0
      True
    """
    devices = jax.local_devices()
    on_host = all(device.platform == "cpu" for device in devices)
    sharers = len(devices) if on_host else 1
    if given := os.environ.get(VARIABLE, ""):
        try:
            number = float(given)
        except ValueError:
            number = math.nan
        # not (above), so that NaN is refused too
        if not number > 0:
            raise ConfigError(
                f"{VARIABLE} is {given!r}: give the gigabytes that a step may take, such as 24, or "
                "inf for no limit"
            )
        return Capacity(number * GB, sharers, on_host)
    if on_host:
        return Capacity(min([physical(), *limits()]), sharers)
    known = [(device.memory_stats() or {}).get("bytes_limit", math.inf) for device in devices]
    return Capacity(min(known), sharers, on_host)


def physical() -> float:
    """Bytes of the machine; infinite where nothing tells."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def limits(root: Path = Path("/")) -> Iterator[float]:
    """Bytes that the control groups of this process allow, those around it included.

    Args:
      root: the folder above `proc` and `sys`.

    Yields:
      One number for each group that has a limit, of either version.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers == "":
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        own = top / path.strip("/")
        # a container sees its own group as the top, whatever its path is called outside
        for folder in dict.fromkeys((own, *own.parents, top)):
            if folder.is_relative_to(top):
                try:
                    yield float(int((folder / name).read_text(encoding="utf-8")))
                # not there, or "max"
                except (OSError, ValueError):
                    continue
