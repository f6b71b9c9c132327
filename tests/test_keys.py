"""Identities and digests: what two equal choices share, and what is no choice."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from fairrecon_jax.keys import added, digest, free, identity
from fairrecon_jax.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Toy:
    """Choices, two of which change no number."""

    size: int
    shares: tuple[float, ...] = ()
    inner: Any = None
    workers: int = free(1)
    root: Path = free(Path("there"))  # noqa: RUF009


@dataclasses.dataclass(frozen=True)
class Other:
    """The same field under another name of class."""

    size: int


def test_a_digest_is_the_start_of_the_sha_256_of_sorted_json():
    text = '[{"a": [1, 2], "b": null}, "x"]'
    assert digest({"b": None, "a": (1, 2)}, "x") == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_digests_see_values_and_not_how_they_are_held():
    same = digest(dict(ConfigDict({"b": 1, "a": [1.0, 2.0]})))
    assert digest({"a": (1.0, 2.0), "b": 1}) == same
    others = [
        {"a": (2.0, 1.0), "b": 1},
        {"a": (1.0, 2.0), "b": 2},
        {"a": (1.0, 2.0)},
        {"a": (1.0, 2.0), "c": 1},
    ]
    assert len({same, *map(digest, others)}) == 5
    assert len({digest("ab"), digest("a", "b"), digest(["a", "b"]), digest("b", "a")}) == 4


def test_a_dataclass_is_its_name_and_the_fields_that_change_numbers():
    assert identity(Toy(2, (0.5,), Toy(3))) == {
        "kind": "Toy",
        "size": 2,
        "shares": [0.5],
        "inner": {"kind": "Toy", "size": 3, "shares": [], "inner": None},
    }
    assert identity(Toy(2)) == identity(Toy(2, workers=8, root=Path("elsewhere")))
    assert digest(Toy(2)) != digest(Toy(3))
    assert digest(Other(2)) != digest({"size": 2}), "the class is a choice too"


@dataclasses.dataclass(frozen=True)
class Grown:
    """`Other` of a later version."""

    size: int
    border: float | str = added("edge", training=True)


def test_a_field_that_was_added_counts_where_it_is_not_at_its_default():
    assert identity(Grown(2)) == identity(Grown(2, "edge")) == {"kind": "Grown", "size": 2}
    assert identity({"of": [Grown(2, 0)]}) == {"of": [{"kind": "Grown", "size": 2, "border": 0}]}
    assert identity(Grown(2), everything=True)["border"] == "edge"
    assert dataclasses.fields(Grown)[1].metadata["training"]


def test_a_record_for_people_holds_every_field():
    assert identity(Toy(2, workers=8), everything=True) == {
        "kind": "Toy",
        "size": 2,
        "shares": [],
        "inner": None,
        "workers": 8,
        "root": "there",
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(3), np.arange(3) + 1),
        (np.arange(3), np.arange(3.0)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
    ],
)
def test_arrays_are_known_by_type_shape_and_values(one, other):
    assert digest(one) == digest(one.copy()) == digest(np.asfortranarray(one))
    assert digest(one) != digest(other)


def test_an_array_on_a_device_is_the_same_as_one_on_the_host():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert identity(jnp.asarray(values)) == identity(values)
    assert identity(values).startswith("float32[2, 3] ")
    assert identity(np.float32(0.5)) == 0.5


@pytest.mark.parametrize(
    "thing",
    [
        object(),
        {1, 2},
        len,
        Toy,
        np.array([object(), "a"], dtype=object),
        np.ma.masked_array([1.0, 2.0], [True, False]),
    ],
)
def test_what_has_no_declared_identity_is_refused(thing):
    with pytest.raises(TypeError, match="has no declared identity"):
        identity({"choice": thing})


def test_keys_that_read_alike_are_refused():
    assert identity({0.5: "a", None: "b"}) == {"0.5": "a", "None": "b"}
    with pytest.raises(TypeError, match="two keys of a mapping read alike"):
        identity({1: "a", "1": "b"})


def test_how_often_a_training_is_saved_and_by_how_many_workers_it_reads_is_no_choice():
    train = TrainConfig(steps=10, batch_size=2)
    free_fields: dict[str, Any] = {
        "eval_batch_size": 4,
        "workers": 3,
        "checkpoint_every": 1,
        "keep": 5,
        "log_every": 2,
        "tensorboard": True,
        "wandb": True,
    }
    for name, value in free_fields.items():
        assert identity(dataclasses.replace(train, **{name: value})) == identity(train), name
    for name, value in {"steps": 11, "seed": 1, "eval_every": 4, "b1": 0.5}.items():
        assert identity(dataclasses.replace(train, **{name: value})) != identity(train), name
