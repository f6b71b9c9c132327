"""A user's own table and images, a few of everything, for tests to read and break."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

SIDE = 32


def picture(number: int) -> np.ndarray:
    """A smooth image of its own, [32, 32] uint8."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
    return np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def region(number: int) -> np.ndarray:
    """A rectangle, [32, 32] uint8 in {0, 255}."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8 : 16 + number % 5, 6:20] = 255
    return mask


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_own(root: Path, count: int = 24) -> Path:
    """root/{exams.csv, images/, masks/, vendor/, noisy/}: two images of every patient."""
    for folder in ("images", "masks", "vendor", "noisy"):
        (root / folder).mkdir(parents=True)
    rows = []
    for number in range(count):
        patient, file = number // 2, f"{number:03d}.png"
        image = Image.fromarray(picture(number))
        image.save(root / "images" / file)
        Image.fromarray(region(number)).save(root / "masks" / file)
        blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(1))).astype(np.uint16)
        Image.fromarray(blurred * 257).save(root / "vendor" / file)
        noise = np.random.default_rng(number).normal(0, 20, (SIDE, SIDE))
        noisy = (picture(number) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(root / "noisy" / file)
        rows.append(
            {
                "File": file,
                "Patient ID": f"P{patient:02d}",
                "Sex": "FM"[patient % 2],
                "Age": str(30 + 3 * patient),
                "Scanner": ("A", "B", "")[patient % 3],
                "Finding": ("nodule|edema", "normal", "normal", "")[number % 4],
                "Fold": ("train", "val", "test", "train")[patient % 4],
            }
        )
    write_table(root / "exams.csv", rows)
    return root


COLUMNS: dict[str, Any] = {
    "table": "exams.csv",
    "images": "images",
    "image": "File",
    "patient": "Patient ID",
    "mask": {"task": "lung", "folder": "masks"},
    "labels": {
        "nodule": {"column": "Finding", "separator": "|", "positive": ["nodule"], "negative": ["*"]}
    },
    "attributes": {
        "sex": {"column": "Sex", "groups": {"female": ["F"], "male": ["M"]}},
        "age": {"column": "Age", "cuts": [45]},
        "scanner": "Scanner",
    },
}
