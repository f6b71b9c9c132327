"""The calibration study: its simulator's truths, its bookkeeping, its files."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from experiments.calibration import __main__ as command
from experiments.calibration.cells import CELLS, Cell, Design, Truth
from experiments.calibration.report import MOST, checks, store, to_markdown
from experiments.calibration.simulate import SEPARATION, parameters, simulate
from experiments.calibration.study import (
    Outcomes,
    assess_tables,
    block_size,
    rejection,
    run_cell,
    size_adjusted,
)
from fairrecon_jax.inference.did import LABEL_WEIGHTS, did_test
from fairrecon_jax.inference.signflip import sign_flip

DESIGN = Design("small", (60, 40), 2, 0.3, 1, 1.0)
NULL, HARM = Truth("no gap", "unchanged"), Truth("blurred", "planted", harmed=1.0)
KEY = jax.random.key(0)


def tables(truth, cohorts=200, design=DESIGN):
    return simulate(
        KEY,
        parameters(Cell(design, truth)),
        sizes=design.sizes,
        images=design.images,
        cohorts=cohorts,
    )


def rates(cohorts):
    """[2 versions, L, G] rates of positive decisions over all cohorts."""
    cells = np.asarray(cohorts.counts).sum(0)
    images = cells.sum((-2, -1))
    return np.stack([cells[..., 1, :].sum(-1) / images, cells[..., 1].sum(-1) / images])


def test_study_has_at_most_48_cells_with_distinct_names_and_what_was_asked_for():
    assert len(CELLS) <= 48
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    assert {cell.design.prevalence for cell in CELLS} == {0.05, 0.20}
    assert {len(cell.design.sizes) for cell in CELLS} == {2, 6}
    assert min(cell.design.patients for cell in CELLS) == 300
    assert max(cell.design.patients for cell in CELLS) == 10_000
    assert any(30 in cell.design.sizes and cell.design.images > 1 for cell in CELLS)
    assert any(cell.truth.shared_harmed < cell.truth.shared for cell in CELLS)
    for cell in CELLS:
        if cell.truth.family == "planted":
            before = CELLS[: CELLS.index(cell)]
            assert any(
                c.design == cell.design
                and c.truth.family == "unchanged"
                and c.truth.gap == cell.truth.gap
                for c in before
            )


def test_rates_follow_the_planted_truth():
    high = norm.cdf(SEPARATION / 2)
    np.testing.assert_allclose(
        rates(tables(NULL)), np.tile([[[1 - high], [high]]], (2, 1, 2)), atol=0.03
    )
    actual = rates(tables(HARM))
    np.testing.assert_allclose(actual[1, :, 0], actual[0, :, 0], atol=0.03)
    assert actual[1, 1, 1] == pytest.approx(norm.cdf(SEPARATION / 2 - 1), abs=0.03)
    assert actual[1, 0, 1] == pytest.approx(norm.cdf(-SEPARATION / 2 + 0.5), abs=0.03)
    gap = rates(tables(Truth("gap", "unchanged", gap=0.5)))
    assert gap[0, 1, 1] == pytest.approx(norm.cdf(SEPARATION / 2 - 0.5), abs=0.03)
    np.testing.assert_allclose(gap[0], gap[1], atol=0.02)
    common = rates(tables(Truth("common", "unchanged", common=0.3)))
    assert np.ptp(common[1], axis=-1).max() < 0.03


def test_prevalence_sizes_and_tables_agree():
    actual = tables(NULL, cohorts=40)
    n, s, cells = (np.asarray(a) for a in (actual.weight, actual.change, actual.counts))
    assert n.shape == (100, 40, 2, 2)
    assert n.sum((0, 2, 3)).mean() == pytest.approx(150, abs=4)
    assert n[:, :, 1].sum() / n.sum() == pytest.approx(0.3, abs=0.02)
    assert np.all(n[:60, :, :, 1] == 0)
    np.testing.assert_array_equal(n.sum(0), cells.sum((-2, -1)))
    np.testing.assert_array_equal(s.sum(0), cells[..., 0, 1] - cells[..., 1, 0])
    assert np.all(np.abs(s) <= n)


def test_noisier_group_changes_more_without_moving_its_rate():
    actual = np.asarray(tables(Truth("noisy", "unchanged", shared_harmed=0.4)).counts).sum((0, 1))
    changed = (actual[:, 0, 1] + actual[:, 1, 0]) / actual.sum((-2, -1))
    assert changed[1] > 1.3 * changed[0]


def test_images_of_a_patient_are_correlated():
    design = dataclasses.replace(DESIGN, sizes=(300, 300), images=4)
    actual = tables(NULL, 10, design)
    s, n = np.asarray(actual.change)[:, :, 1].sum(-1), np.asarray(actual.weight)[:, :, 1].sum(-1)
    several = n >= 3
    independent = (
        (s[several] / n[several]).var()
        * n[several].mean()
        / (s.sum() / n.sum() * 0 + (s[n == 1]).var())
    )
    assert independent > 1.1  # 1 for independent images; about 0.05 of sampling error


def test_the_study_runs_the_packages_own_test():
    design = dataclasses.replace(DESIGN, images=1)
    actual = tables(HARM, 3, design)
    outcomes = assess_tables(actual, KEY, 1)
    cells = np.asarray(actual.counts)[0].astype(int)
    rows = [(y, g, o, r) for (y, g, o, r), count in np.ndenumerate(cells) for _ in range(count)]
    y, g, o, r = (np.array(column, float) for column in zip(*rows))
    direct = did_test(o, r, y, g.astype(int), np.arange(len(o)), KEY, groups=2, flips=199)
    options = dict(flips=19, alpha=0.05, pooled=(True,), label_weights=(LABEL_WEIGHTS,))
    flip = sign_flip(
        ((actual.change, actual.weight, actual.weight.sum(0) >= 20),),
        np.zeros((100, 2), np.uint32),
        KEY,
        **options,
    )[0]
    assert float(flip.statistic[0]) == pytest.approx(float(direct.statistic), rel=1e-3)
    assert abs(outcomes.p[0, 0] - direct.p_value) < 0.1


def test_cell_is_reproducible_and_its_first_cohorts_do_not_depend_on_their_number():
    cell = Cell(DESIGN, NULL)
    size = block_size(DESIGN.patients, DESIGN.images, 2)
    first, longer = run_cell(cell, size), run_cell(cell, size + 5)
    np.testing.assert_array_equal(first.p, longer.p[:size])
    np.testing.assert_array_equal(first.published, longer.published[:size])
    assert longer.p.shape == (size + 5, 5)
    assert 0.0 <= rejection(first.p[:, 0]) < 0.15
    harmed = run_cell(Cell(DESIGN, HARM), size)
    assert rejection(harmed.p[:, 0]) > rejection(first.p[:, 0]) + 0.2


def outcomes(p, change):
    nan = np.full(len(p), np.nan)
    return Outcomes(np.stack([p] * 5, 1), nan > 0, np.stack([nan, nan], 1), p, p, change)


def test_size_adjusted_power_of_the_null_itself_is_five_percent():
    rng = np.random.default_rng(0)
    null = outcomes(rng.uniform(size=4000), rng.normal(size=4000))
    again = outcomes(rng.uniform(size=4000), rng.normal(size=4000))
    assert size_adjusted(again, null) == pytest.approx((0.05, 0.05), abs=0.02)
    strong = outcomes(np.zeros(4000), np.full(4000, 9.0))
    assert size_adjusted(strong, null) == (1, 1)


def test_undefined_cohorts_do_not_count():
    assert rejection(np.array([0.01, np.nan, 0.2, np.nan])) == 0.5
    assert np.isnan(rejection(np.array([np.nan])))


def table():
    base = dict(
        design="d",
        cohorts=100,
        changed_label_0=50,
        changed_label_1=30,
        estimable=1.0,
        std_error=0.01,
        paper=0.1,
        gap=0.0,
    )
    base |= dict(
        default_15=0.05,
        default_10=0.05,
        alike=0.05,
        default_eop=0.05,
        published_change_size_adjusted=0.3,
    )
    null = base | dict(
        truth="no gap",
        family="unchanged",
        default_20=0.05,
        published=0.01,
        published_size_adjusted=np.nan,
        harmed_estimable=1.0,
    )
    harm = base | dict(
        truth="harm",
        family="planted",
        default_20=0.6,
        published=0.3,
        published_size_adjusted=0.5,
        harmed_estimable=1.0,
    )
    return pd.DataFrame([null, harm])


def test_demands_fail_where_they_should():
    good = table()
    assert [c.passed for c in checks(good)] == [True] * 4
    bad = good.assign(default_20=[MOST + 0.01, 0.4])
    assert [c.passed for c in checks(bad)] == [False, True, False, False]
    timid = good.assign(default_20=[0.02, 0.6])
    assert [c.passed for c in checks(timid)] == [True, False, True, True]
    few = good.assign(changed_label_1=[5, 5], harmed_estimable=[0.0, 0.0])
    assert len(checks(few)) == 1
    assert "**not met**" in to_markdown(bad, checks(bad))


def test_files_are_written(tmp_path):
    store(table(), tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "calibration.csv",
        "calibration.md",
        "calibration.png",
        "demands.csv",
    }
    assert len(pd.read_csv(tmp_path / "out" / "calibration.csv")) == 2
    assert (tmp_path / "out" / "calibration.png").read_bytes()[1:4] == b"PNG"


def test_command_line(tmp_path, capsys):
    only = "2 groups, 300 patients / no gap"
    assert command.main([f"--out={tmp_path}", "--cohorts=4", f"--only={only}"]) == 0
    actual = pd.read_csv(tmp_path / "calibration.csv")
    assert list(actual["truth"]) == ["no gap"]
    assert actual["cohorts"][0] == 4
    assert "1 cells" in capsys.readouterr().out
    assert command.main([f"--out={tmp_path}", "--only=nothing"]) == 2
    assert "'nothing'" in capsys.readouterr().err
