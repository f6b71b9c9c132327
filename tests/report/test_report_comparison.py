"""The mitigation section: verdicts in words, price, trade-off, sweep and fallback from made-up tables."""

import itertools

import numpy as np
import pandas as pd
import pytest
import report_fake as fake

from fairrecon_jax.report import comparison
from fairrecon_jax.report.select import Findings

SPEC = fake.mri_spec()
CELLS = fake.cells(SPEC, ("unet",), ("none", "eodd"))
CHOSEN = {0.1: "eodd@0.1", 1.0: "eodd@1"}


def compared() -> pd.DataFrame:
    """The fairness and performance rows of the mitigated cells in the words of a comparison."""
    cells = [c for c in CELLS if c[2] == "eodd"]
    table = pd.concat([fake.fairness(SPEC, cells), fake.performance(SPEC, cells, intersections=False)], ignore_index=True)
    names = {"original": "unmitigated", "reconstructed": "mitigated"}
    table["version"] = table["version"].replace(names)
    table["verdict"] = table["verdict"].replace({"narrowed": "helped", "widened": "harmed", "within chance": "no detectable effect"})
    return table[table["convention"] != "published"]


def swept(chosen: str) -> pd.DataFrame:
    rows = []
    for weight, part, (metric, base) in itertools.product(
        (0.0, 0.1, 1.0), ("val", "test"), (("eodd", 0.2), ("auroc", 0.9), ("psnr", 30.0))
    ):
        place = {
            "sweep": "eodd",
            "reconstructor": "unet",
            "level": 8.0,
            "weight": weight,
            "part": part,
            "chosen": chosen,
            "reason": "by rule",
        }
        task = {"task": "" if metric == "psnr" else "grade", "attribute": "sex" if metric == "eodd" else ""}
        rows.append({**place, **task, "metric": metric, "value": base * (1 - 0.1 * weight), "mitigation": CHOSEN.get(weight, "none")})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def findings() -> Findings:
    tables = fake.performance(SPEC, CELLS), fake.fairness(SPEC, CELLS)
    return Findings.of(SPEC, *tables, comparison=compared(), sweep=swept("eodd@1"))


def test_every_gap_has_its_verdict_in_words(findings):
    sheet = comparison.verdicts(findings)
    assert len(sheet.frame) == 3 * len(SPEC.tasks) * len(SPEC.attributes)
    assert set(sheet.frame["method"]) == {"U-Net + equalised-odds loss"}
    assert sheet.frame["verdict"].str.contains("helped|harmed|no detectable effect|not estimable").all()


def test_the_price_has_intervals(findings):
    frame = comparison.price(findings).frame
    assert {"AUROC", "Dice"} <= set(frame["metric"])
    assert frame["change (95% interval)"].map(str).str.contains("to|n.e.").all()


def test_the_trade_off_shows_every_method_against_both_prices(findings):
    drawing = comparison.pareto(findings)
    assert set(zip(drawing.table["reconstructor"], drawing.table["mitigation"])) == {("unet", "none"), ("unet", "eodd")}
    assert len(drawing.figure.axes) == 4  # EODD and SER, each against score and PSNR
    rows = findings.pick("fairness", metric="eodd", attribute=["sex", "age"], version="reconstructed", level=8.0, mitigation="eodd")
    shown = drawing.table[(drawing.table["mitigation"] == "eodd") & (drawing.table["gap_metric"] == "eodd")]
    assert shown["gap"].item() == pytest.approx(rows["value"].mean())
    assert "U-Net + equalised-odds loss" in drawing.alt


def test_the_sweep_shows_each_weight_and_marks_the_chosen(findings):
    drawing = comparison.sweep(findings)
    assert sorted(set(drawing.table["weight"])) == [0.0, 0.1, 1.0]
    assert "by rule" in drawing.caption
    assert len(drawing.figure.axes) == 3
    for axes in drawing.figure.axes:
        assert [t.get_text() for t in axes.get_xticklabels()] == ["0.1", "1"]
        assert not len(axes.get_xticks(minor=True))
    assert comparison.fallbacks(findings) == []


def test_bars_show_the_change_of_every_score(findings):
    drawing = comparison.bars(findings)
    assert set(drawing.table["task"]) <= {t.name for t in SPEC.tasks}
    assert np.isfinite(drawing.table["change"]).all()


def test_a_fallback_is_told():
    tables = fake.performance(SPEC, CELLS), fake.fairness(SPEC, CELLS)
    found = Findings.of(SPEC, *tables, sweep=swept("none"))
    assert comparison.fallbacks(found) == ["U-Net + equalised-odds loss: by rule."]


def test_without_mitigation_there_is_nothing():
    cells = fake.cells(SPEC, ("unet",))
    found = Findings.of(SPEC, fake.performance(SPEC, cells), fake.fairness(SPEC, cells))
    assert [f(found) for f in (comparison.verdicts, comparison.price, comparison.pareto, comparison.sweep, comparison.bars)] == [None] * 5
    with pytest.raises(ValueError, match="the sweep table lacks"):
        comparison.sweep(Findings.of(SPEC, found.performance, found.fairness, sweep=pd.DataFrame({"weight": [1.0]})))


def test_the_front_holds_what_no_other_point_beats():
    first, second = np.array([1.0, 2.0, 3.0, 2.0, 1.0]), np.array([3.0, 2.0, 1.0, 1.0, 3.0])
    assert comparison.unbeaten(first, second).tolist() == [True, True, True, False, True], "equal points do not beat each other"
    assert comparison.unbeaten(np.zeros(0), np.zeros(0)).shape == (0,)


def test_the_trade_off_rings_the_front(findings):
    drawing = comparison.pareto(findings)
    rows = drawing.table[drawing.table["gap_metric"] == "eodd"]
    best = rows[comparison.unbeaten(rows["score"].to_numpy(), -rows["gap"].to_numpy())]
    rings = drawing.figure.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(np.asarray(rings), best[["score", "gap"]].to_numpy())
