"""Trainings from the start laws of the published networks against those from two others, on the
same phantoms and with the same order of examples and noise.

    python -m experiments.start [--seeds=3] [--only=NAME] [--out=DIR]

18 minutes beside much other work on two cores. Prints one row per network and measure, the mean
over seeds and their standard deviation, and the loss of the untrained U-Net of the paper's size;
with --out the rows of all seeds are written there as start.csv.

Starts:
  - published: PyTorch's laws for the U-Net, those of Pix2Pix, torchvision and
    segmentation_models_pytorch for the others, see `fairrecon_jax.models.start.law`;
  - Flax: kernels normal of variance 1 / fan-in (Flax's default), biases 0;
  - He: kernels normal of variance 2 / fan-in, 1 / fan-in in heads and transposed convolutions.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from flax.traverse_util import flatten_dict, unflatten_dict

import fairrecon_jax as fr
from experiments.tables import markdown
from fairrecon_jax.models.start import CONSTANTS
from fairrecon_jax.phantoms.flair import draw_exam
from fairrecon_jax.phantoms.in_memory import radiographs
from fairrecon_jax.phantoms.options import BrainPhantomOptions
from fairrecon_jax.phantoms.population import draw_glioma, draw_person
from fairrecon_jax.runtime.atomic import write_atomic
from fairrecon_jax.runtime.compilation import keep_compiled_programs
from fairrecon_jax.types import Array, Variables

SIZE = 32
FINDING, REGION = "Consolidation", "tumour"


def flax(path: tuple[str, ...], shape: tuple[int, ...]) -> float:
    """Standard deviation of a kernel by Flax's default."""
    return math.sqrt(1 / math.prod(shape[:-1]))


def he(path: tuple[str, ...], shape: tuple[int, ...]) -> float:
    """Standard deviation of a kernel behind which a ReLU stands, or not."""
    transposed = path[-2].startswith("upconv")
    # of a transposed convolution of stride 2 an output sees a quarter of the kernel
    fan_in = math.prod(shape[:-1]) / (4 if transposed else 1)
    return math.sqrt((1 if transposed or "head" in path else 2) / fan_in)


STARTS: dict[str, Callable[[tuple[str, ...], tuple[int, ...]], float] | None] = {
    "published": None,
    "Flax": flax,
    "He": he,
}


def started(variables: Variables, start: str, seed: int) -> Variables:
    """Variables of the same shapes by another law; as they are for "published".

    Args:
      variables: as a model's `init` gives them.
      start: name in `STARTS`.
      seed: of the draw.

    Example:
      >>> unet = fr.UNetReconstructor(width=2, depth=1)
      >>> fresh = unet.init(jax.random.key(0), {"image": np.zeros((1, 16, 16, 1), np.float32)})
      >>> drawn = started(fresh, "He", seed=0)["params"]["unet"]
      >>> float(abs(drawn["head"]["bias"]).max())
      0.0
    """
    deviation, generator = STARTS[start], np.random.default_rng([seed, 1])
    if deviation is None:
        return variables
    drawn = {}
    for path, leaf in flatten_dict(variables).items():
        if path[-1] == "kernel":
            values = deviation(path, leaf.shape) * generator.standard_normal(leaf.shape)
            drawn[path] = values.astype(np.float32)
        else:
            drawn[path] = np.full(leaf.shape, CONSTANTS[path[-1]], np.float32)
    # a network without statistics has an empty tree
    return {**variables, **unflatten_dict(drawn)}


@dataclasses.dataclass(frozen=True)
class Case:
    """One small network and its training.

    Attributes:
      model: the network.
      physics: what it undoes; None for a diagnoser.
      data: "chest" or "brain".
      choices: of the training.
      measures: names of `model.evaluate`, and "auroc".
    """

    model: Any
    physics: Any
    data: str
    choices: dict[str, Any]
    measures: tuple[str, ...]


def cases() -> dict[str, Case]:
    """The networks by name."""
    dose = fr.LowDoseXray(photons=1e4)
    recon = {"steps": 300, "batch_size": 8, "schedule": "constant"}
    gan = fr.Pix2PixReconstructor(
        width=16, downsamplings=4, disc_width=16, disc_layers=1, dropout=0.5, lambda_l1=1000.0
    )
    grader = fr.Classifier((FINDING,), (0,), backbone="resnet18", width=8)
    tumour = fr.Segmenter((REGION,), (0,), backbone="resnet18_unet", width=8)
    return {
        "U-Net": Case(
            fr.UNetReconstructor(start="torch", width=8, depth=3),
            dose,
            "chest",
            {**recon, "learning_rate": 1e-3},
            ("mse", "psnr"),
        ),
        "Pix2Pix": Case(
            gan, dose, "chest", {**recon, "learning_rate": 2e-4, "b1": 0.5}, ("mse", "psnr")
        ),
        "segmenter": Case(
            tumour, None, "brain", {**recon, "learning_rate": 1e-3}, ("loss", "dice")
        ),
        "ResNet-18": Case(
            grader, None, "chest", {**recon, "learning_rate": 1e-3}, ("loss", "auroc")
        ),
    }


def chest(patients: int, seed: int) -> dict[str, Any]:
    """Radiographs of phantoms with their label, as `fr.arrays` takes them."""
    drawn = radiographs(patients, SIZE, (FINDING,), seed=seed)
    return {"image": drawn.image, "labels": drawn.labels, "patient": drawn.patient}


