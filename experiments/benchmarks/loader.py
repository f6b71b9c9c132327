"""The loader: batches of 256 pixels at 8 bits as a training reads them, against its parts."""

from __future__ import annotations

import io
import itertools
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.benchmarks.harness import Comparison, benchmark
from fairrecon_jax.data import Cohort, CohortConfig, open_cohort, prepare
from fairrecon_jax.data.cohort import open_records
from fairrecon_jax.data.loader import train_batches
from fairrecon_jax.phantoms import phantom_options, write_phantom

PATIENTS, SIZE, BATCH, BATCHES, REPEATS = 24, 256, 32, 16, 5
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Kept until the process ends: the timed calls read them."""


def cohort() -> tuple[Cohort, Path]:
    """A prepared cohort of radiographs, and the folder of its records."""
    _FOLDERS.append(tempfile.TemporaryDirectory())
    root = Path(_FOLDERS[-1].name)
    write_phantom("xray", root / "tree", phantom_options("xray", patients=PATIENTS, size=SIZE))
    config = CohortConfig("chexpert", image_size=SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = prepare(config, root / "tree", root / "data", progress=False)
        return open_cohort(config, root / "data"), place


def training(cohort: Cohort, workers: int) -> Comparison:
    """Batches of a training (ours) and one row after the other (peer)."""
    stream = train_batches(cohort, np.arange(len(cohort)), BATCH, 0, workers)

    def ours() -> list[dict[str, np.ndarray]]:
        return list(itertools.islice(stream, BATCHES))

    def peer() -> list[dict[str, np.ndarray]]:
        return [cohort.example(row % len(cohort)) for row in range(BATCHES * BATCH)]

    shape = f"{BATCHES * BATCH} images of {SIZE} pixels at 8 bits, {workers} reading processes"
    return Comparison(ours, peer, shape, REPEATS)


@benchmark("loader_threads")
def loader_threads() -> Comparison:
    """Batches read by threads of the training's process."""
    return training(cohort()[0], workers=0)


@benchmark("loader_processes")
def loader_processes() -> Comparison:
    """Batches read by two processes."""
    return training(cohort()[0], workers=2)


@benchmark("loader_records")
def loader_records() -> Comparison:
    """Images of stored records, every field of which is read (peer) or the image alone (ours)."""
    found, place = cohort()
    whole = open_records(place)

    def read(source: object) -> list[np.ndarray]:
        return [source[row]["image"] for row in range(len(found))]  # type: ignore[index]

    shape = f"{len(found)} records of {SIZE} pixels at 8 bits"
    return Comparison(lambda: read(found.source), lambda: read(whole), shape, REPEATS)


@benchmark("loader_png")
def loader_png() -> Comparison:
    """Images of stored records (ours) and of PNG files in memory (peer)."""
    found, files = cohort()[0], []
    for row in range(len(found)):
        files.append(io.BytesIO())
        Image.fromarray(found.source[row]["image"][..., 0]).save(files[-1], format="PNG")

    def ours() -> list[np.ndarray]:
        return [found.source[row]["image"] for row in range(len(found))]

    def peer() -> list[np.ndarray]:
        return [np.asarray(Image.open(file)) for file in files]

    return Comparison(ours, peer, f"{len(found)} images of {SIZE} pixels at 8 bits", REPEATS)
