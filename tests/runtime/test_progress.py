from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from fairrecon_jax.runtime import progress as module
from fairrecon_jax.runtime.progress import Bar, Lines, duration, progress, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar() -> None:
    stream = Terminal()
    bar = progress("unet", 10, 4, stream)
    assert isinstance(bar, Bar)
    bar.advance(6)
    bar.show(loss=0.125)
    bar.close()
    assert "10/10" in stream.getvalue()
    assert "loss=0.125" in stream.getvalue()


def test_elsewhere_lines_come_rarely_and_tell_rate_and_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    lines = progress("unet", 200, 0, stream)
    assert isinstance(lines, Lines)
    now[0] += 20  # compiling
    lines.advance(1)
    lines.show(loss=0.5)
    for _ in range(20):
        now[0] += 0.5
        lines.advance(1)
    assert stream.getvalue() == "unet: step 21/200, loss 0.5, 2 steps/s, 1 min 30 s left\n"
    lines.close()
    assert stream.getvalue().count("\n") == 2


def test_only_the_primary_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.processes, "is_primary", lambda: False)
    stream = Terminal()
    bar = progress("unet", 10, 0, stream)
    bar.advance(10)
    bar.show(loss=1.0)
    bar.close()
    assert stream.getvalue() == ""


def test_items_are_handed_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), "read", "row")) == [0, 1, 2]
    assert capsys.readouterr().err.startswith("read: row 3/3, ")
    assert list(track(iter("ab"), "list", "file")) == ["a", "b"]
    assert capsys.readouterr().err.startswith("list: file 2, ")
    assert list(track("ab", "list", "file", shown=False)) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_what_breaks_off_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Iterator[int]:
        yield 0
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(track(broken(), "read", "row", total=5))
    assert "row 1/5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(9.52, "9.5 s"), (512, "8 min 32 s"), (11100, "3 h 05 min"), (59.99, "1 min 00 s")],
)
def test_durations_are_words(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
