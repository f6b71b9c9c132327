"""The configurations that come with the package, by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from fairrecon_jax.types import InputError

HERE = Path(__file__).resolve().parents[1]
FOLDERS = (HERE / "configs", HERE.parent / "configs")
"""Where they lie: in an installed package, in a checkout."""


def bundled() -> dict[str, Path]:
    """The bundled configurations: file by name."""
    folder = next((one for one in FOLDERS if one.is_dir()), None)
    files = [] if folder is None else sorted(folder.rglob("*.py"))
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in files
        if path.stem != "__init__" and folder is not None
    }


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
    files = bundled()
    if name not in files:
        raise InputError(f"no configuration {name!r}; there are {', '.join(files)}")
    spec = importlib.util.spec_from_file_location(
        f"fairrecon_config_{files[name].stem}", files[name]
    )
    # a file that exists has both
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()
