"""The claims experiment against numbers worked out by hand and the package's own rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.claims import paper
from experiments.claims.__main__ import run
from experiments.claims.judge import (
    CLAIMS,
    COLUMNS,
    WORDS,
    claims,
    correlations,
    percent,
    verdict,
    widened,
)
from experiments.claims.measure import measure, patient_weights
from experiments.claims.summaries import write_summaries
from fairrecon_jax.assessment import assess, compare, write_predictions, write_results
from fairrecon_jax.physics import describe
from tests.support import hand

LEVELS = (1e5, 1e4, 1e3)


def spec():
    return dataclasses.replace(
        hand.spec(("task",)), degradation=describe("xray_low_dose", LEVELS, 1e4)
    )


def table():
    """Women lose findings at every level, men none; image quality falls with the level."""
    parts = []
    for step, level in enumerate(LEVELS):
        pairs = ((6, 6), (54, 54 - 12 * step), (6, 6), (54, 54))
        made = hand.table(("task",), {"task": pairs}).assign(level=level)
        lost = made["task__original"] != made["task__reconstructed"]
        parts.append(made.assign(psnr=30.0 - 2 * step - 1.0 * lost, ssim=0.9 - 0.1 * step))
    mitigated = hand.table(("task",), {"task": ((6, 6), (54, 48), (6, 6), (54, 54))})
    parts.append(mitigated.assign(level=1e4, psnr=27.0, ssim=0.8, mitigation="reweighting"))
    return pd.concat(parts, ignore_index=True)


def measured(draws=40):
    return measure(table(), spec(), hand.options(), draws=draws, shuffles=20)


def test_the_papers_numbers_by_hand():
    # Table 3: sex 24.1 -> 7.56, age -1.88 -> -2.01 per cent
    by_hand = ((24.1 - 7.56) / 124.1 + (-1.88 + 2.01) / 98.12) / 2
    assert paper.removed_share("eodd", ("sex", "age")) == pytest.approx(by_hand)
    assert np.isnan(paper.removed_share("group_dro", ("sex",)))
    assert paper.added_share() == pytest.approx((14.6 + 11.8 + 11.5) / 300)
    first = paper.cells("xray").iloc[0]
    # U-Net at 1e5: -1 of 100 for five findings, -2 for pneumothorax
    assert (first["PSNR"], first["auroc"]) == (31.6, pytest.approx(-0.07 / 12))
    assert -1 < paper.correlation("xray", "LPIPS") < 1


def test_row_0_is_the_cohort_as_the_package_assesses_it():
    found = measured(draws=2)
    performance, fairness = assess(table(), spec(), hand.options())
    for k, cell in enumerate(found.cells):
        where = f"level == {cell.level} and mitigation == '{cell.mitigation}'"
        auroc = performance.query(f"{where} and metric == 'auroc' and attribute == ''")
        after, before = (auroc[auroc["version"] == v]["value"].iloc[0]
                         for v in ("reconstructed", "original"))  # fmt: skip
        assert found.auroc[0, k, 0] == pytest.approx(after)
        assert found.auroc_before[0, 0] == pytest.approx(before)
        rows = fairness.query(f"{where} and metric == 'eodd' and version == 'reconstructed'")
        gap = rows[rows["convention"] == "worst_case_estimable"]["value"].iloc[0]
        assert found.eodd[0, k, 0, 0] == pytest.approx(gap)
    mildest = [cell.level for cell in found.cells].index(1e5)
    assert found.quality["psnr"][0, mildest] == pytest.approx(30)  # nobody is lost


def test_claims_by_hand():
    with np.errstate(divide="ignore"):  # no gap on originals
        found = claims(measured(draws=10), "xray").set_index("quantity")
    # changes of AUROC 0, -.05, -.1 (half the loss of sensitivity, of half the patients) fall
    # with PSNR on a line, but for the dB of those who are lost
    assert found.loc["r of SSIM, cell by cell", "ours"] == pytest.approx(1)
    assert found.loc["r of PSNR, cell by cell", "ours"] > 0.99
    # three cells tell nothing of a correlation over others
    assert tuple(found.loc["r of PSNR, cell by cell", ["low", "high"]]) == (-1, 1)
    # gaps 0, .2, .4 of 0 before; root mean squares over the three cells
    ratio = np.sqrt((0.2**2 + 0.4**2) / 3) / np.sqrt((0.05**2 + 0.1**2) / 3)
    assert found.loc["root mean square change of EODD / of AUROC", "ours"] == pytest.approx(ratio)
    removed = found.loc["share of the gap removed, reweighting, unet"]
    assert removed["ours"] == pytest.approx(0.5)  # 48 of 60 found instead of 42 beside 54
    assert "EODD 0.200 -> 0.100; price: AUROC +0.025, PSNR -0.95 dB" in removed["note"]
    assert set(found["verdict"]) <= set(WORDS)


def test_correlations_and_verdicts():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 9))
    np.testing.assert_allclose(correlations(x, y), [np.corrcoef(a, b)[0, 1] for a, b in zip(x, y)])
    # r = .5 of 7 cells by Fisher: tanh(0.5493 -+ 0.98)
    wide = widened({"ours": 0.5, "low": 0.4, "high": 0.6}, 7)
    assert (wide["low"], wide["high"]) == (
        pytest.approx(-0.406, abs=1e-3),
        pytest.approx(0.910, abs=1e-3),
    )
    for name, low, high, word in (
        ("a", -0.4, 0.4, "supported"), ("a", 0.6, 0.9, "contradicted"),
        ("a", 0.2, 0.7, "cannot be told"), ("a", -0.9, -0.6, "contradicted"),
        ("b", 1.2, 3.0, "supported"), ("b", 0.2, 0.8, "contradicted"),
        ("c", -0.2, 0.3, "supported"), ("c", 0.7, 2.0, "contradicted"),
        ("d", 0.1, 0.9, "cannot be told"), ("d", float("nan"), 1.0, "cannot be told"),
    ):  # fmt: skip
        assert verdict(CLAIMS[name], low, high) == word


def test_changes_in_per_cent_of_what_was_before():
    change = np.array([[[0.1, -0.2], [0.3, np.nan]]])  # one draw, two cells, two tasks
    assert percent(change, np.array([[0.5, 0.5]]))[0] == pytest.approx(40)  # of 20, 40 and 60


def test_draws_keep_patients_whole_and_the_files_are_written(tmp_path):
    drawn = patient_weights(7, 5, seed=1)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(1) == 7).all()
    write_predictions(tmp_path / "predictions.parquet", table().assign(split="test"), spec())
    # without validation patients no threshold can be fitted: that of the study is read
    (tmp_path / "config.json").write_text(
        '{"assess": {"threshold_rule": "fixed", "threshold_value": 0.5, "min_patients": 10}}'
    )
    found = run(tmp_path, draws=5)
    assert tuple(pd.read_csv(tmp_path / "claims.csv").columns) == COLUMNS == tuple(found.columns)
    assert (tmp_path / "claims.md").is_file()
    assert (tmp_path / "claims.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="the study has no task nodule"):
        run(tmp_path, ("nodule",), draws=2)


def test_summaries_are_rows_of_the_results(tmp_path):
    seeds = pd.concat([table().assign(seed=seed) for seed in range(3)], ignore_index=True)
    performance, fairness = assess(seeds, spec(), hand.options())
    mitigation = compare(table(), spec(), hand.options())
    write_results(tmp_path, performance=performance, fairness=fairness, mitigation=mitigation)
    written = write_summaries(tmp_path, tmp_path / "short")
    made = {path.stem: pd.read_csv(path) for path in written}
    assert sorted(made) == ["cells", "gaps", "methods", "mitigation", "originals"]

    cells = made["cells"]
    assert cells[["level", "mitigation", "seed"]].drop_duplicates().shape[0] == len(cells) == 12
    # 30 dB at the mildest level; women lose 12 of 54 findings, and their images a dB, at the next
    kept = cells.query("mitigation == 'none' and seed == 0").set_index("level")["psnr"]
    first = table().query("mitigation == 'none' and split == 'test'").groupby("level")["psnr"]
    pd.testing.assert_series_equal(kept, first.mean().round(4), check_names=False)
    # sensitivity of women falls by 12 of 60, and 24; the mitigation gives 6 back
    gaps = made["gaps"].query("mitigation == 'none' and seed == 1").set_index("level")
    assert gaps["change"].to_dict() == pytest.approx({1e5: 0.0, 1e4: 0.2, 1e3: 0.4})
    methods = made["methods"].query("mitigation == 'none'").set_index("level")
    assert methods["change"].to_dict() == pytest.approx({1e5: 0.0, 1e4: 0.2, 1e3: 0.4})
    assert made["mitigation"]["change"].tolist() == pytest.approx([-0.1])
    # 54 of 60 right on either side: the mean of sensitivity and specificity
    assert made["originals"]["value"].tolist() == [0.9]
