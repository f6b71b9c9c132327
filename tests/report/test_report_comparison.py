"""The mitigation section: verdicts, cost, Pareto front, sweep and fallback from made-up tables."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from fairrecon_jax.report import mitigation
from fairrecon_jax.report.figures import comparison
from fairrecon_jax.report.figures.drawing import signed
from fairrecon_jax.report.select import Findings
from fairrecon_jax.report.tables import mitigation as mitigation_tables
from tests.support import report_fake as fake
from tests.support.report_findings import NAMED_OTHERWISE, findings_of

SPEC = fake.mri_spec()
CELLS = fake.cells(SPEC, ("unet",), ("none", "eodd"))
CHOSEN = {0.1: "eodd@0.1", 1.0: "eodd@1"}


def compared() -> pd.DataFrame:
    """The fairness and performance rows of the mitigated cells in the words of a comparison."""
    cells = [c for c in CELLS if c[2] == "eodd"]
    table = pd.concat(
        [fake.fairness(SPEC, cells), fake.performance(SPEC, cells, intersections=False)],
        ignore_index=True,
    )
    names = {"original": "unmitigated", "reconstructed": "mitigated"}
    table["version"] = table["version"].replace(names)
    gaps = table["metric"].isin(["eodd", "ser"])
    table.loc[gaps, "verdict"] = table.loc[gaps, "verdict"].replace({"favoured": "helped"})
    return table[table["convention"] != "mean"]


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
        task = {
            "task": "" if metric == "psnr" else "grade",
            "attribute": "sex" if metric == "eodd" else "",
        }
        rows.append(
            {
                **place,
                **task,
                "metric": metric,
                "value": base * (1 - 0.1 * weight),
                "mitigation": CHOSEN.get(weight, "none"),
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def findings() -> Findings:
    more = {"comparison": compared(), "sweep": swept("eodd@1")}
    return findings_of(SPEC, ("unet",), ("none", "eodd"), **more)


def test_every_gap_has_its_verdict_in_words(findings):
    table = mitigation_tables.verdicts(findings)
    assert len(table.frame) == 3 * len(SPEC.tasks) * len(SPEC.attributes)
    assert set(table.frame["method"]) == {"U-Net + equalised-odds loss"}
    assert (
        table.frame["verdict"].str.contains("helped|harmed|no difference shown|not estimable").all()
    )


def test_the_cost_has_intervals(findings):
    frame = mitigation_tables.cost(findings).frame
    assert {"AUROC", "Dice"} <= set(frame["metric"])
    assert frame["change (95% interval)"].map(str).str.contains("to|n.e.").all()


def test_the_trade_off_shows_every_method_against_both_costs(findings):
    drawing = comparison.pareto(findings)
    assert set(zip(drawing.table["reconstructor"], drawing.table["mitigation"])) == {
        ("unet", "none"),
        ("unet", "eodd"),
    }
    assert len(drawing.figure.axes) == 4  # EODD and SER, each against score and PSNR
    rows = findings.pick(
        "fairness",
        metric="eodd",
        attribute=["sex", "age"],
        version="reconstructed",
        level=8.0,
        mitigation="eodd",
    )
    shown = drawing.table[
        (drawing.table["mitigation"] == "eodd") & (drawing.table["gap_metric"] == "eodd")
    ]
    assert shown["gap"].item() == pytest.approx(rows["value"].mean())
    assert "U-Net + equalised-odds loss" in drawing.alt


def without(findings: Findings, **wanted: str) -> Findings:
    """The findings without the rows of both tables that match."""
    tables = (findings.performance, findings.fairness)
    kept = [
        t[~np.logical_and.reduce([t[column] == value for column, value in wanted.items()])]
        for t in tables
    ]
    return Findings.of(SPEC, *kept, comparison=compared())


def test_the_trade_off_averages_only_what_every_method_has(findings):
    less = without(findings, task="grade", mitigation="eodd", version="reconstructed")
    drawing = comparison.pareto(less)
    shown = drawing.table[drawing.table["gap_metric"] == "eodd"].set_index("mitigation")
    rows = less.pick(
        "fairness",
        metric="eodd",
        attribute=["sex", "age"],
        version="reconstructed",
        level=8.0,
        task="type",
    )
    score = less.pick(
        "performance", metric="auroc", attribute="", version="reconstructed", level=8.0, task="type"
    )
    for name in ("none", "eodd"):
        assert shown["gap"][name] == pytest.approx(rows[rows["mitigation"] == name]["value"].mean())
        assert shown["score"][name] == score[score["mitigation"] == name]["value"].item()
    assert (
        "Only what every method has is averaged: 2 of 3 diagnoses, 4 of 6 pairs" in drawing.caption
    )
    assert "averaged" not in comparison.pareto(findings).caption


def test_a_task_with_more_attributes_weighs_no_more_in_the_mean_score(findings):
    less = without(
        findings, task="grade", attribute="age", mitigation="eodd", version="reconstructed"
    )
    rows = mitigation.pareto_rows(less).set_index(["gap_metric", "mitigation"])
    scores = less.pick(
        "performance",
        metric="auroc",
        attribute="",
        version="reconstructed",
        level=8.0,
        mitigation="none",
    )["value"]
    assert rows["score"]["eodd", "none"] == pytest.approx(scores.mean())


def test_the_degraded_image_is_no_method_to_choose_whatever_its_block_is_called():
    names = ("degraded", "identity")
    rows = mitigation.gaps_and_scores(findings_of(fake.mri_spec(), names, called=NAMED_OTHERWISE))
    assert set(rows["reconstructor"]) == {"identity"}
    foreign = mitigation.gaps_and_scores(findings_of(fake.mri_spec(), names))
    assert set(foreign["reconstructor"]) == {"degraded"}


def test_without_psnr_there_is_no_panel_for_it(findings):
    drawing = comparison.pareto(without(findings, metric="psnr"))
    assert [axes.get_xlabel() for axes in drawing.figure.axes] == [
        "AUROC (better →)",
        "Dice (better →)",
    ]
    assert "PSNR" not in drawing.alt


def test_two_seeds_are_one_row_and_must_agree(findings):
    second = compared().assign(seed=1)
    judged = (
        (second["version"] == "change")
        & (second["metric"] == "ser")
        & (second["attribute"] == "sex")
        & (second["level"] == 8.0)
    )
    second.loc[judged, ["verdict", "group", "reason"]] = ["helped", "", "0.01 narrower"]
    first = compared()
    first.loc[judged, ["verdict", "group", "reason"]] = ["no difference shown", "Male", "p = 0.4"]
    both = Findings.of(
        SPEC,
        findings.performance,
        findings.fairness,
        comparison=pd.concat([first, second], ignore_index=True),
    )
    for make in (mitigation_tables.verdicts, mitigation_tables.cost):
        assert len(make(both).frame) == len(make(findings).frame)
    assert len(comparison.bars(both).table) == len(comparison.bars(findings).table)
    rows = mitigation_tables.verdicts(both).frame
    row = rows[
        (rows["gap"] == "SER") & (rows["attribute"] == "sex") & (rows["level"] == "8×")
    ].iloc[0]
    assert (row["verdict"], row["group"], row["in words"]) == ("differs between seeds", "", "")


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [
        ("helped", "△ helped"),
        ("levelled down", "levelled down"),
        ("harmed", "▼ harmed"),
        ("no difference shown", "no difference shown"),
    ],
)
def test_a_verdict_on_a_mitigation_stands_with_its_group_and_its_price(findings, verdict, shown):
    table = compared()
    ser = (
        (table["metric"] == "ser") & (table["version"] == "change") & (table["attribute"] == "sex")
    )
    table.loc[ser, ["verdict", "group", "gap"]] = [verdict, "Male", "narrowed"]
    psnr = (table["metric"] == "psnr") & (table["attribute"] == "")
    change = {**table[psnr].iloc[0], "version": "change", "value": -0.7, "change": -0.7}
    rows = pd.DataFrame([{**change, "level": v, "task": ""} for v in (4.0, 8.0, 16.0)])
    study = Findings.of(
        SPEC, findings.performance, findings.fairness, comparison=pd.concat([table, rows])
    )
    frame = mitigation_tables.verdicts(study).frame
    row = frame[(frame["gap"] == "SER") & (frame["attribute"] == "sex")].iloc[0]
    assert (row["verdict"], row["group"], row["gap became"]) == (shown, "Male", "narrowed")
    dice = table[
        (table["metric"] == "dice")
        & (table["version"] == "change")
        & (table["attribute"] == "")
        & (table["level"] == 4.0)
    ]["change"].item()
    assert row["price"] == f"PSNR −0.70 dB, Dice {signed(dice, 3)}"
    assert row["worst-off group"].startswith("Dice ")


def test_a_tiny_p_is_not_printed_as_zero(findings):
    table = compared()
    table.loc[table["metric"] == "ser", "p_adjusted"] = 0.0004
    frame = mitigation_tables.verdicts(
        Findings.of(SPEC, findings.performance, findings.fairness, comparison=table)
    ).frame
    assert set(frame.loc[frame["gap"] == "SER", "adjusted p"]) == {"< 0.001"}


def test_the_sweep_shows_each_weight_and_marks_the_chosen(findings):
    drawing = comparison.sweep(findings)
    assert sorted(set(drawing.table["weight"])) == [0.0, 0.1, 1.0]
    assert "by rule" in drawing.caption
    assert len(drawing.figure.axes) == 3
    for axes in drawing.figure.axes:
        assert [t.get_text() for t in axes.get_xticklabels()] == ["0.1", "1"]
        assert not len(axes.get_xticks(minor=True))
    assert mitigation.fallbacks(findings) == []


def test_gaps_that_are_zero_but_for_rounding_get_an_ordinary_axis(findings):
    rows = findings.sweep.copy()
    gaps = rows["metric"].isin(["eodd", "ser"])
    rounding = 1e-17 * np.arange(gaps.sum())
    rows.loc[gaps, "value"] = (rows.loc[gaps, "metric"] == "ser") + rounding
    drawing = comparison.sweep(dataclasses.replace(findings, sweep=rows))
    low, high = drawing.figure.axes[0].get_ylim()
    assert low < 0 < high
    assert high - low > 1e-3


def test_bars_show_the_change_of_every_score(findings):
    drawing = comparison.bars(findings)
    assert set(drawing.table["task"]) <= {t.name for t in SPEC.tasks}
    assert np.isfinite(drawing.table["change"]).all()


def test_a_fallback_is_told():
    study = findings_of(SPEC, ("unet",), ("none", "eodd"), sweep=swept("none"))
    assert mitigation.fallbacks(study) == ["U-Net + equalised-odds loss: by rule."]


def test_without_mitigation_there_is_nothing():
    study = findings_of(SPEC, ("unet",))
    assert [
        f(study)
        for f in (
            mitigation_tables.verdicts,
            mitigation_tables.cost,
            comparison.pareto,
            comparison.sweep,
            comparison.bars,
        )
    ] == [None] * 5
    with pytest.raises(ValueError, match="the sweep table lacks"):
        comparison.sweep(
            Findings.of(
                SPEC, study.performance, study.fairness, sweep=pd.DataFrame({"weight": [1.0]})
            )
        )


def test_the_front_holds_what_no_other_point_beats():
    first, second = np.array([1.0, 2.0, 3.0, 2.0, 1.0]), np.array([3.0, 2.0, 1.0, 1.0, 3.0])
    assert mitigation.pareto_front(first, second).tolist() == [True, True, True, False, True], (
        "equal points do not beat each other"
    )
    assert mitigation.pareto_front(np.zeros(0), np.zeros(0)).shape == (0,)


def test_the_trade_off_rings_the_front(findings):
    drawing = comparison.pareto(findings)
    rows = drawing.table[drawing.table["gap_metric"] == "eodd"]
    best = rows[mitigation.pareto_front(rows["score"].to_numpy(), -rows["gap"].to_numpy())]
    rings = drawing.figure.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(np.asarray(rings), best[["score", "gap"]].to_numpy())
