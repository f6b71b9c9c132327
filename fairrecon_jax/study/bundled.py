"""The configurations that come with the package, by name."""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_collections import ConfigDict

HERE = Path(__file__).resolve().parents[1]
FOLDERS = (HERE / "configs", HERE.parent / "configs")
"""Where they lie: in an installed package, in a checkout."""


def bundled() -> dict[str, Path]:
    """The bundled configurations: file by name; no two of their folders share one."""
    folder = next((one for one in FOLDERS if one.is_dir()), None)
    files = [] if folder is None else sorted(folder.rglob("*.py"))
    return {path.stem: path for path in files if path.stem != "__init__"}


def find(name: str) -> Path:
    """The file of a bundled configuration.

    Args:
      name: e.g. "chexpert", or with its folder "paper/chexpert".

    Raises:
      InputError: there is none of that name; the message lists those there are.

    Example:
      >>> find("chexpert") == find("paper/chexpert")
      True
    """
    files = bundled()
    found = [
        path
        for path in files.values()
        if f"/{path.with_suffix('').as_posix()}".endswith(f"/{name}")
    ]
    if not found:
        # late: it brings JAX, which the names do without
        from fairrecon_jax.types import InputError

        near = difflib.get_close_matches(name, files, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"no configuration {name!r}; {hint}there are {', '.join(files)}")
    return found[0]


def configuration(name: str) -> ConfigDict:
    """A bundled configuration, to be changed and run.

    Args:
      name: e.g. "quickstart_xray".

    Raises:
      InputError: there is none of that name; the message lists those there are.

    Example:
      >>> config = configuration("quickstart_xray")
      >>> config.cohort.image_size
      64
    """
    path = find(name)
    spec = importlib.util.spec_from_file_location(f"fairrecon_config_{path.stem}", path)
    # a file that exists has both
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()
