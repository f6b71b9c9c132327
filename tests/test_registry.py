"""Dataclasses from plain fields: what fits is built, what does not is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairrecon_jax.models import UNet, apply_network, init_network, weighted_mean
from fairrecon_jax.registry import FLAT, build, registrar


@dataclass(frozen=True)
class Thing:
    names: tuple[str, ...]
    width: int = 4
    rate: float = 0.5
    label: str = "a"
    flag: bool = False
    limit: int | None = None
    norm: Literal["group", "batch"] | None = None
    pair: tuple[int, float] = (1, 2.0)


def make(**fields):
    return build({"thing": Thing}, "thing", "gadget", fields)


def test_lists_become_tuples_and_the_result_hashes():
    thing = make(names=["a", "b"], rate=1, limit=3, norm="group", pair=[3, 4])
    assert thing == Thing(("a", "b"), rate=1, limit=3, norm="group", pair=(3, 4))
    assert make(names=(), limit=None, norm=None).names == ()
    assert hash(thing)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"names": (), "widht": 3},
            "gadget 'thing' has no field 'widht'; its fields are names, width, rate, label, flag",
        ),
        ({}, r"gadget 'thing' needs the field 'names'"),
    ],
)
def test_unknown_and_missing_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        make(**fields)


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="unknown gadget 'thingy'; choose one of thing"):
        build({"thing": Thing}, "thingy", "gadget", {})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("width", 1.5, "int"),
        ("width", True, "int"),
        ("rate", "x", "float"),
        ("rate", None, "float"),
        ("label", 3, "str"),
        ("flag", 1, "bool"),
        ("names", [1], r"tuple\[str, \.\.\.\]"),
        ("names", "a", r"tuple\[str, \.\.\.\]"),
        ("pair", (1, 2, 3), r"tuple\[int, float\]"),
        ("norm", "layer", r".*Literal\['group', 'batch'\].*"),
    ],
)
def test_values_of_the_wrong_type_are_named(name, value, wanted):
    with pytest.raises(TypeError, match=f"gadget 'thing': field '{name}' takes {wanted}, got"):
        make(**{"names": (), name: value})


def test_weighted_mean_ignores_what_has_no_weight():
    values, weight = jnp.array([1.0, jnp.nan, 3.0, 5.0]), jnp.array([1.0, 0.0, 2.0, 1.0])
    assert float(weighted_mean(values, weight)) == pytest.approx(3.0)
    assert float(weighted_mean(values, jnp.zeros(4))) == 0.0


def test_weighted_mean_does_not_depend_on_the_number_of_devices():
    values, weight = jax.random.normal(jax.random.key(0), (8,)), jnp.arange(8.0)

    def part(scale, values, weight):
        return jax.lax.pmean(
            jax.grad(lambda s: weighted_mean(jnp.tanh(s * values), weight, "batch"))(scale), "batch"
        )

    spread = jax.vmap(part, axis_name="batch", in_axes=(None, 0, 0), out_axes=None)(
        1.0, values.reshape(4, 2), weight.reshape(4, 2)
    )
    whole = jax.grad(lambda s: weighted_mean(jnp.tanh(s * values), weight))(1.0)
    np.testing.assert_allclose(spread, whole, rtol=1e-5)


def test_networks_are_addressed_by_name_and_leave_others_alone():
    network, x = UNet(1, 2, 1, "batch"), jnp.ones((2, 8, 8, 1))
    variables = init_network(network, "net", jax.random.key(0), x)
    variables["batch_stats"]["other"] = {"kept": jnp.ones(1)}
    output, statistics = apply_network(network, "net", variables, x, train=True)
    assert output.shape == x.shape
    assert statistics["other"] is variables["batch_stats"]["other"]
    assert jax.tree.structure(statistics["net"]) == jax.tree.structure(
        variables["batch_stats"]["net"]
    )
    _, same = apply_network(network, "net", variables, x, train=False)
    assert same["net"] is variables["batch_stats"]["net"]


def test_a_registry_keeps_a_name_for_one_class():
    classes: dict[str, type] = {}
    register = registrar(classes, "thing")

    @register("a")
    class First:
        pass

    assert classes == {"a": First}
    assert register("a")(First) is First
    with pytest.raises(ValueError, match=r"thing 'a' is already .*First"):
        register("a")(int)


def fraction(numerator: int = 1, denominator: int = 2) -> Fraction:
    return Fraction(numerator, denominator)


@dataclass(frozen=True)
class Holder:
    name: str = "a"
    share: Fraction = field(default_factory=fraction, metadata=FLAT)


def hold(**fields):
    return build({"holder": Holder}, "holder", "gadget", fields)


def test_an_object_is_built_from_the_parameters_of_its_factory():
    assert hold() == Holder("a", Fraction(1, 2))
    assert hold(name="b", denominator=7) == Holder("b", Fraction(1, 7))
    assert hold(numerator=3, denominator=4).share == Fraction(3, 4)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"share": Fraction(1)}, ValueError, "its fields are name, numerator, denominator"),
        ({"numerator": 0.5}, TypeError, "gadget 'holder': field 'numerator' takes int, got 0.5"),
        ({"denominator": -1}, ValueError, "field 'denominator' must be at least 0, got -1"),
        ({"denominator": 0}, ZeroDivisionError, "1, 0"),
    ],
)
def test_parameters_of_a_factory_are_checked_like_fields(fields, error, message):
    with pytest.raises(error, match=message):
        hold(**fields)
