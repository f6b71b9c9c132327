"""Blocks of a configuration as plain values and typed objects; what is refused, in which words."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest
from ml_collections import ConfigDict

from fairrecon_jax.study.blocks import MitigationPlan
from fairrecon_jax.study.fields import (
    build,
    check_block,
    check_word,
    differ,
    made,
    numbers,
    plain,
    without,
    words,
)
from fairrecon_jax.study.refusals import naming
from fairrecon_jax.types import ConfigError


@dataclasses.dataclass(frozen=True)
class Toy:
    """An options object with one rule."""

    size: int
    mode: Literal["a", "b"] = "a"
    shares: tuple[float, ...] = ()
    cut: float | str = "none"

    def __post_init__(self) -> None:
        if self.size % 2:
            raise ValueError(f"size must be even, got {self.size}")


def test_plain_values_hold_no_configuration_objects_at_any_depth():
    found = plain(ConfigDict({"a": {"b": [1, (2, [3])]}, "c": "text", "d": None}))
    assert found == {"a": {"b": (1, (2, (3,)))}, "c": "text", "d": None}
    assert type(found) is dict
    assert type(found["a"]) is dict
    assert plain([{"x": [1]}]) == ({"x": (1,)},)


def test_without_leaves_the_block_itself_as_it_is():
    block = {"kind": "mse", "width": 4, "train": {"steps": 2}}
    assert without(block, "train", "absent") == {"kind": "mse", "width": 4}
    assert sorted(block) == ["kind", "train", "width"]


# -- typed objects


def test_a_block_becomes_an_object():
    assert build(Toy, "toy", {"size": 2, "shares": (0.5, 1)}) == Toy(2, "a", (0.5, 1))
    assert build(MitigationPlan, "plan", {}) == MitigationPlan((), (), (), "train", 1.0, 1.0, 0.02)


@pytest.mark.parametrize(("given", "value"), [("3.5", 3.5), ("3", 3), ("none", "none"), (2.0, 2.0)])
def test_a_field_that_takes_text_or_a_number_takes_the_number_of_a_command_line(given, value):
    assert build(Toy, "toy", {"size": 2, "cut": given}).cut == value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"size": 2, "sise": 3, "mod": "a"},
            "config.toy has no field mod, sise; it takes cut, mode, shares, size; did you mean "
            "'mode' for 'mod', 'size' for 'sise'?",
        ),
        ({"mode": "a"}, "config.toy.size is not given"),
        ({"size": "2"}, "config.toy: size takes int, got '2'"),
        ({"size": True}, "config.toy: size takes int, got True"),
        ({"size": 2.0}, "config.toy: size takes int, got 2.0"),
        ({"size": 2, "mode": "c"}, "config.toy: mode takes Literal['a', 'b'], got 'c'"),
        ({"size": 2, "shares": ("x",)}, "config.toy: shares takes tuple[float, ...], got ('x',)"),
        ({"size": 2, "shares": 0.5}, "config.toy: shares takes tuple[float, ...], got 0.5"),
        ({"size": 3}, "config.toy: size must be even, got 3"),
        (3, "config.toy is a block of fields, got 3"),
        (None, "config.toy is a block of fields, got None"),
    ],
)
def test_what_an_options_object_refuses_is_named_with_its_block(fields, message):
    with pytest.raises(ConfigError) as refused:
        build(Toy, "toy", fields)
    assert str(refused.value) == message


def test_a_factory_is_given_the_block_and_its_refusal_the_name():
    def factory(kind: str, width: int = 1) -> tuple[str, int]:
        if width < 1:
            raise ValueError(f"width {width}")
        return kind, width

    assert made(factory, "models.unet", kind="mse", width=2) == ("mse", 2)
    for fields, message in (
        ({"width": 2}, "config.models.unet has no field kind"),
        ({"kind": "mse", "width": 0}, "config.models.unet: width 0"),
        ({"kind": "mse", "depth": 0}, "config.models.unet: .* argument 'depth'"),
    ):
        with pytest.raises(ConfigError, match=message):
            made(factory, "models.unet", **fields)


def test_a_name_is_put_before_a_refusal_once():
    with pytest.raises(ConfigError, match=r"^config\.a: wrong$"), naming("a"):
        raise ValueError("wrong")
    with pytest.raises(ConfigError, match=r"^config\.a: wrong$"), naming("a"):
        raise ValueError("config.a: wrong")
    with pytest.raises(ConfigError, match=r"^config\.b: wrong$"), naming("a"):
        raise ConfigError("config.b: wrong")
    with pytest.raises(KeyError), naming("a"):
        raise KeyError("a fault of the program stays what it is")


# -- lists and names


def test_one_of_a_list_stands_for_a_list_of_one():
    assert numbers(8, "x") == numbers([8.0], "x") == (8.0,)
    assert numbers((), "x") == ()
    assert words("a", "x") == words(["a"], "x") == ("a",)
    assert words((), "x") == ()


@pytest.mark.parametrize("value", ["high", None, ((1.0, 2.0),), ("a",), {"a": 1}, True, (1, False)])
def test_what_is_no_list_of_numbers_is_shown(value):
    with pytest.raises(ConfigError) as refused:
        numbers(value, "degradation.levels")
    assert str(refused.value) == f"config.degradation.levels takes a list of numbers, got {value!r}"


@pytest.mark.parametrize("value", [5, None, ("a", 1), {"a": 1}, (("a",),)])
def test_what_is_no_list_of_texts_is_shown(value):
    with pytest.raises(ConfigError) as refused:
        words(value, "cohort.tasks")
    assert str(refused.value) == f"config.cohort.tasks takes a list of texts, got {value!r}"


def test_a_value_stands_in_a_list_once():
    differ((1.0, 2.0), "x")
    with pytest.raises(ConfigError, match=r"^config\.x must differ from one another, got \(8\.0, "):
        numbers((8, 8.0), "x")
    with pytest.raises(ConfigError, match=r"^config\.x must differ from one another, got \('a', "):
        differ(["a", "b", "a"], "x")


@pytest.mark.parametrize("name", ["unet", "U-Net_2", "irsde-ode2", "größe"])
def test_names_that_serve_as_names_of_folders(name):
    check_word(name, "models")


def test_more_characters_may_be_allowed():
    check_word("v1.5", "models", ".")
    with pytest.raises(ConfigError) as refused:
        check_word("a/b", "models", ".")
    assert str(refused.value) == (
        "config.models: 'a/b' must be a word of letters, digits, '-', '.', and single '_', and "
        "not 'none'"
    )


@pytest.mark.parametrize("name", ["", "none", "two words", "a__b", "a/b", "v1.5", ".hidden", "a@b"])
def test_names_that_do_not(name):
    with pytest.raises(ConfigError) as refused:
        check_word(name, "models")
    assert str(refused.value) == (
        f"config.models: {name!r} must be a word of letters, digits, '-', and single '_', and "
        "not 'none'"
    )


@pytest.mark.parametrize("value", [3, "text", (), None, {1: 2}])
def test_a_block_has_fields(value: Any):
    check_block({}, "splits")
    with pytest.raises(ConfigError) as refused:
        check_block(value, "splits")
    assert str(refused.value) == f"config.splits is a block of fields, got {value!r}"


# -- plans of mitigations


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fraction": 1.5}, "config.m: fraction must lie in (0, 1], got 1.5"),
        ({"fraction": 0.0}, "config.m: fraction must lie in (0, 1], got 0.0"),
        ({"fraction": float("nan")}, "config.m: fraction must lie in (0, 1], got nan"),
        ({"task_tolerance": -0.1}, "config.m: task_tolerance must be a number of at least 0"),
        ({"psnr_tolerance": -1}, "config.m: psnr_tolerance must be a number of at least 0"),
        (
            {"psnr_tolerance": float("inf")},
            "config.m: psnr_tolerance must be a number of at least 0",
        ),
        ({"reconstructors": ("a", "a")}, "config.m: reconstructors must differ, got ('a', 'a')"),
    ],
)
def test_what_a_plan_refuses(fields, message):
    with pytest.raises(ConfigError) as refused:
        build(MitigationPlan, "m", fields)
    assert str(refused.value) == message
