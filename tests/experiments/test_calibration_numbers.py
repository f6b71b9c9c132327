"""The calibration study's numbers: its simulator against probit formulas, its summaries and demands
against hand counts.
"""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

from experiments.calibration import report, study
from experiments.calibration.cells import Cell, Design, Truth
from experiments.calibration.report import GAIN, LEAST, MARGIN, MOST, checks, to_markdown
from experiments.calibration.simulate import SEPARATION, parameters, simulate
from experiments.calibration.study import Outcomes, block_size, rejection, size_adjusted, summarise

ERRORS = 4  # standard errors that a simulated rate may lie from its formula
SINGLE = Design("single", (120, 80), 1, 0.3, 1, 0.8)
SEVERAL = Design("several", (120, 80), 4, 0.3, 1, 0.8)
TRUTHS = (
    Truth("null", "unchanged"),
    Truth("common", "unchanged", common=0.4),
    Truth("blurred, gap", "planted", gap=0.5, harmed=1.0),
    Truth("overlooked", "planted", harmed=1.25, false_alarms=0.0),
    Truth("noisier", "unchanged", shared=0.9, shared_harmed=0.4),
)


def means(design: Design, truth: Truth) -> np.ndarray:
    """[2 versions, 2 labels, 2 groups] means of the scores: half of the separation on either side,
    gap, loss and false alarms.
    """
    shifts = np.zeros((2, 2, 2))
    for label in (0, 1):
        for group in (0, 1):
            here = group == design.harmed
            loss = truth.common + here * truth.harmed * design.harm
            shifts[0, label, group] = SEPARATION * (label - 0.5) - here * truth.gap
            shifts[1, label, group] = shifts[0, label, group] + (
                -loss if label else truth.false_alarms * loss
            )
    return shifts


def drawn(design: Design, truth: Truth) -> np.ndarray:
    """[K, 2 labels, 2 groups, 2, 2] counts of simulated cohorts, about 200,000 images in all."""
    cell, cohorts = Cell(design, truth), 1000 // design.images
    sizes = dict(sizes=design.sizes, images=design.images, cohorts=cohorts)
    return np.asarray(simulate(jax.random.key(1), parameters(cell), **sizes).counts, float)


def within(count: np.ndarray, images: np.ndarray, expected: float) -> None:
    """A pooled share of K cohorts lies within 4 standard errors of its formula; the error is that
    of a ratio over whole cohorts.
    """
    rate = count.sum() / images.sum()
    error = np.sqrt(np.sum((count - rate * images) ** 2)) / images.sum()
    assert abs(rate - expected) <= ERRORS * error, (rate, expected, error)


@pytest.mark.parametrize("design", [SINGLE, SEVERAL], ids=["single", "several"])
@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: truth.name)
def test_decisions_by_label_group_and_version_follow_the_probit_formula(design, truth):
    cells, expected = drawn(design, truth), means(design, truth)
    for label in (0, 1):
        for group in (0, 1):
            table = cells[:, label, group]
            images = table.sum((-2, -1))
            within(table[:, 1, :].sum(-1), images, norm.cdf(expected[0, label, group]))
            within(table[:, :, 1].sum(-1), images, norm.cdf(expected[1, label, group]))


@pytest.mark.parametrize("truth", [TRUTHS[2], TRUTHS[4]], ids=lambda truth: truth.name)
def test_decisions_that_stay_positive_follow_the_bivariate_normal_law(truth):
    cells, expected = drawn(SINGLE, truth), means(SINGLE, truth)
    for group, shared in enumerate((truth.shared, truth.shared_harmed)):
        law = multivariate_normal(np.zeros(2), [[1, shared], [shared, 1]])
        table = cells[:, 1, group]
        within(table[:, 1, 1], table.sum((-2, -1)), float(law.cdf(expected[:, 1, group])))


def test_images_have_the_finding_at_the_prevalence_and_patients_one_to_four_images():
    for design, per_patient in ((SINGLE, 1.0), (SEVERAL, 2.5)):
        cells = drawn(design, TRUTHS[0])
        images = cells.sum((1, 2, 3, 4))
        within(cells[:, 1].sum((1, 2, 3)), images, design.prevalence)
        error = images.std() / np.sqrt(len(images))
        assert abs(images.mean() - 200 * per_patient) <= ERRORS * error + 1e-9


def test_no_common_loss_is_a_difference_between_groups():
    actual = drawn(SINGLE, TRUTHS[1])[:, 1]
    changed = (actual[..., 1, 0] - actual[..., 0, 1]).sum(0) / actual.sum((0, -2, -1))
    error = np.sqrt(np.sum(changed * (1 - changed) / actual.sum((0, -2, -1))))
    assert changed.min() > 0.05
    assert abs(changed[0] - changed[1]) <= ERRORS * error


# -- summaries


