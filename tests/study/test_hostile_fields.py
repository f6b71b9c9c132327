"""Every field of a configuration takes only what it can mean: NaN, huge and tiny numbers, texts
without end and values of other kinds are refused by name, and at once.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import re
import time
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from fairrecon_jax import registry
from fairrecon_jax.assessment.options import AssessOptions
from fairrecon_jax.data.cohort import CohortConfig
from fairrecon_jax.diagnosers import DIAGNOSERS
from fairrecon_jax.mitigation import MITIGATIONS
from fairrecon_jax.phantoms.options import OPTIONS
from fairrecon_jax.physics import DEGRADATIONS
from fairrecon_jax.reconstructors import RECONSTRUCTORS
from fairrecon_jax.report.options import ReportOptions
from fairrecon_jax.study.blocks import MitigationPlan, SplitsConfig, TandemConfig
from fairrecon_jax.study.fields import plain
from fairrecon_jax.study.parse import parse
from fairrecon_jax.training.augment import Augmentation
from fairrecon_jax.training.config import TrainConfig
from fairrecon_jax.types import ConfigError
from tests.support import tiny_study

NAN, INF, TEXT = math.nan, math.inf, "x" * 10**5
NEVER = (NAN, INF, -INF, 1e300, 1e-300, -1, 10**9, 2**40, TEXT)
"""What no field takes."""
BY_TYPE = {"bool": True, "str": "", "None": None, "tuple": [], "mapping": {}}
"""What only fields of that type take."""
TRAIN = {"steps": 10, "batch_size": 4}
MODELS = {
    "mse": {"width": 8, "depth": 1},
    "irsde": {"width": 8, "depth": 2},
    "pix2pix": {"width": 8, "downsamplings": 3},
    "segmenter": {"width": 8, "depth": 1},
    "classifier": {"backbone": "resnet18"},
}
LEVELS = {"xray_low_dose": 1e4, "gaussian_noise": 0.1, "xray_sparse_view": 32.0}
TAKEN = {
    # of a range: below the darkest value
    "input_low": (-1,),
    "input_high": (-1,),
    # 0 for all, or none
    **dict.fromkeys(("seed", "first_id"), (10**9,)),
}
"""What some fields take all the same."""
UNHEARD = ("columns", "kind", "name")
"""Fields that have tests of their own, and the name of a model, which the study sets."""


def base(**blocks: Any) -> dict[str, Any]:
    """The smallest study, with blocks in the place of its own."""
    config = plain(tiny_study.get_config())
    config["reconstructors"] = {"one": {"kind": "mse", **MODELS["mse"], "train": TRAIN}}
    config["mitigations"] = {}
    return {**config, **blocks}


def typed(cls: Any) -> dict[str, Any]:
    """The fields of a dataclass as a configuration gives them, with their types."""
    fields = {f.name: registry.hints_of(cls)[f.name] for f in dataclasses.fields(cls) if f.init}
    for f in dataclasses.fields(cls):
        if f.metadata.get("flat"):
            part: Any = f.default_factory
            del fields[f.name]
            fields |= {n: registry.hints_of(part)[n] for n in inspect.signature(part).parameters}
    return fields


def blocks() -> Iterator[tuple[str, dict[str, Any], tuple[str, ...], dict[str, Any]]]:
    """(name, configuration, place of the block, its fields with their types)."""
    for name, cls in (
        ("assess", AssessOptions),
        ("report", ReportOptions),
        ("splits", SplitsConfig),
        ("tandem", TandemConfig),
        ("cohort", CohortConfig),
    ):
        yield name, base(), (name,), typed(cls)
    yield "study", base(), (), {"seed": int, "seeds": tuple, "seed_diagnosers": bool}
    chest = {"name": "chexpert", "image_size": 32, "attributes": ("sex",)}
    for kind, options in OPTIONS.items():
        xray = {"cohort": chest, "diagnosers": {}} if kind == "xray" else {}
        yield kind, base(phantom={"kind": kind}, **xray), ("phantom",), typed(options)
    for kind, cls in DEGRADATIONS.items():
        level = LEVELS.get(kind, 8.0)
        block = {"kind": kind, "levels": (level,), "headline_level": level}
        fields = {**typed(cls), "levels": tuple, "headline_level": float}
        del fields["size"]
        yield kind, base(degradation=block), ("degradation",), fields
    for kind in ("mse", "irsde", "pix2pix"):
        one = {"kind": kind, **MODELS[kind], "train": TRAIN}
        fields = {**typed(RECONSTRUCTORS[kind]), "levels": tuple, "weights_of": int}
        yield kind, base(reconstructors={"one": one}), ("reconstructors", "one"), fields
    train, augment = ("reconstructors", "one", "train"), ("reconstructors", "one", "augment")
    yield "train", base(), train, typed(TrainConfig)
    yield "augment", base(), augment, typed(Augmentation)
    for kind in ("segmenter", "classifier"):
        one = {"kind": kind, **MODELS[kind], "train": TRAIN}
        tasks = {"cohort": {**base()["cohort"], "tasks": ("tumor", "grade")}}
        fields = {n: t for n, t in typed(DIAGNOSERS[kind]).items() if n != "columns"}
        yield kind, base(diagnosers={"one": one}, **tasks), ("diagnosers", "one"), fields
    plan = typed(MitigationPlan)
    for kind, cls in MITIGATIONS.items():
        one = {"kind": kind, "train": TRAIN}
        yield kind, base(mitigations={"one": one}), ("mitigations", "one"), plan | typed(cls)
        plan = {}


def takes(hint: Any, value: Any) -> bool:
    """Whether a field of a type may take one of the values of `BY_TYPE`."""
    words = {type(None): None, bool: True, str: "", tuple: [], Mapping: {}, dict: {}}
    parts = (hint, typing.get_origin(hint), *typing.get_args(hint))
    parts += tuple(typing.get_origin(part) for part in typing.get_args(hint))
    known = [words[part] for part in parts if isinstance(part, type) and part in words]
    return any(type(one) is type(value) for one in known) or hint is types.NoneType


def wrong(config: dict[str, Any], path: tuple[str, ...], name: str, value: Any) -> str:
    """What is wrong with how a configuration with this value is answered, "" for nothing."""
    config = copy.deepcopy(config)
    block = config
    for part in path:
        block = block.setdefault(part, {})
    block[name] = value
    started = time.process_time()
    try:
        parse(config)
        said = "taken"
    except ConfigError as error:
        text = str(error)
        stem = name.removesuffix("s").split("_")[-1]
        named = text.startswith("config") and re.search(rf"{name}|\b{stem}", text)
        said = "" if named and len(text) < 2500 else f"is called {text[:200]}"
    took = time.process_time() - started
    return said or ("" if took < 1 else f"takes {took:.1f} s")


CASES = list(blocks())


@pytest.mark.parametrize(
    ("config", "path", "fields"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_no_field_takes_what_it_cannot_mean(config, path, fields):
    parse(config)
    found = {}
    for name, hint in fields.items():
        if name in UNHEARD:
            continue
        values = [value for value in NEVER if value not in TAKEN.get(name, ())]
        values += [value for value in BY_TYPE.values() if not takes(hint, value)]
        for value in values:
            if said := wrong(config, path, name, value):
                found[f"{name} = {value!r:.20}"] = said
    assert not found
