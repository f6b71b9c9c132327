"""The tutorials with what they print and draw: notebooks are stored without outputs and run when
the site is built, side by side, and again only when they or the package have changed.

`NOTEBOOKS=0 make docs` leaves them without.
"""

from __future__ import annotations

import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files
from nbclient.exceptions import CellExecutionError

# mkdocs loads hooks as single files: what lies beside them is no package
spec = importlib.util.spec_from_file_location("execute", Path(__file__).with_name("execute.py"))
assert spec is not None
assert spec.loader is not None
execute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(execute)


@event_priority(-100)
def on_files(files: Files, **_: Any) -> Files:
    """Puts notebooks with outputs in place of those without, once mkdocs-jupyter has found them.

    Args:
      files: of the site.

    Raises:
      PluginError: a cell fails; the message names the notebook and the error.
    """
    notebooks = [file for file in files if file.src_uri.endswith(".ipynb")]
    if os.environ.get("NOTEBOOKS") == "0":
        return files
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        made = list(pool.map(lambda file: _executed(Path(file.abs_src_path)), notebooks))
    for file, path in zip(notebooks, made, strict=True):
        file.abs_src_path = str(path)
    return files


def _executed(path: Path) -> Path:
    """A notebook with its outputs.

    Raises:
      PluginError: a cell fails.
    """
    try:
        found: Path = execute.executed(path)
    except CellExecutionError as error:
        raise PluginError(f"{path.name} fails: {error.ename}: {error.evalue}") from error
    return found