def outcomes(p=(), judged=(), changed=(), published=(), paper=(), change=()) -> Outcomes:
    return Outcomes(*(np.array(value) for value in (p, judged, changed, published, paper, change)))


def by_p(published) -> Outcomes:
    return outcomes(published=published, change=np.zeros(len(published)))


def test_size_adjusted_power_by_hand():
    null = by_p(
        np.arange(1, 21) / 100
    )  # 5% of 20 cohorts is one, so the critical p-value is the smallest, 0.01
    planted = by_p([0.005, 0.01, 0.02, 0.5])
    power, of_change = size_adjusted(planted, null)
    assert power == pytest.approx((1 + 0.05 * 1) / 4), (
        "one below, one at the critical value, which counts at the level"
    )
    assert of_change == pytest.approx(0.05), "changes that are all equal reject at the level"


def test_size_adjusted_power_breaks_ties_of_p_by_the_size_of_the_change():
    null = outcomes(published=np.ones(20), change=np.arange(1, 21) / 100)
    planted = outcomes(published=np.ones(4), change=[0.30, -0.25, 0.20, 0.10])
    assert size_adjusted(planted, null) == pytest.approx([(2 + 0.05) / 4] * 2)
    certain = outcomes(published=np.full(4, 0.5), change=np.zeros(4))
    assert size_adjusted(certain, null)[0] == 1.0, "a smaller p-value beats any change"


def test_rejections_at_the_level_count():
    assert rejection(np.array([0.05, 0.0500001, 0.01, 1.0])) == 0.5


def test_one_row_of_the_table_by_hand():
    p = np.array(
        [
            [0.01, 0.2, 0.3, 0.04, 0.5],
            [0.05, 0.2, 0.3, 0.9, 0.01],
            [0.2, 0.01, 0.3, 0.9, 0.02],
            [np.nan, np.nan, 0.02, 0.9, np.nan],
        ]
    )
    actual = outcomes(
        p,
        [True, True, False, True],
        [[1, 10], [2, 30], [4, 20], [9, 40]],
        [0.01, 0.5, 0.5, 0.5],
        [1.0] * 4,
        [0.0] * 4,
    )
    row = summarise(Cell(SEVERAL, TRUTHS[2]), actual, None, 1.26)
    assert (
        row["design"],
        row["truth"],
        row["cohorts"],
        row["patients"],
        row["smallest_group"],
    ) == ("several", "blurred, gap", 4, 200, 80)
    assert (row["harm"], row["gap"]) == (0.8, 0.5)
    assert (row["changed_label_0"], row["changed_label_1"]) == (3.0, 25.0)
    assert (row["estimable"], row["harmed_estimable"]) == (0.75, 0.75)
    assert row["default_20"] == pytest.approx(2 / 3)
    assert row["default_15"] == pytest.approx(1 / 3)
    assert row["default_10"] == pytest.approx(1 / 4)
    assert (row["alike"], row["default_eop"]) == (0.25, pytest.approx(2 / 3))
    assert row["std_error"] == pytest.approx(np.sqrt(2 / 9 / 3)), (
        "of the three cohorts with a verdict"
    )
    assert (row["published"], row["paper"], row["seconds"]) == (0.25, 0.0, 1.3)
    assert np.isnan(row["published_size_adjusted"])
    assert np.isnan(row["published_change_size_adjusted"])
    assert list(row) == list(summarise(Cell(SEVERAL, TRUTHS[2]), actual, actual, 0.0)), (
        "with and without a null cell: the same columns"
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((300, 1, 2), 200), ((10_000, 3, 2), 31), ((10**6, 1, 2), 10), ((3000, 4, 6), 34)],
)
def test_blocks_stay_within_memory_and_bounds(shape, expected):
    assert block_size(*shape) == expected


def test_a_planted_cell_is_adjusted_by_the_null_of_its_own_design_and_gap(monkeypatch, capsys):
    asked = []

    def run_cell(cell, cohorts, seed):
        asked.append((cell.truth.name, cohorts, seed))
        level = {"null": 1.0, "null, gap": 0.2, "harm": 0.5, "harm, gap": 0.5}[cell.truth.name]
        flat = np.full(cohorts, level)
        return outcomes(
            np.full((cohorts, 5), level),
            [True] * cohorts,
            np.ones((cohorts, 2)),
            flat,
            flat,
            np.zeros(cohorts),
        )

    monkeypatch.setattr(study, "run_cell", run_cell)
    truths = [Truth("null", "unchanged"), Truth("null, gap", "unchanged", gap=0.5)]
    truths += [
        Truth("harm", "planted", harmed=1.0),
        Truth("harm, gap", "planted", gap=0.5, harmed=1.0),
    ]
    table = study.run_study(4, 2, 9, [Cell(SINGLE, truth) for truth in truths])
    assert asked == [("null", 4, 9), ("null, gap", 4, 9), ("harm", 2, 9), ("harm, gap", 2, 9)]
    assert table["published_size_adjusted"].isna().tolist() == [True, True, False, False]
    assert table["published_size_adjusted"].tolist()[2:] == [1.0, 0.0], (
        "0.5 beats a null at 1 and not one at 0.2"
    )
    assert capsys.readouterr().out.count("single / ") == 4


