"""From degraded images to the table of scores: the fused step against the published way, which
reconstructs all images, writes JPEG files, reads them and diagnoses them, in PyTorch.

Both sides have the same networks with the same weights and the same images in the same batches, and
both diagnose originals and reconstructions, measure the PSNR and write a CSV. Ours degrades the
images as well; the peer is given the degraded ones. Before the timing the peer writes arrays
instead of 8-bit files once, and the two tables are compared.

    python -m experiments.benchmarks.tandem SIDE [small|medium|paper]  # peak memory of one side
"""

from __future__ import annotations

import functools
import resource
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from experiments.benchmarks import densenet, unet
from experiments.benchmarks.harness import Comparison, benchmark

SIZES = {
    # images, pixels, batch, width and depth of the U-Net, growth of the DenseNet
    "small": (128, 64, 8, 8, 3, 8),
    "medium": (64, 128, 8, 16, 3, 8),
    "paper": (4, 256, 4, 64, 4, 32),
}
TASKS, NOISE = 12, 0.1


class Case:
    """One size of the comparison: images in memory, and the networks of both sides."""

    def __init__(self, name: str) -> None:
        self.count, self.size, self.batch, self.width, self.depth, self.growth = SIZES[name]
        random = np.random.default_rng(0)
        self.image = random.random((self.count, self.size, self.size, 1), np.float32)
        self.tasks = tuple(f"finding{i}" for i in range(TASKS))
        self.label = (random.random((self.count, TASKS)) < 0.5).astype(np.float32)

    @functools.cached_property
    def networks(self) -> tuple[Any, Any]:
        """The U-Net and the DenseNet in PyTorch."""
        import torch

        torch.manual_seed(0)
        for name, value in (("SIZE", self.size), ("WIDTH", self.width), ("DEPTH", self.depth)):
            setattr(unet, name, value)
        densenet.GROWTH, densenet.OUTPUTS = self.growth, TASKS
        return unet._torch_network().eval(), densenet.torch_network()

    # -- ours

    @functools.cached_property
    def tandem(self) -> Any:
        """The fused step."""
        import fairrecon_jax as fr
        from fairrecon_jax.tandem import Tandem

        diagnoser = fr.Classifier(
            self.tasks, tuple(range(TASKS)), "densenet121", width=2 * self.growth
        )
        reconstructor = fr.UNetReconstructor(width=self.width, depth=self.depth)
        physics = fr.physics.GaussianNoise(self.size)
        return Tandem(physics, reconstructor, (diagnoser,), self.cohort.spec, ("psnr",))

    @functools.cached_property
    def cohort(self) -> Any:
        """The images and labels."""
        import fairrecon_jax as fr

        labels = {task: self.label[:, i] for i, task in enumerate(self.tasks)}
        return fr.arrays(self.image, labels=labels)

    def inputs(self) -> Any:
        """The weights of the networks in PyTorch, the level and the key."""
        import jax
        import torch

        from fairrecon_jax.diagnosers.imports import import_variables

        reconstructor, diagnoser = self.networks
        with tempfile.TemporaryDirectory() as folder:
            torch.save(diagnoser.state_dict(), path := Path(folder) / "densenet121.pth")
            scores, _ = import_variables(self.tandem.diagnosers[0], [path], self.size)
        images = {"params": {"unet": unet_params(reconstructor)}, "batch_stats": {"unet": {}}}
        return self.tandem.inputs(NOISE, images, (scores,), jax.random.key(0))

    def ours(self, inputs: Any, folder: Path) -> Callable[[], Path]:
        """Images to table."""
        from fairrecon_jax.study.predict import predict
        from fairrecon_jax.tandem import compile_step

        step, rows = compile_step(self.tandem, 1), np.arange(self.count)

        def once() -> Path:
            table = predict(step, inputs, self.cohort, rows, self.batch, 1)
            table.to_csv(folder / "ours.csv", index=False)
            return folder / "ours.csv"

        return once

    def degraded(self, inputs: Any) -> np.ndarray:
        """The images that ours reconstructs."""
        import jax

        from fairrecon_jax.tandem import DEGRADE

        key, ids = jax.random.fold_in(inputs.key, DEGRADE), self.cohort.digests()
        return np.asarray(self.tandem.degradation(inputs.operator, self.image, ids, key))

    # -- the published way

    def published(self, degraded: np.ndarray, folder: Path, exact: bool = False) -> Callable:
        """Reconstruct and write, then read and diagnose; `exact` without files of 8 bit."""
        import torch

        write, read_one = (_write_array, _read_array) if exact else (_write_jpeg, _read_jpeg)

        reconstructor, diagnoser = self.networks

        def batches(images: list[np.ndarray]) -> Any:
            for start in range(0, self.count, self.batch):
                stacked = np.stack(images[start : start + self.batch])
                yield torch.from_numpy(stacked.transpose(0, 3, 1, 2).copy())

        def scores(images: list[np.ndarray]) -> np.ndarray:
            found = [torch.sigmoid(diagnoser(batch)).numpy() for batch in batches(images)]
            return np.concatenate(found)

        @torch.inference_mode()
        def once() -> Path:
            number = 0
            for batch in batches(list(degraded)):
                for one in reconstructor(batch).clamp(0, 1).numpy():
                    write(folder / str(number), one[0])
                    number += 1
            read = [read_one(folder / str(i))[..., None] for i in range(self.count)]
            errors = [np.mean((a - b) ** 2) for a, b in zip(self.image, read, strict=True)]
            table = pd.DataFrame({"psnr": -10 * np.log10(errors)})
            for version, images in (("original", list(self.image)), ("reconstructed", read)):
                for task, column in zip(self.tasks, scores(images).T, strict=True):
                    table[f"{task}__{version}"] = column
            table.to_csv(folder / "published.csv", index=False)
            return folder / "published.csv"

        return once


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    Image.fromarray(np.round(image * 255).astype(np.uint8)).save(f"{path}.jpg", quality=95)


