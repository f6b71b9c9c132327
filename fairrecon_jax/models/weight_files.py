"""What a file of weights holds, read without running any code in it."""

from __future__ import annotations

import argparse
import datetime
import importlib
import re
import warnings
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np

from fairrecon_jax.types import InputError

ENDINGS = (".pth", ".pt", ".bin", ".ckpt", ".state", ".tar")
"""Of files that PyTorch writes; `.pth.tar` is one of them."""
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_HARMLESS = (
    *(argparse.Namespace, SimpleNamespace),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
    # what a defaultdict makes its values with
    *(list, dict, set, frozenset, int, float, str, bool, tuple, slice, complex),
)
"""Classes beside weights that hold values alone: making one runs nothing else."""


def open_weights(path: Path) -> Any:
    """What a file holds, its tensors still PyTorch's where PyTorch wrote it.

    Raises:
      InputError: the ending is unknown, the file is damaged or asks for code to be run, or PyTorch
        is needed and not installed.
    """
    if path.suffix.lower() == ".safetensors":
        return _safetensors(path)
    if path.suffix.lower() in ENDINGS:
        return _torch_load(path)
    program = "; for a program (ONNX) use a diagnoser of kind callable"
    raise InputError(
        f"{path}: weights are read from .safetensors, {', '.join(ENDINGS[:-1])} or .pth.tar "
        f"files{program if path.suffix == '.onnx' else ''}"
    )


def _safetensors(path: Path) -> dict[str, Any]:
    """What a safetensors file holds."""
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except Exception as error:  # a foreign reader's own kinds, KeyError and SafetensorError among
        raise InputError(f"{path} cannot be read as safetensors: {_cause(path, error)}") from error


def _torch_load(path: Path) -> Any:
    """What a PyTorch file holds."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise InputError(
            f"{path}: reading this file needs PyTorch (pip install torch), or save it as "
            ".safetensors"
        ) from error
    # of whatever system and Python wrote it
    kinds = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    paths = [(PurePosixPath, f"{m}.{k}") for m in ("pathlib", "pathlib._local") for k in kinds]
    # PyTorch's reader fills plain dictionaries and lists alone
    filled = [(_plain_dict, "collections.defaultdict"), (_plain_list, "collections.deque")]
    allowed: list[Any] = [*_HARMLESS, *_numpy_parts(), *paths, *filled]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            # about the allow-list and old formats; what matters is said below
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load passes on whatever a damaged file makes it raise
        raise InputError(
            f"{path} cannot be read as PyTorch weights; save the model's state_dict() "
            f"with torch.save: {_cause(path, error)}"
        ) from error


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """In place of a defaultdict."""
    return {}


def _plain_list(*given: Any) -> list[Any]:
    """In place of a deque, whose entries old formats give at once."""
    return list(given[0]) if given else []


def _numpy_parts() -> list[Any]:
    """What pickled numbers and arrays of NumPy are made of."""
    core = importlib.import_module("numpy._core.multiarray")
    made = core.scalar, core._reconstruct
    names = [(part, f"numpy.core.multiarray.{part.__name__}") for part in made]
    # of numbers and text; an array of objects holds what the reader lets through by itself
    kinds = {type(np.dtype(kind)) for kind in "?bhilqBHILQefdFDSUO"}
    return [np.dtype, np.ndarray, *made, *names, *kinds]


def _cause(path: Path, error: Exception) -> str:
    """Why a file cannot be read, in one line without terminal escapes."""
    text = ESCAPES.sub("", str(error)).strip()
    start = path.read_bytes()[:64].lstrip()
    if not start:
        return "the file is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; fetch the file itself (git lfs pull)"
    if start[:1] == b"<":
        return "it is a web page, not the download"
    if match := re.search(r"GLOBAL (\w[\w.]*\w)", text):
        return f"it holds an object of the class {match[1]}, whose code is not run"
    if "float8" in text or "float4" in text:
        return "its weights are float8, whose scale is elsewhere: save them as float32 or float16"
    if "TorchScript" in text:
        return "it is a TorchScript program; use a diagnoser of kind callable"
    # PyTorch's own words advise to run whatever the file holds
    plain = " ".join(text.split())
    damaged = "it is damaged, cut off, or no file of torch.save"
    if path.suffix.lower() == ".safetensors":
        return plain or type(error).__name__
    if len(plain) < 20 or "weights_only" in plain:
        return damaged
    return f"{damaged} ({re.split(r'(?<=[a-z])[.:] ', plain)[0]})"
