"""Runs `page.py` of each folder it is given, in a process of its own that is forked from this one:
the imports, which take longer than most pages, happen once. What a page says as it fails is
written to its `failed.txt`.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401

import fairrecon_jax as fr


def run(folder: Path) -> int:
    """Runs one page and returns 1 where it fails."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        runpy.run_path("page.py", run_name="__main__")
    except BaseException:
        (folder / "failed.txt").write_text(traceback.format_exc(), encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    # the rooms are imported at first use; JAX's own threads start with the first array, after the
    # fork
    for name in fr.__all__:
        getattr(fr, name)
    sys.path.remove(str(Path(__file__).parent))
    for page in map(Path, sys.argv[1:]):
        (page / "failed.txt").write_text("the process ended", encoding="utf-8")
        child = os.fork()
        if not child:
            code = run(page)
            sys.stdout.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        if not status:
            (page / "failed.txt").write_text("", encoding="utf-8")
