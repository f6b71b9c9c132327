"""Lines of progress against a clock that is moved by hand: when they come, what rate and rest they
give, what is silent.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from fairrecon_jax.runtime import progress as module
from fairrecon_jax.runtime.progress import Bar, Lines, Silence, duration, progress, say, track


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    instance = Clock()
    monkeypatch.setattr(module.time, "monotonic", instance)
    return instance


def step(clock: Clock, lines: Lines, seconds: float, steps: int = 1) -> None:
    clock.now += seconds
    lines.advance(steps)


def test_nothing_is_said_until_the_time_has_passed(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines("t", 100, 0, stream, seconds=30.0)
    for _ in range(29):
        step(clock, lines, 1.0)
    assert stream.getvalue() == ""
    step(clock, lines, 1.0)
    assert stream.getvalue() == "t: step 30/100, 1 steps/s, 1 min 10 s left\n"
    for _ in range(29):
        step(clock, lines, 1.0)
    assert stream.getvalue().count("\n") == 1, "the next line is as long in coming as the first"


def test_the_first_call_which_compiles_is_not_in_the_rate(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines("t", 50, 0, stream, seconds=30.0)
    step(clock, lines, 25.0, 10)
    step(clock, lines, 5.0, 20)
    assert stream.getvalue() == "t: step 30/50, 4 steps/s, 5.0 s left\n"


def test_steps_of_an_earlier_run_are_counted_but_not_in_the_rate(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines("t", 1000, 900, stream, seconds=30.0)
    step(clock, lines, 10.0)
    step(clock, lines, 20.0, 39)
    assert stream.getvalue() == "t: step 940/1000, 1.95 steps/s, 30.8 s left\n"


def test_without_a_second_step_there_is_no_rate_to_judge_the_rest_by(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines("t", 10, 0, stream, seconds=30.0)
    step(clock, lines, 31.0)
    assert stream.getvalue() == "t: step 1/10, 0 steps/s, starting\n"


@pytest.mark.parametrize("steps", [0, 1])
def test_work_that_ends_before_a_rate_is_known_is_not_starting(clock: Clock, steps: int) -> None:
    stream = io.StringIO()
    lines = Lines("t", 10, 0, stream, seconds=30.0)
    for _ in range(steps):
        step(clock, lines, 1.0)
    lines.close()
    assert stream.getvalue() == f"t: step {steps}/10\n"


def test_without_a_total_no_rest_is_claimed(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines("read", None, 0, stream, unit="row", seconds=30.0)
    step(clock, lines, 1.0)
    step(clock, lines, 30.0, 60)
    assert stream.getvalue() == "read: row 61, 2 rows/s\n"


def test_the_latest_values_are_shown_with_four_digits(clock: Clock) -> None:
    stream = io.StringIO()
    lines = Lines("t", 3, 0, stream, seconds=30.0)
    step(clock, lines, 1.0)
    lines.show(loss=0.5, psnr=31.23456)
    lines.show(loss=0.000123456)
    step(clock, lines, 1.0)
    lines.close()
    assert stream.getvalue() == "t: step 2/3, loss 0.0001235, psnr 31.23, 1 steps/s, 1.0 s left\n"


def test_a_bar_shows_what_was_done_before_and_its_unit() -> None:
    stream = io.StringIO()
    bar = Bar("t", 20, 5, stream, "row")
    assert "5/20" in stream.getvalue()
    bar.show(loss=0.000123456)
    bar.advance(15)
    bar.close()
    last = stream.getvalue().split("\r")[-1]
    assert "20/20" in last
    assert "loss=0.0001235" in last
    assert "row" in last


def test_the_stream_is_standard_error_unless_another_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = progress("t", 2)
    lines.advance(2)
    lines.close()
    out, err = capsys.readouterr()
    assert (out, err.startswith("t: step 2/2")) == ("", True)


def test_a_loop_that_is_left_early_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    for item in track([5, 6, 7, 8], "read", "file"):
        if item == 7:
            break
    assert "file 2/4" in capsys.readouterr().err, "the item in hand is not done"


def test_a_total_that_is_given_stands_for_the_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track((i for i in range(2)), "read", "row", total=7)) == [0, 1]
    assert "row 2/7" in capsys.readouterr().err
    assert list(track([], "read", "row")) == []
    assert "row 0/0" in capsys.readouterr().err


def test_only_process_0_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say("first")
    monkeypatch.setattr(module.processes, "is_primary", lambda: False)
    say("second")
    assert isinstance(progress("t", 3), Silence)
    assert list(track([1], "t", "row")) == [1]
    assert capsys.readouterr() == ("first\n", "")


@pytest.mark.parametrize(
    "call", [lambda s: s.advance(3), lambda s: s.show(loss=1.0), lambda s: s.close()]
)
def test_silence_is_silent(
    call: Callable[[Silence], None], capsys: pytest.CaptureFixture[str]
) -> None:
    call(Silence())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (61.4, "1 min 01 s"),
        (3599.4, "59 min 59 s"),
        (3599.5, "1 h 00 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_durations_at_the_borders_of_their_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
