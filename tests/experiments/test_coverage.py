"""The coverage study: names of designs, sums of rows, and what the command refuses."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.calibration import coverage
from experiments.calibration.coverage_designs import Design, designs
from fairrecon_jax.inference.clustered import Interval


def known(cohorts):
    """Of every ten intervals of 0 one lies below, two above, two are not printed."""
    place = np.arange(cohorts) % 10
    low = np.select([place == 0, place < 3, place < 5], [-2.0, 1.0, np.nan], -1.0)
    return Interval(low, low, low, low + 1.5)


def test_designs_have_names_of_their_own():
    names = [(d.interval, d.name) for d in designs()]
    assert len(names) >= 30
    assert len(set(names)) == len(names)


def test_a_row_counts_printed_and_missed_intervals():
    row = coverage.run_design(Design("d", "mean", 10**5, 0.0, lambda _, n: known(n)), 10, 0)
    whole = coverage.run_design(Design("d", "mean", 1, 0.0, lambda _, n: known(n)), 100, 0)
    assert row["cohorts"] == 10
    assert whole["printed"] == pytest.approx(0.8)
    assert whole["too_low"] == pytest.approx(0.1)
    assert whole["too_high"] == pytest.approx(0.2)
    assert whole["coverage"] == pytest.approx(5 / 8)
    assert whole["width"] == pytest.approx(1.5)
    assert whole["result"] == "below"


@pytest.mark.parametrize(
    ("covered", "printed", "word"),
    [(0.95, 1, "kept"), (0.98, 1, "at least"), (0.92, 1, "below"), (0.5, 0.01, "refused")],
)
def test_a_coverage_in_words(covered, printed, word):
    assert coverage.verdict(covered, printed) == word


def test_every_design_draws_its_cohorts():
    for design in designs():
        if design.patients <= 100:
            drawn = design.draw(np.random.default_rng(0), 3)
            assert drawn.low.shape == (3,), design.name
            assert np.all(~(drawn.low > drawn.high)), design.name


def test_the_command_writes_a_table(tmp_path, monkeypatch, capsys):
    table = coverage.run_coverage(5, only="rate 0.5, 20 patients")
    assert list(table.interval) == ["rate"] * len(table)
    monkeypatch.setattr(coverage, "RESULTS", tmp_path / "new" / "coverage.csv")
    monkeypatch.setattr(coverage, "designs", lambda: designs()[:2])
    assert coverage.main(["20"]) == 0
    assert len((tmp_path / "new" / "coverage.csv").read_text().splitlines()) == 3
    assert "rate 0.5, 20 patients" in capsys.readouterr().out
    for wrong in (["0"], ["many"], ["1", "2"]):
        assert coverage.main(wrong) == 2
    assert "usage: python -m experiments.calibration.coverage" in capsys.readouterr().err
