"""The tutorials with what they print and draw: notebooks are stored without outputs and run when
the site is built, side by side, and again only when they or the package have changed.

`NOTEBOOKS=0 make docs` leaves them without.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "build" / "notebooks"
"""Notebooks with outputs, by the digest of what they are made of."""
QUICK = {
    # most of the time goes into compiling programs that run for a second
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONPATH": str(ROOT),
}


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
    """A notebook with its outputs."""
    digest = hashlib.sha256(path.read_bytes())
    for source in sorted((ROOT / "fairrecon_jax").rglob("*.py")):
        digest.update(source.read_bytes())
    target = MADE / f"{path.stem}-{digest.hexdigest()[:16]}.ipynb"
    if target.exists():
        return target
    MADE.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=600,
            resources={"metadata": {"path": folder}},
            extra_arguments=["--IPKernelApp.log_level=40"],
        )
        try:
            client.execute(env={**os.environ, **QUICK})
        except CellExecutionError as error:
            raise PluginError(f"{path.name} fails: {error.ename}: {error.evalue}") from error
    for cell in notebook.cells:
        if "outputs" in cell:
            # progress of trainings, which nobody reads
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    for older in MADE.glob(f"{path.stem}-*.ipynb"):
        older.unlink()
    nbformat.write(notebook, target)
    return target