def _read_jpeg(path: Path) -> np.ndarray:
    with Image.open(f"{path}.jpg") as image:
        return np.asarray(image, np.float32) / 255


def _write_array(path: Path, image: np.ndarray) -> None:
    np.save(f"{path}.npy", image)


def _read_array(path: Path) -> np.ndarray:
    return np.load(f"{path}.npy")


def unet_params(network: Any) -> dict[str, Any]:
    """Parameters of our U-Net from those of the one in PyTorch."""

    def conv(module: Any) -> dict[str, np.ndarray]:
        weight = module.weight.detach().numpy()
        return {"kernel": weight.transpose(2, 3, 1, 0), "bias": module.bias.detach().numpy()}

    def block(module: Any) -> dict[str, Any]:
        return {"conv1": conv(module[0]), "conv2": conv(module[2])}

    params = {"bottom": block(network.bottom), "head": conv(network.head)}
    for level, (down, up, upconv) in enumerate(zip(network.down, network.up, network.upconv)):
        params |= {f"down{level}": block(down), f"up{level}": block(up)}
        # [in, out, 2, 2] -> [2, 2, in, out]
        weight = upconv.weight.detach().numpy().transpose(2, 3, 0, 1)
        params[f"upconv{level}"] = {"kernel": weight, "bias": upconv.bias.detach().numpy()}
    return params


def furthest(ours: Path, published: Path) -> dict[str, float]:
    """The largest difference of any score, and of any PSNR (dB), between two tables."""
    one, other = pd.read_csv(ours), pd.read_csv(published)
    apart = (one[other.columns] - other).abs().max()
    return {"scores": float(apart.drop("psnr").max()), "psnr": float(apart["psnr"])}


def comparison(name: str) -> Comparison:
    """Both sides of one size, their tables compared."""
    case, kept = Case(name), tempfile.TemporaryDirectory()
    folder, inputs = Path(kept.name), case.inputs()
    ours, degraded = case.ours(inputs, folder), case.degraded(inputs)
    apart = furthest(ours(), case.published(degraded, folder, exact=True)())
    published = case.published(degraded, folder)
    if not (apart["scores"] < 1e-3 and apart["psnr"] < 1e-2):
        raise AssertionError(f"the two sides give other numbers: {apart}")
    shape = (
        f"{case.count} images of {case.size} pixels, batch {case.batch}, U-Net {case.width}, "
        f"DenseNet-121 of growth {case.growth}; scores differ by at most {apart['scores']:.1e}, "
        f"PSNR by {apart['psnr']:.1e} dB"
    )

    def once() -> Any:
        # the folder lives as long as this function
        return ours(), kept.name

    return Comparison(lambda: once()[0] and None, lambda: published() and None, shape, 5)


@benchmark("tandem_fused")
def tandem_fused() -> Comparison:
    """Networks of the small studies on 128 images of 64 pixels."""
    return comparison("small")


@benchmark("tandem_fused_medium")
def tandem_fused_medium() -> Comparison:
    """Wider networks on 64 images of 128 pixels."""
    return comparison("medium")


@benchmark("tandem_fused_paper")
def tandem_fused_paper() -> Comparison:
    """The paper's networks on 4 images of 256 pixels."""
    return comparison("paper")


def peak(side: str, name: str) -> dict[str, float]:
    """The largest resident memory of a process that runs one side twice, in MB, and what it was
    before the first run, with all packages and weights loaded.
    """
    case = Case(name)
    with tempfile.TemporaryDirectory() as folder:
        if side == "ours":
            run = case.ours(case.inputs(), Path(folder))
        else:
            degraded = case.image + np.float32(NOISE)
            _ = case.networks
            run = case.published(degraded, Path(folder))
        before = _resident()
        highest, stop = [before], threading.Event()

        def watch() -> None:
            while not stop.wait(0.005):
                highest[0] = max(highest[0], _resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        run()
        first = highest[0]
        highest[0] = _resident()
        run()
        stop.set()
        watcher.join()
    return {
        "loaded": before,
        "first": first,
        "second": highest[0],
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def _resident() -> float:
    """Resident memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    print(peak(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "small"))
