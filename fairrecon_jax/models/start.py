"""Start values of a network's parameters, by the laws that published trainings start from.

PyTorch's own for its layers, torchvision's for ResNets and DenseNets, segmentation_models_pytorch's
for U-Nets on a ResNet, Pix2Pix's for GANs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from fairrecon_jax.types import Key

LeafPath = tuple[str, ...]
Start = Literal["torch", "he", "resnet", "densenet", "segmentation_models", "gan", "fan_in"]
"""Names of the laws, which a network's class gives as `start`; see `law`."""
CONSTANTS = {"bias": 0.0, "mean": 0.0, "scale": 1.0, "var": 1.0, "slope": 0.25}
"""Start values of normalisations and PReLUs, and of biases that a law leaves at 0."""
GAN_DEVIATION = 0.02


class Law(NamedTuple):
    """The law of one parameter.

    Attributes:
      kind: "normal", "uniform" or "constant".
      deviation: standard deviation, 0 of a constant.
      mean: mean of the law.
    """

    kind: Literal["normal", "uniform", "constant"]
    deviation: float = 0.0
    mean: float = 0.0


def law(start: Start, path: LeafPath, shape: tuple[int, ...], kernel: tuple[int, ...]) -> Law:
    """The law that a parameter's start value is drawn from.

    With n inputs that an output sees (of a transposed convolution k k times its outputs, as PyTorch
    counts) and m = k k times the outputs of a convolution:

    - "torch": kernels and biases uniform in +-1 / sqrt(n), the default of PyTorch's layers.
    - "he": kernels normal of variance 2 / n, biases 0. The signal keeps its size from ReLU to ReLU
      without a normalisation, where "torch" takes five sixths of its variance in every layer.
    - "resnet": convolutions normal of variance 2 / m; dense layers as "torch".
    - "densenet": convolutions normal of variance 2 / n; dense kernels as "torch", biases 0.
    - "segmentation_models": the encoder as "resnet"; in the decoder uniform of variance 2 / n, in
      the head of variance 2 / (n + m), biases 0.
    - "gan": kernels normal of deviation 0.02, scales of that deviation around 1, biases 0.
    - "fan_in": kernels normal of variance 1 / n, biases 0.

    Scales and variances of normalisations start at 1, their means and biases at 0, slopes of PReLUs
    at 0.25.

    Args:
      start: name of the law.
      path: of the parameter.
      shape: of the parameter.
      kernel: shape of the kernel beside it, () for a normalisation.

    Raises:
      ValueError: the parameter's name is none of kernel, bias, scale, mean, var and slope.

    Example:
      >>> round(law("torch", ("head", "bias"), (1,), (1, 1, 64, 1)).deviation * 3**0.5, 6)
      0.125
    """
    leaf = path[-1]
    if leaf != "kernel" and leaf not in CONSTANTS:
        raise ValueError(
            f"no start value for the parameter {'/'.join(path)}: its name is none of "
            f"kernel, {', '.join(CONSTANTS)}"
        )
    if start == "gan" and leaf == "scale":
        return Law("normal", GAN_DEVIATION, 1.0)
    if leaf not in ("kernel", "bias") or not kernel:
        return Law("constant", mean=CONSTANTS[leaf])
    taps = math.prod(kernel[:-2])
    transposed = path[-2].startswith("upconv")
    inputs = taps * (kernel[-1] if transposed else kernel[-2])
    # a third of the square of the bound
    default = Law("uniform", math.sqrt(1 / (3 * inputs)))
    dense = len(kernel) == 2
    if start == "torch" or (dense and start == "resnet"):
        return default
    if leaf == "bias":
        return Law("constant")
    if start == "densenet" and dense:
        return default
    if start in ("densenet", "he"):
        return Law("normal", math.sqrt(2 / inputs))
    if start == "gan":
        return Law("normal", GAN_DEVIATION)
    if start == "fan_in":
        return Law("normal", math.sqrt(1 / inputs))
    outputs = taps * kernel[-1]
    if start == "segmentation_models" and path[1].startswith("decoder"):
        return Law("uniform", math.sqrt(2 / inputs))
    if start == "segmentation_models" and path[1] == "head":
        return Law("uniform", math.sqrt(2 / (inputs + outputs)))
    return Law("normal", math.sqrt(2 / outputs))


def draw(
    start: Start, key: Key, shapes: Mapping[LeafPath, tuple[int, ...]]
) -> dict[LeafPath, jax.Array]:
    """Start values by path, float32.

    Args:
      start: name of the law.
      key: scalar key; one draw serves all parameters.
      shapes: of the parameters by path, whose first part is the collection.
    """
    laws = tuple(
        (path, shape, law(start, path, shape, shapes.get((*path[:-1], "kernel"), ())))
        for path, shape in shapes.items()
    )
    return _draw(key, laws)


@functools.partial(jax.jit, static_argnums=1)
def _draw(
    key: Key, laws: tuple[tuple[LeafPath, tuple[int, ...], Law], ...]
) -> dict[LeafPath, jax.Array]:
    """See `draw`."""
    counts = {
        kind: sum(math.prod(shape) for _, shape, law in laws if law.kind == kind)
        for kind in ("normal", "uniform")
    }
    # One random program a kind, not one a layer. Without the barrier XLA would draw anew for every
    # slice of the values.
    values = jax.lax.optimization_barrier(
        {
            "normal": jax.random.normal(key, (counts["normal"],)),
            "uniform": math.sqrt(3)
            * jax.random.uniform(jax.random.fold_in(key, 1), (counts["uniform"],), minval=-1.0),
        }
    )
    fresh, used = {}, {"normal": 0, "uniform": 0}
    for path, shape, one in laws:
        if one.kind == "constant":
            fresh[path] = jnp.full(shape, one.mean, jnp.float32)
            continue
        first, used[one.kind] = used[one.kind], used[one.kind] + math.prod(shape)
        part = jax.lax.slice(values[one.kind], (first,), (used[one.kind],)).reshape(shape)
        fresh[path] = one.mean + one.deviation * part
    return fresh