def brain(patients: int, seed: int) -> dict[str, Any]:
    """Slices of phantom heads with their tumour, as `fr.arrays` takes them."""
    options = BrainPhantomOptions(patients=patients, size=SIZE, slices=12, seed=seed)
    images, masks, names = [], [], []
    for number in range(patients):
        person = draw_person(options, options.first_id + number)
        volume, _, mask, _ = draw_exam(options, person, draw_glioma(options, person), 0)
        for place in range(3, 10):  # the lowest and the highest hold little of a brain
            head = np.clip(volume[:, :, place].astype(np.float32), 0, None)
            images.append(head / max(float(head.max()), 1.0))
            masks.append((mask[:, :, place] > 0).astype(np.float32))
            names.append(f"patient{person.number}")
    return {"image": np.stack(images), "masks": {REGION: np.stack(masks)}, "patient": names}


def judged(case: Case, variables: Variables, given: dict[str, Any]) -> dict[str, float]:
    """The measures of a trained network on other patients' images."""
    image = np.asarray(given["image"])[..., None]
    count, labels = len(image), given.get("labels", {}).get(FINDING)
    mask = given["masks"][REGION][..., None] if "masks" in given else np.zeros((count, 1, 1, 0))
    ids = np.stack([np.zeros(count), np.arange(count)], 1).astype(np.uint32)
    batch: dict[str, Array] = {
        "image": image,
        "mask": mask,
        "labels": np.zeros((count, 0)) if labels is None else labels[:, None].astype(np.float32),
        "example_id": ids,
        "weight": np.ones(count, np.float32),
        "index": np.arange(count, dtype=np.int32),
    }
    if case.physics is not None:
        batch["degraded"] = case.physics(image, key=9)
    found = jax.jit(case.model.evaluate)(variables, batch, jax.random.key(0))
    means = {
        name: float(np.sum(np.asarray(value) * weight) / np.sum(weight))
        for name, (value, weight) in found.items()
    }
    if labels is not None and case.physics is None:
        score = np.asarray(jax.jit(case.model.predict)(variables, image))[:, 0]
        means["auroc"] = float(fr.metrics.auroc(labels, score))
    return {name: means[name] for name in case.measures}


def trained(
    name: str, case: Case, seeds: int, given: dict[str, Any], other: dict[str, Any]
) -> pd.DataFrame:
    """Trains one network from every start under every seed: columns network, start, seed, measure,
    value.
    """
    cohort, records = fr.arrays(**given), []
    image = np.zeros((1, SIZE, SIZE, 1), np.float32)
    for seed in range(seeds):
        fresh = case.model.init(jax.random.key(seed), {"image": image, "degraded": image})
        for start in STARTS:
            weights = fr.fit(
                case.model,
                cohort,
                case.physics,
                initial=started(fresh, start, seed),
                seed=seed,
                **case.choices,
            )
            for measure, value in judged(case, weights, other).items():
                records.append([name, start, seed, measure, value])
    columns = ["network", "start", "seed", "measure", "value"]
    return pd.DataFrame(records, columns=columns)


def untrained(seeds: int, image: np.ndarray, width: int = 64, depth: int = 4) -> pd.DataFrame:
    """The mean squared error of untrained U-Nets whose input is the image itself, rows as those of
    `trained`.

    Args:
      seeds: number of draws.
      image: [B, H, W, 1] in [0, 1].
      width: of the U-Net, the paper's by default.
      depth: of the U-Net.
    """
    model, records = fr.UNetReconstructor(start="torch", width=width, depth=depth), []
    batch = {"image": image, "degraded": image, "weight": np.ones(len(image), np.float32)}
    loss = jax.jit(lambda variables: model.loss(variables, batch, jax.random.key(0), False)[0])
    for seed in range(seeds):
        fresh = model.init(jax.random.key(seed), batch)
        for start in STARTS:
            value = float(loss(started(fresh, start, seed)))
            records.append([f"U-Net, width {width}, untrained", start, seed, "mse", value])
    columns = ["network", "start", "seed", "measure", "value"]
    return pd.DataFrame(records, columns=columns)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds, a row per network and measure, a column per start."""
    lines = []
    for (network, measure), own in rows.groupby(["network", "measure"], sort=False):
        line = {"network": network, "measure": measure}
        for start in STARTS:
            values = own.loc[own["start"] == start, "value"]
            spread = f" ± {values.std():.2g}" if len(values) > 1 else ""
            line[start] = f"{values.mean():.4g}{spread}"
        lines.append(line)
    return pd.DataFrame(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains all and prints the table.

    Args:
      arguments: command line without the program's name; the process's own if None.

    Returns:
      0.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.start", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="networks whose name has this")
    parser.add_argument("--out", type=Path, help="folder for the rows of all seeds")
    options = parser.parse_args(arguments)
    # one program for all starts and seeds
    keep_compiled_programs()
    wanted = {name: case for name, case in cases().items() if options.only in name}
    drawn = {"chest": (chest(400, 0), chest(300, 1)), "brain": (brain(60, 0), brain(30, 1))}
    tables = [untrained(options.seeds, radiographs(2, 256, (FINDING,)).image[..., None])]
    for name, case in wanted.items():
        tables.append(trained(name, case, options.seeds, *drawn[case.data]))
        print(markdown(summary(tables[-1])), flush=True)
    rows = pd.concat(tables, ignore_index=True)
    print(markdown(summary(rows)), flush=True)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomic(options.out / "start.csv", rows.to_csv(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
