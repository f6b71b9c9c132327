"""Images of one's own: the cohort "table" against the named builder of the same tree, and what
stored reconstructions cost beside their originals.
"""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.benchmarks.harness import Comparison, benchmark
from fairrecon_jax.data import CohortConfig, open_cohort, prepare
from fairrecon_jax.data.loader import eval_batches
from fairrecon_jax.data.mapping import table_columns

COUNT, SIDE, SIZE, BATCH, REPEATS = 96, 1024, 256, 16, 3
TABLE = "Data_Entry_2017_v2020.csv"
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)
COLUMNS = {
    "table": TABLE,
    "images": "images",
    "image": "Image Index",
    "patient": "Patient ID",
    "labels": {
        "effusion": {
            "column": "Finding Labels",
            "separator": "|",
            "positive": ["Effusion"],
            "negative": ["*"],
        }
    },
    "attributes": {"sex": {"column": "Patient Gender", "groups": {"f": ["F"], "m": ["M"]}}},
}
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Kept until the process ends: the timed calls read and write them."""


def folder() -> Path:
    """A folder that is removed when the process ends."""
    _FOLDERS.append(tempfile.TemporaryDirectory())
    return Path(_FOLDERS[-1].name)


def tree() -> Path:
    """Smooth images in the layout of NIH ChestX-ray14, with a reconstruction of each."""
    root, rng, lines = folder(), np.random.default_rng(0), [HEADER]
    for place in ("images", "vendor"):
        (root / place).mkdir()
    for number in range(COUNT):
        name = f"{number // 2 + 1:08d}_{number % 2:03d}.png"
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8))
        image = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.int16)
        for place in ("images", "vendor"):
            noisy = (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(root / place / name)
        finding = ("Effusion", "No Finding")[number // 2 % 2]
        sex = "MF"[number // 4 % 2]
        lines.append(f"{name},{finding},{number % 2},{number // 2 + 1},{40 + number % 40},{sex},PA")
    (root / TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def preparing(root: Path, config: CohortConfig) -> Callable[[], Path]:
    """Prepares a tree, each time into another folder."""
    out, turn = folder(), itertools.count()

    def run() -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return prepare(config, root, out / str(next(turn)), progress=False)

    return run


def table(pairs: bool = False, bits: int = 8) -> CohortConfig:
    """The tree as a table, with or without its reconstructions."""
    stored = {"reconstructions": {"vendor": {"folder": "vendor"}}} if pairs else {}
    columns = table_columns({**COLUMNS, "bits": bits, **stored})
    return CohortConfig("table", image_size=SIZE, columns=columns)


@benchmark("table_prepare")
def table_prepare() -> Comparison:
    """Preparing the tree as a table (ours) and by the named builder (peer)."""
    root = tree()
    named = CohortConfig("nih_chestxray14", image_size=SIZE)
    shape = f"{COUNT} images of {SIDE} pixels to {SIZE}"
    return Comparison(preparing(root, table()), preparing(root, named), shape, REPEATS)


@benchmark("stored_pairs_prepare")
def stored_pairs_prepare() -> Comparison:
    """Preparing originals with a reconstruction of each (ours) and alone (peer)."""
    root = tree()
    shape = f"{COUNT} images of {SIDE} pixels to {SIZE}, with one reconstruction each"
    pairs, plain = table(pairs=True, bits=16), table(bits=16)
    return Comparison(preparing(root, pairs), preparing(root, plain), shape, REPEATS)


@benchmark("stored_pairs_batches")
def stored_pairs_batches() -> Comparison:
    """Reading all batches of a prepared cohort with a reconstruction of each image and without."""
    root, sides = tree(), []
    for config in (table(pairs=True, bits=16), table(bits=16)):
        out = folder()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prepare(config, root, out, progress=False)
        cohort = open_cohort(config, out)
        rows = np.arange(len(cohort))
        sides.append(lambda cohort=cohort, rows=rows: list(eval_batches(cohort, rows, BATCH)))
    shape = f"{COUNT} images of {SIZE} pixels, batches of {BATCH}"
    return Comparison(sides[0], sides[1], shape, REPEATS)
