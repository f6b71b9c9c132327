from __future__ import annotations

import io

import pytest

from fairrecon_jax.training import progress as module
from fairrecon_jax.training.progress import Bar, Lines, progress


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


def test_elsewhere_lines_come_rarely_and_tell_rate_and_rest(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert stream.getvalue() == "unet: step 21/200, loss 0.5, 2 steps/s, 90 s left\n"
    lines.close()
    assert stream.getvalue().count("\n") == 2


def test_only_the_primary_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.parallel, "is_primary", lambda: False)
    stream = Terminal()
    bar = progress("unet", 10, 0, stream)
    bar.advance(10)
    bar.show(loss=1.0)
    bar.close()
    assert stream.getvalue() == ""
