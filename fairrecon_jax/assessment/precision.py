"""NaN as an answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def nan_is_an_answer(function: Callable[P, R]) -> Callable[P, R]:
    """Function decorator: JAX raises at no NaN or infinity, whatever the shell says.

    NaN is what cannot be estimated; JAX_DEBUG_NANS, set to hunt one in a training, has no say here.
    """

    @functools.wraps(function)
    def called(*args: P.args, **more: P.kwargs) -> R:
        with jax.debug_nans(False), jax.debug_infs(False):
            return function(*args, **more)

    return called