# -- demands


def row(**fields) -> pd.DataFrame:
    base = dict(
        design="d",
        truth="t",
        cohorts=100,
        changed_label_0=50.0,
        changed_label_1=30.0,
        estimable=1.0,
        harmed_estimable=1.0,
    )
    base |= dict(
        std_error=0.01,
        gap=0.0,
        default_20=0.05,
        default_15=0.05,
        default_10=0.05,
        alike=0.05,
        default_eop=0.02,
    )
    base |= dict(
        family="unchanged",
        published=0.01,
        paper=0.1,
        published_size_adjusted=np.nan,
        published_change_size_adjusted=np.nan,
    )
    return pd.DataFrame([base | fields])


PLANTED = dict(
    family="planted", published=0.5, published_size_adjusted=0.5, published_change_size_adjusted=0.3
)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"default_20": MOST}, [True, True]),
        ({"default_20": LEAST}, [True, True]),
        ({"default_20": MOST + 1e-9}, [False, True]),
        ({"default_20": LEAST - 1e-9}, [True, False]),
        ({"changed_label_0": 19.0}, [True]),
        ({"changed_label_0": 20.0, "changed_label_1": 20.0}, [True, True]),
        ({"estimable": 0.0}, []),
        ({**PLANTED, "default_20": GAIN * 0.5}, [True, True]),
        ({**PLANTED, "default_20": GAIN * 0.5 - 1e-9}, [False, True]),
        ({**PLANTED, "default_20": 0.5 - MARGIN, "published": 0.1}, [True, True]),
        ({**PLANTED, "default_20": 0.5 - MARGIN - 1e-9, "published": 0.1}, [True, False]),
        (
            {**PLANTED, "default_20": 0.5, "published": 0.1, "published_change_size_adjusted": 0.6},
            [True, False],
        ),
        ({**PLANTED, "default_20": 0.5, "gap": 0.5}, [True]),
        ({**PLANTED, "harmed_estimable": 0.49}, []),
        ({**PLANTED, "harmed_estimable": 0.5, "default_20": 0.8}, [True, True]),
    ],
)
def test_each_demand_passes_up_to_its_limit_and_fails_beyond(fields, expected):
    assert [check.passed for check in checks(row(**fields))] == expected


def test_a_demand_says_what_came_out_against_what():
    first, second = checks(row(**PLANTED, default_20=0.6))
    assert first == (
        "power at least 1.4 times the published code's",
        "d / t",
        False,
        "0.600 against 0.500",
    )
    assert second.detail == "0.600 against 0.500 (equal opportunity alone: 0.020)"
    assert checks(row())[0].detail == "0.050 (standard error 0.010)"


def test_the_page_counts_demands_and_leaves_unknown_cells_empty():
    table = pd.concat([row(default_20=0.08), row(**PLANTED, default_20=0.8)], ignore_index=True)
    lines = to_markdown(table, checks(table)).splitlines()
    assert lines[2] == "2 cells, 4 demands, 1 not met."
    assert (
        lines[4]
        == "- **not met**: false positives at most 6.5%: d / t: 0.080 (standard error 0.010)"
    )
    head, null, planted = (line.split(" | ") for line in (lines[-4], *lines[-2:]))
    assert null[head.index("published_size_adjusted")] == ""
    assert planted[head.index("published_size_adjusted")] == "0.5"
    assert (null[head.index("default_20")], null[head.index("changed_label_1")]) == ("0.08", "30")
    assert "not met**" not in to_markdown(table[1:], checks(table[1:]))


def test_the_figure_has_nulls_left_and_power_right_each_with_its_limits(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(report.plt, "close", figures.append)
    table = pd.concat([row(), row(truth="u"), row(**PLANTED, truth="h")], ignore_index=True)
    report.draw(table, tmp_path / "a.png")
    left, right = figures[0].axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["d: t", "d: u"]
    assert [label.get_text() for label in right.get_yticklabels()] == ["d: h"]
    upright = {
        line.get_xdata()[0]
        for line in left.lines
        if list(line.get_ydata()) == [0, 1] and len(set(line.get_xdata())) == 1
    }
    assert {0.05, MOST} <= upright
    assert left.get_legend_handles_labels()[1] == [
        "default test",
        "published code",
        "paper's wording",
    ], "nulls have no adjusted power"
    assert right.get_legend_handles_labels()[1][-1] == "published, true 5% critical value"


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")

    def broken(aside):
        aside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        report._write(path, broken)
    assert path.read_text() == "old"
