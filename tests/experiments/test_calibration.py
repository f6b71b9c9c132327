"""The calibration study: its cells, how it resumes, what it demands, its files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.calibration import __main__ as command
from experiments.calibration import demands, designs, report, study
from experiments.calibration.cells import CELLS
from experiments.calibration.demands import KNOWN, Cells, checks, missed, rivals
from experiments.calibration.measure import Share
from experiments.calibration.study import COLUMNS, LAWS, Case, cases, law_table, run_study

NULL, RARE = "normal change, 500 / 30", "common loss 1%, 1000 / 20"
HARM = "drop .5 sd, normal, 500 / 30"


def test_the_study_holds_the_designs_that_were_asked_for():
    every = cases()
    assert len({case.name for case in every.values() if case.section == LAWS}) >= 70
    assert len(CELLS) == 48
    assert {cell.name for cell in CELLS} <= set(law_table())
    for sizes in ((1000, 20), (1000, 40), (1000, 100), (5000, 200), (200, 20)):
        for rate in (0.01, 0.02, 0.05, 0.10):
            assert designs.loss(sizes, rate) in law_table()
    assert {case.section for case in every.values()} == {
        LAWS,
        study.FAMILY,
        study.DETECTABLE,
        study.MITIGATION,
        study.EQUIVALENT,
        study.EVERYONE,
        study.COVERAGE,
    }
    assert {int(c.name.split()[0]) for c in every.values() if c.section == study.DETECTABLE} == {
        1,
        12,
        36,
    }


def test_harm_is_to_be_told_from_nulls_of_the_same_sizes():
    laws = law_table()
    for law in laws.values():
        assert (law.harmed is None) == (not law.nulls), law.name
        for null in law.nulls:
            assert laws[null].harmed is None
            assert laws[null].sizes == law.sizes
            assert list(laws).index(null) < list(laws).index(law.name)


def test_known_exceptions_name_cells_of_the_study_and_say_why():
    names = [case.name for case in cases().values()]
    for known in KNOWN:
        assert any(known.cell in name for name in names), known
        assert known.reason
        assert known.demand in vars(demands).values()


# -- running


@pytest.fixture
def fake(monkeypatch):
    """Two cells whose measures count their calls."""
    calls = []

    def measure(name):
        def counted(cohorts, seed):
            calls.append((name, cohorts, seed))
            return {"test": Share(0.05, cohorts), "judged": Share(1.0, cohorts)}

        return counted

    listed = [Case(LAWS, n, n == HARM, measure(n)) for n in (NULL, RARE, HARM)]
    monkeypatch.setattr(study, "cases", lambda: {case.key: case for case in listed})
    return calls


def test_finished_cells_are_kept_and_not_run_again(fake, tmp_path):
    path, lines = tmp_path / "cells.csv", []
    first = run_study(path, 8, 4, only=RARE, progress=lines.append)
    assert fake == [(RARE, 8, 0)]
    assert list(first.columns) == list(COLUMNS)
    every = run_study(path, 8, 4, progress=lines.append)
    assert fake == [(RARE, 8, 0), (NULL, 8, 0), (HARM, 4, 0)]
    assert list(every["cell"]) == [NULL, NULL, RARE, RARE, HARM, HARM], "in the study's order"
    assert len(lines) == 3
    pd.testing.assert_frame_equal(run_study(path, 8, 4, progress=lines.append), every)
    assert len(fake) == 3


def test_another_number_of_cohorts_or_seed_runs_a_cell_again(fake, tmp_path):
    path = tmp_path / "cells.csv"
    for cohorts, seed in ((8, 0), (9, 0), (9, 1)):
        table = run_study(path, cohorts, 4, seed=seed, only=NULL, progress=str)
        assert fake[-1] == (NULL, cohorts, seed)
        assert len(table) == len(pd.read_csv(path)) == 2


def test_a_stopped_study_goes_on(fake, tmp_path, monkeypatch):
    path = tmp_path / "cells.csv"

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(path, 8, 4, progress=stop)
    assert set(pd.read_csv(path)["cell"]) == {NULL}
    run_study(path, 8, 4, progress=str)
    assert [name for name, *_ in fake] == [NULL, RARE, HARM]


def test_workers_give_the_numbers_of_one_process(tmp_path):
    only = "equivalent: 20 / 20"
    one, two = (
        run_study(tmp_path / f"{n}.csv", 20, 20, only=only, workers=n, progress=str) for n in (1, 2)
    )
    assert len(one) == 3
    pd.testing.assert_frame_equal(one.drop(columns="seconds"), two.drop(columns="seconds"))


def test_coverage_of_single_intervals_is_a_section():
    key = (study.COVERAGE, "rate: rate 0.8, 50 patients")
    shares = {row["quantity"]: row["share"] for row in study.run_case(key, 200, 0)}
    assert 0.85 < shares["covered"] <= 1
    assert shares["printed"] == 1
    rare = (study.COVERAGE, "mean: 5% drop by U(.2, .9), 12 patients")
    refused = {row["quantity"]: row for row in study.run_case(rare, 200, 0)}
    assert refused["printed"]["share"] < 0.05
    assert refused["covered"]["of"] < 10, "judged among printed intervals only"


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")

    def broken(aside):
        aside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        study.write_aside(path, broken)
    assert path.read_text() == "old"


# -- demands


def rows(section, cell, planted=False, of=1000, **shares):
    given = (section, cell, planted, of, 0)
    return [dict(zip(COLUMNS, (*given, name, v, of, 0.1))) for name, v in shares.items()]


def law_rows(size=0.05, power=0.7, flips=(0.05, 0.7), permutations=(0.05, 0.7), misnamed=0.01):
    null = dict(test=size, flips=flips[0], permutations=permutations[0], judged=1.0, covered=0.95)
    harm = dict(test=power, flips=flips[1], permutations=permutations[1], judged=1.0)
    return [
        *rows(LAWS, NULL, **null),
        *rows(LAWS, HARM, True, **harm, misnamed=misnamed, untrue=0.0),
    ]


def failures(records):
    return {check.demand for check in checks(pd.DataFrame(records)) if not check.passed}


def test_demands_on_laws_fail_where_they_should():
    assert failures(law_rows()) == set()
    assert failures(law_rows(size=0.066)) == {demands.SIZE}
    assert failures(law_rows(power=0.64)) == {demands.POWER}
    assert failures(law_rows(misnamed=0.06)) == {demands.NAME}


def test_a_rival_that_loses_its_size_does_not_count():
    bold = law_rows(power=0.64, flips=(0.08, 0.9), permutations=(0.05, 0.66))
    assert failures(bold) == set()
    kept, out = rivals(Cells(pd.DataFrame(bold)), HARM)
    assert kept == {"permutations": 0.66}
    assert "flips rejects 0.080" in out["flips"]


def test_demands_on_words_and_intervals_fail_where_they_should():
    who = "500 men, 500 women"
    gain = f"women gain 29 points, {who}"
    lose = f"men lose 28 points, women untouched, {who}"
    margin = "1000 / 20, 0+0%, a true difference of the margin"
    good = [
        *rows(study.FAMILY, "f", any=0.05),
        *rows(study.MITIGATION, gain, helped=0.95, harmed=0.0),
        *rows(study.MITIGATION, lose, helped=0.02),
        *rows(study.EQUIVALENT, margin, equivalent=0.06),
        *rows(study.EQUIVALENT, "1000 / 20, 0+0%, no difference", equivalent=1.0),
        *rows(study.DETECTABLE, "d", found=0.8),
        *rows(study.EVERYONE, "normal", test=0.05),
        *rows(study.EVERYONE, "harm: 3% lost, 200 patients", test=0.9),
        *rows(study.COVERAGE, "mean: m", covered=0.99),
    ]
    assert failures(good) == set()
    bad = {
        ("f", "any"): (0.07, demands.FAMILYWISE),
        (gain, "helped"): (0.5, demands.GAINED),
        (lose, "helped"): (0.03, demands.NOT_HELPED),
        (margin, "equivalent"): (0.07, demands.EQUIVALENCE),
        ("d", "found"): (0.74, demands.DETECTION),
        ("normal", "test"): (0.08, demands.ALL),
        ("mean: m", "covered"): (0.92, demands.INTERVAL),
    }
    for (cell, quantity), (share, demand) in bad.items():
        changed = [
            r | {"share": share} if (r["cell"], r["quantity"]) == (cell, quantity) else r
            for r in good
        ]
        assert failures(changed) == {demand}, cell
    assert failures(rows(study.DETECTABLE, "d", found=0.91)) == {demands.DETECTION}


def test_scores_have_to_find_what_decisions_miss():
    names = [f"{kind}, 150 / 150, 0.25 sd" for kind in ("scores", "decisions")]
    shares = dict(flips=0.0, permutations=0.0, judged=1.0)
    for power, expected in ((0.25, set()), (0.24, {demands.SCORE})):
        table = [
            *rows(LAWS, names[0], True, test=power, **shares),
            *rows(LAWS, names[1], True, test=0.1, **shares),
        ]
        assert failures(table) == expected


def test_few_cohorts_are_not_judged():
    assert checks(pd.DataFrame(rows(LAWS, NULL, of=50, test=0.5))) == []


def test_a_known_exception_is_excused_up_to_its_bound():
    known = KNOWN[0]
    for share, left in ((known.bound, 0), (known.bound + 0.01, 1)):
        outcomes = checks(pd.DataFrame(rows(LAWS, known.cell, test=share, judged=1.0)))
        assert [c.passed for c in outcomes if c.demand == known.demand] == [False]
        assert len(missed(outcomes)) == left


# -- files


def test_the_page_counts_demands_and_leaves_unknown_shares_empty():
    table = pd.DataFrame(law_rows(size=0.08))
    page = report.to_markdown(table, checks(table))
    assert page.splitlines()[2] == "2 cells, 4 demands, 1 not met."
    assert f"- **not met**: {demands.SIZE}: {NULL}: 0.080; standard error 0.009" in page
    assert f"| {demands.SIZE} | 1 | 0 | 0 | 1 | 0.080 | 0.080 |" in page
    assert f"| {NULL} | 1000 | 0.080 | 0.050 | 0.050 | 1.000 | 0.950 |  |  |" in page


def test_the_figure_has_nulls_left_and_power_right_with_its_limits(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(report.plt, "close", figures.append)
    report.draw(pd.DataFrame(law_rows()), tmp_path / "a.png")
    left, right = figures[0].axes
    assert [label.get_text() for label in left.get_yticklabels()] == [NULL]
    assert [label.get_text() for label in right.get_yticklabels()] == [HARM]
    upright = {
        line.get_xdata()[0]
        for line in left.lines
        if list(line.get_ydata()) == [0, 1] and len(set(line.get_xdata())) == 1
    }
    assert {0.05, demands.MOST} <= upright
    test = left.containers[0].lines[0]
    assert list(test.get_xdata()) == [0.05]
    assert left.get_legend_handles_labels()[1] == [
        "the package's test",
        "sign flips alone",
        "permutations alone",
    ]


def test_command_line(tmp_path, capsys, monkeypatch):
    given = [f"--out={tmp_path}", "--cohorts=100", f"--only={RARE}"]
    assert command.main(given) == 0
    told = capsys.readouterr().out
    assert "1 cells" in told
    assert demands.SIZE in told
    assert {p.name for p in tmp_path.iterdir()} == {
        "cells.csv",
        "cells.md",
        "cells.png",
        "demands.csv",
    }
    table = pd.read_csv(tmp_path / "cells.csv")
    shares = dict(zip(table["quantity"], table["share"]))
    assert shares["test"] < 0.15
    assert shares["flips"] > 0.5, "sign flips alone are wrong here"
    monkeypatch.setattr(demands, "MOST", -1.0)
    assert command.main(given) == 1, "a demand that is not met"
    assert "not met" in capsys.readouterr().out
    assert command.main([f"--out={tmp_path}", "--only=absent"]) == 2
    assert "'absent'" in capsys.readouterr().err
    assert command.main([f"--out={tmp_path}", "--cohorts=0"]) == 2


def test_shares_of_a_table_are_found_by_name():
    cells = Cells(pd.DataFrame(law_rows()))
    assert cells.share(LAWS, NULL, "test") == 0.05
    assert np.isnan(cells.share(LAWS, NULL, "absent"))
    assert list(cells.of(LAWS, True)) == [HARM]
