"""The benchmark harness with a fake clock, fake peers and a fake package; and the X-ray benchmark's
two sides held against each other.
"""

from __future__ import annotations

import importlib
import io
import json
import sys

import numpy as np
import pytest

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import harness, xray
from experiments.benchmarks.harness import Comparison, Result


class Clock:
    """A clock that work moves forward."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, *durations: float):
        remaining = list(durations)

        def call():
            self.calls.append(name)
            self.now += remaining.pop(0)

        return call


def test_medians_of_interleaved_runs_without_the_first():
    clock = Clock()
    ours, peer = clock.work("ours", 100, 1, 2, 9), clock.work("peer", 100, 10, 30, 20)
    result = harness.measure("toy", Comparison(ours, peer, (3, 4), 3), clock)
    assert result == Result("toy", 2, 20, 10, (3, 4))
    assert clock.calls == ["ours", "peer"] * 4


def test_lines_are_json_with_the_agreed_keys():
    line = json.loads(Result("toy", 0.123456, 1.0, 8.1, (2, 3)).to_json())
    assert line == {"name": "toy", "ours_s": 0.1235, "peer_s": 1.0, "ratio": 8.1, "shape": [2, 3]}
    assert list(line) == ["name", "ours_s", "peer_s", "ratio", "shape"]


def test_no_repeat_is_refused():
    with pytest.raises(ValueError, match="'toy' asks for 0 repeats"):
        harness.measure("toy", Comparison(int, int, (), 0))


def test_registry_refuses_a_second_function_of_the_same_name():
    registry: dict = {}

    @harness.benchmark("one", registry)
    def first():
        return int, int, "nothing", 1

    assert registry["one"] is first
    with pytest.raises(ValueError, match="two benchmarks are called 'one'"):

        @harness.benchmark("one", registry)
        def second():
            return int, int, "nothing", 1


def test_plain_tuples_run_and_a_missing_peer_is_reported_not_raised():
    def missing():
        raise ImportError("No module named 'torch'")

    registry = {"plain": lambda: (int, int, "a sentence", 1), "missing": missing}
    output, errors = io.StringIO(), io.StringIO()
    results = harness.run(["missing", "plain"], registry, output, errors)
    assert [result.name for result in results] == ["plain"]
    assert json.loads(output.getvalue())["shape"] == "a sentence"
    assert json.loads(errors.getvalue()) == {
        "name": "missing",
        "skipped": "ImportError: No module named 'torch'",
    }


def test_errors_other_than_a_missing_peer_are_raised():
    def broken():
        raise RuntimeError("wrong answer")

    with pytest.raises(RuntimeError, match="wrong answer"):
        harness.run(["broken"], {"broken": broken}, io.StringIO(), io.StringIO())


def test_unknown_names_list_the_known_ones():
    with pytest.raises(KeyError, match="no benchmark is called 'two'; there are: one"):
        harness.run(["two"], {"one": lambda: (int, int, "", 1)})


def test_every_module_of_the_package_is_imported_and_a_broken_import_reported(
    tmp_path, monkeypatch
):
    folder = tmp_path / "fake_benchmarks"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text("raise RuntimeError('the command line is not a benchmark')")
    (folder / "good.py").write_text("value = 1")
    (folder / "needs.py").write_text("import a_package_that_is_nowhere")
    monkeypatch.syspath_prepend(str(tmp_path))
    errors = io.StringIO()
    assert harness.load_modules(importlib.import_module("fake_benchmarks"), errors) == ["good"]
    assert json.loads(errors.getvalue())["name"] == "needs"
    assert sys.modules["fake_benchmarks.good"].value == 1


def test_command_line_runs_one_lists_all_and_refuses_unknown_names(monkeypatch, capsys):
    monkeypatch.setattr(
        command,
        "REGISTRY",
        {"toy": lambda: (int, int, (1,), 1), "other": lambda: (int, int, (1,), 1)},
    )
    assert command.main(["--only", "toy"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "toy"
    assert command.main([]) == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == [
        "other",
        "toy",
    ]
    assert command.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == ["other", "toy"]
    assert command.main(["--only", "nothing"]) == 2
    assert "no benchmark is called 'nothing'" in capsys.readouterr().err


def test_xray_benchmarks_are_registered():
    assert {"xray_low_dose", "xray_low_dose_shared_sinogram", "xray_poisson"} <= set(
        harness.REGISTRY
    )


@pytest.mark.parametrize("share", [False, True])
def test_both_sides_of_the_xray_benchmark_do_the_same_work(share, monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr(xray, "SIZE", 32)
    monkeypatch.setattr(xray, "BATCH", 2)
    monkeypatch.setattr(xray, "LEVELS", (1e8, 1e7))
    monkeypatch.setattr(xray, "SHAPE", (2, 2, 32, 32))
    ours, peer = np.asarray(xray._ours()())[..., 0], xray._scikit_image(share)()
    assert ours.shape == peer.shape
    np.testing.assert_allclose(
        ours, peer, atol=0.02
    )  # with so many photons only a little noise is left
