"""Files that come out byte for byte the same, in a tree that appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import multiprocessing
import os
import re
import shutil
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
import openpyxl
from PIL import Image

from fairrecon_jax.runtime.progress import track

T = TypeVar("T")
R = TypeVar("R")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip file can hold
_NIFTI_HEADER_BYTES = 352  # 348 of the header, 4 of the empty extension


@contextlib.contextmanager
def new_tree(root: Path) -> Iterator[Path]:
    """Yields an empty folder beside `root` that is renamed to `root` at the end, or removed if
    anything fails.

    What a killed process of this machine left there is removed first.

    Args:
      root: the folder to make; it may exist if it is empty.

    Raises:
      FileExistsError: `root` is a file or holds something already.
    """
    root = Path(root).absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(
            f"{root} is not an empty folder; phantoms are written to a new one: remove it "
            "or give another path"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    stem = f".{root.name}.partial-{socket.gethostname()}"
    # beside root, as a rename does not cross file systems
    stage = root.parent / f"{stem}-{os.getpid()}"
    for path in root.parent.iterdir():
        # The host is part of the name: process numbers of another machine on this disk say nothing.
        start, _, process = path.name.rpartition("-")
        if path == stage or (start == stem and process.isdecimal() and not _runs(int(process))):
            shutil.rmtree(path, ignore_errors=True)
    stage.mkdir()
    try:
        yield stage
        # an empty folder at root is replaced, anything else raises
        os.replace(stage, root)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _runs(process: int) -> bool:
    """Whether a process of this machine is alive, whoever's it is."""
    try:
        # signal 0 asks and sends nothing
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # it lives, and is someone else's
    except PermissionError:
        return True
    return True


def map_patients(work: Callable[[T], R], tasks: Sequence[T], workers: int, title: str) -> list[R]:
    """`[work(t) for t in tasks]` with a progress bar, in `workers` processes if more than one; the
    order is kept.
    """
    if workers == 1 or len(tasks) < 2:
        return [work(task) for task in track(tasks, title, "patient")]
    context, count = _context(), min(workers, len(tasks))
    with ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent) as pool:
        # Small enough that all workers end together.
        chunk = max(1, min(16, len(tasks) // (4 * workers)))
        return list(track(pool.map(work, tasks, chunksize=chunk), title, "patient", len(tasks)))


def _end_with_parent() -> None:
    """Ends a worker when the process that it works for does: killed, that one cannot tell it, and
    the worker would wait for tasks for ever.
    """

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _context() -> Any:
    """A way to start processes that does not copy this one's threads; the drawing code is imported
    once where the system can.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fairrecon_jax.phantoms"])
    return context


def write_jpeg(path: Path, image: np.ndarray) -> None:
    """Writes a uint8 [H, W] image as a grey JPEG of quality 92."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image, mode="L").save(path, format="JPEG", quality=92)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Writes a table with "\\n" line ends; None becomes an empty field."""
    # newline="": csv writes the line ends itself, the same on every system
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    """Writes indented UTF-8 JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_xlsx(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Writes a one-sheet workbook whose bytes hold no time of writing."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    sheet.append(list(header))
    for row in rows:
        sheet.append(list(row))
    raw = io.BytesIO()
    book.save(raw)
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        # The workbook is packed again, without the times that it was made at.
        # in one order, as a zip file keeps the order of writing
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == "docProps/core.xml":
                data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"1980-01-01T00:00:00Z", data)
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(info, data)


def write_nifti(
    path: Path, stored: np.ndarray, spacing: tuple[float, float, float], slope: float | None = None
) -> None:
    """Writes integers as gzipped NIfTI-1 whose axes run to the patient's left, back and top;
    readers see `stored * slope`.

    Args:
      path: ends in .nii.gz.
      stored: int16 or uint8 [X, Y, Z], written as it is.
      spacing: voxel size in mm.
      slope: scl_slope; None leaves the header unscaled.
    """
    header = nib.nifti1.Nifti1Header()
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    # NIfTI counts to the right, front and top: readers must turn these volumes round
    direction = np.array([-1.0, -1.0, 1.0])
    affine = np.diag([*(direction * spacing), 1.0])
    affine[:3, 3] = -0.5 * direction * spacing * (np.array(stored.shape) - 1)
    header.set_zooms(spacing)
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header.set_xyzt_units("mm")
    # by hand: nibabel would choose slope and integers itself on saving
    header["vox_offset"] = _NIFTI_HEADER_BYTES
    header["magic"] = b"n+1"
    if slope is not None:
        header["scl_slope"], header["scl_inter"] = slope, 0.0
    # four zero bytes: no extension follows; x varies fastest in the file
    payload = header.binaryblock + b"\0\0\0\0" + stored.tobytes(order="F")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(payload, compresslevel=3, mtime=0))
