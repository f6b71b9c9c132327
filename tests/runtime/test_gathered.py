"""Errors of one input are said together, one alone as it is."""

from __future__ import annotations

import pytest

from fairrecon_jax.runtime.gathered import Gathered, SeveralErrors
from fairrecon_jax.types import ConfigError, InputError


def gathered(*errors: Exception) -> Gathered:
    found = Gathered()
    for error in errors:
        with found.gather():
            raise error
    return found


def test_nothing_is_said_of_nothing():
    found = gathered()
    assert not found
    found.tell("x.csv")


def test_one_alone_is_a_line():
    found = gathered(InputError("a"), InputError("a"))
    assert found
    with pytest.raises(InputError, match=r"^x\.csv: a$"):
        found.tell("x.csv")
    with pytest.raises(InputError, match=r"^a$"):
        found.tell()


def test_several_are_numbered_those_of_several_fields_too():
    with pytest.raises(SeveralErrors) as told:
        gathered(InputError("a"), ConfigError("b", "c")).tell("x.csv")
    assert str(told.value) == "x.csv: 3 errors:\n  1. a\n  2. b\n  3. c"
    assert told.value.refusals == ("a", "b", "c")


def test_faults_of_the_program_pass():
    with pytest.raises(KeyError):
        gathered(KeyError("a"))
