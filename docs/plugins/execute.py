"""Runs a notebook once for everybody who wants to see its outputs: the tests and the site."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "build" / "notebooks"
"""Notebooks with outputs, by the digest of what they are made of."""
QUICK = {
    # most of the time goes into compiling programs that run for a second
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONPATH": str(ROOT),
}


def executed(path: Path, sample: str = "") -> Path:
    """A notebook with its outputs, which is run only where it or the package has changed.

    Args:
      path: of the notebook.
      sample: folder of the real NIH sample, "" for phantoms; a notebook with one is not for a site,
        as it says where that folder is.

    Returns:
      The notebook with outputs, under `MADE`.

    Raises:
      CellExecutionError: a cell fails.
    """
    digest = hashlib.sha256(path.read_bytes() + sample.encode())
    for source in sorted((ROOT / "fairrecon_jax").rglob("*.py")):
        digest.update(source.read_bytes())
    stem = f"{path.stem}-sample" if sample else path.stem
    target = MADE / f"{stem}-{digest.hexdigest()[:16]}.ipynb"
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
        # its XLA_FLAGS ask for one device, as users have it, whatever the process around has
        client.execute(env={**os.environ, **QUICK, "FAIRRECON_NIH": sample})
    for cell in notebook.cells:
        if "outputs" in cell:
            # progress of trainings, which nobody reads
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    for older in MADE.glob(f"{stem}-????????????????.ipynb"):
        older.unlink()
    # aside and renamed: a process that is killed leaves no half notebook to be found
    unfinished = target.with_suffix(".unfinished")
    nbformat.write(notebook, unfinished)
    unfinished.replace(target)
    return target
