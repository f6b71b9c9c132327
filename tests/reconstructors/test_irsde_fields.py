"""The diffusion reconstructor from plain fields: what they build, and which are refused."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from fairrecon_jax.diffusion import PRESETS, SDE, Sampler
from fairrecon_jax.reconstructors import IrsdeReconstructor, Reconstructor, make_reconstructor

FAST = PRESETS["ode2_5"]


def tiny(**fields) -> IrsdeReconstructor:
    return IrsdeReconstructor(
        **{"width": 4, "depth": 1, "attention": False, "sampler": FAST, "bn_axis": None} | fields
    )


def test_factory_builds_the_papers_network():
    paper = make_reconstructor("irsde")
    assert isinstance(paper, Reconstructor)
    assert (
        paper.width,
        paper.depth,
        paper.attention,
        paper.sampler.method,
        paper.sampler.steps,
    ) == (
        64,
        4,
        True,
        "euler_sde",
        100,
    )
    assert paper == IrsdeReconstructor()
    assert hash(paper)
    with pytest.raises(ValueError, match="'irsde' has no field 'lambda'"):
        make_reconstructor("irsde", **{"lambda": 3})


def test_plain_fields_give_the_equation_and_the_samplers():
    built = make_reconstructor(
        "irsde", width=4, T=50, eps=0.01, preset="ode2_15", steps=12, rho=1, eval_preset="ode2_5"
    )
    assert built == IrsdeReconstructor(
        width=4,
        sde=SDE(T=50, eps=0.01),
        sampler=Sampler("ode", 12, 2, 1.0),
        eval_sampler=Sampler("ode", 5, 2),
    )
    assert make_reconstructor("irsde", lam=0.1).sampler == Sampler("euler_sde", 100)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"preset": "fast"},
            "unknown sampling preset 'fast'; choose one of paper, ode2_5, ode2_10",
        ),
        ({"eval_preset": "fast"}, "unknown sampling preset 'fast'"),
        ({"method": "heun"}, "unknown sampling method 'heun'"),
        ({"preset": "ode2_10", "method": "euler_ode"}, "euler_ode has no order 2"),
        ({"lam": 0.0}, "lam must be positive"),
        ({"steps": -1}, "reconstructor 'irsde': field 'steps' must be at least 0, got -1"),
        ({"sde": SDE()}, "'irsde' has no field 'sde'; its fields are width, .*, schedule, T, lam"),
    ],
)
def test_plain_fields_that_fit_nothing_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        make_reconstructor("irsde", **fields)
    with pytest.raises(TypeError, match="field 'T' takes int, got 'many'"):
        make_reconstructor("irsde", T="many")


@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ({"sampler": Sampler(steps=200)}, 64, "200 steps with rho 1 do not fit on 100 times"),
        ({"eval_sampler": Sampler(steps=300)}, 64, "300 steps with rho 1 do not fit on 100"),
        ({"sde": SDE(T=4)}, 64, "5 steps .* do not fit on 4 times"),
        (
            {"depth": 6},
            30,
            r"30x30 pixels are too small for depth 6 and patch 1, which need at least 64",
        ),
        ({"depth": 2, "patch": 7}, 64, "patch must divide the 64 pixels .*, got 7"),
        ({"depth": 5}, 30, "too small for depth 5 and patch 1, which need at least 32"),
        ({"width": 5}, 64, "width must be even"),
        ({"samples": 0}, 64, "samples must be at least 1, got 0"),
        ({"chunk": 0}, 64, "chunk must be at least 1"),
        ({"precondition": (0.1, 0.2)}, 64, "0 < fine <= sd"),
        ({"precondition": (0.1,)}, 64, "two deviations"),
        ({"start": "loud"}, 64, "start is 'quiet' or 'torch', got 'loud'"),
        ({"objective_max_t": 101}, 64, "objective_max_t must lie in 1 .. T = 100, got 101"),
    ],
)
def test_impossible_choices_are_named(fields, size, message):
    with pytest.raises(ValueError, match=message):
        tiny(**fields).check(size)
    tiny().check(64)


def test_a_time_power_of_zero_is_refused():
    with pytest.raises(ValueError, match="time_power must be above 0, got 0"):
        tiny(time_power=0.0).check(16)


def test_the_start_is_quiet_or_that_of_pytorch():
    """PyTorch's convolutions are uniform in +-1 / sqrt(fan-in), a quiet last kernel is 0."""
    image = np.zeros((1, 16, 16, 1), np.float32)
    for start, bound in (("quiet", None), ("torch", 1 / np.sqrt(9 * 4))):
        fresh = tiny(start=start).init(jax.random.key(0), {"image": image})["params"]["noise"]
        head = np.asarray(fresh["head"]["kernel"])
        if bound is None:
            assert not head.any()
            continue
        assert head.shape[:3] == (3, 3, 4)
        assert 0.8 * bound < np.abs(head).max() <= bound
        assert np.asarray(fresh["head"]["bias"]).any()
