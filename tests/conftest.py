"""Strict settings for all tests: four CPU devices, rank promotion raises, the real samples where
they are.
"""

import collections
import gc
import os
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
)

from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

SHARED_DATA = Path(
    os.environ.get("FAIRRECON_SAMPLES", Path(__file__).resolve().parents[2] / "shared" / "data")
)
OPTIMISED = {
    *("diffusion", "inference", "physics", "test_tandem.py", "test_canary.py"),
    *("models/test_convolution.py", "models/test_full_size.py", "models/test_published.py"),
}
"""Rooms and files with the numbers that all others build on, the tandem step and the canaries:
compiled as users compile them.
"""
LAWS = {f"physics/test_{name}.py" for name in ("cartesian", "gaussian", "geometry", "photons")}
"""Files of these rooms about the laws of draws and about shapes, which are compiled quickly: what
they draw is compiled as users compile it in `physics/test_interface.py` and
`physics/test_radial_and_low_dose.py`.
"""

MEMORY = 3 * 2**30
"""Bytes by which a test worker grows before it forgets its compiled programs."""
COMPILED: list[bool] = []
"""Whether the programs that it remembers were compiled quickly."""
FORGOT = [0.0]
"""Bytes that it occupied after it last forgot them: the C library keeps some."""
QUICK_FLAG = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
"""Compiles in half the time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--programs`, by which the two halves of the suite run one after the other."""
    parser.addoption(
        "--programs",
        choices=("as_users", "quick", "all"),
        default="all",
        help="only tests whose programs are compiled as users compile them; or only the others, "
        "compiled quicker still, which a process must be told before its first program",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Before the first program, in every worker."""
    if config.getoption("programs") == "quick":
        os.environ["XLA_FLAGS"] += f" {QUICK_FLAG}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the other half."""
    wanted = config.getoption("programs")
    if wanted == "all" or not collection_path.name.startswith("test_"):
        return None
    return True if is_optimised(collection_path) != (wanted == "as_users") else None


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs are kept for all tests of all workers and of their child processes."""
    base = tmp_path_factory.getbasetemp()
    # workers have folders side by side; a program that another is still writing is compiled anew
    folder = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
        yield


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everywhere else programs, those of child processes too, are compiled in half the time,
    without optimisation.

    Compiled programs stay for the next module that wants them compiled the same way: operations
    outside a compiled function are programs too, and there are thousands. They go when a test
    worker has grown.
    """
    quick = not is_optimised(request.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", str(int(quick)))
        if COMPILED != [quick] or resident() > FORGOT[0] + MEMORY:
            jax.clear_caches()
            FORGOT[0] = resident()
        COMPILED[:] = [quick]
        jax.config.update("jax_disable_most_optimizations", quick)
        yield


def is_optimised(path: Path) -> bool:
    """Whether programs of a test file are compiled as users compile them."""
    here = path.relative_to(Path(__file__).parent)
    name = here.as_posix()
    return (here.parts[0] in OPTIMISED and name not in LAWS) or name in OPTIMISED


def resident() -> float:
    """Bytes that this process occupies; infinite where nothing tells."""
    if not (table := Path("/proc/self/statm")).exists():
        return float("inf")
    return int(table.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder with the real sample cohorts; the test skips, saying so, where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real samples are not at {SHARED_DATA} (set FAIRRECON_SAMPLES)")
    return SHARED_DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests first, so that no worker is left alone with one of them at the
    end; within them and within the others those that are compiled the same way side by side.
    """
    slow = collections.Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (not slow[item.path], is_optimised(item.path), -slow[item.path]))


def pytest_collection_finish() -> None:
    """Modules and tests stay until the end: the collector of garbage need not visit them each time,
    nor come after every few hundred of the objects that tracing makes (a fourteenth of all time).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
