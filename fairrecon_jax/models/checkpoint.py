"""Files of PyTorch weights become arrays by key, in the wrappings in which trainers save them."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairrecon_jax.models.weight_files import ESCAPES, open_weights
from fairrecon_jax.types import InputError

State = Mapping[str, np.ndarray]

WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "params", "net", "network"),
    *("weights", "state", "module"),
)
"""Names under which trainers keep the weights."""
PAIRS = {
    "generator": ("net_G", "netG", "generator", "G", "gen"),
    "discriminator": ("net_D", "netD", "discriminator", "D", "disc"),
}
"""Names of the two networks of a GAN; behind reading, their keys begin with the name here."""
_AVERAGE = re.compile(
    r"(^|[_/])(?i:ema|averaged|average|avg|swa|polyak|shadow)(_|$)|EMA|^ema[A-Z]|[a-z]Ema($|[A-Z])"
)
_OTHER = re.compile(r"optim|sched|^lr_|scaler|^amp$|loop|callback|hyper|^args$|^opt$|config|rng")
_CURRENT = "current_model_state"
"""Where Lightning's WeightAveraging keeps the raw weights; "state_dict" is then the average."""
_COUNTERS = ("n_averaged", "initted", "step", "num_updates", "decay", "epoch", "global_step")
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def read_state(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dict.

    `.safetensors` files are read without PyTorch; `.pth`, `.pth.tar`, `.pt`, `.bin`, `.ckpt` and
    `.state` files with it, weights only: no code in the file is run, and of objects beside the
    weights only namespaces, paths, dates, collections and NumPy's numbers and arrays are allowed.
    The dictionary under one of the names `WRAPPERS`, or the only one that holds tensors, is
    unwrapped. Where a moving average lies beside the raw weights ("ema", "params_ema",
    "state_dict_ema", keys "ema_model....", in Lightning's callbacks), it is taken and a warning
    says so. The two networks of a GAN, as dictionaries or as prefixes (see `PAIRS`), get the
    prefixes "generator." and "discriminator.".

    Args:
      path: the file.

    Returns:
      Arrays by key; half precision as float32.

    Raises:
      InputError: the ending is unknown, the file is damaged, it holds no dictionary of tensors or
        several, values are of a type that is no plain number (float8, quantised, sparse), or
        PyTorch is needed and not installed.
      FileNotFoundError: there is no such file.

    Example:
      >>> from tempfile import mkdtemp
      >>> from safetensors.numpy import save_file
      >>> path = Path(mkdtemp(), "net.safetensors")
      >>> save_file({"module.conv.weight": np.zeros((8, 1, 3, 3), np.float32)}, path)
      >>> {key: value.shape for key, value in read_state(path).items()}
      {'conv.weight': (8, 1, 3, 3)}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    content = open_weights(path)
    try:
        state = _averaged_keys(_unwrapped(content, path), path)
        return {key: _array(key, value) for key, value in _by_role(state).items()}
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def read_files(paths: Sequence[str | Path]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads several files as one state dict.

    Args:
      paths: files for `read_state`.

    Returns:
      (arrays by key, the SHA-256 of each file by its name).

    Raises:
      InputError: there is none, it is no list, two files hold the same key, or one cannot be
        read.
      FileNotFoundError: a file is missing.
    """
    state: dict[str, np.ndarray] = {}
    if not paths:
        raise InputError("no file of weights is given")
    if isinstance(paths, str | Path):
        raise InputError(f"paths takes a list of files, got {paths!r}: write [{str(paths)!r}]")
    for path in paths:
        part = read_state(path)
        # One of the two would win in silence.
        if twice := sorted(set(state) & set(part)):
            raise InputError(
                f"{path}: {twice[0]!r} and {len(twice) - 1} more keys are in another of "
                "the files too"
            )
        state |= part
    return state, {Path(path).name: file_digest(path) for path in paths}


def file_digest(path: str | Path) -> str:
    """The SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _holds_tensors(value: Any) -> bool:
    """Whether named tensors that are more than a number lie in a dictionary, at any depth."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return any(
        len(inner.shape) > 0 if _is_tensor(inner) else _holds_tensors(inner)
        for inner in value.values()
    )


def _any_tensor(value: Any) -> bool:
    """Whether tensors lie anywhere in lists and dictionaries."""
    parts = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, Mapping | list | tuple) and any(
        _is_tensor(part) or _any_tensor(part) for part in parts
    )


def _unwrapped(content: Any, path: Path, name: str = "") -> dict[str, Any]:
    """The state dict in what a file holds; `name` is that of the dictionary in the file."""
    if not _holds_tensors(content):
        where = f"{name!r} is" if name else "this is"
        if callable(getattr(content, "state_dict", None)):
            where = "this is a whole model and"
        raise InputError(f"{where} not a dictionary of tensors; save the model's state_dict()")
    content = _lightning(content, path)
    boxes = {
        key: value
        for key, value in content.items()
        # a callback's name may hold any word
        if _holds_tensors(value) and not _OTHER.search(key.rpartition("/")[2].lower())
    }
    averages = [key for key in content if _AVERAGE.search(key) and not _is_tensor(content[key])]
    averages = [key for key in averages if _any_tensor(content[key])]
    if averages:
        return _average(content, boxes, averages, path)
    tensors = {key: value for key, value in content.items() if _is_tensor(value)}
    flat = any(len(value.shape) > 0 for value in tensors.values())
    pair = {
        role: [key for key in boxes if key in names] for role, names in PAIRS.items() if not flat
    }
    if all(len(pair.get(role, ())) == 1 for role in PAIRS):
        return {
            f"{role}.{key}": value
            for role, (name,) in pair.items()
            for key, value in _without_data_parallel(_unwrapped(boxes[name], path, name)).items()
        }
    # arrays such as class weights may lie beside a network, but no parameters of another one
    loose = not any(key.endswith((".weight", ".bias")) for key in tensors)
    # one of several networks would win in silence
    if len(boxes) == 1 and (not flat or (loose and next(iter(boxes)) in WRAPPERS)):
        chosen = next(iter(boxes))
        return _unwrapped(boxes[chosen], path, chosen)
    if boxes:
        beside = [*boxes, *(key for key in tensors if flat)][:6]
        raise InputError(
            f"several dictionaries hold tensors, or tensors lie beside one: "
            f"{', '.join(map(repr, beside))}; save what is meant by itself"
        )
    return {key: value for key, value in tensors.items() if not _is_counter(key, value)}


def _lightning(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A checkpoint with the averages that Lightning's callbacks keep beside its other entries."""
    found, callbacks = dict(content), content.get("callbacks")
    # taken out, as what is left is looked through once more
    found.pop("callbacks", None)
    for callback, kept in callbacks.items() if isinstance(callbacks, Mapping) else ():
        for name, value in kept.items() if isinstance(kept, Mapping) else ():
            place = f"callbacks/{callback}/{name}"
            # scores of kept checkpoints are tensors too, and no averages
            if _AVERAGE.search(place) and _any_tensor(value):
                found[place] = value
    if _holds_tensors(found.get(_CURRENT)) and _holds_tensors(found.get("state_dict")):
        del found[_CURRENT]
        warnings.warn(
            f"{path}: the weights under 'state_dict', a moving average, are taken, and not the raw "
            f"ones under {_CURRENT!r}",
            stacklevel=4,
        )
    return found


def _average(
    content: Mapping[str, Any], boxes: Mapping[str, Any], averages: Sequence[str], path: Path
) -> dict[str, Any]:
    """The moving average in a file, with buffers that it lacks from the raw weights beside it."""
    raw = {key: value for key, value in content.items() if key not in averages}
    named = [key for key in averages if key in boxes]
    if len(named) != 1:
        raise InputError(
            f"moving averages lie under {', '.join(map(repr, averages))}, "
            + ("several of them" if named else "without the names of their parameters")
            + "; save the weights that are meant by themselves"
        )
    state = _averaged_keys(_unwrapped(boxes[named[0]], path, named[0]), path, silent=True)
    if not _holds_tensors(raw) or not any(key in boxes for key in raw):
        return state
    beside = _unwrapped(raw, path)
    missing = [key for key in beside if key not in state and set(state) < set(beside)]
    if all(key.endswith(_BUFFERS) for key in missing):
        state |= {key: beside[key] for key in missing}
    others = ", ".join(repr(key) for key in raw if key in boxes)
    warnings.warn(
        f"{path}: the weights under {named[0]!r}, a moving average, are taken, and not the raw "
        f"ones beside them ({others})",
        stacklevel=4,
    )
    return state


def _averaged_keys(state: Mapping[str, Any], path: Path, silent: bool = False) -> dict[str, Any]:
    """A state dict whose keys hold both a network and its moving average, with the average in the
    network's place; what is not averaged stays.
    """
    outer = common_prefixes(state)[-1:]
    plain = {key.removeprefix("".join(outer)): value for key, value in state.items()}
    first = {key: key.partition(".")[0] for key in plain if "." in key}
    averages = sorted({name for name in first.values() if _AVERAGE.search(name)})
    # under a prefix that all keys have there is nothing to choose
    if len(averages) != 1:
        return dict(state)
    kept = {k.partition(".")[2]: v for k, v in plain.items() if first.get(k) == averages[0]}
    others = {key: value for key, value in plain.items() if first.get(key) != averages[0]}
    prefixes = sorted({f"{first[key]}." for key in others if key in first})
    for prefix in ("", *prefixes):
        own = {key.removeprefix(prefix): key for key in others if key.startswith(prefix)}
        parameters = {key for name, key in own.items() if not name.endswith(_BUFFERS)}
        # latent diffusion's averages are buffers, whose names may hold no dot
        own |= {name.replace(".", ""): key for name, key in own.items()}
        # a module may be called so too: an average has the parameters of what it averages
        if not set(kept) <= set(own):
            continue
        part = parameters - {own[name] for name in kept}
        if prefix and len(prefixes) > 1 and (part or len(kept) < 2):
            continue
        if not silent:
            warnings.warn(
                f"{path}: the weights under '{averages[0]}.', a moving average, are taken, and not "
                "the raw ones beside them",
                stacklevel=4,
            )
        return {**others, **{own[name]: value for name, value in kept.items()}}
    return dict(state)


def common_prefixes(state: State) -> list[str]:
    """Prefixes up to a dot that all keys have, the shortest first.

    Example:
      >>> common_prefixes({"module.net.a": np.zeros(1), "module.net.b": np.zeros(1)})
      ['module.', 'module.net.']
    """
    if not state:
        return []
    first, last = min(state), max(state)
    # what the first and the last in order share, all share
    parts = []
    for a, b in zip(first.split(".")[:-1], last.split(".")[:-1], strict=False):
        if a != b:
            break
        parts.append(a)
    return [".".join(parts[:count]) + "." for count in range(1, len(parts) + 1)]


def _without_data_parallel(state: Mapping[str, Any]) -> dict[str, Any]:
    """Keys without a "module." that all of them have."""
    while state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def _by_role(state: Mapping[str, Any]) -> dict[str, Any]:
    """Keys that all begin with the name of a GAN's network, with the names of `PAIRS`; without a
    "module." that all keys have.
    """
    plain, renamed = _without_data_parallel(state), {}
    for key, value in plain.items():
        first, _, rest = key.partition(".")
        role = next((role for role, names in PAIRS.items() if first in names and rest), None)
        if role is None:
            return plain
        renamed[f"{role}.{rest.removeprefix('module.')}"] = value
    return renamed


def _is_counter(key: str, value: Any) -> bool:
    """Whether an entry counts steps of a training: no parameter."""
    return len(value.shape) == 0 and key.rpartition(".")[2] in _COUNTERS


def _array(key: str, value: Any) -> np.ndarray:
    """A tensor as an array; half precision as float32.

    Raises:
      InputError: it holds no plain numbers; the message names the key.
    """
    kind = str(value.dtype).removeprefix("torch.")
    if "float8" in kind or "float4" in kind or kind.startswith(("q", "complex")):
        raise InputError(
            f"{key!r} is stored as {kind}, whose scale is elsewhere: save the weights as float32 "
            "or float16"
        )
    try:
        if hasattr(value, "detach"):
            value = value.detach()
            value = (value.float() if value.is_floating_point() else value).numpy()
        array = np.asarray(value)
    except Exception as error:  # sparse, on no device, or of a type that NumPy lacks
        raise InputError(f"{key!r} is no plain array: {ESCAPES.sub('', str(error))}") from error
    return array.astype(np.float32) if kind in ("bfloat16", "float16") else array
