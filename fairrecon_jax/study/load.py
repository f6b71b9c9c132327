"""The trained networks of a work directory as functions of images."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairrecon_jax.diagnosers import DIAGNOSERS
from fairrecon_jax.reconstructors import RECONSTRUCTORS
from fairrecon_jax.study.workdir import Workdir
from fairrecon_jax.tandem import TrainedDiagnoser, TrainedReconstructor, trained
from fairrecon_jax.tandem.on_arrays import NOTHING
from fairrecon_jax.training.checkpoints import load_variables
from fairrecon_jax.types import NO_MITIGATION, Cell, InputError, level_name, meant

Trained = TrainedReconstructor | TrainedDiagnoser


class Networks(Mapping[Any, Trained]):
    """The trained networks of a study: a diagnoser by its name, a reconstructor by (name, level) or
    (name, level, mitigation); one trained under several seeds by (name, level, "training0"), or
    "name/training0" for a diagnoser.

    Args:
      workdir: of a study.

    Raises:
      FileNotFoundError: the folder holds no study.
      InputError: its configuration cannot be read.
    """

    def __init__(self, workdir: str | Path) -> None:
        self._workdir = Workdir(Path(workdir))
        path = self._workdir.config
        if not path.is_file():
            raise FileNotFoundError(f"{workdir} holds no study: {path.name} is missing")
        try:
            self._config = json.loads(path.read_text(encoding="utf-8"))
            self._models = {
                block: {name: restore(one["model"]) for name, one in self._config[block].items()}
                for block in ("reconstructors", "diagnosers")
            }
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        self._folders = dict(self._found())

    def __repr__(self) -> str:
        named = [_words(key) for key in self]
        return f"Networks({self._workdir.root}: {', '.join(named) or 'nothing is trained yet'})"

    def __iter__(self) -> Iterator[Any]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)

    def __getitem__(self, key: Any) -> Trained:
        """One network with its weights.

        Raises:
          KeyError: it is not there; the message lists those that are.
        """
        if isinstance(key, tuple) and len(key) >= 2 and isinstance(key[1], int | float):
            key = (key[0], float(key[1]), *(part for part in key[2:] if part != NO_MITIGATION))
        if key not in self._folders:
            there = ", ".join(_words(one) for one in self)
            hint = meant(_words(key if isinstance(key, tuple) else (key,)), map(_words, self))
            raise KeyError(
                f"{key!r} is not trained in {self._workdir.root}; there are {there}{hint}"
            )
        folder = self._folders[key]
        block, name = (
            ("reconstructors", key[0])
            if isinstance(key, tuple)
            else ("diagnosers", str(key).partition("/")[0])
        )
        weights = NOTHING if folder is None else load_variables(folder / "final")[0]
        return trained(self._models[block][name], weights)

    def _found(self) -> Iterator[tuple[Any, Path | None]]:
        """By key the folders that hold weights; None for what has none to hold."""
        for name, model in self._models["diagnosers"].items():
            folder = self._workdir.diagnoser(name)
            if not model.phases:
                yield name, None
            elif folder.joinpath("final").exists():
                yield name, folder
            for final in sorted(folder.glob("training*/final")):
                yield f"{name}/{final.parent.name}", final.parent
        for name, model in self._models["reconstructors"].items():
            block = self._config["reconstructors"][name]
            for level in map(float, block["levels"]):
                if not model.phases:
                    yield (name, level), None
                    continue
                folder = self._workdir.model(Cell(block["weights_of"] or name, level))
                if folder.joinpath("final").exists():
                    yield (name, level), folder
                # trained under several seeds
                for final in sorted(folder.glob("training*/final")):
                    yield (name, level, final.parent.name), final.parent
                yield from self._mitigated(name, level)

    def _mitigated(self, name: str, level: float) -> Iterator[tuple[Any, Path]]:
        """The mitigated trainings of one reconstructor at one level."""
        pattern = f"mitigated/*/{name}/{level_name(level)}/final"
        for final in sorted(self._workdir.root.glob(pattern)):
            yield (name, level, final.parents[2].name), final.parent


def load(workdir: str | Path) -> Networks:
    """The trained networks of a study's work directory, each a function of images.

    Args:
      workdir: of a study.

    Returns:
      A mapping: `load(dir)["unet", 8](degraded, key=...)` reconstructs, `load(dir)["findings"]`
        diagnoses; `list(load(dir))` names all.

    Raises:
      FileNotFoundError: the folder holds no study.
      InputError: its configuration cannot be read.

    Example:
      >>> from tempfile import mkdtemp
      >>> from fairrecon_jax.study import parse, run
      >>> study, workdir = parse.parse(fr.configuration("quickstart_brain")), Path(mkdtemp())
      >>> run.write_config(study, workdir / "config.json")  # as `run` does
      >>> list(load(workdir))  # no network is trained yet, and the identity needs none
      [('identity', 10.0)]
    """
    return Networks(workdir)


def restore(value: Any) -> Any:
    """The model that `keys.identity` wrote down.

    Raises:
      ValueError: it is of a kind that is not registered.
    """
    registered = (*RECONSTRUCTORS.values(), *DIAGNOSERS.values())
    classes = {found.__name__: found for cls in registered for found in (cls, *_parts(cls))}
    if isinstance(value, list):
        return tuple(map(restore, value))
    if not isinstance(value, Mapping):
        return value
    if value.get("kind") not in classes:
        raise ValueError(
            f"no model is called {value.get('kind')!r}: import the module that registers it"
        )
    return classes[value["kind"]](
        **{name: restore(part) for name, part in value.items() if name != "kind"}
    )


def _parts(cls: type) -> Iterator[type]:
    """The dataclasses that fields of a dataclass hold, such as the sampler of a reconstructor."""
    for hint in typing.get_type_hints(cls).values():
        for one in (hint, *typing.get_args(hint)):
            if isinstance(one, type) and dataclasses.is_dataclass(one):
                yield one


def _words(key: Any) -> str:
    """A key as it is typed."""
    parts = key if isinstance(key, tuple) else (key,)
    return "[" + ", ".join(f"{p:g}" if isinstance(p, float) else repr(p) for p in parts) + "]"
